"""Times two ways of doing one thing, turn by turn, so that they share their weather."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Unmeasured turns at first, and how many are measured at least and at most.
WARM_UP = 3
FEWEST = 15
MOST = 300

_TRANSACTION_CONTROL = re.compile(r"BEGIN|SAVEPOINT|RELEASE|COMMIT|ROLLBACK")


def limits(sqlite: float, server: float) -> dict[str, float]:
    """
    Return a limit for each database.

    Args:
        sqlite: That of SQLite.
        server: That of PostgreSQL, and of MariaDB, for which none was set.
    """
    return {"sqlite": sqlite, "postgresql": server, "mysql": server}


@dataclass(frozen=True)
class Goal:
    """
    What a row must reach.

    Attributes:
        statements: Most SQL statements, transaction control aside.
        ratio: Most times the floor's median, by vendor.
        plus_ms: Milliseconds allowed on top of the ratio.
        ms: Most milliseconds, by vendor.
    """

    statements: int | None = None
    ratio: Mapping[str, float] = field(default_factory=dict)
    plus_ms: float = 0
    ms: Mapping[str, float] = field(default_factory=dict)


def as_it_is(result: Any) -> Any:
    """
    Return the whole of a result.

    Args:
        result: Any.
    """
    return result


@dataclass(frozen=True)
class Work:
    """
    One row of the table.

    Attributes:
        name: What is done.
        ours: Does it by the app.
        floor: Does the same by hand.
        goal: What ours must reach.
        undo: Takes back what one of them wrote; not timed.
        same: Gives of a result what both must have in common.
    """

    name: str
    ours: Callable[[], Any]
    floor: Callable[[], Any]
    goal: Goal
    undo: Callable[[], None] | None = None
    same: Callable[[Any], Any] = as_it_is


@dataclass(frozen=True)
class Measured:
    """
    What one row came to; milliseconds are medians.

    Attributes:
        name: What was done.
        vendor: On which database.
        turns: How often by each.
        statements: How many SQL statements the app took; ``None`` where they are not
            counted.
        floor_statements: How many were written by hand.
        ms: Of the app.
        floor_ms: Of the floor.
        goal: The goal in words.
        most_ratio: The highest ratio that meets it; ``None`` where it is not a ratio.
        missed: What was not reached, in words; empty when all was.
    """

    name: str
    vendor: str
    turns: int
    statements: int | None
    floor_statements: int | None
    ms: float
    floor_ms: float
    goal: str
    most_ratio: float | None
    missed: str

    @property
    def ratio(self) -> float:
        """How many times the floor's time the app took."""
        return self.ms / self.floor_ms

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


def measure(work: Work, *, seconds: float) -> Measured:
    """
    Compare what both ways give, count their statements, and time them in turns.

    Args:
        work: What is done.
        seconds: About how long to go on.

    Raises:
        AssertionError: The two ways do not give the same.
    """
    undo = work.undo or (lambda: None)
    counts, results = [], []
    for way in (work.ours, work.floor):
        with CaptureQueriesContext(connection) as captured:
            results.append(work.same(way()))
        undo()
        statements = [query["sql"] for query in captured.captured_queries]
        counts.append(sum(not _TRANSACTION_CONTROL.match(sql) for sql in statements))
    if results[0] != results[1]:
        raise AssertionError(f"{work.name}: {results[0]!r} is not {results[1]!r}")
    times: dict[Any, list[float]] = {work.ours: [], work.floor: []}
    turn, end = -WARM_UP, time.perf_counter() + seconds
    while turn < FEWEST or (turn < MOST and time.perf_counter() < end):
        pair = (work.ours, work.floor) if turn % 2 else (work.floor, work.ours)
        for way in pair:
            start = time.perf_counter()
            way()
            taken = time.perf_counter() - start
            undo()
            if turn >= 0:
                times[way].append(taken * 1000)
        turn += 1
    ms, floor_ms = median(times[work.ours]), median(times[work.floor])
    vendor, goal = connection.vendor, work.goal
    words, missed = judge(goal, vendor, counts[0], ms, floor_ms)
    most_ratio = None
    if vendor in goal.ratio:
        most_ratio = goal.ratio[vendor] + goal.plus_ms / floor_ms
    return Measured(
        work.name, vendor, turn, *counts, ms, floor_ms, words, most_ratio, missed
    )


def judge(
    goal: Goal, vendor: str, statements: int, ms: float, floor_ms: float
) -> tuple[str, str]:
    """
    Describe the goals, and those that were missed.

    Args:
        goal: The goal.
        vendor: The database.
        statements: How many there were.
        ms: Median of the app.
        floor_ms: Median of the floor.

    Returns:
        The goal in words, and what it was missed by; empty when it was not.
    """
    words, missed = [], []
    if goal.statements is not None and statements > goal.statements:
        missed.append(f"{statements} statements")
    if vendor in goal.ratio:
        ratio = goal.ratio[vendor]
        extra = f" + {goal.plus_ms:g} ms" if goal.plus_ms else ""
        words.append(f"≤ {ratio:g}{extra}")
        if ms > ratio * floor_ms + goal.plus_ms:
            missed.append(f"{ms / floor_ms:.1f}")
    if vendor in goal.ms:
        words.append(f"≤ {goal.ms[vendor]:g} ms")
        if ms > goal.ms[vendor]:
            missed.append(f"{ms:.1f} ms")
    return ", ".join(words), ", ".join(missed)
