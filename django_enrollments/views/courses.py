"""What enrolling needs to know of a course, and whether a learner may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.response import Response

from django_enrollments import api
from django_enrollments.context import attributed, origin_of
from django_enrollments.core.course_details_cache import may_be_personal
from django_enrollments.importing import CollaboratorNotLoaded
from django_enrollments.views.base import (
    EnrollmentAPIView,
    includes_expired,
    requester_of,
)
from django_enrollments.wire import Describing, refusing

if TYPE_CHECKING:
    from rest_framework.request import Request


class EnrollmentCourseDetailView(EnrollmentAPIView):
    """What enrolling needs to know of a course; open to everybody (V1-CRS)."""

    authentication_classes = []
    permission_classes = []

    @property
    def is_personal(self) -> bool:
        """Whether answers depend on the requester."""
        try:
            return may_be_personal()
        except CollaboratorNotLoaded:
            return True

    def get(self, request: Request, course_id: str) -> Response:
        """
        Describe a course.

        Args:
            request: The request; ``?include_expired=`` with any value lists expired
                modes too.
            course_id: The course id.
        """
        with refusing(Describing(course_id=course_id)):
            details = api.get_course_enrollment_details(
                course_id, include_expired=includes_expired(request)
            )
        return Response(details)


class EnrollmentEligibilityView(EnrollmentAPIView):
    """Whether the requester may enroll in a course, and every reason why not."""

    def get(self, request: Request, course_id: str) -> Response:
        """
        Run the rules that enrolling would run; nothing is written.

        Args:
            request: The request; ``?mode=`` asks for a mode, the default otherwise.
            course_id: The course id.
        """
        requester = requester_of(request)
        mode = request.query_params.get("mode") or None
        with (
            refusing(Describing(requester.username, course_id, mode)),
            attributed(origin_of(actor=requester.user, source="rest")),
        ):
            explained = api.explain_enrollment(requester.username, course_id, mode)
        return Response(explained)
