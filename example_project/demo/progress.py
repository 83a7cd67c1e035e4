"""Progress of the replay: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    from tqdm import tqdm
except ImportError:  # The "progress" extra is not installed.
    tqdm = None

#: Maximum number of lines.
_LINES = 10


@contextmanager
def progress(total: int, done: int, out: TextIO) -> Iterator[Callable[[int], None]]:
    """
    Yield a function that takes the number of calls made so far.

    Args:
        total: Number of calls.
        done: Number of calls made by an earlier run.
        out: The stream to write to.
    """
    if tqdm is not None and out.isatty():
        # tqdm needs sizes for a terminal that does not report its own.
        columns, lines = shutil.get_terminal_size()
        with tqdm(
            total=total,
            initial=done,
            unit=" calls",
            ncols=columns,
            nrows=lines,
            file=out,
        ) as bar:
            yield lambda now: bar.update(now - bar.n)
    else:
        yield _Lines(total, done, out).show


class _Lines:
    def __init__(self, total: int, done: int, out: TextIO) -> None:
        self._total = total
        self._out = out
        self._began = time.monotonic()
        self._shown = self._line_of(done)

    def show(self, now: int) -> None:
        line = self._line_of(now)
        if line > self._shown:
            self._shown = line
            share = now / self._total
            seconds = time.monotonic() - self._began
            self._out.write(f"  {share:4.0%}  {now:>7,} calls  {seconds:6.1f} s\n")
            self._out.flush()

    def _line_of(self, now: int) -> int:
        return now * _LINES // self._total
