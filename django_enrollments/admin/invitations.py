"""Invitations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin

from django_enrollments.admin.base import BaseAdmin, CourseIdForm
from django_enrollments.context import origin_of
from django_enrollments.core.invitations import after_commit, redeem_for_addresses
from django_enrollments.core.transactions import write_alias
from django_enrollments.models import CourseEnrollmentAllowed

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(CourseEnrollmentAllowed)
class CourseEnrollmentAllowedAdmin(BaseAdmin):
    """Invitations. Their user is shown only: enrolling sets it."""

    form = CourseIdForm
    list_display = ("email", "course_id", "auto_enroll", "learner", "created")
    list_filter = ("auto_enroll", "created")
    list_select_related = ("user",)
    search_fields = ("email", "course_id")
    ordering = ("-pk",)
    fields = (
        "email",
        "course_id",
        "auto_enroll",
        "mode",
        "reason",
        "actor_id",
        "learner",
        "created",
    )
    readonly_fields = ("actor_id", "learner", "created")

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Save with the operator as actor. With auto-enroll, enroll the account."""
        if not change:
            obj.actor_id = origin_of(actor=request.user).actor_id
        super().save_model(request, obj, form, change)
        if obj.auto_enroll:
            redeem = partial(redeem_for_addresses, [obj.email], obj.course_id)
            after_commit(redeem, using=write_alias())
