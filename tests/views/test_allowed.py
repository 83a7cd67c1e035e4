"""GET, POST and DELETE enrollment_allowed/ over HTTP (rules V1-CEA)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse

from django_enrollments.models import CourseEnrollmentAllowed
from django_enrollments.permissions import CREATE_ENROLLMENT, VIEW_ENROLLMENT_DATA
from django_enrollments.views import EnrollmentAllowedView
from tests.factories import course_id_of, is_default_host, make_course, make_user
from tests.http import ROOT, ask, client_of, get, headers_of, list_statements
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

PATH = f"{ROOT}enrollment_allowed/"
EMAIL = "ada@example.org"
COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
GOOD = {"email": EMAIL, "course_id": COURSE_ID}
REQUIRED = {
    "message": "Please provide a value for 'email' and 'course_id' in the request data."
}


@pytest.fixture
def boss() -> Any:
    return make_user("boss", is_staff=True)


def send(user: Any, method: str, body: Any, **extra: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra.setdefault("content_type", "application/json")
    return client_of(user).generic(method, PATH, data, **extra)


def invite(email: str = EMAIL, course_id: str = COURSE_ID, **fields: Any) -> Any:
    return CourseEnrollmentAllowed.objects.create(
        email=email, course_id=course_id, **fields
    )


class TestUrl:
    @pytest.mark.rule("V1-URL-08")
    def test_is_reversed_by_its_name(self) -> None:
        path = reverse("django_enrollments:courseenrollmentallowed")

        assert path == PATH
        assert resolve(path).func.cls is EnrollmentAllowedView

    @pytest.mark.rule("V1-URL-13")
    def test_nothing_is_changed_without_the_slash(self, boss: Any) -> None:
        with nothing_written():
            response = client_of(boss).delete(PATH.rstrip("/"))

        assert response.status_code in {301, 404}

    @pytest.mark.rule("V1-URL-14")
    @pytest.mark.parametrize("method", ["put", "patch"])
    def test_other_methods_are_not_allowed(self, boss: Any, method: str) -> None:
        response = getattr(client_of(boss), method)(PATH)

        assert response.status_code == 405
        assert response.json() == {"detail": f'Method "{method.upper()}" not allowed.'}


class GrantingBackend:
    """Lets everybody read others, and nobody act for them."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        if perm == CREATE_ENROLLMENT:
            raise PermissionDenied("Not here.")
        return perm == VIEW_ENROLLMENT_DATA


