"""
Base classes of the admin's pages.

A host's user and course models may be missing from the admin. Where they are registered
with search fields, users and courses are chosen by autocomplete, otherwise by key.

Note [Large tables]: a page of a table with a million rows takes a constant number of
statements, and none of them reads the whole table where an index can prevent it. So the
keys of the first rows are read once, which counts them, too; users and courses are
searched by the beginning of their names, before the large table is; columns without an
index are not sorted by; and filters list no distinct values of a large table.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth import get_user_model
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_enrollments.core.transactions import (
    non_atomic,
    write_alias,
    writing_call,
)
from django_enrollments.course_model import course_id_is_text, course_key_is_id
from django_enrollments.identifiers import (
    find_course,
    find_course_id,
    find_username,
)
from django_enrollments.models import get_course_adapter
from django_enrollments.policies import can_view_rows
from django_enrollments.text import is_storable
from django_enrollments.users import email_field, find_user, find_users_by_email

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    Names = list[str] | tuple[str, ...]
    ModelAdmin = admin.ModelAdmin[Any]
    BasePaginator = Paginator[Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin = admin.ModelAdmin
    BasePaginator = Paginator
    ModelForm = forms.ModelForm


#: The number of rows that a list counts and shows in pages.
ROWS_COUNTED = 5_000

#: The number of users, and of courses, whose rows a search shows.
MATCHES_SEARCHED = 100


class LimitedPaginator(BasePaginator):
    """Pages of the first ``ROWS_COUNTED`` rows; the others are not counted."""

    @cached_property
    def _keys(self) -> list[Any]:
        rows: Any = self.object_list
        return list(rows.values_list("pk", flat=True)[: ROWS_COUNTED + 1])

    @property
    def keys(self) -> list[Any]:
        """The primary keys of the rows in pages, in order."""
        return self._keys[:ROWS_COUNTED]

    @property
    def has_more(self) -> bool:
        """Whether there are other rows."""
        return len(self._keys) > ROWS_COUNTED

    @cached_property
    def count(self) -> int:
        """The number of rows in pages."""
        return len(self.keys)


class KeyedChangeList(ChangeList):
    """A list that reads the rows of a page by the keys of the paginator."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the keys, and set the rows of the page."""
        super().get_results(request)
        keys = self.paginator.keys
        if self.multi_page and not (self.show_all and self.can_show_all):
            first = (self.page_num - 1) * self.list_per_page
            keys = keys[first : first + self.list_per_page]
        # Without a second search for rare rows.
        self.result_list = self.queryset.filter(pk__in=keys)
        if not self.query and not self.has_active_filters:
            # A number beside the search box would be taken for that of all rows.
            self.full_result_count = self.result_count


