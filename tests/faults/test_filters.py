"""Filters that take long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.factories import course_id_of, make_course, make_users
from tests.processes.calls import (
    enroll_by_api,
    set_capacity,
    with_pausing_filter,
    without_waiting,
)
from tests.processes.checks import (
    assert_history_is_true,
    by_every_function,
    seats_taken,
    tally,
)
from tests.processes.concurrent import at_once
from tests.processes.controlled import paused

if TYPE_CHECKING:
    from tests.processes.concurrent import Answer

pytestmark = pytest.mark.django_db(transaction=True)


class TestSlowFilter:
    @by_every_function
    def test_does_not_delay_other_learners(self, enroll):
        course = make_course(max_student_enrollments_allowed=3)
        ada, bob, eve = make_users(3)
        slow = partial(with_pausing_filter, partial(enroll, ada, course_id_of(course)))

        with paused(slow) as process:
            answers = self._enroll_at_once(course, [bob, eve])
            meanwhile = seats_taken(course)
            process.go_on()
            answers.append(process.answer())

        assert tally(answers) == {"fine": 3}
        assert (meanwhile, seats_taken(course)) == (2, 3)
        assert_history_is_true(answers)

    @by_every_function
    @pytest.mark.parametrize("seats", [1, None])
    def test_does_not_exceed_the_capacity(self, enroll, seats):
        course = make_course(max_student_enrollments_allowed=seats)
        ada, bob = make_users(2)
        slow = partial(with_pausing_filter, partial(enroll, ada, course_id_of(course)))

        with paused(slow) as process:
            if seats is None:
                set_capacity(course.pk, 1)
            answers = self._enroll_at_once(course, [bob])
            process.go_on()
            late = process.answer()

        assert tally(answers) == {"fine": 1}
        assert "full" in late.text
        assert seats_taken(course) == 1
        assert_history_is_true([*answers, late])

    def _enroll_at_once(self, course, users: list[Any]) -> list[Answer]:
        """Enroll others, and fail if they have to wait."""
        calls = [partial(enroll_by_api, user, course_id_of(course)) for user in users]
        # One after the other, since they would wait for each other on SQLite.
        return [at_once([partial(without_waiting, call)])[0] for call in calls]
