"""Workers: they sequence the feed and deliver it, in a thread for each consumer."""

from __future__ import annotations

import logging
import time
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from django.db import Error, connections

from django_enrollments.conf import conf
from django_enrollments.core.transactions import write_alias
from django_enrollments.delivery.consumers import (
    Declared,
    declaration,
    load_consumer,
    registered,
)
from django_enrollments.delivery.database import autocommit, disconnect, disconnecting
from django_enrollments.delivery.passes import Delivered, Pass
from django_enrollments.delivery.sequencer import sequence_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Task = Callable[[], None]

logger = logging.getLogger("django_enrollments.delivery")

#: Events of the feed between two looks at those that are set aside.
EVENTS_PER_PASS = 1_000


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
        self._end = None if seconds is None else time.monotonic() + seconds
        self._is_stopped = Event()
        self._consumers: dict[str, Declared] = {}
        self._sums: dict[str, Delivered] = {}
        self._sequenced = 0
        self._errors: dict[str, str] = {}

    def stop(self) -> None:
        """End after the deliveries under way; signal handlers may call it."""
        self._is_stopped.set()

    def run(self) -> dict[str, Any]:
        """Make one pass over all that is due; return what :func:`work` does."""
        # In a thread, too, since the caller's connection may be in a transaction.
        self._in_threads(self._is_done, {"sequencer": self._sequence})
        tasks = self._tasks()
        # Connections to a database in memory, as tests have it, refuse to wait for each
        # other.
        in_memory = getattr(connections[write_alias()], "is_in_memory_db", bool)()
        for some in [{name: tasks[name]} for name in tasks] if in_memory else [tasks]:
            self._in_threads(self._is_done, some)
        return {
            "sequenced": self._sequenced,
            "consumers": {name: done._asdict() for name, done in self._sums.items()},
            "errors": self._errors,
        }

    def follow(self) -> None:
        """Work until :meth:`stop` is called, whatever fails meanwhile."""
        # Signal handlers run in the calling thread, which only waits.
        self._in_threads(self._repeat, {"sequencer": self._sequence} | self._tasks())

    def _tasks(self) -> dict[str, Task]:
        return {name: partial(self._deliver, name) for name in self._names}

    def _in_threads(
        self, act: Callable[[str, Task], object], tasks: Mapping[str, Task]
    ) -> None:
        threads = [
            Thread(target=disconnecting, args=(partial(act, *task),))
            for task in tasks.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _repeat(self, what: str, task: Task) -> None:
        while not self._is_stopped.is_set():
            if not self._is_done(what, task):
                disconnect()
            self._is_stopped.wait(self._interval)

    def _is_done(self, what: str, task: Task) -> bool:
        """Do a task; return whether it succeeded, and log when that changes."""
        try:
            task()
        except BaseException as error:
            # Otherwise, the thread would end.
            kind = type(error).__name__
            if what not in self._errors:
                # The text of a database's error may hold what was stored.
                shown = None if isinstance(error, Error) else error
                logger.error("Work for %s fails: %s.", what, kind, exc_info=shown)
            self._errors[what] = kind
            return False
        if self._errors.pop(what, None):
            logger.info("Work for %s goes on.", what)
        return True

    def _sequence(self) -> None:
        autocommit()
        self._sequenced += sequence_all()

    def _deliver(self, name: str) -> None:
        autocommit()
        if name not in self._consumers:
            registered(name)
            self._consumers[name] = load_consumer(name)
        handled = EVENTS_PER_PASS
        while handled >= EVENTS_PER_PASS and not self._may_not_deliver():
            one = Pass(self._consumers[name], self._may_not_deliver)
            done = one.run(EVENTS_PER_PASS)
            handled = one.handled
            if done.failed or one.trouble:
                # The consumer may have lost a connection, which is closed only here.
                disconnect()
                autocommit()
            before = self._sums.get(name, Delivered())
            self._sums[name] = Delivered(
                before.delivered + done.delivered,
                before.failed + done.failed,
                before.set_aside + done.set_aside,
                done.lag,
            )

    def _may_not_deliver(self) -> bool:
        is_late = self._end is not None and time.monotonic() > self._end
        return is_late or self._is_stopped.is_set()
