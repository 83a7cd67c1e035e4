"""
One whole transaction for each change, however many processes make changes at once.

Note [Decide first, write once]: a change is decided from plain reads, then written in
one short transaction whose statements prove that what was read still holds: a unique
constraint for a new row, the old values in the ``WHERE`` of an update, a lock for
seats. A proof that fails is a :class:`Conflict`: everything is rolled back, read and
decided again. No lock is held while deciding, and SQLite, which refuses a transaction
that reads first and writes later, always gets the write first.

Note [Above READ COMMITTED]: a host may have its transactions keep the snapshot they
begin with. What such a one reads after waiting for a lock may be out of date, and only
PostgreSQL's refusal to write over a change it does not see, or a locking read of
MariaDB, makes up for it. So on PostgreSQL a row is locked by writing it, whatever the
level of the transaction: a lock alone would leave no trace that a snapshot conflicts
with. A transaction that is refused for it is retried in READ COMMITTED if it was begun
here; if it was begun by the caller, so must the retry be.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import IntegrityError, OperationalError, connections, router, transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from django_enrollments.context import Call, assigned, call_context, clear_readings
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.identifiers import find_course_id, find_username
from django_enrollments.models import CourseEnrollment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")
ViewT = TypeVar("ViewT", bound="Callable[..., object]")

#: How often a change is attempted before the caller gets an error.
ATTEMPTS = 12

#: Longest pause before the next attempt, in seconds per attempt made so far.
PAUSE_SECONDS = 0.01

#: Deadlock, lock wait time-out, and "record has changed since last read".
_MYSQL_CONFLICTS = frozenset({1020, 1205, 1213})
#: Serialization failure and deadlock.
_POSTGRESQL_CONFLICTS = frozenset({"40001", "40P01"})

#: The key of a call's readings under which it remembers SQLite's write lock.
_WRITE_LOCK = "write lock"

#: The attempts before the one under way, whose transaction begins here.
_retries: ContextVar[int | None] = ContextVar("enrollments_retries", default=None)
#: Whether that transaction is open: what happens in it is retried with it.
_is_within: ContextVar[bool] = ContextVar("enrollments_is_within", default=False)
#: The transaction that begins with the first write of a block, where there is one.
_lazy: ContextVar[_LazyTransaction | None] = ContextVar(
    "enrollments_lazy", default=None
)


class Conflict(Exception):  # noqa: N818 - an event, not an error for callers.
    """What a decision was based on has changed; it must be made again."""


class StateChanged(Conflict):
    """An enrollment has changed since the permission to change it was checked."""


def write_alias() -> str:
    """Return the database alias that enrollments are written to."""
    return router.db_for_write(CourseEnrollment)


def non_atomic(view: ViewT) -> ViewT:
    """
    Return a view that ``ATOMIC_REQUESTS`` opens no transaction for.

    A transaction that begins before the requester is read cannot take SQLite's write
    lock first, and one that writes before the body is read lets a slow client keep all
    others from writing.

    Args:
        view: A view that opens transactions itself.
    """
    for using in connections:
        transaction.non_atomic_requests(using)(view)
    return view


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a transaction is open, by ``atomic()`` or with autocommit off."""
    if connection.in_atomic_block:
        return True
    return connection.connection is not None and not connection.get_autocommit()


@contextmanager
def writing_call(at: datetime | None = None) -> Iterator[tuple[Call, str]]:
    """
    Join the call that is under way, or begin one, to read and write in one database.

    Within a transaction of the caller's, SQLite's write lock is taken first: to read
    first would fail as soon as another process has written.

    Args:
        at: As :func:`~django_enrollments.context.call_context` takes it.

    Yields:
        The call, and the alias that enrollments are written to and read from.
    """
    using = write_alias()
    connection: Any = connections[using]
    with call_context(at, using=using) as call:
        if (
            connection.vendor == "sqlite"
            and connection.in_atomic_block
            and _WRITE_LOCK not in call.readings
        ):
            take_sqlite_write_lock(using)
            call.readings[_WRITE_LOCK] = True
        yield call, using


