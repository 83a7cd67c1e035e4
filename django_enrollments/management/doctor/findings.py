"""What a check reports, and reading in batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

#: Rows that are read at once.
ROWS_PER_BATCH = 1_000

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """
    One thing that is not as it should be.

    Attributes:
        code: What it is, for programs.
        level: ``error``: data or schema are wrong; ``warning``: somebody should decide;
            ``note``: nothing is wrong.
        subject: The row, course or table, without personal data but keys.
        message: One sentence.
        repair: Repairs it, and returns a sentence about that, or ``""`` if it has been
            repaired meanwhile; ``None`` if no repair is safe.
    """

    code: str
    level: Level
    subject: str
    message: str
    repair: Callable[[], str] | None = field(default=None, compare=False)


def in_batches(rows: QuerySet[Any], key: str = "pk") -> Iterator[list[Any]]:
    """
    Yield the rows of a queryset in batches, in the order of a unique key.

    No cursor stays open, and no more than one batch is in the memory.

    Args:
        rows: Instances, dictionaries or values of the key itself.
        key: Name of a field with distinct values in ``rows``.
    """
    rows, last = rows.order_by(key), None
    while True:
        following = rows if last is None else rows.filter(**{f"{key}__gt": last})
        batch = list(following[:ROWS_PER_BATCH])
        if batch:
            yield batch
        if len(batch) < ROWS_PER_BATCH:
            return
        last = _value(batch[-1], key)


def _value(row: Any, key: str) -> Any:
    if isinstance(row, dict):
        return row[key]
    return getattr(row, key, row)
