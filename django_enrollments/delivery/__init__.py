"""
The feed of enrollment events, and its delivery to consumers at least once, in order.

Every committed event gets a position in the feed. Each consumer of the setting
``ENROLLMENTS_CONSUMERS`` gets the events in that order, from workers that run in any
process: ``manage.py enrollments_work``, or :func:`work` from cron, Celery beat or
``django.tasks``.
"""

from __future__ import annotations

from django_enrollments.delivery.control import (
    discard,
    pause,
    read,
    replay,
    resume,
    retry,
    status,
)
from django_enrollments.delivery.messages import (
    Backend,
    Gone,
    Message,
    NotNow,
    Reject,
)
from django_enrollments.delivery.passes import Delivered, deliver
from django_enrollments.delivery.sequencer import adopt, sequence
from django_enrollments.delivery.worker import Worker, work

__all__ = [
    "Backend",
    "Delivered",
    "Gone",
    "Message",
    "NotNow",
    "Reject",
    "Worker",
    "adopt",
    "deliver",
    "discard",
    "pause",
    "read",
    "replay",
    "resume",
    "retry",
    "sequence",
    "status",
    "work",
]
