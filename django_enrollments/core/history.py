"""Writes what happened in the transaction of the change, announces it after commit."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_enrollments.context import between_calls
from django_enrollments.core.inserts import insert_columns
from django_enrollments.core.transactions import unjudged
from django_enrollments.datetimes import for_database
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from django_enrollments.signals import (
    EventRecord,
    enrollment_activated,
    enrollment_created,
    enrollment_deactivated,
    enrollment_mode_changed,
)
from django_enrollments.text import MAX_TEXT, is_storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.dispatch import Signal

    from django_enrollments.context import Origin

_SIGNALS: dict[str, Signal] = {
    "created": enrollment_created,
    "activated": enrollment_activated,
    "deactivated": enrollment_deactivated,
    "mode_changed": enrollment_mode_changed,
}


@dataclass
class Change:
    """
    From one state of an enrollment to another, in one step.

    Attributes:
        user: The learner.
        course_key: Primary key of the course.
        course_id: The course id as text.
        enrollment: The row, still in its old state; ``None`` until one is made.
        mode: Mode slug afterwards.
        is_active: Whether it is active afterwards.
    """

    user: Any
    course_key: Any
    course_id: str
    enrollment: CourseEnrollment | None
    mode: str
    is_active: bool

    @property
    def creates(self) -> bool:
        """Whether there was no row before."""
        return self.enrollment is None

    @property
    def activates(self) -> bool:
        """Whether a seat is needed that was not needed before."""
        return self.is_active and not (self.enrollment and self.enrollment.is_active)

    @property
    def deactivates(self) -> bool:
        """Whether the learner leaves."""
        return bool(
            self.enrollment and self.enrollment.is_active and not self.is_active
        )

    @property
    def changes_mode(self) -> bool:
        """Whether a row that was there gets another mode."""
        return self.enrollment is not None and self.enrollment.mode != self.mode

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be different afterwards."""
        row = self.enrollment
        return (
            row is not None
            and row.mode == self.mode
            and row.is_active == self.is_active
        )


def clean_enterprise_uuid(value: object) -> str:
    """
    Return the text of an enterprise customer's id, ``""`` for none (V1-SIDE-08).

    Args:
        value: Any text or UUID; ``None``, ``""`` and ``"None"`` mean none.

    Raises:
        CourseEnrollmentError: It is too long or cannot be stored.
    """
    text = "" if value is None else str(value)
    if not is_storable(text, MAX_TEXT):
        raise CourseEnrollmentError(
            f"The enterprise customer must be a text of at most {MAX_TEXT} characters."
        )
    return "" if text == "None" else text


def describe(change: Change) -> list[dict[str, Any]]:
    """
    Return the fields that tell the events of a change apart, in order.

    Each event changes one thing: first the activation, then the mode.

    Args:
        change: A change whose row is still in its old state.
    """
    row = change.enrollment
    if row is None:
        created = {
            "type": "created",
            "mode_before": None,
            "mode_after": change.mode,
            "active_before": None,
            "active_after": change.is_active,
        }
        return [created]
    events: list[dict[str, Any]] = []
    if row.is_active != change.is_active:
        switched = {
            "type": "activated" if change.is_active else "deactivated",
            "mode_before": row.mode,
            "mode_after": row.mode,
            "active_before": row.is_active,
            "active_after": change.is_active,
        }
        events.append(switched)
    if row.mode != change.mode:
        moved = {
            "type": "mode_changed",
            "mode_before": row.mode,
            "mode_after": change.mode,
            "active_before": change.is_active,
            "active_after": change.is_active,
        }
        events.append(moved)
    return events


def record(
    described: Sequence[tuple[CourseEnrollment, Change, list[dict[str, Any]]]],
    *,
    origin: Origin,
    at: datetime,
    using: str,
    enterprise_uuid: str = "",
    skip_refund: bool = False,
) -> None:
    """
    Write one event per thing that changed, and announce them after commit.

    Args:
        described: The rows in their new state, their changes, and what
            :func:`describe` said of each before.
        origin: Who made the changes, from where and why.
        at: When, aware.
        using: Database alias of the transaction under way.
        enterprise_uuid: The enterprise customer behind the changes, or ``""``.
        skip_refund: Whether receivers are to skip the refunds.
    """
    time = for_database(at)
    told = [
        (
            enrollment,
            EventRecord(
                event_id=uuid.uuid4(),
                time=at,
                user_id=change.user.pk,
                username=str(change.user.get_username()),
                course_id=change.course_id,
                actor_id=origin.actor_id,
                source=origin.source,
                reason=origin.reason,
                enterprise_uuid=enterprise_uuid,
                **fields,
            ),
        )
        for enrollment, change, events in described
        for fields in events
    ]
    columns: dict[str, list[Any]] = {
        field.name: [getattr(event, field.name) for _, event in told]
        for field in dataclass_fields(EventRecord)
    }
    columns["enrollment"] = [enrollment.pk for enrollment, _ in told]
    columns["time"] = [time] * len(told)
    insert_columns(EnrollmentEvent, columns, using=using)
    announce = partial(_announce, told, skip_refund=skip_refund)
    transaction.on_commit(announce, using=using, robust=True)


def _announce(
    told: Sequence[tuple[CourseEnrollment, EventRecord]], *, skip_refund: bool
) -> None:
    for enrollment, event in told:
        extra = {"skip_refund": skip_refund} if event.type == "deactivated" else {}
        # send_robust logs what a receiver raises and goes on with the next one.
        with between_calls(), unjudged():
            _SIGNALS[event.type].send_robust(
                CourseEnrollment, enrollment=enrollment, event=event, **extra
            )
