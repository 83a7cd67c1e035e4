"""Enrolls and unenrolls everybody in a CSV file."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from contextlib import ExitStack
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from django_enrollments import api
from django_enrollments.calls import origin_of
from django_enrollments.enrolling.bulk import ROWS_PER_BATCH
from django_enrollments.enrolling.learners import get_user
from django_enrollments.enrolling.transactions import write_alias, write_transaction
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.management.progress import progress
from django_enrollments.management.rows import (
    COLUMNS,
    FileRow,
    HeaderError,
    Task,
    open_rows,
    read_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Columns of the result file.
RESULT_COLUMNS = ("line", "identifier", "status", "code", "message")

#: How many failed rows are shown; the result file has them all.
FAILURES_SHOWN = 20


class Command(BaseCommand):
    """``bulk_enroll FILE.csv``; safe to run twice."""

    help = (
        "Enroll or unenroll everybody in a CSV file, whose first line names its "
        f"columns: {', '.join(COLUMNS)}. A row needs a course, and a username or an "
        "e-mail address; without a mode it means the course's default; the action is "
        "enroll or unenroll. An address without an account is invited. Every row gets "
        "a line in the result file; the exit status is 1 when any row failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", type=Path, help="the CSV file, in UTF-8")
        parser.add_argument(
            "--output",
            type=Path,
            help="the result file; FILE.results.csv beside the file when left out",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="do everything in a transaction that is rolled back in the end",
        )
        parser.add_argument(
            "--force", action="store_true", help="lift enrollment dates and invitations"
        )
        parser.add_argument(
            "--over-capacity", action="store_true", help="lift the number of seats"
        )
        parser.add_argument("--actor", metavar="USERNAME", help="who does it")
        parser.add_argument("--reason", default="", help="why, for the history")

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Work through the file.

        Raises:
            CommandError: A row failed, or nothing could be done at all.
        """
        path: Path = options["file"]
        output: Path = options["output"] or path.with_name(f"{path.stem}.results.csv")
        terms = _read_terms(options)
        counts: Counter[str] = Counter()
        failures: list[str] = []
        with ExitStack() as stack:
            try:
                total = _count_rows(path)
                rows = read_rows(stack.enter_context(open_rows(path)))
                if output.exists() and output.samefile(path):
                    raise CommandError("The result would overwrite the file itself.")
                file = output.open("w", encoding="utf-8", newline="")
                writer = csv.writer(stack.enter_context(file))
            except (OSError, HeaderError) as error:
                raise CommandError(str(error)) from error
            if options["dry_run"]:
                using = write_alias()
                stack.enter_context(write_transaction(using))
                stack.callback(transaction.set_rollback, True, using)
            terminal = options.get("stderr") or sys.stderr
            advance = stack.enter_context(
                progress(total, terminal=terminal, say=self.stdout.write)
            )
            writer.writerow(RESULT_COLUMNS)
            for result in _work_through(rows, terms):
                writer.writerow(result[name] for name in RESULT_COLUMNS)
                counts[result["status"]] += 1
                if result["status"] == "error" and len(failures) < FAILURES_SHOWN:
                    failures.append("Line {line}: {code}: {message}".format(**result))
                advance(1)
        for failure in failures:
            self.stderr.write(failure)
        for status, count in sorted(counts.items()):
            self.stdout.write(f"{status}: {count}")
        if options["dry_run"]:
            self.stdout.write("This was a dry run; nothing has been changed.")
        self.stdout.write(f"Every row has its result in {output}")
        if counts["error"]:
            raise CommandError(f"{counts['error']} of {counts.total()} rows failed.")


def _read_terms(options: dict[str, Any]) -> dict[str, Any]:
    """
    Give what all rows have in common, as ``api.bulk_enroll`` takes it.

    Raises:
        CommandError: The actor is unknown, or the reason cannot be stored.
    """
    try:
        actor = options["actor"] and get_user(options["actor"])
        origin_of(actor=actor, reason=options["reason"])
    except CourseEnrollmentError as error:
        raise CommandError(str(error)) from error
    return {
        "force": options["force"],
        "over_capacity": options["over_capacity"],
        "actor": actor,
        "reason": options["reason"],
    }


def _count_rows(path: Path) -> int | None:
    """Count the rows to come; ``None`` where a file can be read only once."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return max(0, sum(1 for line in file if line.strip()) - 1)


def _work_through(
    rows: Iterable[FileRow], terms: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Do neighbours that ask for the same together; give every row's result."""
    for task, neighbours in groupby(rows, key=lambda row: row.task):
        while chunk := list(islice(neighbours, ROWS_PER_BATCH)):
            results = _do(task, chunk, terms) if task else map(_fault, chunk)
            for row, result in zip(chunk, results, strict=True):
                yield {
                    "line": row.line,
                    "identifier": row.identifier,
                    "status": result["status"],
                    "code": result["code"] or "",
                    # One line per row, whatever a filter says.
                    "message": " ".join(result["message"].splitlines()),
                }


def _do(
    task: Task, rows: Sequence[FileRow], terms: dict[str, Any]
) -> list[dict[str, Any]]:
    """Do what some rows ask for; where they cannot even begin, each has failed."""
    identifiers = [row.identifier for row in rows]
    try:
        return api.bulk_enroll(
            task.course_id,
            usernames=identifiers if task.kind == "username" else (),
            emails=identifiers if task.kind == "email" else (),
            mode=task.mode,
            action=task.action,
            **terms,
        )
    except CourseEnrollmentError as error:
        return [
            {"status": "error", "code": error.code, "message": str(error)} for _ in rows
        ]


def _fault(row: FileRow) -> dict[str, Any]:
    return {"status": "error", "code": row.code, "message": row.message}
