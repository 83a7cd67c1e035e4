"""Many learners at once, batch by batch; a bad row never stops a good one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from django_enrollments.enrolling import lifecycle
from django_enrollments.enrolling.access import judge_mode
from django_enrollments.enrolling.catalog import CourseOffer, get_offer
from django_enrollments.enrolling.learners import (
    find_users_by_email,
    find_users_by_key,
    find_users_by_name,
    is_saved,
)
from django_enrollments.enrolling.transactions import insert_all, write_alias
from django_enrollments.errors import CourseEnrollmentError, UserNotFoundError
from django_enrollments.keys import MAX_TEXT, is_storable, normalize_email
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.moments import for_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from django_enrollments.calls import Call, Origin
    from django_enrollments.enrolling.plans import Outcome

#: How many rows are decided and committed together.
ROWS_PER_BATCH = 500

#: What a bulk may do.
ACTIONS = ("enroll", "unenroll")


@dataclass(frozen=True)
class BulkTerms:
    """
    What one bulk does, the same for all its rows.

    Attributes:
        offer: The course.
        mode: Mode slug; ``None`` for the default, and for leaving active learners be.
        force: Whether window and invitations are lifted.
        over_capacity: Whether seats are.
        origin: Who does it, from where and why.
        call: The call under way.
        using: Database alias to write to.
        skip_refund: Whether whoever refunds should leave those who go alone.
    """

    offer: CourseOffer
    mode: str | None
    force: bool
    over_capacity: bool
    origin: Origin
    call: Call
    using: str
    skip_refund: bool = False


@dataclass(frozen=True)
class Row:
    """
    One row: whom it means.

    Attributes:
        identifier: A username, an e-mail address, a user's key or an instance.
        kind: Which of these it is; instances count as keys.
    """

    identifier: Any
    kind: str


@dataclass
class _Batch:
    """Rows that are decided and committed together."""

    rows: Sequence[Row]
    results: list[dict[str, Any] | None] = field(init=False)
    users: dict[int, Any] = field(default_factory=dict)
    strangers: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.results = [None] * len(self.rows)

    def say(self, position: int, status: str, error: Exception | None = None) -> None:
        """Give a row its result."""
        identifier = self.rows[position].identifier
        if hasattr(identifier, "get_username"):
            identifier = identifier.get_username()
        self.results[position] = {
            "identifier": identifier
            if isinstance(identifier, str | int) or identifier is None
            else str(identifier),
            "status": status,
            "code": getattr(error, "code", None),
            "message": str(error) if error else "",
        }

    def repeat(self, earlier: int, position: int) -> None:
        """Give a row the refusal of an earlier one, or tell that it changes nothing."""
        self.say(position, "unchanged")
        told, result = self.results[earlier], self.results[position]
        if told and result and told["status"] == "error":
            result.update(told, identifier=result["identifier"])


def run(
    rows: Iterable[Row],
    course_id: object,
    *,
    action: str,
    mode: str | None,
    force: bool,
    over_capacity: bool,
    skip_refund: bool,
    origin: Origin,
    call: Call,
) -> Iterator[dict[str, Any]]:
    """
    Check what all rows have in common, then work through them.

    Args:
        rows: Whom; read as the batches need them.
        course_id: The course id, or an instance of the host's course model.
        action: One of ``ACTIONS``.
        mode: As in :class:`BulkTerms`.
        force: As in :class:`BulkTerms`.
        over_capacity: As in :class:`BulkTerms`.
        skip_refund: As in :class:`BulkTerms`.
        origin: As in :class:`BulkTerms`.
        call: As in :class:`BulkTerms`.

    Returns:
        An iterator of one result per row, in order.

    Raises:
        CourseNotFoundError: There is no such course.
        CourseModeNotFoundError: The course does not offer the mode now.
        CourseEnrollmentError: The action is unknown.
    """
    using = write_alias()
    if action not in ACTIONS:
        raise CourseEnrollmentError(f"'{action}' is neither enroll nor unenroll.")
    offer = get_offer(course_id, call, using)
    if mode is not None and action == "enroll":
        refusal = judge_mode(mode, offer, at=call.at)
        if refusal:
            raise refusal.error
    if over_capacity and not origin.reason:
        origin = replace(origin, reason=lifecycle.OVER_CAPACITY)
    terms = BulkTerms(
        offer=offer,
        mode=mode,
        force=force,
        over_capacity=over_capacity,
        origin=origin,
        call=call,
        using=using,
        skip_refund=skip_refund,
    )
    work = enroll_rows if action == "enroll" else unenroll_rows
    return work(rows, terms)


def enroll_rows(rows: Iterable[Row], terms: BulkTerms) -> Iterator[dict[str, Any]]:
    """
    Enroll learners and invite strangers, batch by batch.

    Args:
        rows: Whom; read as the batches need them.
        terms: What is done.

    Yields:
        One result per row, in order, as the contract describes it.
    """
    for batch in _batches(rows):
        _resolve(batch, terms.using)
        _enroll_known(batch, terms)
        _invite_strangers(batch, terms)
        yield from _told(batch)


def unenroll_rows(rows: Iterable[Row], terms: BulkTerms) -> Iterator[dict[str, Any]]:
    """
    Take learners out and unused invitations back, batch by batch.

    Args:
        rows: Whom; read as the batches need them.
        terms: What is done.

    Yields:
        One result per row, in order, as the contract describes it.
    """
    for batch in _batches(rows):
        _resolve(batch, terms.using)
        _unenroll_known(batch, terms)
        _uninvite(batch, terms)
        yield from _told(batch)


def _batches(rows: Iterable[Row]) -> Iterator[_Batch]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, ROWS_PER_BATCH)):
        yield _Batch(chunk)


def _told(batch: _Batch) -> Iterator[dict[str, Any]]:
    for result in batch.results:
        assert result is not None  # noqa: S101 - every row has been given one.
        yield result


def _resolve(batch: _Batch, using: str) -> None:
    """Find the users of a batch: one query per kind of identifier."""
    by_kind: dict[str, list[int]] = {}
    for position, row in enumerate(batch.rows):
        by_kind.setdefault(row.kind, []).append(position)
    for kind, positions in by_kind.items():
        if kind == "email":
            _resolve_emails(batch, positions, using)
            continue
        identifiers = [batch.rows[position].identifier for position in positions]
        find = find_users_by_name if kind == "username" else _find_by_key
        users = find(identifiers, using)
        for position, identifier in zip(positions, identifiers, strict=True):
            user = users.get(identifier) if _is_hashable(identifier) else None
            if user is None:
                text = f"Not user with username '{identifier}' found."
                batch.say(position, "error", UserNotFoundError(text))
            else:
                batch.users[position] = user


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


def _resolve_emails(batch: _Batch, positions: Sequence[int], using: str) -> None:
    addresses = {}
    for position in positions:
        address = batch.rows[position].identifier
        if (
            isinstance(address, str)
            and "@" in address
            and is_storable(address, MAX_TEXT)
        ):
            addresses[position] = normalize_email(address)
        else:
            text = f"'{address}' is no e-mail address."
            batch.say(position, "error", UserNotFoundError(text))
    users = find_users_by_email({*addresses.values()}, using)
    for position, address in addresses.items():
        found = users.get(address, [])
        if len(found) > 1:
            text = f"Several users have the e-mail address '{address}'."
            batch.say(position, "error", CourseEnrollmentError(text))
        elif found:
            batch.users[position] = found[0]
        else:
            batch.strangers[position] = address


def _first_positions(users: Mapping[int, Any]) -> dict[Any, int]:
    """Give the first row of every learner; later ones find the work done."""
    first: dict[Any, int] = {}
    for position, user in users.items():
        first.setdefault(user.pk, position)
    return first


def _enroll_known(batch: _Batch, terms: BulkTerms) -> None:
    in_order = dict(sorted(batch.users.items()))
    first = _first_positions(in_order)
    users = [in_order[position] for position in first.values()]
    for position, outcome in zip(
        first.values(), _enroll_all(users, terms), strict=True
    ):
        if isinstance(outcome, CourseEnrollmentError):
            batch.say(position, "error", outcome)
        elif outcome.refusal:
            batch.say(position, "error", outcome.refusal.error)
        else:
            batch.say(position, outcome.status)
    _repeat_results(batch, in_order, first)


def _repeat_results(
    batch: _Batch, in_order: Mapping[int, Any], first: Mapping[Any, int]
) -> None:
    """A learner named twice is unchanged the second time, or refused again."""
    for position, user in in_order.items():
        if position != first[user.pk]:
            batch.repeat(first[user.pk], position)


def _enroll_all(
    users: Sequence[Any], terms: BulkTerms
) -> list[Outcome | CourseEnrollmentError]:
    """Enroll a batch; when the batch as a whole fails, one by one."""
    if not users:
        return []
    rules = lifecycle.Terms(
        access=terms.force is not True,
        seats=terms.over_capacity is not True,
        if_active="change_mode",
    )
    try:
        return [
            *lifecycle.enroll(
                users,
                terms.offer,
                mode=terms.mode,
                terms=rules,
                origin=terms.origin,
                at=terms.call.at,
                using=terms.using,
            )
        ]
    except CourseEnrollmentError as error:
        if len(users) == 1:
            return [error]
        return [one for user in users for one in _enroll_all([user], terms)]


def _invite_strangers(batch: _Batch, terms: BulkTerms) -> None:
    if not batch.strangers:
        return
    invitations = CourseEnrollmentAllowed.objects.using(terms.using).order_by()
    course_id = terms.offer.course_id
    known = invitations.filter(
        course_id=course_id, email__in={*batch.strangers.values()}
    )
    # Used by somebody who has another address now, or waiting to enroll already.
    settled = {
        invitation.email
        for invitation in known
        if invitation.user_id is not None or invitation.auto_enroll
    }
    waiting = {invitation.email for invitation in known} - settled
    new = dict.fromkeys(
        address
        for address in batch.strangers.values()
        if address not in settled and address not in waiting
    )
    insert_all(
        (
            CourseEnrollmentAllowed(
                email=address,
                course_id=course_id,
                auto_enroll=True,
                created=for_database(terms.call.at),
            )
            for address in new
        ),
        using=terms.using,
        # Somebody else may be inviting the same address just now.
        ignore_conflicts=True,
    )
    if waiting:
        known.filter(email__in=waiting, user=None).update(auto_enroll=True)
    for position, address in sorted(batch.strangers.items()):
        batch.say(position, "unchanged" if address in settled else "invited")
        settled.add(address)


def _unenroll_known(batch: _Batch, terms: BulkTerms) -> None:
    if not batch.users:
        return
    in_order = dict(sorted(batch.users.items()))
    first = _first_positions(in_order)
    rows = CourseEnrollment.objects.using(terms.using).order_by()
    rows = rows.filter(course=terms.offer.key, user__in=list(first))
    enrollments = {row.user_id: row for row in rows}
    for key, row in enrollments.items():
        row.remember_user(in_order[first[key]])
    ordered = [enrollments[key] for key in first if key in enrollments]
    outcomes = dict(
        zip(
            (row.user_id for row in ordered),
            _deactivate_all(ordered, terms),
            strict=True,
        )
    )
    for key, position in first.items():
        outcome = outcomes.get(key)
        if outcome is None:
            batch.say(position, "unchanged")
        elif isinstance(outcome, CourseEnrollmentError):
            batch.say(position, "error", outcome)
        elif outcome.refusal:
            batch.say(position, "error", outcome.refusal.error)
        else:
            batch.say(position, outcome.status)
    _repeat_results(batch, in_order, first)


def _deactivate_all(
    rows: Sequence[CourseEnrollment], terms: BulkTerms
) -> list[Outcome | CourseEnrollmentError]:
    """Take a batch out; when the batch as a whole fails, one by one."""
    if not rows:
        return []
    try:
        return [
            *lifecycle.deactivate(
                rows,
                {terms.offer.key: terms.offer.course_id},
                origin=terms.origin,
                at=terms.call.at,
                using=terms.using,
                course=terms.offer.course,
                skip_refund=terms.skip_refund,
            )
        ]
    except CourseEnrollmentError as error:
        if len(rows) == 1:
            return [error]
        return [one for row in rows for one in _deactivate_all([row], terms)]


def _uninvite(batch: _Batch, terms: BulkTerms) -> None:
    """Take back the unused invitations of all addresses, with or without account."""
    addresses = {
        position: normalize_email(row.identifier)
        for position, row in enumerate(batch.rows)
        if row.kind == "email"
        and (position in batch.users or position in batch.strangers)
    }
    if not addresses:
        return
    unused = CourseEnrollmentAllowed.objects.using(terms.using).order_by()
    unused = unused.unused().filter(
        course_id=terms.offer.course_id, email__in={*addresses.values()}
    )
    taken_back = set(unused.values_list("email", flat=True))
    if taken_back:
        unused.filter(email__in=taken_back).delete()
    for position, address in addresses.items():
        result = batch.results[position]
        if result is None or result["status"] == "unchanged":
            status = "uninvited" if address in taken_back else "unchanged"
            batch.say(position, status)
            taken_back.discard(address)
