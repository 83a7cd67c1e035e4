"""The reasons for which nobody can enroll, in sentences for a learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from catalog.models import CourseRun
    from django_enrollments.payloads import RefusalDict, SeatsDict


@dataclass(frozen=True)
class Reason:
    """
    A reason for which a person cannot enroll.

    Attributes:
        code: The code of ``EnrollmentsService.explain``.
        text: One or two sentences.
    """

    code: str
    text: str


def reasons_for(
    run: CourseRun, refusals: Iterable[RefusalDict], seats: SeatsDict
) -> list[Reason]:
    """
    Return the reasons of a learner.

    Args:
        run: The course run.
        refusals: The reasons, as ``EnrollmentsService.explain`` returns them.
        seats: The seats of the course run.
    """
    return [
        Reason(refusal["code"], _sentence(run, refusal, seats)) for refusal in refusals
    ]


def reasons_for_everybody(
    run: CourseRun, seats: SeatsDict, at: datetime
) -> list[Reason]:
    """
    Return the reasons that hold for each visitor without special rights.

    ``EnrollmentsService.explain`` answers for a user; this is for those without one.
    """
    reasons = []
    if run.opens_later(at) and run.registration_opens_at:
        text = _opens(run.registration_opens_at)
        reasons.append(Reason("enrollment_not_started", text))
    if run.has_closed(at):
        reasons.append(Reason("enrollment_ended", _closed(run)))
    if run.by_invitation:
        text = _("This course is by invitation. If you are invited, log in to enroll.")
        reasons.append(Reason("invitation_only", text))
    if seats["left"] == 0:
        reasons.append(Reason("course_full", full_text(seats)))
    return reasons


def _sentence(run: CourseRun, refusal: RefusalDict, seats: SeatsDict) -> str:
    changes_at = parse_datetime(refusal["changes_at"] or "")
    match refusal["code"]:
        case "enrollment_not_started" if changes_at:
            return _opens(changes_at)
        case "enrollment_ended":
            return _closed(run)
        case "invitation_only":
            return _(
                "This course is by invitation, and there is no invitation for the "
                "e-mail address of your account."
            )
        case "course_full":
            return full_text(seats)
        case "mode_unavailable":
            return _("This way of taking the course is not offered any more.")
        case "already_enrolled":
            return _("You are enrolled in this course.")
        case _:
            return refusal["message"]


def moment_text(moment: datetime) -> str:
    """Return a moment as a date and a time, such as "3 March 2027, 09:00"."""
    return date_format(localtime(moment), "DATETIME_FORMAT")


def full_text(seats: SeatsDict) -> str:
    """Return that all seats are taken, and when that ends."""
    capacity = seats["capacity"] or 0
    return ngettext(
        "Full: %(left)d of %(capacity)d seat left. It becomes free when the learner "
        "leaves.",
        "Full: %(left)d of %(capacity)d seats left. One becomes free as soon as a "
        "learner leaves.",
        capacity,
    ) % {"left": seats["left"] or 0, "capacity": capacity}


def _opens(moment: datetime) -> str:
    return _("Opens %(moment)s.") % {"moment": moment_text(moment)}


def _closed(run: CourseRun) -> str:
    if run.registration_closes_on is None:
        return _("Enrollment has closed.")
    day = date_format(run.registration_closes_on, "DATE_FORMAT")
    return _("Enrollment closed at the end of %(day)s.") % {"day": day}