@contextmanager
def write_transaction(using: str, *, reads_first: bool = True) -> Iterator[None]:
    """
    Open a transaction in which to write.

    SQLite begins transactions as readers and refuses to make a reader a writer once
    another process has written, so the write lock is taken first.

    Args:
        reads_first: Whether anything is read in it before the first write.
    """
    lazy = _lazy.get()
    if lazy is not None:
        lazy.begin()
    is_within = _is_retried_with_attempt(using)
    # The block alone is within: receivers of signals run at commit.
    with _atomic(using), assigned(_is_within, is_within):
        if connections[using].vendor == "sqlite" and reads_first:
            take_sqlite_write_lock(using)
        yield


@contextmanager
def _atomic(using: str) -> Iterator[None]:
    connection = connections[using]
    is_outermost = connection.get_autocommit()
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql" and is_outermost and _retries.get():
            # See Note [Above READ COMMITTED].
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield


def _is_retried_with_attempt(using: str) -> bool:
    """Return whether a transaction that begins now is retried with the attempt."""
    is_outermost = connections[using].get_autocommit()
    return _is_within.get() or (is_outermost and _retries.get() is not None)


@contextmanager
def lazy_transaction(using: str) -> Iterator[None]:
    """
    Make one transaction of a block, begun no earlier than by its first write.

    What is decided before the write, by filters and backends that may take their time,
    is decided outside of it; see Note [Decide first, write once].
    """
    is_within = _is_retried_with_attempt(using)
    with ExitStack() as stack:
        lazy = _LazyTransaction(using, stack, _lazy.get())
        with assigned(_lazy, lazy), assigned(_is_within, is_within):
            yield


class _LazyTransaction:
    """A transaction that begins on request and ends with a stack."""

    def __init__(
        self, using: str, stack: ExitStack, outer: _LazyTransaction | None
    ) -> None:
        self._using = using
        self._stack = stack
        self._outer = outer
        self._has_begun = False

    def begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            if self._outer is not None:
                self._outer.begin()
            self._stack.enter_context(_atomic(self._using))


def take_sqlite_write_lock(using: str) -> None:
    """
    Make the transaction SQLite's only writer, waiting as long as the host's timeout.

    Args:
        using: Alias of a SQLite database, within a transaction.
    """
    # An update that matches no row changes nothing and takes the lock all the same.
    table = CourseEnrollment._meta.db_table
    with connections[using].cursor() as cursor:
        cursor.execute(f'UPDATE "{table}" SET "id" = "id" WHERE "id" = 0')  # noqa: S608 - Names only.


@contextmanager
def conflict_on_integrity_error() -> Iterator[None]:
    """
    Raise ``Conflict`` where the database refuses what a transaction refers to.

    A user or an enrollment may be deleted after it was read. PostgreSQL and SQLite
    notice at commit, so this goes around the transaction.

    Raises:
        Conflict: The database raised an ``IntegrityError``.
    """
    try:
        yield
    except IntegrityError as error:
        raise Conflict from error


def lock_row(row: QuerySet[Any]) -> None:
    """
    Keep other transactions from locking or changing a row until commit.

    Args:
        row: A queryset of one row, whose database has row locks, in a transaction.

    Raises:
        Conflict: There is no such row (any more), so nothing is locked.
    """
    row = row.order_by()
    if connections[row.db].vendor == "postgresql":
        # See Note [Above READ COMMITTED]. Indexes and foreign keys are not concerned.
        key = row.model._meta.pk.attname
        is_locked = row.update(**{key: F(key)}) > 0
    else:
        is_locked = len(row.select_for_update().values_list("pk")) > 0
    if not is_locked:
        raise Conflict


