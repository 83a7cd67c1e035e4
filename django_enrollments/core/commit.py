"""The write of planned changes: seats, rows, attributes, invitations and history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import Case, Value, When

from django_enrollments.conf import conf
from django_enrollments.core.attributes import replace_attributes
from django_enrollments.core.eligibility import course_full
from django_enrollments.core.history import describe, record
from django_enrollments.core.inserts import insert_columns
from django_enrollments.core.plans import pending
from django_enrollments.core.seats import (
    find_seated,
    has_got_limit,
    is_still_sold_out,
    lock_seats,
    outside_the_count,
    remember_sold_out,
)
from django_enrollments.core.transactions import Conflict, write_transaction
from django_enrollments.core.updates import update_rows
from django_enrollments.datetimes import for_database
from django_enrollments.errors import UserNotFoundError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from django_enrollments.context import Origin
    from django_enrollments.core.course_info import CourseOffer
    from django_enrollments.core.history import Change
    from django_enrollments.core.plans import Plan, Status


@dataclass(frozen=True)
class Writing:
    """
    What all changes of one write have in common.

    Attributes:
        origin: Who changes, from where and why.
        at: When, aware.
        using: Database alias to write to.
        enterprise_uuid: The enterprise customer behind it, or ``""``.
        skip_refund: Whether receivers are to skip the refunds.
        attributes: What :func:`~.attributes.clean_attributes` returned, for every
            enrollment that changes; ``None`` touches nothing.
    """

    origin: Origin
    at: datetime
    using: str
    enterprise_uuid: str = ""
    skip_refund: bool = False
    attributes: Sequence[Mapping[str, str]] | None = None


def write_all(
    plans: Sequence[Plan], seats_of: CourseOffer | None, writing: Writing
) -> None:
    """
    Allot seats and write in one transaction.

    Args:
        plans: Plans that are pending, of distinct enrollments.
        seats_of: The course whose seats are asked for; ``None`` asks for none.
        writing: What the changes have in common.

    Raises:
        Conflict: Something is no longer as it was when the plans were made.
        UserNotFoundError: A user has been deleted meanwhile.
    """
    if not plans:
        return
    using = writing.using
    if seats_of is None:
        _write_in_transaction(plans, None, writing)
        return
    needing = _needing_seats(plans)
    is_full = bool(needing) and is_still_sold_out(seats_of, using=using)
    if is_full or not _write_in_transaction(plans, seats_of, writing):
        remember_sold_out(seats_of, using=using)
        _turn_away(needing, seats_of, left=0, using=using)
        write_all(pending(plans), None, writing)


def _write_in_transaction(
    plans: Sequence[Plan], seats_of: CourseOffer | None, writing: Writing
) -> bool:
    """
    Allot seats and write, unless the course is full.

    Returns:
        Whether it was not. If it was, nothing has been written or refused.
    """
    using = writing.using
    try:
        with write_transaction(using, reads_first=False):
            if seats_of and not _allot_seats(plans, seats_of, using=using):
                # Others get the lock before anything more is asked or committed.
                transaction.set_rollback(True, using)
                return False
            granted = pending(plans)
            if granted:
                _write(granted, writing)
    except IntegrityError as error:
        check_users([plan.change.user for plan in plans], using=using)
        raise Conflict from error
    return True


def check_users(users: Sequence[Any], *, using: str) -> None:
    """
    Check that users have not been deleted since they were read.

    Args:
        users: Users as they were read.
        using: Database alias.

    Raises:
        UserNotFoundError: One of them has been.
    """
    keys = {user.pk for user in users}
    stored = get_user_model()._base_manager.using(using).filter(pk__in=keys)
    if stored.count() < len(keys):
        raise UserNotFoundError("The user has been deleted.")


def _needing_seats(plans: Sequence[Plan]) -> list[Plan]:
    return [plan for plan in plans if plan.change.activates]


def _allot_seats(plans: Sequence[Plan], offer: CourseOffer, *, using: str) -> bool:
    """
    Return the free seats to those who need one, first come first served.

    Returns:
        Whether there was one. If not, nothing has been refused yet.
    """
    needing = _needing_seats(plans)
    if not needing or _has_no_limit(offer, using=using):
        return True
    left = lock_seats(offer, using=using).left
    if left is not None and left < len(needing):
        if left == 0:
            return False
        _turn_away(needing, offer, left=left, using=using)
    return True


def _has_no_limit(offer: CourseOffer, *, using: str) -> bool:
    """
    Return whether the seats of a course are not limited.

    That was read before, and no lock proves it: to enroll in a course without a limit
    locks nothing. So where code of the host's has been asked since, which may have
    taken its time, it is read once more.
    """
    if offer.facts.max_student_enrollments_allowed is not None:
        return False
    asked = [*conf.ENROLLMENTS_FILTERS, *conf.ENROLLMENTS_PERMISSION_BACKENDS]
    was_quick = all(
        isinstance(one, str) and one.startswith("django_enrollments.") for one in asked
    )
    return was_quick or not has_got_limit(offer, using=using)


def _turn_away(
    needing: Sequence[Plan], offer: CourseOffer, *, left: int, using: str
) -> None:
    """Refuse those who get none of the seats that are left."""
    keys = [plan.change.user.pk for plan in needing]
    outside = outside_the_count(offer, keys, using=using)
    losing = [plan for plan in needing if plan.change.user.pk not in outside][left:]
    if find_seated(offer, [plan.change.user.pk for plan in losing], using=using):
        # Somebody else has let them in since they were read (B-14).
        raise Conflict
    for plan in losing:
        plan.refuse(course_full(offer))


def _write(plans: Sequence[Plan], writing: Writing) -> None:
    """Write rows in their final state, their attributes, invitations and history."""
    using, at = writing.using, for_database(writing.at)
    described = [describe(plan.change) for plan in plans]
    targets: dict[tuple[str | None, bool], dict[tuple[str, bool], list[Any]]] = {}
    for plan in plans:
        planned = plan.change
        plan.outcome.status = _status(planned)
        row = planned.enrollment
        if row is not None:
            # Deactivation keeps the mode, so all deactivations share one statement.
            leaves = planned.deactivates and not planned.changes_mode
            target = (None if leaves else planned.mode, planned.is_active)
            as_read = targets.setdefault(target, {})
            as_read.setdefault((row.mode, row.is_active), []).append(row.pk)
    replaced = [plan.replaced.pk for plan in plans if plan.replaced]
    if replaced:
        # Its history stays.
        CourseEnrollment.objects.using(using).filter(pk__in=replaced).delete()
    new = _insert([plan.change for plan in plans if plan.change.creates], at, using)
    for (mode, is_active), as_read in targets.items():
        _update_as_read(as_read, mode=mode, is_active=is_active, at=at, using=using)
    rows = [plan.change.enrollment or next(new) for plan in plans]
    if writing.attributes is not None:
        for row in rows:
            replace_attributes(row, writing.attributes, using=using)
    _use_up_invitations(plans, using=using)
    for plan, row in zip(plans, rows, strict=True):
        row.mode, row.is_active = plan.change.mode, plan.change.is_active
        row.modified = at
        row.remember_user(plan.change.user)
        plan.outcome.enrollment = row
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


def _insert(
    changes: Sequence[Change], at: datetime, using: str
) -> Iterator[CourseEnrollment]:
    """Insert the rows of those who have none, and give them in the same order."""
    users = [change.user.pk for change in changes]
    columns: dict[str, list[Any]] = {
        "user_id": users,
        "course_id": [change.course_key for change in changes],
        "mode": [change.mode for change in changes],
        "is_active": [change.is_active for change in changes],
        "created": [at] * len(changes),
        "modified": [at] * len(changes),
    }
    keys = dict(
        insert_columns(CourseEnrollment, columns, using=using, returning=("user", "id"))
    )
    if len(keys) < len(changes):
        # MySQL does not return what it inserts.
        stored = CourseEnrollment.objects.using(using).order_by()
        stored = stored.filter(course=changes[0].course_key, user__in=users)
        keys = dict(stored.values_list("user", "pk"))
    columns["id"] = [keys[user] for user in users]
    names = [field.attname for field in CourseEnrollment._meta.concrete_fields]
    return (
        CourseEnrollment.from_db(using, names, values)
        for values in zip(*(columns[name] for name in names), strict=True)
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
    values: dict[str, Any] = {"is_active": is_active, "modified": at}
    if mode is not None:
        values["mode"] = mode
    unchanged = [
        {"id": [*keys], "mode": old_mode, "is_active": was_active}
        for (old_mode, was_active), keys in as_read.items()
    ]
    updated = update_rows(CourseEnrollment, values, unchanged, using=using)
    if updated != sum(map(len, as_read.values())):
        raise Conflict


def _status(planned: Change) -> Status:
    if planned.creates:
        return "created"
    if planned.activates:
        return "reactivated"
    return "deactivated" if planned.deactivates else "mode_changed"


def _use_up_invitations(plans: Sequence[Plan], *, using: str) -> None:
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
