"""The course adapter of the example project."""

from __future__ import annotations

from django_enrollments.backends.courses import CourseAdapter


class CourseRunAdapter(CourseAdapter):
    """Maps the fields of ``CourseRun``. Missing fields are ``None``."""

    course_id = "code"
    org = "school__code"
    display_name = "title"
    start = "starts_on"
    end = "ends_on"
    enrollment_start = "registration_opens_at"
    enrollment_end = "registration_closes_on"
    max_student_enrollments_allowed = "seats"
    invitation_only = "by_invitation"
    self_paced = None
    enable_proctored_exams = None
    proctoring_provider = None
