"""Concurrent changes of one enrollment are made one after the other."""

from __future__ import annotations

from functools import partial

import pytest

from django_enrollments import api
from django_enrollments.models import CourseEnrollment, EmailOptIn, EnrollmentEvent
from django_enrollments.services import EnrollmentsService
from tests.enrolling import enroll_or_change
from tests.factories import (
    make_course,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.processes.calls import in_turn
from tests.processes.checks import assert_history_is_true, tally
from tests.processes.concurrent import REPEATABLE_READ, USUAL, at_once, by
from tests.watching import event_types

pytestmark = pytest.mark.django_db(transaction=True)

service = EnrollmentsService()
COURSE_ID = "django-101"
ADA = username("ada")


def own_list(writer: int) -> list[dict[str, str]]:
    """Return attributes with the writer in each of them; writers share some names."""
    shared = [
        {"namespace": "order", "name": f"line{n}", "value": f"{writer}"}
        for n in range(4)
    ]
    return [*shared, {"namespace": f"w{writer}", "name": "own", "value": f"{writer}"}]


@pytest.fixture
def ada():
    return make_user("ada")


@pytest.fixture
def course(ada):
    course = make_course(COURSE_ID)
    make_modes(course, "audit", "verified")
    return course


class TestEnrolling:
    @pytest.mark.rule("B-06")
    @by(*USUAL, REPEATABLE_READ)
    def test_by_the_service_returns_one_row_to_all(self, way, ada, course):
        answers = at_once([partial(service.enroll, ada.pk, COURSE_ID)] * 20, way)

        assert tally(answers) == {"fine": 20}
        assert {answer.value for answer in answers} == {CourseEnrollment.objects.get()}
        assert event_types() == ["created"]
        assert_history_is_true(answers)

    @pytest.mark.rule("B-06", "PERF-02")
    @by(*USUAL)
    @pytest.mark.parametrize("seats", [None, 1])
    @pytest.mark.parametrize("function", ["service", "model", "enroll_or_update"])
    def test_by_other_functions_takes_one_seat(self, way, ada, function, seats):
        make_course(COURSE_ID, max_student_enrollments_allowed=seats)
        call = {
            "service": partial(service.enroll, ada.pk, COURSE_ID),
            "model": partial(CourseEnrollment.enroll, ada, COURSE_ID),
            "enroll_or_update": partial(
                enroll_or_change, ADA, COURSE_ID, email_opt_in=True
            ),
        }[function]

        answers = at_once([call] * 10, way)

        assert tally(answers) == {"fine": 10}
        assert event_types() == ["created"]
        assert EmailOptIn.objects.count() == (function == "enroll_or_update")
        assert_history_is_true(answers)

    @pytest.mark.rule("PERF-02")
    @by(*USUAL, REPEATABLE_READ)
    def test_by_the_api_is_refused_to_all_but_one(self, way, course):
        answers = at_once([partial(api.add_enrollment, ADA, COURSE_ID)] * 20, way)

        assert tally(answers) == {"fine": 1, "CourseEnrollmentExistsError": 19}
        values = [answer.value for answer in answers if answer.value]
        assert values == [api.get_enrollment(ADA, COURSE_ID)]
        assert event_types() == ["created"]
        assert_history_is_true(answers)

    @by(*USUAL)
    def test_by_the_api_activates_once(self, way, ada):
        make_course(COURSE_ID, max_student_enrollments_allowed=1)
        api.add_enrollment(ADA, COURSE_ID, is_active=False)

        answers = at_once([partial(api.add_enrollment, ADA, COURSE_ID)] * 10, way)

        assert tally(answers) == {"fine": 1, "CourseEnrollmentExistsError": 9}
        assert event_types() == ["created", "activated"]


class TestChanging:
    @by(*USUAL)
    def test_enrolls_and_unenrolls_in_turn(self, way, ada, course):
        enroll = partial(service.enroll, ada.pk, COURSE_ID)
        unenroll = partial(service.unenroll, ada.pk, COURSE_ID)

        answers = at_once([partial(in_turn, [enroll, unenroll] * 5)] * 6, way)

        assert [answer.value for answer in answers] == [["fine"] * 10] * 6
        assert_history_is_true(answers)

    @pytest.mark.rule("PERF-05")
    @by(*USUAL)
    @pytest.mark.parametrize("was_active", [True, False])
    def test_makes_both_of_two_changes(self, way, course, was_active):
        names = [user.get_username() for user in make_users(10)]
        for name in names:
            api.add_enrollment(name, COURSE_ID, is_active=was_active)
        upgrade = partial(api.update_enrollment, mode="verified")
        other = (
            partial(api.update_enrollment, is_active=False)
            if was_active
            else api.add_enrollment
        )
        calls = [
            partial(in_turn, [partial(call, name, COURSE_ID) for name in names])
            for call in (upgrade, other)
        ]

        answers = at_once(calls, way)

        assert [answer.value for answer in answers] == [["fine"] * 10] * 2
        rows = set(CourseEnrollment.objects.values_list("mode", "is_active"))
        if was_active:
            assert rows == {("verified", False)}
        else:
            # Enrolling again is in the default mode.
            assert rows <= {("verified", True), ("audit", True)}
        assert EnrollmentEvent.objects.exists()


class TestAttributes:
    """They are the whole list of one call."""

    @pytest.mark.rule("PERF-04")
    @by(*USUAL, REPEATABLE_READ)
    @pytest.mark.parametrize("function", ["set", "add", "service"])
    def test_are_those_of_one_of_10_calls(self, way, ada, course, function):
        call, name = {
            "set": (
                partial(api.set_enrollment_attributes, ADA, COURSE_ID),
                "attributes",
            ),
            "add": (
                partial(api.add_enrollment, ADA, COURSE_ID),
                "enrollment_attributes",
            ),
            "service": (partial(service.enroll, ada.pk, COURSE_ID), "attributes"),
        }[function]
        if function == "set":
            api.add_enrollment(ADA, COURSE_ID)
        lists = [own_list(writer) for writer in range(10)]

        answers = at_once([partial(call, **{name: one}) for one in lists], way)

        stored = api.get_enrollment_attributes(ADA, COURSE_ID)
        if function == "set":
            assert tally(answers) == {"fine": 10}
            assert stored in lists
            return
        refused = {"CourseEnrollmentExistsError": 9} if function == "add" else {}
        assert tally(answers) == {"fine": 10 - sum(refused.values()), **refused}
        # The one that has written sent a signal.
        (winner,) = [n for n, answer in enumerate(answers) if answer.heard]
        assert stored == lists[winner]
        assert_history_is_true(answers)

    @by(*USUAL, REPEATABLE_READ)
    def test_are_those_of_the_call_that_set_the_mode(self, way, course):
        slugs = [f"mode{writer}" for writer in range(8)]
        make_modes(course, *slugs)
        api.add_enrollment(ADA, COURSE_ID)
        update = partial(api.update_enrollment, ADA, COURSE_ID)
        calls = [
            partial(update, mode=slug, enrollment_attributes=own_list(writer))
            for writer, slug in enumerate(slugs)
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 8}
        last = slugs.index(CourseEnrollment.objects.get().mode)
        assert api.get_enrollment_attributes(ADA, COURSE_ID) == own_list(last)
