"""Record the signals and notifications of this app in tests."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import router
from django.test import TestCase, override_settings

from django_enrollments import signals
from django_enrollments.models import CourseEnrollment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_enrollments.backends.notifications import NotificationData
    from django_enrollments.signals import EventRecord

_SIGNALS = (
    signals.enrollment_created,
    signals.enrollment_activated,
    signals.enrollment_deactivated,
    signals.enrollment_mode_changed,
)


@contextmanager
def capture_enrollment_signals() -> Iterator[list[EventRecord]]:
    """
    Record the events of the enrollment signals that the block sends.

    The signals are sent after the commit. In a test whose transaction is rolled back,
    as in ``TestCase`` and with the fixture ``db``, all functions that the block passed
    to ``transaction.on_commit()`` are called at the end of the block.

    Yields:
        A list of :class:`~django_enrollments.signals.EventRecord` in order. It is
        complete after the block.
    """
    events: list[EventRecord] = []

    def record(event: EventRecord, **kwargs: Any) -> None:
        events.append(event)

    for signal in _SIGNALS:
        signal.connect(record, weak=False)
    try:
        using = router.db_for_write(CourseEnrollment)
        with TestCase.captureOnCommitCallbacks(using=using, execute=True):
            yield events
    finally:
        for signal in _SIGNALS:
            signal.disconnect(record)


class RecordingBackend:
    """
    A notification backend that sends nothing and stores notifications in a list.

    Attributes:
        sent: The notifications, a
            :class:`~django_enrollments.backends.notifications.NotificationData` each.
    """

    sent: ClassVar[list[NotificationData]] = []

    def send(self, notification_data: NotificationData) -> None:
        """Append a notification to ``sent``."""
        self.sent.append(notification_data)


@contextmanager
def record_notifications() -> Iterator[list[NotificationData]]:
    """
    Record the notifications of the block instead of sending them.

    Yields:
        The list ``RecordingBackend.sent``, empty at the beginning.
    """
    path = f"{RecordingBackend.__module__}.{RecordingBackend.__qualname__}"
    RecordingBackend.sent.clear()
    with override_settings(ENROLLMENTS_NOTIFICATION_BACKEND=path):
        yield RecordingBackend.sent
