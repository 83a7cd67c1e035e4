"""
Measure what memory a bulk takes for any number of learners.

``make bench-memory`` enrolls 10,000, 100,000 and 1,000,000 learners in one course: by a
stream, by the command, and for comparison by a list. It prints a table, and writes it
to ``bulk_memory.md`` beside this file. ``ARGS="--databases sqlite"`` chooses the
databases, ``--rows`` the numbers.

Each measurement has a process of its own. The users are made once and stay, and so do
the enrollments of the last stream.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tests.databases import SERVERS, server_url
from tools.run_tests import find_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER = Path(__file__).parent
DATA = FOLDER / ".data"

ROWS = (10_000, 100_000, 1_000_000)

#: How to enroll, and how many at most; a list of a million tells nothing new.
FORMS = {"list": 100_000, "command": 1_000_000, "stream": 1_000_000}

HEAD = """\
| database | form | rows | seconds | rows per second | statements per 1,000 rows \
| MB before | MB at most | growth, MB |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""

PAGE = """\
# Memory of bulk enrolling

Written by `make bench-memory`. New learners are enrolled in a course, with their
history. Memory is the maximum resident memory of the process; "before" is the value
after a first batch of 500. `BEGIN` and `COMMIT` are not counted.

{table}"""


def _url(database: str) -> str:
    if database == "sqlite":
        return f"sqlite://{DATA / 'bulk_memory.sqlite3'}"
    url = urlsplit(server_url(database))
    return urlunsplit(url._replace(path=f"{url.path}_bulk_memory"))


def _apart(database: str, form: str, count: int) -> str:
    """Have the worker do something in a process of its own; give what it printed."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "ENROLLMENTS_BENCHMARK_DATABASE": _url(database),
    }
    command = [sys.executable, "-m", "benchmarks.bulk_memory_worker", form, str(count)]
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def measure(database: str, rows: Sequence[int]) -> Iterator[str]:
    """
    Measure one database.

    Args:
        database: ``sqlite`` or a key of ``SERVERS``.
        rows: How many rows, one measurement each.

    Yields:
        A line of the table for each form and number.
    """
    if database in SERVERS and (fault := find_fault(database)):
        print(f"{database} does not answer: {fault}")
        return
    DATA.mkdir(exist_ok=True)
    _apart(database, "prepare", max(rows))
    for form, most in FORMS.items():
        for count in sorted(rows):
            if count <= most:
                yield _line(database, json.loads(_apart(database, form, count)))


def _line(database: str, run: dict[str, Any]) -> str:
    per_second = run["rows"] / run["seconds"]
    statements = run["statements"] * 1000 / run["rows"]
    growth = run["peak"] - run["before"]
    return (
        f"| {database} | {run['form']} | {run['rows']:,} | {run['seconds']:.1f} "
        f"| {per_second:,.0f} | {statements:.1f} | {run['before']:.0f} "
        f"| {run['peak']:.0f} | {growth:.0f} |\n"
    )


def main(arguments: list[str]) -> None:
    """
    Measure and report.

    Args:
        arguments: As the module says.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_memory")
    parser.add_argument("--databases", nargs="+", default=["sqlite", *SERVERS])
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    options = parser.parse_args(arguments)
    print(HEAD, end="")
    table = HEAD
    for database in options.databases:
        for line in measure(database, options.rows):
            print(line, end="", flush=True)
            table += line
            (FOLDER / "bulk_memory.md").write_text(PAGE.format(table=table))


if __name__ == "__main__":
    main(sys.argv[1:])
