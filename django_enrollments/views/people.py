"""What somebody is in all courses at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.utils.decorators import method_decorator
from django.views.decorators.csrf import ensure_csrf_cookie
from rest_framework.response import Response

from django_enrollments import api
from django_enrollments.views.base import EnrollmentAPIView, Requester, refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.request import Request

logger = logging.getLogger(__name__)


class EnrollmentUserRolesView(EnrollmentAPIView):
    """The course and organisation roles of the requester (V1-ROLE)."""

    @method_decorator(ensure_csrf_cookie)
    def get(self, request: Request) -> Response:
        """
        List the roles of the requester, sorted, each once.

        Args:
            request: The request; ``?course_id=`` keeps the roles on exactly that
                course.
        """
        requester = Requester(request)
        try:
            roles = _told_roles(api.get_user_roles(requester.username))
        except Exception as error:
            # Whatever it is, the client is told one thing (V1-ROLE-08).
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
        is_staff = bool(getattr(requester.user, "is_staff", False))
        return Response({"roles": roles, "is_staff": is_staff})


def _told_roles(roles: Iterable[Any]) -> list[dict[str, str | None]]:
    """Give roles in order, those on whole organisations without a course (B-10)."""
    distinct = {
        (str(role.org or ""), str(role.course_id or ""), str(role.role))
        for role in roles
    }
    return [
        {"org": org, "course_id": course_id or None, "role": role}
        for org, course_id, role in sorted(distinct)
    ]
