"""What must be true after any fault whatever."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    EmailOptIn,
)
from django_enrollments.models.invitations import email_of
from tests.concurrency.crowd import at_once
from tests.concurrency.evidence import assert_history_folds, seats_taken, tally
from tests.factories import course_id_of, make_users
from tests.faults.deeds import enroll_by_api, soon

if TYPE_CHECKING:
    from collections.abc import Mapping

_numbers = count()


def assert_nothing_is_half_done(seats: Mapping[Any, int]) -> None:
    """
    Check that every operation has happened whole or not at all, and seats held.

    Args:
        seats: How many seats each course with a capacity has.
    """
    assert_history_folds()
    lists: dict[int, list[str]] = {}
    for attribute in CourseEnrollmentAttribute.objects.all():
        lists.setdefault(attribute.enrollment_id, []).append(attribute.value)
    assert all(len(values) == 3 == values.count(values[0]) for values in lists.values())
    rows = CourseEnrollment.objects.select_related("user", "course")
    enrolled = {(row.user_id, course_id_of(row.course)) for row in rows}
    addressed = {(email_of(row.user), course_id_of(row.course)) for row in rows}
    for invitation in CourseEnrollmentAllowed.objects.all():
        if invitation.user_id is None:
            assert (invitation.email, invitation.course_id) not in addressed
        else:
            assert (invitation.user_id, invitation.course_id) in enrolled
    learners = {row.user_id for row in rows}
    assert learners.issuperset(EmailOptIn.objects.values_list("user", flat=True))
    for course, capacity in seats.items():
        assert seats_taken(course) <= capacity


def assert_nobody_has_to_wait(*courses: Any) -> None:
    """Check that newcomers are let into courses or turned away, without waiting."""
    users = make_users(len(courses), prefix=f"newcomer{next(_numbers)}x")
    calls = [
        partial(soon, partial(enroll_by_api, user, course_id_of(course)))
        for user, course in zip(users, courses, strict=True)
    ]
    assert tally(at_once(calls)).keys() <= {"fine", "CourseEnrollmentFullError"}
