"""Notifications of learners about their enrollments (NOTIF)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import IntegerField

from django_enrollments.backends.loading import get_notification_backend
from django_enrollments.backends.notifications import NotificationData
from django_enrollments.conf import conf
from django_enrollments.errors import CourseNotFoundError
from django_enrollments.identifiers import find_course
from django_enrollments.models import get_course_adapter
from django_enrollments.signals import notification_requested

#: Type of the notification that access to a course ends soon.
AUDIT_ACCESS_EXPIRING_SOON = "audit_access_expiring_soon"

#: Type of the notification that an enrollment began.
ENROLLMENT_WELCOME = "enrollment_welcome"


class EnrollmentNotificationSender:
    """
    Sends a learner notifications about a course (NOTIF-01).

    Attributes:
        course: The course, its id, or an object whose ``str()`` is the id.
        user_id: Primary key of the learner, or its text.
        audit_access_expiry: End of access, copied to the notification. Pass text if the
            notification must be valid JSON.
    """

    def __init__(self, course: Any, user_id: Any, audit_access_expiry: Any) -> None:
        self.course = course
        self.user_id = user_id
        self.audit_access_expiry = audit_access_expiry

    def send_audit_access_expiring_soon_notification(self) -> None:
        """
        Notify the learner that audit access ends soon (NOTIF-02).

        Raises:
            Exception: As :meth:`send` does.
        """
        self.send(AUDIT_ACCESS_EXPIRING_SOON)

    def send(self, notification_type: str) -> None:
        """
        Notify the learner.

        Sends the signal ``notification_requested``, then passes the same data to the
        backend of ``ENROLLMENTS_NOTIFICATION_BACKEND``.

        Args:
            notification_type: One of the types above, or a host's own, which needs its
                own templates.

        Raises:
            CourseNotFoundError: There is no such course.
            ImproperlyConfigured: The backend cannot be imported.
            Exception: Any exception of the backend.
        """
        course = find_course(self.course)
        if course is None:
            raise CourseNotFoundError(f"There is no course {self.course!r}.")
        facts = get_course_adapter().facts(course)
        base = conf.ENROLLMENTS_LEARNING_BASE_URL.rstrip("/")
        notification_data = NotificationData(
            user_ids=[_plain_key(self.user_id)],
            notification_type=notification_type,
            app_name="enrollments",
            course_key=facts.course_id,
            content_url=f"{base}/course/{facts.course_id}/home",
            context={
                "course": facts.display_name,
                "audit_access_expiry": self.audit_access_expiry,
            },
        )
        # A receiver that raises is logged; the other receivers are called.
        notification_requested.send_robust(
            type(self), notification_data=notification_data
        )
        get_notification_backend().send(notification_data)


def _plain_key(user_id: Any) -> int | str:
    """Return the key as an integer or text, for JSON."""
    field: Any = get_user_model()._meta.pk
    while field.is_relation:
        # The key of a user model with multi-table inheritance is a relation.
        field = field.related_model._meta.pk
    return int(user_id) if isinstance(field, IntegerField) else str(user_id)
