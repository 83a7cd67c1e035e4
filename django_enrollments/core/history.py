"""Writes the events of changes; sends signals and wakes workers after the commit."""

from __future__ import annotations

import uuid
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_enrollments.conf import conf
from django_enrollments.context import outside_call
from django_enrollments.core.sql import insert_rows
from django_enrollments.core.transactions import no_expected_state
from django_enrollments.datetimes import for_database
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.importing import load
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

    from django.dispatch import Signal

    from django_enrollments.core.changes import Change, ChangeOptions

_SIGNALS: dict[str, Signal] = {
    "created": enrollment_created,
    "activated": enrollment_activated,
    "deactivated": enrollment_deactivated,
    "mode_changed": enrollment_mode_changed,
}

_FIELDS = [field.name for field in fields(EventRecord)]


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


def record(changes: Sequence[Change], options: ChangeOptions) -> None:
    """
    Write one event for each thing that changed, and send their signals after commit.

    Args:
        changes: Changes whose rows are in their new state.
    """
    origin = options.origin
    events = [
        (
            change.enrollment,
            EventRecord(
                event_id=uuid.uuid4(),
                time=options.at,
                user_id=change.user.pk,
                username=str(change.user.get_username()),
                course_id=change.course_id,
                actor_id=origin.actor_id,
                source=origin.source,
                reason=origin.reason,
                enterprise_uuid=options.enterprise_uuid,
                **values,
            ),
        )
        for change in changes
        for values in change.list_events()
    ]
    columns: dict[str, list[Any]] = {
        name: [getattr(event, name) for _, event in events] for name in _FIELDS
    }
    columns["enrollment"] = [row.pk for row, _ in events if row]
    columns["time"] = [for_database(options.at)] * len(events)
    insert_rows(EnrollmentEvent, columns, using=options.using)

    # Django logs the name of a function that raises; a partial object has none.
    def send_signals() -> None:
        _send_signals(events, skip_refund=options.skip_refund)

    transaction.on_commit(send_signals, using=options.using, robust=True)
    if conf.ENROLLMENTS_WAKE and conf.ENROLLMENTS_CONSUMERS:
        transaction.on_commit(wake_workers, using=options.using, robust=True)


def wake_workers() -> None:
    """Call the function of the setting ``ENROLLMENTS_WAKE``, if there is one."""
    path = conf.ENROLLMENTS_WAKE
    if path:
        with outside_call(), no_expected_state():
            load("ENROLLMENTS_WAKE", path)("events")


def _send_signals(
    events: Sequence[tuple[CourseEnrollment | None, EventRecord]], *, skip_refund: bool
) -> None:
    for enrollment, event in events:
        extra = {"skip_refund": skip_refund} if event.type == "deactivated" else {}
        # send_robust logs what a receiver raises and goes on with the next one.
        with outside_call(), no_expected_state():
            _SIGNALS[event.type].send_robust(
                CourseEnrollment, enrollment=enrollment, event=event, **extra
            )
