"""
What this app announces, and the record it announces it with.

Each signal is sent after commit, in the order of the changes, and never for a change
that rolled back. A receiver that raises is logged and affects no other. Every
enrollment signal comes with one row of
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
        event_id: Identifies the event for ever.
        type: ``created``, ``activated``, ``deactivated`` or ``mode_changed``.
        time: When the change was made, aware.
        user_id: Primary key of the learner.
        username: The learner's name at that time.
        course_id: The course id as text.
        mode_before: Mode slug before; ``None`` for ``created``.
        mode_after: Mode slug after.
        active_before: Whether it was active; ``None`` for ``created``.
        active_after: Whether it is active.
        actor_id: Primary key of the acting user, or ``None``.
        source: One of :data:`django_enrollments.context.SOURCES`, or the host's word.
        reason: Words given by the actor, or ``""``.
        enterprise_uuid: The enterprise customer behind it, or ``""``.
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
        Return the record as JSON holds it, for a queue or a webhook (contract §8).

        Returns:
            A dictionary by attribute; ``time`` is ISO 8601 text ending in ``Z``,
            ``event_id`` is text, and so are keys of users that are no numbers.
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


#: A learner has an enrollment that was not there before, active or not.
#:
#: :param sender: :class:`~django_enrollments.models.CourseEnrollment`.
#: :param enrollment: The instance.
#: :param event: The :class:`EventRecord`.
enrollment_created = Signal()

#: A former enrollment is active again.
#:
#: :param sender: :class:`~django_enrollments.models.CourseEnrollment`.
#: :param enrollment: The instance.
#: :param event: The :class:`EventRecord`.
enrollment_activated = Signal()

#: A learner has left the course.
#:
#: :param sender: :class:`~django_enrollments.models.CourseEnrollment`.
#: :param enrollment: The instance.
#: :param event: The :class:`EventRecord`.
#: :param skip_refund: Whether receivers are to skip the refund.
enrollment_deactivated = Signal()

#: An enrollment has another mode.
#:
#: :param sender: :class:`~django_enrollments.models.CourseEnrollment`.
#: :param enrollment: The instance.
#: :param event: The :class:`EventRecord`.
enrollment_mode_changed = Signal()

#: A learner should be told something (NOTIF-02).
#:
#: :param sender: The class of the sender.
#: :param notification_data: What NOTIF-03 lists.
notification_requested = Signal()
