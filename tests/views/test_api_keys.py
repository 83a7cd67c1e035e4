"""Requests with an API key."""

from __future__ import annotations

import logging

import pytest

from django_enrollments.models import EnrollmentEvent
from django_enrollments.policies import has_valid_api_key
from django_enrollments.views import (
    ApiKeyPermissionMixIn,
    EnrollmentListView,
    EnrollmentUserRolesView,
    EnrollmentView,
)
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_modes,
    username,
)
from tests.http import ROOT, assert_refused, client_of, post, put, wish
from tests.watching import nothing_written, state_of

pytestmark = pytest.mark.django_db

KEY = "a-long-secret"
HEADER = "X-Edx-Api-Key"
AUDIT = "django_enrollments.audit"


@pytest.fixture(autouse=True)
def _key(settings):
    settings.ENROLLMENTS_API_KEYS = [KEY]


@pytest.fixture
def course():
    """A course that offers audit, honor and verified, and offered credit."""
    course = make_course()
    make_modes(course, "audit", "honor", "verified")
    make_mode(course, "credit", expiration_datetime=NOON - DAY * 3_650)
    return course


def get(path: str = "enrollment", by=None, key: str = KEY, **query: str):
    return client_of(by).get(f"{ROOT}{path}", query, headers={HEADER: key})


def ask(course, by=None, key: str = KEY, **fields):
    return post(by, wish(course, **fields), headers={HEADER: key})


def has_valid_key(request) -> bool:
    return has_valid_api_key(request.headers)


class TestHasValidApiKey:
    @pytest.mark.rule("V1-AUTH-08", "V1-AUTH-10")
    def test_accepts_every_key_and_no_other_text(self, rf, settings):
        settings.ENROLLMENTS_API_KEYS = ["one", "two"]
        others = ["", " ", "on", "onee", "ONE", "one,two", "one two", "\udcff", "é"]

        for given in ("one", "two", *others):
            request = rf.get("/", HTTP_X_EDX_API_KEY=given)
            assert has_valid_key(request) is (given in {"one", "two"})

    @pytest.mark.rule("B-01")
    @pytest.mark.parametrize(
        "keys",
        [
            *([], [""], [" "], ["\t\n"], ["", " "]),
            *("secret", ("s", 7), {"secret": 1}, None),
        ],
    )
    def test_accepts_nothing_for_blank_keys_and_wrong_types(self, rf, settings, keys):
        settings.ENROLLMENTS_API_KEYS = keys

        assert not has_valid_key(rf.get("/"))
        for given in ("", " ", "\t\n", "secret", "s", "7", "None"):
            assert not has_valid_key(rf.get("/", HTTP_X_EDX_API_KEY=given))

    def test_reads_the_header_of_the_setting(self, rf, settings):
        settings.ENROLLMENTS_API_KEY_HEADER = "X-School-Key"

        assert has_valid_key(rf.get("/", headers={"X-School-Key": KEY}))
        assert not has_valid_key(rf.get("/", headers={HEADER: KEY}))


class TestPermission:
    @pytest.mark.rule("NAM-02")
    @pytest.mark.parametrize(
        "view", [EnrollmentListView, EnrollmentView, EnrollmentUserRolesView]
    )
    def test_is_read_by_views(self, rf, view):
        assert issubclass(view, ApiKeyPermissionMixIn)
        with_key = rf.get("/", headers={HEADER: KEY})

        assert view().has_api_key_permissions(with_key) is True
        assert view().has_api_key_permissions(rf.get("/")) is False

    @pytest.mark.rule("V1-AUTH-06", "V1-AUTH-10", "V1-AUTH-11")
    def test_is_given_by_a_key_or_a_login(self, ada, course):
        with nothing_written():
            refused = [get(key="wrong"), ask(course, key="wrong")]
        accepted = [get(), get(by=ada, key="wrong"), get(by=ada)]

        assert [response.status_code for response in accepted] == [200] * 3
        for response in refused:
            assert response.status_code == 401
            assert response["WWW-Authenticate"] == 'JWT realm="api"'

    @pytest.mark.rule("V1-AUTH-14")
    def test_of_a_session_needs_the_csrf_token(self, ada, course):
        client = client_of(ada, enforce_csrf_checks=True, headers={HEADER: KEY})
        path = f"{ROOT}enrollment"

        response = client.post(path, wish(course), "application/json")

        assert response.status_code == 403

    @pytest.mark.rule("V1-AUTH-09")
    @pytest.mark.parametrize("path", [None, "django.contrib.auth.models.AnonymousUser"])
    def test_without_a_login_is_of_no_user_in_any_host(self, settings, course, path):
        settings.REST_FRAMEWORK = {"UNAUTHENTICATED_USER": path}

        assert get().json() == []
        assert ask(course).status_code == 406


