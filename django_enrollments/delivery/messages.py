"""The message that consumers get, and the exceptions that they raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from django_enrollments.conf import conf

if TYPE_CHECKING:
    from django_enrollments.models import EnrollmentEvent
    from django_enrollments.signals import EventRecord


def partition_of(event: EnrollmentEvent | EventRecord) -> str:
    """Return the key of the enrollment of an event."""
    return f"{event.user_id}:{event.course_id}"


@dataclass(frozen=True)
class Message:
    """
    One delivery of one event of the feed.

    Attributes:
        position: The position of the event in the feed, from 1. Repeated deliveries
            have the same one.
        attempt: The number of this attempt to deliver the event to the consumer, from
            1; 0 for messages that :func:`~django_enrollments.delivery.read` returns.
        event: The event. Its ``username`` and ``reason`` are ``""`` if it was erased,
            and if the consumer does not have ``PERSONAL``.
    """

    position: int
    attempt: int
    event: EventRecord

    @property
    def partition(self) -> str:
        """Return the key of the enrollment, ``"{user_id}:{course_id}"``."""
        return partition_of(self.event)

    def to_cloudevent(self, personal: bool = False) -> dict[str, Any]:
        """
        Return the message as a CloudEvents 1.0 structured JSON object.

        Args:
            personal: Whether ``data`` includes the username and the reason.

        Returns:
            A dictionary for JSON. ``sequence`` is the position in 20 digits.
        """
        data = self.event.to_dict()
        return {
            "specversion": "1.0",
            "id": data["event_id"],
            "source": conf.ENROLLMENTS_EVENT_SOURCE,
            "type": f"django_enrollments.enrollment.{self.event.type}.v1",
            "subject": self.partition,
            "partitionkey": self.partition,
            "time": data["time"],
            "datacontenttype": "application/json",
            "sequence": f"{self.position:020}",
            "data": {
                key: value
                for key, value in data.items()
                if personal or key not in {"username", "reason"}
            },
        }


class Backend(Protocol):
    """
    The class that ``BACKEND`` of a consumer names.

    It is instantiated as ``Class(consumer=name, personal=PERSONAL, **OPTIONS)``, once
    per worker. With ``CONCURRENCY`` above 1, several threads call the same
    instance. A call should take less than a minute, the duration of a lease.
    """

    def deliver(self, message: Message) -> object:
        """
        Deliver a message; it is delivered when this method returns.

        It is called outside of transactions.

        Raises:
            NotNow: The consumer cannot be reached: nothing can be delivered now.
            Gone: The consumer does not exist any more: it is paused.
            Reject: This message can never be delivered.
            Exception: Any other exception is a failure of this message, which is tried
                again later.
        """


class NotNow(Exception):  # noqa: N818 - a response of the consumer.
    """
    The consumer cannot take messages at the moment (D-12).

    Attributes:
        retry_after: Seconds until the next attempt, at most a day; ``None`` for the
            usual back-off.
    """

    def __init__(self, retry_after: float | None = None, text: str = "") -> None:
        super().__init__(text or "The consumer takes no messages at the moment.")
        self.retry_after = retry_after


class Gone(Exception):  # noqa: N818 - as above.
    """The consumer does not exist any more, and is paused (HTTP 410)."""


class Reject(Exception):  # noqa: N818 - as above.
    """This message can never be delivered to this consumer (D-13)."""
