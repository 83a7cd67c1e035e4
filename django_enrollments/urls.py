"""The REST API, version 1 (V1-URL)."""

from __future__ import annotations

from django.urls import path, register_converter

from django_enrollments.keys import find_course_id
from django_enrollments.views import EnrollmentCourseDetailView, EnrollmentListView

app_name = "django_enrollments"


class CourseIdConverter:
    """
    A valid course id, asked of ``ENROLLMENTS_COURSE_ID_PATTERN`` at each request.

    No id ends in a slash here, whatever the pattern allows (V1-URL-11).
    """

    regex = ".*[^/]"

    def to_python(self, value: str) -> str:
        """
        Take a course id from a URL.

        Args:
            value: Text of the URL.

        Raises:
            ValueError: It is no course id, so the route does not match.
        """
        course_id = find_course_id(value)
        if course_id is None:
            raise ValueError(value)
        return course_id

    def to_url(self, value: object) -> str:
        """
        Put a course id into a URL.

        Args:
            value: The course id, or anything whose ``str()`` it is.
        """
        return str(value)


register_converter(CourseIdConverter, "enrollments_course_id")

urlpatterns = [
    path("enrollment", EnrollmentListView.as_view(), name="courseenrollments"),
    path(
        "course/<enrollments_course_id:course_id>",
        EnrollmentCourseDetailView.as_view(),
        name="courseenrollmentdetails",
    ),
]
