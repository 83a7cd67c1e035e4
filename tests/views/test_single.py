"""GET enrollment/… of one learner over HTTP (rules V1-URL, V1-GET)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from django.utils import timezone

from django_enrollments import api
from django_enrollments.backends.permissions import CourseRoleBackend
from django_enrollments.errors import CourseEnrollmentError, CourseNotFoundError
from django_enrollments.models import CourseAccessRole
from django_enrollments.permissions import VIEW_ENROLLMENT_DATA
from django_enrollments.views import EnrollmentView
from tests.factories import (
    HOUR,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.http import ALLOW_INACTIVE, ENROLLMENT, NOWHERE, client_of, headers_of, put

pytestmark = pytest.mark.django_db

NAME = "django_enrollments:courseenrollment"


@pytest.fixture
def course() -> Any:
    course = make_course("course-v1:edX+DemoX+Demo_Course")
    make_mode(course)
    return course


def one(asker: Any, course: Any, learner: str | None = None, /, **query: str) -> Any:
    """Ask as ``asker`` for an enrollment; the course may be an id."""
    course_id = course if isinstance(course, str) else course_id_of(course)
    names = {"course_id": course_id}
    if learner is not None:
        names["username"] = username(learner)
    return client_of(asker).get(reverse(NAME, kwargs=names), query)


def is_nothing(response: Any) -> bool:
    """Return whether an answer is a success without any body (V1-GET-05)."""
    return (
        response.status_code == 200
        and response.content == b""
        and "Content-Type" not in response
    )


class TestUrls:
    @pytest.mark.rule("V1-URL-01", "V1-URL-02")
    def test_are_reversed_by_one_name(self) -> None:
        own = reverse(NAME, kwargs={"course_id": "django-101"})
        named = reverse(NAME, kwargs={"course_id": "django-101", "username": "ada"})

        assert own == f"{ENROLLMENT}/django-101"
        assert named == f"{ENROLLMENT}/ada,django-101"
        assert resolve(own).func.cls is resolve(named).func.cls is EnrollmentView

    @pytest.mark.rule("V1-URL-09")
    @pytest.mark.parametrize("name", ["ada", "Ada_b.c+d-e", "ada l", "ада", "a@b.c"])
    def test_every_name_of_the_pattern_is_served(self, course: Any, name: str) -> None:
        path = f"{ENROLLMENT}/{name},{course_id_of(course)}"

        response = client_of(make_user("boss", is_staff=True)).get(path)

        assert is_nothing(response)

    @pytest.mark.rule("V1-URL-09")
    @pytest.mark.parametrize(
        "name", ["a/b", "a;b", "a:b", "a%00", "a%0A", "a%25", "a'", "a(b)", "", "a%FF"]
    )
    def test_any_other_name_is_a_404(self, course: Any, name: str) -> None:
        path = f"{ENROLLMENT}/{name},{course_id_of(course)}"

        response = client_of(make_user("boss", is_staff=True)).get(path)

        assert response.status_code == 404

    @pytest.mark.rule("V1-URL-09")
    def test_the_pattern_is_asked_when_the_request_comes(
        self, course: Any, settings: Any
    ) -> None:
        boss = make_user("boss", is_staff=True)
        path = f"{ENROLLMENT}/ada,{course_id_of(course)}"
        before = client_of(boss).get(path)

        settings.ENROLLMENTS_USERNAME_PATTERN = "[0-9]+"

        assert is_nothing(before)
        assert client_of(boss).get(path).status_code == 404

    @pytest.mark.rule("V1-URL-11")
    @pytest.mark.parametrize("path", ["/", "/django-101/", "/ada,django-101/", "/ada,"])
    def test_a_slash_at_the_end_is_a_404(self, path: str) -> None:
        boss = make_user("boss", is_staff=True)

        assert client_of(boss).get(f"{ENROLLMENT}{path}").status_code == 404

    @pytest.mark.rule("V1-URL-12")
    def test_the_first_comma_separates_user_and_course(self, settings: Any) -> None:
        settings.ENROLLMENTS_COURSE_ID_PATTERN = r"[\w,-]+"
        ada, boss = make_user("ada"), make_user("boss", is_staff=True)
        course = make_course("b,c")
        make_mode(course)
        put(ada, course)

        response = one(boss, course, "ada")

        assert response.json()["course_details"]["course_id"] == "b,c"

    @pytest.mark.rule("V1-URL-12")
    def test_the_route_with_a_name_is_tried_first(self, settings: Any) -> None:
        settings.ENROLLMENTS_COURSE_ID_PATTERN = r"[\w,-]+"
        ada = make_user("ada")
        put(ada, make_course("b,c"))

        # Somebody called "b" in a course called "c".
        assert one(ada, "b,c").status_code == 404

    @pytest.mark.rule("V1-URL-14")
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_other_methods_are_not_allowed(self, course: Any, method: str) -> None:
        client = client_of(make_user("ada"))
        path = reverse(NAME, kwargs={"course_id": course_id_of(course)})

        response = getattr(client, method)(path)

        assert response.status_code == 405
        assert response.json() == {"detail": f'Method "{method.upper()}" not allowed.'}


class TestOwnEnrollment:
    @pytest.mark.rule("V1-GET-01")
    def test_is_given_by_either_form(self, course: Any) -> None:
        ada = make_user("ada")
        put(ada, course)

        unnamed, named = one(ada, course), one(ada, course, "ada")

        assert unnamed.status_code == named.status_code == 200
        assert unnamed["Content-Type"] == "application/json"
        assert unnamed.json() == named.json()
        assert unnamed.json() == api.get_enrollment(
            username("ada"), course_id_of(course)
        )
        assert list(unnamed.json()) == [
            "created",
            "mode",
            "is_active",
            "course_details",
            "user",
        ]

    @pytest.mark.rule("V1-GET-05", "SEED-DIFF-17")
    def test_is_an_empty_answer_when_there_is_none(self, course: Any) -> None:
        put(make_user("bea"), course)
        ada = make_user("ada")

        assert is_nothing(one(ada, course))
        assert is_nothing(one(ada, course, "ada"))
        assert is_nothing(one(ada, NOWHERE))

    @pytest.mark.rule("V1-GET-06")
    def test_an_inactive_one_is_given(self, course: Any) -> None:
        ada = make_user("ada")
        put(ada, course, is_active=False)

        assert one(ada, course).json()["is_active"] is False

    @pytest.mark.rule("V1-GET-09", "SEED-DIFF-02")
    def test_expired_modes_are_shown_when_asked_for(self, course: Any) -> None:
        ada = make_user("ada")
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)
        put(ada, course)

        answers = [one(ada, course, include_expired=given) for given in ("", "0", "1")]

        modes = [one.json()["course_details"]["course_modes"] for one in answers]
        assert [len(one) for one in modes] == [1, 2, 2]

    @pytest.mark.rule("V1-GET-13")
    def test_is_that_of_one_learner_in_one_course(self, course: Any) -> None:
        ada, other = make_user("ada"), make_course("course-v1:edX+Other+R")
        make_modes(other, "audit", "honor")
        put(ada, course)
        put(ada, other, "honor")
        put(make_user("bea"), course)

        response = one(ada, other).json()

        assert response["user"] == username("ada")
        assert response["mode"] == "honor"
        assert response["course_details"]["course_id"] == course_id_of(other)

    @pytest.mark.rule("V1-SER-19")
    def test_of_a_deleted_course_has_no_details(self, course: Any) -> None:
        ada = make_user("ada")
        put(ada, course)
        course_id = course_id_of(course)
        course.delete()

        response = one(ada, course_id)

        if is_default_host():
            assert response.json()["course_details"] is None
        else:
            # Only the key is left of the course there, which is not its id.
            assert is_nothing(response)

    @pytest.mark.rule("V1-AUTH-13")
    def test_an_inactive_learner_sees_it(self, course: Any, settings: Any) -> None:
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE
        ada = make_user("ada", is_active=False)
        put(ada, course)

        assert one(ada, course).status_code == 200

    @pytest.mark.rule("V1-AUTH-16")
    def test_sets_the_cookie(self, course: Any) -> None:
        client = client_of(make_user("ada"))
        path = reverse(NAME, kwargs={"course_id": course_id_of(course)})

        assert client.get(path).cookies["csrftoken"].value

    @pytest.mark.rule("V1-GET-08")
    def test_a_refusal_is_told(self, course: Any, monkeypatch: Any) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "get_enrollment", refuse)

        response = one(make_user("ada"), course)

        assert response.status_code == 400
        assert response.json() == {
            "message": "An error occurred while retrieving enrollments for user "
            f"'{username('ada')}' in course '{course_id_of(course)}'"
        }

    @pytest.mark.rule("V1-GET-07", "V1-GET-11")
    def test_an_id_that_is_none_to_the_data_layer_is_told(
        self, monkeypatch: Any
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise CourseNotFoundError("No such key.")

        monkeypatch.setattr(api, "get_enrollment", refuse)
        ada, boss = make_user("ada"), make_user("boss", is_staff=True)

        own, of_another = one(boss, "a+b+c"), one(ada, "a+b+c", "bea")

        assert own.status_code == 400
        assert own.json() == {"message": "No course 'a+b+c' found for enrollment"}
        # GET-11: who may not see others hears of that first.
        assert (of_another.status_code, of_another.content) == (404, b"")

    @pytest.mark.rule("V1-AUTH-11")
    def test_nobody_gets_a_401(self, course: Any) -> None:
        for learner in (None, "ada"):
            response = one(None, course, learner)

            assert response.status_code == 401
            assert response["WWW-Authenticate"]

    @pytest.mark.parametrize("count", [1, 50])
    def test_costs_two_statements_beside_session_and_user(
        self, course: Any, count: int
    ) -> None:
        learners = make_users(count)
        for learner in learners:
            put(learner, course)
        for number in range(count):
            other = make_course(f"course-v1:edX+C{number}+R")
            make_mode(other)
            put(learners[0], other)
        client = client_of(learners[0])
        path = reverse(NAME, kwargs={"course_id": course_id_of(course)})

        with CaptureQueriesContext(connection) as captured:
            response = client.get(path)

        assert response.json()["is_active"] is True
        assert len(captured) == 4


class DenyingBackend:
    """Vetoes reading others."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        if perm == VIEW_ENROLLMENT_DATA:
            raise PermissionDenied("Not here.")
        return False


