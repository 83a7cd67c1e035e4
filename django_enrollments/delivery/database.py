"""Transactions and the clock of the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections, transaction
from django.db.models import DateTimeField
from django.db.models.functions import Now

from django_enrollments.core.transactions import (
    is_in_transaction,
    take_sqlite_write_lock,
    write_alias,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"


class DatabaseNow(Now):
    """The time of the database; in UTC, as its own time zone may repeat an hour."""

    output_field = DateTimeField()

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the SQL of MariaDB and MySQL."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)


def in_threads(tasks: Sequence[Callable[[], object]]) -> None:
    """Do tasks, each in a thread with autocommit, and raise the error of the first."""
    if tasks:
        with ThreadPoolExecutor(len(tasks)) as threads:
            list(threads.map(_disconnecting, tasks))


def _disconnecting(task: Callable[[], object]) -> None:
    try:
        # Without this setting it is on, and a thread may need no connection at all.
        if not settings.DATABASES[write_alias()].get("AUTOCOMMIT", True):
            autocommit()
        task()
    finally:
        disconnect()


def disconnect() -> None:
    """Close the connections of this thread."""
    # One that is lost may fail to close, and is gone all the same.
    with suppress(Exception):
        connections.close_all()


def autocommit() -> None:
    """Switch autocommit on, as a worker needs it, for this thread's connection."""
    connections[write_alias()].set_autocommit(True)


class TransactionLeftOpen(Exception):  # noqa: N818 - a failure of the event.
    """A consumer has begun a transaction and not ended it; it is rolled back."""


@contextmanager
def closing_transaction(using: str) -> Iterator[None]:
    """
    Roll back a transaction that a consumer leaves open.

    Raises:
        TransactionLeftOpen: It did so, and raised nothing.
    """
    connection = connections[using]
    was_open = is_in_transaction(connection)
    try:
        yield
    finally:
        is_left_open = not was_open and is_in_transaction(connection)
        if is_left_open:
            connection.close()
            # With a new one, what is left of the old one has no effect.
            del connections[using]
            autocommit()
    if is_left_open:
        raise TransactionLeftOpen


@contextmanager
def short_transaction(using: str) -> Iterator[None]:
    """
    Open a transaction of its own, in READ COMMITTED whatever the host's level.

    Each statement must see what was committed before it, and locks of gaps would make
    those who enroll wait on MariaDB. SQLite's write lock is taken first.

    Raises:
        RuntimeError: A transaction is open, or autocommit is off, so that one may be.
    """
    connection = connections[using]
    # Tests of hosts run in a transaction, whose level is fixed.
    is_outermost = not connection.in_atomic_block
    if is_outermost and not connection.get_autocommit():
        raise RuntimeError("The event feed needs a connection with autocommit.")
    if is_outermost and connection.vendor == "mysql":
        # It is for the next transaction.
        with connection.cursor() as cursor:
            cursor.execute(_READ_COMMITTED)
    with transaction.atomic(using=using, durable=True):
        if connection.vendor == "sqlite":
            take_sqlite_write_lock(using)
        elif is_outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(_READ_COMMITTED)
        yield
