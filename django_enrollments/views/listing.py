"""The list of all enrollments, for global staff."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import get_user_model
from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAuthenticated

from django_enrollments.core.joins import join_outer
from django_enrollments.core.selectors import search_enrollments
from django_enrollments.course_model import find_field
from django_enrollments.datetimes import to_iso
from django_enrollments.forms import CourseEnrollmentsApiListForm
from django_enrollments.models import CourseEnrollment, get_course_adapter
from django_enrollments.paginators import (
    CourseEnrollmentsApiListPagination,
    Place,
    arrange,
)
from django_enrollments.selects import Prepared, Slot, is_plain_path, read_columns
from django_enrollments.serializers import CourseEnrollmentsApiListSerializer
from django_enrollments.users import find_names
from django_enrollments.views.base import EnrollmentAPIView
from django_enrollments.views.errors import Refused
from django_enrollments.views.guards import IsGlobalStaff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import QuerySet
    from rest_framework.request import Request
    from rest_framework.response import Response

    from django_enrollments.models.enrollments import CourseEnrollmentQuerySet

_FILTERS = CourseEnrollmentsApiListForm.base_fields.keys()


class CourseEnrollmentsApiListView(EnrollmentAPIView, ListAPIView[CourseEnrollment]):
    """
    Lists everybody's enrollments, active or not, newest first (V1-ADM).

    All its errors are told in ``developer_message`` (V1-ERR-04).
    """

    permission_classes = [IsAuthenticated, IsGlobalStaff]
    serializer_class = CourseEnrollmentsApiListSerializer
    pagination_class = CourseEnrollmentsApiListPagination
    filter_backends = []

    def get_queryset(self) -> QuerySet[CourseEnrollment]:
        """
        Return the enrollments that the request asks for; override to narrow.

        Raises:
            Refused: A filter is malformed; every one that is, is told (V1-ADM-11).
        """
        enrollments, _ = _search(self._filters())
        return enrollments.select_related("user", "course")

    def _filters(self) -> dict[str, Any]:
        """Return the filters that the request has, read and checked."""
        if not self.request.query_params.keys() & _FILTERS:
            return {}
        form = CourseEnrollmentsApiListForm(self.request.query_params)
        if not form.is_valid():
            errors = {
                field: {"developer_message": str(texts[0])}
                for field, texts in form.errors.items()
            }
            raise Refused(status.HTTP_400_BAD_REQUEST, {"field_errors": errors})
        return {name: value for name, value in form.cleaned_data.items() if value != ""}

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """
        Return a page, as the serializer would, in one statement for all its rows.

        Args:
            request: The request, with the fields of the form as filters.
            args: As DRF gives them.
            kwargs: As DRF gives them.
        """
        if not self._is_ours():
            return super().list(request, *args, **kwargs)
        given = self._filters()
        names: Mapping[Any, str] | None = None
        if given.keys() <= {"course_id"}:
            read = partial(_read_prepared, given.get("course_id"))
        else:
            enrollments, names = _search(given)
            username = _username_path() if names is None else "user"
            read = partial(_read_found, enrollments, username)
        paginator = cast("CourseEnrollmentsApiListPagination", self.paginator)
        rows = paginator.read_page(request, read)
        listed = [
            {
                "created": to_iso(created),
                "mode": mode,
                "is_active": is_active,
                "user": names[user] if names else str(user),
                "course_id": str(course),
            }
            for created, _, mode, is_active, user, course in rows
        ]
        return self.get_paginated_response(listed)

    def _is_ours(self) -> bool:
        """Return whether a host has left rows, pages and their shape to this view."""
        ours, own = CourseEnrollmentsApiListView, type(self)
        names = ("get_queryset", "filter_queryset", "paginate_queryset")
        return (
            all(getattr(own, name) is getattr(ours, name) for name in names)
            and self.get_serializer_class() is CourseEnrollmentsApiListSerializer
            and type(self.paginator) is CourseEnrollmentsApiListPagination
            and not self.filter_backends
        )

    def handle_exception(self, exc: Exception) -> Response:
        """
        Answer what was raised, in the words of this view.

        Args:
            exc: What was raised.
        """
        response = super().handle_exception(exc)
        data = response.data
        if isinstance(data, dict) and "detail" in data:
            response.data = {"developer_message": data["detail"]}
        return response


def _search(
    given: Mapping[str, Any],
) -> tuple[CourseEnrollmentQuerySet, Mapping[Any, str] | None]:
    """Return what filters find, and the names of its learners where they are known."""
    usernames = given.get("username")
    # Databases are better at finding the rows of keys than of names.
    names = None if usernames is None else find_names(usernames)
    enrollments = search_enrollments(
        course_id=given.get("course_id"),
        course_id_parts=given.get("course_ids"),
        learners=names,
        emails=given.get("email"),
    )
    return enrollments, names


def _read_found(
    enrollments: CourseEnrollmentQuerySet,
    username_path: str,
    place: Place | None,
    count: int,
) -> list[tuple[Any, ...]]:
    found = _page(enrollments, username_path, _course_id_path(), place, count)
    return read_columns(found)


def _read_prepared(
    course_id: str | None, place: Place | None, count: int
) -> list[tuple[Any, ...]]:
    """Read what needs no more than a course and a place, which most pages do not."""
    paths = _username_path(), _course_id_path()
    is_plain = all(is_plain_path(CourseEnrollment, path) for path in paths)
    prepare = _prepare if is_plain else _prepare.__wrapped__
    prepared = prepare(
        CourseEnrollment.objects.db,
        *paths,
        in_course=course_id is not None,
        to_newer=None if place is None else place.to_newer,
        count=count,
    )
    values = {} if place is None else place._asdict()
    return prepared.read(course_id=course_id, **values)


@lru_cache(maxsize=64)
def _prepare(
    using: str,
    username_path: str,
    course_id_path: str,
    *,
    in_course: bool,
    to_newer: bool | None,
    count: int,
) -> Prepared:
    own = CourseEnrollment._meta
    course_id, place = None, None
    if in_course:
        field: Any = find_field(CourseEnrollment, course_id_path)
        course_id = Slot("course_id", field)
    if to_newer is not None:
        created = Slot("created", own.get_field("created"))
        place = Place(created, Slot("key", own.pk), to_newer)
    enrollments = search_enrollments(course_id=course_id, using=using)
    return Prepared(_page(enrollments, username_path, course_id_path, place, count))


def _page(
    enrollments: CourseEnrollmentQuerySet,
    username_path: str,
    course_id_path: str,
    place: Place | None,
    count: int,
) -> QuerySet[Any, Any]:
    columns = ("created", "pk", "mode", "is_active", username_path, course_id_path)
    rows = join_outer(enrollments.values_list(*columns), "user", "course")
    return arrange(rows, place)[:count]


def _username_path() -> str:
    return f"user__{get_user_model().USERNAME_FIELD}"


def _course_id_path() -> str:
    return f"course__{get_course_adapter().course_id}"
