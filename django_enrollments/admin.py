"""
The models in Django's admin.

An enrollment is never edited here: adding one enrolls, and two actions take learners
out and put them back, all by the same code as everywhere, with the operator as the
actor in the history. What hangs on an enrollment is shown and not changed.

A host need not have registered its user or course model: where it has, with something
to search by, they are chosen by autocomplete, by their key otherwise.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth import get_permission_codename, get_user_model
from django.core.exceptions import (
    BadRequest,
    ObjectDoesNotExist,
    PermissionDenied,
    ValidationError,
)
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_enrollments.context import attributed, origin_of
from django_enrollments.core.invitations import after_commit, redeem_for_addresses
from django_enrollments.core.modes import MAX_SLUG
from django_enrollments.core.transactions import (
    non_atomic,
    write_alias,
    writing_call,
)
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import (
    Course,
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    CourseMode,
    EmailOptIn,
    EnrollmentEvent,
    SentNotification,
    UserRetirementStatus,
    get_course_adapter,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.text import is_storable
from django_enrollments.users import email_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Field, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    _Names = list[str] | tuple[str, ...]
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    ModelForm = forms.ModelForm[CourseEnrollment]
else:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline
    ModelForm = forms.ModelForm

#: How many refusals of an action are shown one by one.
REFUSALS_SHOWN = 10


class _Autocomplete(AutocompleteSelect):
    """Django's own widget, which fails when asked for a key that no row can have."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        """Return the options that are chosen, passing over what cannot be one."""
        key: Field[Any, Any] = self.field.target_field
        return super().optgroups(
            name, [text for text in value if _may_be(key, text)], attr
        )


def _may_be(key: Field[Any, Any], text: str) -> bool:
    try:
        key.run_validators(key.to_python(text))
    except ValidationError:
        return False
    return is_storable(text)


@contextmanager
def _writing(request: HttpRequest) -> Iterator[None]:
    """Begin a transaction in which to write, if a form has been sent and read."""
    if not request.POST:
        yield
        return
    with transaction.atomic(using=write_alias()), writing_call():
        yield


def _may_view_users(request: HttpRequest) -> bool:
    options = get_user_model()._meta
    # As in Django's admin, who may change a user may view one.
    return any(
        request.user.has_perm(
            f"{options.app_label}.{get_permission_codename(action, options)}"
        )
        for action in ("view", "change")
    )


