"""
The signals of this app, and the record that they send.

Signals are sent after the commit, in the order of the changes. A change that was rolled
back sends none. An exception in a receiver is logged and does not affect the other
receivers. For each enrollment signal, there is a row of
:class:`~django_enrollments.models.EnrollmentEvent`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from django.dispatch import Signal

from django_enrollments.datetimes import to_iso

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from django_enrollments.payloads import EventDict


@dataclass(frozen=True)
class EventRecord:
    """
    One change of one enrollment, frozen.

    Attributes:
        event_id: Unique id of the event.
        type: ``created``, ``activated``, ``deactivated`` or ``mode_changed``.
        time: Aware datetime of the change.
        user_id: Primary key of the learner.
        username: The learner's username at that time.
        course_id: The course id as text.
        mode_before: Mode slug before; ``None`` for ``created``.
        mode_after: Mode slug after.
        active_before: Whether the enrollment was active; ``None`` for ``created``.
        active_after: Whether the enrollment is active.
        actor_id: Primary key of the acting user, or ``None``.
        source: One of :data:`django_enrollments.context.SOURCES`, or a host's own.
        reason: Text given by the actor, or ``""``.
        enterprise_uuid: The enterprise customer, or ``""``.
    """

    event_id: uuid.UUID
    type: str
    time: datetime
    user_id: Any
    username: str
    course_id: str
    mode_before: str | None
    mode_after: str
    active_before: bool | None
    active_after: bool
    actor_id: Any
    source: str
    reason: str
    enterprise_uuid: str

    def to_dict(self) -> EventDict:
        """
        Return the record as a dictionary for JSON (contract §8).

        Returns:
            The attributes. ``time`` is ISO 8601 text ending in ``Z``, ``event_id`` is
            text, and keys of users are integers or text.
        """
        plain = {
            "event_id": str(self.event_id),
            "time": to_iso(self.time),
            "user_id": _plain(self.user_id),
            "actor_id": _plain(self.actor_id),
        }
        return cast("EventDict", asdict(self) | plain)


def _plain(key: Any) -> int | str | None:
    return key if key is None or isinstance(key, int) else str(key)


#: An enrollment was created, active or not.
#:
#: :param sender: :class:`~django_enrollments.models.CourseEnrollment`.
#: :param enrollment: The instance.
#: :param event: The :class:`EventRecord`.
enrollment_created = Signal()

#: An inactive enrollment was activated.
#:
#: :param sender: :class:`~django_enrollments.models.CourseEnrollment`.
#: :param enrollment: The instance.
#: :param event: The :class:`EventRecord`.
enrollment_activated = Signal()

#: An enrollment was deactivated.
#:
#: :param sender: :class:`~django_enrollments.models.CourseEnrollment`.
#: :param enrollment: The instance.
#: :param event: The :class:`EventRecord`.
#: :param skip_refund: Whether receivers should skip the refund.
enrollment_deactivated = Signal()

#: The mode of an enrollment was changed.
#:
#: :param sender: :class:`~django_enrollments.models.CourseEnrollment`.
#: :param enrollment: The instance.
#: :param event: The :class:`EventRecord`.
enrollment_mode_changed = Signal()

#: A notification is about to be sent (NOTIF-02).
#:
#: :param sender: The class that sends the notification.
#: :param notification_data: The
#:     :class:`~django_enrollments.backends.notifications.NotificationData` (NOTIF-03).
notification_requested = Signal()
