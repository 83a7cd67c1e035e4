"""May this learner enroll, and if not, why and until when. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from django_enrollments.conf import conf
from django_enrollments.context import read_alias
from django_enrollments.core.hooks import apply_filters
from django_enrollments.core.modes import is_mode_slug, unavailable_text
from django_enrollments.core.seats import (
    look_at_seats,
    look_at_seats_of_many,
    outside_the_count,
)
from django_enrollments.datetimes import to_iso
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentError,
    CourseEnrollmentExistsError,
    CourseEnrollmentFullError,
    CourseModeNotFoundError,
    EnrollmentNotAllowed,
)
from django_enrollments.models import CourseEnrollment
from django_enrollments.permissions import (
    ENROLL_IN_COURSE,
    Decision,
    decide,
    decide_on,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django_enrollments.context import Call
    from django_enrollments.core.course_info import CourseOffer
    from django_enrollments.core.seats import Seats
    from django_enrollments.payloads import ExplanationDict, RefusalDict


@dataclass(frozen=True)
class Refusal:
    """
    One rule that refuses.

    Attributes:
        code: What ``explain_enrollment`` calls it.
        error: What enrolling raises.
        changes_at: When it ends by itself, aware; ``None`` when it does not.
    """

    code: str
    error: CourseEnrollmentError
    changes_at: datetime | None = None

    def as_data(self) -> RefusalDict:
        """Return the refusal as ``explain_enrollment`` returns it."""
        return {
            "code": self.code,
            "message": str(self.error),
            "changes_at": to_iso(self.changes_at),
        }


def already_enrolled(enrollment: CourseEnrollment, course_id: str) -> Refusal:
    """
    Refuse a learner who is in the course already.

    Args:
        enrollment: The active row.
        course_id: The course id as text.
    """
    message = _("The learner is already enrolled in %(course)s.")
    error = CourseEnrollmentExistsError(message % {"course": course_id}, enrollment)
    return Refusal("already_enrolled", error)


def vetoed(veto: EnrollmentNotAllowed) -> Refusal:
    """
    Refuse because a filter or a permission backend does.

    Args:
        veto: What it raised.
    """
    return Refusal("not_allowed", veto)


def judge_mode(
    slug: str, offer: CourseOffer, *, at: datetime, include_expired: bool = False
) -> Refusal | None:
    """
    Refuse a mode that the course does not offer (MODE-08, MODE-10).

    Args:
        slug: The mode asked for, or the default.
        offer: The course.
        at: When, aware.
        include_expired: Whether expired modes count too.
    """
    usable = offer.usable(at=at, include_expired=include_expired)
    offered = [mode.slug for mode in usable]
    if is_mode_slug(slug) and slug in offered:
        return None
    error = CourseModeNotFoundError(
        unavailable_text(slug, offer.course_id, offered),
        offer.as_data(at=at, include_expired=include_expired),
    )
    return Refusal("mode_unavailable", error)


def impossible_mode(slug: object, course_id: str) -> Refusal:
    """
    Refuse a mode that no enrollment can hold.

    Args:
        slug: Anything but a slug of 1 to 100 characters.
        course_id: The course id as text.
    """
    text = unavailable_text(slug, course_id, ())
    return Refusal("mode_unavailable", CourseModeNotFoundError(text))


def judge_access(
    decision: Decision, offer: CourseOffer, *, at: datetime
) -> list[Refusal]:
    """
    Turn what the permission backends said into reasons (ACC-05…07, ACC-14).

    Args:
        decision: Their answer about the learner and this course.
        offer: The course.
        at: When, aware.

    Returns:
        Every reason, the first the one to raise; empty when a backend granted.
    """
    if decision.granted:
        return []
    course = {"course": offer.course_id}
    if decision.veto is not None:
        text = decision.veto or _("You may not enroll in %(course)s.") % course
        return [vetoed(EnrollmentNotAllowed(text))]
    facts = offer.facts
    reasons = []
    if not facts.enrollment_has_begun(at):
        text = _("Enrollment in %(course)s has not started yet.") % course
        error = CourseEnrollmentClosedError(text)
        reasons.append(Refusal("enrollment_not_started", error, facts.enrollment_start))
    if facts.enrollment_has_ended(at):
        text = _("Enrollment in %(course)s has ended.") % course
        reasons.append(Refusal("enrollment_ended", CourseEnrollmentClosedError(text)))
    if facts.invitation_only or conf.ENROLLMENTS_INVITE_ONLY:
        text = _("Enrollment in %(course)s is by invitation only.") % course
        reasons.append(Refusal("invitation_only", CourseEnrollmentClosedError(text)))
    if not reasons:
        text = _("Enrollment in %(course)s is closed to this learner.") % course
        reasons.append(Refusal("not_allowed", CourseEnrollmentClosedError(text)))
    return reasons


def course_full(offer: CourseOffer) -> Refusal:
    """
    Refuse because no seat is left (CAP-02).

    Args:
        offer: The course.
    """
    text = _("%(course)s is full.") % {"course": offer.course_id}
    return Refusal("course_full", CourseEnrollmentFullError(text))


def explain(
    user: Any, offer: CourseOffer, *, mode: str | None, call: Call, source: str
) -> ExplanationDict:
    """
    Run every rule that enrolling runs, and tell all that refuse.

    Args:
        user: The learner.
        offer: The course.
        mode: Mode slug asked for; ``None`` for the default (MODE-06).
        call: The call under way.
        source: What filters are told.

    Returns:
        ``{"allowed", "reasons", "seats", "mode"}`` as the contract describes it.
    """
    rows = CourseEnrollment.objects.using(read_alias())
    row = rows.of_course_key(offer.key).filter(user=user.pk).first()
    seats = look_at_seats(offer)
    if row and row.is_active:
        return _explain_active(row, offer, seats, mode=mode, call=call)
    return _explain(
        user,
        offer,
        row,
        decision=decide([user], ENROLL_IN_COURSE, offer.course)[0],
        seats=seats,
        is_full=seats.are_full and not _takes_no_seat(user, offer),
        mode=mode,
        call=call,
        source=source,
    )


def explain_many(
    user: Any,
    offers: Sequence[CourseOffer],
    *,
    mode: str | None,
    call: Call,
    source: str,
) -> dict[str, ExplanationDict]:
    """
    Return what :func:`explain` returns for each course, by course id.

    Args:
        user: The learner.
        offers: The courses.
        mode: Mode slug asked for; ``None`` for the default (MODE-06).
        call: The call under way.
        source: The ``source`` that filters receive.
    """
    rows = CourseEnrollment.objects.using(read_alias())
    rows = rows.filter(user=user.pk, course__in=[offer.key for offer in offers])
    row_of = {row.course_id: row for row in rows.order_by()}
    active = {key for key, row in row_of.items() if row.is_active}
    seats_of = look_at_seats_of_many(offers, user)
    outside = {offer.key: offer.course for offer in offers if offer.key not in active}
    decisions = decide_on(user, ENROLL_IN_COURSE, outside.values())
    decision_of = dict(zip(outside, decisions, strict=True))
    explained = {}
    for offer in offers:
        row = row_of.get(offer.key)
        seats, needs_seat = seats_of[offer.key]
        explained[offer.course_id] = (
            _explain_active(row, offer, seats, mode=mode, call=call)
            if row and row.is_active
            else _explain(
                user,
                offer,
                row,
                decision=decision_of[offer.key],
                seats=seats,
                is_full=seats.are_full and needs_seat,
                mode=mode,
                call=call,
                source=source,
            )
        )
    return explained


def _explain_active(
    row: CourseEnrollment,
    offer: CourseOffer,
    seats: Seats,
    *,
    mode: str | None,
    call: Call,
) -> ExplanationDict:
    """Explain a learner who is in the course."""
    # Nothing else refuses who is in already (B-14), but a mode asked for by name.
    refused_mode = None if mode is None else judge_mode(mode, offer, at=call.at)
    refusals = [refused_mode] if refused_mode else []
    refusals.append(already_enrolled(row, offer.course_id))
    return _explanation(refusals, seats, row.mode if mode is None else mode)


def _explain(
    user: Any,
    offer: CourseOffer,
    row: CourseEnrollment | None,
    *,
    decision: Decision,
    seats: Seats,
    is_full: bool,
    mode: str | None,
    call: Call,
    source: str,
) -> ExplanationDict:
    """Explain a learner who is not in the course."""
    wanted = offer.default_slug(at=call.at) if mode is None else mode
    refused_mode = judge_mode(wanted, offer, at=call.at)
    refusals = [refused_mode] if refused_mode else []
    try:
        shown = apply_filters(
            "enroll",
            user=user,
            course=offer.course,
            mode=wanted,
            enrollment=row,
            source=source,
        )
        wanted = shown["mode"]
        if not (refused_mode or is_mode_slug(wanted)):
            refusals.append(impossible_mode(wanted, offer.course_id))
    except EnrollmentNotAllowed as veto:
        refusals.append(vetoed(veto))
    refusals += judge_access(decision, offer, at=call.at)
    if is_full:
        refusals.append(course_full(offer))
    return _explanation(refusals, seats, wanted)


def _explanation(
    refusals: Sequence[Refusal], seats: Seats, mode: object
) -> ExplanationDict:
    return {
        "allowed": not refusals,
        "reasons": [refusal.as_data() for refusal in refusals],
        "seats": seats.as_data(),
        "mode": mode if isinstance(mode, str) else str(mode),
    }


def _takes_no_seat(user: Any, offer: CourseOffer) -> bool:
    using = CourseEnrollment.objects.using(read_alias()).db
    return bool(outside_the_count(offer, [user.pk], using=using))
