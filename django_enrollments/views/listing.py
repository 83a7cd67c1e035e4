"""The list of all enrollments, for global staff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import get_user_model
from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAuthenticated

from django_enrollments.enrolling.joins import join_outer
from django_enrollments.enrolling.learners import find_names
from django_enrollments.enrolling.search import search_enrollments
from django_enrollments.forms import CourseEnrollmentsApiListForm
from django_enrollments.models import CourseEnrollment, get_course_adapter
from django_enrollments.moments import to_iso
from django_enrollments.paginators import CourseEnrollmentsApiListPagination
from django_enrollments.selects import read_columns
from django_enrollments.serializers import CourseEnrollmentsApiListSerializer
from django_enrollments.views.base import EnrollmentAPIView
from django_enrollments.views.guards import IsGlobalStaff
from django_enrollments.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import QuerySet
    from rest_framework.request import Request
    from rest_framework.response import Response

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

    #: Names by key, once they have been read because the request names them.
    names: Mapping[Any, str] | None = None

    def get_queryset(self) -> QuerySet[CourseEnrollment]:
        """
        Give the enrollments that the request asks for.

        Raises:
            Refused: A filter is malformed; every one that is, is told (V1-ADM-11).
        """
        given = self._filters()
        usernames = given.get("username")
        self.names = None if usernames is None else find_names(usernames)
        return search_enrollments(
            course_id=given.get("course_id"),
            course_id_parts=given.get("course_ids"),
            learners=self.names,
            emails=given.get("email"),
        )

    def _filters(self) -> dict[str, Any]:
        """Give the filters that the request has, read and checked."""
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
        Give a page, as the serializer would, in one statement for all its rows.

        Args:
            request: The request, with the fields of the form as filters.
            args: As DRF gives them.
            kwargs: As DRF gives them.
        """
        enrollments = self.get_queryset()
        names = self.names
        username = "user"
        if names is None:
            username = f"user__{get_user_model().USERNAME_FIELD}"
        course_id = f"course__{get_course_adapter().course_id}"
        columns = ("created", "pk", "mode", "is_active", username, course_id)
        found = join_outer(enrollments.values_list(*columns), "user", "course")
        paginator = cast("CourseEnrollmentsApiListPagination", self.paginator)
        rows = paginator.read_page(found, self.request, read_columns)
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
