"""A course that hundreds want at once lets in exactly as many as it has seats."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from tests.factories import make_course
from tests.processes.calls import add_calls, in_turn
from tests.processes.checks import assert_history_is_true, seats_taken, tally
from tests.processes.concurrent import (
    AUTOCOMMIT,
    IMMEDIATE,
    REPEATABLE_READ,
    at_once,
    by,
)

pytestmark = pytest.mark.django_db(transaction=True)

LEARNERS = 200
WORKERS = 8


class TestAHotCourse:
    @pytest.mark.rule("CAP-10")
    @by(AUTOCOMMIT, IMMEDIATE, REPEATABLE_READ)
    @pytest.mark.parametrize("seats", [None, 50])
    def test_lets_in_as_many_as_it_has_seats_and_fails_nobody(self, way, seats):
        course = make_course(max_student_enrollments_allowed=seats)
        calls = add_calls(course, LEARNERS)
        workers = [partial(in_turn, calls[n::WORKERS]) for n in range(WORKERS)]

        answers = at_once(workers, way)

        let_in = LEARNERS if seats is None else seats
        told = Counter(code for answer in answers for code in answer.unwrap())
        assert tally(answers) == {"fine": WORKERS}
        assert told == Counter(fine=let_in, course_full=LEARNERS - let_in)
        assert seats_taken(course) == let_in
        assert_history_is_true(answers)
