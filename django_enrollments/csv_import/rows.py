"""
CSV files of enrollments, read line by line, with an error for each invalid row.

The first line names the columns: ``course``, and ``username`` or ``email`` or both;
``mode`` and ``action`` are optional, as columns and in each row, and so is ``course``
in a file about one course. A row is one line. No valid value contains a line break, so
an unclosed quote makes only one row invalid.
"""

from __future__ import annotations

import csv
import io
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from django.utils.translation import gettext as _

from django_enrollments.core.bulk import ACTIONS
from django_enrollments.errors import CourseEnrollmentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: All columns.
COLUMNS = ("course", "username", "email", "mode", "action")

#: Characters of a blank line; spreadsheets write commas.
BLANK = " \t\r\n,"

#: Standard input or output.
STANDARD = Path("-")

_AS_TEXT: Any = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}

#: Replaces NUL, which older versions of the csv module refuse. Decoded text never
#: contains it.
_NUL = "\ud800"


class InvalidFileError(CourseEnrollmentError):
    """
    The whole file is refused.

    Attributes:
        code: ``invalid_header``, ``empty_file``, ``file_too_large`` or
            ``too_many_rows``.
    """

    code = "invalid_header"

    def __init__(self, message: str, code: str = "invalid_header") -> None:
        super().__init__(message)
        self.args = (message, code)
        self.code = code


@dataclass(frozen=True)
class Task:
    """
    The change that a row requests. Consecutive rows may have equal tasks.

    Attributes:
        course_id: The course id.
        kind: ``username`` or ``email``, the kind of the row's identifier.
        mode: Mode slug; ``None`` for the default.
        action: ``enroll`` or ``unenroll``.
    """

    course_id: str
    kind: str
    mode: str | None
    action: str


@dataclass(frozen=True)
class FileRow:
    """
    One row of a file.

    Attributes:
        line: Number of the line; the header is line 1.
        identifier: The username or address, or a part of it in an invalid row.
        task: The requested change; ``None`` in an invalid row.
        code: Error code of an invalid row.
        message: Error message of an invalid row, with its column.
    """

    line: int
    identifier: str
    task: Task | None
    code: str = ""
    message: str = ""


class _InvalidRow(Exception):  # noqa: N818 - private to this module.
    def __init__(self, code: str, column: int, name: str, text: str) -> None:
        super().__init__(code, column, name, text)
        self.code = code
        where = {"column": column, "name": name, "text": text}
        if name:
            self.message = _("Column %(column)d (%(name)s): %(text)s") % where
        else:
            self.message = _("Column %(column)d: %(text)s") % where


@contextmanager
def open_rows(path: Path) -> Iterator[TextIO]:
    """
    Open a file for :func:`read_rows`, with invalid UTF-8 as surrogates.

    Args:
        path: The file, or ``STANDARD``, which is not closed.

    Raises:
        OSError: The file cannot be opened.
    """
    if path != STANDARD:
        with path.open(**_AS_TEXT) as file:
            yield file
        return
    text = io.TextIOWrapper(sys.stdin.buffer, **_AS_TEXT)
    try:
        yield text
    finally:
        text.detach()


def read_rows(lines: Iterable[str], course_id: str | None = None) -> Iterator[FileRow]:
    """
    Read the header, and return an iterator of rows, valid or not. Skip blank lines.

    Args:
        lines: The lines, also of text that is not valid UTF-8, as surrogates.
        course_id: The only course that rows may name; rows that name none are about it.

    Raises:
        InvalidFileError: The first line is missing or is not a header. While iterating:
            a column without a name has content.
    """
    numbered = enumerate(lines, start=1)
    header = _read_header(next((line for _, line in numbered), ""), course_id)
    return _read_all(header, numbered, course_id)


def _read_all(
    header: Sequence[str], numbered: Iterable[tuple[int, str]], course_id: str | None
) -> Iterator[FileRow]:
    for number, line in numbered:
        text = line.rstrip("\r\n").replace("\x00", _NUL)
        if not text.strip(BLANK):
            continue
        given: dict[str, str] = {}
        values: dict[str, str] = {}
        try:
            for name, value in zip(header, _split(text, header), strict=True):
                if name:
                    given[name], values[name] = value, value.strip()
                elif value.strip():
                    text = _("Line %(line)d has content in a column without a name.")
                    raise InvalidFileError(text % {"line": number})
            task = _read_task(header, values, course_id)
        except _InvalidRow as fault:
            shown = values.get("username") or values.get("email") or ""
            yield FileRow(number, _printable(shown), None, fault.code, fault.message)
        else:
            # An account is found by its exact address, including spaces.
            cells = given if task.kind == "email" else values
            yield FileRow(number, cells[task.kind], task)


