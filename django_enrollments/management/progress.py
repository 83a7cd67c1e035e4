"""Progress of a command: a bar on a terminal, otherwise a line from time to time."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Number of rows per line.
ROWS_PER_LINE = 1_000


@contextmanager
def progress(
    total: int | None, *, terminal: Any, write_line: Callable[[str], object]
) -> Iterator[Callable[[int], object]]:
    """
    Show the number of processed rows.

    Args:
        total: Number of rows; ``None`` if unknown.
        terminal: Stream for the bar, if it is a terminal and tqdm is installed (extra
            ``progress``).
        write_line: Writes a line otherwise.

    Yields:
        A function that takes the number of rows processed since its last call.
    """
    tqdm = _find_tqdm() if terminal.isatty() else None
    if tqdm:
        with tqdm(total=total, unit=" rows", file=terminal) as bar:
            yield bar.update
        return
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        lines = done // ROWS_PER_LINE
        done += rows
        if done // ROWS_PER_LINE > lines:
            of_all = "" if total is None else f" of {total}"
            write_line(f"{done}{of_all} rows done")

    yield count


def _find_tqdm() -> Any | None:
    try:
        return import_module("tqdm").tqdm
    except ImportError:
        return None
