"""
Measure the pages of the example project with a million enrollments.

``make bench-pages`` measures SQLite and, if it responds, PostgreSQL, and writes
``pages.md`` beside this file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.__main__ import DATA
from benchmarks.report import NAMES, described, grid
from tests.databases import SERVERS, server_url
from tools.run_tests import find_fault

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent
DATABASES = ("sqlite", "postgres")
SIZE = 1_000_000


def measure(database: str, size: int) -> dict[str, Any] | None:
    """
    Measure one database in a process of its own.

    Args:
        database: ``sqlite`` or a key of ``SERVERS``.
        size: The number of enrollments.

    Returns:
        What the worker wrote; ``None`` if the server does not respond.
    """
    if database in SERVERS and (fault := find_fault(database)):
        print(f"{database} does not respond: {fault}")
        return None
    DATA.mkdir(exist_ok=True)
    name = f"pages_{size}"
    url = f"sqlite://{DATA / name}.sqlite3"
    if database in SERVERS:
        url = f"{server_url(database)}_{name}"
    file = DATA / f"{name}-{database}.json"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "benchmarks.pages_settings",
        "ENROLLMENTS_BENCHMARK_DATABASE": url,
    }
    print(f"\n== {database}, {size:,} enrollments ==", flush=True)
    command = [sys.executable, "-m", "benchmarks.pages_worker", str(size), str(file)]
    subprocess.run(command, env=environment, check=True)
    measured: dict[str, Any] = json.loads(file.read_text())
    return measured


def page(runs: Sequence[dict[str, Any]], size: int) -> str:
    """
    Return the page of the results, in Markdown.

    Args:
        runs: What the workers measured.
        size: The number of enrollments.
    """
    headings = ["page", "statements"]
    for run in runs:
        name = NAMES[run["vendor"]]
        headings += [f"{name}, SQL in ms", f"{name}, whole request in ms"]
    lines = []
    for rows in zip(*(run["rows"] for run in runs), strict=True):
        cells = [rows[0]["name"], str(max(row["statements"] for row in rows))]
        for row in rows:
            cells += [f"{row['sql_ms']:.0f}", f"{row['ms']:.0f}"]
        lines.append(cells)
    return (
        "# Pages of the example project\n\n"
        f"`make bench-pages` wrote this {described(runs)}.\n\n"
        f"With {size:,} enrollments of {size // 10:,} learners in {size // 100:,} "
        "courses, more than a million events, and 200,000 refused attempts. The "
        "quickest of 9 requests through Django's test client, with the session in the "
        "database. "
        "*SQL* is the time of all statements of a request.\n\n"
        f"{grid(headings, lines)}\n"
    )


def main() -> None:
    """Measure and report."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    runs = [run for database in DATABASES if (run := measure(database, size))]
    (FOLDER / "pages.md").write_text(page(runs, size))
    print(page(runs, size))


if __name__ == "__main__":
    main()
