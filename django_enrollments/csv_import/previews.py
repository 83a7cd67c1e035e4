"""
An import in two steps: a preview that writes nothing, and its confirmation.

The preview enrolls and unenrolls for real, in a transaction that is rolled back, so it
cannot differ from the import. Its token proves what was shown: the import is rolled
back, too, if its results are different ones.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.core import signing
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_enrollments.context import origin_of, outside_call
from django_enrollments.core.transactions import (
    retry_on_conflict,
    write_alias,
    writing_call,
)
from django_enrollments.csv_import.results import ImportResult, process_rows
from django_enrollments.csv_import.rows import InvalidFileError, read_rows
from django_enrollments.errors import CourseNotFoundError
from django_enrollments.identifiers import find_course
from django_enrollments.models import get_course_adapter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from typing_extensions import Unpack

    from django_enrollments.csv_import.results import RowResult
    from django_enrollments.csv_import.rows import FileRow
    from django_enrollments.payloads import ImportOptions


#: Size limit of an uploaded file. The command ``bulk_enroll`` has none.
MAX_BYTES = 1024 * 1024

#: Limit of its rows, which are one transaction.
MAX_ROWS = 5_000

#: Time in which a preview can be confirmed.
TOKEN_SECONDS = 60 * 60

_SALT = "django_enrollments.csv_import"


@dataclass(frozen=True)
class Preview(ImportResult):
    """
    The results that an import would have. Nothing has been written.

    Attributes:
        rows: One result for each row, in order.
        token: Signed text for :func:`apply`.
        file: The file as text, for a hidden field of the form that confirms;
            :func:`apply` takes it.
    """

    token: str = field(repr=False)
    file: str = field(repr=False)


class StalePreview(Exception):  # noqa: N818 - the preview is what is wrong.
    """
    The import would do something else than the preview showed. Nothing was written.

    Attributes:
        preview: A new preview of the same file.
    """

    def __init__(self, message: str, preview: Preview) -> None:
        super().__init__(message, preview)
        self.preview = preview

    def __str__(self) -> str:
        """Return the message, translated."""
        return str(self.args[0])


class _Differs(Exception):  # noqa: N818 - private to this module.
    """Rolls back."""


def preview(
    course: object | None,
    file: IO[bytes] | bytes | str,
    **options: Unpack[ImportOptions],
) -> Preview:
    """
    Return the results that an import would have, and write nothing.

    Permissions and filters are asked as by an import. No signal and no mail is sent.

    Args:
        course: The only course that rows may name, or its id; the column ``course`` is
            optional then. ``None`` if each row names its course.
        file: The uploaded file, its content, or the attribute ``file`` of a preview.
        options: ``actor``, ``reason``, ``source``, ``force`` and ``over_capacity``, as
            :func:`~django_enrollments.api.bulk_enroll` takes them.

    Raises:
        InvalidFileError: The file is too large, or the first line names no columns.
        CourseNotFoundError: The course is unknown.
        CourseEnrollmentError: The reason cannot be stored.
        TypeError: The actor is no user.
    """
    return _Import(course, file, options).preview()


def apply(
    course: object | None,
    file: IO[bytes] | bytes | str,
    token: str,
    **options: Unpack[ImportOptions],
) -> ImportResult:
    """
    Import a file as its preview has shown, in one transaction, and return the results.

    Args:
        course: As for :func:`preview`.
        file: The same file.
        token: The token of the preview.
        options: The same options.

    Raises:
        StalePreview: Rows would have other results than the preview had; or the token
            is older than an hour, or is that of another file, course, actor or option.
            Nothing is written.
        InvalidFileError: As for :func:`preview`, like the other errors there.
    """
    return _Import(course, file, options).apply(token)


class _Import:
    def __init__(
        self,
        course: object | None,
        file: IO[bytes] | bytes | str,
        options: ImportOptions,
    ) -> None:
        self.course_id = None if course is None else _course_id(course)
        self.content = _read(file)
        self.rows = _parse(self.content, self.course_id)
        self.arguments = {"source": "bulk", **options}
        origin = origin_of(
            actor=options.get("actor"),
            source=options.get("source", "bulk"),
            reason=options.get("reason", ""),
        )
        self.request = {
            "file": hashlib.sha256(self.content).hexdigest(),
            "course": self.course_id,
            "actor": None if origin.actor_id is None else str(origin.actor_id),
            "source": origin.source,
            "reason": hashlib.sha256(origin.reason.encode()).hexdigest(),
            "force": options.get("force", False),
            "over_capacity": options.get("over_capacity", False),
        }

    def preview(self) -> Preview:
        return self._as_preview(self._run(expected=None))

    def apply(self, token: str) -> ImportResult:
        try:
            signed = signing.loads(token, salt=_SALT, max_age=TOKEN_SECONDS)
        except signing.SignatureExpired:
            text = _("This preview is too old. Check the new one.")
            raise StalePreview(text, self.preview()) from None
        except signing.BadSignature:
            signed = {}
        expected = signed.pop("results", None)
        if signed != self.request:
            text = _(
                "This is not the import that was previewed. Check the new preview."
            )
            raise StalePreview(text, self.preview())
        results = self._run(expected=expected)
        if _digest(results) != expected:
            text = _("Something has changed since the preview. Check the new one.")
            raise StalePreview(text, self._as_preview(results))
        return ImportResult(results)

    def _run(self, expected: str | None) -> list[RowResult]:
        """Return the results; keep what was written if they are those expected."""
        using = write_alias()
        results: list[RowResult] = []

        def attempt(lock: bool) -> None:
            with transaction.atomic(using), writing_call():
                results[:] = process_rows(iter(self.rows), self.arguments)
                if _digest(results) != expected:
                    raise _Differs

        # A call of its own: readings of a transaction that is rolled back are no use
        # to anybody else.
        with outside_call(), suppress(_Differs):
            retry_on_conflict(attempt, using=using)
        return results

    def _as_preview(self, results: Sequence[RowResult]) -> Preview:
        signed = {**self.request, "results": _digest(results)}
        token = signing.dumps(signed, salt=_SALT)
        return Preview(results, token, base64.b64encode(self.content).decode())


def _course_id(course: object) -> str:
    found = find_course(course)
    if found is None:
        raise CourseNotFoundError(f"No course with id '{course}' found.")
    return get_course_adapter().course_id_of(found)


def _read(file: IO[bytes] | bytes | str) -> bytes:
    """
    Return the content of a file.

    Raises:
        InvalidFileError: It is empty or too large, or the hidden field was changed.
    """
    if isinstance(file, str):
        try:
            content = base64.b64decode(file, validate=True)
        except (binascii.Error, ValueError):
            content = b""
    else:
        # One byte more than is accepted, so that no large file fills the memory.
        content = file if isinstance(file, bytes) else file.read(MAX_BYTES + 1)
    if not content.strip():
        raise InvalidFileError(_("The file is empty."), "empty_file")
    if len(content) > MAX_BYTES:
        text = ngettext(
            "The file is larger than %(limit)d kilobyte.",
            "The file is larger than %(limit)d kilobytes.",
            MAX_BYTES // 1024,
        )
        raise InvalidFileError(text % {"limit": MAX_BYTES // 1024}, "file_too_large")
    return content


def _parse(content: bytes, course_id: str | None) -> list[FileRow]:
    """
    Return the rows.

    Raises:
        InvalidFileError: The file has no header, no rows, or too many.
    """
    rows: list[FileRow] = []
    for row in read_rows(io.StringIO(_decode(content), newline=""), course_id):
        rows.append(row)
        if len(rows) > MAX_ROWS:
            text = ngettext(
                "The file has more than %(limit)d row.",
                "The file has more than %(limit)d rows.",
                MAX_ROWS,
            )
            raise InvalidFileError(text % {"limit": MAX_ROWS}, "too_many_rows")
    if not rows:
        raise InvalidFileError(_("The file has no rows."), "empty_file")
    return rows


def _decode(content: bytes) -> str:
    """Return the text, with bytes that are no UTF-8 as surrogates."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        # Spreadsheets call it Unicode text. Its rows are refused if it is damaged.
        return content.decode("utf-16", errors="replace").replace("\ufffd", "\udc80")
    return content.decode("utf-8-sig", errors="surrogateescape")


def _digest(results: Sequence[RowResult]) -> str:
    """Return a digest of the results, in any language."""
    shown = [(one.line, one.identifier, one.status, one.code) for one in results]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()
