"""
One course that everybody wants at the same moment: 2,000 enrolls by 16 processes.

``python -m benchmarks.hot_course`` (``make bench-hot``) measures every database that
answers: how many enrolls a second there are, how long each takes, how long the lock on
the seats is held, and whether anybody waits who wants another course. It fails where a
call fails or a seat is given twice, and writes ``benchmarks/hot_course.md``. Commits
reach the disk as the servers' own settings say.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from statistics import median, quantiles
from textwrap import wrap
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlsplit

from tests.databases import server_url
from tools.run_tests import find_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.processes.concurrent import Answer

PAGE = Path(__file__).with_suffix(".md")

DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}

#: How many enrolls are timed while somebody holds the lock of another course.
ELSEWHERE = 200

COLUMNS = (
    "seats",
    "let in",
    "full",
    "errors",
    "enrolls/s",
    "p50 ms",
    "p99 ms",
    "lock p50 ms",
    "lock p99 ms",
)


class LockClock:
    """Times the span from the moment the lock on the seats is there to its end."""

    def __init__(self) -> None:
        self.spans: list[float] = []
        self._since: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time every lock that is taken in a block."""
        from django.db import connection

        from django_enrollments.core import seats

        with (
            patch.object(seats, "lock_row", self._starting(seats.lock_row)),
            patch.object(
                seats,
                "take_sqlite_write_lock",
                self._starting(seats.take_sqlite_write_lock),
            ),
            patch.object(connection, "commit", self._ending(connection.commit)),
            patch.object(connection, "rollback", self._ending(connection.rollback)),
        ):
            yield

    def _starting(self, lock: Callable[..., None]) -> Callable[..., None]:
        @wraps(lock)
        def take(*args: Any, **kwargs: Any) -> None:
            lock(*args, **kwargs)
            self._since = time.perf_counter()

        return take

    def _ending(self, end: Callable[[], None]) -> Callable[[], None]:
        @wraps(end)
        def give_back() -> None:
            end()
            if self._since is not None:
                self.spans.append(time.perf_counter() - self._since)
                self._since = None

        return give_back


def enroll(names: Sequence[str], course_id: str) -> dict[str, Any]:
    """
    Enroll learners one after the other, as one of many processes.

    Args:
        names: Usernames.
        course_id: The course that everybody wants.

    Returns:
        When it began and ended, what each call came to, how long each took, and how
        long each lock was held, in seconds.
    """
    from django_enrollments import api

    clock = LockClock()
    came_to = []
    took = []
    began = time.perf_counter()
    with clock.running():
        for name in names:
            start = time.perf_counter()
            try:
                api.add_enrollment(name, course_id)
            except Exception as error:  # noqa: BLE001 - Counted, and told in the end.
                came_to.append(
                    getattr(error, "code", f"{type(error).__name__} {error}")
                )
            else:
                came_to.append("let in")
            took.append(time.perf_counter() - start)
    return {
        "began": began,
        "ended": time.perf_counter(),
        "came to": came_to,
        "took": took,
        "locks": clock.spans,
    }


def rush(
    seats: int | None, enrolls: int, workers: int, *, so_far: list[Answer]
) -> dict[str, str]:
    """
    Have everybody enroll in one new course.

    Args:
        seats: How many seats it has; ``None`` is no limit.
        enrolls: How many learners want one.
        workers: How many processes enroll them.
        so_far: The answers of every rush before; this one's are added.

    Returns:
        The row of the table.

    Raises:
        AssertionError: A call failed, a seat was given twice, or the history is not
            true.
    """
    from tests.factories import course_id_of, make_course
    from tests.processes.checks import assert_history_is_true, seats_taken
    from tests.processes.concurrent import at_once

    course = make_course(
        f"course-v1:Hot+Course+{seats}", max_student_enrollments_allowed=seats
    )
    names = _usernames(enrolls)
    answers = at_once(
        [
            partial(enroll, names[worker::workers], course_id_of(course))
            for worker in range(workers)
        ]
    )
    told = [answer.value for answer in answers]
    came_to = Counter(one for each in told for one in each["came to"])
    let_in, full = came_to.pop("let in", 0), came_to.pop("course_full", 0)
    if came_to:
        raise AssertionError(f"Calls failed: {dict(came_to)}")
    so_far += answers
    assert_history_is_true(so_far)
    room = enrolls if seats is None else seats
    assert let_in == seats_taken(course) == min(room, enrolls)  # noqa: S101 - as told.
    seconds = max(each["ended"] for each in told) - min(each["began"] for each in told)
    took = [one for each in told for one in each["took"]]
    locks = [one for each in told for one in each["locks"]]
    return {
        "seats": "no limit" if seats is None else f"{seats:,}",
        "let in": f"{let_in:,}",
        "full": f"{full:,}",
        "errors": "0",
        "enrolls/s": f"{enrolls / seconds:,.0f}",
        "p50 ms": _ms(median(took)),
        "p99 ms": _ms(_percentile(took, 99)),
        "lock p50 ms": _ms(median(locks)) if locks else "none",
        "lock p99 ms": _ms(_percentile(locks, 99)) if locks else "none",
    }


