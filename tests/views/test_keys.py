"""Programs that act by an API key (rules V1-AUTH-06…10 and 20, B-01, AUD)."""

from __future__ import annotations

import logging
from itertools import product
from typing import Any

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
    make_user,
    username,
)
from tests.http import ENROLLMENT, ROOT, client_of, post, put, wish
from tests.watching import nothing_written, state_of

pytestmark = pytest.mark.django_db

KEY = "a-long-secret"
AUDIT = "django_enrollments.views.audit"
BOTH = (True, False)


@pytest.fixture(autouse=True)
def _key(settings: Any) -> None:
    settings.ENROLLMENTS_API_KEYS = [KEY]


@pytest.fixture
def ada() -> Any:
    return make_user("ada")


@pytest.fixture
def course() -> Any:
    """A course that offers audit, honor and verified, and once offered credit."""
    course = make_course()
    make_modes(course, "audit", "honor", "verified")
    make_mode(course, "credit", expiration_datetime=NOON - DAY * 3_650)
    return course


def get(path: str = "enrollment", by: Any = None, key: str = KEY, **query: str) -> Any:
    headers = {"X-Edx-Api-Key": key}
    return client_of(by).get(f"{ROOT}{path}", query, headers=headers)


def ask(course: Any, by: Any = None, key: str = KEY, **fields: Any) -> Any:
    return post(by, wish(course, **fields), headers={"X-Edx-Api-Key": key})


def unavailable(mode: str, course: Any) -> str:
    return (
        f"The [{mode}] course mode is expired or otherwise unavailable for course "
        f"run [{course_id_of(course)}]."
    )


def is_valid(request: Any) -> bool:
    return has_valid_api_key(request.headers)


