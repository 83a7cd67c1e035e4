"""
Measure how the cost of everything grows from 10,000 to a million enrollments.

``make bench-growth`` measures SQLite and, when it answers, PostgreSQL, and writes
``growth.md`` and ``growth.svg`` beside this file.
"""

from __future__ import annotations

import re
import sys
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.__main__ import measure
from benchmarks.report import COLOURS, NAMES, described, grid, line, rect, svg, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER = Path(__file__).parent

DATABASES = ("sqlite", "postgres")
SIZES = (10_000, 100_000, 1_000_000)

#: About how long each row is measured, in seconds.
SECONDS = 0.5

Run = dict[str, Any]


def rows_by_name(runs: Sequence[Run]) -> dict[str, dict[tuple[str, int], float]]:
    """
    Return the milliseconds of each row by database and size.

    Args:
        runs: What the workers measured, the same rows in the same order.
    """
    told: dict[str, dict[tuple[str, int], float]] = {}
    for rows in zip(*(run["rows"] for run in runs), strict=True):
        names = {row["name"] for row in rows}
        name = names.pop()
        if names:
            # It names a number that depends on the size.
            name = re.sub(r"[0-9,]+$", "…", name)
        told[name] = {
            (run["vendor"], run["size"]): row["ms"]
            for run, row in zip(runs, rows, strict=True)
        }
    return told


def page(runs: Sequence[Run]) -> str:
    """
    Return the page of the results, in Markdown.

    Args:
        runs: What the workers measured.
    """
    vendors = list(dict.fromkeys(run["vendor"] for run in runs))
    headings = ["work"]
    for vendor in vendors:
        headings += [f"{NAMES[vendor]}, {size:,}" for size in SIZES] + ["growth"]
    lines = []
    for name, times in rows_by_name(runs).items():
        cells = [name]
        for vendor in vendors:
            series = [times[vendor, size] for size in SIZES]
            cells += [f"{ms:.2f}" for ms in series]
            cells.append(f"{series[-1] / series[0]:.1f}")
        lines.append(cells)
    parts = [
        "# Growth",
        f"`make bench-growth` wrote this {described(runs)}.",
        "Medians in milliseconds. *Growth* is the time with the largest number of "
        "enrollments, divided by the time with the smallest. There is one user per ten "
        "enrollments, but at least 4,000, and one course per hundred, but at least "
        "600. The largest course has a twentieth of the enrollments.",
        "![Cost at three sizes](growth.svg)",
        grid(headings, lines),
    ]
    parts += _storage(runs)
    return "\n\n".join(parts) + "\n"


def _storage(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        if not run["storage"]:
            continue
        yield f"## Size of a row on {run['database']}"
        yield (
            f"With {run['size']:,} rows, added one after the other. *Time* is the time "
            "that the row or the index adds to an insert of many rows in one "
            "statement, in the database. It does not include the check of the user's "
            "foreign key."
        )
        for table in dict.fromkeys(one["table"] for one in run["storage"]):
            entries = [one for one in run["storage"] if one["table"] == table]
            lines = [
                [
                    f"index on {one['columns']}" if one["columns"] else "row",
                    f"{one['bytes']:.0f}",
                    f"{one['microseconds']:.1f}",
                ]
                for one in entries
            ]
            sums = [
                sum(one[key] for one in entries) for key in ("bytes", "microseconds")
            ]
            lines.append(["**together**", f"{sums[0]:.0f}", f"{sums[1]:.1f}"])
            yield grid([f"`{table}`", "bytes", "time, µs"], lines)


_PANEL, _TALL, _GAP, _COLUMNS, _TOP = 165, 62, 46, 4, 40


def picture(runs: Sequence[Run]) -> str:
    """
    Draw a panel for each row: milliseconds from 0 up, enrollments by powers of ten.

    Args:
        runs: What the workers measured.
    """
    vendors = list(dict.fromkeys(run["vendor"] for run in runs))
    parts = []
    for position, vendor in enumerate(vendors):
        parts.append(rect(10 + 95 * position, 8, 10, 10, COLOURS[vendor]))
        parts.append(text(25 + 95 * position, 17, NAMES[vendor]))
    rows = rows_by_name(runs)
    for number, (name, times) in enumerate(rows.items()):
        left = 10 + (_PANEL + 30) * (number % _COLUMNS)
        top = _TOP + (_TALL + _GAP) * (number // _COLUMNS)
        parts += _panel(left, top, name.replace("`", ""), times, vendors)
    height = _TOP + (_TALL + _GAP) * (-(-len(rows) // _COLUMNS))
    width = (_PANEL + 30) * _COLUMNS
    return svg(width, height, "Cost from 10,000 to a million enrollments", parts)


def _panel(
    left: float,
    top: float,
    name: str,
    times: dict[tuple[str, int], float],
    vendors: Sequence[str],
) -> Iterator[str]:
    most = max(times.values()) * 1.1
    bottom = top + 12 + _TALL
    yield text(left, top + 6, name, size=11)
    yield line(left, bottom, left + _PANEL - 10, bottom)
    yield text(left + _PANEL - 8, top + 18, f"{most / 1.1:.3g} ms", size=9)
    for size in SIZES:
        x = left + _place(size)
        yield text(x, bottom + 11, f"{size // 1000}k", "middle", 9)
    for vendor in vendors:
        points = " ".join(
            f"{left + _place(size):.1f},"
            f"{bottom - times[vendor, size] / most * _TALL:.1f}"
            for size in SIZES
        )
        yield (
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[vendor]}" '
            'stroke-width="2"/>'
        )


def _place(size: int) -> float:
    """Return the place of a size on the scale of powers of ten."""
    first, last = log10(SIZES[0]), log10(SIZES[-1])
    return 12 + (_PANEL - 36) * (log10(size) - first) / (last - first)


def main() -> None:
    """Measure and report."""
    runs = [
        run
        for database in DATABASES
        for size in SIZES
        if (
            run := measure(
                database,
                size,
                SECONDS,
                "--no-race",
                *(["--storage"] if size == SIZES[-1] else []),
            )
        )
    ]
    (FOLDER / "growth.md").write_text(page(runs))
    (FOLDER / "growth.svg").write_text(picture(runs))
    print(page(runs))


if __name__ == "__main__":
    sys.exit(main())
