"""The home page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Count, F, Max, Q
from django.shortcuts import render
from django.utils import timezone

from catalog.models import CourseRun, School
from django_enrollments.models import CourseEnrollment

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@dataclass(frozen=True)
class _Line:
    """A row of the page."""

    run: CourseRun
    active: int
    left: int

    @property
    def is_open(self) -> bool:
        """Whether registration is open today."""
        opens, closes = self.run.registration_opens_at, self.run.registration_closes_on
        return (opens is None or opens <= timezone.now()) and (
            closes is None or timezone.localdate() <= closes
        )

    @property
    def is_full(self) -> bool:
        """Whether all seats are taken."""
        return self.run.seats is not None and self.active >= self.run.seats

    @property
    def share(self) -> int:
        """Percentage of enrollments that are active."""
        total = self.active + self.left
        return round(100 * self.active / total) if total else 0


def home(request: HttpRequest) -> HttpResponse:
    """Show all course runs with their learners and seats."""
    counts = {
        key: (active, left)
        for key, active, left in CourseEnrollment.objects.order_by()
        .values("course")
        .annotate(
            active=Count("pk", filter=Q(is_active=True)),
            left=Count("pk", filter=Q(is_active=False)),
        )
        .values_list("course", "active", "left")
    }
    schools: dict[School, list[_Line]] = {}
    # Course runs without a start come first, then the latest.
    latest = Max("school__runs__starts_on")
    runs = CourseRun.objects.select_related("school").annotate(latest=latest)
    for run in runs.order_by(F("latest").desc(nulls_first=True), "school", "code"):
        schools.setdefault(run.school, []).append(
            _Line(run, *counts.get(run.pk, (0, 0)))
        )
    return render(request, "catalog/home.html", _context(request, schools))


def _context(
    request: HttpRequest, schools: dict[School, list[_Line]]
) -> dict[str, Any]:
    lines = [line for of_school in schools.values() for line in of_school]
    return {
        "schools": [
            {
                "school": school,
                "lines": of_school,
                "has_seats": any(line.run.seats is not None for line in of_school),
            }
            for school, of_school in schools.items()
        ],
        "runs": len(lines),
        "active": sum(line.active for line in lines),
        "left": sum(line.left for line in lines),
        "example": next((line.run for line in lines if line.is_open), None),
    }
