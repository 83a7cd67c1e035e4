"""
Enrollments and their attributes.

Enrollments are not edited here, because an edited row would bypass seats, history and
signals. The form that adds a row enrolls, and two actions unenroll and reactivate. All
of them follow the rules, and the history has the operator as actor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import OuterRef, Q, Subquery
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_enrollments.admin.base import ModelForm, NoDeleteAdmin, ReadOnlyMixin
from django_enrollments.context import attributed, origin_of
from django_enrollments.core.modes import MAX_SLUG
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAttribute,
    EnrollmentEvent,
    get_course_adapter,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.text import is_storable

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from django_enrollments.admin.base import Names

    TabularInline = admin.TabularInline[Any, Any]
else:
    TabularInline = admin.TabularInline

#: Number of refusals that an action shows one by one.
REFUSALS_SHOWN = 10


class AttributeInline(ReadOnlyMixin, TabularInline):
    """The attributes of an enrollment."""

    model = CourseEnrollmentAttribute
    fields = ("namespace", "name", "value")
    extra = 0
    can_delete = False


class EventInline(ReadOnlyMixin, TabularInline):
    """The history of an enrollment."""

    model = EnrollmentEvent
    fields = ("time", "type", "mode_after", "active_after", "source", "reason")
    extra = 0
    can_delete = False
    verbose_name_plural = _("history")


class EnrollForm(ModelForm):
    """
    A form that enrolls a learner.

    Attributes:
        actor: The operator.
    """

    actor: Any = None

    mode = forms.CharField(
        label=_("Mode"),
        max_length=MAX_SLUG,
        required=False,
        help_text=_("The course's default when left blank."),
    )
    reason = forms.CharField(
        label=_("Reason"), required=False, help_text=_("For the history.")
    )
    force = forms.BooleanField(label=_("Lift dates and invitations"), required=False)
    over_capacity = forms.BooleanField(
        label=_("Lift the number of seats"), required=False
    )

    class Meta:
        model = CourseEnrollment
        # The admin sets the fields when it makes the form.
        fields = ()

    def clean(self) -> dict[str, Any]:
        """
        Enroll the learner. A refusal is an error of the form.

        The parent's method is not called, so that Django does not check for a second
        enrollment. If a later step fails, the admin's transaction is rolled back.

        Raises:
            ValidationError: The learner is enrolled already, or was refused.
        """
        given = self.cleaned_data
        if self.errors:
            return given
        existing = CourseEnrollment.objects.filter(
            user=given["user"], course=given["course"]
        ).first()
        if existing:
            self.instance = existing
            if existing.is_active:
                raise ValidationError(_("The learner is in the course already."))
        try:
            self.instance = EnrollmentsService().enroll(
                given["user"],
                given["course"],
                given["mode"] or None,
                force=given["force"],
                over_capacity=given["over_capacity"],
                reason=given["reason"],
                actor=self.actor,
                source="admin",
            )
        except CourseEnrollmentError as refusal:
            raise ValidationError(str(refusal)) from refusal
        return {**given, "mode": self.instance.mode}


@admin.register(CourseEnrollment)
class CourseEnrollmentAdmin(NoDeleteAdmin):
    """Enrollments, also those of deleted courses."""

    user_key = "user"
    raw_id_fields = ("user", "course")
    search_help_text = _("Part of a name, an address or a course id.")
    list_display = (
        "learner",
        "course_text",
        "mode",
        "is_active",
        "created",
        "modified",
    )
    list_filter = ("is_active", "mode", "created")
    ordering = ("-created", "-pk")
    actions = ("unenroll", "reactivate")

    def get_search_fields(self, request: HttpRequest) -> Names:
        """Return at least ``pk``: without search fields, Django shows no search."""
        return super().get_search_fields(request) or ("pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return enrollments with their user, their course and the last course id."""
        events = EnrollmentEvent.objects.filter(enrollment=OuterRef("pk"))
        last_id = events.order_by("-pk").values("course_id")[:1]
        rows: Any = super().get_queryset(request)
        # A join would leave out the enrollments of deleted courses.
        rows = rows.select_related("user").prefetch_related("course")
        found: QuerySet[Any] = rows.annotate(last_course_id=Subquery(last_id))
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by user, and by course without a join that leaves out rows."""
        found, may_have_duplicates = super().get_search_results(
            request, queryset, search_term
        )
        if search_term and is_storable(search_term):
            adapter = get_course_adapter()
            courses = adapter.get_queryset().filter(
                **{f"{adapter.course_id}__icontains": search_term}
            )
            found = queryset.filter(
                Q(pk__in=found.order_by().values("pk"))
                | Q(course__in=courses.order_by().values("pk"))
            )
        return found, may_have_duplicates

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields of the form that enrolls, or of an existing row."""
        if obj is None:
            return ("user", "course", "mode", "reason", "force", "over_capacity")
        return self.list_display

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Names:
        """Return all fields of an existing row."""
        return self.list_display if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        """Return the inlines of an existing row."""
        return [AttributeInline, EventInline] if obj else []

    def get_form(
        self,
        request: HttpRequest,
        obj: Any = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the form that enrolls, or that of an existing row."""
        if obj is None:
            kwargs["form"] = EnrollForm
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.actor = request.user
        return form

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return ``False`` for a row; without one, Django's permission for actions."""
        return obj is None and super().has_change_permission(request)

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Write nothing: the form has enrolled."""

    @admin.display(description=_("course"), ordering="course")
    def course_text(self, row: Any) -> str:
        """Return the course id, with a mark if the course is deleted."""
        try:
            return get_course_adapter().course_id_of(row.course)
        except ObjectDoesNotExist:
            return f"{row.last_course_id or row.course_id} ({_('deleted')})"

    @admin.action(
        description=_("Take selected learners out of their courses"),
        permissions=["change"],
    )
    def unenroll(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Deactivate the selected enrollments; filters may veto."""
        changed = self._set_active(request, queryset, is_active=False)
        text = ngettext(
            "%(count)d learner was taken out.",
            "%(count)d learners were taken out.",
            changed,
        )
        self.message_user(request, text % {"count": changed}, messages.SUCCESS)

    @admin.action(
        description=_("Put selected learners back, in their old mode"),
        permissions=["change"],
    )
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Activate the selected enrollments. Each needs a seat; filters may veto."""
        changed = self._set_active(request, queryset, is_active=True)
        text = ngettext(
            "%(count)d learner was put back.",
            "%(count)d learners were put back.",
            changed,
        )
        self.message_user(request, text % {"count": changed}, messages.SUCCESS)

    def _set_active(
        self, request: HttpRequest, rows: QuerySet[Any], *, is_active: bool
    ) -> int:
        """Return the number of changed enrollments, and show the refusals."""
        changed = 0
        refusals = []
        with attributed(origin_of(actor=request.user, source="admin")):
            for row in rows.exclude(is_active=is_active):
                try:
                    row.update_enrollment(is_active=is_active)
                    changed += 1
                except CourseEnrollmentError as refusal:
                    refusals.append(f"{self.learner(row)}: {refusal}")
        for text in refusals[:REFUSALS_SHOWN]:
            self.message_user(request, text, messages.ERROR)
        more = len(refusals) - REFUSALS_SHOWN
        if more > 0:
            text = ngettext("%(count)d more.", "%(count)d more.", more)
            self.message_user(request, text % {"count": more}, messages.ERROR)
        return changed


@admin.register(CourseEnrollmentAttribute)
class CourseEnrollmentAttributeAdmin(ReadOnlyMixin, NoDeleteAdmin):
    """Attributes. They are read-only, because enrolling writes the whole list."""

    user_key = "enrollment__user"
    list_display = ("enrollment", "namespace", "name", "value")
    list_filter = ("namespace", "name")
    list_select_related = ("enrollment",)
    ordering = ("-pk",)
