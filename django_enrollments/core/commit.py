"""The write of planned changes: seats, rows, attributes, invitations and history."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import Case, Value, When

from django_enrollments.conf import conf
from django_enrollments.core.attributes import replace_attributes
from django_enrollments.core.changes import pending
from django_enrollments.core.eligibility import refuse_full_course
from django_enrollments.core.history import record
from django_enrollments.core.seats import (
    capacity_exempt_users,
    find_active_users,
    has_new_limit,
    lock_seats,
)
from django_enrollments.core.sql import insert_rows, update_rows
from django_enrollments.core.transactions import Conflict, write_transaction
from django_enrollments.datetimes import for_database
from django_enrollments.errors import UserNotFoundError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_enrollments.core.changes import Change, ChangeOptions, Status
    from django_enrollments.core.course_info import CourseInfo

#: Rows to change, as primary keys by the mode and activation that were read.
_AsRead = dict[tuple[str, bool], list[Any]]


def write(
    changes: Sequence[Change], info: CourseInfo | None, options: ChangeOptions
) -> None:
    """
    Allot seats and write in one transaction.

    Args:
        changes: Pending changes of distinct enrollments.
        info: The course whose seats are needed; ``None`` needs none.

    Raises:
        Conflict: Something has changed since the changes were planned.
        UserNotFoundError: A user has been deleted since.
    """
    if not changes:
        return
    using = options.using
    needing = [change for change in changes if change.activates] if info else []
    is_full = False
    try:
        with write_transaction(using, reads_first=False):
            is_full = bool(info and needing and not _allot(needing, info, using))
            if is_full:
                # The lock is released before anything else is read or written.
                transaction.set_rollback(True, using)
            elif allotted := pending(changes):
                _write_rows(allotted, options)
    except IntegrityError as error:
        check_users([change.user for change in changes], using=using)
        raise Conflict from error
    if is_full and info:
        _refuse_without_seat(needing, info, left=0, using=using)
        write(pending(changes), None, options)


def check_users(users: Sequence[Any], *, using: str) -> None:
    """
    Check that users have not been deleted since they were read.

    Raises:
        UserNotFoundError: One of them has been.
    """
    keys = {user.pk for user in users}
    stored = get_user_model()._base_manager.using(using).filter(pk__in=keys)
    if stored.count() < len(keys):
        raise UserNotFoundError("The user has been deleted.")


def _allot(needing: Sequence[Change], info: CourseInfo, using: str) -> bool:
    """Refuse the changes beyond the last seat; return whether there was a seat."""
    if _has_no_limit(info, using=using):
        return True
    left = lock_seats(info, using=using).left
    if left is not None and 0 < left < len(needing):
        _refuse_without_seat(needing, info, left=left, using=using)
    return left != 0


def _has_no_limit(info: CourseInfo, *, using: str) -> bool:
    """
    Return whether the seats of a course are not limited.

    That was read before, and no lock proves it: to enroll in a course without a limit
    locks nothing. So where code of the host has run since, which may have taken its
    time, it is read once more.
    """
    if info.facts.max_student_enrollments_allowed is not None:
        return False
    asked = [*conf.ENROLLMENTS_FILTERS, *conf.ENROLLMENTS_PERMISSION_BACKENDS]
    is_shipped = all(
        isinstance(one, str) and one.startswith("django_enrollments.") for one in asked
    )
    return is_shipped or not has_new_limit(info, using=using)


def _refuse_without_seat(
    needing: Sequence[Change], info: CourseInfo, *, left: int, using: str
) -> None:
    """Refuse the changes that get none of the seats that are left."""
    keys = [change.user.pk for change in needing]
    exempt = capacity_exempt_users(info, keys, using=using)
    losing = [change for change in needing if change.user.pk not in exempt][left:]
    if find_active_users(info, [change.user.pk for change in losing], using=using):
        # They have been enrolled since they were read (B-14).
        raise Conflict
    for change in losing:
        change.refusal = refuse_full_course()


def _write_rows(changes: Sequence[Change], options: ChangeOptions) -> None:
    """Write rows in their final state, their attributes, invitations and history."""
    using, at = options.using, for_database(options.at)
    replaced = [change.replaced.pk for change in changes if change.replaced]
    if replaced:
        # Its history stays.
        CourseEnrollment.objects.using(using).filter(pk__in=replaced).delete()
    if new := [change for change in changes if change.before is None]:
        _insert(new, at, using)
    if old := [change for change in changes if change.before is not None]:
        _update(old, at, using)
    for change in changes:
        row = change.enrollment
        assert row is not None  # noqa: S101 - inserted or read.
        change.status = _status(change)
        row.mode, row.is_active, row.modified = change.mode, change.is_active, at
        row.remember_user(change.user)
        if options.attributes is not None:
            replace_attributes(row, options.attributes, using=using)
    if invited := [change for change in changes if change.invitation]:
        _use_up_invitations(invited, using)
    record(changes, options)


def _insert(changes: Sequence[Change], at: Any, using: str) -> None:
    """Insert the rows of changes that have none."""
    users = [change.user.pk for change in changes]
    columns: dict[str, list[Any]] = {
        "user_id": users,
        "course_id": [change.course_key for change in changes],
        "mode": [change.mode for change in changes],
        "is_active": [change.is_active for change in changes],
        "created": [at] * len(changes),
        "modified": [at] * len(changes),
    }
    keys: dict[Any, Any] = dict(
        insert_rows(CourseEnrollment, columns, using=using, returning=("user", "id"))
    )
    if len(keys) < len(changes):
        # MySQL does not return what it inserts.
        stored = CourseEnrollment.objects.using(using).order_by()
        stored = stored.filter(course=changes[0].course_key, user__in=users)
        keys = dict(stored.values_list("user", "pk"))
    columns["id"] = [keys[user] for user in users]
    names = [field.attname for field in CourseEnrollment._meta.concrete_fields]
    rows = zip(*(columns[name] for name in names), strict=True)
    for change, row in zip(changes, rows, strict=True):
        change.enrollment = CourseEnrollment.from_db(using, names, row)


def _update(changes: Sequence[Change], at: Any, using: str) -> None:
    """
    Update existing rows, one statement for each new state, which proves the old ones.

    Raises:
        Conflict: A row has changed since it was read.
    """
    targets: dict[tuple[str | None, bool], _AsRead] = defaultdict(dict)
    for change in changes:
        row, before = change.enrollment, change.before
        assert row is not None and before is not None  # noqa: S101, PT018 - not new.
        # Deactivation keeps the mode, so all deactivations share one statement.
        keeps_mode = change.deactivates and not change.changes_mode
        target = (None if keeps_mode else change.mode, change.is_active)
        targets[target].setdefault(before, []).append(row.pk)
    for (mode, is_active), as_read in targets.items():
        values = {"is_active": is_active, "modified": at}
        if mode is not None:
            values["mode"] = mode
        unchanged = [
            {"id": keys, "mode": old_mode, "is_active": was_active}
            for (old_mode, was_active), keys in as_read.items()
        ]
        updated = update_rows(CourseEnrollment, values, unchanged, using=using)
        if updated != sum(map(len, as_read.values())):
            raise Conflict


def _status(change: Change) -> Status:
    if change.before is None:
        return "created"
    if change.activates:
        return "reactivated"
    return "deactivated" if change.deactivates else "mode_changed"


def _use_up_invitations(changes: Sequence[Change], using: str) -> None:
    """
    Link invitations to the users who enroll by them; each admits one user.

    Raises:
        Conflict: One of them has been used or deleted since it was read.
    """
    users = {
        change.invitation.pk: change.user.pk for change in changes if change.invitation
    }
    unused = CourseEnrollmentAllowed.objects.using(using).unused().order_by()
    linked = unused.filter(pk__in=users).update(
        user=Case(
            *(When(pk=key, then=Value(user)) for key, user in users.items()),
            output_field=get_user_model()._meta.pk,
        )
    )
    if linked != len(users):
        raise Conflict
