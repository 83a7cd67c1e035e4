"""GET, POST and DELETE enrollment_allowed/ over HTTP."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.core.exceptions import PermissionDenied

from django_enrollments.models import CourseEnrollmentAllowed
from django_enrollments.permissions import CREATE_ENROLLMENT, VIEW_ENROLLMENT_DATA
from tests.factories import course_id_of, is_default_host, make_course, make_user
from tests.http import ask, assert_refused, client_of, get, send
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

PATH = "enrollment_allowed/"
EMAIL = "ada@example.org"
COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
GOOD = {"email": EMAIL, "course_id": COURSE_ID}
REQUIRED = "Please provide a value for 'email' and 'course_id' in the request data."
KEYS = ["email", "course_id", "auto_enroll", "created", "user"]
FORM = "application/x-www-form-urlencoded"
both_changes = pytest.mark.parametrize("method", ["POST", "DELETE"])


def invite(email: str = EMAIL, course_id: str = COURSE_ID, **fields):
    return CourseEnrollmentAllowed.objects.create(
        email=email, course_id=course_id, **fields
    )


def listed(user, **query: str):
    response = get(user, PATH, **query)
    assert response.status_code == 200
    return response.json()


class Readers:
    """Grants all users to read others, and denies creating enrollments."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        if perm == CREATE_ENROLLMENT:
            raise PermissionDenied("Not here.")
        return perm == VIEW_ENROLLMENT_DATA


class TestAccess:
    @pytest.mark.rule("V1-CEA-01", "V1-AUTH-05")
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_is_for_global_staff(self, ada, root, method):
        invite("bea@example.org")

        with nothing_written():
            refused = [send(user, method, PATH, GOOD) for user in (ada, root)]
            anonymous = send(None, method, PATH, GOOD)

        for response in refused:
            assert response.status_code == 403
            assert response.json() == {
                "detail": "You do not have permission to perform this action."
            }
        assert anonymous.status_code == 401

    def test_depends_on_the_backends(self, ada, settings):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.Readers"]

        codes = [
            send(ada, method, PATH, GOOD).status_code
            for method in ("GET", "POST", "DELETE")
        ]

        assert codes == [200, 403, 403]


class TestList:
    @pytest.mark.rule("V1-CEA-02", "V1-SER-21")
    def test_has_the_invitations_of_an_address(self, boss):
        invite(auto_enroll=True)
        invite(course_id="django-101")
        invite("bea@example.org")

        first, second = listed(boss, email=EMAIL)

        assert list(first) == KEYS
        assert first["created"].endswith("Z")
        assert (first["email"], first["course_id"]) == (EMAIL, COURSE_ID)
        assert (first["auto_enroll"], first["user"]) == (True, None)
        assert (second["course_id"], second["auto_enroll"]) == ("django-101", False)

    @pytest.mark.rule("V1-CEA-11")
    def test_finds_an_address_in_any_case(self, boss):
        invite("Ada@Example.org")

        for email in (EMAIL, "ADA@EXAMPLE.ORG", f" {EMAIL} "):
            (found,) = listed(boss, email=email)
            assert found["email"] == EMAIL

    @pytest.mark.rule("V1-CEA-02")
    @pytest.mark.parametrize(
        "email",
        [
            *("no-one@example.org", "ada@example.or", "%", "ada", "*@*", "@", "a@\x00"),
            *("á@x", f"{EMAIL},bea@example.org", "x" * 5_000 + "@example.org"),
        ],
    )
    def test_is_empty_for_other_addresses(self, boss, email):
        invite()
        invite("a@x")

        assert listed(boss, email=email) == []

    @pytest.mark.rule("V1-CEA-03")
    def test_has_those_of_the_requester_by_default(self):
        boss = make_user("boss", is_staff=True, email="Boss@Example.org")
        invite("boss@example.org")
        invite()

        for query in ({}, {"email": ""}):
            (found,) = listed(boss, **query)
            assert found["email"] == "boss@example.org"

    @pytest.mark.rule("V1-CEA-03")
    @pytest.mark.skipif(not is_default_host(), reason="All have addresses there.")
    def test_is_empty_for_a_requester_without_an_address(self):
        invite()

        assert listed(make_user("boss", is_staff=True, email="")) == []

    @pytest.mark.rule("V1-CEA-13")
    def test_has_the_user_of_a_used_invitation(self, ada, boss):
        course = make_course("by-invitation", invitation_only=True)
        invite(course_id=course_id_of(course))
        ask(ada, course)

        (found,) = listed(boss, email=EMAIL)

        assert found["user"] == (ada.pk if is_default_host() else str(ada.pk))


