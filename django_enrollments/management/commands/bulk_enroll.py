"""Enrolls and unenrolls everybody in a CSV file."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from itertools import groupby, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defusedcsv import csv  # type: ignore[import-untyped]
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections, transaction

from django_enrollments import api
from django_enrollments.context import origin_of
from django_enrollments.core.transactions import write_alias, write_transaction
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.management.progress import progress
from django_enrollments.management.rows import (
    COLUMNS,
    STANDARD,
    FileRow,
    HeaderError,
    Task,
    open_rows,
    read_rows,
)
from django_enrollments.users import get_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django_enrollments.payloads import BulkResultDict

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
        parser.add_argument(
            "file", type=Path, help="the CSV file, in UTF-8; - is standard input"
        )
        parser.add_argument(
            "--output",
            type=Path,
            help="the result file, - being standard output; when left out, "
            "FILE.results.csv beside the file, or standard output for standard input",
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
        Work through the file, a batch at a time.

        Raises:
            CommandError: A row failed, or nothing could be done at all.
        """
        source = Path(options["file"])
        beside = source.with_name(f"{source.stem}.results.csv")
        output = Path(options["output"] or (beside if source != STANDARD else STANDARD))
        # Words go where no results do.
        say = self.stdout.write if output != STANDARD else self._say_aside
        terms = _read_terms(options)
        counts: Counter[str] = Counter()
        failures: list[str] = []
        with ExitStack() as stack:
            try:
                total = _count_rows(source)
                rows = read_rows(stack.enter_context(open_rows(source)))
                if output.exists() and output.samefile(source):
                    raise CommandError("The result would overwrite the file itself.")
                writer = csv.writer(stack.enter_context(self._open_results(output)))
            except (OSError, HeaderError) as error:
                raise CommandError(str(error)) from error
            forget = stack.enter_context(_dry_run()) if options["dry_run"] else None
            terminal = options.get("stderr") or sys.stderr
            advance = stack.enter_context(progress(total, terminal=terminal, say=say))
            writer.writerow(RESULT_COLUMNS)
            for result in _work_through(_readable(rows), terms):
                writer.writerow([result[name] for name in RESULT_COLUMNS])
                counts[result["status"]] += 1
                if result["status"] == "error" and len(failures) < FAILURES_SHOWN:
                    failures.append("Line {line}: {code}: {message}".format(**result))
                advance(1)
                if forget:
                    forget()
        for failure in failures:
            self.stderr.write(failure)
        for status, count in sorted(counts.items()):
            say(f"{status}: {count}")
        if options["dry_run"]:
            say("This was a dry run; nothing has been changed.")
        if output != STANDARD:
            say(f"Every row has its result in {output}")
        if counts["error"]:
            raise CommandError(f"{counts['error']} of {counts.total()} rows failed.")

    def _say_aside(self, message: str) -> None:
        self.stderr.write(message, style_func=str)

    @contextmanager
    def _open_results(self, path: Path) -> Iterator[Any]:
        if path == STANDARD:
            yield self.stdout
            return
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file


@contextmanager
def _dry_run() -> Iterator[Callable[[], object]]:
    """
    Roll back in the end whatever is done meanwhile.

    Yields:
        A function that drops what waits for a commit that never comes, which would
        grow with the file otherwise.
    """
    using = write_alias()
    with write_transaction(using):
        connection = connections[using]
        before = len(connection.run_on_commit)

        def forget() -> None:
            del connection.run_on_commit[before:]

        yield forget
        transaction.set_rollback(True, using)


def _read_terms(options: dict[str, Any]) -> dict[str, Any]:
    """
    Return what all rows have in common, as ``api.bulk_enroll`` takes it.

    Raises:
        CommandError: The actor is unknown, or the reason cannot be stored.
    """
    try:
        actor = options["actor"] and get_user(options["actor"], write_alias())
        origin_of(actor=actor, reason=options["reason"])
    except CourseEnrollmentError as error:
        raise CommandError(str(error)) from error
    return {
        "force": options["force"],
        "over_capacity": options["over_capacity"],
        "actor": actor,
        "reason": options["reason"],
    }


def _readable(rows: Iterator[FileRow]) -> Iterator[FileRow]:
    """
    Yield the rows.

    Raises:
        CommandError: A column without a name has content.
    """
    try:
        yield from rows
    except HeaderError as error:
        raise CommandError(str(error)) from error


def _count_rows(path: Path) -> int | None:
    """
    Count the rows to come; ``None`` where a file can be read only once.

    Raises:
        OSError: It cannot be opened.
        HeaderError: As ``read_rows`` raises it, so that nothing is changed.
    """
    if path == STANDARD or not path.is_file():
        return None
    with open_rows(path) as lines:
        return sum(1 for _ in read_rows(lines))


def _work_through(
    rows: Iterable[FileRow], terms: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Do neighbours that ask for the same together; give every row's result."""
    for task, neighbours in groupby(rows, key=lambda row: row.task):
        # What has been asked for and not yet told is a batch at most.
        told, asked = tee(neighbours)
        results = _do(task, asked, terms) if task else map(_fault, asked)
        for row, result in zip(told, results, strict=True):
            yield {
                "line": row.line,
                "identifier": row.identifier,
                "status": result["status"],
                "code": result["code"] or "",
                # One line per row, whatever a filter says.
                "message": " ".join(result["message"].splitlines()),
            }


def _do(
    task: Task, rows: Iterable[FileRow], terms: dict[str, Any]
) -> Iterator[BulkResultDict]:
    """Do what some rows ask for; where they cannot even begin, each has failed."""
    identifiers = (row.identifier for row in rows)
    try:
        return api.bulk_enroll(
            task.course_id,
            usernames=identifiers if task.kind == "username" else (),
            emails=identifiers if task.kind == "email" else (),
            mode=task.mode,
            action=task.action,
            stream=True,
            **terms,
        )
    except CourseEnrollmentError as error:
        code, message = error.code, str(error)
        return (_failed(row, code, message) for row in rows)


def _fault(row: FileRow) -> BulkResultDict:
    return _failed(row, row.code, row.message)


def _failed(row: FileRow, code: str, message: str) -> BulkResultDict:
    return {
        "identifier": row.identifier,
        "status": "error",
        "code": code,
        "message": message,
    }
