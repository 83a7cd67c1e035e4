"""
Processes that can be paused, killed or disconnected at any point of a call.

A controlled process makes one call, with a connection of its own. Where the call, or
a function that it calls, executes ``pause()``, the test lets it continue or ends it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.processes.concurrent import (
    AUTOCOMMIT,
    PATIENCE_SECONDS,
    Answer,
    database_of,
    processes,
    record_events,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from tests.processes.concurrent import Way

# After ``concurrent``, which sets Django up in the server of processes.
from django.db import connection, transaction

#: In a controlled process: the pipe to the test.
_to_test: Connection | None = None


class Controlled:
    """
    One process that makes one call.

    Attributes:
        session: The server's id of its connection, once it has paused.
    """

    def __init__(
        self,
        call: Callable[[], Any],
        way: Way = AUTOCOMMIT,
        *,
        database: dict[str, Any] | None = None,
    ):
        """
        Start the process.

        Args:
            call: A callable that can be pickled, such as a ``functools.partial``.
            way: How it connects.
            database: Settings that replace those of the tests' database.
        """
        self.session: int | None = None
        self._is_elsewhere = database is not None
        self._answer: Answer | None = None
        self._to_process, to_test = processes.Pipe()
        self._process = processes.Process(
            target=_act,
            args=(call, database or database_of(way), way, to_test),
            daemon=True,
        )
        self._process.start()
        to_test.close()

    def has_paused(self) -> bool:
        """Wait until it pauses; return whether it has, rather than ended."""
        if not self._to_process.poll(PATIENCE_SECONDS):
            raise TimeoutError(f"No sign within {PATIENCE_SECONDS} seconds.")
        said = self._to_process.recv()
        if isinstance(said, Answer):
            self._answer = said
            return False
        self.session = said
        return True

    def go_on(self):
        """Let it continue after a pause, or send the sign that it waits for."""
        self._to_process.send(None)

    def is_busy(self) -> bool:
        """Return whether it has neither paused nor ended."""
        return not self._to_process.poll()

    def answer(self) -> Answer:
        """Wait for its end, and return the outcome of its call."""
        assert self._answer or not self.has_paused()
        self._leave()
        assert self._answer
        return self._answer

    def kill(self):
        """
        End it at once by a signal that cannot be caught.

        Waits for the end of its connection, whose last statement may still be executed.
        """
        self._process.kill()
        self._leave()
        if self.session is not None and not self._is_elsewhere:
            _wait_for_the_end_of(self.session)

    def _leave(self):
        self._process.join()
        self._process.close()
        self._to_process.close()


@contextmanager
def paused(call: Callable[[], Any], **options) -> Iterator[Controlled]:
    """Return a process that has paused, and kill it if the test fails."""
    process = Controlled(call, **options)
    try:
        assert process.has_paused(), process.answer()
        yield process
    except BaseException:
        process.kill()
        raise


def pause():
    """In a controlled process: wait until the test lets it continue."""
    assert _to_test is not None
    _to_test.send(session_id())
    _to_test.recv()


def has_sign() -> bool:
    """In a controlled process: return whether the test has sent a sign."""
    assert _to_test is not None
    return _to_test.poll()


def session_id() -> int | None:
    """Return the server's id of the connection of this process."""
    if connection.connection is None or connection.vendor == "sqlite":
        return None
    if connection.vendor == "postgresql":
        return connection.connection.info.backend_pid
    return connection.connection.thread_id()


def _wait_for_the_end_of(session: int):
    """Wait until the server has closed a connection whose client has died."""
    statement = {
        "postgresql": "SELECT 1 FROM pg_stat_activity WHERE pid = %s",
        "mysql": "SELECT 1 FROM information_schema.processlist WHERE id = %s",
    }[connection.vendor]
    give_up = time.monotonic() + PATIENCE_SECONDS
    with connection.cursor() as cursor:
        while True:
            cursor.execute(statement, [session])
            if cursor.fetchone() is None:
                return
            assert time.monotonic() < give_up, f"Session {session} goes on."
            time.sleep(0.01)


def pausing_after(number: int, call: Callable[[], Any], *, of: str = ""):
    """
    In a controlled process: make a call that pauses after one of its statements.

    Args:
        number: Which statement, counted from 1.
        call: The call.
        of: The beginning of the statements that are counted, with double quotes.
    """
    done = 0

    def execute(proceed, sql: str, *rest):
        nonlocal done
        result = proceed(sql, *rest)
        if sql.replace("`", '"').startswith(of):
            done += 1
            if done == number:
                pause()
        return result

    with connection.execute_wrapper(execute):
        return call()


def _act(
    call: Callable[[], Any], database: dict[str, Any], way: Way, to_test: Connection
):
    global _to_test
    _to_test = to_test
    connection.settings_dict.update(database)
    heard = record_events()
    try:
        with transaction.atomic() if way.in_transaction else nullcontext():
            answer = Answer(value=call())
    except Exception as error:  # noqa: BLE001 - The test asserts which are expected.
        answer = Answer(error=type(error), text=str(error))
    connection.close()
    to_test.send(replace(answer, heard=tuple(heard)))
    to_test.close()
