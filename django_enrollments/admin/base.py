"""
Base classes of the admin's pages.

A host's user and course models may be missing from the admin. Where they are registered
with search fields, users and courses are chosen by autocomplete, otherwise by key.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth import get_user_model
from django.core.exceptions import BadRequest, ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from django_enrollments.core.transactions import (
    non_atomic,
    write_alias,
    writing_call,
)
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import get_course_adapter
from django_enrollments.policies import can_view_users
from django_enrollments.text import is_storable
from django_enrollments.users import email_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Field
    from django.http import HttpRequest, HttpResponse

    Names = list[str] | tuple[str, ...]
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = forms.ModelForm


class _Autocomplete(AutocompleteSelect):
    """Django's widget, which raises an error for a value that cannot be a key."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        """Return the selected options, without values that cannot be keys."""
        key = self.field.related_model._meta.pk
        return super().optgroups(
            name, [text for text in value if _may_be(key, text)], attr
        )


def _may_be(key: Field[Any, Any], text: str) -> bool:
    """Return whether ``text`` is a possible value of the field ``key``."""
    try:
        key.run_validators(key.to_python(text))
    except ValidationError:
        return False
    return is_storable(text)


@contextmanager
def _writing(request: HttpRequest) -> Iterator[None]:
    """
    Open a transaction and take SQLite's write lock, if a form was submitted.

    The admin reads before it writes, and SQLite refuses to write after a read once
    another connection has written. The body is read before the lock is taken.
    """
    if not request.POST:
        yield
        return
    with transaction.atomic(using=write_alias()), writing_call():
        yield


class BaseAdmin(ModelAdmin):
    """
    Base class of all pages.

    Attributes:
        user_key: Path to the user, to search by name and address.
        course_key: Path to the course, to search by course id.
    """

    user_key: str | None = None
    course_key: str | None = None
    # The second COUNT of each page is slow on a table with millions of rows.
    show_full_result_count = False

    @non_atomic
    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take SQLite's write lock before Django reads."""
        with _writing(request):
            return super().add_view(request, *args, **kwargs)

    @non_atomic
    def change_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Take SQLite's write lock before Django reads."""
        with _writing(request):
            return super().change_view(request, *args, **kwargs)

    @non_atomic
    def delete_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Take SQLite's write lock before Django reads."""
        with _writing(request):
            return super().delete_view(request, *args, **kwargs)

    @non_atomic
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """
        List the rows.

        Raises:
            BadRequest: A filter contains text that no database can store.
        """
        for name, texts in request.GET.lists():
            # The admin's search form validates q.
            if name != "q" and not all(map(is_storable, (name, *texts))):
                raise BadRequest("A filter contains text that cannot be stored.")
        return super().changelist_view(request, extra_context)

    @non_atomic
    def history_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show the log without a transaction."""
        return super().history_view(request, *args, **kwargs)

    def get_search_fields(self, request: HttpRequest) -> Names:
        """
        Return the search fields, with those of the host's user and course models.

        Addresses of users are included only for staff who may view users, because a
        search by parts of an address would reveal it.
        """
        found = list(super().get_search_fields(request))
        if self.user_key:
            names = [get_user_model().USERNAME_FIELD, email_field()]
            if not can_view_users(request.user):
                names = [name for name in names if name != email_field()]
            found += [f"{self.user_key}__{name}" for name in names if name]
        if self.course_key:
            found.append(f"{self.course_key}__{get_course_adapter().course_id}")
        return list(dict.fromkeys(found))

    def get_autocomplete_fields(self, request: HttpRequest) -> Names:
        """Return the foreign keys to models that the admin can search."""
        return [name for name in self.raw_id_fields if self._can_search(request, name)]

    def _can_search(self, request: HttpRequest, name: str) -> bool:
        model: Any = self.model._meta.get_field(name).related_model
        try:
            other = self.admin_site.get_model_admin(model)
        except NotRegistered:
            return False
        return bool(other.get_search_fields(request))

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Return a field whose autocomplete widget accepts any input."""
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = _Autocomplete(
                db_field, self.admin_site, using=kwargs.get("using")
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description=_("user"), ordering="user")
    def learner(self, row: Any) -> str:
        """Return the username of the row's user."""
        if row.user is None:
            return self.get_empty_value_display()
        return str(row.user.get_username())


class ReadOnlyMixin:
    """A page or inline whose rows can be viewed, but neither added nor changed."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return ``False``."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return ``False``."""
        return False


class NoDeleteAdmin(BaseAdmin):
    """A page that deletes no rows."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """
        Return ``False`` on the pages of this model.

        Another page asks when it deletes a user, whose rows are deleted too. There,
        Django's permission decides.
        """
        match = request.resolver_match
        options = self.model._meta
        own_pages = f"{options.app_label}_{options.model_name}_"
        if match and str(match.url_name).startswith(own_pages):
            return False
        return super().has_delete_permission(request, obj)


def check_course_id(text: str) -> str:
    """
    Return ``text``, which may be empty.

    Raises:
        ValidationError: It does not match ``ENROLLMENTS_COURSE_ID_PATTERN``.
    """
    if text and find_course_id(text) is None:
        raise ValidationError(_("This is no valid course id."))
    return text


class CourseIdForm(ModelForm):
    """A form that validates its ``course_id``."""

    def clean_course_id(self) -> str:
        """Return the course id."""
        return check_course_id(self.cleaned_data["course_id"])
