"""Throttling of the views."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from rest_framework.throttling import UserRateThrottle

from django_enrollments import views
from django_enrollments.throttling import EnrollmentUserThrottle
from tests.factories import course_id_of, make_user
from tests.http import ENROLLMENT, ROOT, ask, client_of, get, post
from tests.processes.concurrent import at_once
from tests.shared_caches import request_often, shared_cache

pytestmark = pytest.mark.django_db

FORTY = [200] * 40 + [429]
BACKENDS = "django.core.cache.backends"


@pytest.fixture
def clock(monkeypatch):
    """A clock for throttles, which stands still until it is moved."""

    class Clock:
        now = 1_000_000.0

    monkeypatch.setattr(EnrollmentUserThrottle, "timer", lambda self: Clock.now)
    return Clock


@pytest.fixture
def client(ada):
    """The client of a learner."""
    return client_of(ada)


@pytest.fixture
def path(course):
    """A path that needs no login."""
    return f"{ROOT}course/{course_id_of(course)}"


@pytest.fixture
def anonymous(rf):
    """A request without a login, as throttles get it."""
    request = rf.get(ENROLLMENT)
    request.user = AnonymousUser()
    return request


def codes(client, count: int, path: str = ENROLLMENT, **extra) -> list[int]:
    return [client.get(path, **extra).status_code for _ in range(count)]


def allow(request, count: int) -> list[bool]:
    return [EnrollmentUserThrottle().allow_request(request, None) for _ in range(count)]


def fail(*args, **kwargs):
    raise ConnectionError("The cache is gone.")


class TestUsers:
    @pytest.mark.rule("V1-THR-04")
    def test_have_a_sliding_window(self, clock, client):
        client.get(ENROLLMENT)
        clock.now += 30
        codes(client, 39)

        refused = codes(client, 1)
        clock.now += 30
        after_30_seconds = codes(client, 2)
        clock.now += 30
        after_60_seconds = codes(client, 40)

        assert (refused, after_30_seconds) == ([429], [200, 429])
        assert after_60_seconds == [200] * 39 + [429]

    @pytest.mark.rule("V1-THR-01", "V1-THR-04", "V1-THR-07")
    def test_may_make_40_requests_a_minute_and_get_the_time_to_wait(
        self, clock, client
    ):
        assert codes(client, 41) == FORTY

        for seconds, wait in ((17.5, "43 seconds"), (41.7, "1 second")):
            clock.now += seconds
            response = client.get(ENROLLMENT)
            assert response.status_code == 429
            assert response["Retry-After"] == wait.split()[0]
            assert response.json() == {
                "detail": f"Request was throttled. Expected available in {wait}."
            }
        clock.now += 0.8
        assert codes(client, 1) == [200]

    @pytest.mark.rule("V1-THR-06")
    def test_have_one_counter_each_for_all_views(self, clock, ada, bea, course):
        course_id = course_id_of(course)
        for number in range(39):
            paths = ["enrollment", f"enrollment/{course_id}", "roles/"]
            get(ada, [*paths, f"course/{course_id}/eligibility"][number % 4])

        last = [ask(ada, course).status_code for _ in range(2)]

        assert last == [200, 429]
        assert codes(client_of(bea), 1) == [200]

    @pytest.mark.rule("V1-THR-01", "V1-THR-02")
    @pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
    def test_of_the_staff_may_make_120_requests(self, clock, flag):
        client = client_of(make_user("boss", **{flag: True}))

        assert codes(client, 121) == [200] * 120 + [429]

    @pytest.mark.rule("V1-THR-06", "V1-THR-07")
    def test_of_the_staff_have_a_counter_of_their_own(self, clock, ada, client):
        codes(client, 41)
        ada.is_staff = True
        ada.save()

        assert codes(client, 60) == [200] * 60
        assert codes(client, 60, f"{ROOT}enrollments") == [200] * 60
        assert codes(client, 1, f"{ROOT}enrollment_allowed/") == [429]
        response = client.get(f"{ROOT}enrollments")
        assert response["Retry-After"] == "60"
        assert response.json() == {
            "developer_message": "Request was throttled. Expected available in 60 "
            "seconds."
        }

    @pytest.mark.rule("V1-THR-10")
    def test_who_retire_others_are_not_throttled(self, clock, root):
        client, path = client_of(root), f"{ROOT}unenroll/"

        sent = [client.post(path, {"username": "x"}).status_code for _ in range(130)]

        assert sent == [404] * 130
        assert codes(client, 1) == [200]


class TestWithoutLogin:
    @pytest.mark.rule("V1-THR-05")
    def test_requests_are_counted_by_address(self, clock, ada, path):
        codes(client_of(ada), 20, path)

        assert codes(client_of(), 21, path) == [200] * 20 + [429]
        assert codes(client_of(), 1, path, REMOTE_ADDR="192.0.2.7") == [200]
        assert codes(client_of(ada), 1) == [200]

    @pytest.mark.rule("V1-THR-05")
    @pytest.mark.parametrize("address", ["", "a b\x7f\n, c", "x" * 5_000, "\udcff"])
    def test_requests_may_come_from_any_address(self, clock, anonymous, address):
        anonymous.META["HTTP_X_FORWARDED_FOR"] = address

        assert allow(anonymous, 41) == [True] * 40 + [False]

    @pytest.mark.rule("V1-THR-08")
    def test_requests_that_authentication_refuses_are_not_counted(self, clock, ada):
        client = client_of(ada, enforce_csrf_checks=True)

        assert codes(client_of(), 50) == [401] * 50
        assert [client.post(ENROLLMENT).status_code for _ in range(50)] == [403] * 50
        assert codes(client, 1) == [200]


class TestApiKeys:
    @pytest.fixture(autouse=True)
    def _key(self, settings):
        settings.ENROLLMENTS_API_KEYS = ["secret"]

    @pytest.mark.rule("V1-THR-03")
    def test_are_not_throttled(self, client, path):
        headers = {"X-Edx-Api-Key": "secret"}

        assert codes(client_of(), 130, headers=headers) == [200] * 130
        assert codes(client_of(), 50, path, headers=headers) == [200] * 50
        assert codes(client, 50, headers=headers) == [200] * 50
        assert codes(client, 41) == FORTY

    @pytest.mark.rule("V1-THR-03")
    def test_that_are_wrong_are_throttled(self, client):
        assert codes(client, 41, headers={"X-Edx-Api-Key": "wrong"}) == FORTY


class TestCounting:
    @pytest.mark.rule("V1-THR-08")
    def test_includes_errors(self, clock, ada):
        for body in [{}, b"{", {"course_details": 7}, {"user": "bea"}] * 10:
            assert post(ada, body).status_code == 400

        assert codes(client_of(ada), 1) == [429]

    @pytest.mark.rule("V1-THR-04")
    def test_leaves_out_throttled_requests(self, clock, client):
        codes(client, 40)
        clock.now += 59
        codes(client, 20)

        clock.now += 1

        assert codes(client, 41) == FORTY

    @pytest.mark.rule("V1-THR-06")
    def test_is_separate_for_each_database_of_users(self, ada, bea, rf):
        bea.pk, bea._state.db = ada.pk, "tenant"
        keys = set()
        for user in (ada, bea):
            throttle, request = EnrollmentUserThrottle(), rf.get("/")
            request.user = user
            throttle.scope = "user"
            keys.add(throttle.get_cache_key(request, None))

        assert len(keys) == 2

    @pytest.mark.rule("B-02")
    def test_is_separate_from_that_of_other_apis(self, clock, ada, client, rf):
        class Theirs(UserRateThrottle):
            rate = "1/minute"

        request = rf.get("/")
        request.user = ada
        codes(client, 41)

        assert Theirs().allow_request(request, None)
        assert not Theirs().allow_request(request, None)

    @pytest.mark.rule("B-02")
    def test_is_exact_with_many_threads(self, anonymous):
        with ThreadPoolExecutor(16) as pool:
            passed = list(pool.map(lambda _: allow(anonymous, 1)[0], range(200)))

        assert passed.count(True) == 40

    @pytest.mark.rule("B-02")
    @pytest.mark.parametrize("claims", [None, 7])
    def test_includes_requests_whose_process_died(
        self, clock, anonymous, monkeypatch, claims
    ):
        if claims:
            monkeypatch.setattr("django_enrollments.throttling.MOST_CLAIMS", claims)
        monkeypatch.setattr(LocMemCache, "set", lambda *args, **kwargs: None)

        assert allow(anonymous, 41) == [True] * 40 + [False]

    @pytest.mark.rule("B-02")
    def test_is_not_set_back_by_a_late_write(self, anonymous):
        throttle = EnrollmentUserThrottle()
        throttle.allow_request(anonymous, None)
        late = throttle.cache.get(throttle.key)

        allow(anonymous, 38)
        throttle.cache.set(throttle.key, late)

        assert allow(anonymous, 2) == [True, False]

    @pytest.mark.rule("B-17")
    @pytest.mark.parametrize("method", ["add", "get"])
    def test_is_skipped_with_a_broken_cache(self, client, monkeypatch, caplog, method):
        monkeypatch.setattr(type(caches["default"]), method, fail)

        assert codes(client, 45) == [200] * 45
        assert "The cache is gone." in caplog.text

    @pytest.mark.rule("B-17")
    def test_works_with_a_cache_that_cannot_be_written(
        self, clock, client, monkeypatch, caplog
    ):
        monkeypatch.setattr(LocMemCache, "set", fail)

        assert codes(client, 41) == FORTY
        assert "The cache is gone." in caplog.text

    @pytest.mark.rule("B-17")
    def test_is_skipped_with_a_cache_that_hides_its_failures(
        self, client, monkeypatch, caplog
    ):
        monkeypatch.setattr("django_enrollments.throttling.MOST_TRIES", 2)
        monkeypatch.setattr(LocMemCache, "add", lambda *args, **kwargs: False)
        monkeypatch.setattr(LocMemCache, "set", lambda *args, **kwargs: None)

        assert codes(client, 45) == [200] * 45
        assert "Requests cannot be counted" in caplog.text

    @pytest.mark.rule("B-17")
    def test_is_skipped_with_a_dummy_cache(self, client, settings):
        settings.CACHES = {"default": {"BACKEND": f"{BACKENDS}.dummy.DummyCache"}}

        assert codes(client, 45) == [200] * 45

    @pytest.mark.rule("B-17")
    def test_is_skipped_without_the_table_of_the_cache(
        self, ada, client, path, course, settings, monkeypatch, caplog
    ):
        settings.CACHES = {
            "default": {
                "BACKEND": f"{BACKENDS}.db.DatabaseCache",
                "LOCATION": "no_such_table",
            }
        }
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

        assert ask(ada, course).status_code == 200
        assert codes(client, 41) == codes(client_of(), 41, path) == [200] * 41
        assert "Requests cannot be counted" in caplog.text


class TestRates:
    @pytest.mark.rule("V1-THR-11")
    def test_are_those_of_the_scopes(self):
        throttle = EnrollmentUserThrottle()
        rates = {}
        for scope in ("user", "staff"):
            throttle.scope = scope
            rates[scope] = throttle.parse_rate(throttle.get_rate())

        assert rates == {"user": (40, 60), "staff": (120, 60)}
        expected = {"user": "40/minute", "staff": "120/minute"}
        assert expected == EnrollmentUserThrottle.THROTTLE_RATES
        assert views.EnrollmentUserThrottle is EnrollmentUserThrottle

    @pytest.mark.rule("SET-02")
    def test_are_read_at_each_request(self, settings, clock, client):
        found = []
        for rate, count in (("2/hour", 3), ("3/hour", 2)):
            settings.ENROLLMENTS_THROTTLE_RATES = {"user": rate}
            found += codes(client, count)

        assert found == [200, 200, 429, 200, 429]

    def test_that_are_lowered_keep_the_time_to_wait(self, settings, clock, client):
        for _ in range(5):
            client.get(ENROLLMENT)
            clock.now += 1
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "2/minute"}

        # The second newest was counted two seconds ago.
        assert client.get(ENROLLMENT)["Retry-After"] == "58"

    def test_of_none_do_not_throttle_the_scope(self, settings, clock, boss, client):
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": None}

        assert codes(client, 50) == [200] * 50
        assert codes(client_of(boss), 121)[-1] == 429

    def test_of_zero_refuse_all_requests(self, settings, ada):
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "0/minute"}

        response = get(ada)

        assert response.status_code == 429
        assert response.json() == {"detail": "Request was throttled."}

    def test_of_other_apis_have_no_effect(self, settings, client):
        settings.REST_FRAMEWORK = {
            "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
            "DEFAULT_THROTTLE_RATES": {"user": "1/day"},
        }

        assert codes(client, 3) == [200] * 3


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestSharedCache:
    """Caches that several processes share."""

    @pytest.fixture(params=["file", "database", "redis"])
    def shared(self, request, settings, tmp_path):
        with shared_cache(request.param, tmp_path) as configuration:
            settings.CACHES = {"default": configuration}
            yield settings.CACHES

    @pytest.mark.rule("B-02")
    def test_allows_40_of_80_concurrent_requests(self, shared, path):
        answers = at_once([partial(request_often, shared, path, times=10)] * 8)

        assert [answer.text for answer in answers if answer.error] == []
        found = Counter(code for answer in answers for code in answer.value)
        assert found == {200: 40, 429: 40}
        last = client_of().get(path)
        assert last.status_code == 429
        assert 1 <= int(last["Retry-After"]) <= 60

    @pytest.mark.rule("B-02")
    def test_has_a_sliding_window(self, shared, clock, client):
        client.get(ENROLLMENT)
        clock.now += 30
        codes(client, 39)

        refused = client.get(ENROLLMENT)
        clock.now += 30

        assert refused["Retry-After"] == "30"
        assert codes(client, 2) == [200, 429]
