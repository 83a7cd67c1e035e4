"""Courses whose rows are deleted and inserted again while learners enroll."""

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
    once,
    recreate_course,
    reload_courses,
    with_hiding_base_manager,
)
from tests.processes.checks import assert_history_folds, seats_taken, tally
from tests.processes.concurrent import (
    AUTOCOMMIT,
    REPEATABLE_READ,
    Way,
    at_once,
    by,
    processes,
)

pytestmark = pytest.mark.django_db(transaction=True)

SEATS_BEFORE = pytest.mark.parametrize("seats_before", [2, 100])
TRANSACTIONS = pytest.mark.parametrize(
    "in_one_transaction", [True, False], ids=["one transaction", "two transactions"]
)


def assert_two_seats_are_taken(
    course, calls: list[Any], way: Way, in_one_transaction: bool
):
    """Assert that at most two calls succeed while the course is inserted again."""
    is_gone = processes.Event()
    recreate = partial(
        recreate_course,
        course,
        is_gone=is_gone,
        seats=2,
        in_one_transaction=in_one_transaction,
    )

    done, *answers = at_once(
        [recreate, *(partial(once, is_gone, call) for call in calls)], way
    )

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
class TestRecreatedCourse:
    def test_does_not_exceed_the_new_capacity(
        self, way, seats_before, in_one_transaction
    ):
        course = make_course(max_student_enrollments_allowed=seats_before)

        assert_two_seats_are_taken(
            course, add_calls(course, 8), way, in_one_transaction
        )
        assert_history_folds()

    def test_does_not_exceed_it_by_activating(
        self, way, seats_before, in_one_transaction
    ):
        course = make_course(max_student_enrollments_allowed=seats_before)
        users = make_users(8)
        for user in users:
            CourseEnrollment.enroll(user, course_id_of(course)).deactivate()
        calls = [
            partial(
                api.update_enrollment,
                user.get_username(),
                course_id_of(course),
                is_active=True,
            )
            for user in users
        ]

        assert_two_seats_are_taken(course, calls, way, in_one_transaction)


class TestHidingBaseManager:
    def test_does_not_exceed_the_capacity(self):
        course = make_course(max_student_enrollments_allowed=2)
        calls = [
            partial(with_hiding_base_manager, call) for call in add_calls(course, 12)
        ]

        answers = at_once(calls)

        assert tally(answers) == {"fine": 2, "CourseEnrollmentFullError": 10}
        assert seats_taken(course) == 2

    def test_enrolls_by_the_instance(self):
        course = make_course(max_student_enrollments_allowed=2)
        (user,) = make_users(1)
        enroll = partial(EnrollmentsService().enroll, user, course)

        (answer,) = at_once([partial(with_hiding_base_manager, enroll)])

        assert answer.unwrap().is_active


class TestReloadedTable:
    @pytest.mark.parametrize("seats_before", [2, 100])
    def test_does_not_exceed_the_new_capacity(self, seats_before):
        if connection.vendor != "postgresql":
            pytest.skip(f"{connection.display_name} cannot roll TRUNCATE back.")
        course = make_course(max_student_enrollments_allowed=seats_before)
        is_gone = processes.Event()
        calls = [partial(once, is_gone, call) for call in add_calls(course, 8)]

        done, *answers = at_once(
            [partial(reload_courses, is_gone=is_gone, seats=2), *calls]
        )

        done.unwrap()
        assert seats_taken(course) == tally(answers).get("fine", 0) <= 2
