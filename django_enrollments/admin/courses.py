"""Courses of the shipped model, and modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from django_enrollments.admin.base import BaseAdmin, ModelForm, check_course_id
from django_enrollments.models import Course, CourseMode, get_course_adapter

if TYPE_CHECKING:
    from django.http import HttpRequest

    from django_enrollments.admin.base import Names


class CourseForm(ModelForm):
    """A form that validates the course's id."""

    def clean_id(self) -> str:
        """Return the id."""
        return check_course_id(self.cleaned_data["id"])


# Django does not register a model that is swapped out.
@admin.register(Course)
class CourseAdmin(BaseAdmin):
    """Courses of the shipped model."""

    form = CourseForm
    list_display = (
        "id",
        "display_name",
        "org",
        "enrollment_start",
        "enrollment_end",
        "max_student_enrollments_allowed",
    )
    list_filter = ("invitation_only", "self_paced", "enrollment_end")
    search_fields = ("id", "display_name", "org")
    ordering = ("id",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Names:
        """Return ``id`` for an existing course: a new id would be a new course."""
        return ("id",) if obj else ()


@admin.register(CourseMode)
class CourseModeAdmin(BaseAdmin):
    """Modes of courses."""

    course_key = "course"
    raw_id_fields = ("course",)
    list_display = (
        "course_text",
        "mode_slug",
        "mode_display_name",
        "min_price",
        "currency",
        "expiration_datetime",
    )
    list_filter = ("mode_slug", "expiration_datetime")
    list_select_related = ("course",)
    ordering = ("-pk",)

    @admin.display(description=_("course"), ordering="course")
    def course_text(self, row: CourseMode) -> str:
        """Return the course id."""
        return get_course_adapter().course_id_of(row.course)
