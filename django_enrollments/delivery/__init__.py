"""
The feed of enrollment events, and its delivery to consumers at least once, in order.

Every committed event gets a position in the feed. Each consumer of the setting
``ENROLLMENTS_CONSUMERS`` gets the events in that order, from workers that run in any
process: ``manage.py enrollments_work``, or :func:`work` from cron, Celery beat or
``django.tasks``.
"""

from __future__ import annotations

from django_enrollments.delivery.messages import (
    Backend,
    Gone,
    Message,
    NotNow,
    Reject,
)

__all__ = [
    "Backend",
    "Gone",
    "Message",
    "NotNow",
    "Reject",
]
