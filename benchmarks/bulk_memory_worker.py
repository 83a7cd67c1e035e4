"""
Measures one bulk in a process of its own, and prints what came of it as JSON.

``python -m benchmarks.bulk_memory_worker FORM ROWS``, under ``benchmarks.settings``; it
is ``python -m benchmarks.bulk_memory`` that calls it. ``FORM`` is ``prepare``, for
``ROWS`` users, ``stream``, ``list`` or ``command``.
"""

from __future__ import annotations

import io
import json
import platform
import resource
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from django_enrollments import api
from django_enrollments.core.sql import insert_rows
from django_enrollments.models import (
    Course,
    CourseEnrollment,
    CourseMode,
    EnrollmentEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

COURSE_ID = "course-v1:edX+Bulk+Memory"
FILE = Path(__file__).parent / ".data" / "bulk_memory.csv"

#: What every user has.
_PLAIN = {
    "password": "!",
    "first_name": "",
    "last_name": "",
    "is_staff": False,
    "is_superuser": False,
    "is_active": True,
}


def _names(count: int) -> Iterator[str]:
    return (f"learner{number:07}" for number in range(count))


def prepare(count: int) -> None:
    """
    Make the database, its tables and the users, where they are not there yet.

    Args:
        count: How many users.
    """
    try:
        connection.ensure_connection()
    except DatabaseError:
        quoted = connection.ops.quote_name(connection.settings_dict["NAME"])
        coding = " CHARACTER SET utf8mb4" if connection.vendor == "mysql" else ""
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {quoted}{coding}")
    call_command("migrate", verbosity=0)
    users = get_user_model().objects.all()
    names = islice(_names(count), users.count(), None)
    while chunk := list(islice(names, 20_000)):
        shared = {**_PLAIN, "date_joined": timezone.now()}
        columns = {name: [value] * len(chunk) for name, value in shared.items()}
        columns["username"] = chunk
        columns["email"] = [f"{name}@example.org" for name in chunk]
        insert_rows(users.model, columns, using=users.db)


def _begin() -> None:
    """Have one course with nobody in it."""
    with connection.cursor() as cursor:
        for model in (EnrollmentEvent, CourseEnrollment):
            table = connection.ops.quote_name(model._meta.db_table)
            if connection.vendor == "postgresql":
                cursor.execute(f"TRUNCATE {table} CASCADE")
            else:
                cursor.execute(f"DELETE FROM {table}")
    Course.objects.get_or_create(id=COURSE_ID)
    CourseMode.objects.get_or_create(course_id=COURSE_ID, mode_slug="audit")


def _peak() -> float:
    """Return the most memory that this process has had, in MB."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1_000_000


def _enroll(form: str, count: int) -> int:
    """Enroll the first learners, and give how many were enrolled."""
    if form == "stream":
        results = api.bulk_enroll(COURSE_ID, _names(count), stream=True)
        return sum(result["status"] == "created" for result in results)
    if form == "list":
        listed = api.bulk_enroll(COURSE_ID, _names(count))
        return sum(result["status"] == "created" for result in listed)
    output = FILE.with_suffix(".results.csv")
    call_command("bulk_enroll", FILE, output=output, stdout=io.StringIO())
    with output.open() as lines:
        return sum(",created," in line for line in lines)


def measure(form: str, count: int) -> dict[str, Any]:
    """
    Measure one form of the bulk.

    Args:
        form: ``stream``, ``list`` or ``command``.
        count: How many rows.

    Returns:
        Seconds, statements, and the most memory before and in the end, in MB.
    """
    statements = 0

    def count_one(execute: Any, *arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments)

    FILE.write_text("course,username\n")
    with FILE.open("a") as file:
        file.writelines(f"{COURSE_ID},{name}\n" for name in _names(count))
    _begin()
    # A batch beforehand loads what is loaded once.
    _enroll("stream", 500)
    if connection.vendor == "postgresql":
        # Autovacuum does so within a minute, where it is on.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    _begin()
    before, began = _peak(), time.perf_counter()
    with connection.execute_wrapper(count_one):
        done = _enroll(form, count)
    seconds = time.perf_counter() - began
    if done != count:
        raise SystemExit(f"{done} of {count} learners were enrolled.")
    return {
        "form": form,
        "rows": count,
        "seconds": seconds,
        "statements": statements,
        "before": before,
        "peak": _peak(),
    }


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(int(sys.argv[2]))
    else:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
