from __future__ import annotations

from typing import TYPE_CHECKING

from django_enrollments.backends.courses import CourseAdapter

if TYPE_CHECKING:
    from tests.other_host.models import Seminar


class SeminarAdapter(CourseAdapter):
    """Uses every kind of source: a field, a path, ``None`` and a method."""

    course_id = "slug"
    org = "faculty__name"
    start = "begins_at"
    end = "finishes_at"
    enrollment_start = "registration_opens_at"
    enrollment_end = "registration_closes_at"
    invitation_only = "by_invitation"
    max_student_enrollments_allowed = "seats"
    self_paced = None
    enable_proctored_exams = "proctored"
    proctoring_provider = "proctor"

    def display_name(self, course: Seminar) -> str:
        return f"Seminar: {course.title}"
