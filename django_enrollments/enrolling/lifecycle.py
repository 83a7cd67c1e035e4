"""
The only code that changes an enrollment: enroll, deactivate, change; one or many.

Every function works on many learners at once, and the ones for a single learner are
the same code with a list of one, so that bulk and single can never differ. See
Note [Decide first, write once] in ``transactions``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django.contrib.auth import get_user_model
from django.db import IntegrityError
from django.db.models import Case, Q, QuerySet, Value, When

from django_enrollments.enrolling.access import (
    Refusal,
    already_enrolled,
    course_full,
    impossible_mode,
    judge_access,
    judge_mode,
    vetoed,
)
from django_enrollments.enrolling.attributes import replace_attributes
from django_enrollments.enrolling.filters import apply_filters
from django_enrollments.enrolling.history import Change, describe, record
from django_enrollments.enrolling.modes import is_mode_slug
from django_enrollments.enrolling.seats import (
    find_seated,
    lock_seats,
    outside_the_count,
)
from django_enrollments.enrolling.transactions import (
    Conflict,
    insert_all,
    until_settled,
    write_transaction,
)
from django_enrollments.errors import EnrollmentNotAllowed, UserNotFoundError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.models.invitations import email_of
from django_enrollments.moments import for_database
from django_enrollments.permissions import ENROLL_IN_COURSE, decide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from django_enrollments.calls import Origin
    from django_enrollments.enrolling.catalog import CourseOffer

Status = Literal["created", "reactivated", "mode_changed", "unchanged", "deactivated"]

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


@dataclass
class Outcome:
    """
    What became of one learner.

    Attributes:
        enrollment: The row as it is now; ``None`` where there is none.
        status: What was done.
        refusal: Why nothing was done, if it was refused.
    """

    enrollment: CourseEnrollment | None = None
    status: Status = "unchanged"
    refusal: Refusal | None = None

    def unwrap(self) -> CourseEnrollment:
        """
        Give the enrollment.

        Raises:
            CourseEnrollmentError: The refusal, when there was one.
        """
        if self.refusal:
            raise self.refusal.error
        assert self.enrollment is not None  # noqa: S101 - no refusal means a row.
        return self.enrollment


@dataclass
class _Plan:
    """One learner's change while it is being decided."""

    change: Change
    outcome: Outcome
    invitation: CourseEnrollmentAllowed | None = None
    #: Whether somebody else must be settled first.
    waits: bool = False

    @property
    def is_open(self) -> bool:
        return self.outcome.refusal is None

    def refuse(self, refusal: Refusal) -> None:
        self.outcome.refusal = refusal


