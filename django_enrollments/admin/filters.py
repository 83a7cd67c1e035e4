"""Filters of the list of enrollments, each without a scan of the whole table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, FilteredRelation, OuterRef, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_enrollments.admin.base import Autocomplete, find_key
from django_enrollments.admin.words import (
    course_in_words,
    mode_choices,
    source_choices,
    state_in_words,
)
from django_enrollments.course_model import all_courses, course_key_is_id
from django_enrollments.identifiers import find_course
from django_enrollments.models import CourseEnrollment, EnrollmentEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest


class _CourseField(Autocomplete):
    """A field with a text for screen readers while nothing is chosen."""

    def build_attrs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the attributes, with the placeholder."""
        placeholder = {"data-placeholder": gettext("All courses")}
        return {**super().build_attrs(*args, **kwargs), **placeholder}


class CourseFilter(admin.SimpleListFilter):
    """
    Enrollments of one course, chosen by autocomplete where the host allows it.

    The value is the key of a course, or its id.
    """

    title = _("course")
    parameter_name = "course"
    template = "admin/django_enrollments/course_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return one entry, so that Django shows the filter."""
        self._course = self._find_course()
        self._others = [
            (name, value)
            for name, values in request.GET.lists()
            if name not in {self.parameter_name, "p", "e"}
            for value in values
        ]
        self._widget = None
        if "course" in model_admin.get_autocomplete_fields(request):
            field = CourseEnrollment._meta.get_field("course")
            widget = _CourseField(
                field, model_admin.admin_site, attrs={"aria-label": self.title}
            )
            # The widget reads the options of a form field.
            form_field = forms.ModelChoiceField(all_courses(), widget=widget)
            self._widget = form_field.widget
        return [("", "")]

    def _find_course(self) -> Any | None:
        value = self.value()
        if not value:
            return None
        key = find_key(all_courses().model, value)
        found = None if key is None else all_courses().filter(pk=key).first()
        return find_course(value) if found is None else found

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield what the template shows."""
        chosen = self.value() if self._course is None else self._course.pk
        yield {
            "name": self.parameter_name,
            "value": self.value() or "",
            "text": self.value()
            if self._course is None
            else course_in_words(self._course),
            "widget": self._widget and self._widget.render("course", chosen),
            "others": self._others,
            "clear": changelist.get_query_string(remove=[self.parameter_name]),
        }

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any]:
        """Return the enrollments of the chosen course, deleted or not."""
        value = self.value()
        if not value:
            found: QuerySet[Any] = queryset
        elif self._course is not None:
            found = queryset.of_course_key(self._course.pk)
        elif course_key_is_id():
            found = queryset.of_course_key(value)
        else:
            found = queryset.none()
        return found


class ModeFilter(admin.SimpleListFilter):
    """Enrollments in one mode. The choices are those of the courses."""

    title = _("mode")
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the modes that courses offer, by name."""
        return mode_choices(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the enrollments in the chosen mode."""
        value = self.value()
        return queryset.filter(mode=value) if value else queryset


class StateFilter(admin.SimpleListFilter):
    """Active or former enrollments."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return both states."""
        return [("enrolled", state_in_words(True)), ("left", state_in_words(False))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the enrollments in the chosen state."""
        is_active = {"enrolled": True, "left": False}.get(self.value() or "")
        return queryset if is_active is None else queryset.filter(is_active=is_active)


class SourceFilter(admin.SimpleListFilter):
    """
    Enrollments whose last change has one source, the last changed first.

    In that order, the database reads events from the end and stops at a full page.
    """

    title = _("source of the last change")
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the sources of this app, and those of the last events."""
        return source_choices(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the enrollments with the chosen source."""
        if not self.value():
            return queryset
        later = EnrollmentEvent.objects.filter(
            enrollment=OuterRef("pk"), pk__gt=OuterRef("last_change__pk")
        )
        found: QuerySet[Any] = queryset.filter(
            ~Exists(later), last_change__pk__isnull=False
        )
        return found


def with_changes_by(rows: QuerySet[Any], source: str) -> QuerySet[Any]:
    """Return enrollments that can be joined with the events of a source."""
    condition = Q(events__source=source)
    found: QuerySet[Any] = rows.alias(
        last_change=FilteredRelation("events", condition=condition)
    )
    return found
