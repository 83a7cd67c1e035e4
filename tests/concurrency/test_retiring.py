"""People who retire at once lose their invitations, and no process fails (MDL-26)."""

from __future__ import annotations

from functools import partial

import pytest

from django_enrollments import api
from django_enrollments.models import CourseEnrollmentAllowed
from tests.factories import course_id_of, make_course
from tests.processes.checks import tally
from tests.processes.concurrent import REPEATABLE_READ, USUAL, at_once, by

pytestmark = pytest.mark.django_db(transaction=True)

COURSES = 12


def invite(*emails: str):
    CourseEnrollmentAllowed.objects.bulk_create(
        CourseEnrollmentAllowed(email=email, course_id=f"course-{number}")
        for number in range(COURSES)
        # Not in the order of the courses, so that keys are in no order of theirs.
        for email in (emails if number % 2 else reversed(emails))
    )


@pytest.mark.rule("MDL-26")
@by(*USUAL, REPEATABLE_READ)
def test_who_retire_at_once_are_all_forgotten(way):
    emails = [f"old{number}@example.org" for number in range(8)]
    invite(*emails, "stays@example.org")
    calls = [partial(CourseEnrollmentAllowed.retire, email) for email in emails]

    answers = at_once(calls, way)

    assert [answer.unwrap() for answer in answers] == [True] * 8
    left = CourseEnrollmentAllowed.objects.values_list("email", flat=True)
    assert [*left] == ["stays@example.org"] * COURSES


@pytest.mark.rule("MDL-26")
@by(*USUAL, REPEATABLE_READ)
def test_one_who_retires_twice_at_once_is_forgotten(way):
    invite("old@example.org")
    calls = [partial(CourseEnrollmentAllowed.retire, "old@example.org")] * 6

    answers = at_once(calls, way)

    assert tally(answers) == {"fine": 6}
    assert any(answer.value for answer in answers)
    assert not CourseEnrollmentAllowed.objects.exists()


@pytest.mark.rule("MDL-26")
@by(*USUAL)
def test_who_is_invited_while_retiring_does_no_harm(way):
    course = make_course()
    invite("old@example.org", "other@example.org")
    calls = [
        partial(CourseEnrollmentAllowed.retire, "old@example.org"),
        partial(CourseEnrollmentAllowed.retire, "other@example.org"),
        *(
            partial(
                api.bulk_enroll,
                course_id_of(course),
                emails=["redacted-before-delete@safe.com", "old@example.org"],
            ),
        )
        * 3,
    ]

    answers = at_once(calls, way)

    assert tally(answers) == {"fine": 5}
