"""A course with room for N never has more than N active learners (CAP-10, B-15)."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from django_enrollments import api
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import course_id_of, make_course, make_users
from tests.processes.calls import add_calls, in_turn, set_capacity
from tests.processes.checks import assert_history_is_true, seats_taken, tally
from tests.processes.concurrent import (
    AUTOCOMMIT,
    IN_TRANSACTION,
    REPEATABLE_READ,
    REPEATABLE_READ_IN_TRANSACTION,
    SNAPSHOTS,
    SNAPSHOTS_IN_TRANSACTION,
    USUAL,
    at_once,
    by,
)

pytestmark = pytest.mark.django_db(transaction=True)


class TestAddEnrollment:
    @pytest.mark.rule("CAP-10", "PERF-03")
    @by(*USUAL)
    def test_gives_10_seats_to_10_of_40_learners(self, way):
        course = make_course(max_student_enrollments_allowed=10)
        calls = add_calls(course, 40)

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 10, "CourseEnrollmentFullError": 30}
        assert seats_taken(course) == 10
        assert EnrollmentEvent.objects.count() == 10
        assert_history_is_true(answers)

    @pytest.mark.rule("CAP-10")
    @by(*SNAPSHOTS)
    def test_gives_10_seats_to_10_of_15_who_keep_a_snapshot(self, way):
        course = make_course(max_student_enrollments_allowed=10)
        calls = add_calls(course, 15)

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 10, "CourseEnrollmentFullError": 5}
        assert seats_taken(course) == 10
        assert_history_is_true(answers)

    @pytest.mark.rule("CAP-10")
    @by(REPEATABLE_READ, *SNAPSHOTS_IN_TRANSACTION)
    def test_hides_no_seat_from_a_snapshot_that_others_do_not_keep(self, way):
        course = make_course(max_student_enrollments_allowed=3)
        users = make_users(12)
        calls = add_calls(course, users)

        answers = at_once(calls, [AUTOCOMMIT, way] * 6)

        assert tally(answers) == {"fine": 3, "CourseEnrollmentFullError": 9}
        assert seats_taken(course) == 3
        assert_history_is_true(answers)

    @pytest.mark.rule("CAP-03")
    @by(AUTOCOMMIT, IN_TRANSACTION)
    def test_gives_course_staff_no_seat_and_learners_3(self, way):
        course = make_course(max_student_enrollments_allowed=3)
        staff, learners = make_users(6, "staff"), make_users(6)
        for user in staff:
            CourseAccessRole.objects.create(
                user=user, course_id=course_id_of(course), role="staff"
            )
        mixed = [user for pair in zip(staff, learners, strict=True) for user in pair]
        calls = add_calls(course, mixed)

        answers = at_once(calls, way)

        assert tally(answers[::2]) == {"fine": 6}
        assert tally(answers[1::2]) == {"fine": 3, "CourseEnrollmentFullError": 3}
        assert seats_taken(course) == 9
        assert_history_is_true(answers)

    @by(AUTOCOMMIT, IN_TRANSACTION, REPEATABLE_READ, REPEATABLE_READ_IN_TRANSACTION)
    def test_lets_nobody_in_once_the_capacity_is_lowered(self, way):
        course = make_course(max_student_enrollments_allowed=9)
        calls = add_calls(course, 12)
        calls.insert(6, partial(set_capacity, course.pk, 3))

        answers = at_once(calls, way)

        taken_before = answers.pop(6).value
        assert seats_taken(course) == max(taken_before, 3)
        assert tally(answers).keys() == {"fine", "CourseEnrollmentFullError"}


class TestUpdateEnrollment:
    @by(AUTOCOMMIT, IN_TRANSACTION)
    def test_gives_10_seats_to_10_of_15_who_come_back(self, way):
        course = make_course(max_student_enrollments_allowed=10)
        names = [user.get_username() for user in make_users(15)]
        for name in names:
            api.add_enrollment(name, course_id_of(course), is_active=False)
        calls = [
            partial(api.update_enrollment, name, course_id_of(course), is_active=True)
            for name in names
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 10, "CourseEnrollmentFullError": 5}
        assert seats_taken(course) == 10
        assert EnrollmentEvent.objects.filter(type="activated").count() == 10


class TestCourseEnrollment:
    @by(AUTOCOMMIT, IN_TRANSACTION)
    def test_gives_10_seats_to_10_of_15_without_asking_for_access(self, way):
        course = make_course(max_student_enrollments_allowed=10, invitation_only=True)
        calls = [
            partial(CourseEnrollment.enroll, user, course_id_of(course))
            for user in make_users(15)
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 10, "CourseEnrollmentFullError": 5}
        assert seats_taken(course) == 10
        assert_history_is_true(answers)


class TestBulkEnroll:
    @by(*USUAL, REPEATABLE_READ)
    def test_gives_25_seats_to_25_of_60_learners_in_4_files(self, way):
        course = make_course(max_student_enrollments_allowed=25)
        names = [user.get_username() for user in make_users(60)]
        calls = [
            partial(api.bulk_enroll, course_id_of(course), names[n::4])
            for n in range(4)
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 4}
        results = [result for answer in answers for result in answer.value]
        told = Counter(result["code"] or result["status"] for result in results)
        assert told == {"created": 25, "course_full": 35}
        assert seats_taken(course) == 25
        assert_history_is_true(answers)


class TestEnrollmentsService:
    @by(AUTOCOMMIT)
    def test_gives_3_seats_again_and_again_as_8_learners_come_and_go(self, way):
        course = make_course(max_student_enrollments_allowed=3)
        service = EnrollmentsService()
        calls = []
        for user in make_users(8):
            come = partial(service.enroll, user.pk, course_id_of(course))
            go = partial(service.unenroll, user.pk, course_id_of(course))
            calls.append(partial(in_turn, [come, go, come, go, come]))

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 8}
        told = {code for answer in answers for code in answer.value}
        assert told <= {"fine", "course_full", "enrollment_not_found"}
        assert seats_taken(course) == 3
        assert_history_is_true(answers)
