"""Tells what was measured: a table, a page and a picture."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from html import escape
from typing import TYPE_CHECKING, Any

import django
import rest_framework

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Run = dict[str, Any]

_HEADINGS = (
    "work",
    "statements",
    "by hand",
    "ours, ms",
    "by hand, ms",
    "ratio",
    "goal",
    "verdict",
)


def table(runs: Sequence[Run]) -> str:
    """
    Return a table for each database, in Markdown.

    Args:
        runs: What the workers measured.
    """
    return "\n\n".join(
        f"## {run['database']}\n\n{grid(_HEADINGS, map(_cells, run['rows']))}"
        for run in runs
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    counts = (row["statements"], row["floor_statements"])
    return (
        row["name"],
        *("" if count is None else str(count) for count in counts),
        f"{row['ms']:.2f}",
        f"{row['floor_ms']:.2f}",
        f"{_ratio(row):.1f}",
        row["goal"],
        f"**missed**: {row['missed']}" if row["missed"] else "met",
    )


def grid(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """
    Return a table in Markdown.

    Args:
        headings: Of the columns.
        lines: Texts of the cells.
    """
    rows = [headings, *lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows
    )


def described(runs: Sequence[Run]) -> str:
    """
    Describe when and on what was measured, but not on which machine.

    Args:
        runs: What the workers measured.
    """
    day = datetime.now(timezone.utc).date()
    databases = ", ".join(dict.fromkeys(run["database"] for run in runs))
    return (
        f"on {day}, on {os.cpu_count()} cores ({platform.machine()}) with "
        f"{platform.system()}, Python {platform.python_version()}, Django "
        f"{django.__version__}, Django REST framework {rest_framework.VERSION}, "
        f"{databases}"
    )


def page(runs: Sequence[Run]) -> str:
    """
    Return the page of the results, in Markdown.

    Args:
        runs: What the workers measured.
    """
    (size,) = {run["size"] for run in runs}
    parts = [
        "# Measurements",
        f"`make bench` wrote this {described(runs)}: {size:,} enrollments, as many "
        "events.",
        "Medians. Both variants run alternately in one process. `GET` and the admin "
        "list are whole requests, including the statement that reads the session's "
        "user. MariaDB has the goals of PostgreSQL.",
        "![Time as a multiple of hand-written SQL](results.svg)",
        table(runs),
    ]
    return "\n\n".join(parts) + "\n"


NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
COLOURS = {"sqlite": "#3b8ed0", "postgresql": "#8e6cc9", "mysql": "#d08a2e"}
#: Read well on white as on black, wherever the picture is shown.
GREY, RED = "#7d858c", "#d64545"

_LEFT, _WIDTH, _RIGHT = 235, 480, 45
_BAR, _GAP, _TOP = 9, 10, 58


def picture(runs: Sequence[Run]) -> str:
    """
    Draw the ratio of every row to its floor, goals included, as SVG.

    Args:
        runs: What the workers measured.
    """
    rows = list(zip(*(run["rows"] for run in runs), strict=True))
    goals = [row["most_ratio"] or 0 for group in rows for row in group]
    most = int(max(*goals, *(_ratio(row) for group in rows for row in group))) + 1
    scale = _WIDTH / most
    block = _BAR * len(runs) + _GAP
    height = _TOP + block * len(rows)
    parts = [*_legend(runs), *_axis(most, scale, height)]
    for number, group in enumerate(rows):
        top = _TOP + block * number
        name = group[0]["name"].replace("`", "")
        parts.append(text(_LEFT - 8, top + block / 2, name, "end"))
        for position, row in enumerate(group):
            y, width = top + _BAR * position, _ratio(row) * scale
            parts.append(rect(_LEFT, y, width, _BAR - 1, COLOURS[row["vendor"]]))
            place = width
            if row["most_ratio"]:
                goal = row["most_ratio"] * scale
                parts.append(line(_LEFT + goal, y - 1, _LEFT + goal, y + _BAR, RED, 2))
                if width - 2 < goal < width + 24:
                    place = goal
            told = f"{_ratio(row):.1f}"
            parts.append(text(_LEFT + place + 4, y + _BAR - 1, told, size=9))
    title = "Time as a multiple of hand-written SQL"
    return svg(_LEFT + _WIDTH + _RIGHT, height, title, parts)


def _ratio(row: dict[str, Any]) -> float:
    ratio: float = row["ms"] / row["floor_ms"]
    return ratio


def _legend(runs: Sequence[Run]) -> Iterator[str]:
    x = _LEFT
    for run in runs:
        yield rect(x, 10, 10, 10, COLOURS[run["vendor"]])
        yield text(x + 15, 19, NAMES[run["vendor"]])
        x += 95
    yield line(x, 9, x, 21, RED, 2)
    yield text(x + 8, 19, "goal: stay left of it")
    yield text(_LEFT - 8, _TOP - 13, "times as long as", "end", 10)


def _axis(most: int, scale: float, height: float) -> Iterator[str]:
    """Draw a line for each ratio, 1 being the floor."""
    for ratio in range(most + 1):
        x = _LEFT + ratio * scale
        label = "by hand" if ratio == 1 else str(ratio)
        yield line(x, _TOP - 8, x, height, GREY, 1.5 if ratio in {0, 1} else 0.3)
        if ratio:
            yield text(x, _TOP - 13, label, "middle", 10)


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """
    Return a whole picture.

    Args:
        width: In pixels.
        height: In pixels.
        title: For those who cannot see it.
        parts: What is in it.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" '
        f'role="img">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])


def rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Return a filled rectangle."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{colour}"/>'
    )


def line(
    x: float,
    y: float,
    to_x: float,
    to_y: float,
    colour: str = GREY,
    width: float = 1,
) -> str:
    """Return a straight line."""
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    """Return words that start, end or have their middle at a place."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{GREY}">{escape(words)}</text>'
    )
