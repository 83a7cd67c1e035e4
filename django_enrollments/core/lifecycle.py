"""
Every change of an enrollment: enroll, change, deactivate; one learner or many.

A change of one enrollment is a list of one, so that bulk and single cannot differ. See
Note [Decide first, write once] in ``transactions``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django_enrollments.conf import conf
from django_enrollments.core import commit
from django_enrollments.core.changes import Change, ChangeOptions, pending
from django_enrollments.core.course_info import read_latest
from django_enrollments.core.eligibility import (
    Refusal,
    refuse_access,
    refuse_by_veto,
    refuse_enrolled,
    refuse_invalid_mode,
    refuse_mode,
)
from django_enrollments.core.hooks import apply_filters
from django_enrollments.core.modes import is_mode_slug
from django_enrollments.core.sql import select_instances
from django_enrollments.core.transactions import (
    check_expected_state,
    host_code,
    retry_on_conflict,
)
from django_enrollments.errors import EnrollmentNotAllowed, EnrollmentNotFoundError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.permissions import ENROLL_IN_COURSE, decide
from django_enrollments.users import email_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django_enrollments.context import Origin
    from django_enrollments.core.course_info import CourseInfo

__all__ = ["Change", "ChangeOptions", "change", "deactivate", "enroll"]

#: The reason in the history of an enrollment beyond the capacity, if none is given.
OVER_CAPACITY = "over_capacity"


def enroll(
    users: Sequence[Any],
    info: CourseInfo,
    *,
    mode: str | None,
    options: ChangeOptions,
    is_active: bool = True,
) -> list[Change]:
    """
    Enroll learners in one course, each into the final state in one write.

    A learner who left before is re-activated in ``mode`` or the default mode
    (V1-ENR-04). The rules are checked in the order mode, filters, access, seats; the
    first that refuses is the change's refusal, and nothing is written for the learner.

    Args:
        mode: Mode slug; ``None`` for the default (MODE-06).
        options: The rules, the origin and the moment.
        is_active: Whether the enrollments are active afterwards; ``False`` makes or
            keeps an inactive row (V1-ENR-08).

    Returns:
        One change per user, in order.

    Raises:
        CourseNotFoundError: The course has been deleted meanwhile.
        CourseEnrollmentError: Conflicts with other changes did not end.
    """
    if not (options.seats or options.origin.reason):
        options = replace(options, origin=replace(options.origin, reason=OVER_CAPACITY))
    settled: dict[Any, Change] = {}
    waiting = list(users)

    def attempt(lock: bool) -> list[Change]:
        latest = read_latest(info, using=options.using)
        rows, look_alikes = _read_rows(waiting, latest, lock, options.using)
        changes = []
        for user in waiting:
            row = rows.get(user.pk)
            check_expected_state(user, latest.course_id, row)
            change = _plan(user, row, latest, mode, is_active, options)
            change.replaced = look_alikes.get(user.pk)
            changes.append(change)
        # First, so that an invitation that grants access is one that is used up.
        _find_invitations(pending(changes), options.using)
        _check(pending(changes), latest, options)
        commit.write(pending(changes), latest if options.seats else None, options)
        return changes

    while waiting:
        changes = retry_on_conflict(attempt, using=options.using)
        settled |= {change.user.pk: change for change in changes if not change.waits}
        waiting = [change.user for change in changes if change.waits]
    return [settled[user.pk] for user in users]


def change(
    enrollment: CourseEnrollment,
    info: CourseInfo,
    *,
    mode: str | None,
    is_active: bool | None,
    options: ChangeOptions,
) -> CourseEnrollment:
    """
    Change mode or activation of one enrollment, without a check of access.

    An enrollment that becomes active needs a seat all the same (contract §9).

    Args:
        enrollment: The row as read, with its user.
        info: Its course.
        mode: Mode slug; ``None`` leaves it.
        is_active: Whether it is active afterwards; ``None`` leaves it.
        options: The origin and the moment.

    Returns:
        The row in its new state; the very same where nothing was to change.

    Raises:
        EnrollmentNotAllowed: A filter vetoed.
        CourseEnrollmentFullError: It would become active and no seat is left.
        CourseNotFoundError: The course has been deleted meanwhile.
        UserNotFoundError: The user has been deleted meanwhile.
        EnrollmentNotFoundError: The enrollment has been deleted meanwhile.
        CourseEnrollmentError: Conflicts with other changes did not end.
    """
    rows = _Latest([enrollment], using=options.using)

    def attempt(lock: bool) -> Change:
        latest = read_latest(info, using=options.using)
        (row,) = rows.rows(lock)
        check_expected_state(row.user, latest.course_id, row)
        change = Change(
            row.user,
            row.course_id,
            latest.course_id,
            row,
            row.mode if mode is None else mode,
            row.is_active if is_active is None else is_active,
        )
        if mode is not None and not is_mode_slug(mode):
            change.refusal = refuse_invalid_mode(mode, change.course_id)
        if change.is_pending:
            _ask_filters(change, latest.course, options.origin)
        commit.write(pending([change]), latest, options)
        return change

    return retry_on_conflict(attempt, using=options.using).unwrap()


def deactivate(
    enrollments: Sequence[CourseEnrollment],
    course_ids: Mapping[Any, str],
    *,
    options: ChangeOptions,
    course: Any = None,
) -> list[Change]:
    """
    Deactivate enrollments; inactive ones stay as they are.

    Filters are asked, except in retirement (V1-UNENR-10).

    Args:
        enrollments: Rows as read, with their users; their courses may be deleted.
        course_ids: Course ids as text, by primary key of the course.
        options: The origin and the moment.
        course: The host's course object for the filters, where all rows are of one
            course.

    Returns:
        One change per enrollment, in order.

    Raises:
        UserNotFoundError: A user has been deleted meanwhile.
        EnrollmentNotFoundError: An enrollment has been deleted meanwhile.
        CourseEnrollmentError: Conflicts with other changes did not end.
    """
    latest = _Latest(enrollments, using=options.using)

    def attempt(lock: bool) -> list[Change]:
        changes = [
            Change(
                row.user,
                row.course_id,
                course_ids[row.course_id],
                row,
                row.mode,
                is_active=False,
            )
            for row in latest.rows(lock)
        ]
        if options.origin.source != "retirement":
            for change in pending(changes):
                _ask_filters(change, course, options.origin)
        commit.write(pending(changes), None, options)
        return changes

    return retry_on_conflict(attempt, using=options.using)


class _Latest:
    """Rows as they were given at first, read again for each later attempt."""

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
        latest = {row.pk: row for row in (rows.select_for_update() if lock else rows)}
        gone = [row.user for row in self._given if row.pk not in latest]
        if gone:
            commit.check_users(gone, using=self._using)
            raise EnrollmentNotFoundError("The enrollment has been deleted.")
        for row in self._given:
            latest[row.pk].remember_user(row.user)
        self._given = [latest[row.pk] for row in self._given]
        return self._given


def _read_rows(
    users: Sequence[Any], info: CourseInfo, lock: bool, using: str
) -> tuple[dict[Any, CourseEnrollment], dict[Any, CourseEnrollment]]:
    """Return the users' rows in a course, and those of a look-alike, by user key."""
    keys = [user.pk for user in users]
    if lock:
        locked = CourseEnrollment.objects.using(using).select_for_update()
        found = list(locked.filter(course=info.key, user__in=keys).order_by())
    else:
        where = {"course": info.key, "user": keys}
        found = select_instances(CourseEnrollment, where, using=using)
    rows = {row.user_id: row for row in found}
    look_alikes: dict[Any, CourseEnrollment] = {}
    if isinstance(info.key, str):
        # A collation also finds rows of a deleted course whose id looks alike.
        look_alikes = {
            key: rows.pop(key)
            for key, row in [*rows.items()]
            if row.course_id != info.key
        }
    return rows, look_alikes