class TestHasValidApiKey:
    @pytest.mark.rule("V1-AUTH-08")
    @pytest.mark.parametrize("given", ["one", "two"])
    def test_several_are_valid_for_rotation(
        self, rf: Any, settings: Any, given: str
    ) -> None:
        settings.ENROLLMENTS_API_KEYS = ["one", "two"]

        assert is_valid(rf.get("/", headers={"X-Edx-Api-Key": given}))

    @pytest.mark.rule("V1-AUTH-10")
    @pytest.mark.parametrize(
        "given", ["", " ", "on", "onee", "ONE", "one,two", "one two", "\udcff", "é"]
    )
    def test_no_other_text_is(self, rf: Any, settings: Any, given: str) -> None:
        settings.ENROLLMENTS_API_KEYS = ["one", "two"]

        assert not is_valid(rf.get("/", HTTP_X_EDX_API_KEY=given))

    @pytest.mark.rule("B-01")
    @pytest.mark.parametrize("keys", [[], [""], [" "], ["\t\n"], ["", " "]])
    @pytest.mark.parametrize("given", [None, "", " ", "\t\n"])
    def test_a_blank_one_never_matches(
        self, rf: Any, settings: Any, keys: list[str], given: str | None
    ) -> None:
        settings.ENROLLMENTS_API_KEYS = keys
        sent = {} if given is None else {"HTTP_X_EDX_API_KEY": given}

        assert not is_valid(rf.get("/", **sent))

    @pytest.mark.parametrize("keys", ["secret", ("s", 7), {"secret": 1}, None])
    def test_a_setting_of_the_wrong_type_is_worthless(
        self, rf: Any, settings: Any, keys: Any
    ) -> None:
        settings.ENROLLMENTS_API_KEYS = keys

        for given in ("secret", "s", "7", "None"):
            assert not is_valid(rf.get("/", headers={"X-Edx-Api-Key": given}))

    def test_header_is_named_by_the_setting_as_it_is_now(
        self, rf: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_API_KEY_HEADER = "X-School-Key"

        assert is_valid(rf.get("/", headers={"X-School-Key": KEY}))
        assert not is_valid(rf.get("/", headers={"X-Edx-Api-Key": KEY}))


class TestPermission:
    @pytest.mark.rule("NAM-02")
    @pytest.mark.parametrize(
        "view", [EnrollmentListView, EnrollmentView, EnrollmentUserRolesView]
    )
    def test_views_tell_who_has_a_key(self, rf: Any, view: type) -> None:
        assert issubclass(view, ApiKeyPermissionMixIn)
        with_key = rf.get("/", headers={"X-Edx-Api-Key": KEY})

        assert view().has_api_key_permissions(with_key) is True
        assert view().has_api_key_permissions(rf.get("/")) is False

    @pytest.mark.rule("V1-AUTH-06")
    def test_a_key_or_a_login_is_needed(self, ada: Any) -> None:
        assert get().status_code == 200
        assert get(by=ada, key="wrong").status_code == 200
        assert get(by=ada).status_code == 200

    @pytest.mark.rule("V1-AUTH-10", "V1-AUTH-11")
    def test_a_wrong_key_is_as_good_as_none(self, course: Any) -> None:
        with nothing_written():
            answers = [get(key="wrong"), ask(course, key="wrong")]

        for answer in answers:
            assert answer.status_code == 401
            assert answer["WWW-Authenticate"] == 'JWT realm="api"'

    @pytest.mark.rule("V1-AUTH-14")
    def test_a_session_needs_its_token_all_the_same(
        self, ada: Any, course: Any
    ) -> None:
        client = client_of(ada, enforce_csrf_checks=True)

        response = client.post(
            ENROLLMENT,
            wish(course),
            content_type="application/json",
            headers={"X-Edx-Api-Key": KEY},
        )

        assert response.status_code == 403

    @pytest.mark.rule("V1-AUTH-09")
    @pytest.mark.parametrize(
        "nobody", [None, "django.contrib.auth.models.AnonymousUser"]
    )
    def test_nobody_is_nobody_in_any_host(
        self, settings: Any, course: Any, nobody: Any
    ) -> None:
        settings.REST_FRAMEWORK = {"UNAUTHENTICATED_USER": nobody}

        assert get().json() == []
        assert ask(course).status_code == 406


class TestReading:
    @pytest.mark.rule("V1-GET-03")
    def test_anybody_is_shown(self, ada: Any, course: Any) -> None:
        put(ada, course)
        path = f"enrollment/{username('ada')},{course_id_of(course)}"

        for requester in (None, make_user("bea")):
            assert get(path, requester).json()["user"] == username("ada")

    @pytest.mark.rule("V1-GET-05", "V1-GET-12")
    def test_nothing_is_told_of_who_is_not_there(self, course: Any) -> None:
        course_id = course_id_of(course)

        for path in (f"enrollment/{course_id}", f"enrollment/nobody,{course_id}"):
            response = get(path)

            assert (response.status_code, response.content) == (200, b"")

    @pytest.mark.rule("V1-LIST-05", "V1-LIST-13")
    def test_all_of_anybody_are_listed(self, ada: Any, course: Any) -> None:
        put(ada, course)

        listed = get(user=username("ada")).json()

        assert [one["user"] for one in listed] == [username("ada")]
        assert get().json() == get(user="").json() == get(user="fake").json() == []

    @pytest.mark.rule("V1-ROLE-08")
    def test_nobody_has_no_roles_to_tell(self) -> None:
        response = get("roles/")

        assert response.status_code == 400
        assert response.json() == {
            "message": "An error occurred while retrieving roles for user '"
        }

    @pytest.mark.rule("V1-ROLE-02")
    def test_a_key_opens_nobody_elses(self, ada: Any) -> None:
        for name in ("ada", "bea"):
            response = get("roles/", ada, user=username(name))

            assert response.json() == {"roles": [], "is_staff": False}

    @pytest.mark.rule("V1-AUTH-05", "V1-AUTH-07")
    @pytest.mark.parametrize("path", ["enrollments", "enrollment_allowed/"])
    def test_what_is_for_staff_alone_stays_shut(self, ada: Any, path: str) -> None:
        assert get(path).status_code == 401
        assert get(path, ada).status_code == 403

    @pytest.mark.rule("V1-AUTH-04")
    def test_nobody_is_retired_by_key(self, ada: Any) -> None:
        headers = {"X-Edx-Api-Key": KEY}
        path = f"{ROOT}unenroll/"
        body = {"username": username("ada")}

        codes = [
            client_of(by).post(path, body, headers=headers).status_code
            for by in (None, ada)
        ]

        assert codes == [401, 403]

    def test_eligibility_is_told_to_who_is_logged_in(
        self, ada: Any, course: Any
    ) -> None:
        path = f"course/{course_id_of(course)}/eligibility"

        assert get(path).status_code == 401
        assert get(path, ada).status_code == 200


class TestPosting:
    @pytest.mark.rule("V1-POST-09", "V1-POST-18")
    def test_anybody_is_enrolled_in_any_mode(self, ada: Any, course: Any) -> None:
        response = ask(course, email="ada@example.org", mode="verified")

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", True)

    @pytest.mark.rule("V1-POST-13")
    def test_nobody_is_named(self, course: Any) -> None:
        with nothing_written():
            response = ask(course)

        assert response.status_code == 406
        assert response.json() == {"message": "The user  does not exist."}

    @pytest.mark.rule("V1-POST-14")
    def test_a_fake_user_is_told(self, ada: Any, course: Any) -> None:
        with_key = ask(course, user="fake")
        without = ask(course, by=ada, key="wrong", user="fake")

        assert with_key.status_code == 406
        assert with_key.json() == {"message": "The user fake does not exist."}
        assert without.status_code == 404

    @pytest.mark.rule("V1-ENR-02")
    def test_a_learner_with_a_key_changes_modes_and_leaves(
        self, ada: Any, course: Any
    ) -> None:
        put(ada, course)

        changed = ask(course, by=ada, mode="verified")
        left = ask(course, by=ada, is_active=False)

        assert (changed.json()["mode"], changed.json()["is_active"]) == (
            "verified",
            True,
        )
        assert (left.json()["mode"], left.json()["is_active"]) == ("verified", False)

    @pytest.mark.rule("V1-ENR-10", "V1-ENR-12", "V1-ENR-13", "V1-ENR-14", "V1-ENR-15")
    @pytest.mark.parametrize(
        ("old", "new", "was", "becomes"),
        list(product(["honor", "verified"], ["honor", "verified"], BOTH, BOTH)),
    )
    def test_whatever_was_and_is_asked_for(
        self, ada: Any, course: Any, old: str, new: str, was: bool, becomes: bool
    ) -> None:
        put(ada, course, old, is_active=was)

        response = ask(course, user=username("ada"), mode=new, is_active=becomes)

        if old != new and was and not becomes:
            assert response.status_code == 400
            assert response.json() == {
                "message": f"Enrollment mode mismatch: active mode={old}, "
                f"requested mode={new}. Won't deactivate."
            }
            assert state_of(ada, course) == (old, was)
        else:
            assert response.status_code == 200
            assert state_of(ada, course) == (new, becomes)

    @pytest.mark.rule("V1-ENR-30")
    @pytest.mark.parametrize(
        "slugs",
        [
            (),
            ("audit", "verified"),
            ("professional",),
            ("no-id-professional",),
            ("verified", "credit"),
        ],
    )
    def test_leaves_in_whatever_mode(self, ada: Any, slugs: tuple[str, ...]) -> None:
        course = make_course()
        make_modes(course, *slugs)
        mode = slugs[-1] if slugs else "audit"
        name = username("ada")

        came = ask(course, user=name, mode=mode)
        odd = ask(course, user=name, is_active="foo")
        left = [ask(course, user=name, mode=mode, is_active=False) for _ in range(2)]

        assert [one.status_code for one in (came, odd, *left)] == [200, 400, 200, 200]
        assert state_of(ada, course) == (mode, False)

    @pytest.mark.rule("V1-ENR-18")
    def test_a_key_changes_to_expired_modes(self, ada: Any, course: Any) -> None:
        put(ada, course)

        response = ask(course, user=username("ada"), mode="credit")

        assert response.status_code == 200
        assert state_of(ada, course) == ("credit", True)

    @pytest.mark.rule("V1-ENR-18")
    def test_staff_without_a_key_do_not(self, ada: Any, course: Any) -> None:
        boss = make_user("boss", is_staff=True)
        put(ada, course)
        fields = {"user": username("ada"), "mode": "credit"}

        without = ask(course, by=boss, key="wrong", **fields)
        with_key = ask(course, by=boss, **fields)

        assert without.status_code == 400
        assert without.json()["message"] == unavailable("credit", course)
        assert with_key.status_code == 200

    @pytest.mark.rule("V1-ENR-24")
    @pytest.mark.parametrize("is_active", [None, True])
    def test_a_key_does_not_enroll_in_expired_modes(
        self, ada: Any, course: Any, is_active: bool | None
    ) -> None:
        with nothing_written():
            response = ask(
                course, user=username("ada"), mode="credit", is_active=is_active
            )

        assert response.status_code == 400
        assert response.json()["message"] == unavailable("credit", course)

    @pytest.mark.rule("V1-ENR-27")
    def test_the_learner_needs_access_all_the_same(self, ada: Any) -> None:
        course = make_course(invitation_only=True)

        with nothing_written():
            response = ask(course, user=username("ada"))

        assert response.status_code == 400
        assert "An error occurred while creating" in response.json()["message"]

    @pytest.mark.rule("V1-FORCE-02")
    def test_a_key_alone_forces_nothing(self, ada: Any) -> None:
        course = make_course(invitation_only=True)
        fields = {"user": username("ada"), "force_enrollment": True}
        boss = make_user("boss", is_staff=True)

        assert ask(course, **fields).status_code == 400
        assert ask(course, by=make_user("bea"), **fields).status_code == 400
        assert ask(course, by=boss, **fields).status_code == 200

    def test_event_names_no_actor(self, ada: Any, course: Any) -> None:
        ask(course, user=username("ada"))

        event = EnrollmentEvent.objects.get()
        assert (event.actor_id, event.source) == (None, "rest")


class TestAuditOfKeys:
    @pytest.mark.rule("V1-AUTH-20")
    def test_tells_path_and_address_once(self, caplog: Any) -> None:
        with caplog.at_level(logging.INFO, AUDIT):
            get(user="fake")

        assert caplog.messages == [
            'ApiKeyHeaderPermission used: ip="127.0.0.1", '
            'path="/api/enrollment/v1/enrollment"'
        ]
        assert [one.levelname for one in caplog.records] == ["INFO"]

    @pytest.mark.rule("V1-AUTH-20")
    def test_tells_nothing_where_none_was_granted(self, ada: Any, caplog: Any) -> None:
        with caplog.at_level(logging.INFO, AUDIT):
            get(key="wrong")
            get(by=ada, key="wrong")

        assert not [one for one in caplog.records if one.name == AUDIT]

    @pytest.mark.rule("V1-AUTH-20")
    def test_stays_one_line_whatever_the_path(self, rf: Any, caplog: Any) -> None:
        request = rf.get('/a"b%0Ac', headers={"X-Edx-Api-Key": KEY})

        with caplog.at_level(logging.INFO, AUDIT):
            ApiKeyPermissionMixIn().has_api_key_permissions(request)

        assert caplog.messages == [
            'ApiKeyHeaderPermission used: ip="127.0.0.1", path="/a\\"b\\nc"'
        ]

    def test_no_key_is_ever_logged(self, ada: Any, course: Any, caplog: Any) -> None:
        with caplog.at_level(logging.DEBUG):
            ask(course, user=username("ada"))
            ask(course, key="nearly-a-secret")
            get()

        assert KEY not in caplog.text
        assert "nearly-a-secret" not in caplog.text
