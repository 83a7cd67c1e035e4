"""The requester's roles."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.utils.decorators import method_decorator
from django.views.decorators.csrf import ensure_csrf_cookie
from rest_framework.response import Response

from django_enrollments import api
from django_enrollments.authentication import (
    ConfiguredClasses,
    EnrollmentCrossDomainSessionAuth,
)
from django_enrollments.errors import UserNotFoundError
from django_enrollments.views.base import (
    ApiKeyOrAuthenticated,
    EnrollmentAPIView,
    requester_of,
)
from django_enrollments.views.errors import error_with_message
from django_enrollments.views.inputs import RolesQuerySerializer, validated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.request import Request

logger = logging.getLogger(__name__)


class EnrollmentUserRolesView(EnrollmentAPIView):
    """The course and organization roles of the requester (V1-ROLE)."""

    authentication_classes = ConfiguredClasses(EnrollmentCrossDomainSessionAuth)
    permission_classes = [ApiKeyOrAuthenticated]

    @method_decorator(ensure_csrf_cookie)
    def get(self, request: Request) -> Response:
        """
        List the requester's course and organization roles.

        Sorted, each once. A role on a whole organization has no course.

        Responses:
            200: The roles, possibly none.
            400: The roles could not be read.
        """
        requester = requester_of(request)
        try:
            roles = _sorted_roles(api.get_user_roles(requester.username))
        except Exception as error:
            # The response is the same for every error (V1-ROLE-08). A program with a
            # key and no name is not a failure.
            if not isinstance(error, UserNotFoundError):
                logger.exception("Roles could not be retrieved.")
            raise error_with_message(
                400,
                # Clients know the text without the closing quote.
                "An error occurred while retrieving roles for user '{}",
                requester.username,
            ) from error
        query = validated(RolesQuerySerializer(data=request.query_params))
        course_id = query.get("course_id")
        if course_id:
            roles = [role for role in roles if role["course_id"] == course_id]
        return Response({"roles": roles, "is_staff": requester.is_global_staff})


def _sorted_roles(roles: Iterable[Any]) -> list[dict[str, str | None]]:
    """Return distinct roles in order; those on organizations have no course (B-10)."""
    distinct = {
        (str(role.org or ""), str(role.course_id or ""), str(role.role))
        for role in roles
    }
    return [
        {"org": org, "course_id": course_id or None, "role": role}
        for org, course_id, role in sorted(distinct)
    ]
