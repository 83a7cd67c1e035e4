"""Compares the database with the files and the published totals."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Q

from django_enrollments.models import CourseEnrollment, EnrollmentEvent

if TYPE_CHECKING:
    from demo.oulad import Dataset


@dataclass(frozen=True)
class Line:
    """
    The totals of a course run.

    Attributes:
        code: The course run.
        enrollments: Number of enrollments.
        active: Number of active enrollments.
        left: Number of inactive enrollments.
        events: Number of events in the history.
    """

    code: str
    enrollments: int
    active: int
    left: int
    events: int


def count(codes: list[str]) -> list[Line]:
    """Return the totals of course runs, in this order."""
    rows = CourseEnrollment.objects.filter(course__code__in=codes).order_by()
    enrollments = {
        code: (active, left)
        for code, active, left in rows.values("course__code")
        .annotate(
            active=Count("pk", filter=Q(is_active=True)),
            left=Count("pk", filter=Q(is_active=False)),
        )
        .values_list("course__code", "active", "left")
    }
    history = EnrollmentEvent.objects.filter(course_id__in=codes).order_by()
    events = dict(history.values_list("course_id").annotate(Count("pk")))
    lines = []
    for code in codes:
        active, left = enrollments.get(code, (0, 0))
        lines.append(Line(code, active + left, active, left, events.get(code, 0)))
    return lines


def find_faults(dataset: Dataset, lines: list[Line]) -> list[str]:
    """
    Check totals, course runs, learners and history.

    Args:
        dataset: The replayed data.
        lines: The result of :func:`count`.

    Returns:
        One sentence per difference.
    """
    return [
        *_compare_totals(dataset, lines),
        *_compare_with_file(dataset, lines),
        *_compare_with_history(dataset),
    ]


def _compare_totals(dataset: Dataset, lines: list[Line]) -> list[str]:
    known = dataset.known
    learners = CourseEnrollment.objects.filter(
        course__code__in=list(dataset.presentations)
    )
    found = {
        "course_runs": len(lines),
        "learners": learners.order_by().values("user").distinct().count(),
        "enrollments": sum(line.enrollments for line in lines),
        "active": sum(line.active for line in lines),
    }
    return [
        f"{name.replace('_', ' ')}: {number:,} instead of {getattr(known, name):,}."
        for name, number in found.items()
        if number != getattr(known, name)
    ]


def _compare_with_file(dataset: Dataset, lines: list[Line]) -> list[str]:
    """Read the file again in another way, and compare course runs and learners."""
    expected: dict[tuple[str, int], bool] = {}
    with (dataset.folder / "studentRegistration.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            code = f"{row['code_module']}-{row['code_presentation']}"
            stayed = not row["date_unregistration"]
            expected[code, int(row["id_student"])] = stayed
    faults = []
    ever = Counter(code for code, _ in expected)
    active = Counter(code for (code, _), stayed in expected.items() if stayed)
    for line in lines:
        wanted = ever[line.code], active[line.code]
        if (line.enrollments, line.active) != wanted:
            faults.append(
                f"{line.code}: {line.enrollments:,} enrollments, {line.active:,} "
                f"active, instead of {wanted[0]:,} and {wanted[1]:,}."
            )
    rows = CourseEnrollment.objects.filter(course__code__in=dataset.presentations)
    states = rows.order_by().values_list(
        "course__code", "user__student_number", "is_active"
    )
    found = {(code, student): is_active for code, student, is_active in states}
    wrong = {key for key, _ in found.items() ^ expected.items()}
    if wrong:
        faults.append(f"enrollments that differ from the file: {len(wrong):,}.")
    return faults


def _compare_with_history(dataset: Dataset) -> list[str]:
    """Apply all events in order; the final states must equal the rows."""
    codes = list(dataset.presentations)
    events = EnrollmentEvent.objects.filter(course_id__in=codes).order_by("pk")
    folded: dict[tuple[int, str], tuple[str, bool]] = {}
    broken = set()
    for user, code, mode_before, active_before, mode, is_active in events.values_list(
        "user",
        "course_id",
        "mode_before",
        "active_before",
        "mode_after",
        "active_after",
    ):
        before = folded.get((user, code), (None, None))
        if before != (mode_before, active_before):
            broken.add((user, code))
        folded[user, code] = (mode, is_active)
    rows = CourseEnrollment.objects.filter(course__code__in=codes).order_by()
    stored = {
        (user, code): (mode, is_active)
        for user, code, mode, is_active in rows.values_list(
            "user", "course__code", "mode", "is_active"
        )
    }
    broken |= {key for key, _ in folded.items() ^ stored.items()}
    if not broken:
        return []
    return [f"enrollments that differ from their history: {len(broken):,}."]
