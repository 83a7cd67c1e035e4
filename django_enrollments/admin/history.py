"""The history, and the notifications that were sent."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_enrollments.admin.base import (
    ROWS_COUNTED,
    BaseAdmin,
    NoDeleteAdmin,
    ReadOnlyMixin,
)
from django_enrollments.admin.words import (
    actor_in_words,
    courses_in_words,
    mode_in_words,
    source_choices,
    source_in_words,
)
from django_enrollments.datetimes import as_moment
from django_enrollments.identifiers import find_user_key
from django_enrollments.models import (
    CourseEnrollment,
    EnrollmentEvent,
    SentNotification,
    get_course_adapter,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


#: Characters of a reason in the list.
REASON_SHOWN = 60


class SourceFilter(admin.SimpleListFilter):
    """Events with one source, without a scan for the sources that there are."""

    title = _("source")
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the sources of this app, and those of the last events."""
        return source_choices(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the events with the chosen source."""
        value = self.value()
        return queryset.filter(source=value) if value else queryset


@admin.register(EnrollmentEvent)
class EnrollmentEventAdmin(ReadOnlyMixin, NoDeleteAdmin):
    """
    The history of all enrollments.

    Users and enrollments are shown as keys, because they may have been deleted.
    """

    user_key = "user"
    course_key = "enrollment__course"
    list_display = (
        "time_text",
        "type",
        "username",
        "course_id",
        "mode",
        "source_text",
        "actor_text",
        "reason_text",
    )
    list_filter = ("type", SourceFilter, "time")
    search_help_text = _(
        "The beginning of a username or course id, an address, or the key of a user."
    )
    sortable_by = ()
    ordering = ("-pk",)
    fields = (
        "event_id",
        "type",
        "time",
        "enrollment_link",
        "user_id",
        "username",
        "course_id",
        "mode_before",
        "mode_after",
        "active_before",
        "active_after",
        "actor_text",
        "source_text",
        "reason",
        "enterprise_uuid",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return events with their actors, who may be deleted."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.prefetch_related("actor")

    def find_users(self, request: HttpRequest, term: str) -> list[Any]:
        """Return the keys of users, with a deleted one whose key is searched."""
        keys = super().find_users(request, term)
        key = find_user_key(term)
        if key is not None and EnrollmentEvent.objects.filter(user=key).exists():
            keys.insert(0, key)
        return keys

    def in_courses(self, keys: list[Any]) -> Q:
        """
        Return the condition for the events of courses.

        The enrollments lead to the events by an index. Of courses with many, the last
        events are found sooner from the end of the table, by the id of their time.
        """
        enrollments = CourseEnrollment.objects.filter(course__in=keys).order_by()
        if enrollments.values("pk")[: ROWS_COUNTED + 1].count() <= ROWS_COUNTED:
            return super().in_courses(keys)
        courses = courses_in_words().filter(pk__in=keys)
        return Q(course_id__in=[*map(get_course_adapter().course_id_of, courses)])

    def in_words(self, row: Any) -> str:
        """Return the type and the course id."""
        return gettext("%(type)s: %(course)s") % {
            "type": row.get_type_display(),
            "course": row.course_id,
        }

    @admin.display(description=_("time"))
    def time_text(self, row: Any) -> str:
        """Return the time, which has no index to sort by."""
        return date_format(localtime(as_moment(row.time)), "SHORT_DATETIME_FORMAT")

    @admin.display(description=_("mode"))
    def mode(self, row: Any) -> str:
        """Return the mode after the event."""
        return mode_in_words(row.mode_after)

    @admin.display(description=_("source"))
    def source_text(self, row: Any) -> str:
        """Return the name of the source."""
        return source_in_words(row.source)

    @admin.display(description=_("actor"))
    def actor_text(self, row: Any) -> str:
        """Return the name of the actor."""
        try:
            names = {row.actor_id: str(row.actor.get_username())} if row.actor else {}
        except ObjectDoesNotExist:
            names = {}
        return actor_in_words(row.actor_id, names)

    @admin.display(description=_("reason"))
    def reason_text(self, row: Any) -> str:
        """Return the beginning of the reason."""
        return Truncator(row.reason).chars(REASON_SHOWN)

    @admin.display(description=_("enrollment"))
    def enrollment_link(self, row: Any) -> str:
        """Return a link to the enrollment, or its key if it was deleted."""
        key = row.enrollment_id
        name = f"{self.admin_site.name}:django_enrollments_courseenrollment_change"
        # A host can have its own admin of enrollments.
        with suppress(NoReverseMatch):
            if CourseEnrollment.objects.filter(pk=key).exists():
                return format_html(
                    '<a href="{}">{}</a>', reverse(name, args=[key]), key
                )
        return str(key)


@admin.register(SentNotification)
class SentNotificationAdmin(ReadOnlyMixin, BaseAdmin):
    """Notifications that were sent. A notification can be sent again once deleted."""

    user_key = "enrollment__user"
    list_display = ("enrollment", "notification_type", "deadline", "sent")
    list_filter = ("sent",)
    sortable_by = ()
    list_select_related = ("enrollment",)
    ordering = ("-pk",)
