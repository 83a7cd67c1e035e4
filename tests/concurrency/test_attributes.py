"""Attributes are one whole list, whoever writes at once (B-23, PERF-04)."""

from __future__ import annotations

from functools import partial

import pytest

from django_enrollments import api
from django_enrollments.models import CourseEnrollment
from django_enrollments.services import EnrollmentsService
from tests.factories import course_id_of, make_course, make_modes, make_user, username
from tests.processes.checks import assert_history_is_true, tally
from tests.processes.concurrent import REPEATABLE_READ, USUAL, at_once, by

pytestmark = pytest.mark.django_db(transaction=True)


def own_list(writer: int) -> list[dict[str, str]]:
    """Return a list whose every entry tells who wrote it, some names being shared."""
    shared = [
        {"namespace": "order", "name": f"line{n}", "value": f"{writer}"}
        for n in range(4)
    ]
    return [*shared, {"namespace": f"w{writer}", "name": "own", "value": f"{writer}"}]


class TestSetEnrollmentAttributes:
    @pytest.mark.rule("PERF-04")
    @by(*USUAL, REPEATABLE_READ)
    def test_leaves_the_whole_list_of_one_of_10_writers(self, way):
        course = make_course()
        make_user("ada")
        arguments = (username("ada"), course_id_of(course))
        api.add_enrollment(*arguments)
        lists = [own_list(writer) for writer in range(10)]
        calls = [
            partial(api.set_enrollment_attributes, *arguments, one) for one in lists
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 10}
        assert api.get_enrollment_attributes(*arguments) in lists


class TestAddEnrollment:
    @by(*USUAL, REPEATABLE_READ)
    def test_leaves_the_list_of_the_one_of_10_that_enrolled(self, way):
        course = make_course()
        make_user("ada")
        arguments = (username("ada"), course_id_of(course))
        lists = [own_list(writer) for writer in range(10)]
        calls = [
            partial(api.add_enrollment, *arguments, enrollment_attributes=one)
            for one in lists
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 1, "CourseEnrollmentExistsError": 9}
        (winner,) = [n for n, answer in enumerate(answers) if answer.error is None]
        assert api.get_enrollment_attributes(*arguments) == lists[winner]
        assert_history_is_true(answers)


class TestUpdateEnrollment:
    @by(*USUAL, REPEATABLE_READ)
    def test_leaves_mode_and_list_of_the_same_writer(self, way):
        course = make_course()
        slugs = [f"mode{writer}" for writer in range(8)]
        make_modes(course, "audit", *slugs)
        make_user("ada")
        arguments = (username("ada"), course_id_of(course))
        api.add_enrollment(*arguments)
        calls = [
            partial(
                api.update_enrollment,
                *arguments,
                mode=slug,
                enrollment_attributes=own_list(writer),
            )
            for writer, slug in enumerate(slugs)
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 8}
        last = slugs.index(CourseEnrollment.objects.get().mode)
        assert api.get_enrollment_attributes(*arguments) == own_list(last)


class TestEnrollmentsService:
    @by(*USUAL, REPEATABLE_READ)
    def test_leaves_the_whole_list_of_the_one_of_10_that_enrolled(self, way):
        course, user = make_course(), make_user("ada")
        service = EnrollmentsService()
        lists = [own_list(writer) for writer in range(10)]
        calls = [
            partial(service.enroll, user.pk, course_id_of(course), attributes=one)
            for one in lists
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 10}
        left = api.get_enrollment_attributes(username("ada"), course_id_of(course))
        (winner,) = [n for n, answer in enumerate(answers) if answer.heard]
        assert left == lists[winner]
        assert_history_is_true(answers)
