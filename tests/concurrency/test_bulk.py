"""Seats are exact across the batches of streams that run at the same time (CAP-10)."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from django_enrollments import api
from django_enrollments.core import bulk
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from tests.factories import course_id_of, make_course, make_users
from tests.processes.checks import assert_history_is_true, seats_taken, tally
from tests.processes.concurrent import (
    AUTOCOMMIT,
    IN_TRANSACTION,
    REPEATABLE_READ,
    USUAL,
    at_once,
    by,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


pytestmark = pytest.mark.django_db(transaction=True)


def stream(course_id: str, names: Sequence[str], action: str = "enroll"):
    """Enroll or unenroll in batches of 5, and count what became of the rows."""
    with patch.object(bulk, "ROWS_PER_BATCH", 5):
        results = api.bulk_enroll(course_id, iter(names), action=action, stream=True)
        return Counter(result["code"] or result["status"] for result in results)


class TestStreams:
    @pytest.mark.rule("CAP-10")
    @by(*USUAL, REPEATABLE_READ)
    def test_of_four_give_30_seats_to_30_of_80(self, way):
        course = make_course(max_student_enrollments_allowed=30)
        names = [user.get_username() for user in make_users(80)]
        calls = [
            partial(stream, course_id_of(course), names[first::4]) for first in range(4)
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 4}
        told = sum((answer.value for answer in answers), Counter())
        assert told == {"created": 30, "course_full": 50}
        assert seats_taken(course) == 30
        assert_history_is_true(answers)

    @by(AUTOCOMMIT)
    def test_of_the_same_learners_enroll_each_once(self, way):
        course = make_course(max_student_enrollments_allowed=40)
        names = [user.get_username() for user in make_users(40)]
        orders = [names, names[::-1], names[20:] + names[:20], names[::-1][20:]]
        calls = [partial(stream, course_id_of(course), order) for order in orders]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 4}
        told = sum((answer.value for answer in answers), Counter())
        assert told == {"created": 40, "unchanged": 100}
        assert EnrollmentEvent.objects.count() == 40
        assert_history_is_true(answers)

    @by(AUTOCOMMIT, IN_TRANSACTION)
    def test_that_come_while_others_go_never_overfill_the_course(self, way):
        course = make_course(max_student_enrollments_allowed=20)
        here, there = make_users(20, "here"), make_users(40, "there")
        names = [user.get_username() for user in there]
        leaving = [user.get_username() for user in here]
        api.bulk_enroll(course_id_of(course), leaving)
        calls = [
            partial(stream, course_id_of(course), names[:20]),
            partial(stream, course_id_of(course), leaving, "unenroll"),
            partial(stream, course_id_of(course), names[20:]),
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 3}
        assert answers[1].value == {"deactivated": 20}
        came = answers[0].value["created"] + answers[2].value["created"]
        assert seats_taken(course) == came <= 20
        assert CourseEnrollment.objects.filter(is_active=False).count() == 20