def _read_header(line: str, course_id: str | None) -> list[str]:
    if "\t" in line.strip():
        text = _(
            "The first line is separated by tabs; columns are separated by commas."
        )
        raise InvalidFileError(text)
    if ";" in line:
        text = _(
            "The first line is separated by semicolons; columns are separated by "
            "commas."
        )
        raise InvalidFileError(text)
    if not line.strip().isprintable():
        raise InvalidFileError(_("The first line is no UTF-8 text."))
    names = [
        name.strip().lower()
        for name in next(csv.reader([line], skipinitialspace=True), [])
    ]
    named = [name for name in names if name]
    known = ", ".join(COLUMNS)
    if unknown := [name for name in named if name not in COLUMNS]:
        wrong = ", ".join(repr(name) for name in unknown)
        text = _("The first line names %(wrong)s; known: %(known)s.")
        raise InvalidFileError(text % {"wrong": wrong, "known": known})
    if len({*named}) < len(named):
        text = _("The first line names a column twice; known: %(known)s.")
        raise InvalidFileError(text % {"known": known})
    has_identifier = bool({"username", "email"} & {*names})
    if course_id is None and not ("course" in names and has_identifier):
        text = _("The first line must name 'course', and 'username' or 'email'.")
        raise InvalidFileError(text)
    if not has_identifier:
        text = _("The first line must name 'username' or 'email'.")
        raise InvalidFileError(text)
    return names


def _split(text: str, header: Sequence[str]) -> list[str]:
    """
    Return one value per column.

    Raises:
        _InvalidRow: A quote is not closed, or there are too many or too few values.
    """
    try:
        values = next(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        column = _column_of_fault(text)
        name = header[column - 1] if column <= len(header) else ""
        fault = _("it is too long.")
        if '"' in text:
            fault = _("a quotation mark is missing or in the wrong place.")
        raise _InvalidRow("malformed", column, name, fault) from error
    # Spreadsheets write varying numbers of empty columns at the end of a line.
    while len(values) > len(header) and not values[-1].strip():
        values.pop()
    if not any(header[len(values) :]):
        values += [""] * (len(header) - len(values))
    if len(values) > len(header):
        column = len(header) + 1
        text = _("the header has %(header)d columns, this row %(row)d.")
        text %= {"header": len(header), "row": len(values)}
        raise _InvalidRow("too_many_columns", column, "", text)
    if len(values) < len(header):
        column = len(values) + 1
        text = _("the row ends before it.")
        raise _InvalidRow("too_few_columns", column, header[column - 1], text)
    return values


def _column_of_fault(text: str) -> int:
    """Return the number of the column with the csv module's error."""
    if '"' not in text:
        # The value is too long.
        values = text.split(",")
        return values.index(max(values, key=len)) + 1
    column, is_quoted = 1, False
    for before, character in zip(" " + text, text, strict=False):
        if character == '"':
            is_quoted = not is_quoted
        elif not is_quoted and character == ",":
            column += 1
        elif not is_quoted and before == '"':
            break
    return column


def _read_task(
    header: Sequence[str], values: dict[str, str], course_id: str | None
) -> Task:
    """
    Return the task of a row.

    Raises:
        _InvalidRow: A value is missing, is not valid text, is not an action, or names
            another course than ``course_id``.
    """

    def invalid(code: str, name: str, text: str) -> _InvalidRow:
        return _InvalidRow(code, header.index(name) + 1, name, text)

    for name, value in values.items():
        if _NUL in value:
            raise invalid("nul_character", name, _("it holds a NUL character."))
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise invalid("not_utf8", name, _("it is no UTF-8 text."))
    kinds = [name for name in header if name in {"username", "email"}]
    # A username takes precedence over an address.
    given = sorted((name for name in kinds if values[name]), reverse=True)
    action = values.get("action", "").lower() or "enroll"
    required = ["course"] if course_id is None else []
    for name in (*required, *([] if given else kinds[:1])):
        if not values[name]:
            raise invalid("missing_value", name, _("it is empty."))
    course = values.get("course") or course_id or ""
    if course_id is not None and course != course_id:
        raise invalid("other_course", "course", _("it names another course."))
    if action not in ACTIONS:
        text = _("'%(action)s' is neither enroll nor unenroll.")
        raise invalid("unknown_action", "action", text % {"action": action})
    return Task(course, given[0], values.get("mode") or None, action)


def _printable(text: str) -> str:
    """Return the text without surrogates, which cannot be written."""
    return text.encode("utf-8", "replace").decode("utf-8")
