"""
How a change becomes one whole transaction, however many are at it at once.

Note [Decide first, write once]: a change is decided from plain reads, then written in
one short transaction whose statements prove that what was read still holds: a unique
constraint for a new row, the old values in the ``WHERE`` of an update, a lock for
seats. A proof that fails is a :class:`Conflict`: everything is rolled back, read and
decided anew. No lock is held while deciding, and SQLite, which refuses a transaction
that reads first and writes later, always sees the write first.

Note [Above READ COMMITTED]: a host may have its transactions keep the snapshot they
begin with. What such a one reads after waiting for a lock may be out of date, and only
PostgreSQL's refusal to write over a change it does not see, or a locking read of
MariaDB, makes up for it. So on PostgreSQL a row is locked by writing it, whatever the
level of who locks it: a lock alone would leave no trace for a snapshot to trip over. A
transaction that is refused so is repeated in READ COMMITTED if it was begun here; if
it was begun by the caller, so must the repetition be.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import django
from django.db import IntegrityError, OperationalError, connections, router, transaction
from django.db.models import F, Model, QuerySet

from django_enrollments.context import forget_readings, reading_from
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.identifiers import find_course_id, find_username
from django_enrollments.models import CourseEnrollment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=Model)
ViewT = TypeVar("ViewT", bound="Callable[..., object]")

#: How often a change is decided anew before the caller is told to try again.
ATTEMPTS = 12

#: Longest pause before deciding anew, in seconds per attempt made so far.
PAUSE_SECONDS = 0.01

#: What SQLite allows in one statement since version 3.32.
_SQLITE_PARAMETERS = 32_766

_DJANGO_SPLITS_TOO_OFTEN = django.VERSION < (
    6,
    0,
) and sqlite3.sqlite_version_info >= (3, 32)

#: Deadlock, lock wait time-out, and "record has changed since last read".
_MYSQL_CONFLICTS = frozenset({1020, 1205, 1213})
#: Serialization failure and deadlock.
_POSTGRESQL_CONFLICTS = frozenset({"40001", "40P01"})


class Conflict(Exception):  # noqa: N818 - an event, not an error for callers.
    """Somebody else changed what a decision rests on; it must be made anew."""


class Overtaken(Conflict):
    """An enrollment is no longer as the permission to change it was judged."""


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
    """
    Return whether a transaction is open, by ``atomic()`` or with autocommit off.

    Args:
        connection: A connection, which is not opened to find out.
    """
    if connection.in_atomic_block:
        return True
    return connection.connection is not None and not connection.get_autocommit()


def begin_writing() -> str:
    """
    Return that alias, and prepare it for reading what is about to be changed.

    Within a transaction of the caller's, SQLite's write lock is taken first, once: to
    read first would fail at once as soon as somebody else has written.
    """
    using = write_alias()
    connection: Any = connections[using]
    if connection.vendor == "sqlite" and connection.in_atomic_block:
        # Each transaction begins with a list of its own.
        hooks = connection.run_on_commit
        # Only this process can write to a database in its memory.
        is_alone = connection.is_in_memory_db()
        if not is_alone and _writers.get(connection) is not hooks:
            take_sqlite_write_lock(using)
            _writers[connection] = hooks
    return using


#: By connection to SQLite, what is to run on commit of the last transaction of a
#: caller's that has the write lock.
_writers: WeakKeyDictionary[BaseDatabaseWrapper, object] = WeakKeyDictionary()


@contextmanager
def deciding() -> Iterator[None]:
    """Read from where enrollments are written; decorates functions that write them."""
    # See Note [Decide on the primary] in ``calls``.
    with reading_from(begin_writing()):
        yield


#: How many attempts came before the one under way, whose transaction begins here.
_repetitions: ContextVar[int | None] = ContextVar(
    "enrollments_repetitions", default=None
)
#: Whether that transaction is open: what happens in it is repeated with it.
_is_within: ContextVar[bool] = ContextVar("enrollments_is_within", default=False)


def is_repeated() -> bool:
    """Return whether the attempt repeats a transaction that was begun here."""
    return bool(_repetitions.get())


@contextmanager
def write_transaction(using: str, *, reads_first: bool = True) -> Iterator[None]:
    """
    Open a transaction in which to write.

    SQLite begins transactions as readers and refuses to make a reader a writer once
    somebody else has written, so the write lock is taken first.

    Args:
        using: Database alias.
        reads_first: Whether anything is read in it before the first write.
    """
    whole = _whole.get()
    if whole is not None:
        whole.begin()
    is_within = _is_repeated_with_the_attempt(using)
    with _transaction(using), _setting(_is_within, is_within):
        if connections[using].vendor == "sqlite" and reads_first:
            take_sqlite_write_lock(using)
        yield


@contextmanager
def whole_transaction(using: str) -> Iterator[None]:
    """
    Make one transaction of a block, begun no earlier than by its first write.

    What is decided before that, by filters and backends that may take their time, is
    decided outside as ever; see Note [Decide first, write once].

    Args:
        using: Database alias. Nothing in the block may open a transaction of its own
            around one :func:`write_transaction` and not around the others.
    """
    with ExitStack() as transactions:
        whole = _Whole(using, transactions, within=_whole.get())
        is_within = _is_repeated_with_the_attempt(using)
        with _setting(_whole, whole), _setting(_is_within, is_within):
            yield


class _Whole:
    """A transaction that begins when it is told to and ends with a block."""

    def __init__(
        self, using: str, transactions: ExitStack, *, within: _Whole | None
    ) -> None:
        self._using = using
        self._transactions = transactions
        self._within = within
        self._has_begun = False

    def begin(self) -> None:
        if not self._has_begun:
            if self._within is not None:
                self._within.begin()
            self._has_begun = True
            self._transactions.enter_context(_transaction(self._using))


#: The transaction of the block under way, where it has one.
_whole: ContextVar[_Whole | None] = ContextVar("enrollments_whole", default=None)


@contextmanager
def _transaction(using: str) -> Iterator[None]:
    connection = connections[using]
    is_outermost = connection.get_autocommit()
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql" and is_outermost and is_repeated():
            # See Note [Above READ COMMITTED].
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield


def _is_repeated_with_the_attempt(using: str) -> bool:
    """Return whether a transaction that begins now is repeated with the attempt."""
    is_outermost = connections[using].get_autocommit()
    return _is_within.get() or (is_outermost and _repetitions.get() is not None)


@contextmanager
def _setting(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def take_sqlite_write_lock(using: str) -> None:
    """
    Make the transaction SQLite's only writer, waiting as long as the host's timeout.

    Args:
        using: Alias of a SQLite database, within a transaction.
    """
    # An update that matches no row changes nothing and takes the lock all the same.
    connection = connections[using]
    quote, own = connection.ops.quote_name, CourseEnrollment._meta
    table, key = quote(own.db_table), quote(own.pk.column)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {key} = {key} WHERE {key} = 0")  # noqa: S608 - Names only.


def insert_all(
    rows: Iterable[ModelT], *, using: str, ignore_conflicts: bool = False
) -> list[ModelT]:
    """
    Insert rows in as few statements as the database really takes.

    Before version 6.0 Django splits at 999 parameters on SQLite, a limit that SQLite
    itself raised to 32,766 in 2020; later versions ask SQLite.

    Args:
        rows: New instances of one model.
        using: Database alias.
        ignore_conflicts: Whether to pass over those that are there already.

    Returns:
        The instances, with keys where the database returns them.
    """
    new = list(rows)
    if not new:
        return new
    manager = type(new[0])._base_manager.using(using)
    connection = connections[using]
    if connection.vendor != "sqlite" or not _DJANGO_SPLITS_TOO_OFTEN:
        return manager.bulk_create(new, ignore_conflicts=ignore_conflicts)
    features = connection.features
    known = features.max_query_params
    features.max_query_params = _SQLITE_PARAMETERS
    try:
        return manager.bulk_create(new, ignore_conflicts=ignore_conflicts)
    finally:
        features.max_query_params = known


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
    Keep everybody else from locking or changing a row until commit.

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
    Keep everybody else from changing an enrollment until commit.

    Args:
        enrollment: The saved row.
        using: Database alias, within :func:`write_transaction`.

    Raises:
        Conflict: The row has been deleted.
    """
    if connections[using].features.has_select_for_update:
        rows = CourseEnrollment._base_manager.using(using)
        lock_row(rows.filter(pk=enrollment.pk))


