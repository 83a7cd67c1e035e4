"""Rows, events and signals after a call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from django_enrollments import signals
from django_enrollments.errors import EnrollmentNotAllowed
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    EnrollmentEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.dispatch import Signal

SIGNALS: dict[str, Signal] = {
    "created": signals.enrollment_created,
    "activated": signals.enrollment_activated,
    "deactivated": signals.enrollment_deactivated,
    "mode_changed": signals.enrollment_mode_changed,
}

_TABLES = (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    EnrollmentEvent,
)


def stored(*more) -> dict[str, list[dict[str, Any]]]:
    """Return every row that enrolling may touch, and those of more models."""
    return {
        model.__name__: list(model._base_manager.order_by("pk").values())
        for model in (*_TABLES, *more)
    }


@contextmanager
def nothing_written(*more) -> Iterator[None]:
    """Assert that a block changes no row that enrolling may touch, nor of ``more``."""
    before = stored(*more)
    yield
    assert stored(*more) == before


@contextmanager
def raises_without_writes(
    error: type[Exception], match: str | None = None
) -> Iterator[pytest.ExceptionInfo[Any]]:
    """Assert that a block raises an error and writes nothing."""
    with nothing_written(), pytest.raises(error, match=match) as refusal:
        yield refusal


@contextmanager
def listening() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """List the signals of a block in order: types and arguments."""
    heard: list[tuple[str, dict[str, Any]]] = []
    receivers = []
    for name, signal in SIGNALS.items():

        def receive(*, _name: str = name, **carried):
            heard.append((_name, carried))

        signal.connect(receive)
        receivers.append((signal, receive))
    try:
        yield heard
    finally:
        for signal, receive in receivers:
            signal.disconnect(receive)


def row_of(user, course) -> CourseEnrollment:
    """Return the stored enrollment of a learner."""
    return CourseEnrollment.objects.get(user=user, course=course)


def state_of(user, course) -> tuple[str, bool]:
    """Return mode and activation of the stored enrollment of a learner."""
    row = row_of(user, course)
    return row.mode, row.is_active


def event_types(**filters) -> list[str]:
    """List the types of the stored events in order."""
    events = EnrollmentEvent.objects.filter(**filters).order_by("pk")
    return list(events.values_list("type", flat=True))


def fold(**filters) -> tuple[str, bool] | None:
    """Return mode and activation after all stored events."""
    state: tuple[str, bool] | None = None
    for event in EnrollmentEvent.objects.filter(**filters).order_by("pk"):
        before = (event.mode_before, event.active_before)
        assert before == (state or (None, None)), event.type
        state = (event.mode_after, event.active_after)
    return state


def veto(action: str, **context: Any) -> None:
    """Refuse every change, as a filter of the host."""
    raise EnrollmentNotAllowed("Not today.")
