"""The list of all enrollments, for global staff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAuthenticated

from django_enrollments.core.selectors import search_enrollments
from django_enrollments.datetimes import to_iso
from django_enrollments.forms import CourseEnrollmentsApiListForm
from django_enrollments.models import CourseEnrollment
from django_enrollments.paginators import CourseEnrollmentsApiListPagination
from django_enrollments.serializers import CourseEnrollmentsApiListSerializer
from django_enrollments.views.base import EnrollmentAPIView, IsGlobalStaff
from django_enrollments.views.errors import ErrorResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import QuerySet
    from rest_framework.request import Request
    from rest_framework.response import Response

_FILTERS = CourseEnrollmentsApiListForm.base_fields.keys()


class CourseEnrollmentsApiListView(EnrollmentAPIView, ListAPIView[CourseEnrollment]):
    """
    Lists the enrollments of all learners, active or not, newest first (V1-ADM).

    The key of all its errors is ``developer_message`` (V1-ERR-04).
    """

    permission_classes = [IsAuthenticated, IsGlobalStaff]
    serializer_class = CourseEnrollmentsApiListSerializer
    pagination_class = CourseEnrollmentsApiListPagination
    filter_backends = []

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """
        List everybody's enrollments.

        For staff: active or not, newest first, page by page. API keys are not
        accepted. Filters combine; an empty one counts as missing. The slash at the end
        of the path may be left out.

        Responses:
            200: A page.
            400: Filters are malformed; each malformed one is named.
            404: The cursor is invalid.
        """
        return self.list(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[CourseEnrollment]:
        """
        Return the enrollments that the request asks for; override to narrow.

        Raises:
            ErrorResponse: Filters are malformed; the response names each (V1-ADM-11).
        """
        return _search(self._filters()).select_related("user", "course")

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
            raise ErrorResponse(status.HTTP_400_BAD_REQUEST, {"field_errors": errors})
        return {name: value for name, value in form.cleaned_data.items() if value != ""}

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page, as the serializer would, in one statement for all rows."""
        if not self._is_ours():
            return super().list(request, *args, **kwargs)
        columns = _search(self._filters(), as_columns=True)
        paginator = cast("CourseEnrollmentsApiListPagination", self.paginator)
        rows = paginator.paginate_queryset(columns, request, self)
        listed = [
            {
                "created": to_iso(created),
                "mode": mode,
                "is_active": is_active,
                "user": str(username),
                "course_id": str(course_id),
            }
            for created, _, mode, is_active, username, course_id in rows
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
        """Return the response to an exception, in the shape of this view."""
        response = super().handle_exception(exc)
        data = response.data
        if isinstance(data, dict) and "detail" in data:
            response.data = {"developer_message": data["detail"]}
        return response


def _search(given: Mapping[str, Any], *, as_columns: bool = False) -> QuerySet[Any]:
    return search_enrollments(
        course_id=given.get("course_id"),
        course_id_parts=given.get("course_ids"),
        usernames=given.get("username"),
        emails=given.get("email"),
        as_columns=as_columns,
    )