class _Admin(ModelAdmin):
    """What all the pages have in common."""

    #: Foreign keys whose user or course can be searched for.
    user_key: str | None = None
    course_key: str | None = None
    #: The text field that must hold a valid course id.
    course_id_field: str | None = None

    # One count per page is enough for a table of millions.
    show_full_result_count = False

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of views that run outside ``ATOMIC_REQUESTS``."""
        urls = super().get_urls()
        for url in urls:
            non_atomic(url.callback)
        return urls

    def changeform_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Write first in the transaction that Django opens, which reads a lot."""
        with _writing(request):
            return super().changeform_view(request, *args, **kwargs)

    def delete_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Write first, as above."""
        with _writing(request):
            return super().delete_view(request, *args, **kwargs)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """
        List the rows.

        Raises:
            BadRequest: A filter holds what no database looks for.
        """
        # What is searched for is looked at by Django's own form.
        filters = (one for one in request.GET.lists() if one[0] != SEARCH_VAR)
        given = (text for name, texts in filters for text in (name, *texts))
        if not all(map(is_storable, given)):
            raise BadRequest("A filter holds what no database looks for.")
        return super().changelist_view(request, extra_context)

    def get_search_fields(self, request: HttpRequest) -> _Names:
        """
        Return the fields to search by, as user and course models happen to have them.

        A user's address is one of them only for those who may view users: a search
        by parts of an address would find it out.
        """
        found = list(super().get_search_fields(request))
        if self.user_key:
            names = {get_user_model().USERNAME_FIELD: None, email_field(): None}
            if not _may_view_users(request):
                names.pop(email_field(), None)
            found += [f"{self.user_key}__{name}" for name in names if name]
        if self.course_key:
            found.append(f"{self.course_key}__{get_course_adapter().course_id}")
        return list(dict.fromkeys(found))

    def get_autocomplete_fields(self, request: HttpRequest) -> _Names:
        """Autocomplete the keys to models that the admin can search."""
        found = []
        for name in self.raw_id_fields:
            model: Any = self.model._meta.get_field(name).related_model
            other = self.admin_site._registry.get(model)
            if other and other.get_search_fields(request):
                found.append(name)
        return found

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Autocomplete with a widget that takes any input."""
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = _Autocomplete(
                db_field, self.admin_site, using=kwargs.get("using")
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        """Refuse what no course id may be."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == self.course_id_field:
            field.validators.append(_check_course_id)
        return field

    @admin.display(description=_("user"), ordering="user")
    def learner(self, row: Any) -> str:
        """Return the name of the row's user."""
        if row.user is None:
            return self.get_empty_value_display()
        return str(row.user.get_username())


def _check_course_id(text: str) -> None:
    """
    Refuse what no course id may be.

    Raises:
        ValidationError: It does not match ``ENROLLMENTS_COURSE_ID_PATTERN``.
    """
    if find_course_id(text) is None:
        raise ValidationError(_("This is no valid course id."))


class _Shown(_Admin):
    """Rows that are looked at and not written."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return false: rows are not added by hand."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        """Return false: rows are not changed by hand."""
        return False


class _Kept(_Admin):
    """
    Rows that are not deleted from their own pages.

    The permission to delete stays what it is: the admin asks for it when a host
    deletes a user, with whom they go.
    """

    def get_actions(
        self, request: HttpRequest, action_location: Any = None
    ) -> dict[str, Any]:
        """Leave out the deletion of what is selected."""
        # Django asks with a location from version 6.1 on.
        where = () if action_location is None else (action_location,)
        ask: Any = super().get_actions
        actions: dict[str, Any] = ask(request, *where)
        actions.pop("delete_selected", None)
        return actions

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the page without its link to the deletion."""
        context = {**(extra_context or {}), "show_delete": False}
        return super().change_view(request, object_id, form_url, context)

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> NoReturn:
        """
        Refuse.

        Raises:
            PermissionDenied: Always.
        """
        raise PermissionDenied


class _ShownInline(TabularInline):
    """What hangs on an enrollment, on its page."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return false: rows are not added by hand."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        """Return false: rows are not changed by hand."""
        return False


class AttributeInline(_ShownInline):
    """The attributes of an enrollment."""

    model = CourseEnrollmentAttribute
    fields = ("namespace", "name", "value")


class EventInline(_ShownInline):
    """The history of an enrollment."""

    model = EnrollmentEvent
    fields = ("time", "type", "mode_after", "active_after", "source", "reason")
    verbose_name_plural = _("history")


class EnrollForm(ModelForm):
    """
    Enrolls a learner.

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
        # The admin names them when it makes a form; models need not be there before.
        fields = ()

    def _post_clean(self) -> None:
        """
        Enroll, as the last step of checking, so that a refusal is the form's error.

        Stands in for the model's own validation, which knows neither seats nor rules.
        The admin's transaction undoes it if anything fails later on.
        """
        if self.errors:
            return
        given = self.cleaned_data
        service = EnrollmentsService()
        try:
            if service.is_enrolled(given["user"], given["course"]):
                text = _("The learner is in the course already.")
                self.add_error(None, ValidationError(text))
                return
            self.instance = service.enroll(
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
            self.add_error(None, ValidationError(str(refusal)))


@admin.register(CourseEnrollment)
class CourseEnrollmentAdmin(_Kept):
    """Enrollments; those of deleted courses are listed like any other."""

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

    def get_search_fields(self, request: HttpRequest) -> _Names:
        """Return at least the key, without which no course could be searched for."""
        return super().get_search_fields(request) or ("pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return all enrollments with user, course, and what the course was called."""
        rows: Any = super().get_queryset(request)
        events = EnrollmentEvent.objects.filter(enrollment=OuterRef("pk"))
        name = events.order_by("-pk").values("course_id")[:1]
        # A join would hide the enrollments of deleted courses.
        rows = rows.select_related("user").prefetch_related("course")
        found: QuerySet[Any] = rows.annotate(course_told=Subquery(name))
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by learner, and by course without a join that hides orphans."""
        found, may_have_doubles = super().get_search_results(
            request, queryset, search_term
        )
        if search_term and is_storable(search_term):
            adapter = get_course_adapter()
            courses = adapter.get_queryset().filter(
                **{f"{adapter.course_id}__icontains": search_term}
            )
            matches = Q(pk__in=found.order_by().values("pk")) | Q(
                course__in=courses.order_by().values("pk")
            )
            found = queryset.filter(matches)
        return found, may_have_doubles

    def get_fields(self, request: HttpRequest, obj: Any | None = None) -> Any:
        """Ask for what enrolling needs, or show what there is."""
        if obj is None:
            return ("user", "course", "mode", "reason", "force", "over_capacity")
        return self.list_display

    def get_readonly_fields(
        self, request: HttpRequest, obj: Any | None = None
    ) -> _Names:
        """Write nothing once there is an enrollment."""
        return () if obj is None else self.list_display

    def get_inlines(self, request: HttpRequest, obj: Any | None) -> list[Any]:
        """Show attributes and history of an enrollment there is."""
        return [] if obj is None else [AttributeInline, EventInline]

    def get_form(
        self,
        request: HttpRequest,
        obj: Any | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Enroll with the form that adds."""
        if obj is None:
            kwargs["form"] = EnrollForm
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.actor = request.user
        return form

    def has_change_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        """Return false: actions change enrollments, not their page."""
        return obj is None and super().has_change_permission(request)

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Leave what the form has written already."""

    @admin.display(description=_("course"), ordering="course")
    def course_text(self, row: Any) -> str:
        """Return the course id, also of a deleted course."""
        try:
            return get_course_adapter().course_id_of(row.course)
        except ObjectDoesNotExist:
            return f"{row.course_told or row.course_id} ({_('deleted')})"

    @admin.action(
        description=_("Take selected learners out of their courses"),
        permissions=["change"],
    )
    def unenroll(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Deactivate what is selected; filters may veto."""
        changed = self._switch(request, queryset, is_active=False)
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
        """Activate what is selected; each needs a seat, and filters may veto."""
        changed = self._switch(request, queryset, is_active=True)
        text = ngettext(
            "%(count)d learner was put back.",
            "%(count)d learners were put back.",
            changed,
        )
        self.message_user(request, text % {"count": changed}, messages.SUCCESS)

    def _switch(
        self, request: HttpRequest, rows: QuerySet[Any], *, is_active: bool
    ) -> int:
        """Switch enrollments one by one, tell every refusal, and count the rest."""
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


@admin.register(EnrollmentEvent)
class EnrollmentEventAdmin(_Shown, _Kept):
    """
    The history of all enrollments.

    Users and enrollments are shown by their keys; the history outlives them.
    """

    list_display = (
        "time",
        "type",
        "username",
        "course_id",
        "mode_after",
        "active_after",
        "source",
        "actor_id",
    )
    list_filter = ("type", "source", "time")
    search_fields = ("username", "course_id")
    ordering = ("-pk",)
    fields = (
        "event_id",
        "type",
        "time",
        "enrollment_id",
        "user_id",
        "username",
        "course_id",
        "mode_before",
        "mode_after",
        "active_before",
        "active_after",
        "actor_id",
        "source",
        "reason",
        "enterprise_uuid",
    )
    readonly_fields = fields


@admin.register(CourseEnrollmentAttribute)
class CourseEnrollmentAttributeAdmin(_Shown, _Kept):
    """Attributes, which are always written as one whole list."""

    user_key = "enrollment__user"
    list_display = ("enrollment", "namespace", "name", "value")
    list_filter = ("namespace", "name")
    list_select_related = ("enrollment",)
    ordering = ("-pk",)


@admin.register(SentNotification)
class SentNotificationAdmin(_Shown):
    """Notifications that were sent; delete a row to send one again."""

    user_key = "enrollment__user"
    list_display = ("enrollment", "notification_type", "deadline", "sent")
    list_filter = ("notification_type", "sent")
    list_select_related = ("enrollment",)
    ordering = ("-pk",)


@admin.register(CourseEnrollmentAllowed)
class CourseEnrollmentAllowedAdmin(_Admin):
    """Invitations; who used one is for enrolling to note."""

    course_id_field = "course_id"
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
        """Save with the operator as the actor; enroll an account that is there."""
        if not change:
            obj.actor_id = origin_of(actor=request.user).actor_id
        super().save_model(request, obj, form, change)
        if obj.auto_enroll:
            redeem = partial(redeem_for_addresses, [obj.email], obj.course_id)
            after_commit(redeem, using=write_alias())


@admin.register(CourseAccessRole)
class CourseAccessRoleAdmin(_Admin):
    """Roles on courses and organisations."""

    user_key = "user"
    course_id_field = "course_id"
    raw_id_fields = ("user",)
    list_display = ("learner", "org", "course_id", "role")
    list_filter = ("role",)
    list_select_related = ("user",)
    search_fields = ("org", "course_id")
    ordering = ("-pk",)


@admin.register(CourseMode)
class CourseModeAdmin(_Admin):
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
    def course_text(self, row: Any) -> str:
        """Return the course id."""
        return get_course_adapter().course_id_of(row.course)


@admin.register(UserRetirementStatus)
class UserRetirementStatusAdmin(_Admin):
    """Who asked to be retired."""

    user_key = "user"
    raw_id_fields = ("user",)
    list_display = ("original_username", "learner", "state", "created", "modified")
    list_filter = ("state", "created")
    list_select_related = ("user",)
    search_fields = ("original_username",)
    ordering = ("-pk",)


@admin.register(EmailOptIn)
class EmailOptInAdmin(_Admin):
    """Who wants mail from which organisation."""

    user_key = "user"
    raw_id_fields = ("user",)
    list_display = ("learner", "org", "opted_in", "modified")
    list_filter = ("opted_in",)
    list_select_related = ("user",)
    search_fields = ("org",)
    ordering = ("-pk",)


# Django passes over a model that is swapped out.
@admin.register(Course)
class CourseAdmin(_Admin):
    """Courses of the shipped model."""

    course_id_field = "id"
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

    def get_readonly_fields(
        self, request: HttpRequest, obj: Any | None = None
    ) -> _Names:
        """Keep the id of a course there is; another id would be another course."""
        return () if obj is None else ("id",)
