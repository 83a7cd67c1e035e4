"""The history, and the notifications that were sent."""

from __future__ import annotations

from django.contrib import admin

from django_enrollments.admin.base import BaseAdmin, NoDeleteAdmin, ReadOnlyMixin
from django_enrollments.models import EnrollmentEvent, SentNotification


@admin.register(EnrollmentEvent)
class EnrollmentEventAdmin(ReadOnlyMixin, NoDeleteAdmin):
    """
    The history of all enrollments.

    Users and enrollments are shown as keys, because they may have been deleted.
    """

    list_display = (
        "time",
        "type",
        "username",
        "course_id",
        "mode_after",
        "active_after",
        "source",
        "actor_id",
    )
    list_filter = ("type", "source", "time")
    search_fields = ("username", "course_id")
    ordering = ("-pk",)
    fields = (
        "event_id",
        "type",
        "time",
        "enrollment_id",
        "user_id",
        "username",
        "course_id",
        "mode_before",
        "mode_after",
        "active_before",
        "active_after",
        "actor_id",
        "source",
        "reason",
        "enterprise_uuid",
    )
    readonly_fields = fields


@admin.register(SentNotification)
class SentNotificationAdmin(ReadOnlyMixin, BaseAdmin):
    """Notifications that were sent. A notification can be sent again once deleted."""

    user_key = "enrollment__user"
    list_display = ("enrollment", "notification_type", "deadline", "sent")
    list_filter = ("notification_type", "sent")
    list_select_related = ("enrollment",)
    ordering = ("-pk",)
