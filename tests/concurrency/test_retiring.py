"""People who retire at once lose their invitations, and no process fails (MDL-26)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from django_enrollments import api
from django_enrollments.models import CourseEnrollmentAllowed
from tests.concurrency.crowd import at_once
from tests.concurrency.evidence import tally
from tests.concurrency.ways import REPEATABLE_READ, USUAL, by
from tests.factories import course_id_of, make_course

if TYPE_CHECKING:
    from tests.concurrency.crowd import Way

pytestmark = pytest.mark.django_db(transaction=True)

COURSES = 12


def invite(*emails: str) -> None:
    CourseEnrollmentAllowed.objects.bulk_create(
        CourseEnrollmentAllowed(email=email, course_id=f"course-{number}")
        for number in range(COURSES)
        # Not in the order of the courses, so that keys are in no order of theirs.
        for email in (emails if number % 2 else reversed(emails))
    )


@pytest.mark.rule("MDL-26")
@by(*USUAL, REPEATABLE_READ)
def test_who_retire_at_once_are_all_forgotten(way: Way) -> None:
    emails = [f"old{number}@example.org" for number in range(8)]
    invite(*emails, "stays@example.org")
    calls = [partial(CourseEnrollmentAllowed.retire, email) for email in emails]

    answers = at_once(calls, way)

    assert [answer.unwrap() for answer in answers] == [True] * 8
    left = CourseEnrollmentAllowed.objects.values_list("email", flat=True)
    assert [*left] == ["stays@example.org"] * COURSES


@pytest.mark.rule("MDL-26")
@by(*USUAL, REPEATABLE_READ)
def test_one_who_retires_twice_at_once_is_forgotten(way: Way) -> None:
    invite("old@example.org")
    calls = [partial(CourseEnrollmentAllowed.retire, "old@example.org")] * 6

    answers = at_once(calls, way)

    assert tally(answers) == {"fine": 6}
    assert any(answer.value for answer in answers)
    assert not CourseEnrollmentAllowed.objects.exists()


@pytest.mark.rule("MDL-26")
@by(*USUAL)
def test_who_is_invited_while_retiring_does_no_harm(way: Way) -> None:
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
