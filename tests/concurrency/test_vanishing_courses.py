"""A seat is never given without the lock held on a course row that exists (§9)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import connection

from django_enrollments import api
from django_enrollments.models import CourseEnrollment
from django_enrollments.services import EnrollmentsService
from tests.factories import course_id_of, make_course, make_users
from tests.processes.calls import (
    add_calls,
    after,
    reload_courses,
    remake_course,
    with_hiding_base_manager,
)
from tests.processes.checks import assert_history_folds, seats_taken, tally
from tests.processes.concurrent import AUTOCOMMIT, REPEATABLE_READ, Way, at_once, by

pytestmark = pytest.mark.django_db(transaction=True)

#: When the learners enroll, counted from the deletion that is not committed yet.
DURING = 0.4

SEATS_BEFORE = pytest.mark.parametrize("seats_before", [2, 100])
TRANSACTIONS = pytest.mark.parametrize(
    "in_one_transaction", [True, False], ids=["one transaction", "two transactions"]
)


def assert_two_seats_are_enough(
    course, calls: list[Any], way: Way, in_one_transaction: bool
):
    """Check that of calls that take seats two succeed while the course is made anew."""
    remake = partial(
        remake_course, course, seats=2, in_one_transaction=in_one_transaction
    )

    done, *answers = at_once([remake, *calls], way)

    done.unwrap()
    outcomes = tally(answers)
    assert seats_taken(course) == outcomes.get("fine", 0) <= 2
    assert outcomes.keys() <= {
        "fine",
        "CourseEnrollmentFullError",
        "CourseNotFoundError",
    }
    if in_one_transaction:
        # The course exists whenever it is read.
        assert outcomes == {"fine": 2, "CourseEnrollmentFullError": 6}


@by(AUTOCOMMIT, REPEATABLE_READ)
@TRANSACTIONS
@SEATS_BEFORE
class TestACourseThatIsMadeAnew:
    def test_gives_no_more_seats_than_the_new_course_has(
        self, way, seats_before, in_one_transaction
    ):
        course = make_course(max_student_enrollments_allowed=seats_before)
        calls = [partial(after, DURING, call) for call in add_calls(course, 8)]

        assert_two_seats_are_enough(course, calls, way, in_one_transaction)
        assert_history_folds()

    def test_gives_no_more_seats_to_those_who_come_back(
        self, way, seats_before, in_one_transaction
    ):
        course = make_course(max_student_enrollments_allowed=seats_before)
        users = make_users(8)
        for user in users:
            CourseEnrollment.enroll(user, course_id_of(course)).deactivate()
        calls = [
            partial(
                after,
                DURING,
                partial(
                    api.update_enrollment,
                    user.get_username(),
                    course_id_of(course),
                    is_active=True,
                ),
            )
            for user in users
        ]

        assert_two_seats_are_enough(course, calls, way, in_one_transaction)


class TestABaseManagerThatHidesTheCourse:
    def test_gives_no_more_seats_than_there_are(self):
        course = make_course(max_student_enrollments_allowed=2)
        calls = [
            partial(with_hiding_base_manager, call) for call in add_calls(course, 12)
        ]

        answers = at_once(calls)

        assert tally(answers) == {"fine": 2, "CourseEnrollmentFullError": 10}
        assert seats_taken(course) == 2

    def test_finds_the_course_by_its_instance(self):
        course = make_course(max_student_enrollments_allowed=2)
        (user,) = make_users(1)
        enroll = partial(EnrollmentsService().enroll, user, course)

        (answer,) = at_once([partial(with_hiding_base_manager, enroll)])

        assert answer.unwrap().is_active


class TestATableThatIsReloaded:
    @pytest.mark.parametrize("seats_before", [2, 100])
    def test_gives_no_more_seats_than_the_new_course_has(self, seats_before):
        if connection.vendor != "postgresql":
            pytest.skip(f"{connection.display_name} cannot roll TRUNCATE back.")
        course = make_course(max_student_enrollments_allowed=seats_before)
        calls = [partial(after, DURING, call) for call in add_calls(course, 8)]

        done, *answers = at_once([partial(reload_courses, seats=2), *calls])

        done.unwrap()
        assert seats_taken(course) == tally(answers).get("fine", 0) <= 2
