"""Schools and course runs in the admin."""

from __future__ import annotations

from django.contrib import admin

from catalog.models import CourseRun, School


@admin.register(School)
class SchoolAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Schools."""

    list_display = ("name", "code")
    search_fields = ("name", "code")


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
        "seats",
    )
    list_filter = ("school",)
    list_select_related = ("school",)
    autocomplete_fields = ("school",)
    search_fields = ("code", "title")
    fieldsets = (
        (None, {"fields": ("school", "code", "title")}),
        ("Term", {"fields": ("starts_on", "ends_on")}),
        (
            "Registration",
            {"fields": ("registration_opens_on", "registration_closes_on", "seats")},
        ),
    )
