"""The results of the rows of a CSV file, and what produces them."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, tee
from typing import TYPE_CHECKING, Any

from defusedcsv import csv  # type: ignore[import-untyped]
from django.utils.translation import gettext_lazy as _

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django_enrollments.csv_import.rows import FileRow, Task
    from django_enrollments.payloads import BulkResultDict

#: Columns of the result file.
RESULT_COLUMNS = ("line", "identifier", "status", "code", "message")

#: Text for each status.
STATUS_LABELS = {
    "created": _("Enrolled"),
    "reactivated": _("Enrolled again"),
    "mode_changed": _("Mode changed"),
    "deactivated": _("Unenrolled"),
    "invited": _("Invited"),
    "uninvited": _("Invitation taken back"),
    "unchanged": _("Unchanged"),
    "error": _("Refused"),
}


@dataclass(frozen=True)
class RowResult:
    """
    The result of one row.

    Attributes:
        line: Number of the line; the header is line 1.
        identifier: The username or address.
        status: A status of :func:`~django_enrollments.api.bulk_enroll`.
        code: Code of the error, or ``""``.
        message: Message of the error on one line, or ``""``.
        course_id: The course id; ``""`` in a row that cannot be read.
    """

    line: int
    identifier: str
    status: str
    code: str = ""
    message: str = ""
    course_id: str = ""

    @property
    def label(self) -> str:
        """The status as translated text."""
        return str(STATUS_LABELS[self.status])


@dataclass(frozen=True)
class ImportResult:
    """
    The results of a file.

    Attributes:
        rows: One result for each row, in order.
    """

    rows: Sequence[RowResult] = field(repr=False)

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of rows by status, in the order of ``STATUS_LABELS``."""
        counted = Counter(row.status for row in self.rows)
        return {status: counted[status] for status in STATUS_LABELS if counted[status]}

    @property
    def labelled_counts(self) -> list[tuple[str, int]]:
        """The number of rows by translated status."""
        return [(str(STATUS_LABELS[one]), count) for one, count in self.counts.items()]

    def as_csv(self) -> str:
        """Return the result file as text. No cell is a formula in a spreadsheet."""
        text = io.StringIO()
        write_results(text, self.rows)
        return text.getvalue()


def write_results(file: Any, rows: Iterable[RowResult]) -> None:
    """Write a result file. No cell of it is a formula in a spreadsheet."""
    writer = csv.writer(file)
    writer.writerow(RESULT_COLUMNS)
    for row in rows:
        writer.writerow([getattr(row, name) for name in RESULT_COLUMNS])


def process_rows(
    rows: Iterable[FileRow], arguments: dict[str, Any]
) -> Iterator[RowResult]:
    """
    Process consecutive rows with equal tasks together, and yield all results.

    Args:
        rows: The rows; as many are read as a batch needs.
        arguments: Arguments of ``api.bulk_enroll`` that are the same for all rows.
    """
    for task, group in groupby(rows, key=lambda row: row.task):
        # tee() keeps at most one batch of rows.
        rows_read, rows_to_do = tee(group)
        results = _run(task, rows_to_do, arguments) if task else map(_fault, rows_to_do)
        for row, result in zip(rows_read, results, strict=True):
            yield RowResult(
                row.line,
                row.identifier,
                result["status"],
                result["code"] or "",
                # The message of a filter may have several lines.
                " ".join(result["message"].splitlines()),
                task.course_id if task else "",
            )


def _run(
    task: Task, rows: Iterable[FileRow], arguments: dict[str, Any]
) -> Iterator[BulkResultDict]:
    """Return the results of rows with one task. If it is invalid, each row fails."""
    identifiers = (row.identifier for row in rows)
    try:
        return api.bulk_enroll(
            task.course_id,
            usernames=identifiers if task.kind == "username" else (),
            emails=identifiers if task.kind == "email" else (),
            mode=task.mode,
            action=task.action,
            stream=True,
            **arguments,
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