@dataclass(frozen=True)
class _Writing:
    """What all changes of one write have in common."""

    origin: Origin
    at: datetime
    using: str
    enterprise_uuid: str = ""
    skip_refund: bool = False
    attributes: Sequence[Mapping[str, str]] | None = None


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
        CourseEnrollmentError: Conflicts with others did not end.
    """
    writing = _Writing(
        origin=origin,
        at=at,
        using=using,
        enterprise_uuid=enterprise_uuid,
        attributes=attributes,
    )

    outcomes: dict[Any, Outcome] = {}
    waiting = list(users)

    def attempt(lock: bool) -> list[_Plan]:
        rows = CourseEnrollment.objects.using(using).order_by()
        rows = rows.filter(course=offer.key, user__in=[user.pk for user in waiting])
        existing = {row.user_id: row for row in (_locked(rows) if lock else rows)}
        plans = [
            _plan_enrolling(
                user,
                existing.get(user.pk),
                offer,
                mode=mode,
                is_active=is_active,
                terms=terms,
                at=at,
            )
            for user in waiting
        ]
        # First, so that an invitation that grants access is one that is used up.
        _find_invitations(_pending(plans), using=using)
        _judge(_pending(plans), offer, terms=terms, origin=origin, at=at)
        _write_all(_pending(plans), offer if terms.seats else None, writing)
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
        skip_refund: Whether whoever refunds should leave this one alone.
        attributes: What :func:`~.attributes.clean_attributes` returned, or ``None``.

    Returns:
        The row in its new state; the very same where nothing was to change.

    Raises:
        EnrollmentNotAllowed: A filter vetoed.
        CourseEnrollmentFullError: It would become active and no seat is left.
        CourseEnrollmentError: Conflicts with others did not end.
    """
    writing = _Writing(
        origin=origin,
        at=at,
        using=using,
        enterprise_uuid=enterprise_uuid,
        skip_refund=skip_refund,
        attributes=attributes,
    )
    latest = _Latest([enrollment], using=using)

    def attempt(lock: bool) -> Outcome:
        (row,) = latest.rows(lock)
        planned = Change(
            row.user,
            row.course_id,
            offer.course_id,
            row,
            row.mode if mode is None else mode,
            row.is_active if is_active is None else is_active,
        )
        plan = _Plan(planned, Outcome(row))
        pending = _pending([plan])
        for one in pending:
            _ask_filters(one, offer.course, origin)
        _write_all(_pending(pending), offer, writing)
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
        skip_refund: Whether whoever refunds should leave them alone.

    Returns:
        One outcome per enrollment, in order.

    Raises:
        CourseEnrollmentError: Conflicts with others did not end.
    """
    writing = _Writing(origin=origin, at=at, using=using, skip_refund=skip_refund)
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
            plans.append(_Plan(planned, Outcome(row)))
        pending = _pending(plans)
        if origin.source != "retirement":
            for plan in pending:
                _ask_filters(plan, course, origin)
        _write_all(_pending(pending), None, writing)
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
        for row in self._given:
            if row.pk in latest:
                latest[row.pk].remember_user(row.user)
        # A row that is gone went with its user; the old one keeps conflicting.
        self._given = [latest.get(row.pk, row) for row in self._given]
        return self._given


def _locked(
    rows: QuerySet[CourseEnrollment],
) -> QuerySet[CourseEnrollment]:
    return rows.select_for_update()


def _pending(plans: Iterable[_Plan]) -> list[_Plan]:
    return [
        plan
        for plan in plans
        if plan.is_open and not plan.waits and not plan.change.is_empty
    ]


def _plan_enrolling(
    user: Any,
    row: CourseEnrollment | None,
    offer: CourseOffer,
    *,
    mode: str | None,
    is_active: bool,
    terms: Terms,
    at: datetime,
) -> _Plan:
    """Decide what enrolling means for a learner, given the row they have."""
    if row is None:
        slug = offer.default_slug(at=at) if mode is None else mode
        after = (slug, is_active)
    elif row.is_active:
        # Whoever is in stays in, whatever window and seats say now (B-14).
        moves = terms.if_active == "change_mode" and mode is not None
        after = (mode if moves and mode is not None else row.mode, True)
    elif is_active:
        after = (offer.default_slug(at=at) if mode is None else mode, True)
    else:
        # Asked to be what it is: without a mode it stays so (B-05).
        after = (row.mode if mode is None else mode, False)
    plan = _Plan(
        Change(user, offer.key, offer.course_id, row, *after),
        Outcome(row),
    )
    if row is not None and row.is_active and terms.if_active == "refuse":
        plan.refuse(already_enrolled(row, offer.course_id))
    return plan


def _judge(
    plans: Sequence[_Plan],
    offer: CourseOffer,
    *,
    terms: Terms,
    origin: Origin,
    at: datetime,
) -> None:
    """Ask mode, filters and access about each learner; seats come last, locked."""
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
        else:
            _ask_filters(plan, offer.course, origin)
    newcomers = [
        plan
        for plan in _pending(plans)
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


def _ask_filters(plan: _Plan, course: Any, origin: Origin) -> None:
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


def _find_invitations(plans: Sequence[_Plan], *, using: str) -> None:
    """Find the unused invitations that these learners use up (ACC-10)."""
    plans = [plan for plan in plans if plan.change.creates or plan.change.activates]
    emails = {plan.change.user.pk: email_of(plan.change.user) for plan in plans}
    wanted = {*emails.values()} - {""}
    if not wanted:
        return
    unused = CourseEnrollmentAllowed.objects.using(using).unused().order_by()
    unused = unused.filter(email__in=wanted, course_id=plans[0].change.course_id)
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


def _write_all(
    plans: Sequence[_Plan], seats_of: CourseOffer | None, writing: _Writing
) -> None:
    """Allot seats and write in one transaction; what does not hold is a conflict."""
    if not plans:
        return
    using = writing.using
    try:
        with write_transaction(using, reads_first=False):
            if seats_of is not None:
                _allot_seats(plans, seats_of, using=using)
            granted = _pending(plans)
            if granted:
                _write(granted, writing)
    except IntegrityError as error:
        _check_users(plans, using=using)
        raise Conflict from error


def _check_users(plans: Sequence[_Plan], *, using: str) -> None:
    """Tell a learner who was deleted meanwhile from one who was enrolled meanwhile."""
    keys = {plan.change.user.pk for plan in plans}
    users = get_user_model()._base_manager.using(using).filter(pk__in=keys)
    if users.count() < len(keys):
        raise UserNotFoundError("The user has been deleted.")


def _allot_seats(plans: Sequence[_Plan], offer: CourseOffer, *, using: str) -> None:
    """Give the free seats to those who need one, first come first served."""
    needing = [plan for plan in plans if plan.change.activates]
    if offer.facts.max_student_enrollments_allowed is None or not needing:
        return
    left = lock_seats(offer, using=using).left
    if left is None or left >= len(needing):
        return
    keys = [plan.change.user.pk for plan in needing]
    outside = outside_the_count(offer, keys, using=using)
    losing = [plan for plan in needing if plan.change.user.pk not in outside][left:]
    if find_seated(offer, [plan.change.user.pk for plan in losing], using=using):
        # Somebody else has let them in since they were read (B-14).
        raise Conflict
    for plan in losing:
        plan.refuse(course_full(offer))


def _write(plans: Sequence[_Plan], writing: _Writing) -> None:
    """Write rows in their final state, their attributes, invitations and history."""
    using, at = writing.using, for_database(writing.at)
    described = [describe(plan.change) for plan in plans]
    rows: list[CourseEnrollment] = []
    new: list[CourseEnrollment] = []
    targets: dict[tuple[str | None, bool], dict[tuple[str, bool], list[Any]]] = {}
    for plan in plans:
        planned = plan.change
        plan.outcome.status = _status(planned)
        row = planned.enrollment
        if row is None:
            row = CourseEnrollment(
                user_id=planned.user.pk,
                course_id=planned.course_key,
                mode=planned.mode,
                is_active=planned.is_active,
                created=at,
                modified=at,
            )
            new.append(row)
        else:
            # Whoever only leaves keeps the mode, so all who do share one statement.
            leaves = planned.deactivates and not planned.changes_mode
            target = (None if leaves else planned.mode, planned.is_active)
            as_read = targets.setdefault(target, {})
            as_read.setdefault((row.mode, row.is_active), []).append(row.pk)
        row.remember_user(planned.user)
        plan.outcome.enrollment = row
        rows.append(row)
    insert_all(new, using=using)
    _read_missing_keys(new, using=using)
    for (mode, is_active), as_read in targets.items():
        _update_as_read(as_read, mode=mode, is_active=is_active, at=at, using=using)
    if writing.attributes is not None:
        for row in rows:
            replace_attributes(row, writing.attributes, using=using)
    _use_up_invitations(plans, using=using)
    for plan, row in zip(plans, rows, strict=True):
        row.mode, row.is_active = plan.change.mode, plan.change.is_active
        row.modified = at
    record(
        [
            (row, plan.change, events)
            for row, plan, events in zip(rows, plans, described, strict=True)
        ],
        origin=writing.origin,
        at=writing.at,
        using=using,
        enterprise_uuid=writing.enterprise_uuid,
        skip_refund=writing.skip_refund,
    )


def _update_as_read(
    as_read: Mapping[tuple[str, bool], Sequence[Any]],
    *,
    mode: str | None,
    is_active: bool,
    at: datetime,
    using: str,
) -> None:
    """
    Bring rows into one new state in one statement, which proves the old ones.

    Args:
        as_read: Primary keys by the mode and activation that were read.
        mode: The new mode; ``None`` leaves each row its own.
        is_active: The new activation.
        at: When, as the database takes it.
        using: Database alias.

    Raises:
        Conflict: A row is no longer as it was read.
    """
    unchanged = Q()
    for (old_mode, was_active), keys in as_read.items():
        unchanged |= Q(pk__in=keys, mode=old_mode, is_active=was_active)
    values: dict[str, Any] = {"is_active": is_active, "modified": at}
    if mode is not None:
        values["mode"] = mode
    rows = CourseEnrollment.objects.using(using).order_by()
    if rows.filter(unchanged).update(**values) != sum(map(len, as_read.values())):
        raise Conflict


def _status(planned: Change) -> Status:
    if planned.creates:
        return "created"
    if planned.activates:
        return "reactivated"
    return "deactivated" if planned.deactivates else "mode_changed"


def _read_missing_keys(rows: Sequence[CourseEnrollment], *, using: str) -> None:
    """Read the keys of new rows where the database does not return them (MySQL)."""
    if all(row.pk for row in rows):
        return
    stored = CourseEnrollment.objects.using(using).order_by()
    stored = stored.filter(
        course=rows[0].course_id, user__in=[row.user_id for row in rows]
    )
    keys = dict(stored.values_list("user", "pk"))
    for row in rows:
        row.pk = keys[row.user_id]


def _use_up_invitations(plans: Sequence[_Plan], *, using: str) -> None:
    """Link invitations to those who enroll by them; each lets one person in."""
    users = {
        plan.invitation.pk: plan.change.user.pk for plan in plans if plan.invitation
    }
    if not users:
        return
    field = CourseEnrollmentAllowed._meta.get_field("user")
    unused = CourseEnrollmentAllowed.objects.using(using).unused().order_by()
    linked = unused.filter(pk__in=users).update(
        user=Case(
            *(When(pk=key, then=Value(user)) for key, user in users.items()),
            output_field=field.target_field,
        )
    )
    if linked != len(users):
        raise Conflict
