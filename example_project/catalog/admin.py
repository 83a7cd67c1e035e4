"""Schools, course runs and refused attempts in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import BooleanFieldListFilter
from django.utils.translation import gettext_lazy as _

from catalog.models import CourseRun, RefusedAttempt, School

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(School)
class SchoolAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Schools."""

    list_display = ("name", "code")
    search_fields = ("name", "code")


class InvitationFilter(BooleanFieldListFilter):
    """Course runs by invitation, with a title that fits Django's "By …"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Set the title."""
        super().__init__(*args, **kwargs)
        self.title = _("invitation")


@admin.register(CourseRun)
class CourseRunAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Course runs, with search fields for choosing one by code or title."""

    list_display = (
        "code",
        "title",
        "school",
        "starts_on",
        "ends_on",
        "registration_closes_on",
        "by_invitation",
        "seats",
    )
    list_filter = ("school", ("by_invitation", InvitationFilter))
    list_select_related = ("school",)
    autocomplete_fields = ("school",)
    search_fields = ("code", "title")
    fieldsets = (
        (None, {"fields": ("school", "code", "title", "summary")}),
        (_("Term"), {"fields": ("starts_on", "ends_on")}),
        (
            _("Registration"),
            {
                "fields": (
                    "registration_opens_at",
                    "registration_closes_on",
                    "by_invitation",
                    "seats",
                )
            },
        ),
    )


@admin.register(RefusedAttempt)
class RefusedAttemptAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Refused attempts, read-only."""

    list_display = ("time", "code", "course")
    list_filter = ("code",)
    list_select_related = ("course",)
    search_fields = ("course__code", "course__title")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return false: the site adds them."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: RefusedAttempt | None = None
    ) -> bool:
        """Return false: they never change."""
        return False
