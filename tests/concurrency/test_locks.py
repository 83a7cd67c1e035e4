"""Locks on courses: only those who enroll in the same course wait."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentFullError
from django_enrollments.models import EnrollmentEvent
from django_enrollments.signals import enrollment_created
from tests.factories import course_id_of, make_course, make_users
from tests.processes.calls import (
    add_calls,
    in_turn,
    is_course_locked,
    set_capacity,
    without_waiting,
)
from tests.processes.checks import tally
from tests.processes.concurrent import IN_TRANSACTION, at_once, by

pytestmark = pytest.mark.django_db(transaction=True)


class TestCourseLock:
    @by(IN_TRANSACTION)
    def test_is_kept_until_the_commit_of_the_caller(self, way):
        taken = make_course("course-v1:edX+A+R", max_student_enrollments_allowed=5)
        other = make_course("course-v1:edX+B+R", max_student_enrollments_allowed=5)
        ada, bob = make_users(2)
        elsewhere = partial(api.add_enrollment, bob.get_username(), course_id_of(other))

        with transaction.atomic():
            api.add_enrollment(ada.get_username(), course_id_of(taken))
            held = at_once(
                [
                    partial(is_course_locked, taken.pk),
                    partial(is_course_locked, other.pk),
                ]
            )
            answers = at_once([partial(without_waiting, elsewhere)])
        (after,) = at_once([partial(is_course_locked, taken.pk)])

        assert [answer.value for answer in held] == [True, False]
        assert tally(answers) == {"fine": 1}
        assert after.value is False

    @by(IN_TRANSACTION)
    def test_is_not_taken_without_a_capacity(self, way):
        course = make_course()
        ada, bob = make_users(2)
        call = partial(api.add_enrollment, bob.get_username(), course_id_of(course))

        with transaction.atomic():
            api.add_enrollment(ada.get_username(), course_id_of(course))
            (held,) = at_once([partial(is_course_locked, course.pk)])
            answers = at_once([partial(without_waiting, call)])

        assert held.value is False
        assert tally(answers) == {"fine": 1}

    @by(IN_TRANSACTION)
    def test_is_not_taken_to_unenroll(self, way):
        course = make_course(max_student_enrollments_allowed=5)
        (ada,) = make_users(1)
        arguments = (ada.get_username(), course_id_of(course))
        api.add_enrollment(*arguments)

        with transaction.atomic():
            api.update_enrollment(*arguments, is_active=False)
            (held,) = at_once([partial(is_course_locked, course.pk)])

        assert held.value is False


class TestFullCourse:
    def test_is_not_locked_by_refused_learners(self):
        if connection.vendor == "sqlite":
            pytest.skip("SQLite has no row locks.")
        course = make_course(max_student_enrollments_allowed=0)
        (ada,) = make_users(1)
        held = []

        def execute(proceed, sql: str, *rest):
            table = "django_enrollments_courseaccessrole"
            if sql.replace("`", '"').startswith(f'SELECT "{table}"'):
                (answer,) = at_once([partial(is_course_locked, course.pk)])
                held.append(answer.value)
            return proceed(sql, *rest)

        with (
            connection.execute_wrapper(execute),
            pytest.raises(CourseEnrollmentFullError),
        ):
            api.add_enrollment(ada.get_username(), course_id_of(course))

        assert held == [False]

    def test_enrolls_as_soon_as_there_is_a_seat(self):
        course = make_course(max_student_enrollments_allowed=0)
        first, second = self._calls(course)
        before = in_turn([first, first])

        set_capacity(course.pk, 1)
        after = in_turn([second, first])

        assert before == ["course_full", "course_full"]
        assert after == ["fine", "course_full"]

    def _calls(self, course) -> list[Any]:
        return add_calls(course, 2)


class TestReceivers:
    @pytest.fixture
    def answers(self):
        """Enroll bob in another process, in a receiver."""
        answers: list[Any] = []

        def enroll_bob(enrollment, **kwargs):
            course_id = course_id_of(enrollment.course)
            call = partial(api.add_enrollment, self.bob.get_username(), course_id)
            answers.extend(at_once([partial(without_waiting, call)]))

        enrollment_created.connect(enroll_bob, weak=False)
        yield answers
        enrollment_created.disconnect(enroll_bob)

    def test_are_called_without_a_lock(self, answers):
        course = make_course(max_student_enrollments_allowed=2)
        ada, self.bob = make_users(2)

        api.add_enrollment(ada.get_username(), course_id_of(course))

        assert not connection.in_atomic_block
        assert tally(answers) == {"fine": 1}
        assert EnrollmentEvent.objects.count() == 2