#: Username, course id and state of the enrollment that a change was judged by, where
#: the state is mode and activation, or ``None`` without an enrollment.
_judged: ContextVar[tuple[str | None, str | None, Any] | None] = ContextVar(
    "enrollments_judged", default=None
)


@contextmanager
def judged_by(
    username: object, course_id: object, enrollment: Mapping[str, Any] | None
) -> Iterator[None]:
    """
    Have every change of an enrollment prove that it still is as it was judged.

    Args:
        username: The learner's username.
        course_id: The course id.
        enrollment: The enrollment dictionary that was read, or ``None``.
    """
    state = enrollment and (enrollment["mode"], enrollment["is_active"])
    judged = (find_username(username), find_course_id(course_id), state)
    with _setting(_judged, judged):
        yield


@contextmanager
def unjudged() -> Iterator[None]:
    """Leave :func:`judged_by`, for code of hosts that may change enrollments."""
    with _setting(_judged, None):
        yield


def prove_judgement(
    user: Any, course_id: str, enrollment: CourseEnrollment | None
) -> None:
    """
    Compare an enrollment about to be changed with the one that was judged.

    The write itself proves that it does not change any more until then.

    Args:
        user: The learner.
        course_id: The course id.
        enrollment: The row as read, or ``None``.

    Raises:
        Overtaken: Its mode or activation differs.
    """
    judged = _judged.get()
    # A host may have stored a name that is not normalized.
    if judged and judged[:2] == (find_username(user.get_username()), course_id):
        state = enrollment and (enrollment.mode, enrollment.is_active)
        if state != judged[2]:
            raise Overtaken


