"""Counts refused attempts to enroll, for the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.models import RefusedAttempt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catalog.models import CourseRun


def record_refusal(course: CourseRun, codes: Iterable[str]) -> None:
    """
    Store a refused attempt, with one row per reason.

    Args:
        course: The course run.
        codes: The codes of the reasons, as ``EnrollmentsService.explain`` returns them.
    """
    RefusedAttempt.objects.bulk_create(
        RefusedAttempt(course=course, code=code) for code in codes
    )
