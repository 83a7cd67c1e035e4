"""Workers: they sequence the feed and deliver it, in a thread for each consumer."""

from __future__ import annotations

import logging
import math
import time
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import Error, connections

from django_enrollments.conf import conf
from django_enrollments.core.transactions import write_alias
from django_enrollments.delivery.consumers import (
    Declared,
    declaration,
    registered,
)
from django_enrollments.delivery.database import autocommit, disconnect, in_threads
from django_enrollments.delivery.passes import Delivered, Pass
from django_enrollments.delivery.sequencer import sequence_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Task = Callable[[], None]

logger = logging.getLogger("django_enrollments.delivery")


def work(seconds: float | None = None) -> dict[str, Any]:
    """
    Make one pass over all that is due: the entry for cron, Celery and ``django.tasks``.

    Several may run at once. The consumers are served in threads, each with a connection
    of its own, so that a slow one does not delay the others.

    Args:
        seconds: No delivery begins later than this; ``None`` for no limit.

    Returns:
        A dictionary for JSON: ``sequenced``, the number of events that got a position;
        ``consumers``, a dictionary of names to what
        :class:`~django_enrollments.delivery.Delivered` holds; ``errors``, a dictionary
        of the names of workers that failed to the classes of their errors.
    """
    return Worker(seconds=seconds).run()


class Worker:
    """
    A worker for some consumers.

    Args:
        names: Their names; ``None`` for all.
        interval: Seconds between two looks for events.
        seconds: No delivery begins later than this; ``None`` for no limit.

    Raises:
        ValueError: There is no such consumer.
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        *,
        interval: float = 1.0,
        seconds: float | None = None,
    ) -> None:
        self._names = [*conf.ENROLLMENTS_CONSUMERS] if names is None else names
        for name in self._names:
            declaration(name)
        self._interval = interval
        self._end = math.inf if seconds is None else time.monotonic() + seconds
        self._is_stopped = Event()
        self._consumers: dict[str, Declared] = {}
        self._sequenced = 0
        self._done: dict[str, Delivered] = {}
        self._errors: dict[str, str] = {}

    def stop(self) -> None:
        """End after the deliveries under way; signal handlers may call it."""
        self._is_stopped.set()

    def run(self) -> dict[str, Any]:
        """Make one pass over all that is due; return what :func:`work` does."""
        # In a thread, too, since the caller's connection may be in a transaction.
        in_threads([partial(self._try, "sequencer", self._sequence)])
        tasks = [partial(self._try, *one) for one in self._deliveries()]
        # Connections to a database in memory, as tests have it, refuse to wait for each
        # other.
        one_by_one = _is_in_memory(write_alias())
        for some in [[task] for task in tasks] if one_by_one else [tasks]:
            in_threads(some)
        return {
            "sequenced": self._sequenced,
            "consumers": {name: done._asdict() for name, done in self._done.items()},
            "errors": self._errors,
        }

    def follow(self) -> None:
        """Work until :meth:`stop` is called, whatever fails meanwhile."""
        # Signal handlers run in the calling thread, which only waits.
        tasks = [("sequencer", self._sequence), *self._deliveries()]
        in_threads([partial(self._repeat, *one) for one in tasks])

    def _deliveries(self) -> list[tuple[str, Task]]:
        return [(name, partial(self._deliver, name)) for name in self._names]

    def _repeat(self, what: str, task: Task) -> None:
        while not self._is_stopped.is_set():
            self._try(what, task)
            self._is_stopped.wait(self._interval)

    def _try(self, what: str, task: Task) -> None:
        """Do a task, and log when that begins to fail or to succeed."""
        try:
            autocommit()
            task()
        except BaseException as error:
            # Otherwise, the thread would end.
            disconnect()
            kind = type(error).__name__
            if what not in self._errors:
                # The text of a database's error may hold what was stored.
                shown = None if isinstance(error, Error) else error
                logger.error("Work for %s fails: %s.", what, kind, exc_info=shown)
            self._errors[what] = kind
        else:
            if self._errors.pop(what, None):
                logger.info("Work for %s goes on.", what)

    def _sequence(self) -> None:
        self._sequenced = sequence_all()

    def _deliver(self, name: str) -> None:
        if name not in self._consumers:
            registered(name)
            self._consumers[name] = Declared(name)
        one = Pass(self._consumers[name], self._is_ending)
        self._done[name] = one.run()
        if one.trouble or self._done[name].failed:
            # The consumer may have lost a connection, which is closed only here.
            disconnect()

    def _is_ending(self) -> bool:
        return self._is_stopped.is_set() or time.monotonic() > self._end


def _is_in_memory(using: str) -> bool:
    """Return whether a database is one of SQLite in memory."""
    name = str(settings.DATABASES[using].get("NAME"))
    return connections[using].vendor == "sqlite" and (
        name == ":memory:" or "mode=memory" in name
    )
