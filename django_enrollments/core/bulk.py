"""Many learners at once, batch by batch; a bad row never stops a good one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from django_enrollments.context import one_call
from django_enrollments.core import invitations, lifecycle
from django_enrollments.core.changes import Terms
from django_enrollments.core.course_info import CourseOffer, get_offer
from django_enrollments.core.eligibility import judge_mode
from django_enrollments.core.isolation import each, patiently
from django_enrollments.core.transactions import (
    insert_all,
    write_alias,
    writing_call,
)
from django_enrollments.datetimes import for_database
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseNotFoundError,
    UserNotFoundError,
)
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.text import is_storable, normalize_email
from django_enrollments.users import (
    choose_user,
    find_users_by_email,
    find_users_by_key,
    find_users_by_name,
    is_inactive,
    is_saved,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from django_enrollments.context import Call, Origin
    from django_enrollments.core.changes import Change
    from django_enrollments.payloads import BulkResultDict, BulkStatus

#: How many rows are decided and committed together.
ROWS_PER_BATCH = 500

#: What a bulk may do.
ACTIONS = ("enroll", "unenroll")


@dataclass(frozen=True)
class BulkTerms:
    """
    What one bulk does, the same for all its rows.

    Attributes:
        course: The course id, or an instance of the host's course model.
        action: One of ``ACTIONS``.
        mode: Mode slug; ``None`` for the default, and for leaving active learners be.
        force: Whether window and invitations are lifted.
        over_capacity: Whether seats are.
        skip_refund: Whether receivers are to skip the refunds.
        origin: Who does it, from where and why.
    """

    course: object
    action: str
    mode: str | None
    force: bool
    over_capacity: bool
    skip_refund: bool
    origin: Origin


class Row(NamedTuple):
    """
    One row: whom it means.

    Attributes:
        identifier: A username, an e-mail address, a user's key or an instance.
        kind: ``username``, ``email`` or ``key``; instances count as keys.
    """

    identifier: Any
    kind: str


def run(
    rows: Iterable[Row], terms: BulkTerms, *, at: datetime | None = None
) -> Iterator[BulkResultDict]:
    """
    Check what all rows have in common at once, then work through them when asked.

    Each batch is decided and committed when its first result is asked for, and nothing
    is held in between. It joins the call that is under way by then. Where there is
    none, it is a call of its own, which reads the clock anew. The course is read anew
    for every batch: nobody knows how long the rows have taken.

    Args:
        rows: Whom; read as the batches need them.
        terms: What is done.
        at: The moment of the batches, aware; their own when ``None``.

    Returns:
        An iterator of one result per row, in order.

    Raises:
        CourseNotFoundError: There is no such course.
        CourseModeNotFoundError: The course does not offer the mode now.
        CourseEnrollmentError: The action is unknown.
    """
    if terms.action not in ACTIONS:
        raise CourseEnrollmentError(f"'{terms.action}' is neither enroll nor unenroll.")
    patiently(partial(_check, terms, at), using=write_alias())
    return _work_through(iter(rows), terms, at)


def run_all(
    rows: Iterable[Row], terms: BulkTerms, *, at: datetime | None = None
) -> list[BulkResultDict]:
    """
    Do what :func:`run` does, all at once and in one call.

    Args:
        rows: Whom; read as the batches need them.
        terms: What is done.
        at: When, aware; the clock is read when ``None``.

    Returns:
        One result per row, in order.

    Raises:
        CourseEnrollmentError: As :func:`run` raises it.
    """
    with one_call(at):
        return [*run(rows, terms)]


def _check(terms: BulkTerms, at: datetime | None) -> None:
    """Raise what all rows would be refused for."""
    with writing_call(at) as (call, using):
        offer = get_offer(terms.course, call, using)
        if terms.mode is not None and terms.action == "enroll":
            refusal = judge_mode(terms.mode, offer, at=call.at)
            if refusal:
                raise refusal.error


def _work_through(
    rows: Iterator[Row], terms: BulkTerms, at: datetime | None
) -> Iterator[BulkResultDict]:
    is_first = True

    def work(some: Sequence[Row]) -> list[BulkResultDict]:
        # Not around the yield, for what the caller does there is no part of the call.
        with writing_call(at) as (call, using):
            if not is_first:
                # Rows may take their time, and a course may get a limit meanwhile.
                call.readings.clear()
            return _work_off(some, terms, call, using)

    while chunk := list(islice(rows, ROWS_PER_BATCH)):
        results = each(work, chunk, using=write_alias())
        is_first = False
        for row, result in zip(chunk, results, strict=True):
            if isinstance(result, CourseEnrollmentError):
                yield _result(row, "error", result)
            else:
                yield result


@dataclass
class _Batch:
    """Rows that are decided together, with what was read for them."""

    rows: Sequence[Row]
    terms: BulkTerms
    offer: CourseOffer
    at: datetime
    using: str
    users: dict[int, Any] = field(default_factory=dict)
    strangers: dict[int, str] = field(default_factory=dict)
    results: dict[int, BulkResultDict] = field(default_factory=dict)

    def say(
        self, position: int, status: BulkStatus, error: Exception | None = None
    ) -> None:
        """Store the result of a row."""
        self.results[position] = _result(self.rows[position], status, error)

    def repeat(self, earlier: int, position: int) -> None:
        """Refuse a row as an earlier one was, or note that it changes nothing."""
        self.say(position, "unchanged")
        first, result = self.results[earlier], self.results[position]
        if first["status"] == "error":
            self.results[position] = {**first, "identifier": result["identifier"]}

    def firsts(self) -> dict[Any, int]:
        """Return the first row of every learner; later ones find the work done."""
        first: dict[Any, int] = {}
        for position, user in self.users.items():
            first.setdefault(user.pk, position)
        return first

    def settle(
        self,
        first: Mapping[Any, int],
        outcomes: Mapping[Any, Change | CourseEnrollmentError],
    ) -> None:
        """Store the outcome of each learner as the result of the row."""
        for key, position in first.items():
            outcome = outcomes.get(key)
            if outcome is None:
                self.say(position, "unchanged")
            elif isinstance(outcome, CourseEnrollmentError):
                self.say(position, "error", outcome)
            elif outcome.refusal:
                self.say(position, "error", outcome.refusal.error)
            else:
                self.say(position, outcome.status)
        if len(first) < len(self.users):
            for position, user in self.users.items():
                if position != first[user.pk]:
                    self.repeat(first[user.pk], position)


def _result(
    row: Row, status: BulkStatus, error: Exception | None = None
) -> BulkResultDict:
    identifier = row.identifier
    if hasattr(identifier, "get_username"):
        identifier = str(identifier.get_username())
    if not (identifier is None or isinstance(identifier, str | int)):
        identifier = str(identifier)
    return {
        "identifier": identifier,
        "status": status,
        "code": getattr(error, "code", None),
        "message": str(error) if error else "",
    }


def _work_off(
    rows: Sequence[Row], terms: BulkTerms, call: Call, using: str
) -> list[BulkResultDict]:
    """Do everything for a batch; raises before anything is done, or not at all."""
    try:
        offer = get_offer(terms.course, call, using)
    except CourseNotFoundError as error:
        # It has been deleted since the first row.
        return [_result(row, "error", error) for row in rows]
    batch = _Batch(rows, terms, offer, call.at, using)
    _resolve(batch)
    if terms.action == "enroll":
        _enroll_known(batch)
        _invite_strangers(batch)
    else:
        _unenroll_known(batch)
        _uninvite(batch)
    return [batch.results[position] for position in range(len(rows))]


def _resolve(batch: _Batch) -> None:
    """Find the users of a batch: one query per kind of identifier."""
    by_kind: dict[str, list[int]] = {}
    for position, row in enumerate(batch.rows):
        by_kind.setdefault(row.kind, []).append(position)
    for kind, positions in by_kind.items():
        if kind == "email":
            _resolve_emails(batch, positions)
            continue
        identifiers = [batch.rows[position].identifier for position in positions]
        find = find_users_by_name if kind == "username" else _find_by_key
        users = find(identifiers, batch.using)
        for position, identifier in zip(positions, identifiers, strict=True):
            user = users.get(identifier) if _is_hashable(identifier) else None
            if user is None:
                text = f"Not user with username '{identifier}' found."
                batch.say(position, "error", UserNotFoundError(text))
            else:
                batch.users[position] = user
    if len(by_kind) > 1:
        batch.users = dict(sorted(batch.users.items()))


def _is_hashable(identifier: object) -> bool:
    try:
        hash(identifier)
    except TypeError:
        return False
    return True


def _find_by_key(identifiers: Iterable[Any], using: str) -> dict[Any, Any]:
    identifiers = [one for one in identifiers if _is_hashable(one)]
    given = {one: one for one in identifiers if is_saved(one)}
    keys = [one for one in identifiers if one not in given]
    return {**given, **find_users_by_key(keys, using)}


def _resolve_emails(batch: _Batch, positions: Sequence[int]) -> None:
    given = {position: batch.rows[position].identifier for position in positions}
    found = find_users_by_email(given.values(), batch.using)
    if batch.terms.action == "enroll":
        # The address of an inactive account may never have been confirmed.
        found = {
            email: [user for user in users if not is_inactive(user)]
            for email, users in found.items()
        }
    for position, email in given.items():
        try:
            batch.users[position] = choose_user(email, found)
        except CourseEnrollmentError as error:
            if error.code == UserNotFoundError.code:
                batch.strangers[position] = normalize_email(email)
            else:
                batch.say(position, "error", error)


def _enroll_known(batch: _Batch) -> None:
    terms = Terms(
        batch.terms.origin,
        batch.at,
        batch.using,
        access=batch.terms.force is not True,
        seats=batch.terms.over_capacity is not True,
        if_active="change_mode",
    )
    enroll = partial(
        lifecycle.enroll, offer=batch.offer, mode=batch.terms.mode, terms=terms
    )
    first = batch.firsts()
    users = [batch.users[position] for position in first.values()]
    outcomes = each(enroll, users, using=batch.using)
    batch.settle(first, dict(zip(first, outcomes, strict=True)))


def _unenroll_known(batch: _Batch) -> None:
    first = batch.firsts()
    rows = CourseEnrollment.objects.using(batch.using).order_by()
    rows = rows.of_course_key(batch.offer.key).filter(user__in=list(first))
    found = {row.user_id: row for row in rows} if first else {}
    for key, row in found.items():
        row.remember_user(batch.users[first[key]])
    deactivate = partial(
        lifecycle.deactivate,
        course_ids={batch.offer.key: batch.offer.course_id},
        terms=Terms(
            batch.terms.origin,
            batch.at,
            batch.using,
            skip_refund=batch.terms.skip_refund,
        ),
        course=batch.offer.course,
    )
    # Filters are asked in the order of the rows.
    ordered = {key: found[key] for key in first if key in found}
    outcomes = each(deactivate, [*ordered.values()], using=batch.using)
    batch.settle(first, dict(zip(ordered, outcomes, strict=True)))


def _invite_strangers(batch: _Batch) -> None:
    strangers = dict(sorted(batch.strangers.items()))
    told = each(partial(_invite, batch), [*strangers.values()], using=batch.using)
    for position, status in zip(strangers, told, strict=True):
        if isinstance(status, CourseEnrollmentError):
            batch.say(position, "error", status)
        else:
            batch.say(position, status)


def _invite(batch: _Batch, addresses: Sequence[str]) -> list[BulkStatus]:
    """Invite addresses and give the status of each, as if one after the other."""
    course_id = batch.offer.course_id
    stored = CourseEnrollmentAllowed.objects.using(batch.using).order_by()
    known = stored.filter(course_id=course_id, email__in={*addresses})
    # Used by somebody who has another address now, or waiting to enroll already.
    settled = {
        invitation.email
        for invitation in known
        if invitation.user_id is not None or invitation.auto_enroll
    }
    waiting = {invitation.email for invitation in known} - settled
    new = dict.fromkeys(
        address
        for address in addresses
        if address not in settled and address not in waiting
    )
    granted = {
        "auto_enroll": True,
        "mode": batch.terms.mode or "",
        "actor_id": batch.terms.origin.actor_id,
        "reason": batch.terms.origin.reason,
    }
    insert_all(
        (
            CourseEnrollmentAllowed(
                **granted,
                email=address,
                course_id=course_id,
                created=for_database(batch.at),
            )
            for address in new
        ),
        using=batch.using,
        # Somebody else may be inviting the same address just now.
        ignore_conflicts=True,
    )
    if waiting:
        known.filter(email__in=waiting, user=None).update(**granted)
    if new or waiting:
        invited = {*new, *waiting}
        look_again = partial(invitations.redeem_for_addresses, invited, course_id)
        invitations.after_commit(look_again, using=batch.using)
    statuses: list[BulkStatus] = []
    for address in addresses:
        statuses.append("unchanged" if address in settled else "invited")
        settled.add(address)
    return statuses


def _uninvite(batch: _Batch) -> None:
    """Take back the unused invitations of all addresses, whatever they stand for."""
    addresses = {
        position: normalize_email(row.identifier)
        for position, row in enumerate(batch.rows)
        if row.kind == "email" and is_storable(row.identifier)
    }
    told = each(partial(_take_back, batch), [*addresses.values()], using=batch.using)
    for position, taken_back in zip(addresses, told, strict=True):
        result = batch.results.setdefault(
            position, _result(batch.rows[position], "unchanged")
        )
        if position in batch.users and result["status"] != "unchanged":
            continue
        if isinstance(taken_back, CourseEnrollmentError):
            batch.say(position, "error", taken_back)
        elif taken_back:
            batch.say(position, "uninvited")


def _take_back(batch: _Batch, addresses: Sequence[str]) -> list[bool]:
    """Take back unused invitations, and tell of each address whether it had one."""
    unused = CourseEnrollmentAllowed.objects.using(batch.using).order_by()
    unused = unused.unused().filter(
        course_id=batch.offer.course_id, email__in={*addresses}
    )
    found = set(unused.values_list("email", flat=True))
    if found:
        unused.filter(email__in=found).delete()
    told = []
    for address in addresses:
        told.append(address in found)
        found.discard(address)
    return told
