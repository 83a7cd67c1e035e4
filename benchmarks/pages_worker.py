"""
Measures the pages of the example project and writes the results as JSON.

``python -m benchmarks.pages_worker SIZE FILE``, under ``benchmarks.pages_settings``;
``python -m benchmarks.pages`` calls it.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from accounts.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from benchmarks.dataset import DataSet
from benchmarks.pages_dataset import TEACHER, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Requests per page; the quickest counts, which other work disturbed least.
REQUESTS = 9


class Page(NamedTuple):
    """
    A page to measure.

    Attributes:
        name: Its name in the table.
        path: Its path and query.
        user: The username of the visitor; empty for an anonymous one.
        is_cold: Whether the cache is empty at each request.
    """

    name: str
    path: str
    user: str = ""
    is_cold: bool = False


def pages(data: DataSet) -> Iterator[Page]:
    """
    Yield all pages.

    Args:
        data: The data in the database.
    """
    large, seated = data.large_course, data.seated_course
    in_large = User.objects.get(username=data.username(0)).pk
    team = reverse("team:roster", args=[large])
    size = f"{data.in_large_course:,}"
    lister = data.lister(500)
    yield Page("catalogue, anonymous", "/")
    yield Page("catalogue, a learner with 500 courses", "/", lister)
    yield Page("catalogue, search", "/?q=CS77", lister)
    yield Page("course page", reverse("course", args=[seated]), lister)
    yield Page("my courses, 500 of them", "/my/", lister)
    yield Page(f"roster of {size} learners", team, TEACHER)
    yield Page("roster, page 500 by username", f"{team}?page=500&sort=learner", TEACHER)
    yield Page("roster, a search", f"{team}?q=learner777", TEACHER)
    yield Page(
        "roster, a mode and a date", f"{team}?mode=audit&since=2024-01-01", TEACHER
    )
    yield Page("learner", reverse("team:learner", args=[large, in_large]), TEACHER)
    yield Page("enroll", reverse("team:enroll", args=[large]), TEACHER)
    yield Page("1,000 invitations", reverse("team:invitations", args=[large]), TEACHER)
    yield Page("import", reverse("team:import", args=[large]), TEACHER)
    yield Page(
        f"CSV of {size} learners", reverse("team:download", args=[large]), TEACHER
    )
    yield Page("dashboard", reverse("dashboard"), data.staff)
    yield Page("dashboard, first time", reverse("dashboard"), data.staff, is_cold=True)


def measure(page: Page) -> dict[str, Any]:
    """
    Request a page several times.

    Returns:
        The ``name``; the number of ``statements``; of the quickest request ``sql_ms``,
        the time of all statements, and ``ms``, the time of the whole request.
    """
    client = Client()
    if page.user:
        client.force_login(User.objects.get(username=page.user))
    # Templates are compiled, and the cache is filled.
    b"".join(client.get(page.path))
    requests = [_request(client, page) for _ in range(REQUESTS)]
    whole, sql, _ = min(requests)
    statements = max(count for _, _, count in requests)
    return {"name": page.name, "statements": statements, "sql_ms": sql, "ms": whole}


def _request(client: Client, page: Page) -> tuple[float, float, int]:
    if page.is_cold:
        cache.clear()
    with CaptureQueriesContext(connection) as captured:
        began = time.perf_counter()
        response = client.get(page.path)
        b"".join(response)
        whole = time.perf_counter() - began
    if response.status_code != 200:
        raise RuntimeError(f"{page.path}: {response.status_code}")
    sql = sum(float(query["time"]) for query in captured)
    return whole * 1000, sql * 1000, len(captured)


def _version() -> str:
    if connection.vendor == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        return " ".join(cursor.fetchone()[0].split()[:2])


def main(size: str, file: str) -> None:
    """
    Measure all pages, and print each result.

    Args:
        size: The number of enrollments.
        file: The path of the file to write.
    """
    data = DataSet(int(size))
    if prepare(data):
        print("Data built.", flush=True)
    rows = []
    for page in pages(data):
        row = measure(page)
        print(
            f"{row['name']:40} {row['statements']:3} statements "
            f"{row['sql_ms']:8.1f} ms of SQL {row['ms']:8.1f} ms",
            flush=True,
        )
        rows.append(row)
    result = {"database": _version(), "vendor": connection.vendor, "rows": rows}
    Path(file).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
