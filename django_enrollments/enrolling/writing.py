"""The write of planned changes: seats, rows, attributes, invitations and history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError
from django.db.models import Case, Q, Value, When

from django_enrollments.enrolling.access import course_full
from django_enrollments.enrolling.attributes import replace_attributes
from django_enrollments.enrolling.history import describe, record
from django_enrollments.enrolling.plans import pending
from django_enrollments.enrolling.seats import (
    find_seated,
    lock_seats,
    outside_the_count,
)
from django_enrollments.enrolling.transactions import (
    Conflict,
    insert_all,
    write_transaction,
)
from django_enrollments.errors import UserNotFoundError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.moments import for_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django_enrollments.calls import Origin
    from django_enrollments.enrolling.catalog import CourseOffer
    from django_enrollments.enrolling.history import Change
    from django_enrollments.enrolling.plans import Plan, Status


@dataclass(frozen=True)
class Writing:
    """
    What all changes of one write have in common.

    Attributes:
        origin: Who changes, from where and why.
        at: When, aware.
        using: Database alias to write to.
        enterprise_uuid: The enterprise customer behind it, or ``""``.
        skip_refund: Whether whoever refunds should leave them alone.
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
    try:
        with write_transaction(using, reads_first=False):
            if seats_of is not None:
                _allot_seats(plans, seats_of, using=using)
            granted = pending(plans)
            if granted:
                _write(granted, writing)
    except IntegrityError as error:
        _check_users(plans, using=using)
        raise Conflict from error


def _check_users(plans: Sequence[Plan], *, using: str) -> None:
    """Tell a learner who was deleted meanwhile from one who was enrolled meanwhile."""
    keys = {plan.change.user.pk for plan in plans}
    users = get_user_model()._base_manager.using(using).filter(pk__in=keys)
    if users.count() < len(keys):
        raise UserNotFoundError("The user has been deleted.")


def _allot_seats(plans: Sequence[Plan], offer: CourseOffer, *, using: str) -> None:
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


def _write(plans: Sequence[Plan], writing: Writing) -> None:
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