def _plan(
    user: Any,
    row: CourseEnrollment | None,
    info: CourseInfo,
    mode: str | None,
    is_active: bool,
    options: ChangeOptions,
) -> Change:
    """Return what enrolling means for a learner with this row, or none."""
    if row is not None and row.is_active:
        # An active learner stays active, whatever window and seats are now (B-14).
        moves = options.if_active == "change_mode" and mode is not None
        after = (mode if moves and mode is not None else row.mode, True)
    elif row is not None and not is_active and mode is None:
        # It is inactive already, so it keeps its mode (B-05).
        after = (row.mode, False)
    else:
        after = (
            info.default_slug(at=options.at) if mode is None else mode,
            is_active,
        )
    change = Change(user, info.key, info.course_id, row, *after)
    if row is not None and row.is_active and options.if_active == "refuse":
        change.refusal = refuse_enrolled(row)
    return change


def _check(changes: Sequence[Change], info: CourseInfo, options: ChangeOptions) -> None:
    """Check mode, filters and access of each change; seats come last, locked."""
    # Without a filter, a mode that is offered needs no second check.
    skips_filters = options.offered_mode and not conf.ENROLLMENTS_FILTERS
    refused_modes: dict[str | None, Refusal | None] = {}
    for change in changes:
        # A mode that is no text need not even be hashable.
        slug = change.mode if isinstance(change.mode, str) else None
        if (options.offered_mode or slug is None) and slug not in refused_modes:
            refused_modes[slug] = refuse_mode(
                change.mode,
                info,
                at=options.at,
                include_expired=options.include_expired,
            )
        change.refusal = refused_modes.get(slug)
        if not (change.refusal or skips_filters):
            _ask_filters(change, info.course, options.origin)
    newcomers = [
        change
        for change in pending(changes)
        if options.access and not (change.before and change.before[1])
    ]
    if not newcomers:
        return
    users = [change.user for change in newcomers]
    with host_code():
        decisions = decide(users, ENROLL_IN_COURSE, info.course)
    for change, decision in zip(newcomers, decisions, strict=True):
        if not decision.granted:
            change.refusal = refuse_access(decision, info, at=options.at)[0]


