"""Course runs as a visitor sees them: seats, state, and the visitor's own state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models import Count, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from catalog.reasons import Reason, reasons_for_everybody
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
)
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from catalog.models import CourseRun
    from django_enrollments.payloads import ExplanationDict, SeatsDict


@dataclass(frozen=True)
class Offer:
    """
    A course run in the catalogue.

    Attributes:
        run: The course run.
        seats: Its seats.
        reasons: The reasons that refuse everybody now.
        is_enrolled: Whether the visitor has a seat.
        is_invited: Whether the visitor has an invitation.
        can_enroll: Whether the visitor can enroll now.
    """

    run: CourseRun
    seats: SeatsDict
    reasons: Sequence[Reason] = field(default_factory=list)
    is_enrolled: bool = False
    is_invited: bool = False
    can_enroll: bool = False

    @property
    def codes(self) -> set[str]:
        """The codes of the reasons."""
        return {reason.code for reason in self.reasons}


def offers_for(user: Any, runs: Sequence[CourseRun], at: datetime) -> list[Offer]:
    """
    Return course runs as a visitor sees them, in a constant number of statements.

    Args:
        user: The visitor, perhaps anonymous.
        runs: The course runs.
        at: Now.
    """
    service = EnrollmentsService()
    if not user.is_authenticated:
        seats = service.seats_many(runs)
        return [
            Offer(run, seats[run.code], reasons_for_everybody(run, seats[run.code], at))
            for run in runs
        ]
    explained = service.explain_many(user, runs)
    invited = invited_codes(user, runs)
    return [
        _offer_for_user(run, explained[run.code], run.code in invited, at)
        for run in runs
    ]


def _offer_for_user(
    run: CourseRun, explanation: ExplanationDict, is_invited: bool, at: datetime
) -> Offer:
    # The course page offers the modes that there are; the catalogue asks for none.
    codes = {reason["code"] for reason in explanation["reasons"]} - {"mode_unavailable"}
    return Offer(
        run,
        explanation["seats"],
        reasons_for_everybody(run, explanation["seats"], at),
        is_enrolled="already_enrolled" in codes,
        is_invited=is_invited,
        can_enroll=not codes,
    )


def invited_codes(user: Any, runs: Iterable[CourseRun]) -> set[str]:
    """Return the codes of those course runs to which a user is invited."""
    invitations = CourseEnrollmentAllowed.for_user(user).unused()
    codes = [run.code for run in runs]
    return set(
        invitations.filter(course_id__in=codes).values_list("course_id", flat=True)
    )


def full_codes(runs: QuerySet[CourseRun]) -> list[str]:
    """
    Return the codes of those course runs that have no seat left.

    The service knows who takes no seat, such as course staff. It is asked only about
    course runs with as many active enrollments as seats, so the number of statements
    depends neither on the catalogue nor on the learners.
    """
    enrollments = CourseEnrollment.objects.active().filter(course=OuterRef("pk"))
    number = enrollments.order_by().values("course").values(number=Count("pk"))
    candidates = runs.alias(active=Coalesce(Subquery(number), 0)).filter(
        active__gte=F("seats")
    )
    seats = EnrollmentsService().seats_many(candidates)
    return [code for code, numbers in seats.items() if numbers["left"] == 0]


def offered_modes(run: CourseRun) -> list[CourseMode]:
    """Return the modes that a learner can choose now, in the order of the course."""
    return CourseMode.modes_for_course(run)
