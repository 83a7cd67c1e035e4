"""Texts as every database can store them, and the parts of a course id."""

from __future__ import annotations

import re
from typing import TypeGuard

#: ``course-v1:org+number+run`` or ``org/number/run``.
_THREE_PARTS = re.compile(r"(?:[^:/+]+:)?([^/+]+)[/+]([^/+]+)[/+]([^/?]+)")


#: Length of text columns; MariaDB cannot index longer ones.
MAX_TEXT = 255


#: Maximum length of ``original_username``, and of usernames in request bodies; MariaDB
#: indexes up to 768 characters.
MAX_USERNAME = 500


def is_storable(text: object, max_length: int | None = None) -> TypeGuard[str]:
    """
    Return whether every database can store ``text`` unchanged.

    PostgreSQL refuses NUL, and no driver encodes a lone surrogate. ``max_length`` is
    the maximum number of characters, or ``None``.
    """
    if not isinstance(text, str) or "\x00" in text:
        return False
    if max_length is not None and len(text) > max_length:
        return False
    return text.isascii() or not any(
        "\ud800" <= character <= "\udfff" for character in text
    )


def org_of(course_id: str) -> str:
    """Return the organization in a course id, or ``""``."""
    match = _THREE_PARTS.fullmatch(course_id)
    return match[1] if match else ""


def run_of(course_id: str) -> str:
    """Return the run in a course id, or the whole id."""
    match = _THREE_PARTS.fullmatch(course_id)
    return match[3] if match else course_id