def until_settled(attempt: Callable[[bool], T], *, using: str) -> T:
    """
    Call ``attempt`` until it meets no conflict.

    Args:
        attempt: Decides and writes; its argument tells whether to lock the rows it
            reads, which attempts within somebody else's transaction must in the end,
            to see beyond that transaction's snapshot. The second one need not yet:
            MariaDB leaves a share of a row's lock to all who tried to insert it twice,
            and each of them would wait for the others to lock it alone.
        using: Database alias it writes to.

    Returns:
        What ``attempt`` returned.

    Raises:
        CourseEnrollmentError: Conflicts did not end.
        Conflict: This is part of a larger attempt, which is to be repeated as a whole.
        OperationalError: The database failed otherwise, or ended a transaction that
            was begun by the caller, who alone can repeat it.
    """
    if _is_within.get():
        return attempt(False)
    connection = connections[using]
    is_ours = connection.get_autocommit()
    conflict: Exception
    for number in range(ATTEMPTS):
        token = _repetitions.set(number if is_ours else _repetitions.get())
        try:
            # See Note [Decide on the primary] in ``calls``.
            with reading_from(using):
                return attempt(number > 1 and not is_ours)
        except Conflict as error:
            if isinstance(error, Overtaken) and _judged.get():
                # It is judged anew by the attempt around this one.
                raise
            conflict = error
        except OperationalError as error:
            if not (is_ours and _is_conflict(connection, error)):
                raise
            conflict = error
        finally:
            _repetitions.reset(token)
        forget_readings()
        if is_ours:
            time.sleep(random.uniform(0, PAUSE_SECONDS * (number + 1)))  # noqa: S311 - not a secret.
    raise CourseEnrollmentError(
        "Too many changes at once; try again in a moment."
    ) from conflict


def _is_conflict(connection: BaseDatabaseWrapper, error: OperationalError) -> bool:
    if connection.vendor == "mysql":
        return bool(error.args) and error.args[0] in _MYSQL_CONFLICTS
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) in _POSTGRESQL_CONFLICTS
