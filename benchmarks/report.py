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
    from collections.abc import Iterator, Sequence

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
    Give a table for each database, in Markdown.

    Args:
        runs: What the workers measured.
    """
    parts = []
    for run in runs:
        rows = [_HEADINGS, *map(_cells, run["rows"])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
        parts.append("\n".join([f"## {run['database']}", "", *lines, ""]))
    return "\n".join(parts)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    counts = (row["statements"], row["floor_statements"])
    return (
        row["name"],
        *("" if count is None else str(count) for count in counts),
        f"{row['ms']:.2f}",
        f"{row['floor_ms']:.2f}",
        f"{row['ms'] / row['floor_ms']:.1f}",
        row["goal"],
        f"**missed**: {row['missed']}" if row["missed"] else "met",
    )


def machine() -> str:
    """Describe the machine and the software, without telling which machine it is."""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, Django {django.__version__}, "
        f"Django REST framework {rest_framework.VERSION}"
    )


def page(runs: Sequence[Run]) -> str:
    """
    Give the page of the results, in Markdown.

    Args:
        runs: What the workers measured.
    """
    (size,) = {run["size"] for run in runs}
    day = datetime.now(timezone.utc).date()
    return (
        "# What was measured\n\n"
        f"`make bench` wrote this on {day}: {size:,} enrollments with as many events.\n"
        f"{machine()}.\n\n"
        "Medians, both ways turn by turn in one process. `GET` and the admin list are\n"
        "whole requests, and count the statement that reads the session's user.\n"
        "MariaDB, for which no goals were set, is held to those of PostgreSQL.\n\n"
        "![Ratios to the floor](results.svg)\n\n" + table(runs)
    )


_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
_COLOURS = {"sqlite": "#3b8ed0", "postgresql": "#8e6cc9", "mysql": "#d08a2e"}
#: Read well on white as on black, wherever the picture is shown.
_GREY, _RED = "#7d858c", "#d64545"

_LEFT, _WIDTH, _RIGHT = 235, 480, 45
_BAR, _GAP, _TOP = 9, 10, 58


def picture(runs: Sequence[Run]) -> str:
    """
    Draw the ratio of every row to its floor, goals included, as SVG.

    Args:
        runs: What the workers measured.
    """
    names = [row["name"] for row in runs[0]["rows"]]
    found = [{row["name"]: row for row in run["rows"]} for run in runs]
    ratios = {
        (run["vendor"], name): rows[name]["ms"] / rows[name]["floor_ms"]
        for run, rows in zip(runs, found, strict=True)
        for name in names
    }
    most = max(ratios.values())
    most = max(
        most, *(row["most_ratio"] or 0 for rows in found for row in rows.values())
    )
    scale = _WIDTH / (int(most) + 1)
    block = _BAR * len(runs) + _GAP
    height = _TOP + block * len(names)
    parts = list(_axis(most, scale, height))
    for position, run in enumerate(runs):
        x = _LEFT + 95 * position
        colour = _COLOURS[run["vendor"]]
        parts.append(_rect(x, 10, 10, 10, colour))
        parts.append(_text(x + 15, 19, _NAMES[run["vendor"]]))
    parts.append(_line(_LEFT + 95 * len(runs), 9, 21, _RED, 2))
    parts.append(_text(_LEFT + 95 * len(runs) + 8, 19, "goal: stay left of it"))
    for number, name in enumerate(names):
        top = _TOP + block * number
        middle = top + block / 2
        parts.append(_text(_LEFT - 8, middle, name.replace("`", ""), "end"))
        for position, (run, rows) in enumerate(zip(runs, found, strict=True)):
            y = top + _BAR * position
            width = ratios[run["vendor"], name] * scale
            parts.append(_rect(_LEFT, y, width, _BAR - 1, _COLOURS[run["vendor"]]))
            told = f"{ratios[run['vendor'], name]:.1f}"
            parts.append(_text(_LEFT + width + 4, y + _BAR - 1, told, size=9))
            goal = rows[name]["most_ratio"]
            if goal:
                parts.append(_line(_LEFT + goal * scale, y - 1, y + _BAR, _RED, 2))
    width = _LEFT + _WIDTH + _RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" '
        f'role="img"><title>How many times as long as hand-written SQL</title>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _axis(most: int, scale: float, height: float) -> Iterator[str]:
    """Draw a line for each ratio, 1 being the floor."""
    for ratio in range(most + 1):
        x = _LEFT + ratio * scale
        label = "by hand" if ratio == 1 else f"{ratio} times"
        yield _line(x, _TOP - 8, height, _GREY, 1.5 if ratio in {0, 1} else 0.3)
        if ratio:
            yield _text(x, _TOP - 13, label, "middle", 10)


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{colour}"/>'
    )


def _line(x: float, start: float, end: float, colour: str, width: float) -> str:
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{start:.1f}" y2="{end:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{_GREY}">{escape(text)}</text>'
    )
