from __future__ import annotations

import pytest

from django_enrollments.errors import CourseEnrollmentFullError
from django_enrollments.services import EnrollmentsService
from django_enrollments.testing import (
    assert_enrolled,
    assert_not_enrolled,
    assert_refused,
    make_course,
    make_enrollment,
    make_user,
)
from tests.factories import course_id_of

pytestmark = pytest.mark.django_db

service = EnrollmentsService()


class TestAssertEnrolled:
    def test_takes_instances_keys_and_ids(self):
        user, course = make_user(), make_course()
        make_enrollment(user, course)

        assert_enrolled(user, course)
        assert_enrolled(user.pk, course_id_of(course), "audit")

    def test_describes_a_user_who_could_enroll(self):
        with pytest.raises(AssertionError, match=r"no enrollment.*could enroll now"):
            assert_enrolled(make_user(), make_course())

    def test_names_the_reasons(self):
        course = make_course(max_student_enrollments_allowed=0)

        with pytest.raises(AssertionError, match="is refused now: course_full"):
            assert_enrolled(make_user(), course)

    def test_names_an_unknown_course(self):
        with pytest.raises(AssertionError, match="raises 'course_not_found'"):
            assert_enrolled(make_user(), "no-such-course")

    def test_describes_another_state_or_mode(self):
        row = make_enrollment()
        with pytest.raises(AssertionError, match=r"in mode 'honor'.*in mode 'audit'"):
            assert_enrolled(row.user, row.course, "honor")
        service.unenroll(row.user, row.course)

        with pytest.raises(AssertionError, match="the enrollment is inactive"):
            assert_enrolled(row.user, row.course)


class TestAssertNotEnrolled:
    def test_accepts_former_and_unknown_learners(self):
        row = make_enrollment(is_active=False)

        assert_not_enrolled(row.user, row.course)
        assert_not_enrolled(make_user(), row.course)

    def test_describes_the_enrollment(self):
        row = make_enrollment()

        with pytest.raises(AssertionError, match=r"is enrolled in .* is active"):
            assert_not_enrolled(row.user, row.course)


class TestAssertRefused:
    def test_returns_the_error(self):
        course = make_course(max_student_enrollments_allowed=0)

        with assert_refused("course_full") as refusal:
            service.enroll(make_user(), course)

        assert isinstance(refusal.error, CourseEnrollmentFullError)

    def test_names_another_code(self):
        with (
            pytest.raises(AssertionError, match=r"with 'course_not_found'.*not with"),
            assert_refused("course_full"),
        ):
            service.enroll(make_user(), "no-such-course")

    def test_fails_without_a_refusal(self):
        with (
            pytest.raises(AssertionError, match="nothing was raised"),
            assert_refused("course_full"),
        ):
            service.enroll(make_user(), make_course())

    def test_leaves_other_exceptions_alone(self):
        with pytest.raises(ZeroDivisionError), assert_refused("course_full"):
            1 / 0  # noqa: B018
