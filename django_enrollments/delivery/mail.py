"""
A consumer that sends mails of welcome and of expiring access.

It reads the enrollment before it sends, and sends nothing about one that has ended.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError

from django_enrollments.core.transactions import write_alias
from django_enrollments.datetimes import for_database, now, to_iso
from django_enrollments.delivery.messages import NotNow
from django_enrollments.enrollments_notifications import (
    AUDIT_ACCESS_EXPIRING_SOON,
    ENROLLMENT_WELCOME,
    EnrollmentNotificationSender,
)
from django_enrollments.models import (
    CourseEnrollment,
    CourseMode,
    EnrollmentEvent,
    SentNotification,
)

if TYPE_CHECKING:
    from django_enrollments.delivery.messages import Message

#: An older event does not cause a welcome, so that a replay does not write to learners
#: who have been there for years.
WELCOME_DAYS = 7


class MailFailed(Exception):  # noqa: N818 - an outcome, not a programming error.
    """A mail could not be sent. The text is the kind of error, without addresses."""


class MailBackend:
    """
    Sends mails with the backend of ``ENROLLMENTS_NOTIFICATION_BACKEND``.

    Each mail is recorded after it was sent, and then not sent again. If a worker dies
    between the two, the learner gets it twice.

    Args:
        welcome: Whether to welcome learners whose enrollment begins.
        expiry_days: Notify a learner at once if the mode expires within this number of
            days, as ``send_expiry_notifications`` does once a day; 0 for never.
    """

    def __init__(
        self,
        *,
        consumer: str,
        personal: bool,
        welcome: bool = True,
        expiry_days: int = 7,
    ) -> None:
        self._welcome, self._expiry = welcome, timedelta(days=expiry_days)

    def deliver(self, message: Message) -> None:
        """Send the mails for an event."""
        event = message.event
        enrollments = CourseEnrollment.objects.using(write_alias()).active()
        enrollment = (
            enrollments.of_course_id(event.course_id)
            .select_related("course")
            .filter(user=event.user_id)
            .first()
        )
        if enrollment is None or not event.active_after:
            return
        at = now()
        is_recent = event.time > at - timedelta(days=WELCOME_DAYS)
        if self._welcome and is_recent and _is_last_start(enrollment, message):
            _send(enrollment, ENROLLMENT_WELCOME, for_database(event.time))
        deadline = _find_deadline(enrollment)
        limits = for_database(at), for_database(at + self._expiry)
        if deadline is not None and limits[0] <= deadline < limits[1]:
            _send(enrollment, AUDIT_ACCESS_EXPIRING_SOON, deadline)


def _is_last_start(enrollment: CourseEnrollment, message: Message) -> bool:
    """Return whether an event began an enrollment, and no later one did so again."""
    starts = EnrollmentEvent.objects.using(write_alias()).filter(
        enrollment=enrollment, type__in=("created", "activated")
    )
    last = starts.order_by("-pk").values_list("event_id", flat=True).first()
    return last == message.event.event_id


def _find_deadline(enrollment: CourseEnrollment) -> datetime | None:
    """Return the last expiration of the mode, ``None`` if there is none."""
    modes = CourseMode.objects.filter(
        course=enrollment.course_id, mode_slug=enrollment.mode
    )
    moments = list(modes.order_by().values_list("expiration_datetime", flat=True))
    known = [moment for moment in moments if moment is not None]
    return max(known) if known and len(known) == len(moments) else None


def _send(enrollment: CourseEnrollment, kind: str, deadline: datetime) -> None:
    """Send a notification, unless it was recorded, and record it."""
    sent = SentNotification._default_manager.using(write_alias())
    key: Any = {"notification_type": kind, "deadline": deadline}
    if sent.filter(enrollment=enrollment, **key).exists():
        return
    expiry = None if kind == ENROLLMENT_WELCOME else to_iso(deadline)
    sender = EnrollmentNotificationSender(enrollment.course, enrollment.user_id, expiry)
    try:
        sender.send(kind)
    except (SMTPRecipientsRefused, SMTPDataError) as error:
        raise MailFailed(type(error).__name__) from None
    except OSError as error:
        raise NotNow(text=f"The mail server: {type(error).__name__}.") from None
    except Exception as error:  # noqa: BLE001 - its text may have an address.
        raise MailFailed(type(error).__name__) from None
    # Deleted meanwhile.
    with suppress(IntegrityError):
        sent.create(enrollment=enrollment, sent=for_database(now()), **key)
