from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from django_enrollments.backends.courses import CourseAdapter
from tests.factories import course_id_of
from tests.other_host.adapters import SeminarAdapter

if TYPE_CHECKING:
    from django.db.models import QuerySet


class MethodAdapter(CourseAdapter):
    """Computes everything but the course id, and keeps its dates as plain dates."""

    course_id = "id"

    def org(self, course: Any) -> str:
        return "computed"

    def display_name(self, course: Any) -> str:
        return f"Computed {course_id_of(course)}"

    def start(self, course: Any) -> date:
        return date(2026, 3, 1)

    def end(self, course: Any) -> date:
        return date(2026, 6, 1)

    def enrollment_start(self, course: Any) -> date:
        return date(2026, 2, 1)

    def enrollment_end(self, course: Any) -> date:
        return date(2026, 3, 5)

    def invitation_only(self, course: Any) -> bool:
        return False

    def max_student_enrollments_allowed(self, course: Any) -> int:
        return 1

    def self_paced(self, course: Any) -> bool:
        return True

    def enable_proctored_exams(self, course: Any) -> bool:
        return True

    def proctoring_provider(self, course: Any) -> str:
        return "computed"


class MethodSeminarAdapter(MethodAdapter):
    """The same for the other host's course, whose id is not its key."""

    course_id = "slug"


class KeyAdapter(CourseAdapter):
    """Names the primary key as Django's alias for it."""

    course_id = "pk"


class BareAdapter(CourseAdapter):
    """Reads courses that have nothing but an id."""

    org = None
    display_name = None
    start = None
    end = None
    enrollment_start = None
    enrollment_end = None
    invitation_only = None
    max_student_enrollments_allowed = None
    self_paced = None
    enable_proctored_exams = None
    proctoring_provider = None


class BareSeminarAdapter(BareAdapter):
    """The same for the other host's course, whose id is not its key."""

    course_id = "slug"


class NarrowAdapter(CourseAdapter):
    """Keeps the courses whose ids begin with "hidden" from learners."""

    def get_queryset(self) -> QuerySet[Any]:
        courses = super().get_queryset()
        return courses.exclude(**{f"{self.course_id}__startswith": "hidden"})


class NarrowSeminarAdapter(NarrowAdapter, SeminarAdapter):
    """The same for the other host's courses."""
