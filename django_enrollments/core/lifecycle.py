"""
The only way to change an enrollment: enroll, deactivate, change; one or many.

Every function works on many learners at once, and the ones for a single learner are
the same code with a list of one, so that bulk and single can never differ. See
Note [Decide first, write once] in ``transactions``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django_enrollments.core.commit import Writing, check_users, write_all
from django_enrollments.core.course_info import read_again
from django_enrollments.core.eligibility import (
    Refusal,
    already_enrolled,
    impossible_mode,
    judge_access,
    judge_mode,
    vetoed,
)
from django_enrollments.core.history import Change
from django_enrollments.core.hooks import apply_filters, get_filters
from django_enrollments.core.modes import is_mode_slug
from django_enrollments.core.plans import Outcome, Plan, pending
from django_enrollments.core.transactions import (
    prove_judgement,
    until_settled,
)
from django_enrollments.errors import EnrollmentNotAllowed, EnrollmentNotFoundError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.models.invitations import email_of
from django_enrollments.permissions import ENROLL_IN_COURSE, decide
from django_enrollments.selects import select_instances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from django_enrollments.context import Origin
    from django_enrollments.core.course_info import CourseOffer

#: The reason of a learner enrolled past capacity for whom no reason was given.
OVER_CAPACITY = "over_capacity"


@dataclass(frozen=True)
class Terms:
    """
    Which rules an enrollment must meet.

    Attributes:
        access: Whether the permission backends are asked about the learner.
        offered_mode: Whether the course must offer the mode.
        include_expired: Whether expired modes count as offered.
        seats: Whether a seat must be free; false only by ``over_capacity=True``.
        if_active: What becomes of a learner who is in already: refused, kept as they
            are, or moved to the mode asked for.
    """

    access: bool = True
    offered_mode: bool = True
    include_expired: bool = False
    seats: bool = True
    if_active: Literal["refuse", "keep", "change_mode"] = "refuse"


def enroll(
    users: Sequence[Any],
    offer: CourseOffer,
    *,
    mode: str | None,
    terms: Terms,
    origin: Origin,
    at: datetime,
    using: str,
    is_active: bool = True,
    enterprise_uuid: str = "",
    attributes: Sequence[Mapping[str, str]] | None = None,
) -> list[Outcome]:
    """
    Enroll learners in one course, each into their final state in one write.

    A learner who left before is re-activated in ``mode`` or the default mode
    (V1-ENR-04). Rules are asked in the order mode, filters, access, seats; the first
    that refuses is the outcome's refusal and changes nothing for that learner.

    Args:
        users: Distinct saved users.
        offer: The course.
        mode: Mode slug; ``None`` for the default (MODE-06).
        terms: Which rules must be met.
        origin: Who enrolls them, from where and why.
        at: When, aware.
        using: Database alias to write to.
        is_active: Whether they are in the course afterwards; ``False`` makes or keeps
            an inactive row (V1-ENR-08).
        enterprise_uuid: The enterprise customer behind it, or ``""``.
        attributes: What :func:`~.attributes.clean_attributes` returned; replaces those
            of every learner whose enrollment changed. ``None`` touches nothing.

    Returns:
        One outcome per user, in order.

    Raises:
        CourseNotFoundError: The course has been deleted meanwhile.
        CourseEnrollmentError: Conflicts with others did not end.
    """
    writing = Writing(
        origin=origin,
        at=at,
        using=using,
        enterprise_uuid=enterprise_uuid,
        attributes=attributes,
    )

    outcomes: dict[Any, Outcome] = {}
    waiting = list(users)

    def attempt(lock: bool) -> list[Plan]:
        latest = read_again(offer, using=using)
        keys = [user.pk for user in waiting]
        if lock:
            locked = CourseEnrollment.objects.using(using).select_for_update()
            rows = list(locked.filter(course=latest.key, user__in=keys).order_by())
        else:
            where = {"course": latest.key, "user": keys}
            rows = select_instances(CourseEnrollment, where, using=using)
        existing = {row.user_id: row for row in rows}
        look_alikes: dict[Any, CourseEnrollment] = {}
        if isinstance(latest.key, str):
            # A collation also finds rows of a deleted course whose id looks alike.
            look_alikes = {
                key: existing.pop(key)
                for key, row in [*existing.items()]
                if row.course_id != latest.key
            }
        for user in waiting:
            prove_judgement(user, latest.course_id, existing.get(user.pk))
        plans = [
            _plan_enrolling(
                user,
                existing.get(user.pk),
                latest,
                mode=mode,
                is_active=is_active,
                terms=terms,
                at=at,
            )
            for user in waiting
        ]
        for plan in plans:
            plan.replaced = look_alikes.get(plan.change.user.pk)
        # First, so that an invitation that grants access is one that is used up.
        _find_invitations(pending(plans), using=using)
        _judge(pending(plans), latest, terms=terms, origin=origin, at=at)
        write_all(pending(plans), latest if terms.seats else None, writing)
        return plans

    while waiting:
        plans = until_settled(attempt, using=using)
        outcomes |= {
            plan.change.user.pk: plan.outcome for plan in plans if not plan.waits
        }
        waiting = [plan.change.user for plan in plans if plan.waits]
    return [outcomes[user.pk] for user in users]


def change(
    enrollment: CourseEnrollment,
    offer: CourseOffer,
    *,
    mode: str | None,
    is_active: bool | None,
    origin: Origin,
    at: datetime,
    using: str,
    enterprise_uuid: str = "",
    skip_refund: bool = False,
    attributes: Sequence[Mapping[str, str]] | None = None,
) -> CourseEnrollment:
    """
    Change mode or activation of one enrollment, without asking for access.

    Whatever makes it active needs a seat all the same (contract §9).

    Args:
        enrollment: The row as read, with its user.
        offer: Its course.
        mode: Mode slug; ``None`` leaves it.
        is_active: Whether it is active afterwards; ``None`` leaves it.
        origin: Who changes it, from where and why.
        at: When, aware.
        using: Database alias to write to.
        enterprise_uuid: The enterprise customer behind it, or ``""``.
        skip_refund: Whether receivers are to skip the refund.
        attributes: What :func:`~.attributes.clean_attributes` returned, or ``None``.

    Returns:
        The row in its new state; the very same where nothing was to change.

    Raises:
        EnrollmentNotAllowed: A filter vetoed.
        CourseEnrollmentFullError: It would become active and no seat is left.
        CourseNotFoundError: The course has been deleted meanwhile.
        UserNotFoundError: The user has been deleted meanwhile.
        EnrollmentNotFoundError: The enrollment alone has been.
        CourseEnrollmentError: Conflicts with others did not end.
    """
    writing = Writing(
        origin=origin,
        at=at,
        using=using,
        enterprise_uuid=enterprise_uuid,
        skip_refund=skip_refund,
        attributes=attributes,
    )
    rows = _Latest([enrollment], using=using)

    def attempt(lock: bool) -> Outcome:
        latest = read_again(offer, using=using)
        (row,) = rows.rows(lock)
        prove_judgement(row.user, latest.course_id, row)
        planned = Change(
            row.user,
            row.course_id,
            latest.course_id,
            row,
            row.mode if mode is None else mode,
            row.is_active if is_active is None else is_active,
        )
        plan = Plan(planned, Outcome(row))
        if plan.is_pending:
            _ask_filters(plan, latest.course, origin)
        write_all(pending([plan]), latest, writing)
        return plan.outcome

    return until_settled(attempt, using=using).unwrap()


def deactivate(
    enrollments: Sequence[CourseEnrollment],
    course_ids: Mapping[Any, str],
    *,
    origin: Origin,
    at: datetime,
    using: str,
    course: Any = None,
    skip_refund: bool = False,
) -> list[Outcome]:
    """
    Take learners out of courses; those who are out already stay as they are.

    Filters are asked, but not in retirement (V1-UNENR-10).

    Args:
        enrollments: Rows as read, with their users; their courses may be deleted.
        course_ids: Course ids as text, by primary key of the course.
        origin: Who takes them out, from where and why.
        at: When, aware.
        using: Database alias to write to.
        course: The host's course object that filters are shown, where all rows are of
            one course.
        skip_refund: Whether receivers are to skip the refunds.

    Returns:
        One outcome per enrollment, in order.

    Raises:
        UserNotFoundError: A user has been deleted meanwhile.
        EnrollmentNotFoundError: An enrollment alone has been.
        CourseEnrollmentError: Conflicts with others did not end.
    """
    writing = Writing(origin=origin, at=at, using=using, skip_refund=skip_refund)
    latest = _Latest(enrollments, using=using)

    def attempt(lock: bool) -> list[Outcome]:
        plans = []
        for row in latest.rows(lock):
            planned = Change(
                row.user,
                row.course_id,
                course_ids[row.course_id],
                row,
                row.mode,
                is_active=False,
            )
            plans.append(Plan(planned, Outcome(row)))
        if origin.source != "retirement":
            for plan in pending(plans):
                _ask_filters(plan, course, origin)
        write_all(pending(plans), None, writing)
        return [plan.outcome for plan in plans]

    return until_settled(attempt, using=using)


class _Latest:
    """Rows as they were given at first, read anew for every later attempt."""

    def __init__(self, rows: Sequence[CourseEnrollment], *, using: str) -> None:
        self._given = list(rows)
        self._using = using
        self._is_first = True

    def rows(self, lock: bool) -> list[CourseEnrollment]:
        if self._is_first:
            self._is_first = False
            return self._given
        rows = CourseEnrollment.objects.using(self._using).order_by()
        rows = rows.filter(pk__in=[row.pk for row in self._given])
        latest = {row.pk: row for row in (_locked(rows) if lock else rows)}
        gone = [row.user for row in self._given if row.pk not in latest]
        if gone:
            check_users(gone, using=self._using)
            raise EnrollmentNotFoundError("The enrollment has been deleted.")
        for row in self._given:
            latest[row.pk].remember_user(row.user)
        self._given = [latest[row.pk] for row in self._given]
        return self._given


def _locked(
    rows: QuerySet[CourseEnrollment],
) -> QuerySet[CourseEnrollment]:
    return rows.select_for_update()


def _plan_enrolling(
    user: Any,
    row: CourseEnrollment | None,
    offer: CourseOffer,
    *,
    mode: str | None,
    is_active: bool,
    terms: Terms,
    at: datetime,
) -> Plan:
    """Decide what enrolling means for a learner, given the row they have."""

    def wanted_mode() -> str:
        return offer.default_slug(at=at) if mode is None else mode

    if row is None:
        after = (wanted_mode(), is_active)
    elif row.is_active:
        # An active learner stays active, whatever window and seats are now (B-14).
        moves = terms.if_active == "change_mode" and mode is not None
        after = (mode if moves and mode is not None else row.mode, True)
    elif is_active:
        after = (wanted_mode(), True)
    else:
        # Asked to be what it is: without a mode it stays so (B-05).
        after = (row.mode if mode is None else mode, False)
    plan = Plan(
        Change(user, offer.key, offer.course_id, row, *after),
        Outcome(row),
    )
    if row is not None and row.is_active and terms.if_active == "refuse":
        plan.refuse(already_enrolled(row, offer.course_id))
    return plan


def _judge(
    plans: Sequence[Plan],
    offer: CourseOffer,
    *,
    terms: Terms,
    origin: Origin,
    at: datetime,
) -> None:
    """Ask mode, filters and access about each learner; seats come last, locked."""
    # Without a filter, a mode that is offered needs no second look.
    is_judged = terms.offered_mode and not get_filters()
    refused_modes: dict[str | None, Refusal | None] = {}
    for plan in plans:
        # What is no text at all need not even be hashable.
        slug = plan.change.mode if isinstance(plan.change.mode, str) else None
        if (terms.offered_mode or slug is None) and slug not in refused_modes:
            refused_modes[slug] = judge_mode(
                plan.change.mode, offer, at=at, include_expired=terms.include_expired
            )
        refusal = refused_modes.get(slug)
        if refusal:
            plan.refuse(refusal)
        elif not is_judged:
            _ask_filters(plan, offer.course, origin)
    newcomers = [
        plan
        for plan in pending(plans)
        if terms.access
        and not (plan.change.enrollment and plan.change.enrollment.is_active)
    ]
    if not newcomers:
        return
    decisions = decide(
        [plan.change.user for plan in newcomers], ENROLL_IN_COURSE, offer.course
    )
    for plan, decision in zip(newcomers, decisions, strict=True):
        for refusal in judge_access(decision, offer, at=at)[:1]:
            plan.refuse(refusal)


def _ask_filters(plan: Plan, course: Any, origin: Origin) -> None:
    """
    Let the host's filters see the change, alter its mode or veto it.

    A filter may choose a mode that the course does not offer, such as a scholarship;
    it must still be one that a row can hold.
    """
    planned = plan.change
    context = {
        "user": planned.user,
        "course": course,
        "enrollment": planned.enrollment,
        "source": origin.source,
    }
    try:
        if planned.deactivates:
            apply_filters("unenroll", **context)
        else:
            shown = apply_filters("enroll", mode=planned.mode, **context)
            planned.mode = shown["mode"]
            if not is_mode_slug(planned.mode):
                plan.refuse(impossible_mode(planned.mode, planned.course_id))
    except EnrollmentNotAllowed as veto:
        plan.refuse(vetoed(veto))


def _find_invitations(plans: Sequence[Plan], *, using: str) -> None:
    """Find the unused invitations that active learners use up (ACC-10, ACC-13)."""
    plans = [
        plan
        for plan in plans
        if (plan.change.creates or plan.change.activates)
        # An address that was never confirmed may be somebody else's.
        and getattr(plan.change.user, "is_active", True)
    ]
    emails = {plan.change.user.pk: email_of(plan.change.user) for plan in plans}
    wanted = {*emails.values()} - {""}
    if not wanted:
        return
    where = {
        "email": [*wanted],
        "course_id": plans[0].change.course_id,
        "user": None,
    }
    unused = select_instances(CourseEnrollmentAllowed, where, using=using)
    by_email = {invitation.email: invitation for invitation in unused}
    taken: set[str] = set()
    for plan in plans:
        email = emails[plan.change.user.pk]
        plan.invitation = by_email.get(email)
        # Of two accounts with one address, the first uses the invitation up; whether
        # the second gets in without it is another decision (ACC-02).
        plan.waits = email in taken
        if plan.invitation:
            taken.add(email)
