"""What enrolling needs to know of a course."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.response import Response

from django_enrollments import api
from django_enrollments.views.base import EnrollmentAPIView, includes_expired
from django_enrollments.wire import Describing, refusing

if TYPE_CHECKING:
    from rest_framework.request import Request


class EnrollmentCourseDetailView(EnrollmentAPIView):
    """What enrolling needs to know of a course; open to everybody (V1-CRS)."""

    authentication_classes = []
    permission_classes = []

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
