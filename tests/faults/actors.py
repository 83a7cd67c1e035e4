"""
Processes that can be held, killed or cut off at any point of what they do.

An actor makes one call, with a connection of its own. The call, or what it leads to,
may ``pause()``: the test then has the actor where it wants it, and lets it go on or
ends it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.concurrency.crowd import (
    AUTOCOMMIT,
    PATIENCE_SECONDS,
    Answer,
    database_of,
    hear_everything,
    processes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from tests.concurrency.crowd import Way

# After ``crowd``, which sets Django up in the server of processes.
from django.db import connection, transaction

processes.set_forkserver_preload(["tests.concurrency.crowd", "tests.faults.deeds"])

#: In an actor: what it talks to the test through.
_to_test: Connection | None = None


class Actor:
    """
    One process that makes one call.

    Attributes:
        session: The id of its connection, as the server knows it; there once it has
            paused.
    """

    def __init__(
        self,
        call: Callable[[], Any],
        way: Way = AUTOCOMMIT,
        *,
        database: dict[str, Any] | None = None,
    ) -> None:
        """
        Start the process.

        Args:
            call: What can be pickled, such as a ``functools.partial`` of a function.
            way: How it connects.
            database: What replaces Django's configuration of the tests' database.
        """
        self.session: int | None = None
        self._is_elsewhere = database is not None
        self._answer: Answer | None = None
        self._to_actor, to_test = processes.Pipe()
        self._process = processes.Process(
            target=_act,
            args=(call, database or database_of(way), way, to_test),
            daemon=True,
        )
        self._process.start()
        to_test.close()

    def has_paused(self) -> bool:
        """Wait until it pauses; false is that it has come to the end instead."""
        if not self._to_actor.poll(PATIENCE_SECONDS):
            raise TimeoutError(f"No sign within {PATIENCE_SECONDS} seconds.")
        said = self._to_actor.recv()
        if isinstance(said, Answer):
            self._answer = said
            return False
        self.session = said
        return True

    def go_on(self) -> None:
        """End its pause, or tell it whatever else they have agreed on."""
        self._to_actor.send(None)

    def is_busy(self) -> bool:
        """Return whether it has neither paused nor come to the end."""
        return not self._to_actor.poll()

    def answer(self) -> Answer:
        """Wait for what its call comes to, and let it go."""
        assert self._answer or not self.has_paused()
        self._leave()
        assert self._answer
        return self._answer

    def kill(self) -> None:
        """
        End it at once, wherever it is, by a signal that nothing can catch.

        What it asked for last, its server may still be doing: that is waited for.
        """
        self._process.kill()
        self._leave()
        if self.session is not None and not self._is_elsewhere:
            _wait_for_the_end_of(self.session)

    def _leave(self) -> None:
        self._process.join()
        self._process.close()
        self._to_actor.close()


@contextmanager
def acting(call: Callable[[], Any], **options: Any) -> Iterator[Actor]:
    """Return an actor that has paused, and kill it if the test fails."""
    actor = Actor(call, **options)
    try:
        assert actor.has_paused(), actor.answer()
        yield actor
    except BaseException:
        actor.kill()
        raise


def pause() -> None:
    """In an actor: tell the test, and wait until it says to go on."""
    assert _to_test is not None
    _to_test.send(session_id())
    _to_test.recv()


def is_told_to_go_on() -> bool:
    """In an actor: tell whether the test said to go on though nobody has paused."""
    assert _to_test is not None
    return _to_test.poll()


def session_id() -> int | None:
    """Return the id of this process's connection, as the server knows it."""
    if connection.connection is None or connection.vendor == "sqlite":
        return None
    if connection.vendor == "postgresql":
        return connection.connection.info.backend_pid
    return connection.connection.thread_id()


def _wait_for_the_end_of(session: int) -> None:
    """Wait until the server has let a connection go whose other end has died."""
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


def pausing_after(number: int, call: Callable[[], Any], *, of: str = "") -> Any:
    """
    In an actor: make a call that pauses after one of its SQL statements.

    Args:
        number: Which statement, counted from 1.
        call: The call.
        of: How the statements that are counted begin, with double quotes.
    """
    done = 0

    def execute(proceed: Any, sql: str, *rest: Any) -> Any:
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
) -> None:
    global _to_test
    _to_test = to_test
    connection.settings_dict.update(database)
    heard = hear_everything()
    try:
        with transaction.atomic() if way.in_transaction else nullcontext():
            answer = Answer(value=call())
    except Exception as error:  # noqa: BLE001 - The test says which are in order.
        answer = Answer(error=type(error), text=str(error))
    connection.close()
    to_test.send(replace(answer, heard=tuple(heard)))
    to_test.close()
