"""Courses with their modes, and whether a learner may enroll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.response import Response

from django_enrollments import api
from django_enrollments.context import origin_of, override_origin
from django_enrollments.core.course_details_cache import may_be_personal
from django_enrollments.importing import SettingLoadError
from django_enrollments.views.base import EnrollmentAPIView, requester_of
from django_enrollments.views.errors import DESCRIBING, responding_to_errors
from django_enrollments.views.inputs import (
    CourseQuerySerializer,
    EligibilityQuerySerializer,
    validated,
)

if TYPE_CHECKING:
    from rest_framework.request import Request


class EnrollmentCourseDetailView(EnrollmentAPIView):
    """A course with its modes, for everyone (V1-CRS)."""

    authentication_classes = []
    permission_classes = []

    @property
    def is_personal(self) -> bool:
        """Whether responses depend on the requester."""
        try:
            return may_be_personal()
        except SettingLoadError:
            return True

    def get(self, request: Request, course_id: str) -> Response:
        """
        Return a course with its modes.

        Open to everybody, logged in or not.

        Responses:
            200: The course.
            400: No course has this id.
            404: The path has no valid course id; the site decides the body.
        """
        query = validated(CourseQuerySerializer(data=request.query_params))
        with responding_to_errors(DESCRIBING, course_id=course_id):
            details = api.get_course_enrollment_details(
                course_id, include_expired=query["include_expired"]
            )
        return Response(details)


class EnrollmentEligibilityView(EnrollmentAPIView):
    """Whether the requester may enroll in a course, and every reason why not."""

    def get(self, request: Request, course_id: str) -> Response:
        """
        Explain whether the requester may enroll in a course.

        Runs the rules that enrolling would run, and lists every one that refuses.
        Nothing is written.

        Responses:
            200: An explanation, whether it allows or not.
            400: No course has this id.
            404: The path has no valid course id; the site decides the body.
        """
        requester = requester_of(request)
        query = validated(EligibilityQuerySerializer(data=request.query_params))
        mode = query.get("mode") or None
        username = requester.username
        with (
            responding_to_errors(
                DESCRIBING, username=username, course_id=course_id, mode=mode
            ),
            override_origin(origin_of(actor=requester.user, source="rest")),
        ):
            explained = api.explain_enrollment(username, course_id, mode)
        return Response(explained)
