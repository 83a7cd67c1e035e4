"""
Enrollments and their attributes.

Enrollments are not edited here, because an edited row would bypass seats, history and
signals. The form that adds a row enrolls; buttons and actions change, each with a
reason (``operations``). All of them follow the rules, and the history has the operator
as actor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef, Prefetch
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_enrollments.admin.base import (
    Autocomplete,
    ModelForm,
    NoDeleteAdmin,
    ReadOnlyMixin,
    find_key,
)
from django_enrollments.admin.exports import export
from django_enrollments.admin.filters import (
    CourseFilter,
    ModeFilter,
    SourceFilter,
    StateFilter,
    with_changes_by,
)
from django_enrollments.admin.imports import ImportMixin
from django_enrollments.admin.operations import (
    OPERATIONS,
    REFUSALS_SHOWN,
    ROWS_CHANGED,
    ExceptionsForm,
    Operation,
    explain,
    run,
    summary,
    too_many,
)
from django_enrollments.admin.words import (
    MODES,
    actor_in_words,
    course_in_words,
    course_of,
    courses_in_words,
    mode_choices,
    mode_in_words,
    source_in_words,
    state_in_words,
    usernames_of,
)
from django_enrollments.core.transactions import non_atomic
from django_enrollments.errors import CourseEnrollmentError, CourseModeNotFoundError
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAttribute,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from django_enrollments.admin.base import Names


class EnrollForm(ModelForm, ExceptionsForm):
    """
    A form that enrolls a learner.

    Attributes:
        actor: The operator.
    """

    actor: Any = None

    mode = forms.ChoiceField(
        label=_("Mode"),
        choices=lambda: [("", "---------"), *mode_choices()],
        required=False,
        help_text=_("The course's default when left blank."),
    )
    reason = forms.CharField(
        label=_("Reason"), required=False, help_text=_("For the history.")
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
        except CourseModeNotFoundError as refusal:
            offered = (refusal.data or {}).get("course_modes", ())
            modes = ", ".join(mode_in_words(one["slug"]) for one in offered)
            text = _("The course does not offer this mode. It offers: %(modes)s.")
            raise ValidationError(text % {"modes": modes}) from refusal
        except CourseEnrollmentError as refusal:
            raise ValidationError(str(refusal)) from refusal
        return {**given, "mode": self.instance.mode}


@admin.register(CourseEnrollment)
class CourseEnrollmentAdmin(ImportMixin, NoDeleteAdmin):
    """Enrollments, also those of deleted courses."""

    user_key = "user"
    course_key = "course"
    raw_id_fields = ("user", "course")
    search_help_text = _("The beginning of a username or course id, or an address.")
    list_display = (
        "learner",
        "course_text",
        "mode_text",
        "state",
        "created",
        "last_change",
    )
    list_filter = (CourseFilter, StateFilter, ModeFilter, SourceFilter, "created")
    list_select_related = ("user",)
    # The only column with an index in its order.
    sortable_by = ("created",)
    ordering = ("-created", "-pk")
    actions = ("change_mode", "unenroll", "reactivate", "export_csv")

    @property
    def media(self) -> forms.Media:
        """The files of the pages, with those of the autocomplete filter."""
        field = CourseEnrollment._meta.get_field("course")
        return super().media + Autocomplete(field, self.admin_site).media

    def get_search_fields(self, request: HttpRequest) -> Names:
        """Return at least ``pk``: without search fields, Django shows no search."""
        return super().get_search_fields(request) or ("pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return enrollments with their user, course and last event."""
        later = EnrollmentEvent.objects.filter(
            enrollment=OuterRef("enrollment"), pk__gt=OuterRef("pk")
        )
        last = EnrollmentEvent.objects.filter(~Exists(later))
        rows: QuerySet[Any] = CourseEnrollment._default_manager.order_by()
        if source := request.GET.get(SourceFilter.parameter_name):
            rows = with_changes_by(rows, source)
        # A join would leave out the enrollments of deleted courses.
        return rows.prefetch_related(
            "user",
            Prefetch("course", queryset=courses_in_words()),
            f"course__{MODES}",
            Prefetch("events", queryset=last, to_attr="last_events"),
        )

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return the order of the last changes where :class:`SourceFilter` filters."""
        if request.GET.get(SourceFilter.parameter_name):
            return ("-last_change__pk",)
        return super().get_ordering(request)

    def get_urls(self) -> list[Any]:
        """Return the URLs, with those of the changes."""
        views = [
            path(
                "change/<str:name>/",
                self.admin_site.admin_view(self.many_view),
                name="django_enrollments_change_many",
            ),
            path(
                "<path:object_id>/change/<str:name>/",
                self.admin_site.admin_view(self.one_view),
                name="django_enrollments_change_one",
            ),
        ]
        return [*views, *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields of the form that enrolls, or of an existing row."""
        if obj is None:
            return ("user", "course", "mode", "reason", "force", "over_capacity")
        return ("learner", "course_text", "mode_text", "state", "created", "modified")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Names:
        """Return all fields of an existing row."""
        fields: Names = self.get_fields(request, obj) if obj else ()
        return fields

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

    def in_words(self, row: Any) -> str:
        """Return the learner and the course."""
        return gettext("%(learner)s in %(course)s") % {
            "learner": self.learner(row),
            "course": self.course_text(row),
        }

    @admin.display(description=_("course"))
    def course_text(self, row: Any) -> str:
        """Return name and id of the course, with a mark if the course is deleted."""
        course = course_of(row)
        if course is not None:
            return course_in_words(course)
        last = next(iter(getattr(row, "last_events", row.events.order_by("-pk"))), None)
        return gettext("%(id)s (deleted)") % {
            "id": last.course_id if last else row.course_id
        }

    @admin.display(description=_("mode"))
    def mode_text(self, row: Any) -> str:
        """Return the name of the mode."""
        course = course_of(row)
        modes = getattr(course, MODES).all() if course is not None else ()
        return mode_in_words(row.mode, modes)

    @admin.display(description=_("state"))
    def state(self, row: Any) -> str:
        """Return the state in words."""
        return state_in_words(row.is_active)

    @admin.display(description=_("last source"))
    def last_change(self, row: Any) -> str:
        """Return the source of the last event."""
        return ", ".join(source_in_words(event.source) for event in row.last_events)

    # The page of an enrollment.

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show an enrollment with its history and the possible changes."""
        row = self.row_of(object_id)
        context = dict(extra_context or {})
        if row is not None:
            may_change = self.has_change_permission(request)
            context |= {
                "attributes": row.attributes.order_by("pk"),
                "events": _history(row),
                "operations": [
                    operation
                    for operation in OPERATIONS.values()
                    if may_change and operation.is_possible(row)
                ],
            }
        return super().change_view(request, object_id, form_url, context)

    @non_atomic
    def one_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """
        Ask for the reason of a change of one enrollment, and make it.

        Raises:
            Http404: There is no such change, or no such enrollment.
        """
        operation = self._operation(request, name)
        row = self.row_of(object_id)
        if row is None:
            raise Http404
        page = reverse(
            f"{self.admin_site.name}:django_enrollments_courseenrollment_change",
            args=[row.pk],
        )
        if not operation.is_possible(row):
            # The button was pressed twice, or another operator was first.
            text = _("Nothing was changed: the enrollment is in this state already.")
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(page)
        form = operation.form(request.POST or None, rows=[row])
        if request.method == "POST" and form.is_valid():
            changed, refused = run(operation, [row], form.cleaned_data, request.user)
            if not refused:
                self.message_user(
                    request, summary(operation, changed), messages.SUCCESS
                )
                return HttpResponseRedirect(page)
            form.add_error(None, refused[0][1])
        context = {
            **self.named(object_id),
            "object_page": page,
            "explanation": explain(operation, row, {}) if not form.is_bound else "",
        }
        return self._ask(request, operation, form, context)

    # Several enrollments.

    @admin.action(
        description=OPERATIONS["change_mode"].description, permissions=["change"]
    )
    def change_mode(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Ask for a mode and a reason."""
        return self._ask_for_many(request, OPERATIONS["change_mode"], queryset)

    @admin.action(
        description=OPERATIONS["unenroll"].description, permissions=["change"]
    )
    def unenroll(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Ask for a reason."""
        return self._ask_for_many(request, OPERATIONS["unenroll"], queryset)

    @admin.action(
        description=OPERATIONS["reactivate"].description, permissions=["change"]
    )
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Ask for a reason."""
        return self._ask_for_many(request, OPERATIONS["reactivate"], queryset)

    @admin.action(description=_("Export as CSV"), permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Return a CSV file of the selected enrollments, streamed."""
        return export(queryset, request.user)

    def _ask_for_many(
        self, request: HttpRequest, operation: Operation, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        rows = list(
            queryset.prefetch_related(None).values_list("pk", flat=True)[
                : ROWS_CHANGED + 1
            ]
        )
        if len(rows) > ROWS_CHANGED:
            self.message_user(request, too_many(), messages.ERROR)
            return None
        form = operation.form_for_many(rows=self._rows(request, rows))
        return self._ask(request, operation, form, {"keys": rows})

    def _rows(self, request: HttpRequest, keys: Sequence[Any]) -> list[Any]:
        return list(self.get_queryset(request).filter(pk__in=keys).order_by("pk"))

    @non_atomic
    def many_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """
        Make a change of several enrollments.

        Raises:
            Http404: There is no such change, or no enrollment is named.
        """
        operation = self._operation(request, name)
        texts = request.POST.get("keys", "").split(",")[: ROWS_CHANGED + 1]
        keys = [find_key(self.model, text) for text in texts]
        rows = self._rows(request, [key for key in keys if key is not None])
        if not rows or len(rows) > ROWS_CHANGED:
            raise Http404
        form = operation.form_for_many(request.POST, rows=rows)
        if not form.is_valid():
            keys = [row.pk for row in rows]
            return self._ask(request, operation, form, {"keys": keys})
        possible = [row for row in rows if operation.is_possible(row)]
        changed, refused = run(operation, possible, form.cleaned_data, request.user)
        for row, reason in refused[:REFUSALS_SHOWN]:
            text = f"{self.in_words(row)}: {reason}"
            self.message_user(request, text, messages.ERROR)
        if (more := len(refused) - REFUSALS_SHOWN) > 0:
            text = ngettext(
                "%(count)d more enrollment was refused.",
                "%(count)d more enrollments were refused.",
                more,
            )
            self.message_user(request, text % {"count": more}, messages.ERROR)
        level = messages.SUCCESS if changed else messages.WARNING
        self.message_user(request, summary(operation, changed), level)
        return HttpResponseRedirect(self._list_url())

    def _operation(self, request: HttpRequest, name: str) -> Operation:
        """
        Return a change that the operator may make.

        Raises:
            Http404: There is none of this name.
            PermissionDenied: The operator may not change enrollments.
        """
        if not self.has_change_permission(request):
            raise PermissionDenied
        if name not in OPERATIONS:
            raise Http404
        return OPERATIONS[name]

    def _list_url(self) -> str:
        return reverse(
            f"{self.admin_site.name}:django_enrollments_courseenrollment_changelist"
        )

    def _ask(
        self,
        request: HttpRequest,
        operation: Operation,
        form: Any,
        context: dict[str, Any],
    ) -> HttpResponse:
        keys = context.pop("keys", None)
        if keys is not None:
            text = ngettext(
                "%(count)d enrollment is selected.",
                "%(count)d enrollments are selected.",
                len(keys),
            )
            context |= {
                "keys": ",".join(map(str, keys)),
                "subtitle": text % {"count": len(keys)},
                "form_url": reverse(
                    f"{self.admin_site.name}:django_enrollments_change_many",
                    args=[operation.name],
                ),
            }
        context = {
            **self.admin_site.each_context(request),
            "title": operation.label,
            "opts": self.opts,
            "button": operation.label,
            "form": form,
            "media": self.media + form.media,
            "list_page": self._list_url(),
            **context,
        }
        return TemplateResponse(request, "admin/django_enrollments/ask.html", context)


def _history(row: CourseEnrollment) -> list[dict[str, Any]]:
    """Return all events of an enrollment in words, the newest first."""
    course = course_of(row)
    modes = list(getattr(course, MODES).all()) if course is not None else []
    events = list(EnrollmentEvent.objects.filter(enrollment=row).order_by("-pk"))
    names = usernames_of(event.actor_id for event in events)
    return [
        {
            "time": event.time,
            "type": event.get_type_display(),
            "mode": mode_in_words(event.mode_after, modes),
            "mode_before": event.mode_before != event.mode_after
            and event.mode_before
            and mode_in_words(event.mode_before, modes),
            "state": state_in_words(event.active_after),
            "actor": actor_in_words(event.actor_id, names),
            "source": source_in_words(event.source),
            "reason": event.reason,
        }
        for event in events
    ]


@admin.register(CourseEnrollmentAttribute)
class CourseEnrollmentAttributeAdmin(ReadOnlyMixin, NoDeleteAdmin):
    """Attributes. They are read-only, because enrolling writes the whole list."""

    user_key = "enrollment__user"
    list_display = ("enrollment", "namespace", "name", "value")
    search_help_text = _("The beginning of a username, or an address.")
    sortable_by = ()
    list_select_related = ("enrollment",)
    ordering = ("-pk",)