class TestWhoMay:
    @pytest.mark.rule("V1-CEA-01", "V1-AUTH-05")
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    @pytest.mark.parametrize("fields", [{}, {"is_superuser": True}])
    def test_only_global_staff(self, method: str, fields: dict[str, bool]) -> None:
        invite("bea@example.org")
        learner = make_user("ada", **fields)

        with nothing_written():
            refused = send(learner, method, GOOD)
            unknown = send(None, method, GOOD)

        assert refused.status_code == 403
        assert refused.json() == {
            "detail": "You do not have permission to perform this action."
        }
        assert unknown.status_code == 401
        assert unknown["WWW-Authenticate"]

    @pytest.mark.rule("V1-CEA-01")
    def test_a_learner_learns_of_no_invitation(self) -> None:
        invite("bea@example.org")
        client = client_of(make_user("ada"))

        answers = {
            (response.status_code, response.content, *headers_of(response).items())
            for email in ("bea@example.org", "no-one@example.org", EMAIL)
            for response in (
                client.get(PATH, {"email": email}),
                client.delete(
                    PATH, json.dumps(GOOD | {"email": email}), "application/json"
                ),
            )
        }

        # Allow and Vary are the same for both methods too.
        assert len(answers) == 1

    def test_is_what_the_backends_say(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.GrantingBackend"]
        ada = make_user("ada")

        codes = [
            send(ada, method, GOOD).status_code for method in ("GET", "POST", "DELETE")
        ]

        assert codes == [200, 403, 403]

    @pytest.mark.rule("V1-AUTH-14")
    def test_a_change_needs_the_csrf_token(self, boss: Any) -> None:
        client = client_of(boss, enforce_csrf_checks=True)
        invite()

        with nothing_written():
            codes = [
                client.generic(method, PATH, json.dumps(GOOD), "application/json")
                for method in ("POST", "DELETE")
            ]

        assert [response.status_code for response in codes] == [403, 403]


class TestList:
    @pytest.mark.rule("V1-CEA-02", "V1-SER-21")
    def test_those_of_an_address(self, boss: Any) -> None:
        invite(auto_enroll=True)
        invite(course_id="django-101")
        invite("bea@example.org")

        response = get(boss, "enrollment_allowed/", email=EMAIL)

        assert response.status_code == 200
        first, second = response.json()
        assert list(first) == ["email", "course_id", "auto_enroll", "created", "user"]
        assert first["created"].endswith("Z")
        assert (first["email"], first["course_id"]) == (EMAIL, COURSE_ID)
        assert (first["auto_enroll"], first["user"]) == (True, None)
        assert (second["course_id"], second["auto_enroll"]) == ("django-101", False)

    @pytest.mark.rule("V1-CEA-11")
    def test_case_does_not_count(self, boss: Any) -> None:
        invite("Ada@Example.org")

        for email in (EMAIL, "ADA@EXAMPLE.ORG", f" {EMAIL} "):
            (found,) = get(boss, "enrollment_allowed/", email=email).json()
            assert found["email"] == EMAIL

    @pytest.mark.rule("V1-CEA-02")
    @pytest.mark.parametrize(
        "email",
        [
            "no-one@example.org",
            "ada@example.or",
            "%",
            "ada",
            "*@*",
            "@",
            "a@\x00",
            "á@x",
            "ada@example.org,bea@example.org",
            "x" * 5_000 + "@example.org",
        ],
    )
    def test_of_nobody_is_empty(self, boss: Any, email: str) -> None:
        invite()
        invite("a@x")

        response = get(boss, "enrollment_allowed/", email=email)

        assert (response.status_code, response.content) == (200, b"[]")

    @pytest.mark.rule("V1-CEA-03")
    def test_without_an_address_the_requesters_own(self) -> None:
        boss = make_user("boss", is_staff=True, email="Boss@Example.org")
        invite("boss@example.org")
        invite()

        for query in ({}, {"email": ""}):
            (found,) = get(boss, "enrollment_allowed/", **query).json()
            assert found["email"] == "boss@example.org"

    @pytest.mark.rule("V1-CEA-03")
    @pytest.mark.skipif(
        not is_default_host(), reason="Who logs in by e-mail there has an address."
    )
    def test_a_requester_without_an_address_has_none(self) -> None:
        invite()

        response = get(make_user("boss", is_staff=True, email=""), PATH[len(ROOT) :])

        assert response.json() == []

    @pytest.mark.rule("V1-CEA-13")
    def test_a_used_one_names_the_user(self, boss: Any) -> None:
        ada = make_user("ada")
        ask(ada, make_course(COURSE_ID))
        course = make_course("by-invitation", invitation_only=True)
        invite(course_id=course_id_of(course))
        ask(ada, course)

        (found,) = get(boss, "enrollment_allowed/", email=EMAIL).json()

        assert found["user"] == (ada.pk if is_default_host() else str(ada.pk))

    @pytest.mark.parametrize("count", [1, 50])
    def test_costs_one_statement_beside_session_and_user(
        self, boss: Any, count: int
    ) -> None:
        for number in range(count):
            invite(course_id=f"course-{number}", user=boss)
        client = client_of(boss)

        with CaptureQueriesContext(connection) as captured:
            response = client.get(PATH, {"email": EMAIL})

        assert len(response.json()) == count
        assert len(captured) == 3


class TestCreate:
    @pytest.mark.rule("V1-CEA-04")
    def test_is_created_with_defaults(self, boss: Any) -> None:
        response = send(boss, "POST", GOOD)

        assert response.status_code == 201
        assert list(response.json()) == [
            "email",
            "course_id",
            "auto_enroll",
            "created",
            "user",
        ]
        assert response.json()["auto_enroll"] is False
        assert response.json()["user"] is None
        (stored,) = CourseEnrollmentAllowed.objects.all()
        assert (stored.email, stored.course_id) == (EMAIL, COURSE_ID)

    @pytest.mark.rule("V1-CEA-04")
    def test_is_what_is_listed_then(self, boss: Any) -> None:
        created = send(boss, "POST", GOOD | {"auto_enroll": True}).json()

        assert created["auto_enroll"] is True
        assert get(boss, "enrollment_allowed/", email=EMAIL).json() == [created]

    def test_lets_the_invited_learner_in(self, boss: Any) -> None:
        course, ada = make_course(COURSE_ID, invitation_only=True), make_user("ada")
        before = ask(ada, course).status_code

        send(boss, "POST", GOOD | {"email": "ADA@example.org"})

        assert before == 400
        assert ask(ada, course).status_code == 200

    @pytest.mark.rule("V1-CEA-06", "B-22")
    def test_a_second_one_is_a_409_and_the_first_stays(self, boss: Any) -> None:
        send(boss, "POST", GOOD)

        with nothing_written():
            again = send(boss, "POST", GOOD | {"auto_enroll": True})
            in_capitals = send(boss, "POST", GOOD | {"email": "ADA@example.org"})

        assert again.status_code == in_capitals.status_code == 409
        assert again.json() == {
            "message": f"An enrollment allowed with email {EMAIL} and course "
            f"{COURSE_ID} already exists."
        }

    @pytest.mark.rule("V1-CEA-09")
    @pytest.mark.parametrize("auto_enroll", ["", "false", "true", "True", "1", "on"])
    def test_a_form_will_do(self, boss: Any, auto_enroll: str) -> None:
        response = send(
            boss,
            "POST",
            urlencode(GOOD | {"auto_enroll": auto_enroll}).encode(),
            content_type="application/x-www-form-urlencoded",
        )

        assert response.status_code == 201
        assert response.json()["auto_enroll"] is (auto_enroll not in {"", "false"})

    @pytest.mark.rule("V1-CEA-09")
    def test_a_form_with_parts_will_do(self, boss: Any) -> None:
        assert client_of(boss).post(PATH, GOOD).status_code == 201

    @pytest.mark.rule("V1-CEA-10")
    @pytest.mark.parametrize("auto_enroll", [None, True, False])
    def test_null_is_no_flag(self, boss: Any, auto_enroll: bool | None) -> None:
        response = send(boss, "POST", GOOD | {"auto_enroll": auto_enroll})

        assert response.json()["auto_enroll"] is bool(auto_enroll)

    def test_costs_one_statement_and_a_savepoint(self, boss: Any) -> None:
        client = client_of(boss)

        with CaptureQueriesContext(connection) as captured:
            client.post(PATH, GOOD, content_type="application/json")

        assert len(list_statements(captured)) == 3


class TestDelete:
    @pytest.mark.rule("V1-CEA-07", "B-22")
    def test_is_gone(self, boss: Any) -> None:
        invite()
        invite("bea@example.org")

        response = send(boss, "DELETE", GOOD)

        assert (response.status_code, response.content) == (204, b"")
        (left,) = CourseEnrollmentAllowed.objects.all()
        assert left.email == "bea@example.org"

    @pytest.mark.rule("V1-CEA-08")
    def test_what_is_not_there_is_a_404(self, boss: Any) -> None:
        invite()
        send(boss, "DELETE", GOOD)

        response = send(boss, "DELETE", GOOD)

        assert response.status_code == 404
        assert response.json() == {
            "message": f"An enrollment allowed with email {EMAIL} and course "
            f"{COURSE_ID} doesn't exists."
        }

    @pytest.mark.rule("V1-CEA-11")
    def test_case_of_the_address_does_not_count_that_of_the_course_does(
        self, boss: Any
    ) -> None:
        invite()

        other = send(boss, "DELETE", GOOD | {"course_id": COURSE_ID.upper()})
        same = send(boss, "DELETE", GOOD | {"email": "ADA@Example.org"})

        assert (other.status_code, same.status_code) == (404, 204)

    @pytest.mark.rule("V1-CEA-13")
    def test_a_used_one_too(self, boss: Any) -> None:
        invite(user=boss)

        assert send(boss, "DELETE", GOOD).status_code == 204

    @pytest.mark.rule("V1-CEA-09")
    def test_a_form_will_do(self, boss: Any) -> None:
        invite()
        form = "application/x-www-form-urlencoded"

        response = send(boss, "DELETE", urlencode(GOOD).encode(), content_type=form)

        assert response.status_code == 204


#: Values of one key that are as good as none.
NOTHING = [None, "", False, 0, [], {}]

WRONG: dict[str, dict[str, Any]] = {
    "address without @": {"email": "ada"},
    "address of @": {"email": "@"},
    "address without name": {"email": "@example.org"},
    "address without host": {"email": "ada@ "},
    "address blank": {"email": " "},
    "address with NUL": {"email": "ada@\x00"},
    "address with surrogate": {"email": "ada@\ud800"},
    "address too long": {"email": "x" * 250 + "@example.org"},
    "address that grows in NFC": {"email": "\u0958" * 150 + "@example.org"},
    "address very long": {"email": "x" * 1_000_000 + "@example.org"},
    "address number": {"email": 7},
    "address true": {"email": True},
    "address list": {"email": [EMAIL]},
    "address object": {"email": {"email": EMAIL}},
    "course blank": {"course_id": " "},
    "course with space": {"course_id": "a b"},
    "course with comma": {"course_id": "a,b"},
    "course with NUL": {"course_id": "a\x00"},
    "course with surrogate": {"course_id": "a\udfff"},
    "course with slash": {"course_id": "a/"},
    "course too long": {"course_id": "x" * 256},
    "course number": {"course_id": 101},
    "course true": {"course_id": True},
    "course list": {"course_id": [COURSE_ID]},
    "course object": {"course_id": {"id": COURSE_ID}},
    "course format": {"course_id": "{0.__class__} %s"},
}
WRONG_FLAGS = ["true", "", 0, 1, 0.5, [], {}, [True]]
NO_OBJECTS = [b"null", b"[]", b"7", b'"text"', b"{}", b"", b"[{}]", b"true"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
class TestWrongInput:
    @pytest.mark.rule("V1-CEA-05")
    @pytest.mark.parametrize("key", ["email", "course_id"])
    @pytest.mark.parametrize("value", NOTHING)
    def test_nothing_is_missing(
        self, boss: Any, method: str, key: str, value: Any
    ) -> None:
        invite()

        with nothing_written():
            empty = send(boss, method, GOOD | {key: value})
            absent = send(boss, method, {k: v for k, v in GOOD.items() if k != key})

        assert empty.status_code == absent.status_code == 400
        assert empty.json() == absent.json() == REQUIRED

    @pytest.mark.rule("V1-CEA-05")
    @pytest.mark.parametrize("body", NO_OBJECTS)
    def test_no_object_is_missing_everything(
        self, boss: Any, method: str, body: bytes
    ) -> None:
        invite()

        with nothing_written():
            response = send(boss, method, body)

        assert response.status_code == 400
        assert response.json() == REQUIRED

    @pytest.mark.rule("V1-CEA-10")
    @pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
    def test_what_can_be_none_is_a_400_with_a_message(
        self, boss: Any, method: str, fields: dict[str, Any]
    ) -> None:
        invite()

        with nothing_written():
            response = send(boss, method, GOOD | fields)

        assert response.status_code == 400
        assert list(response.json()) == ["message"]

    @pytest.mark.rule("V1-CEA-10")
    def test_texts(self, boss: Any, method: str) -> None:
        course = send(boss, method, GOOD | {"course_id": "a b"})
        address = send(boss, method, GOOD | {"email": "ada"})

        assert course.json() == {"message": "No course 'a b' found for enrollment"}
        assert address.json() == {"message": "'ada' is not a valid email address."}

    @pytest.mark.rule("V1-ERR-06")
    @pytest.mark.parametrize(
        "body", [b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b"\x00"]
    )
    def test_no_json(self, boss: Any, method: str, body: bytes) -> None:
        response = send(boss, method, body)

        assert response.status_code == 400
        assert response.json()["detail"].startswith("JSON parse error - ")


@pytest.mark.rule("V1-CEA-10")
@pytest.mark.parametrize("flag", WRONG_FLAGS)
def test_a_flag_that_is_no_boolean(boss: Any, flag: Any) -> None:
    with nothing_written():
        response = send(boss, "POST", GOOD | {"auto_enroll": flag})

    assert response.status_code == 400
    assert response.json() == {"message": f"'{flag}' is an invalid auto enroll status."}


@pytest.mark.rule("V1-CEA-10")
def test_a_flag_that_is_none_in_a_form_either(boss: Any) -> None:
    response = client_of(boss).post(PATH, GOOD | {"auto_enroll": "perhaps"})

    assert response.status_code == 400
