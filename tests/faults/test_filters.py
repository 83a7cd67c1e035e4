"""A filter that takes its time keeps nobody else waiting, and decides all the same."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.concurrency.crowd import at_once
from tests.concurrency.deeds import set_capacity, without_waiting
from tests.concurrency.evidence import assert_history_is_true, seats_taken, tally
from tests.factories import course_id_of, make_course, make_users
from tests.faults.actors import acting
from tests.faults.deeds import DOORS, asking_a_slow_filter, enroll_by_api

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.concurrency.crowd import Answer

pytestmark = pytest.mark.django_db(transaction=True)

through_every_door = pytest.mark.parametrize(
    "enroll", DOORS, ids=[door.__name__ for door in DOORS]
)


class TestASlowFilter:
    @through_every_door
    def test_keeps_no_other_learner_of_the_course_waiting(
        self, enroll: Callable[[Any, str], None]
    ):
        course = make_course(max_student_enrollments_allowed=3)
        ada, bob, eve = make_users(3)
        slow = partial(asking_a_slow_filter, partial(enroll, ada, course_id_of(course)))

        with acting(slow) as actor:
            answers = self._enroll_at_once(course, [bob, eve])
            meanwhile = seats_taken(course)
            actor.go_on()
            answers.append(actor.answer())

        assert tally(answers) == {"fine": 3}
        assert (meanwhile, seats_taken(course)) == (2, 3)
        assert_history_is_true(answers)

    @through_every_door
    def test_gives_no_seat_that_was_taken_meanwhile(
        self, enroll: Callable[[Any, str], None]
    ):
        course = make_course(max_student_enrollments_allowed=1)
        ada, bob = make_users(2)
        slow = partial(asking_a_slow_filter, partial(enroll, ada, course_id_of(course)))

        with acting(slow) as actor:
            answers = self._enroll_at_once(course, [bob])
            actor.go_on()
            late = actor.answer()

        assert tally(answers) == {"fine": 1}
        assert "full" in late.text
        assert seats_taken(course) == 1
        assert_history_is_true([*answers, late])

    @through_every_door
    def test_gives_no_seat_too_many_of_a_limit_that_was_set_meanwhile(
        self, enroll: Callable[[Any, str], None]
    ):
        course = make_course()
        ada, bob = make_users(2)
        slow = partial(asking_a_slow_filter, partial(enroll, ada, course_id_of(course)))

        with acting(slow) as actor:
            set_capacity(course.pk, 1)
            answers = self._enroll_at_once(course, [bob])
            actor.go_on()
            late = actor.answer()

        assert tally(answers) == {"fine": 1}
        assert "full" in late.text
        assert seats_taken(course) == 1
        assert_history_is_true([*answers, late])

    def _enroll_at_once(self, course: Any, users: list[Any]) -> list[Answer]:
        """Enroll others, who fail if they have to wait."""
        calls = [partial(enroll_by_api, user, course_id_of(course)) for user in users]
        # One by one, for on SQLite they would wait for each other.
        return [at_once([partial(without_waiting, call)])[0] for call in calls]
