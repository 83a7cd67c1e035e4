"""How often the API may be asked (rules V1-THR, B-02)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from rest_framework.throttling import UserRateThrottle

from django_enrollments import views
from django_enrollments.throttling import EnrollmentUserThrottle
from tests.concurrency.crowd import at_once
from tests.factories import course_id_of, make_course, make_modes, make_user
from tests.http import ENROLLMENT, ROOT, ask, client_of, post
from tests.shared_caches import knock, shared_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch: Any) -> Any:
    """A clock that throttles look at, standing still until it is moved."""

    class Clock:
        now = 1_000_000.0

    monkeypatch.setattr(EnrollmentUserThrottle, "timer", lambda self: Clock.now)
    return Clock


@pytest.fixture
def course() -> Any:
    course = make_course()
    make_modes(course, "audit")
    return course


def codes(client: Any, count: int, path: str = ENROLLMENT, **extra: Any) -> list[int]:
    return [client.get(path, **extra).status_code for _ in range(count)]


class TestUser:
    @pytest.mark.rule("V1-THR-01", "V1-THR-04")
    def test_may_ask_40_times_in_a_minute(self, clock: Any) -> None:
        client = client_of(make_user("ada"))

        assert codes(client, 41) == [200] * 40 + [429]

    @pytest.mark.rule("V1-THR-04")
    def test_the_window_slides(self, clock: Any) -> None:
        client = client_of(make_user("ada"))
        client.get(ENROLLMENT)
        clock.now += 30
        codes(client, 39)

        refused = client.get(ENROLLMENT)
        clock.now += 30
        after_half_a_minute = codes(client, 2)
        clock.now += 30
        after_a_minute = codes(client, 40)

        assert refused.status_code == 429
        assert after_half_a_minute == [200, 429]
        assert after_a_minute == [200] * 39 + [429]

    @pytest.mark.rule("V1-THR-07")
    def test_is_told_when_to_come_back(self, clock: Any) -> None:
        client = client_of(make_user("ada"))
        codes(client, 40)

        clock.now += 17.5
        early = client.get(ENROLLMENT)
        clock.now += 41.7
        late = client.get(ENROLLMENT)

        assert early.json() == {
            "detail": "Request was throttled. Expected available in 43 seconds."
        }
        assert early["Retry-After"] == "43"
        assert late.json() == {
            "detail": "Request was throttled. Expected available in 1 second."
        }
        assert late["Retry-After"] == "1"

    @pytest.mark.rule("V1-THR-04")
    def test_is_let_in_again_when_told(self, clock: Any) -> None:
        client = client_of(make_user("ada"))
        codes(client, 41)

        clock.now += 60

        assert codes(client, 1) == [200]

    @pytest.mark.rule("V1-THR-06")
    def test_has_one_counter_in_all_views(self, clock: Any, course: Any) -> None:
        ada = make_user("ada")
        codes(client_of(ada), 20)
        codes(client_of(ada), 19, f"{ENROLLMENT}/{course_id_of(course)}")

        last = ask(ada, course).status_code

        assert (last, ask(ada, course).status_code) == (200, 429)

    @pytest.mark.rule("V1-THR-06")
    def test_has_a_counter_of_their_own(self, clock: Any) -> None:
        codes(client_of(make_user("ada")), 41)

        assert codes(client_of(make_user("bea")), 1) == [200]

    @pytest.mark.rule("V1-THR-01", "V1-THR-02")
    @pytest.mark.parametrize("rights", ["is_staff", "is_superuser"])
    def test_of_the_staff_may_ask_120_times(self, clock: Any, rights: str) -> None:
        client = client_of(make_user("boss", **{rights: True}))

        assert codes(client, 121) == [200] * 120 + [429]

    @pytest.mark.rule("V1-THR-06")
    def test_counts_apart_as_staff(self, clock: Any) -> None:
        ada = make_user("ada")
        codes(client_of(ada), 41)
        ada.is_staff = True
        ada.save()

        assert codes(client_of(ada), 1) == [200]


class TestViews:
    @pytest.mark.rule("V1-THR-06")
    @pytest.mark.parametrize(
        "path", ["enrollment/{}", "course/{}/eligibility", "roles/"]
    )
    def test_share_the_counter_of_a_learner(
        self, clock: Any, course: Any, path: str
    ) -> None:
        client = client_of(make_user("ada"))
        codes(client, 40)

        assert codes(client, 1, ROOT + path.format(course_id_of(course))) == [429]

    @pytest.mark.rule("V1-THR-06")
    @pytest.mark.parametrize("path", ["enrollments", "enrollment_allowed/"])
    def test_share_that_of_the_staff(self, clock: Any, path: str) -> None:
        client = client_of(make_user("boss", is_staff=True))
        codes(client, 120)

        assert codes(client, 1, f"{ROOT}{path}") == [429]

    @pytest.mark.rule("V1-THR-07")
    def test_the_list_for_staff_tells_it_in_its_own_words(self, clock: Any) -> None:
        client = client_of(make_user("boss", is_staff=True))
        codes(client, 120)

        response = client.get(f"{ROOT}enrollments")

        assert response.status_code == 429
        assert response["Retry-After"] == "60"
        assert response.json() == {
            "developer_message": "Request was throttled. Expected available in 60 "
            "seconds."
        }

    @pytest.mark.rule("V1-THR-10")
    def test_taking_whoever_retires_out_has_none(self, clock: Any) -> None:
        client = client_of(make_user("root", is_superuser=True))
        sent = [
            client.post(f"{ROOT}unenroll/", {"username": "x"}).status_code
            for _ in range(130)
        ]

        assert sent == [404] * 130
        assert codes(client, 1) == [200]


class TestNobody:
    @pytest.mark.rule("V1-THR-05")
    def test_is_counted_by_address(self, clock: Any, course: Any) -> None:
        path = f"{ROOT}course/{course_id_of(course)}"

        assert codes(client_of(), 41, path) == [200] * 40 + [429]
        elsewhere = codes(client_of(), 1, path, REMOTE_ADDR="192.0.2.7")
        assert elsewhere == [200]

    @pytest.mark.rule("V1-THR-05")
    def test_the_details_of_a_course_know_no_user(
        self, clock: Any, course: Any
    ) -> None:
        path = f"{ROOT}course/{course_id_of(course)}"
        ada, bea = client_of(make_user("ada")), client_of(make_user("bea"))
        codes(ada, 40, path)

        assert codes(bea, 1, path) == [429]
        assert codes(ada, 1) == [200]

    @pytest.mark.rule("V1-THR-05")
    @pytest.mark.parametrize("address", ["", "a b\x7f\n, c", "x" * 5_000, "\udcff"])
    def test_may_come_from_any_address(self, clock: Any, rf: Any, address: str) -> None:
        request = rf.get(ENROLLMENT, HTTP_X_FORWARDED_FOR=address)
        request.user = AnonymousUser()

        passed = [
            EnrollmentUserThrottle().allow_request(request, None) for _ in range(41)
        ]

        assert passed == [True] * 40 + [False]


class TestKey:
    @pytest.fixture(autouse=True)
    def _key(self, settings: Any) -> None:
        settings.ENROLLMENTS_API_KEYS = ["secret"]

    @pytest.mark.rule("V1-THR-03")
    @pytest.mark.parametrize("path", [ENROLLMENT, f"{ROOT}course/django-101"])
    def test_a_valid_one_is_never_throttled(self, path: str) -> None:
        make_course("django-101")
        headers = {"X-Edx-Api-Key": "secret"}

        assert codes(client_of(), 130, path, headers=headers) == [200] * 130

    @pytest.mark.rule("V1-THR-03")
    def test_nor_does_it_use_up_what_its_user_has(self) -> None:
        client = client_of(make_user("ada"))
        codes(client, 50, headers={"X-Edx-Api-Key": "secret"})

        assert codes(client, 41) == [200] * 40 + [429]

    @pytest.mark.rule("V1-THR-03")
    def test_a_wrong_one_is(self) -> None:
        client = client_of(make_user("ada"))

        assert codes(client, 41, headers={"X-Edx-Api-Key": "wrong"})[-1] == 429


class TestCounting:
    @pytest.mark.rule("V1-THR-08")
    def test_passes_over_who_is_not_let_in(self, clock: Any) -> None:
        assert codes(client_of(), 50) == [401] * 50
        csrf = client_of(make_user("ada"), enforce_csrf_checks=True)
        for _ in range(50):
            assert csrf.post(ENROLLMENT).status_code == 403

        assert codes(csrf, 1) == [200]

    @pytest.mark.rule("V1-THR-08")
    def test_errors_count(self, clock: Any) -> None:
        ada = make_user("ada")
        for body in [{}, b"{", {"course_details": 7}, {"user": "bea"}] * 10:
            assert post(ada, body).status_code == 400

        assert codes(client_of(ada), 1) == [429]

    @pytest.mark.rule("V1-THR-04")
    def test_what_is_refused_does_not(self, clock: Any) -> None:
        client = client_of(make_user("ada"))
        codes(client, 40)
        clock.now += 59
        codes(client, 20)

        clock.now += 1

        assert codes(client, 41) == [200] * 40 + [429]

    @pytest.mark.rule("V1-THR-06")
    def test_users_of_two_databases_are_counted_apart(self, rf: Any) -> None:
        ada, other = make_user("ada"), make_user("bob")
        other.pk, other._state.db = ada.pk, "tenant"
        keys = set()
        for user in (ada, other):
            throttle, request = EnrollmentUserThrottle(), rf.get("/")
            request.user = user
            throttle.scope = "user"
            keys.add(throttle.get_cache_key(request, None))

        assert len(keys) == 2

    @pytest.mark.rule("B-02")
    def test_is_apart_from_that_of_other_apis(self, clock: Any, rf: Any) -> None:
        ada = make_user("ada")
        request = rf.get("/")
        request.user = ada
        codes(client_of(ada), 41)

        class Theirs(UserRateThrottle):
            rate = "1/minute"

        assert Theirs().allow_request(request, None)
        assert not Theirs().allow_request(request, None)

    @pytest.mark.rule("B-02")
    def test_loses_nothing_when_many_ask_at_once(self, rf: Any) -> None:
        request = rf.get(ENROLLMENT)
        request.user = AnonymousUser()

        def ask_once(_: int) -> bool:
            return EnrollmentUserThrottle().allow_request(request, None)

        with ThreadPoolExecutor(16) as pool:
            passed = list(pool.map(ask_once, range(200)))

        assert passed.count(True) == 40

    @pytest.mark.rule("B-02")
    def test_counts_what_died_before_it_was_written_down(
        self, clock: Any, rf: Any, monkeypatch: Any
    ) -> None:
        request = rf.get(ENROLLMENT)
        request.user = AnonymousUser()
        monkeypatch.setattr(LocMemCache, "set", lambda *args, **kwargs: None)

        passed = [
            EnrollmentUserThrottle().allow_request(request, None) for _ in range(41)
        ]

        assert passed == [True] * 40 + [False]

    @pytest.mark.rule("B-02")
    def test_is_not_set_back_by_whoever_writes_late(self, rf: Any) -> None:
        request = rf.get(ENROLLMENT)
        request.user = AnonymousUser()
        throttle = EnrollmentUserThrottle()
        throttle.allow_request(request, None)
        written_late = throttle.cache.get(throttle.key)

        for _ in range(38):
            EnrollmentUserThrottle().allow_request(request, None)
        throttle.cache.set(throttle.key, written_late)

        assert EnrollmentUserThrottle().allow_request(request, None)
        assert not EnrollmentUserThrottle().allow_request(request, None)

    @pytest.mark.rule("B-02")
    def test_reads_many_claims_in_parts(
        self, clock: Any, rf: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("django_enrollments.throttling.MOST_CLAIMS", 7)
        monkeypatch.setattr(LocMemCache, "set", lambda *args, **kwargs: None)
        request = rf.get(ENROLLMENT)
        request.user = AnonymousUser()

        passed = [
            EnrollmentUserThrottle().allow_request(request, None) for _ in range(41)
        ]

        assert passed == [True] * 40 + [False]

    @pytest.mark.rule("B-17")
    @pytest.mark.parametrize("method", ["add", "get"])
    def test_a_broken_cache_lets_everybody_pass(
        self, monkeypatch: Any, caplog: Any, method: str
    ) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise ConnectionError("The cache is gone.")

        client = client_of(make_user("ada"))
        monkeypatch.setattr(type(caches["default"]), method, fail)

        assert codes(client, 45) == [200] * 45
        assert "The cache is gone." in caplog.text

    @pytest.mark.rule("B-17")
    def test_half_of_a_cache_does_for_counting(
        self, clock: Any, monkeypatch: Any, caplog: Any
    ) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise ConnectionError("The cache is full.")

        client = client_of(make_user("ada"))
        monkeypatch.setattr(LocMemCache, "set", fail)

        assert codes(client, 41) == [200] * 40 + [429]
        assert "The cache is full." in caplog.text

    @pytest.mark.rule("B-17")
    def test_a_cache_that_hides_its_failure_does_too(
        self, monkeypatch: Any, caplog: Any
    ) -> None:
        monkeypatch.setattr("django_enrollments.throttling.MOST_TRIES", 2)
        client = client_of(make_user("ada"))
        monkeypatch.setattr(LocMemCache, "add", lambda *args, **kwargs: False)
        monkeypatch.setattr(LocMemCache, "set", lambda *args, **kwargs: None)

        assert codes(client, 45) == [200] * 45
        assert "Requests cannot be counted" in caplog.text

    @pytest.mark.rule("B-17")
    def test_a_cache_that_keeps_nothing_does_too(self, settings: Any) -> None:
        settings.CACHES = {
            "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
        }

        assert codes(client_of(make_user("ada")), 45) == [200] * 45


class TestRates:
    @pytest.mark.rule("V1-THR-11")
    def test_are_told_for_each_scope(self) -> None:
        throttle = EnrollmentUserThrottle()
        told = {}
        for scope in ("user", "staff"):
            throttle.scope = scope
            told[scope] = throttle.parse_rate(throttle.get_rate())

        assert told == {"user": (40, 60), "staff": (120, 60)}
        assert EnrollmentUserThrottle.THROTTLE_RATES == {
            "user": "40/minute",
            "staff": "120/minute",
        }
        assert views.EnrollmentUserThrottle is EnrollmentUserThrottle

    @pytest.mark.rule("SET-02")
    def test_rates_are_read_at_each_request(self, settings: Any, clock: Any) -> None:
        client = client_of(make_user("ada"))
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "2/hour"}

        before = codes(client, 3)
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "3/hour"}

        assert before == [200, 200, 429]
        assert codes(client, 2) == [200, 429]

    def test_lowered_ones_still_tell_when_to_come_back(
        self, settings: Any, clock: Any
    ) -> None:
        client = client_of(make_user("ada"))
        for _ in range(5):
            client.get(ENROLLMENT)
            clock.now += 1
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "2/minute"}

        # The second newest was counted two seconds ago.
        assert client.get(ENROLLMENT)["Retry-After"] == "58"

    def test_none_turns_a_scope_off(self, settings: Any, clock: Any) -> None:
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": None}

        assert codes(client_of(make_user("ada")), 50) == [200] * 50
        boss = client_of(make_user("boss", is_staff=True))
        assert codes(boss, 121)[-1] == 429

    def test_zero_lets_nobody_pass(self, settings: Any) -> None:
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "0/minute"}

        response = client_of(make_user("ada")).get(ENROLLMENT)

        assert response.status_code == 429
        assert response.json() == {"detail": "Request was throttled."}

    def test_rates_of_the_hosts_own_apis_mean_nothing(self, settings: Any) -> None:
        settings.REST_FRAMEWORK = {
            "DEFAULT_THROTTLE_CLASSES": [
                "rest_framework.throttling.UserRateThrottle",
            ],
            "DEFAULT_THROTTLE_RATES": {"user": "1/day"},
        }

        assert codes(client_of(make_user("ada")), 3) == [200] * 3


class TestSharedCache:
    """Counting in a cache that processes share, with requests of many of them."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture(params=["file", "database", "redis"])
    def shared(self, request: Any, settings: Any, tmp_path: Path) -> Iterator[Any]:
        with shared_cache(request.param, tmp_path) as configuration:
            settings.CACHES = {"default": configuration}
            yield settings.CACHES

    @pytest.mark.rule("B-02")
    def test_lets_40_pass_of_80_at_once(self, shared: Any, course: Any) -> None:
        path = f"{ROOT}course/{course_id_of(course)}"

        answers = at_once([partial(knock, shared, path, times=10)] * 8)

        assert [answer.text for answer in answers if answer.error] == []
        answered = Counter(code for answer in answers for code in answer.value)
        assert answered == {200: 40, 429: 40}
        last = client_of().get(path)
        assert last.status_code == 429
        assert 1 <= int(last["Retry-After"]) <= 60

    @pytest.mark.rule("B-02")
    def test_the_window_slides(self, shared: Any, clock: Any) -> None:
        client = client_of(make_user("ada"))
        client.get(ENROLLMENT)
        clock.now += 30
        codes(client, 39)

        refused = client.get(ENROLLMENT)
        clock.now += 30

        assert refused["Retry-After"] == "30"
        assert codes(client, 2) == [200, 429]


class TestTableForACache:
    """A cache in a table, which is what a request's transaction is about too."""

    @pytest.fixture(autouse=True)
    def _no_table(self, settings: Any) -> None:
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.db.DatabaseCache",
                "LOCATION": "nobody_made_this_table",
            }
        }

    @pytest.mark.rule("B-17")
    def test_that_is_missing_lets_everybody_pass(
        self, course: Any, monkeypatch: Any, caplog: Any
    ) -> None:
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        ada = make_user("ada")

        assert ask(ada, course).status_code == 200
        assert codes(client_of(ada), 41) == [200] * 41
        path = f"{ROOT}course/{course_id_of(course)}"
        assert codes(client_of(), 41, path) == [200] * 41
        assert "Requests cannot be counted" in caplog.text


def test_the_cache_is_one_that_forgets_between_processes() -> None:
    """The tests above count in the memory of this process alone."""
    assert isinstance(caches["default"], LocMemCache)