def lock_enrollment(enrollment: CourseEnrollment, *, using: str) -> None:
    """
    Keep other transactions from changing an enrollment until commit.

    Args:
        enrollment: The saved row.

    Raises:
        Conflict: The row has been deleted.
    """
    if connections[using].vendor != "sqlite":
        rows = CourseEnrollment._base_manager.using(using)
        lock_row(rows.filter(pk=enrollment.pk))


#: Username, course id and state of the enrollment that a permission was checked for,
#: where the state is mode and activation, or ``None`` without an enrollment.
_expected: ContextVar[tuple[str | None, str | None, Any] | None] = ContextVar(
    "enrollments_expected", default=None
)


def expected_state(
    username: object, course_id: object, enrollment: Mapping[str, Any] | None
) -> AbstractContextManager[object]:
    """
    Have each change of an enrollment prove that it still is as it was checked.

    Args:
        username: The learner's username.
        enrollment: The enrollment dictionary that was read, or ``None``.
    """
    state = enrollment and (enrollment["mode"], enrollment["is_active"])
    expected = (find_username(username), find_course_id(course_id), state)
    return assigned(_expected, expected)


def no_expected_state() -> AbstractContextManager[object]:
    """Leave :func:`expected_state`, for code of hosts that may change enrollments."""
    return assigned(_expected, None)


@contextmanager
def host_code() -> Iterator[None]:
    """
    Leave the attempt under way, for code of the host that runs before its first write.

    What that code changes is expected to change, and is written and retried in
    transactions of its own.
    """
    with assigned(_expected, None), assigned(_lazy, None), assigned(_is_within, False):
        yield


def check_expected_state(
    user: Any, course_id: str, enrollment: CourseEnrollment | None
) -> None:
    """
    Compare an enrollment about to be changed with the one that was checked.

    The write itself proves that it does not change any more until then.

    Args:
        enrollment: The row as read, or ``None``.

    Raises:
        StateChanged: Its mode or activation differs.
    """
    expected = _expected.get()
    # A host may have stored a name that is not normalized.
    if expected and expected[:2] == (find_username(user.get_username()), course_id):
        state = enrollment and (enrollment.mode, enrollment.is_active)
        if state != expected[2]:
            raise StateChanged


def retry_on_conflict(attempt: Callable[[bool], T], *, using: str) -> T:
    """
    Call ``attempt`` until it meets no conflict.

    Args:
        attempt: Decides and writes. Its argument is whether to lock the rows that it
            reads, which attempts within a transaction of the caller's need in the end,
            to see beyond the snapshot of that transaction. The second attempt does not
            lock yet: MariaDB leaves a share of a row's lock to all transactions that
            tried to insert it twice, and each would wait for the others.

    Returns:
        What ``attempt`` returned.

    Raises:
        CourseEnrollmentError: Conflicts did not end.
        Conflict: This is part of a larger attempt, which is retried as a whole.
        OperationalError: The database failed otherwise, or ended a transaction that
            was begun by the caller, and that only the caller can retry.
    """
    if _is_within.get():
        return attempt(False)
    connection = connections[using]
    is_ours = connection.get_autocommit()
    conflict: Exception
    for number in range(ATTEMPTS):
        retries = number if is_ours else _retries.get()
        try:
            with assigned(_retries, retries), call_context(using=using):
                return attempt(number > 1 and not is_ours)
        except Conflict as error:
            if isinstance(error, StateChanged) and _expected.get():
                # The attempt around this one checks the permission again.
                raise
            conflict = error
        except OperationalError as error:
            if not (is_ours and _is_conflict(connection, error)):
                raise
            conflict = error
        clear_readings()
        if is_ours:
            time.sleep(random.uniform(0, PAUSE_SECONDS * (number + 1)))  # noqa: S311 - not a secret.
    text = _("Too many changes at once; try again in a moment.")
    raise CourseEnrollmentError(text) from conflict


def _is_conflict(connection: BaseDatabaseWrapper, error: OperationalError) -> bool:
    if connection.vendor == "mysql":
        return bool(error.args) and error.args[0] in _MYSQL_CONFLICTS
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) in _POSTGRESQL_CONFLICTS