class TestEnrollmentOfAnother:
    @pytest.mark.rule("V1-GET-03", "V1-GET-13")
    def test_global_staff_gets_what_the_owner_gets(self, course: Any) -> None:
        ada, boss = make_user("ada"), make_user("boss", is_staff=True)
        put(ada, course)

        response = one(boss, course, "ada")

        assert response.status_code == 200
        assert response.json() == one(ada, course).json()

    @pytest.mark.rule("V1-GET-05")
    def test_is_an_empty_answer_to_global_staff(self, course: Any) -> None:
        make_user("ada")
        boss = make_user("boss", is_staff=True)

        assert is_nothing(one(boss, course, "ada"))
        assert is_nothing(one(boss, course, "no-one"))
        assert is_nothing(one(boss, NOWHERE, "ada"))

    @pytest.mark.rule("V1-GET-04")
    def test_a_superuser_alone_is_no_global_staff(self, course: Any) -> None:
        put(make_user("ada"), course)
        root = make_user("root", is_superuser=True)

        response = one(root, course, "ada")

        assert (response.status_code, response.content) == (404, b"")

    @pytest.mark.rule("V1-GET-03")
    def test_is_what_the_backends_say(self, course: Any, settings: Any) -> None:
        put(make_user("ada"), course)
        boss = make_user("boss", is_staff=True)
        shipped = f"{CourseRoleBackend.__module__}.CourseRoleBackend"
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            f"{__name__}.DenyingBackend",
            shipped,
        ]

        assert one(boss, course, "ada").status_code == 404

    @pytest.mark.rule("V1-GET-10")
    def test_case_counts(self, course: Any) -> None:
        ada = make_user("ada")
        put(ada, course)
        path = f"{ENROLLMENT}/{username('ada').upper()},{course_id_of(course)}"

        of_look_alike = client_of(ada).get(path)
        for_staff = client_of(make_user("boss", is_staff=True)).get(path)

        assert (of_look_alike.status_code, of_look_alike.content) == (404, b"")
        assert is_nothing(for_staff)

    @pytest.mark.rule("V1-GET-02", "SEED-DIFF-17")
    @pytest.mark.parametrize("role", ["staff", "instructor", None])
    def test_nobody_else_learns_anything(self, course: Any, role: str | None) -> None:
        asker = make_user("asker")
        if role:
            CourseAccessRole.objects.create(
                user=asker, org="edX", course_id=course_id_of(course), role=role
            )
        put(make_user("within"), course)
        put(make_user("has-left"), course, is_active=False)
        make_user("elsewhere", is_staff=True)
        client = client_of(asker)
        client.get(ENROLLMENT)

        answers = set()
        for name in ("within", "has-left", "elsewhere", "no-one"):
            for course_id in (course_id_of(course), NOWHERE):
                path = reverse(
                    NAME, kwargs={"course_id": course_id, "username": username(name)}
                )
                for query in ({}, {"include_expired": "1"}):
                    response = client.get(path, query)
                    headers = json.dumps(headers_of(response))
                    answers.add((response.status_code, response.content, headers))

        ((code, content, headers),) = answers
        assert (code, content) == (404, b"")
        assert "Content-Type" not in headers
