"""Work for many at once, such that what fails for one fails for that one alone."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections

from django_enrollments.core.transactions import is_in_transaction
from django_enrollments.errors import CourseEnrollmentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

#: How long to wait for a database that is gone or locked, before each further try.
PAUSES_SECONDS = (0.1, 0.5, 2.0)

#: Lock wait time-out and deadlock.
_MYSQL_LOCKS = frozenset({1205, 1213})
#: Serialization failure, deadlock, and lock not available.
_POSTGRESQL_LOCKS = frozenset({"40001", "40P01", "55P03"})


def each(
    work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], *, using: str
) -> list[R | CourseEnrollmentError]:
    """
    Do work on all items together; where that fails, on each half of them by itself.

    So a row that the database refuses, or at which a filter of the host's raises,
    costs nobody else their place. A database that is gone or locked is given some
    time; if that does not help, no row is to blame, and all of them have failed.

    Args:
        work: Does the whole of it for some items and gives one result for each, in
            order; or raises, and has done nothing.
        items: What to work on.
        using: Database alias that it works on.

    Returns:
        One result per item, in order; where the work failed, an error.

    Raises:
        django.db.Error: The database failed in a transaction of the caller's that is
            of no more use, so that only they can go on.
    """
    connection = connections[using]
    results: list[R | CourseEnrollmentError] = []
    waiting = [items] if items else []
    is_logged = False
    while waiting:
        some = waiting.pop()
        try:
            results += patiently(partial(work, some), using=using)
            continue
        except CourseEnrollmentError as refusal:
            error = refusal
            is_nobodys = False
        except Exception as failure:
            if is_in_transaction(connection) and _has_ended(connection, failure):
                raise
            error = CourseEnrollmentError(f"Unexpected {type(failure).__name__}.")
            is_nobodys = _may_pass(connection, failure)
            if not is_logged:
                is_logged = True
                # The text of a database's error may hold a name or an address.
                shown = None if _is_of_database(connection, failure) else failure
                logger.error("Rows of a bulk failed: %s", error, exc_info=shown)
        if is_nobodys or len(some) == 1:
            results += [error] * len(some)
        else:
            middle = len(some) // 2
            waiting += [some[middle:], some[:middle]]
    return results


def patiently(work: Callable[[], T], *, using: str) -> T:
    """
    Do work again where the database is gone or locked, for a few seconds.

    Args:
        work: Does the whole of it, or raises and has done nothing.
        using: Database alias that it works on.

    Returns:
        What ``work`` returned.

    Raises:
        django.db.Error: Time did not help, or the transaction is the caller's.
    """
    connection = connections[using]
    for pause in PAUSES_SECONDS:
        try:
            return work()
        except _list_passing(connection) as error:
            if is_in_transaction(connection) or not _may_pass(connection, error):
                raise
            if _is_lost(connection):
                # The next statement connects anew, whatever a driver says to the end
                # of what has ended.
                with suppress(*_list_passing(connection)):
                    connection.close()
        time.sleep(pause)
    return work()


def _has_ended(connection: BaseDatabaseWrapper, error: Exception) -> bool:
    """Return whether a failure has made the transaction under way useless."""
    if not _is_of_database(connection, error):
        return False
    is_broken = connection.needs_rollback or _is_lost(connection)
    return is_broken or _may_pass(connection, error)


def _is_of_database(connection: BaseDatabaseWrapper, error: Exception) -> bool:
    return isinstance(error, (Error, _find_driver(connection).Error))


def _list_passing(connection: BaseDatabaseWrapper) -> tuple[type[Exception], ...]:
    """
    List the errors that may be about the database's state rather than the rows.

    The driver's own are among them: Django closes a cursor after a failure, and where
    mysqlclient finds the connection gone, what that raises comes through as it is.
    """
    driver = _find_driver(connection)
    return (
        OperationalError,
        InterfaceError,
        driver.OperationalError,
        driver.InterfaceError,
    )


def _find_driver(connection: Any) -> Any:
    """Return the PEP 249 module that every one of Django's backends names."""
    return connection.Database


def _is_lost(connection: BaseDatabaseWrapper) -> bool:
    return connection.connection is None or not connection.is_usable()


def _may_pass(connection: BaseDatabaseWrapper, error: Exception) -> bool:
    """Return whether it is for reasons of the database's own that something failed."""
    if not isinstance(error, _list_passing(connection)):
        return False
    if _is_lost(connection):
        return True
    if connection.vendor == "sqlite":
        return "locked" in str(error)
    if connection.vendor == "mysql":
        return bool(error.args) and error.args[0] in _MYSQL_LOCKS
    return getattr(error.__cause__, "sqlstate", None) in _POSTGRESQL_LOCKS
