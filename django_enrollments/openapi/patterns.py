"""The host's patterns, as far as JSON Schema can tell them."""

from __future__ import annotations

import re
from typing import Any

from django_enrollments.conf import conf
from django_enrollments.text import MAX_TEXT

#: What Python's regular expressions have and those of JSON Schema have not.
_ONLY_PYTHON = re.compile(r"\(\?[P#(aiLmsux-]|\\[AZ]|[*+?}]\+")


def course_id_schema() -> dict[str, Any]:
    """Return the schema of a course id, by ``ENROLLMENTS_COURSE_ID_PATTERN``."""
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
    return schema | _pattern(conf.ENROLLMENTS_COURSE_ID_PATTERN)


def username_schema() -> dict[str, Any]:
    """Return the schema of a username, by ``ENROLLMENTS_USERNAME_PATTERN`` as it is."""
    return {"type": "string"} | _pattern(conf.ENROLLMENTS_USERNAME_PATTERN)


def _pattern(pattern: str) -> dict[str, str]:
    """Return the keyword for a pattern of the whole text; none that misleads."""
    if _ONLY_PYTHON.search(pattern):
        return {}
    return {"pattern": f"^(?:{pattern})$"}
