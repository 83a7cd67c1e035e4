"""
Concurrent calls, each in a process and with a connection of its own.

The processes are forked from a server that has loaded Django and not pytest, so that
40 of them take little longer than one. All have connected, and have begun their
transaction if there is one, before the first call.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps

if not apps.ready:
    # In the server of processes, before modules that need the models.
    django.setup()

from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction
from psycopg import IsolationLevel

from django_enrollments import signals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

    from django_enrollments.signals import EventRecord

#: Longest wait for all processes; reached only when one of them hangs.
PATIENCE_SECONDS = 300

#: Starts processes, and makes the objects that they share.
processes = multiprocessing.get_context("forkserver")
# The second one needs the setup in the first.
processes.set_forkserver_preload(
    ["tests.processes.concurrent", "tests.processes.calls"]
)

_ANNOUNCEMENTS = (
    signals.enrollment_created,
    signals.enrollment_activated,
    signals.enrollment_deactivated,
    signals.enrollment_mode_changed,
)


@dataclass(frozen=True)
class Way:
    """
    How the processes connect.

    Attributes:
        name: Its name in reports.
        options: Options of the database, besides those of the tests, by vendor; tests
            are skipped on other vendors.
        in_transaction: Whether each call is made in a transaction of the caller.
        has_read: Whether the caller has read in it before.
        repeats: Whether the caller retries the transaction when the database ends it.
    """

    name: str
    options: Mapping[str, Mapping[str, Any]]
    in_transaction: bool = False
    has_read: bool = True
    repeats: bool = False


AUTOCOMMIT = Way("autocommit", {"sqlite": {}, "postgresql": {}, "mysql": {}})


#: Transactions that take SQLite's write lock at once, as many hosts configure.
IMMEDIATE = Way("BEGIN IMMEDIATE", {"sqlite": {"transaction_mode": "IMMEDIATE"}})

#: SQLite has no row locks to wait for in a transaction that has read.
IN_TRANSACTION = Way(
    "caller's transaction", {"postgresql": {}, "mysql": {}}, in_transaction=True
)
#: A transaction of the caller that has not read.
FIRST_IN_TRANSACTION = Way(
    "first in caller's transaction", {"sqlite": {}}, in_transaction=True, has_read=False
)

_REPEATABLE_READ = {
    "postgresql": {"isolation_level": IsolationLevel.REPEATABLE_READ},
    "mysql": {"isolation_level": "repeatable read"},
}
REPEATABLE_READ = Way("repeatable read", _REPEATABLE_READ)
REPEATABLE_READ_IN_TRANSACTION = Way(
    "repeatable read, caller's transaction",
    _REPEATABLE_READ,
    in_transaction=True,
    repeats=True,
)

#: The level is not in Django's settings; None keeps the default of MariaDB.
_SERVERS_LEVEL = {
    "postgresql": {"options": r"-c default_transaction_isolation=repeatable\ read"},
    "mysql": {"isolation_level": None},
}
SERVERS_LEVEL = Way("repeatable read by the server's default", _SERVERS_LEVEL)
SERVERS_LEVEL_IN_TRANSACTION = Way(
    "repeatable read by the server's default, caller's transaction",
    _SERVERS_LEVEL,
    in_transaction=True,
    repeats=True,
)

USUAL = (AUTOCOMMIT, IMMEDIATE, IN_TRANSACTION, FIRST_IN_TRANSACTION)
SNAPSHOTS_IN_TRANSACTION = (
    REPEATABLE_READ_IN_TRANSACTION,
    SERVERS_LEVEL_IN_TRANSACTION,
)
SNAPSHOTS = (REPEATABLE_READ, SERVERS_LEVEL, *SNAPSHOTS_IN_TRANSACTION)


@dataclass(frozen=True)
class Answer:
    """
    The outcome of one call.

    Attributes:
        value: What it returned.
        error: The class of the exception that it raised.
        text: The text of the exception.
        heard: The events of the signals that its process has sent.
    """

    value: Any = None
    error: type[Exception] | None = None
    text: str = ""
    heard: tuple[EventRecord, ...] = ()

    def unwrap(self):
        """Return the value; raise ``AssertionError`` if the call raised."""
        assert self.error is None, self
        return self.value


def at_once(
    calls: Sequence[Callable[[], Any]], way: Way | Sequence[Way] = AUTOCOMMIT
) -> list[Answer]:
    """
    Make every call in a process of its own, all at the same moment.

    Args:
        calls: Callables that can be pickled, such as a ``functools.partial`` of a
            function of the package.
        way: How the processes connect: all the same way, or each its own.

    Returns:
        One answer for each call, in order.
    """
    ways = [way] * len(calls) if isinstance(way, Way) else way
    barrier = processes.Barrier(len(calls))
    started = []
    for call, way in zip(calls, ways, strict=True):
        receiver, sender = processes.Pipe(duplex=False)
        arguments = (call, database_of(way), way, barrier, sender)
        process = processes.Process(target=_take_part, args=arguments, daemon=True)
        process.start()
        sender.close()
        started.append((process, receiver))
    deadline = time.monotonic() + PATIENCE_SECONDS
    answers = []
    try:
        for _, receiver in started:
            if not receiver.poll(max(0, deadline - time.monotonic())):
                raise TimeoutError(f"No answer within {PATIENCE_SECONDS} seconds.")
            answers.append(receiver.recv())
    finally:
        for process, receiver in started:
            if len(answers) < len(started):
                process.kill()
            process.join()
            process.close()
            receiver.close()
    return answers


def database_of(way: Way) -> dict[str, Any]:
    """Return the settings with which a process connects to the tests' database."""
    return {
        "NAME": connection.settings_dict["NAME"],
        "OPTIONS": {
            **connection.settings_dict["OPTIONS"],
            **way.options[connection.vendor],
        },
    }


def record_events() -> list[EventRecord]:
    """Return a list to which every event is added that this process sends."""
    heard: list[EventRecord] = []

    def listen(event: EventRecord, **kwargs):
        heard.append(event)

    for announcement in _ANNOUNCEMENTS:
        announcement.connect(listen, weak=False)
    return heard


def _take_part(
    call: Callable[[], Any],
    database: dict[str, Any],
    way: Way,
    barrier: Barrier,
    sender: Connection,
):
    """Connect, wait for the others, call, and send the answer."""
    connection.settings_dict.update(database)
    heard = record_events()
    all_are_ready = False
    answer = None
    while answer is None:
        try:
            with transaction.atomic() if way.in_transaction else nullcontext():
                if way.has_read:
                    # From here on, a transaction that keeps a snapshot has it.
                    get_user_model().objects.exists()
                if not all_are_ready:
                    barrier.wait(PATIENCE_SECONDS)
                    all_are_ready = True
                answer = Answer(value=call())
        except Exception as error:  # noqa: BLE001 - The test asserts which are expected.
            if not (way.repeats and isinstance(error, OperationalError)):
                answer = Answer(error=type(error), text=str(error))
    connection.close()
    sender.send(replace(answer, heard=tuple(heard)))
    sender.close()


def by(*ways: Way) -> Any:
    """Run a test with each of these ways that the database has."""
    # The server of processes does not load pytest.
    import pytest

    return pytest.mark.parametrize(
        "way", ways, indirect=True, ids=[way.name for way in ways]
    )