class Autocomplete(AutocompleteSelect):
    """Django's widget, which raises an error for a value that cannot be a key."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        """Return the selected options, without values that cannot be keys."""
        model = self.field.related_model
        possible = [text for text in value if find_key(model, text) is not None]
        return super().optgroups(name, possible, attr)


def find_key(model: Any, text: str) -> Any | None:
    """Return a primary key of a model; ``None`` if ``text`` cannot be one."""
    key = model._meta.pk
    while key.is_relation:
        key = key.related_model._meta.pk
    try:
        value = key.to_python(text)
        key.run_validators(value)
    except ValidationError:
        return None
    return value if is_storable(text) else None


@contextmanager
def writing(request: HttpRequest) -> Iterator[None]:
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
    paginator = LimitedPaginator
    # The second COUNT of each page is slow on a table with millions of rows, and so are
    # the counts beside each filter.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["django_enrollments/admin.css"]}

    @non_atomic
    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take SQLite's write lock before Django reads."""
        with writing(request):
            return super().add_view(request, *args, **kwargs)

    @non_atomic
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Take SQLite's write lock before Django reads."""
        with writing(request):
            context = {**self.named(object_id), **(extra_context or {})}
            return super().change_view(request, object_id, form_url, context)

    @non_atomic
    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Take SQLite's write lock before Django reads."""
        with writing(request):
            return super().delete_view(request, object_id, extra_context)

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
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the log without a transaction."""
        context = self.named(object_id)
        if context:
            name = context["name_in_words"]
            context["title"] = gettext("Change history: %s") % name
        context |= extra_context or {}
        return super().history_view(request, object_id, context)

    def named(self, object_id: str) -> dict[str, Any]:
        """
        Return the context of a page about a row: its heading in words.

        Args:
            object_id: The primary key in the URL, which need not exist.
        """
        row = self.row_of(object_id)
        if row is None:
            return {}
        name = self.in_words(row)
        return {"subtitle": name, "name_in_words": name}

    def row_of(self, object_id: str) -> Any | None:
        """
        Return the row of a page.

        Args:
            object_id: The primary key in the URL, which need not exist.
        """
        key = find_key(self.model, unquote(object_id))
        if key is None:
            return None
        rows = self.model._default_manager.all()
        if self.list_select_related and not isinstance(self.list_select_related, bool):
            rows = rows.select_related(*self.list_select_related)
        return rows.filter(pk=key).first()

    def in_words(self, row: Any) -> str:
        """Return the name of a row for headings."""
        return str(row)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class of the list."""
        return KeyedChangeList

    def get_search_fields(self, request: HttpRequest) -> Names:
        """
        Return the search fields, with those of the host's user and course models.

        :meth:`get_search_results` searches them. Addresses of users are included only
        for staff who may view users, because a search would reveal them.
        """
        found = list(super().get_search_fields(request))
        if self.user_key:
            names = [get_user_model().USERNAME_FIELD, email_field()]
            if not can_view_rows(request.user, get_user_model()):
                names = [name for name in names if name != email_field()]
            found += [f"{self.user_key}__{name}" for name in names if name]
        if self.course_key:
            found.append(f"{self.course_key}__{get_course_adapter().course_id}")
        return list(dict.fromkeys(found))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """
        Search by the beginning of names and ids, without a scan of a large table.

        See Note [Large tables]. Addresses are compared as a whole. Users and courses
        are found first, and then their rows.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        if not is_storable(term):
            return queryset.none(), False
        return queryset.filter(self.matching(request, term)), False

    def matching(self, request: HttpRequest, term: str) -> Q:
        """Return the condition for the rows that a search finds."""
        found = Q(pk__in=[])
        users = self.find_users(request, term) if self.user_key else []
        courses = self._find_courses(term) if self.course_key else []
        if not (users or courses) and course_key_is_id() and find_course_id(term):
            # A deleted course. Without a condition on courses, the database needs no
            # join to find the rows of users.
            courses = [term]
        if users:
            found |= Q(**{f"{self.user_key}__in": self._limited(request, users)})
        if courses and self.course_key:
            found |= self.in_courses(self._limited(request, courses))
        for name in self.search_fields:
            found |= Q(**{f"{name}__startswith": term})
        return found

    def in_courses(self, keys: list[Any]) -> Q:
        """Return the condition for the rows of courses, by their primary keys."""
        return Q(**{f"{self.course_key}__in": keys})

    def find_users(self, request: HttpRequest, term: str) -> list[Any]:
        """Return the keys of users that a search is about, the exact one first."""
        model = get_user_model()
        name = model.USERNAME_FIELD
        may_view = can_view_rows(request.user, model)
        keys = []
        if name != email_field() or may_view:
            users = model._default_manager.order_by()
            exact = find_user(term)
            keys = [] if exact is None else [exact.pk]
            if isinstance(find_username("a"), str):
                spellings = {term, term.lower(), model.normalize_username(term)}
                begins = [Q(**{f"{name}__startswith": one}) for one in spellings]
                some = users.filter(reduce(or_, begins)).values_list("pk", flat=True)
                keys += some[: MATCHES_SEARCHED + 1]
        if may_view and "@" in term:
            matching = find_users_by_email([term])
            keys += [user.pk for users in matching.values() for user in users]
        return list(dict.fromkeys(keys))

    def _find_courses(self, term: str) -> list[Any]:
        """Return the keys of courses that a search is about, the exact one first."""
        adapter = get_course_adapter()
        exact = find_course(term)
        keys = [] if exact is None else [exact.pk]
        if course_id_is_text():
            courses = adapter.get_queryset().order_by()
            begins = {f"{adapter.course_id}__startswith": term}
            some = courses.filter(**begins).values_list("pk", flat=True)
            keys += some[: MATCHES_SEARCHED + 1]
        return list(dict.fromkeys(keys))

    def _limited(self, request: HttpRequest, keys: list[Any]) -> list[Any]:
        """Return some of the keys, with a message if these are not all."""
        if len(keys) > MATCHES_SEARCHED:
            text = ngettext(
                "More than %(limit)d name or id begins with this text. The rows of "
                "some of them are shown; type more.",
                "More than %(limit)d names or ids begin with this text. The rows of "
                "some of them are shown; type more.",
                MATCHES_SEARCHED,
            )
            text %= {"limit": MATCHES_SEARCHED}
            self.message_user(request, text, messages.WARNING)
        return keys[:MATCHES_SEARCHED]

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
            kwargs["widget"] = Autocomplete(
                db_field, self.admin_site, using=kwargs.get("using")
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description=_("user"))
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
