"""Lines in the log that tell afterwards what programs with an API key did (AUD)."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

logger = logging.getLogger(__name__)


def write_audit_line(name: str, **values: object) -> None:
    """
    Log one line ``name: k1="v1", k2="v2"``, keys sorted (AUD-04).

    Args:
        name: What happened.
        values: What is known of it; no personal data beyond keys of users.
    """
    # Escaped as in JSON, so that no value from outside begins a line of its own.
    told = ", ".join(f"{key}={json.dumps(str(values[key]))}" for key in sorted(values))
    # A host's handlers and filters may raise anything; the answer stays (AUD-05).
    with suppress(Exception):
        logger.info("%s: %s", name, told)
