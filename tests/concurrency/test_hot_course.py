"""A course that hundreds want at once lets in exactly as many as it has seats."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest

from django_enrollments import api
from tests.concurrency.crowd import AUTOCOMMIT, at_once
from tests.concurrency.deeds import in_turn
from tests.concurrency.evidence import assert_history_is_true, seats_taken, tally
from tests.concurrency.ways import IMMEDIATE, REPEATABLE_READ, by
from tests.factories import course_id_of, make_course, make_users

if TYPE_CHECKING:
    from tests.concurrency.crowd import Way

pytestmark = pytest.mark.django_db(transaction=True)

LEARNERS = 200
WORKERS = 8


class TestAHotCourse:
    @pytest.mark.rule("CAP-10")
    @by(AUTOCOMMIT, IMMEDIATE, REPEATABLE_READ)
    @pytest.mark.parametrize("seats", [None, 50])
    def test_lets_in_as_many_as_it_has_seats_and_fails_nobody(
        self, way: Way, seats: int | None
    ):
        course = make_course(max_student_enrollments_allowed=seats)
        calls = [
            partial(api.add_enrollment, user.get_username(), course_id_of(course))
            for user in make_users(LEARNERS)
        ]
        workers = [partial(in_turn, calls[n::WORKERS]) for n in range(WORKERS)]

        answers = at_once(workers, way)

        let_in = LEARNERS if seats is None else seats
        told = Counter(code for answer in answers for code in answer.unwrap())
        assert tally(answers) == {"fine": WORKERS}
        assert told == Counter(fine=let_in, course_full=LEARNERS - let_in)
        assert seats_taken(course) == let_in
        assert_history_is_true(answers)
