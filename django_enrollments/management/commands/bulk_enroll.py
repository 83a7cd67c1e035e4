"""Enroll and unenroll the learners in a CSV file."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defusedcsv import csv  # type: ignore[import-untyped]
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections, transaction

from django_enrollments.context import origin_of
from django_enrollments.core.transactions import write_alias, write_transaction
from django_enrollments.csv_import.results import RESULT_COLUMNS, process_rows
from django_enrollments.csv_import.rows import (
    COLUMNS,
    STANDARD,
    FileRow,
    InvalidFileError,
    open_rows,
    read_rows,
)
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.management.progress import progress
from django_enrollments.management.words import counted
from django_enrollments.users import get_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Number of failed rows that are printed; the result file has all of them.
FAILURES_SHOWN = 20


class Command(BaseCommand):
    """``bulk_enroll FILE.csv``. Running it again changes nothing."""

    help = (
        "Enroll or unenroll the learners in a CSV file. The first line names the "
        f"columns: {', '.join(COLUMNS)}. A row needs a course, and a username or an "
        "e-mail address. Without a mode, the course's default mode is used. The action "
        "is enroll or unenroll; without one, it is enroll. An address without an "
        "account is invited. The result file has a line for each row. The exit status "
        "is 1 if any row failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "file", type=Path, help="the CSV file, in UTF-8; - is standard input"
        )
        parser.add_argument(
            "--output",
            type=Path,
            help="the result file; - is standard output; by default FILE.results.csv "
            "in the same folder, or standard output if the file is standard input",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="do everything in a transaction, and roll it back",
        )
        parser.add_argument(
            "--force", action="store_true", help="lift enrollment dates and invitations"
        )
        parser.add_argument(
            "--over-capacity", action="store_true", help="lift the number of seats"
        )
        parser.add_argument("--actor", metavar="USERNAME", help="actor for the history")
        parser.add_argument("--reason", default="", help="reason for the history")

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Process the file in batches.

        Raises:
            CommandError: A row failed, or the command could not start.
        """
        source = Path(options["file"])
        beside = source.with_name(f"{source.stem}.results.csv")
        output = Path(options["output"] or (beside if source != STANDARD else STANDARD))
        # Messages must not be mixed with results.
        write_line = self.stdout.write if output != STANDARD else self._write_to_stderr
        arguments = _read_arguments(options)
        counts: Counter[str] = Counter()
        failures: list[str] = []
        with ExitStack() as stack:
            try:
                total = _count_rows(source)
                rows = read_rows(stack.enter_context(open_rows(source)))
                if output.exists() and output.samefile(source):
                    raise CommandError("The result would overwrite the file itself.")
                writer = csv.writer(stack.enter_context(self._open_results(output)))
            except (OSError, InvalidFileError) as error:
                raise CommandError(str(error)) from error
            forget = stack.enter_context(_dry_run()) if options["dry_run"] else None
            terminal = options.get("stderr") or sys.stderr
            advance = stack.enter_context(
                progress(total, terminal=terminal, write_line=write_line)
            )
            writer.writerow(RESULT_COLUMNS)
            for row in process_rows(_readable(rows), arguments):
                writer.writerow([getattr(row, name) for name in RESULT_COLUMNS])
                counts[row.status] += 1
                if row.status == "error" and len(failures) < FAILURES_SHOWN:
                    failures.append(f"Line {row.line}: {row.code}: {row.message}")
                advance(1)
                if forget:
                    forget()
        for failure in failures:
            self.stderr.write(failure)
        for status, count in sorted(counts.items()):
            write_line(f"{status}: {count}")
        if options["dry_run"]:
            write_line("This was a dry run; nothing has been changed.")
        if output != STANDARD:
            write_line(f"Every row has its result in {output}")
        if counts["error"]:
            of_all = counted(counts.total(), "row")
            raise CommandError(f"{counts['error']} of {of_all} failed.")

    def _write_to_stderr(self, message: str) -> None:
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
    Roll back all changes at the end.

    Yields:
        A function that drops the callbacks registered for the commit. Without it, their
        number would grow with the file.
    """
    using = write_alias()
    with write_transaction(using):
        connection = connections[using]
        before = len(connection.run_on_commit)

        def forget() -> None:
            del connection.run_on_commit[before:]

        yield forget
        transaction.set_rollback(True, using)


def _read_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of ``api.bulk_enroll`` that are the same for all rows.

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
    except InvalidFileError as error:
        raise CommandError(str(error)) from error


def _count_rows(path: Path) -> int | None:
    """
    Return the number of rows; ``None`` if the file can be read only once.

    Raises:
        OSError: The file cannot be opened.
        InvalidFileError: As raised by ``read_rows``, before any change.
    """
    if path == STANDARD or not path.is_file():
        return None
    with open_rows(path) as lines:
        return sum(1 for _ in read_rows(lines))
