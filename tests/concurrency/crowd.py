"""
Makes calls in many processes at once, each with a connection of its own.

The processes are forked from a server that has loaded Django and no pytest, so that
40 of them cost little more than one. All have connected, and begun what transaction
they are to be in, before the first one calls.
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
    # In the server of processes, before anything that needs the models.
    django.setup()

from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction

from django_enrollments import signals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

    from django_enrollments.signals import EventRecord

#: Longest wait for everybody, in seconds; reached only when something hangs.
PATIENCE_SECONDS = 90

#: Makes processes, and what they share.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.concurrency.crowd"])

_ANNOUNCEMENTS = (
    signals.enrollment_created,
    signals.enrollment_activated,
    signals.enrollment_deactivated,
    signals.enrollment_mode_changed,
)


@dataclass(frozen=True)
class Way:
    """
    How the callers connect.

    Attributes:
        name: What a report calls it.
        options: Options of the database, besides those of the tests, by vendor; a
            vendor that is not there knows no such way.
        in_transaction: Whether each call is made within a transaction of the caller's.
        has_read: Whether the caller has read in it before.
        repeats: Whether the caller repeats the transaction when the database ends it.
    """

    name: str
    options: Mapping[str, Mapping[str, Any]]
    in_transaction: bool = False
    has_read: bool = True
    repeats: bool = False


AUTOCOMMIT = Way("autocommit", {"sqlite": {}, "postgresql": {}, "mysql": {}})


@dataclass(frozen=True)
class Answer:
    """
    What one call came to.

    Attributes:
        value: What it returned.
        error: The class of what it raised.
        text: What that said.
        heard: The events of the signals sent in its process.
    """

    value: Any = None
    error: type[Exception] | None = None
    text: str = ""
    heard: tuple[EventRecord, ...] = ()

    def unwrap(self) -> Any:
        """Return what the call returned, if it did."""
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
        way: How the callers connect, all alike or one by one.

    Returns:
        One answer per call, in order.
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
    """Return what a process must know of the tests' database to connect in this way."""
    return {
        "NAME": connection.settings_dict["NAME"],
        "OPTIONS": {
            **connection.settings_dict["OPTIONS"],
            **way.options[connection.vendor],
        },
    }


def hear_everything() -> list[EventRecord]:
    """Return a list to which every event is added that this process announces."""
    heard: list[EventRecord] = []

    def listen(event: EventRecord, **kwargs: Any) -> None:
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
) -> None:
    """Connect, wait for the others, call, and send the answer."""
    connection.settings_dict.update(database)
    heard = hear_everything()
    everybody_is_here = False
    answer = None
    while answer is None:
        try:
            with transaction.atomic() if way.in_transaction else nullcontext():
                if way.has_read:
                    # From here on, a transaction that keeps a snapshot has it.
                    get_user_model().objects.exists()
                if not everybody_is_here:
                    barrier.wait(PATIENCE_SECONDS)
                    everybody_is_here = True
                answer = Answer(value=call())
        except Exception as error:  # noqa: BLE001 - The test says which are in order.
            if not (way.repeats and isinstance(error, OperationalError)):
                answer = Answer(error=type(error), text=str(error))
    connection.close()
    sender.send(replace(answer, heard=tuple(heard)))
    sender.close()
