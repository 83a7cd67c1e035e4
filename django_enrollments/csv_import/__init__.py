"""
CSV files of enrollments: read, previewed and imported.

The command ``bulk_enroll`` and the import pages share it. A page calls
:func:`preview`, shows it, and calls :func:`apply` with its token.
"""

from __future__ import annotations

from django_enrollments.csv_import.previews import (
    MAX_BYTES,
    MAX_ROWS,
    Preview,
    StalePreview,
    apply,
    preview,
)
from django_enrollments.csv_import.results import ImportResult, RowResult
from django_enrollments.csv_import.rows import COLUMNS, InvalidFileError

__all__ = [
    "COLUMNS",
    "MAX_BYTES",
    "MAX_ROWS",
    "ImportResult",
    "InvalidFileError",
    "Preview",
    "RowResult",
    "StalePreview",
    "apply",
    "preview",
]
