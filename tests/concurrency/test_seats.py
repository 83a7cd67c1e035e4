"""A course with N seats never has more than N active learners without an exemption."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from django_enrollments import api
from django_enrollments.core import bulk
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAttribute,
    EmailOptIn,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService
from tests.enrolling import enroll_or_change
from tests.factories import course_id_of, make_course, make_users
from tests.processes.calls import add_calls, in_turn, set_capacity
from tests.processes.checks import assert_history_is_true, seats_taken, tally
from tests.processes.concurrent import (
    AUTOCOMMIT,
    IMMEDIATE,
    IN_TRANSACTION,
    REPEATABLE_READ,
    REPEATABLE_READ_IN_TRANSACTION,
    SNAPSHOTS,
    SNAPSHOTS_IN_TRANSACTION,
    USUAL,
    at_once,
    by,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.django_db(transaction=True)

ATTRIBUTE = {"namespace": "host", "name": "color", "value": "red"}


def statuses(results) -> Counter[str]:
    return Counter(result["code"] or result["status"] for result in results)


def stream(course_id: str, names: Sequence[str], action: str = "enroll"):
    """Enroll or unenroll in batches of 5; count the results."""
    with patch.object(bulk, "ROWS_PER_BATCH", 5):
        return statuses(
            api.bulk_enroll(course_id, iter(names), action=action, stream=True)
        )


def assert_given(answers, course, seats: int):
    """Assert that so many calls got a seat, and that the others were refused."""
    full = {"CourseEnrollmentFullError": len(answers) - seats}
    assert tally(answers) == {"fine": seats, **full}
    assert seats_taken(course) == seats
    assert_history_is_true(answers)


class TestSeats:
    @pytest.mark.rule("CAP-10", "PERF-03")
    @by(*USUAL)
    def test_are_given_to_10_of_40_learners(self, way):
        course = make_course(max_student_enrollments_allowed=10)

        answers = at_once(add_calls(course, 40), way)

        assert_given(answers, course, 10)
        assert EnrollmentEvent.objects.count() == 10

    @pytest.mark.rule("CAP-10")
    @by(*SNAPSHOTS)
    def test_are_given_to_10_of_15_learners_with_snapshots(self, way):
        course = make_course(max_student_enrollments_allowed=10)

        assert_given(at_once(add_calls(course, 15), way), course, 10)

    @pytest.mark.rule("CAP-10")
    @by(REPEATABLE_READ, *SNAPSHOTS_IN_TRANSACTION)
    def test_are_counted_with_those_of_transactions_without_a_snapshot(self, way):
        course = make_course(max_student_enrollments_allowed=3)

        answers = at_once(add_calls(course, 12), [AUTOCOMMIT, way] * 6)

        assert_given(answers, course, 3)

    @by(AUTOCOMMIT, IN_TRANSACTION)
    @pytest.mark.parametrize("function", ["update_enrollment", "model"])
    def test_are_given_to_10_of_15_by_other_functions(self, way, function):
        course = make_course(max_student_enrollments_allowed=10)
        course_id, users = course_id_of(course), make_users(15)
        if function == "model":
            calls = [
                partial(CourseEnrollment.enroll, user, course_id) for user in users
            ]
        else:
            names = [user.get_username() for user in users]
            for name in names:
                api.add_enrollment(name, course_id, is_active=False)
            update = partial(api.update_enrollment, is_active=True)
            calls = [partial(update, name, course_id) for name in names]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 10, "CourseEnrollmentFullError": 5}
        assert seats_taken(course) == 10

    @pytest.mark.rule("CAP-10")
    @by(*USUAL, *SNAPSHOTS)
    def test_are_given_with_attributes_and_email_opt_in(self, way):
        course = make_course(max_student_enrollments_allowed=5)
        extras = {"enrollment_attributes": [ATTRIBUTE], "email_opt_in": True}
        calls = [
            partial(
                enroll_or_change, user.get_username(), course_id_of(course), **extras
            )
            for user in make_users(20)
        ]

        assert_given(at_once(calls, way), course, 5)

        assert EmailOptIn.objects.count() == 5
        assert CourseEnrollmentAttribute.objects.count() == 5

    @pytest.mark.rule("CAP-03")
    @by(AUTOCOMMIT, IN_TRANSACTION)
    def test_are_not_taken_by_course_staff(self, way):
        course = make_course(max_student_enrollments_allowed=3)
        staff, learners = make_users(6, "staff"), make_users(6)
        for user in staff:
            CourseAccessRole.objects.create(
                user=user, course_id=course_id_of(course), role="staff"
            )
        mixed = [user for pair in zip(staff, learners, strict=True) for user in pair]

        answers = at_once(add_calls(course, mixed), way)

        assert tally(answers[::2]) == {"fine": 6}
        assert tally(answers[1::2]) == {"fine": 3, "CourseEnrollmentFullError": 3}
        assert seats_taken(course) == 9
        assert_history_is_true(answers)

    @by(AUTOCOMMIT, IN_TRANSACTION, REPEATABLE_READ, REPEATABLE_READ_IN_TRANSACTION)
    def test_are_not_given_after_the_capacity_is_lowered(self, way):
        course = make_course(max_student_enrollments_allowed=9)
        calls = add_calls(course, 12)
        calls.insert(6, partial(set_capacity, course.pk, 3))

        answers = at_once(calls, way)

        taken_before = answers.pop(6).value
        assert seats_taken(course) == max(taken_before, 3)
        assert tally(answers).keys() == {"fine", "CourseEnrollmentFullError"}

    @by(AUTOCOMMIT)
    def test_are_given_again_after_learners_leave(self, way):
        course = make_course(max_student_enrollments_allowed=3)
        service, calls = EnrollmentsService(), []
        for user in make_users(8):
            enroll = partial(service.enroll, user.pk, course_id_of(course))
            unenroll = partial(service.unenroll, user.pk, course_id_of(course))
            calls.append(partial(in_turn, [enroll, unenroll, enroll, unenroll, enroll]))

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 8}
        codes = {code for answer in answers for code in answer.value}
        assert codes <= {"fine", "course_full", "enrollment_not_found"}
        assert seats_taken(course) == 3
        assert_history_is_true(answers)

    @pytest.mark.rule("CAP-10")
    @by(AUTOCOMMIT, IMMEDIATE, REPEATABLE_READ)
    @pytest.mark.parametrize("seats", [None, 50])
    def test_are_given_to_200_learners_by_8_processes(self, way, seats):
        course = make_course(max_student_enrollments_allowed=seats)
        calls = add_calls(course, 200)

        answers = at_once([partial(in_turn, calls[n::8]) for n in range(8)], way)

        given = 200 if seats is None else seats
        codes = Counter(code for answer in answers for code in answer.unwrap())
        assert codes == Counter(fine=given, course_full=200 - given)
        assert seats_taken(course) == given
        assert_history_is_true(answers)


class TestBulks:
    @pytest.mark.rule("CAP-10")
    @by(*USUAL, REPEATABLE_READ)
    @pytest.mark.parametrize("streams", [False, True])
    def test_give_25_seats_to_25_of_60_learners(self, way, streams):
        course = make_course(max_student_enrollments_allowed=25)
        names = [user.get_username() for user in make_users(60)]
        enroll = partial(stream if streams else api.bulk_enroll, course_id_of(course))

        answers = at_once([partial(enroll, names[n::4]) for n in range(4)], way)

        assert tally(answers) == {"fine": 4}
        found = Counter()
        for answer in answers:
            found += answer.value if streams else statuses(answer.value)
        assert found == {"created": 25, "course_full": 35}
        assert seats_taken(course) == 25
        assert_history_is_true(answers)

    @by(AUTOCOMMIT)
    @pytest.mark.parametrize("streams", [False, True])
    def test_of_the_same_learners_in_other_orders_enroll_each_once(self, way, streams):
        course = make_course(max_student_enrollments_allowed=80)
        names = [user.get_username() for user in make_users(80)]
        orders = [names, names[::-1], names[40:] + names[:40], names[::2] + names[1::2]]
        enroll = partial(stream if streams else api.bulk_enroll, course_id_of(course))

        answers = at_once([partial(enroll, order) for order in orders], way)

        assert tally(answers) == {"fine": 4}
        found = Counter()
        for answer in answers:
            found += answer.value if streams else statuses(answer.value)
        assert found == {"created": 80, "unchanged": 240}
        assert EnrollmentEvent.objects.count() == 80
        assert_history_is_true(answers)

    @by(AUTOCOMMIT, IN_TRANSACTION)
    def test_that_enroll_and_unenroll_do_not_exceed_the_capacity(self, way):
        course = make_course(max_student_enrollments_allowed=20)
        leaving, joining = (
            [user.get_username() for user in make_users(count, prefix)]
            for count, prefix in ((20, "leaving"), (40, "joining"))
        )
        api.bulk_enroll(course_id_of(course), leaving)
        call = partial(stream, course_id_of(course))

        answers = at_once(
            [
                partial(call, joining[:20]),
                partial(call, leaving, "unenroll"),
                partial(call, joining[20:]),
            ],
            way,
        )

        assert tally(answers) == {"fine": 3}
        assert answers[1].value == {"deactivated": 20}
        joined = answers[0].value["created"] + answers[2].value["created"]
        assert seats_taken(course) == joined <= 20
        assert CourseEnrollment.objects.filter(is_active=False).count() == 20