def look_elsewhere() -> dict[str, str]:
    """
    Time enrolls in one course, alone and while the lock of another one is held.

    Returns:
        The medians as text, in milliseconds, under ``alone`` and ``beside``.
    """
    from django.db import transaction

    from django_enrollments import api
    from tests.factories import course_id_of, make_course
    from tests.processes.concurrent import at_once

    locked, quiet = (
        make_course(f"course-v1:Hot+{name}+R", max_student_enrollments_allowed=10_000)
        for name in ("Locked", "Quiet")
    )
    first, *names = _usernames(1 + 2 * ELSEWHERE)
    alone, beside = (
        partial(enroll, names[start::2], course_id_of(quiet)) for start in range(2)
    )
    (undisturbed,) = at_once([alone])
    with transaction.atomic():
        api.add_enrollment(first, course_id_of(locked))
        (disturbed,) = at_once([beside])
    return {
        "alone": _ms(median(undisturbed.value["took"])),
        "beside": _ms(median(disturbed.value["took"])),
    }


def _url(database: str, folder: str) -> str:
    """Return the URL of a database that no test run uses."""
    if database == "sqlite":
        return f"sqlite://{folder}/hot_course.sqlite3"
    return urlsplit(server_url(database))._replace(path="/hot_course").geturl()


def _describe(database: str, measured: dict[str, Any]) -> str:
    """Write what was measured as a part of the page."""
    rows = [COLUMNS, *([row[name] for name in COLUMNS] for row in measured["rows"])]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + " ---: |" * len(COLUMNS))
    elsewhere = measured["elsewhere"]
    if elsewhere:
        waits = (
            "Enrolling in another course does not wait: it takes "
            f"{elsewhere['alone']} ms (median of {ELSEWHERE}), and "
            f"{elsewhere['beside']} ms while the lock of this course is held."
        )
    else:
        waits = "SQLite has one writer at a time, for all courses."
    title = f"## {DATABASES[database]} {measured['version']}"
    return "\n".join([title, "", *lines, "", *wrap(waits, 88), ""])


def _usernames(count: int) -> list[str]:
    from django.contrib.auth import get_user_model

    users = get_user_model().objects.order_by("pk")[:count]
    return [user.get_username() for user in users]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}"


def _percentile(numbers: Sequence[float], percent: int) -> float:
    return quantiles(numbers, n=100)[percent - 1]


def measure(enrolls: int, workers: int) -> dict[str, Any]:
    """
    Measure the database that the settings name, in a test database of its own.

    Args:
        enrolls: How many learners want the course.
        workers: How many processes enroll them.
    """
    import django

    django.setup()
    from django.db import connection

    from tests.factories import make_users

    # What is confirmed is on the disk, unlike in the tests' database.
    if connection.vendor == "sqlite":
        # As the guide for hosts says, and synchronous as SQLite has it.
        options = {"timeout": 60, "init_command": "PRAGMA journal_mode = WAL"}
        connection.settings_dict["OPTIONS"] = options
    elif connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"] = {}
    creation = connection.creation
    name = connection.settings_dict["NAME"]
    creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        make_users(max(enrolls, 1 + 2 * ELSEWHERE))
        answers: list[Answer] = []
        rows = [
            rush(seats, enrolls, workers, so_far=answers)
            for seats in (None, enrolls, enrolls // 4)
        ]
        has_row_locks = connection.features.has_select_for_update
        return {
            "version": _version(connection),
            "rows": rows,
            "elsewhere": look_elsewhere() if has_row_locks else None,
        }
    finally:
        creation.destroy_test_db(name, verbosity=0)


def _version(connection: Any) -> str:
    if connection.vendor == "sqlite":
        return ".".join(map(str, connection.Database.sqlite_version_info))
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        words: str = cursor.fetchone()[0]
    return words.removeprefix("PostgreSQL ").split()[0].split("-")[0]


def main(arguments: Sequence[str]) -> int:
    """
    Measure every database that answers, print the tables and write the page.

    Args:
        arguments: As :mod:`argparse` takes them.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_course")
    parser.add_argument("databases", nargs="*", help=f"of {', '.join(DATABASES)}")
    parser.add_argument("--enrolls", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure(options.enrolls, options.workers)))
        return 0
    told = []
    for database in options.databases or DATABASES:
        fault = None if database == "sqlite" else find_fault(database)
        if fault:
            print(f"{DATABASES[database]} was not measured: {fault}")
            continue
        told.append(_describe(database, _measured(database, options)))
        print(told[-1], flush=True)
    if not options.databases:
        PAGE.write_text("\n".join([_introduce(options), *told]), encoding="utf-8")
    return 0


def _measured(database: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a database in a process of its own, since Django is set up for one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "benchmarks.hot_course", "--measure"),
            f"--enrolls={options.enrolls}",
            f"--workers={options.workers}",
        ]
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "ENROLLMENTS_TEST_DATABASE": _url(database, folder),
        }
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, check=True
        )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _introduce(options: argparse.Namespace) -> str:
    """Write the beginning of the page."""
    introduction = (
        f"{options.enrolls:,} learners enroll in one course, in {options.workers} "
        "processes with one connection each: first without a limit, then with a seat "
        "for each learner, then with a seat for every fourth learner. Written by `make "
        f"bench-hot` on a machine with {os.cpu_count()} cores, which the processes "
        "share with the database. *Lock* is the time for which a process holds the "
        "lock on the seats. No other process enrolls in this course in that time. A "
        "process that finds the course full releases the lock at once."
    )
    return "\n".join(["# Many learners in one course", "", *wrap(introduction, 88), ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