class TestCreate:
    @pytest.mark.rule("V1-CEA-04")
    def test_returns_the_invitation(self, boss):
        response = send(boss, "POST", PATH, GOOD)

        assert response.status_code == 201
        assert list(response.json()) == KEYS
        assert response.json()["auto_enroll"] is False
        assert response.json()["user"] is None
        assert listed(boss, email=EMAIL) == [response.json()]
        stored = CourseEnrollmentAllowed.objects.get()
        assert (stored.email, stored.course_id) == (EMAIL, COURSE_ID)

    def test_lets_the_learner_enroll(self, ada, boss):
        course = make_course(COURSE_ID, invitation_only=True)
        before = ask(ada, course).status_code

        send(boss, "POST", PATH, GOOD | {"email": "ADA@example.org"})

        assert (before, ask(ada, course).status_code) == (400, 200)

    @pytest.mark.rule("V1-CEA-06", "B-22")
    def test_twice_is_a_409_and_changes_nothing(self, boss):
        send(boss, "POST", PATH, GOOD)

        with nothing_written():
            again = send(boss, "POST", PATH, GOOD | {"auto_enroll": True})
            in_capitals = send(boss, "POST", PATH, GOOD | {"email": EMAIL.upper()})

        text = f"An enrollment allowed with email {EMAIL} and course "
        assert_refused(again, 409, f"{text}{COURSE_ID} already exists.")
        assert in_capitals.status_code == 409

    @pytest.mark.rule("V1-CEA-09", "V1-CEA-10")
    @pytest.mark.parametrize(
        ("flag", "expected"),
        [
            *((one, True) for one in ("true", "True", "1", "on")),
            *((one, False) for one in ("", "false")),
        ],
    )
    def test_accepts_forms(self, boss, flag, expected):
        body = GOOD | {"auto_enroll": flag}

        response = send(boss, "POST", PATH, urlencode(body).encode(), content_type=FORM)
        CourseEnrollmentAllowed.objects.all().delete()
        parts = client_of(boss).post(f"/api/enrollment/v1/{PATH}", body)

        for one in (response, parts):
            assert one.status_code == 201
            assert one.json()["auto_enroll"] is expected

    @pytest.mark.rule("V1-CEA-10")
    @pytest.mark.parametrize("flag", [None, True, False])
    def test_accepts_null_as_a_flag(self, boss, flag):
        response = send(boss, "POST", PATH, GOOD | {"auto_enroll": flag})

        assert response.json()["auto_enroll"] is bool(flag)

    @pytest.mark.rule("V1-CEA-10")
    @pytest.mark.parametrize("flag", ["true", "", 0, 1, 0.5, [], {}, [True]])
    def test_refuses_flags_that_are_not_booleans(self, boss, flag):
        with nothing_written():
            response = send(boss, "POST", PATH, GOOD | {"auto_enroll": flag})
            form = urlencode(GOOD | {"auto_enroll": "perhaps"}).encode()
            by_form = send(boss, "POST", PATH, form, content_type=FORM)

        assert_refused(response, 400, f"'{flag}' is an invalid auto enroll status.")
        assert by_form.status_code == 400


