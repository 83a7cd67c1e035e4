"""Words in the output of commands."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """
    Return a number with what it counts: ``1 row``, ``2 rows``.

    Args:
        number: The number.
        one: The words after 1.
        many: The words after other numbers; by default ``one`` with an ``s``.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"