class TestReading:
    @pytest.mark.rule("V1-GET-03", "V1-LIST-05", "V1-LIST-13")
    def test_returns_enrollments_of_any_user(self, ada, bea, course):
        put(ada, course)
        path = f"enrollment/{username('ada')},{course_id_of(course)}"

        listed = get(user=username("ada")).json()

        for requester in (None, bea):
            assert get(path, requester).json()["user"] == username("ada")
        assert [one["user"] for one in listed] == [username("ada")]
        assert get().json() == get(user="").json() == get(user="fake").json() == []

    @pytest.mark.rule("V1-GET-05", "V1-GET-12")
    def test_returns_nothing_for_no_user(self, course):
        for name in ("", "nobody,"):
            response = get(f"enrollment/{name}{course_id_of(course)}")

            assert (response.status_code, response.content) == (200, b"")

    @pytest.mark.rule("V1-ROLE-02")
    def test_returns_no_roles_of_others(self, ada):
        response = get("roles/", ada, user=username("bea"))

        assert response.json() == {"roles": [], "is_staff": False}

    @pytest.mark.rule("V1-AUTH-04", "V1-AUTH-05", "V1-AUTH-07")
    @pytest.mark.parametrize("path", ["enrollments", "enrollment_allowed/"])
    def test_does_not_open_the_views_for_staff(self, ada, path):
        body = {"username": username("ada")}

        assert get(path).status_code == 401
        assert get(path, ada).status_code == 403
        for requester, code in ((None, 401), (ada, 403)):
            client = client_of(requester, headers={HEADER: KEY})
            assert client.post(f"{ROOT}unenroll/", body).status_code == code

    def test_does_not_open_the_eligibility_of_users(self, ada, course):
        path = f"course/{course_id_of(course)}/eligibility"

        assert (get(path).status_code, get(path, ada).status_code) == (401, 200)


class TestPosting:
    @pytest.mark.rule("V1-POST-09", "V1-POST-18")
    def test_enrolls_any_user_in_any_mode(self, ada, course):
        response = ask(course, email="ada@example.org", mode="verified")

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", True)

    @pytest.mark.rule("V1-POST-13", "V1-POST-14")
    def test_of_no_user_is_a_406(self, ada, course):
        with nothing_written():
            assert_refused(ask(course), 406, "The user  does not exist.")
            fake = ask(course, user="fake")
            assert_refused(fake, 406, "The user fake does not exist.")
            without_key = ask(course, by=ada, key="wrong", user="fake")
            assert without_key.status_code == 404

    @pytest.mark.rule("V1-ENR-02")
    def test_lets_learners_change_modes_and_leave(self, ada, course):
        put(ada, course)

        states = [
            (response["mode"], response["is_active"])
            for fields in ({"mode": "verified"}, {"is_active": False})
            for response in [ask(course, by=ada, **fields).json()]
        ]

        assert states == [("verified", True), ("verified", False)]

    @pytest.mark.rule("V1-ENR-18")
    @pytest.mark.parametrize("has_login", [False, True])
    def test_changes_to_expired_modes_by_the_key_alone(
        self, ada, boss, course, has_login
    ):
        put(ada, course)
        fields = {"user": username("ada"), "mode": "credit"}

        without = ask(course, by=boss, key="wrong", **fields)
        changed = ask(course, by=boss if has_login else None, **fields)

        assert without.status_code == 400
        assert "[credit] course mode is expired" in without.json()["message"]
        assert changed.status_code == 200
        assert state_of(ada, course) == ("credit", True)

    @pytest.mark.rule("V1-ENR-24")
    @pytest.mark.parametrize("is_active", [None, True])
    def test_does_not_enroll_in_expired_modes(self, ada, course, is_active):
        fields = {"user": username("ada"), "mode": "credit", "is_active": is_active}

        with nothing_written():
            response = ask(course, **fields)

        assert response.status_code == 400
        assert "[credit] course mode is expired" in response.json()["message"]

    @pytest.mark.rule("V1-ENR-27", "V1-FORCE-02")
    def test_needs_access_of_the_learner_and_staff_to_force(self, ada, bea, boss):
        course = make_course(invitation_only=True)
        fields = {"user": username("ada"), "force_enrollment": True}

        with nothing_written():
            refused = [ask(course, user=username("ada")), ask(course, **fields)]
            refused.append(ask(course, by=bea, **fields))

        for response in refused:
            assert response.status_code == 400
            assert "An error occurred while creating" in response.json()["message"]
        assert ask(course, by=boss, **fields).status_code == 200

    def test_is_in_the_history_without_an_actor(self, ada, course):
        ask(course, user=username("ada"))

        event = EnrollmentEvent.objects.get()
        assert (event.actor_id, event.source) == (None, "rest")


class TestLog:
    @pytest.mark.rule("V1-AUTH-20")
    def test_has_path_and_address_of_each_use(self, ada, caplog):
        with caplog.at_level(logging.INFO, AUDIT):
            get(user="fake")
            get(key="wrong")
            get(by=ada, key="wrong")

        lines = [
            (record.levelname, record.getMessage())
            for record in caplog.records
            if record.name == AUDIT
        ]
        assert lines == [
            (
                "INFO",
                'ApiKeyHeaderPermission used: ip="127.0.0.1", '
                'path="/api/enrollment/v1/enrollment"',
            )
        ]

    @pytest.mark.rule("V1-AUTH-20")
    def test_has_one_line_whatever_the_path(self, rf, caplog):
        request = rf.get('/a"b%0Ac', headers={HEADER: KEY})

        with caplog.at_level(logging.INFO, AUDIT):
            ApiKeyPermissionMixIn().has_api_key_permissions(request)

        assert caplog.messages == [
            'ApiKeyHeaderPermission used: ip="127.0.0.1", path="/a\\"b\\nc"'
        ]

    def test_has_no_key(self, ada, course, caplog):
        with caplog.at_level(logging.DEBUG):
            ask(course, user=username("ada"))
            ask(course, key="nearly-a-secret")
            get()

        assert KEY not in caplog.text
        assert "nearly-a-secret" not in caplog.text
