"""Audit lines in the log, about programs with an API key (AUD)."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

#: Named in the documentation, so that hosts can give it a level of its own.
logger = logging.getLogger("django_enrollments.audit")


def write_audit_line(name: str, **values: object) -> None:
    """
    Log one line ``name: k1="v1", k2="v2"``, keys sorted (AUD-04).

    Args:
        name: The event.
        values: Its details; no personal data beyond keys of users.
    """
    # Escaped as in JSON, so that no value of a request can begin a line.
    details = ", ".join(
        f"{key}={json.dumps(str(values[key]))}" for key in sorted(values)
    )
    # A host's log handlers may raise any error; the response stays (AUD-05).
    with suppress(Exception):
        logger.info("%s: %s", name, details)
