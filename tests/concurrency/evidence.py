"""What the database tells after a crowd has left."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from django_enrollments.models import CourseEnrollment, EnrollmentEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.concurrency.crowd import Answer


def tally(answers: Sequence[Answer]) -> dict[str, int]:
    """Count the answers by the error they are, ``"fine"`` for those that are none."""
    return dict(
        Counter(answer.error.__name__ if answer.error else "fine" for answer in answers)
    )


def seats_taken(course: Any) -> int:
    return CourseEnrollment.objects.active().filter(course=course.pk).count()


def assert_history_is_true(answers: Sequence[Answer]) -> None:
    """Check that events follow from one another, give the rows, and were announced."""
    events = assert_history_folds()
    heard = [event.event_id for answer in answers for event in answer.heard]
    assert sorted(heard) == sorted(event.event_id for event in events)


def assert_history_folds() -> list[EnrollmentEvent]:
    """Check that events follow from one another and give the rows; give them."""
    states: dict[int, tuple[str | None, bool | None]] = {}
    events = list(EnrollmentEvent.objects.order_by("pk"))
    for event in events:
        before = states.get(event.enrollment_id, (None, None))
        assert (event.mode_before, event.active_before) == before
        states[event.enrollment_id] = (event.mode_after, event.active_after)
    rows = CourseEnrollment.objects.values_list("pk", "mode", "is_active")
    assert {key: (mode, is_active) for key, mode, is_active in rows} == states
    return events
