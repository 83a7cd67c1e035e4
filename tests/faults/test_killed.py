"""Processes that are killed, by a signal that nothing can catch, leave nothing half."""

from __future__ import annotations

import time
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from django_enrollments.models import CourseEnrollmentAllowed, EmailOptIn
from django_enrollments.signals import enrollment_created
from tests.concurrency.evidence import assert_history_folds, seats_taken
from tests.factories import course_id_of, make_course, make_modes, make_users
from tests.faults.actors import Actor, acting, pause, pausing_after
from tests.faults.deeds import enroll_in_bulk, enroll_with_everything, rampage
from tests.faults.evidence import (
    assert_nobody_has_to_wait,
    assert_nothing_is_half_done,
)
from tests.watching import stored

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def make_invited_learner(course: Any) -> Any:
    """Make a learner for whom an invitation waits."""
    (ada,) = make_users(1)
    CourseEnrollmentAllowed.objects.create(
        email="learner0@example.org", course_id=course_id_of(course)
    )
    return ada


def enroll_while_a_receiver_pauses(user: Any, course_id: str) -> None:
    def receive(**carried: Any) -> None:
        pause()

    enrollment_created.connect(receive)
    enroll_with_everything(user, course_id)


class TestAProcessThatIsKilled:
    @pytest.mark.parametrize("enroll", [enroll_with_everything, enroll_in_bulk])
    def test_leaves_nothing_after_whichever_statement_it_dies(
        self, enroll: Callable[[Any, str], None]
    ):
        course = make_course(max_student_enrollments_allowed=1)
        ada = make_invited_learner(course)
        before = stored()
        call = partial(enroll, ada, course_id_of(course))

        died_after = 0
        while True:
            actor = Actor(partial(pausing_after, died_after + 1, call))
            if not actor.has_paused():
                break
            actor.kill()
            died_after += 1
            assert stored() == before
            assert not EmailOptIn.objects.exists()
        assert actor.answer().error is None

        assert died_after > 7
        assert seats_taken(course) == 1
        assert_nothing_is_half_done({course: 1})
        assert_nobody_has_to_wait(course)

    def test_keeps_all_once_it_has_committed(self):
        course = make_course(max_student_enrollments_allowed=1)
        ada = make_invited_learner(course)
        call = partial(enroll_while_a_receiver_pauses, ada, course_id_of(course))

        with acting(call) as actor:
            actor.kill()

        assert seats_taken(course) == 1
        assert EmailOptIn.objects.count() == 1
        assert len(assert_history_folds()) == 1
        assert_nothing_is_half_done({course: 1})
        assert_nobody_has_to_wait(course)

    def test_leaves_nothing_half_done_wherever_it_dies(self):
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
                partial(rampage, 10 * wave + seed, names, course_ids)
                for seed in range(6)
            ]
            actors = [Actor(call) for call in calls]
            assert all(actor.has_paused() for actor in actors)
            for actor in actors:
                actor.go_on()
            for actor in actors:
                time.sleep(random.uniform(0, 0.2))
                assert actor.is_busy(), actor.answer()
                actor.kill()
            assert_nothing_is_half_done({few: 4})
            assert_nobody_has_to_wait(few, many)
