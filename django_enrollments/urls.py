"""URLs of the REST API, version 1 (V1-URL)."""

from __future__ import annotations

from django.urls import path, re_path, register_converter

from django_enrollments.identifiers import (
    find_course_id,
    find_course_id_text,
    find_stored_course_id,
    is_username,
)
from django_enrollments.importing import SettingLoadError
from django_enrollments.views import (
    CourseEnrollmentsApiListView,
    EnrollmentAllowedView,
    EnrollmentCourseDetailView,
    EnrollmentEligibilityView,
    EnrollmentListView,
    EnrollmentUserRolesView,
    EnrollmentView,
    UnenrollmentView,
)

app_name = "django_enrollments"


class CourseIdConverter:
    """
    A course id that matches ``ENROLLMENTS_COURSE_ID_PATTERN``, read at each request.

    It never ends in a slash, whatever the pattern allows (V1-URL-11).
    """

    regex = ".*[^/]"

    def to_python(self, value: str) -> str:
        """
        Return the course id.

        Raises:
            ValueError: The text is not a course id, so the route does not match.
        """
        try:
            course_id = find_course_id(value)
        except SettingLoadError:
            # The view will refuse.
            course_id = find_course_id_text(value)
        if course_id is None:
            raise ValueError(value)
        return course_id

    def to_url(self, value: object) -> str:
        """
        Return the course id of a course, of an id, or of the ``str()`` of an object.

        Raises:
            ValueError: There is none, so the route does not match.
        """
        course_id = find_stored_course_id(value)
        if course_id is None:
            raise ValueError(value)
        return course_id


class UsernameConverter:
    """
    A username that matches ``ENROLLMENTS_USERNAME_PATTERN``, read at each request.

    It ends at the first comma (V1-URL-09, V1-URL-12).
    """

    regex = "[^,]+"

    def to_python(self, value: str) -> str:
        """
        Return the username.

        Raises:
            ValueError: The text is not a username, so the route does not match.
        """
        if not is_username(value):
            raise ValueError(value)
        return value

    def to_url(self, value: object) -> str:
        """Return the username."""
        return str(value)


register_converter(CourseIdConverter, "enrollments_course_id")
register_converter(UsernameConverter, "enrollments_username")

urlpatterns = [
    path("enrollment", EnrollmentListView.as_view(), name="courseenrollments"),
    re_path(
        r"^enrollments/?$",
        CourseEnrollmentsApiListView.as_view(),
        name="courseenrollmentsapilist",
    ),
    # Before the next route, whose course ids may contain commas.
    path(
        "enrollment/<enrollments_username:username>,<enrollments_course_id:course_id>",
        EnrollmentView.as_view(),
        name="courseenrollment",
    ),
    path(
        "enrollment/<enrollments_course_id:course_id>",
        EnrollmentView.as_view(),
        name="courseenrollment",
    ),
    # Before the next route, whose course ids may end in /eligibility.
    path(
        "course/<enrollments_course_id:course_id>/eligibility",
        EnrollmentEligibilityView.as_view(),
        name="courseenrollmenteligibility",
    ),
    path(
        "course/<enrollments_course_id:course_id>",
        EnrollmentCourseDetailView.as_view(),
        name="courseenrollmentdetails",
    ),
    path("unenroll/", UnenrollmentView.as_view(), name="unenrollment"),
    path("roles/", EnrollmentUserRolesView.as_view(), name="roles"),
    path(
        "enrollment_allowed/",
        EnrollmentAllowedView.as_view(),
        name="courseenrollmentallowed",
    ),
]
