"""
Measure the app beside the same work written by hand, on every database that answers.

``make bench`` prints a table, and writes ``results.md`` and ``results.svg`` beside this
file. ``make bench CHECK=1`` fails where a goal is missed; ``SIZE=`` is the number of
enrollments, 200,000 unless given; ``DATABASES="sqlite postgres"`` chooses.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from benchmarks import report
from tests.databases import SERVERS, server_url
from tools.run_tests import find_fault

FOLDER = Path(__file__).parent
DATA = FOLDER / ".data"

#: The size that the goals were set for.
SIZE = 200_000


def _url(database: str, size: int) -> str:
    """Return the URL of the database that holds the data of a size."""
    if database == "sqlite":
        return f"sqlite://{DATA / f'{size}.sqlite3'}"
    url = urlsplit(server_url(database))
    return urlunsplit(url._replace(path=f"{url.path}_benchmark_{size}"))


def measure(
    database: str, size: int, seconds: float, *extra: str
) -> dict[str, Any] | None:
    """
    Measure one database in a process of its own.

    Args:
        database: ``sqlite`` or a key of ``SERVERS``.
        size: How many enrollments.
        seconds: About how long each row is measured.
        extra: More arguments of the worker.

    Returns:
        What the worker wrote; ``None`` where the server does not answer.
    """
    if database in SERVERS and (fault := find_fault(database)):
        print(f"{database} does not answer: {fault}")
        return None
    DATA.mkdir(exist_ok=True)
    file = DATA / f"{database}-{size}.json"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "ENROLLMENTS_BENCHMARK_DATABASE": _url(database, size),
    }
    command = [sys.executable, "-m", "benchmarks.worker", str(size), str(seconds)]
    print(f"\n== {database}, {size:,} enrollments ==", flush=True)
    subprocess.run([*command, str(file), *extra], env=environment, check=True)
    measured: dict[str, Any] = json.loads(file.read_text())
    return measured


def main(arguments: list[str]) -> int:
    """
    Measure and report.

    Args:
        arguments: As the module says.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--databases", nargs="+", default=["sqlite", *SERVERS])
    options = parser.parse_args(arguments)
    runs = [measure(name, options.size, options.seconds) for name in options.databases]
    told = [run for run in runs if run]
    print("\n" + report.table(told))
    (FOLDER / "results.md").write_text(report.page(told))
    (FOLDER / "results.svg").write_text(report.picture(told))
    missed = [row for run in told for row in run["rows"] if row["missed"]]
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