def _ask_filters(change: Change, course: Any, origin: Origin) -> None:
    """
    Let the host's filters see the change, alter its mode or veto it.

    A filter may choose a mode that the course does not offer, such as a scholarship;
    it must still be one that a row can hold.
    """
    action = "unenroll" if change.deactivates else "enroll"
    context = {} if change.deactivates else {"mode": change.mode}
    if conf.ENROLLMENTS_FILTERS:
        try:
            context = apply_filters(
                action,
                user=change.user,
                course=course,
                enrollment=change.enrollment,
                source=origin.source,
                **context,
            )
        except EnrollmentNotAllowed as veto:
            change.refusal = refuse_by_veto(veto)
            return
    if action == "enroll":
        change.mode = context["mode"]
        if not is_mode_slug(change.mode):
            change.refusal = refuse_invalid_mode(change.mode, change.course_id)


def _find_invitations(changes: Sequence[Change], using: str) -> None:
    """Find the unused invitations that active learners use up (ACC-10, ACC-13)."""
    changes = [
        change
        for change in changes
        if (change.before is None or change.activates)
        # The address of an inactive account may never have been confirmed.
        and getattr(change.user, "is_active", True)
    ]
    emails = {change.user.pk: email_of(change.user) for change in changes}
    wanted = {*emails.values()} - {""}
    if not wanted:
        return
    where = {
        "email": [*wanted],
        "course_id": changes[0].course_id,
        "user": None,
    }
    unused = select_instances(CourseEnrollmentAllowed, where, using=using)
    by_email = {invitation.email: invitation for invitation in unused}
    taken: set[str] = set()
    for change in changes:
        email = emails[change.user.pk]
        change.invitation = by_email.get(email)
        # Of two accounts with one address, the first uses the invitation up; whether
        # the second may enroll without it is checked afterwards (ACC-02).
        change.waits = email in taken
        if change.invitation:
            taken.add(email)
