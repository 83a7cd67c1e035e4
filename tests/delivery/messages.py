"""Messages that are not in a database."""

from __future__ import annotations

import uuid
from typing import Any

from django_enrollments.delivery import Message
from django_enrollments.signals import EventRecord
from tests.factories import NOON


def make_message(position: int = 1, attempt: int = 1, **fields: Any) -> Message:
    """Make the message that user 7 was enrolled in a course."""
    values = {
        "event_id": uuid.UUID(int=position),
        "type": "created",
        "time": NOON,
        "user_id": 7,
        "username": "ada",
        "course_id": "django-101",
        "mode_before": None,
        "mode_after": "audit",
        "active_before": None,
        "active_after": True,
        "actor_id": None,
        "source": "service",
        "reason": "Asked to, è",
        "enterprise_uuid": "",
        **fields,
    }
    return Message(position, attempt, EventRecord(**values))
