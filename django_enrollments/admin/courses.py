"""Courses of the shipped model, and modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count, Q
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_enrollments.admin.base import BaseAdmin, ModelForm, check_course_id
from django_enrollments.admin.words import mode_in_words
from django_enrollments.models import (
    Course,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    get_course_adapter,
)
from django_enrollments.policies import can_view_rows
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from django_enrollments.admin.base import Names

    TabularInline = admin.TabularInline[Any, Any]
else:
    TabularInline = admin.TabularInline

#: The number of invitations on the page of a course.
INVITATIONS_SHOWN = 20


class CourseForm(ModelForm):
    """A form that validates the course's id."""

    def clean_id(self) -> str:
        """Return the id."""
        return check_course_id(self.cleaned_data["id"])


class ModeInline(TabularInline):
    """The modes of a course."""

    model = CourseMode
    fields = (
        "mode_slug",
        "mode_display_name",
        "min_price",
        "currency",
        "expiration_datetime",
    )
    extra = 0


# Django does not register a model that is swapped out.
@admin.register(Course)
class CourseAdmin(BaseAdmin):
    """Courses of the shipped model."""

    form = CourseForm
    inlines = (ModeInline,)
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
    delete_selected_confirmation_template = (
        "admin/django_enrollments/course/delete_selected_confirmation.html"
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Names:
        """Return ``id`` for an existing course: a new id would be a new course."""
        return ("id", "seats_taken") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields, and the seats of an existing course after their number."""
        found = super().get_fields(request, obj)
        names = [name for name in found if name != "seats_taken"]
        if obj:
            place = names.index("max_student_enrollments_allowed") + 1
            names.insert(place, "seats_taken")
        return names

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by parts of the title, too: there are few courses."""
        return admin.ModelAdmin.get_search_results(self, request, queryset, search_term)

    @admin.display(description=_("seats taken"))
    def seats_taken(self, course: Course) -> str:
        """Return the number of taken and of all seats."""
        seats = EnrollmentsService().seats(course)
        if seats["capacity"] is None:
            return gettext("%(taken)d (no limit)") % seats
        return gettext("%(taken)d of %(capacity)d") % seats

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a course with its newest invitations."""
        context = dict(extra_context or {})
        course = self.row_of(object_id)
        if course is not None and can_view_rows(request.user, CourseEnrollmentAllowed):
            rows = CourseEnrollmentAllowed.objects.filter(course_id=course.pk)
            newest = list(
                rows.select_related("user").order_by("-pk")[: INVITATIONS_SHOWN + 1]
            )
            context |= {
                "invitations": newest[:INVITATIONS_SHOWN],
                "has_more_invitations": len(newest) > INVITATIONS_SHOWN,
            }
        return super().change_view(request, object_id, form_url, context)

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Ask before a deletion, and show what becomes of the enrollments."""
        course = self.row_of(object_id)
        kept = consequences(course) if course is not None else []
        context = {"consequences": kept, **(extra_context or {})}
        return super().delete_view(request, object_id, context)


def consequences(course: Course) -> list[str]:
    """Return what becomes of the enrollments in a deleted course, as sentences."""
    counts = (
        CourseEnrollment.objects.of_course_key(course.pk)
        .order_by()
        .aggregate(
            active=Count("pk", filter=Q(is_active=True)),
            former=Count("pk", filter=Q(is_active=False)),
        )
    )
    unused = CourseEnrollmentAllowed.objects.unused().filter(course_id=course.pk)
    texts = [
        ngettext(
            "%(count)d active enrollment is kept. It can be unenrolled, but not "
            "enrolled again.",
            "%(count)d active enrollments are kept. They can be unenrolled, but not "
            "enrolled again.",
            counts["active"],
        )
        % {"count": counts["active"]},
        ngettext(
            "%(count)d former enrollment is kept.",
            "%(count)d former enrollments are kept.",
            counts["former"],
        )
        % {"count": counts["former"]},
    ]
    if invited := unused.count():
        text = ngettext(
            "%(count)d unused invitation is kept. It admits to a new course with the "
            "same id.",
            "%(count)d unused invitations are kept. They admit to a new course with "
            "the same id.",
            invited,
        )
        texts.append(text % {"count": invited})
    texts.append(gettext("The history is kept."))
    return texts


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

    def in_words(self, row: CourseMode) -> str:
        """Return the mode and the course."""
        return gettext("%(mode)s in %(course)s") % {
            "mode": mode_in_words(row.mode_slug, [row]),
            "course": self.course_text(row),
        }
