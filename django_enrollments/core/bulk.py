"""Changes of many learners in one course, in batches, with a result for each row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from django_enrollments.context import call_context
from django_enrollments.core import invitations, lifecycle
from django_enrollments.core.changes import ChangeOptions
from django_enrollments.core.course_info import get_course_info
from django_enrollments.core.eligibility import refuse_mode
from django_enrollments.core.isolation import isolate_failures, retry_while_unavailable
from django_enrollments.core.sql import insert_rows
from django_enrollments.core.transactions import write_alias, writing_call
from django_enrollments.datetimes import for_database
from django_enrollments.emails import normalize_email
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseNotFoundError,
    UserNotFoundError,
)
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.text import is_storable
from django_enrollments.users import (
    choose_user,
    find_users_by_email,
    find_users_by_key,
    find_users_by_name,
    is_inactive,
    is_saved,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from django_enrollments.context import Call, Origin
    from django_enrollments.core.changes import Change
    from django_enrollments.core.course_info import CourseInfo
    from django_enrollments.payloads import BulkResultDict, BulkStatus

#: The number of rows that are decided and committed together.
ROWS_PER_BATCH = 500

#: The actions of a bulk.
ACTIONS = ("enroll", "unenroll")


@dataclass(frozen=True)
class BulkRequest:
    """
    What all rows of a bulk have in common.

    Attributes:
        course: The course id, or an instance of the host's course model.
        action: One of ``ACTIONS``.
        mode: Mode slug; ``None`` for the default, and to keep that of active learners.
        force: Whether window and invitations are lifted.
        over_capacity: Whether the capacity is.
        skip_refund: Whether receivers are to skip the refunds.
        origin: The actor, source and reason.
    """

    course: object
    action: str
    mode: str | None
    force: bool
    over_capacity: bool
    skip_refund: bool
    origin: Origin


@dataclass
class Row:
    """
    One row of a bulk.

    Attributes:
        identifier: A username, an e-mail address, a user's key or an instance.
        kind: ``username``, ``email`` or ``key``; instances count as keys.
        user: The user, once found.
        result: The result, once known.
    """

    identifier: Any
    kind: str
    user: Any = None
    result: BulkResultDict | None = None

    def set_result(self, status: BulkStatus, error: Exception | None = None) -> None:
        """Set the result; an error has the status ``error``."""
        identifier = self.identifier
        if hasattr(identifier, "get_username"):
            identifier = str(identifier.get_username())
        elif not (identifier is None or isinstance(identifier, str | int)):
            identifier = str(identifier)
        self.result = {
            "identifier": identifier,
            "status": "error" if error else status,
            "code": getattr(error, "code", None),
            "message": str(error) if error else "",
        }


def run(
    rows: Iterable[Row], request: BulkRequest, *, at: datetime | None = None
) -> Iterator[BulkResultDict]:
    """
    Check what all rows have in common, and return an iterator that processes them.

    A batch is decided and committed when its first result is requested, and no lock or
    transaction is held in between. A batch is part of the call under way, or a call of
    its own, and reads the course again, because rows may come slowly.

    Args:
        rows: The rows, read as the batches need them.
        request: What all rows have in common.
        at: The moment of the batches, aware; the clock is read for each when ``None``.

    Returns:
        An iterator of one result per row, in order.

    Raises:
        CourseNotFoundError: There is no such course.
        CourseModeNotFoundError: The course does not offer the mode now.
        CourseEnrollmentError: The action is unknown.
    """
    if request.action not in ACTIONS:
        raise CourseEnrollmentError(
            f"'{request.action}' is neither enroll nor unenroll."
        )
    retry_while_unavailable(partial(_check, request, at), using=write_alias())
    return _process(iter(rows), request, at)


def run_all(
    rows: Iterable[Row], request: BulkRequest, *, at: datetime | None = None
) -> list[BulkResultDict]:
    """Return the results of :func:`run` as a list, processed in one call."""
    with call_context(at):
        return [*run(rows, request)]


def _check(request: BulkRequest, at: datetime | None) -> None:
    """Raise what refuses every row."""
    with writing_call(at) as (call, using):
        info = get_course_info(request.course, call, using)
        if request.mode is not None and request.action == "enroll":
            refusal = refuse_mode(request.mode, info, at=call.at)
            if refusal:
                raise refusal.error


def _process(
    rows: Iterator[Row], request: BulkRequest, at: datetime | None
) -> Iterator[BulkResultDict]:
    is_first = True

    def process(batch: Sequence[Row]) -> Sequence[Row]:
        # Not around the yield: what the caller does there is no part of the call.
        with writing_call(at) as (call, using):
            if not is_first:
                call.readings.clear()
            _process_batch(batch, request, call, using)
        return batch

    while batch := list(islice(rows, ROWS_PER_BATCH)):
        processed = isolate_failures(process, batch, using=write_alias())
        is_first = False
        for row, found in zip(batch, processed, strict=True):
            if isinstance(found, CourseEnrollmentError):
                row.set_result("error", found)
            assert row.result is not None  # noqa: S101 - Each row has one by now.
            yield row.result


def _process_batch(
    rows: Sequence[Row], request: BulkRequest, call: Call, using: str
) -> None:
    """Process rows in one transaction; raise an error before anything is written."""
    for row in rows:
        # Of an attempt that failed.
        row.user = row.result = None
    try:
        info = get_course_info(request.course, call, using)
    except CourseNotFoundError as error:
        # It has been deleted since the first row.
        for row in rows:
            row.set_result("error", error)
        return
    uninvited = _find_users(rows, request.action, using)
    shared = ChangeOptions(
        request.origin,
        call.at,
        using,
        access=request.force is not True,
        seats=request.over_capacity is not True,
        if_active="change_mode",
        skip_refund=request.skip_refund,
    )
    if request.action == "enroll":
        _enroll(rows, info, request.mode, shared)
        _invite_all(uninvited, info, request.mode, shared)
    else:
        _unenroll(rows, info, shared)
        _withdraw_all(rows, info, using)


def _find_users(rows: Sequence[Row], action: str, using: str) -> list[Row]:
    """Find the users, one query per kind; return the addresses without an account."""
    hashable = [row for row in rows if _is_hashable(row.identifier)]
    names = [row.identifier for row in hashable if row.kind == "username"]
    keys = [row.identifier for row in hashable if row.kind == "key"]
    addresses = [row.identifier for row in rows if row.kind == "email"]
    found = {
        "username": find_users_by_name(names, using) if names else {},
        "key": _find_by_key(keys, using) if keys else {},
    }
    by_email = find_users_by_email(addresses, using) if addresses else {}
    if action == "enroll":
        # The address of an inactive account may never have been confirmed.
        by_email = {
            email: [user for user in users if not is_inactive(user)]
            for email, users in by_email.items()
        }
    uninvited = []
    for row in rows:
        if row.kind == "email":
            try:
                row.user = choose_user(row.identifier, by_email)
            except CourseEnrollmentError as error:
                if error.code == UserNotFoundError.code:
                    uninvited.append(row)
                else:
                    row.set_result("error", error)
            continue
        if _is_hashable(row.identifier):
            row.user = found[row.kind].get(row.identifier)
        if row.user is None:
            text = f"Not user with username '{row.identifier}' found."
            row.set_result("error", UserNotFoundError(text))
    return uninvited


def _is_hashable(identifier: object) -> bool:
    try:
        hash(identifier)
    except TypeError:
        return False
    return True


def _find_by_key(identifiers: Iterable[Any], using: str) -> dict[Any, Any]:
    given = {one: one for one in identifiers if is_saved(one)}
    keys = [one for one in identifiers if one not in given]
    return {**given, **find_users_by_key(keys, using)}


def _first_rows(rows: Iterable[Row]) -> dict[Any, Row]:
    """Return the first row of each user, by primary key."""
    first: dict[Any, Row] = {}
    for row in rows:
        if row.user is not None:
            first.setdefault(row.user.pk, row)
    return first


def _enroll(
    rows: Sequence[Row], info: CourseInfo, mode: str | None, options: ChangeOptions
) -> None:
    first = _first_rows(rows)
    enroll = partial(lifecycle.enroll, info=info, mode=mode, options=options)
    users = [row.user for row in first.values()]
    changes = isolate_failures(enroll, users, using=options.using)
    _set_results(rows, first, dict(zip(first, changes, strict=True)))


def _unenroll(rows: Sequence[Row], info: CourseInfo, options: ChangeOptions) -> None:
    first = _first_rows(rows)
    stored = CourseEnrollment.objects.using(options.using).order_by()
    stored = stored.of_course_key(info.key).filter(user__in=list(first))
    found = {one.user_id: one for one in stored} if first else {}
    # Filters are asked in the order of the rows.
    enrollments = {key: found[key] for key in first if key in found}
    for key, enrollment in enrollments.items():
        enrollment.remember_user(first[key].user)
    deactivate = partial(
        lifecycle.deactivate,
        course_ids={info.key: info.course_id},
        options=options,
        course=info.course,
    )
    changes = isolate_failures(deactivate, [*enrollments.values()], using=options.using)
    _set_results(rows, first, dict(zip(enrollments, changes, strict=True)))


def _set_results(
    rows: Iterable[Row],
    first: dict[Any, Row],
    changes: dict[Any, Change | CourseEnrollmentError],
) -> None:
    """Set the results of rows with a user; later rows of a user change nothing."""
    for row in rows:
        if row.user is None:
            continue
        change = changes.get(row.user.pk)
        if isinstance(change, CourseEnrollmentError):
            row.set_result("error", change)
        elif change is None:
            row.set_result("unchanged")
        elif change.refusal:
            row.set_result("error", change.refusal.error)
        else:
            is_first = row is first[row.user.pk]
            row.set_result(change.status if is_first else "unchanged")


def _invite_all(
    rows: Sequence[Row], info: CourseInfo, mode: str | None, options: ChangeOptions
) -> None:
    emails = [normalize_email(row.identifier) for row in rows]
    invite = partial(_invite, info=info, mode=mode, options=options)
    statuses = isolate_failures(invite, emails, using=options.using)
    for row, status in zip(rows, statuses, strict=True):
        if isinstance(status, CourseEnrollmentError):
            row.set_result("error", status)
        else:
            row.set_result(status)


def _invite(
    emails: Sequence[str], info: CourseInfo, mode: str | None, options: ChangeOptions
) -> list[BulkStatus]:
    """Invite addresses and return the status of each, as if one after the other."""
    course_id, using = info.course_id, options.using
    stored = CourseEnrollmentAllowed.objects.using(using).order_by()
    known = list(stored.filter(course_id=course_id, email__in={*emails}))
    # Used by an account that has another address now, or enrolling at once already.
    settled = {
        invitation.email
        for invitation in known
        if invitation.user_id is not None or invitation.auto_enroll
    }
    waiting = {invitation.email for invitation in known} - settled
    new = [email for email in dict.fromkeys(emails) if email not in settled | waiting]
    granted = {
        "auto_enroll": True,
        "mode": mode or "",
        "actor_id": options.origin.actor_id,
        "reason": options.origin.reason,
    }
    if new:
        columns = {
            "course_id": course_id,
            "created": for_database(options.at),
            **granted,
        }
        insert_rows(
            CourseEnrollmentAllowed,
            {"email": new} | {name: [one] * len(new) for name, one in columns.items()},
            using=using,
            # Another process may be inviting the same address.
            ignore_conflicts=True,
        )
    if waiting:
        unused = stored.filter(course_id=course_id, email__in=waiting, user=None)
        unused.update(**granted)
    if new or waiting:
        invited = {*new, *waiting}
        redeem = partial(invitations.redeem_for_addresses, invited, course_id)
        invitations.after_commit(redeem, using=using)
    statuses: list[BulkStatus] = []
    for email in emails:
        statuses.append("unchanged" if email in settled else "invited")
        settled.add(email)
    return statuses


def _withdraw_all(rows: Sequence[Row], info: CourseInfo, using: str) -> None:
    """Delete the unused invitations of all addresses, with or without an account."""
    addressed = [
        row for row in rows if row.kind == "email" and is_storable(row.identifier)
    ]
    emails = [normalize_email(row.identifier) for row in addressed]
    withdraw = partial(_withdraw, info=info, using=using)
    withdrawn = isolate_failures(withdraw, emails, using=using)
    for row, is_withdrawn in zip(addressed, withdrawn, strict=True):
        if row.result is None:
            row.set_result("unchanged")
        elif row.user is not None and row.result["status"] != "unchanged":
            continue
        if isinstance(is_withdrawn, CourseEnrollmentError):
            row.set_result("error", is_withdrawn)
        elif is_withdrawn:
            row.set_result("uninvited")


def _withdraw(emails: Sequence[str], info: CourseInfo, using: str) -> list[bool]:
    """Delete unused invitations; return whether each address had one."""
    unused = CourseEnrollmentAllowed.objects.using(using).order_by().unused()
    unused = unused.filter(course_id=info.course_id, email__in={*emails})
    found = set(unused.values_list("email", flat=True))
    if found:
        unused.filter(email__in=found).delete()
    withdrawn = []
    for email in emails:
        withdrawn.append(email in found)
        found.discard(email)
    return withdrawn
