"""Processes that are killed by a signal that cannot be caught."""

from __future__ import annotations

import time
from functools import partial
from random import Random

import pytest

from django_enrollments.models import CourseEnrollmentAllowed, EmailOptIn
from django_enrollments.signals import enrollment_created
from tests.factories import course_id_of, make_course, make_modes, make_users
from tests.processes.calls import (
    enroll_in_bulk,
    enroll_with_everything,
    make_random_calls,
)
from tests.processes.checks import (
    assert_history_folds,
    assert_no_lock_is_left,
    assert_nothing_is_incomplete,
    seats_taken,
)
from tests.processes.controlled import Controlled, pause, paused, pausing_after
from tests.watching import stored

pytestmark = pytest.mark.django_db(transaction=True)


def make_invited_learner(course):
    """Make a learner with an unused invitation."""
    (ada,) = make_users(1)
    CourseEnrollmentAllowed.objects.create(
        email="learner0@example.org", course_id=course_id_of(course)
    )
    return ada


def enroll_while_a_receiver_pauses(user, course_id: str):
    def receive(**arguments):
        pause()

    enrollment_created.connect(receive)
    enroll_with_everything(user, course_id)


class TestKilledProcess:
    @pytest.mark.parametrize("enroll", [enroll_with_everything, enroll_in_bulk])
    def test_leaves_nothing_after_each_statement(self, enroll):
        course = make_course(max_student_enrollments_allowed=1)
        ada = make_invited_learner(course)
        before = stored()
        call = partial(enroll, ada, course_id_of(course))

        killed_after = 0
        while True:
            process = Controlled(partial(pausing_after, killed_after + 1, call))
            if not process.has_paused():
                break
            process.kill()
            killed_after += 1
            assert stored() == before
            assert not EmailOptIn.objects.exists()
        assert process.answer().error is None

        assert killed_after > 7
        assert seats_taken(course) == 1
        assert_nothing_is_incomplete({course: 1})
        assert_no_lock_is_left(course)

    def test_leaves_everything_after_the_commit(self):
        course = make_course(max_student_enrollments_allowed=1)
        ada = make_invited_learner(course)
        call = partial(enroll_while_a_receiver_pauses, ada, course_id_of(course))

        with paused(call) as process:
            process.kill()

        assert seats_taken(course) == 1
        assert EmailOptIn.objects.count() == 1
        assert len(assert_history_folds()) == 1
        assert_nothing_is_incomplete({course: 1})
        assert_no_lock_is_left(course)

    def test_leaves_nothing_incomplete_at_random_moments(self):
        few = make_course("course-v1:edX+Few+R", max_student_enrollments_allowed=4)
        many = make_course("course-v1:edX+Many+R")
        for course in (few, many):
            make_modes(course, "audit", "verified")
        names = [user.get_username() for user in make_users(12)]
        course_ids = [course_id_of(few), course_id_of(many)]
        for number in range(12):
            CourseEnrollmentAllowed.objects.create(
                email=f"learner{number}@example.org", course_id=course_ids[number % 2]
            )
        random = Random(4)  # noqa: S311 - Repeatable rather than secret.

        for wave in range(4):
            calls = [
                partial(make_random_calls, 10 * wave + seed, names, course_ids)
                for seed in range(6)
            ]
            processes = [Controlled(call) for call in calls]
            assert all(process.has_paused() for process in processes)
            for process in processes:
                process.go_on()
            for process in processes:
                time.sleep(random.uniform(0, 0.2))
                assert process.is_busy(), process.answer()
                process.kill()
            assert_nothing_is_incomplete({few: 4})
            assert_no_lock_is_left(few, many)
