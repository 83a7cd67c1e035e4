"""May this learner enroll, and if not, why and until when. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from django_enrollments.conf import conf
from django_enrollments.context import read_alias
from django_enrollments.core.course_info import read_modes
from django_enrollments.core.hooks import apply_filters
from django_enrollments.core.modes import is_mode_slug, unavailable_text
from django_enrollments.core.seats import (
    capacity_exempt_users,
    read_seats,
    read_seats_of_many,
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
    from django_enrollments.core.course_info import CourseInfo
    from django_enrollments.core.seats import Seats
    from django_enrollments.payloads import ExplanationDict, RefusalDict


@dataclass(frozen=True)
class Refusal:
    """
    One rule that refuses.

    Attributes:
        code: The code in the result of ``explain_enrollment``.
        error: The error that enrolling raises.
        changes_at: Aware datetime at which it ends by itself, or ``None``.
        message: The text for the learner, in the active language; ``""`` for the text
            of the error.
    """

    code: str
    error: CourseEnrollmentError
    changes_at: datetime | None = None
    message: str = ""

    def as_data(self) -> RefusalDict:
        """Return the refusal as ``explain_enrollment`` returns it."""
        return {
            "code": self.code,
            "message": self.message or str(self.error),
            "changes_at": to_iso(self.changes_at),
        }


def refuse_enrolled(enrollment: CourseEnrollment) -> Refusal:
    """Return the refusal of a learner with this active enrollment."""
    text = _("The learner is already enrolled in this course.")
    return Refusal(
        "already_enrolled",
        CourseEnrollmentExistsError(text, enrollment),
        message=_("You are already enrolled in this course."),
    )


def refuse_by_veto(veto: EnrollmentNotAllowed) -> Refusal:
    """Return the refusal of a filter or a permission backend."""
    return Refusal("not_allowed", veto)


def refuse_mode(
    slug: str, info: CourseInfo, *, at: datetime, include_expired: bool = False
) -> Refusal | None:
    """
    Return the refusal of a mode that the course does not offer (MODE-08, MODE-10).

    Args:
        slug: The requested mode, or the default mode.
        include_expired: Whether expired modes are offered.
    """
    usable = info.usable(at=at, include_expired=include_expired)
    offered = [mode.slug for mode in usable]
    if is_mode_slug(slug) and slug in offered:
        return None
    error = CourseModeNotFoundError(
        unavailable_text(slug, info.course_id, offered),
        info.as_data(at=at, include_expired=include_expired),
    )
    text = _("This course does not offer the mode “%(mode)s”. It offers: %(modes)s.")
    names = ", ".join(mode.name for mode in usable)
    message = text % {"mode": slug, "modes": names}
    return Refusal("mode_unavailable", error, message=message)


def refuse_invalid_mode(slug: object, course_id: str) -> Refusal:
    """Return the refusal of a value that is not a slug of 1 to 100 characters."""
    error = CourseModeNotFoundError(unavailable_text(slug, course_id, ()))
    message = _("“%(mode)s” is not a mode.") % {"mode": slug}
    return Refusal("mode_unavailable", error, message=message)


def refuse_access(
    decision: Decision, info: CourseInfo, *, at: datetime
) -> list[Refusal]:
    """
    Return the refusals by the permission backends (ACC-05…07, ACC-14).

    Args:
        decision: The decision of the backends about the learner and this course.

    Returns:
        All refusals, beginning with the one to raise; empty if a backend granted.
    """
    if decision.granted:
        return []
    if decision.veto is not None:
        text = decision.veto or _("You may not enroll in this course.")
        return [refuse_by_veto(EnrollmentNotAllowed(text))]
    facts = info.facts
    reasons: list[tuple[str, str, datetime | None]] = []
    if not facts.enrollment_has_begun(at):
        text = _("Enrollment in this course has not started yet.")
        reasons.append(("enrollment_not_started", text, facts.enrollment_start))
    if facts.enrollment_has_ended(at):
        text = _("Enrollment in this course has ended.")
        reasons.append(("enrollment_ended", text, None))
    if facts.invitation_only or conf.ENROLLMENTS_INVITE_ONLY:
        text = _("Enrollment in this course is by invitation only.")
        reasons.append(("invitation_only", text, None))
    if not reasons:
        text = _("This course is not open to this account.")
        reasons.append(("not_allowed", text, None))
    return [
        Refusal(code, CourseEnrollmentClosedError(text), changes_at)
        for code, text, changes_at in reasons
    ]


def refuse_full_course() -> Refusal:
    """Return the refusal if no seat is left (CAP-02)."""
    error = CourseEnrollmentFullError(_("This course is full."))
    return Refusal("course_full", error)


def explain(
    user: Any, info: CourseInfo, *, mode: str | None, call: Call, source: str
) -> ExplanationDict:
    """
    Return the result of every rule of enrolling, with all refusals.

    Args:
        mode: Mode slug asked for; ``None`` for the default (MODE-06).
        source: The ``source`` that filters receive.

    Returns:
        ``{"allowed", "reasons", "seats", "mode"}`` as the contract describes it.
    """
    rows = CourseEnrollment.objects.using(read_alias())
    row = rows.of_course_key(info.key).filter(user=user.pk).first()
    seats = read_seats(info)
    if row and row.is_active:
        return _explain_active(row, info, seats, mode=mode, call=call)
    return _explain(
        user,
        info,
        row,
        decision=decide([user], ENROLL_IN_COURSE, info.course)[0],
        seats=seats,
        is_full=seats.are_full and not _takes_no_seat(user, info),
        mode=mode,
        call=call,
        source=source,
    )


def explain_many(
    user: Any,
    infos: Sequence[CourseInfo],
    *,
    mode: str | None,
    call: Call,
    source: str,
) -> dict[str, ExplanationDict]:
    """
    Return what :func:`explain` returns for each course, by course id.

    Args:
        mode: Mode slug asked for; ``None`` for the default (MODE-06).
        source: The ``source`` that filters receive.
    """
    rows = CourseEnrollment.objects.using(read_alias())
    rows = rows.filter(user=user.pk, course__in=[info.key for info in infos])
    row_of = {row.course_id: row for row in rows.order_by()}
    active = {key for key, row in row_of.items() if row.is_active}
    read_modes(infos)
    seats_of, staff = read_seats_of_many(infos)
    outside = {info.key: info.course for info in infos if info.key not in active}
    decisions = decide_on(user, ENROLL_IN_COURSE, outside.values())
    decision_of = dict(zip(outside, decisions, strict=True))
    explained = {}
    for info in infos:
        row = row_of.get(info.key)
        seats = seats_of[info.key]
        explained[info.course_id] = (
            _explain_active(row, info, seats, mode=mode, call=call)
            if row and row.is_active
            else _explain(
                user,
                info,
                row,
                decision=decision_of[info.key],
                seats=seats,
                is_full=seats.are_full and (info.key, user.pk) not in staff,
                mode=mode,
                call=call,
                source=source,
            )
        )
    return explained


def _explain_active(
    row: CourseEnrollment,
    info: CourseInfo,
    seats: Seats,
    *,
    mode: str | None,
    call: Call,
) -> ExplanationDict:
    """Explain the refusal of an active learner."""
    # Only the requested mode is checked (B-14).
    refused_mode = None if mode is None else refuse_mode(mode, info, at=call.at)
    refusals = [refused_mode] if refused_mode else []
    refusals.append(refuse_enrolled(row))
    return _explanation(refusals, seats, row.mode if mode is None else mode)


def _explain(
    user: Any,
    info: CourseInfo,
    row: CourseEnrollment | None,
    *,
    decision: Decision,
    seats: Seats,
    is_full: bool,
    mode: str | None,
    call: Call,
    source: str,
) -> ExplanationDict:
    """Explain the rules for a learner without an active enrollment."""
    wanted = info.default_slug(at=call.at) if mode is None else mode
    refused_mode = refuse_mode(wanted, info, at=call.at)
    refusals = [refused_mode] if refused_mode else []
    try:
        shown = apply_filters(
            "enroll",
            user=user,
            course=info.course,
            mode=wanted,
            enrollment=row,
            source=source,
        )
        wanted = shown["mode"]
        if not (refused_mode or is_mode_slug(wanted)):
            refusals.append(refuse_invalid_mode(wanted, info.course_id))
    except EnrollmentNotAllowed as veto:
        refusals.append(refuse_by_veto(veto))
    refusals += refuse_access(decision, info, at=call.at)
    if is_full:
        refusals.append(refuse_full_course())
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


def _takes_no_seat(user: Any, info: CourseInfo) -> bool:
    using = CourseEnrollment.objects.using(read_alias()).db
    return bool(capacity_exempt_users(info, [user.pk], using=using))
