"""Whose enrollment may be used in a proctored exam (section PROC)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_enrollments.conf import conf
from django_enrollments.models import CourseMode

if TYPE_CHECKING:
    from django_enrollments.backends.courses import CourseFacts


def proctored_modes(facts: CourseFacts) -> list[str]:
    """
    List the modes whose learners may sit the course's proctored exams (SVC-05).

    Args:
        facts: The course.

    Returns:
        Slugs of ``ENROLLMENTS_PROCTORED_MODES``, and ``honor`` where the course's
        provider allows it; an unknown provider does not (PROC-05).
    """
    provider = conf.ENROLLMENTS_PROCTORING_BACKENDS.get(facts.proctoring_provider, {})
    modes = list(conf.ENROLLMENTS_PROCTORED_MODES)
    if provider.get("allow_honor_mode", False):
        modes.append(CourseMode.HONOR)
    return modes
