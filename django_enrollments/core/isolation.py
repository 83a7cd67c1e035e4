"""Work on many items at once, such that a failure of one item fails that one alone."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections, transaction

from django_enrollments.core.transactions import is_in_transaction
from django_enrollments.errors import CourseEnrollmentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

#: Pauses before each further attempt while the database is gone or locked.
PAUSES_SECONDS = (0.1, 0.5, 2.0)

#: Lock wait time-out and deadlock.
_MYSQL_LOCKS = frozenset({1205, 1213})
#: Serialization failure, deadlock, and lock not available.
_POSTGRESQL_LOCKS = frozenset({"40001", "40P01", "55P03"})


def isolate_failures(
    work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], *, using: str
) -> list[R | CourseEnrollmentError]:
    """
    Work on all items together; where that fails, on each half of them separately.

    So an item that the database refuses, or for which a filter of the host raises an
    error, fails alone. A database that is gone or locked is retried for some seconds;
    after that, all items have failed.

    Args:
        work: Returns one result for each item, in order, or raises an error and has
            written nothing.
        items: The items.

    Returns:
        One result per item, in order; an error for an item that failed.

    Raises:
        django.db.Error: The database has ended a transaction of the caller's.
    """
    results: list[R | CourseEnrollmentError] = []
    waiting = [items] if items else []
    is_logged = False
    while waiting:
        some = waiting.pop()
        try:
            results += retry_while_unavailable(partial(work, some), using=using)
            continue
        except CourseEnrollmentError as refusal:
            error, is_shared = refusal, False
        except Exception as failure:
            connection = connections[using]
            if is_in_transaction(connection) and _has_ended(connection, failure):
                raise
            error = CourseEnrollmentError(f"Unexpected {type(failure).__name__}.")
            is_shared = _is_temporary(connection, failure)
            if not is_logged:
                is_logged = True
                # The text of a database's error may hold a name or an address.
                shown = None if _is_of_database(failure) else failure
                logger.error("Rows of a bulk failed: %s", error, exc_info=shown)
        if is_shared or len(some) == 1:
            results += [error] * len(some)
        else:
            middle = len(some) // 2
            waiting += [some[middle:], some[:middle]]
    return results


def retry_while_unavailable(work: Callable[[], T], *, using: str) -> T:
    """
    Return the result of ``work``, retried for some seconds while a database is away.

    Args:
        work: Returns a result, or raises an error and has written nothing.

    Raises:
        django.db.Error: The database stayed gone or locked, or the transaction is the
            caller's.
    """
    connection = connections[using]
    for pause in PAUSES_SECONDS:
        try:
            return work()
        except Exception as error:
            if is_in_transaction(connection) or not _is_temporary(connection, error):
                raise
            if _is_lost(connection):
                # The next statement connects again, even if closing fails.
                with suppress(Exception):
                    connection.close()
        time.sleep(pause)
    return work()


def _has_ended(connection: Any, error: Exception) -> bool:
    """Return whether a failure has made the transaction under way useless."""
    if not _is_of_database(error):
        return False
    is_broken = connection.in_atomic_block and transaction.get_rollback(
        connection.alias
    )
    return is_broken or _is_lost(connection) or _is_temporary(connection, error)


def _is_of_database(error: Exception, *names: str) -> bool:
    """
    Return whether Django or the driver raised an error of one of these classes.

    Django closes a cursor after a failure, and where mysqlclient finds the connection
    gone, it raises its own error. All drivers name their errors as PEP 249 does.

    Args:
        names: Names of the classes; any error of a database without names.
    """
    known = {*names} if names else {"Error"}
    return any(kind.__name__ in known for kind in type(error).__mro__)


def _is_lost(connection: Any) -> bool:
    return connection.connection is None or not connection.is_usable()


def _is_temporary(connection: Any, error: Exception) -> bool:
    """Return whether a failure is about the state of the database, not the rows."""
    if not _is_of_database(error, "OperationalError", "InterfaceError"):
        return False
    if _is_lost(connection):
        return True
    if connection.vendor == "sqlite":
        return "locked" in str(error)
    if connection.vendor == "mysql":
        return bool(error.args) and error.args[0] in _MYSQL_LOCKS
    return getattr(error.__cause__, "sqlstate", None) in _POSTGRESQL_LOCKS
