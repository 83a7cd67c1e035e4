"""Assertions about the database after concurrent calls and faults."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    EmailOptIn,
    EnrollmentEvent,
)
from django_enrollments.models.invitations import email_of
from tests.factories import course_id_of, make_users
from tests.processes.calls import ENROLLING, enroll_by_api, without_waiting
from tests.processes.concurrent import at_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.processes.concurrent import Answer

_numbers = count()

#: Runs a test with each function that enrolls.
by_every_function = pytest.mark.parametrize(
    "enroll", ENROLLING, ids=[one.__name__ for one in ENROLLING]
)


def tally(answers: Sequence[Answer]) -> dict[str, int]:
    """Count answers by the class of their error, ``"fine"`` for those without one."""
    return dict(
        Counter(answer.error.__name__ if answer.error else "fine" for answer in answers)
    )


def seats_taken(course) -> int:
    return CourseEnrollment.objects.active().filter(course=course.pk).count()


def assert_history_is_true(answers: Sequence[Answer]):
    """Assert that the history is that of the rows, and that signals were sent of it."""
    events = assert_history_folds()
    heard = [event.event_id for answer in answers for event in answer.heard]
    assert sorted(heard) == sorted(event.event_id for event in events)


def assert_history_folds() -> list[EnrollmentEvent]:
    """Assert that the events add up to the rows, and return the events."""
    states: dict[int, tuple[str | None, bool | None]] = {}
    events = list(EnrollmentEvent.objects.order_by("pk"))
    for event in events:
        before = states.get(event.enrollment_id, (None, None))
        assert (event.mode_before, event.active_before) == before
        states[event.enrollment_id] = (event.mode_after, event.active_after)
    rows = CourseEnrollment.objects.values_list("pk", "mode", "is_active")
    assert {key: (mode, is_active) for key, mode, is_active in rows} == states
    return events


def assert_nothing_is_incomplete(seats: Mapping[Any, int]):
    """
    Assert that every operation was made completely or not at all.

    Args:
        seats: The capacity of each course that has one.
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


def assert_no_lock_is_left(*courses):
    """Assert that new learners are enrolled or refused without waiting for locks."""
    users = make_users(len(courses), prefix=f"newcomer{next(_numbers)}x")
    calls = [
        partial(without_waiting, partial(enroll_by_api, user, course_id_of(course)), 20)
        for user, course in zip(users, courses, strict=True)
    ]
    assert tally(at_once(calls)).keys() <= {"fine", "CourseEnrollmentFullError"}
