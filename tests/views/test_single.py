"""GET enrollment/{course_id} and enrollment/{username},{course_id} over HTTP."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError, CourseNotFoundError
from django_enrollments.models import CourseAccessRole
from django_enrollments.permissions import VIEW_ENROLLMENT_DATA
from tests.factories import (
    HOUR,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    username,
)
from tests.http import NOWHERE, assert_hidden, assert_refused, get, put

pytestmark = pytest.mark.django_db


def one(requester, course, learner: str | None = None, /, **query: str):
    """Request an enrollment as ``requester``; the course may be an id."""
    course_id = course if isinstance(course, str) else course_id_of(course)
    name = "" if learner is None else f"{username(learner)},"
    return get(requester, f"enrollment/{name}{course_id}", **query)


def assert_empty(response):
    assert (response.status_code, response.content) == (200, b"")
    assert "Content-Type" not in response


class TestOwnEnrollment:
    @pytest.mark.rule("V1-GET-01", "V1-GET-06")
    @pytest.mark.parametrize("is_active", [True, False])
    def test_is_returned_with_or_without_the_name(self, ada, course, is_active):
        put(ada, course, is_active=is_active)

        unnamed, named = one(ada, course), one(ada, course, "ada")

        stored = api.get_enrollment(username("ada"), course_id_of(course))
        assert unnamed.status_code == named.status_code == 200
        assert unnamed["Content-Type"] == "application/json"
        assert unnamed.json() == named.json() == stored
        assert list(unnamed.json()) == [
            *("created", "mode", "is_active", "course_details", "user")
        ]
        assert unnamed.json()["is_active"] is is_active

    @pytest.mark.rule("V1-GET-05", "SEED-DIFF-17")
    def test_is_empty_without_an_enrollment(self, ada, bea, course):
        put(bea, course)

        assert_empty(one(ada, course))
        assert_empty(one(ada, course, "ada"))
        assert_empty(one(ada, NOWHERE))

    @pytest.mark.rule("V1-GET-09", "SEED-DIFF-02")
    def test_has_expired_modes_on_request(self, ada):
        course = make_course()
        make_mode(course)
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)
        put(ada, course)

        responses = [
            one(ada, course, include_expired=value) for value in ("", "0", "1")
        ]
        details = [response.json()["course_details"] for response in responses]
        counts = [len(detail["course_modes"]) for detail in details]

        assert counts == [1, 2, 2]

    @pytest.mark.rule("V1-GET-13")
    def test_is_that_in_the_course(self, ada, bea, course):
        other = make_course("course-v1:edX+Other+R")
        make_modes(other, "audit", "honor")
        put(ada, course)
        put(ada, other, "honor")
        put(bea, course)

        enrollment = one(ada, other).json()

        assert (enrollment["user"], enrollment["mode"]) == (username("ada"), "honor")
        assert enrollment["course_details"]["course_id"] == course_id_of(other)

    @pytest.mark.rule("V1-SER-19")
    def test_has_no_details_of_a_deleted_course(self, ada, course):
        put(ada, course)
        course_id = course_id_of(course)
        course.delete()

        response = one(ada, course_id)

        if is_default_host():
            assert response.json()["course_details"] is None
        else:
            # The enrollment has the key of the course there, which is not its id.
            assert_empty(response)

    @pytest.mark.rule("V1-GET-08")
    def test_that_is_refused_is_a_400(self, ada, course, monkeypatch):
        def refuse(*args, **kwargs):
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "get_enrollment", refuse)

        text = (
            "An error occurred while retrieving enrollments for user "
            f"'{username('ada')}' in course '{course_id_of(course)}'"
        )
        assert_refused(one(ada, course), 400, text)

    @pytest.mark.rule("V1-GET-07", "V1-GET-11")
    def test_in_a_course_that_the_data_layer_refuses_is_a_400(
        self, ada, boss, monkeypatch
    ):
        def refuse(*args, **kwargs):
            raise CourseNotFoundError("No such key.")

        monkeypatch.setattr(api, "get_enrollment", refuse)

        assert_refused(one(boss, "a+b"), 400, "No course 'a+b' found for enrollment")
        assert_hidden(one(ada, "a+b", "bea"))


class DenyingBackend:
    """Denies reading others."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        if perm == VIEW_ENROLLMENT_DATA:
            raise PermissionDenied("Not here.")
        return False


class TestEnrollmentOfAnother:
    @pytest.mark.rule("V1-GET-03", "V1-GET-13")
    def test_is_the_same_for_global_staff(self, ada, boss, course):
        put(ada, course)

        response = one(boss, course, "ada")

        assert response.status_code == 200
        assert response.json() == one(ada, course).json()

    @pytest.mark.rule("V1-GET-05", "V1-GET-10")
    def test_is_empty_for_global_staff_without_an_enrollment(self, bea, boss, course):
        put(bea, course)

        assert_empty(one(boss, course, "ada"))
        assert_empty(one(boss, NOWHERE, "bea"))
        name = username("bea").upper()
        assert_empty(get(boss, f"enrollment/{name},{course_id_of(course)}"))

    @pytest.mark.rule("V1-GET-02", "V1-GET-04", "V1-GET-10", "V1-ERR-02")
    @pytest.mark.rule("SEED-DIFF-17")
    @pytest.mark.parametrize("role", ["staff", "instructor"])
    def test_is_hidden_from_others(self, ada, bea, root, course, role):
        put(ada, course)
        CourseAccessRole.objects.create(
            user=bea, org="edX", course_id=course_id_of(course), role=role
        )

        for requester in (bea, root):
            assert_hidden(one(requester, course, "ada"))
        name = username("ada").upper()
        assert_hidden(get(ada, f"enrollment/{name},{course_id_of(course)}"))

    @pytest.mark.rule("V1-GET-03")
    def test_depends_on_the_backends(self, ada, boss, course, settings):
        put(ada, course)
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            f"{__name__}.DenyingBackend",
            "django_enrollments.backends.permissions.CourseRoleBackend",
        ]

        assert_hidden(one(boss, course, "ada"))
