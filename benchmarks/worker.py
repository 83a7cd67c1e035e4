"""
Measures one database and writes what came of it as JSON.

``python -m benchmarks.worker SIZE SECONDS FILE``, under
``benchmarks.settings`` and with ``ENROLLMENTS_BENCHMARK_DATABASE``; it is
``python -m benchmarks`` that calls it.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from django.db import connection

from benchmarks.dataset import DataSet, is_intact, prepare
from benchmarks.measuring import measure
from benchmarks.race import race
from benchmarks.rows import make_rows
from benchmarks.storage import measure_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measuring import Measured


def _version() -> str:
    if connection.vendor == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        text = cursor.fetchone()[0]
    if connection.vendor == "postgresql":
        return " ".join(text.split()[:2])
    return f"MariaDB {text.partition('-')[0]}"


def _measure_all(data: DataSet, seconds: float, with_race: bool) -> Iterator[Measured]:
    for work in make_rows(data):
        yield measure(work, seconds=seconds)
    if with_race:
        yield race(data)


def main(arguments: list[str]) -> None:
    """
    Measure, telling on the way what came of each row.

    Args:
        arguments: As the module says.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("size", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("file", type=Path)
    parser.add_argument("--no-race", action="store_true")
    parser.add_argument("--storage", action="store_true")
    options = parser.parse_args(arguments)
    data = DataSet(options.size)
    began = time.monotonic()
    if prepare(data):
        print(f"Data built in {time.monotonic() - began:.0f} s.", flush=True)
    rows: list[dict[str, Any]] = []
    for measured in _measure_all(data, options.seconds, not options.no_race):
        verdict = f"MISSED: {measured.missed}" if measured.missed else "ok"
        print(
            f"{measured.name:44} {measured.ms:9.2f} ms {measured.ratio:6.1f} times  "
            f"{verdict}",
            flush=True,
        )
        rows.append(measured.as_data())
    if not is_intact(data):
        sys.exit("The data is not what it was before.")
    measures_storage = options.storage and connection.vendor == "postgresql"
    told = {
        "database": _version(),
        "vendor": connection.vendor,
        "size": data.size,
        "rows": rows,
        "storage": measure_storage() if measures_storage else [],
    }
    options.file.write_text(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
