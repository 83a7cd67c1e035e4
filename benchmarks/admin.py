"""
Measure the pages of the admin at a million enrollments.

``make bench-admin`` measures PostgreSQL and writes ``admin.md`` beside this file. The
data is that of the other benchmarks, with some rare modes and sources, and invitations.
It is made in a database of its own, which ``ENROLLMENTS_BENCHMARK_DATABASE`` can name.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.admin_settings"
os.environ.setdefault(
    "ENROLLMENTS_BENCHMARK_DATABASE",
    "postgres://postgres@127.0.0.1:5432/enrollments_benchmark_admin",
)

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 - needs the settings.
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402

from benchmarks.dataset import DataSet, prepare  # noqa: E402
from django_enrollments.models import (  # noqa: E402
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EnrollmentEvent,
)

FOLDER = Path(__file__).parent
SIZE = 1_000_000
RUNS = 9

ROOT = "/admin/django_enrollments/"


def add_rare_rows(data: DataSet) -> None:
    """Change some rows to rare modes and sources, and add invitations."""
    with connection.cursor() as cursor:
        events = EnrollmentEvent._meta.db_table
        cursor.execute(f"UPDATE {events} SET source = 'rest' WHERE id % 50 = 1")
        cursor.execute(f"UPDATE {events} SET source = 'admin' WHERE id % 1000 = 0")
        rows = CourseEnrollment._meta.db_table
        cursor.execute(f"UPDATE {rows} SET mode = 'masters' WHERE id % 2000 = 7")
    invitations = (
        CourseEnrollmentAllowed(
            email=f"guest{number}@example.org",
            course_id=data.course_id(number % data.ordinary_courses),
        )
        for number in range(SIZE // 10)
    )
    CourseEnrollmentAllowed.objects.bulk_create(
        invitations, batch_size=5_000, ignore_conflicts=True
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def pages(data: DataSet) -> Iterator[tuple[str, str]]:
    """Yield names and addresses of pages."""
    enrollments = f"{ROOT}courseenrollment/"
    large = data.large_course.replace("+", "%2B")
    active = CourseEnrollment.objects.active().order_by("-pk")
    last = active.values_list("pk", flat=True)[0]
    yield "Enrollments", enrollments
    yield "- page 50, the last", f"{enrollments}?p=50"
    yield "- of the largest course (50,000)", f"{enrollments}?course={large}"
    yield "- the same, page 50", f"{enrollments}?course={large}&p=50"
    yield "- in a frequent mode", f"{enrollments}?mode=verified"
    yield "- in a rare mode (500)", f"{enrollments}?mode=masters"
    yield "- in a mode without enrollments", f"{enrollments}?mode=credit"
    yield "- that are former", f"{enrollments}?state=left"
    yield (
        "- in a mode of the largest course",
        f"{enrollments}?course={large}&mode=honor",
    )
    yield "- last changed by the most frequent source", f"{enrollments}?source=api"
    yield "- last changed by REST (20,000)", f"{enrollments}?source=rest"
    yield "- last changed by the admin (1,000)", f"{enrollments}?source=admin"
    yield "- last changed by a source without events", f"{enrollments}?source=command"
    yield (
        "- created within a year",
        f"{enrollments}?created__gte=2025-06-01+00:00:00%2B00:00",
    )
    yield "- search for a learner", f"{enrollments}?q=learner4711"
    yield "- search for an address", f"{enrollments}?q=learner4711@example.org"
    yield "- search for a part of many names", f"{enrollments}?q=learner"
    yield "- search for a course", f"{enrollments}?q={large}"
    yield "- search for a part of many ids", f"{enrollments}?q=course-v1:"
    yield "- search without a result", f"{enrollments}?q=no-such-text"
    yield "Page of an enrollment", f"{enrollments}{last}/change/"
    yield "Form that unenrolls", f"{enrollments}{last}/change/unenroll/"
    yield "Form that enrolls", f"{enrollments}add/"
    events = f"{ROOT}enrollmentevent/"
    yield "Events", events
    yield "- page 50, the last", f"{events}?p=50"
    yield "- of a frequent type", f"{events}?type__exact=created"
    yield "- of a type without events", f"{events}?type__exact=mode_changed"
    yield "- by REST (20,000)", f"{events}?source=rest"
    yield "- by a source without events", f"{events}?source=command"
    yield "- search for a learner", f"{events}?q=learner4711"
    yield "- search for the largest course", f"{events}?q={large}"
    yield "- search without a result", f"{events}?q=no-such-text"
    invitations = f"{ROOT}courseenrollmentallowed/"
    yield "Invitations (100,000)", invitations
    yield "- that are used (none)", f"{invitations}?state=used"
    yield "- search for an address", f"{invitations}?q=guest4711@example.org"
    yield "- search for a course", f"{invitations}?q=course-v1:Bench7X"
    yield "Courses (10,003)", f"{ROOT}course/"
    yield "- search in ids and titles", f"{ROOT}course/?q=Large"
    key = data.large_course.replace("+", "_2B").replace(":", "_3A")
    yield "Page of the largest course", f"{ROOT}course/{key}/change/"
    yield "- question before its deletion", f"{ROOT}course/{key}/delete/"
    yield "Modes (30,009)", f"{ROOT}coursemode/"
    yield "- search for a course", f"{ROOT}coursemode/?q={large}"
    yield "Attributes", f"{ROOT}courseenrollmentattribute/"
    yield "Roles", f"{ROOT}courseaccessrole/"


class Statements:
    """Counts and times the statements of a block."""

    def __init__(self) -> None:
        self.times: list[tuple[float, str]] = []

    def __call__(self, execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        """Execute a statement."""
        begin = time.perf_counter()
        try:
            return execute(sql, *arguments)
        finally:
            self.times.append((1000 * (time.perf_counter() - begin), sql))


class Server:
    """
    The process of the database that serves the connection, on this machine.

    Its processor time does not depend on what else the machine does. Parallel workers
    are turned off, because theirs would be left out.
    """

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET max_parallel_workers_per_gather = 0")
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        self._file = Path(f"/proc/{pid}/schedstat")

    def busy(self) -> float:
        """Return its processor time so far, in milliseconds."""
        return int(self._file.read_text(encoding="ascii").split()[0]) / 1e6


def measure(client: Client, address: str, server: Server) -> tuple[int, float, float]:
    """
    Return the number of statements of a page, and the milliseconds that they take.

    Returns:
        The number; the median of the database's processor time; and the least time
        until the response of the database was there.
    """
    totals, busy, counts = [], [], set()
    for _ in range(RUNS):
        statements = Statements()
        begin = server.busy()
        with connection.execute_wrapper(statements):
            response = client.get(address)
        busy.append(server.busy() - begin)
        if response.status_code != 200:
            raise RuntimeError(f"{address} answered {response.status_code}.")
        totals.append(sum(ms for ms, _ in statements.times))
        counts.add(len(statements.times))
    if "-v" in sys.argv and min(totals) > 30:
        for ms, sql in statements.times:
            print(f"    {ms:.1f}", sql[:2000] if ms > 10 else sql[:90])
    return max(counts), median(busy), min(totals)


def main() -> None:
    """Measure all pages, and write the table."""
    data = DataSet(SIZE)
    if prepare(data) or not CourseEnrollmentAllowed.objects.exists():
        add_rare_rows(data)
    call_command("migrate", verbosity=0)
    setup_test_environment()
    client = Client()
    operator, _ = get_user_model().objects.update_or_create(
        username=data.staff, defaults={"is_staff": True, "is_superuser": True}
    )
    client.force_login(operator)
    server = Server()
    lines = [
        "| Page | Statements | Processor ms of the database | Fastest ms |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, address in pages(data):
        count, busy, ms = measure(client, address, server)
        lines.append(f"| {name} | {count} | {busy:.1f} | {ms:.1f} |")
        print(lines[-1])
    text = "\n".join(lines) + "\n"
    (FOLDER / "admin.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
