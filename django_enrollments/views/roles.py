"""What somebody is in all courses at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.utils.decorators import method_decorator
from django.views.decorators.csrf import ensure_csrf_cookie
from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from django_enrollments import api
from django_enrollments.authentication import (
    ConfiguredClasses,
    EnrollmentCrossDomainSessionAuth,
)
from django_enrollments.backends.loading import get_retirement_backend
from django_enrollments.context import attributed, origin_of
from django_enrollments.core.transactions import writing_call
from django_enrollments.errors import EnrollmentApiLoadError, UserNotFoundError
from django_enrollments.importing import CollaboratorNotLoaded
from django_enrollments.text import MAX_USERNAME, is_storable
from django_enrollments.views.base import (
    ApiKeyOrAuthenticated,
    CanRetireUser,
    EnrollmentAPIView,
    body_of,
    refused,
    requester_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.request import Request

logger = logging.getLogger(__name__)


class EnrollmentUserRolesView(EnrollmentAPIView):
    """The course and organisation roles of the requester (V1-ROLE)."""

    authentication_classes = ConfiguredClasses(EnrollmentCrossDomainSessionAuth)
    permission_classes = [ApiKeyOrAuthenticated]

    @method_decorator(ensure_csrf_cookie)
    def get(self, request: Request) -> Response:
        """
        List the roles of the requester, sorted, each once.

        Args:
            request: The request; ``?course_id=`` keeps the roles on exactly that
                course.
        """
        requester = requester_of(request)
        try:
            roles = _told_roles(api.get_user_roles(requester.username))
        except Exception as error:
            # Whatever it is, the client is told one thing (V1-ROLE-08). A program that
            # carries a key and no name is no failure.
            if not isinstance(error, UserNotFoundError):
                logger.exception("Roles could not be retrieved.")
            raise refused(
                400,
                # Clients know the text without the quote that is missing.
                "An error occurred while retrieving roles for user '{}",
                requester.username,
            ) from error
        course_id = request.query_params.get("course_id")
        if course_id:
            roles = [role for role in roles if role["course_id"] == course_id]
        return Response({"roles": roles, "is_staff": requester.is_global_staff})


def _told_roles(roles: Iterable[Any]) -> list[dict[str, str | None]]:
    """Return roles in order, those on whole organisations without a course (B-10)."""
    distinct = {
        (str(role.org or ""), str(role.course_id or ""), str(role.role))
        for role in roles
    }
    return [
        {"org": org, "course_id": course_id or None, "role": role}
        for org, course_id, role in sorted(distinct)
    ]


class UnenrollmentView(EnrollmentAPIView):
    """
    Unenrolls a user who asked for retirement from every course (V1-UNENR).

    Its errors are bare JSON strings, and no throttle slows a retirement down.
    """

    permission_classes = [IsAuthenticated, CanRetireUser]
    throttle_classes = []

    @writing_call()
    def post(self, request: Request) -> Response:
        """
        Take somebody out of all courses, or of none if anything fails.

        Args:
            request: The request, with the ``username`` they had when they asked.

        Returns:
            The ids of the courses left; nothing at all when there were none.
        """
        body = body_of(request)
        if "username" not in body:
            return Response("Username not specified.", status=status.HTTP_404_NOT_FOUND)
        try:
            user = _find_retiring_user(body["username"])
            if user is None:
                return Response(
                    "No retirement request status for username.",
                    status=status.HTTP_404_NOT_FOUND,
                )
            with attributed(origin_of(actor=request.user, source="retirement")):
                left = api.leave_all_courses(user.get_username())
        except Exception as error:
            # Nothing of what went wrong leaves the host (B-11).
            logger.exception("A user could not be taken out of all courses.")
            is_refused = isinstance(
                error, CollaboratorNotLoaded | EnrollmentApiLoadError
            )
            return Response(
                "An error occurred while unenrolling the user.",
                status=status.HTTP_400_BAD_REQUEST
                if is_refused
                else status.HTTP_500_INTERNAL_SERVER_ERROR,
            )
        if not left:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(left)


def _find_retiring_user(username: object) -> Any | None:
    # A text that no database can hold is no username, whatever the backend.
    if not isinstance(username, str) or not is_storable(username, MAX_USERNAME):
        return None
    return get_retirement_backend().find_retiring_user(username)
