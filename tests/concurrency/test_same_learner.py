"""Whatever is done to one enrollment at once, it happens one after the other."""

from __future__ import annotations

from functools import partial

import pytest

from django_enrollments import api
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    course_id_of,
    make_course,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.processes.calls import in_turn
from tests.processes.checks import assert_history_is_true, tally
from tests.processes.concurrent import AUTOCOMMIT, REPEATABLE_READ, USUAL, at_once, by

pytestmark = pytest.mark.django_db(transaction=True)

service = EnrollmentsService()


class TestEnrollingTwiceAtOnce:
    @pytest.mark.rule("B-06")
    @by(*USUAL, REPEATABLE_READ)
    def test_the_service_gives_all_20_the_same_row(self, way):
        course, user = make_course(), make_user("ada")
        calls = [partial(service.enroll, user.pk, course_id_of(course))] * 20

        answers = at_once(calls, way)

        row = CourseEnrollment.objects.get()
        assert tally(answers) == {"fine": 20}
        assert {answer.value for answer in answers} == {row}
        assert EnrollmentEvent.objects.get().type == "created"
        assert_history_is_true(answers)

    @pytest.mark.rule("B-06")
    @by(*USUAL)
    def test_the_service_gives_all_10_the_only_seat(self, way):
        course = make_course(max_student_enrollments_allowed=1)
        user = make_user("ada")
        calls = [partial(service.enroll, user.pk, course_id_of(course))] * 10

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 10}
        assert EnrollmentEvent.objects.get().type == "created"
        assert_history_is_true(answers)

    @pytest.mark.rule("PERF-02")
    @by(*USUAL, REPEATABLE_READ)
    def test_the_api_tells_19_of_20_that_the_learner_is_in(self, way):
        course = make_course()
        make_user("ada")
        call = partial(api.add_enrollment, username("ada"), course_id_of(course))

        answers = at_once([call] * 20, way)

        assert tally(answers) == {"fine": 1, "CourseEnrollmentExistsError": 19}
        assert [answer.value for answer in answers if answer.value] == [
            api.get_enrollment(username("ada"), course_id_of(course))
        ]
        assert EnrollmentEvent.objects.get().type == "created"
        assert_history_is_true(answers)

    @by(*USUAL)
    def test_the_api_brings_a_learner_back_once(self, way):
        course = make_course(max_student_enrollments_allowed=1)
        make_user("ada")
        call = partial(api.add_enrollment, username("ada"), course_id_of(course))
        call(is_active=False)

        answers = at_once([call] * 10, way)

        assert tally(answers) == {"fine": 1, "CourseEnrollmentExistsError": 9}
        kinds = EnrollmentEvent.objects.order_by("pk").values_list("type", flat=True)
        assert list(kinds) == ["created", "activated"]

    @by(*USUAL)
    def test_the_model_keeps_a_learner_who_is_in_already(self, way):
        course, user = make_course(), make_user("ada")
        call = partial(CourseEnrollment.enroll, user, course_id_of(course))

        answers = at_once([call] * 10, way)

        assert tally(answers) == {"fine": 10}
        assert EnrollmentEvent.objects.get().type == "created"
        assert_history_is_true(answers)

    @by(AUTOCOMMIT)
    def test_4_files_with_the_same_learners_in_other_orders_enroll_each_once(self, way):
        course = make_course()
        names = [user.get_username() for user in make_users(120)]
        orders = [names, names[::-1], names[60:] + names[:60], names[::2] + names[1::2]]
        calls = [
            partial(api.bulk_enroll, course_id_of(course), order) for order in orders
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 4}
        told = [result["status"] for answer in answers for result in answer.value]
        assert sorted(told) == ["created"] * 120 + ["unchanged"] * 360
        assert EnrollmentEvent.objects.count() == 120
        assert_history_is_true(answers)


class TestComingAndGoing:
    @by(*USUAL)
    def test_history_gives_the_row_and_alternates(self, way):
        course, user = make_course(), make_user("ada")
        arguments = (user.pk, course_id_of(course))
        come = partial(service.enroll, *arguments)
        go = partial(service.unenroll, *arguments)
        calls = [partial(in_turn, [come, go] * 5)] * 6

        answers = at_once(calls, way)

        assert [answer.value for answer in answers] == [["fine"] * 10] * 6
        assert_history_is_true(answers)


class TestChangingTwoThingsAtOnce:
    @pytest.mark.rule("PERF-05")
    @by(*USUAL)
    def test_another_mode_and_leaving_both_happen(self, way):
        course = make_course()
        make_modes(course, "audit", "verified")
        names = [user.get_username() for user in make_users(10)]
        course_id = course_id_of(course)
        for name in names:
            api.add_enrollment(name, course_id)
        upgrade = [
            partial(api.update_enrollment, name, course_id, mode="verified")
            for name in names
        ]
        leave = [
            partial(api.update_enrollment, name, course_id, is_active=False)
            for name in names
        ]

        answers = at_once([partial(in_turn, upgrade), partial(in_turn, leave)], way)

        assert [answer.value for answer in answers] == [["fine"] * 10] * 2
        rows = CourseEnrollment.objects.values_list("mode", "is_active")
        assert set(rows) == {("verified", False)}

    @pytest.mark.rule("PERF-05")
    @by(*USUAL)
    def test_upgrading_and_coming_back_give_one_of_two_orders(self, way):
        course = make_course()
        make_modes(course, "audit", "verified")
        names = [user.get_username() for user in make_users(10)]
        course_id = course_id_of(course)
        for name in names:
            api.add_enrollment(name, course_id, is_active=False)
        upgrade = [
            partial(api.update_enrollment, name, course_id, mode="verified")
            for name in names
        ]
        come_back = [partial(api.add_enrollment, name, course_id) for name in names]

        answers = at_once([partial(in_turn, upgrade), partial(in_turn, come_back)], way)

        assert [answer.value for answer in answers] == [["fine"] * 10] * 2
        rows = CourseEnrollment.objects.values_list("mode", "is_active")
        # Coming back without a mode is coming back in the default one.
        assert set(rows) <= {("verified", True), ("audit", True)}
