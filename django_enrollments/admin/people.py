"""Roles, retirement requests and e-mail choices."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from django_enrollments.admin.base import BaseAdmin, CourseIdForm
from django_enrollments.models import (
    CourseAccessRole,
    EmailOptIn,
    UserRetirementStatus,
)


class RoleForm(CourseIdForm):
    """A form that names the roles which the shipped permissions know."""

    class Meta:
        help_texts = {
            "role": _("For example staff, instructor or limited_staff."),
        }


@admin.register(CourseAccessRole)
class CourseAccessRoleAdmin(BaseAdmin):
    """Roles on courses and organizations."""

    form = RoleForm
    user_key = "user"
    raw_id_fields = ("user",)
    list_display = ("learner", "org", "course_id", "role")
    list_filter = ("role",)
    list_select_related = ("user",)
    search_fields = ("org", "course_id")
    ordering = ("-pk",)


@admin.register(UserRetirementStatus)
class UserRetirementStatusAdmin(BaseAdmin):
    """Requests of users to be retired."""

    user_key = "user"
    raw_id_fields = ("user",)
    list_display = ("original_username", "learner", "state", "created", "modified")
    list_filter = ("state", "created")
    list_select_related = ("user",)
    search_fields = ("original_username",)
    ordering = ("-pk",)


@admin.register(EmailOptIn)
class EmailOptInAdmin(BaseAdmin):
    """Whether users want e-mail from an organization."""

    user_key = "user"
    raw_id_fields = ("user",)
    list_display = ("learner", "org", "opted_in", "modified")
    list_filter = ("opted_in",)
    list_select_related = ("user",)
    search_fields = ("org",)
    ordering = ("-pk",)
