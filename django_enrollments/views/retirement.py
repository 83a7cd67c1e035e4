"""Retirement of users, who leave all their courses at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from django_enrollments import api
from django_enrollments.backends.loading import get_retirement_backend
from django_enrollments.context import origin_of, override_origin
from django_enrollments.core.transactions import writing_call
from django_enrollments.errors import EnrollmentApiLoadError
from django_enrollments.importing import SettingLoadError
from django_enrollments.text import MAX_USERNAME, is_storable
from django_enrollments.views.base import CanRetireUser, EnrollmentAPIView
from django_enrollments.views.inputs import (
    RetirementRequestSerializer,
    body_of,
    first_error,
)

if TYPE_CHECKING:
    from rest_framework.request import Request

logger = logging.getLogger(__name__)


class UnenrollmentView(EnrollmentAPIView):
    """
    Unenrolls a user who is being retired from every course (V1-UNENR).

    Its errors are JSON strings, and it is not throttled.
    """

    permission_classes = [IsAuthenticated, CanRetireUser]
    throttle_classes = []

    @writing_call()
    def post(self, request: Request) -> Response:
        """
        Unenroll a user who is being retired from all courses.

        From every course, or from none if anything fails. For accounts that may retire
        users. Never throttled.

        Responses:
            200: The ids of the courses left.
            204: There were no courses to leave.
            404: `username` is missing, or no user with an open request had this name.
            500: Unenrolling failed, and nothing has changed.
        """
        wanted = RetirementRequestSerializer(data=body_of(request))
        if not wanted.is_valid():
            return Response(first_error(wanted), status=404)
        try:
            user = _find_retiring_user(wanted.validated_data["username"])
            if user is None:
                text = "No retirement request status for username."
                return Response(text, status=404)
            with override_origin(origin_of(actor=request.user, source="retirement")):
                left = api.unenroll_user_and_list_courses(user.get_username())
        except Exception as error:
            # The response does not disclose the error (B-11).
            logger.exception("A user could not be unenrolled from all courses.")
            not_loaded = isinstance(error, SettingLoadError | EnrollmentApiLoadError)
            return Response(
                "An error occurred while unenrolling the user.",
                status=400 if not_loaded else 500,
            )
        if not left:
            return Response(status=204)
        return Response(left)


def _find_retiring_user(username: object) -> Any | None:
    # A text that a database cannot store is no username, whatever the backend.
    if not is_storable(username, MAX_USERNAME):
        return None
    return get_retirement_backend().find_retiring_user(username)
