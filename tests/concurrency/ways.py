"""The ways of connecting that the tests go."""

from __future__ import annotations

import pytest
from psycopg import IsolationLevel

from tests.concurrency.crowd import AUTOCOMMIT, Way

#: SQLite's transactions as writers from the start, as many hosts set them up.
IMMEDIATE = Way("BEGIN IMMEDIATE", {"sqlite": {"transaction_mode": "IMMEDIATE"}})

#: SQLite has no row locks to wait for within a transaction that has read.
IN_TRANSACTION = Way(
    "caller's transaction", {"postgresql": {}, "mysql": {}}, in_transaction=True
)
#: But there are transactions of callers' that have not.
FIRST_IN_TRANSACTION = Way(
    "first in caller's transaction", {"sqlite": {}}, in_transaction=True, has_read=False
)

_REPEATABLE_READ = {
    "postgresql": {"isolation_level": IsolationLevel.REPEATABLE_READ},
    "mysql": {"isolation_level": "repeatable read"},
}
REPEATABLE_READ = Way("repeatable read", _REPEATABLE_READ)
REPEATABLE_READ_IN_TRANSACTION = Way(
    "repeatable read, caller's transaction",
    _REPEATABLE_READ,
    in_transaction=True,
    repeats=True,
)

#: The level is nowhere in Django's settings; None keeps the default of MariaDB.
_SERVERS_LEVEL = {
    "postgresql": {"options": r"-c default_transaction_isolation=repeatable\ read"},
    "mysql": {"isolation_level": None},
}
SERVERS_LEVEL = Way("repeatable read by the server's default", _SERVERS_LEVEL)
SERVERS_LEVEL_IN_TRANSACTION = Way(
    "repeatable read by the server's default, caller's transaction",
    _SERVERS_LEVEL,
    in_transaction=True,
    repeats=True,
)

USUAL = (AUTOCOMMIT, IMMEDIATE, IN_TRANSACTION, FIRST_IN_TRANSACTION)
SNAPSHOTS_IN_TRANSACTION = (
    REPEATABLE_READ_IN_TRANSACTION,
    SERVERS_LEVEL_IN_TRANSACTION,
)
SNAPSHOTS = (REPEATABLE_READ, SERVERS_LEVEL, *SNAPSHOTS_IN_TRANSACTION)


def by(*ways: Way) -> pytest.MarkDecorator:
    """Run a test by each of these ways, where the database knows it."""
    return pytest.mark.parametrize(
        "way", ways, indirect=True, ids=[way.name for way in ways]
    )