class TestDelete:
    @pytest.mark.rule("V1-CEA-07", "V1-CEA-08", "V1-CEA-13", "B-22")
    @pytest.mark.parametrize("is_used", [False, True])
    def test_deletes_the_invitation(self, boss, is_used):
        invite(user=boss if is_used else None)
        invite("bea@example.org")

        response = send(boss, "DELETE", PATH, GOOD)
        again = send(boss, "DELETE", PATH, GOOD)

        assert (response.status_code, response.content) == (204, b"")
        assert CourseEnrollmentAllowed.objects.get().email == "bea@example.org"
        text = f"An enrollment allowed with email {EMAIL} and course "
        assert_refused(again, 404, f"{text}{COURSE_ID} doesn't exists.")

    @pytest.mark.rule("V1-CEA-11")
    def test_ignores_the_case_of_the_address_and_not_of_the_course(self, boss):
        invite()

        other = send(boss, "DELETE", PATH, GOOD | {"course_id": COURSE_ID.upper()})
        same = send(boss, "DELETE", PATH, GOOD | {"email": "ADA@Example.org"})

        assert (other.status_code, same.status_code) == (404, 204)

    @pytest.mark.rule("V1-CEA-09")
    def test_accepts_forms(self, boss):
        invite()

        response = send(
            boss, "DELETE", PATH, urlencode(GOOD).encode(), content_type=FORM
        )

        assert response.status_code == 204


@both_changes
class TestWrongInput:
    @pytest.fixture(autouse=True)
    def _nothing_is_written(self, boss):
        invite()
        with nothing_written():
            yield

    @pytest.mark.rule("V1-CEA-05")
    @pytest.mark.parametrize(
        "body",
        [
            *(GOOD | {"email": one} for one in (None, "", False, 0, [], {})),
            *(GOOD | {"course_id": one} for one in (None, "", False, 0, [], {})),
            *({"email": EMAIL}, {"course_id": COURSE_ID}),
            *(b"null", b"[]", b"7", b'"text"', b"{}", b"", b"[{}]", b"true"),
        ],
    )
    def test_without_a_value_is_refused(self, boss, method, body):
        assert_refused(send(boss, method, PATH, body), 400, REQUIRED)

    @pytest.mark.rule("V1-CEA-10")
    @pytest.mark.parametrize(
        "email",
        [
            *("ada", "@", "@example.org", "ada@ ", " ", "ada@\x00", 7, True, [EMAIL]),
            *("x" * 250 + "@example.org", "x" * 1_000_000 + "@example.org"),
            # It is longer in the normal form NFC.
            *("\u0958" * 150 + "@example.org", {"email": EMAIL}),
        ],
    )
    def test_with_an_invalid_address_is_refused(self, boss, method, email):
        response = send(boss, method, PATH, GOOD | {"email": email})

        assert response.status_code == 400
        assert list(response.json()) == ["message"]
        if not isinstance(email, str) or len(email) < 100:
            assert_refused(response, 400, f"'{email}' is not a valid email address.")

    @pytest.mark.rule("V1-CEA-10")
    @pytest.mark.parametrize(
        "course_id",
        [
            *(" ", "a b", "a,b", "a\x00", "a/", "x" * 256, 101, True, [COURSE_ID]),
            *("{0.__class__} %s", {"id": COURSE_ID}),
        ],
    )
    def test_with_an_invalid_course_is_refused(self, boss, method, course_id):
        response = send(boss, method, PATH, GOOD | {"course_id": course_id})

        text = f"No course '{course_id}' found for enrollment"
        assert_refused(response, 400, text)

    @pytest.mark.rule("V1-ERR-06")
    @pytest.mark.parametrize(
        "body", [b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b"\x00"]
    )
    def test_that_is_no_json_is_refused(self, boss, method, body):
        response = send(boss, method, PATH, body)

        assert response.status_code == 400
        assert response.json()["detail"].startswith("JSON parse error - ")
