"""Where the tests find their databases."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

SQLITE_FILE = Path(__file__).with_name("enrollments.sqlite3")

#: Environment variable and default URL of each server.
SERVERS = {
    "postgres": (
        "ENROLLMENTS_TEST_POSTGRES_URL",
        "postgres://postgres@127.0.0.1:5432/enrollments",
    ),
    "mariadb": (
        "ENROLLMENTS_TEST_MARIADB_URL",
        "mariadb://root@127.0.0.1:3306/enrollments",
    ),
}


def server_url(name: str) -> str:
    """
    Return the URL of a server.

    Args:
        name: A key of ``SERVERS``.
    """
    variable, default = SERVERS[name]
    return os.environ.get(variable) or default


def database(choice: str) -> dict[str, Any]:
    """
    Return Django's configuration for a choice of database.

    Args:
        choice: ``sqlite``, a key of ``SERVERS``, or a ``sqlite:``, ``postgres:`` or
            ``mariadb:`` URL.
    """
    if choice == "sqlite":
        return _sqlite(SQLITE_FILE)
    url = urlsplit(server_url(choice) if choice in SERVERS else choice)
    if url.scheme == "sqlite":
        return _sqlite(Path(unquote(url.path)))
    if url.scheme in {"postgres", "postgresql"}:
        return _server("django.db.backends.postgresql", url) | {
            # Nobody waits for the disk at a commit; none of this outlives the tests.
            "OPTIONS": {"options": "-c synchronous_commit=off"},
        }
    if url.scheme in {"mariadb", "mysql"}:
        _ensure_mysqldb()
        return _server("django.db.backends.mysql", url) | {
            "OPTIONS": {"charset": "utf8mb4"},
            "TEST": {"CHARSET": "utf8mb4"},
        }
    raise ValueError(f"ENROLLMENTS_TEST_DATABASE cannot be {choice!r}.")


def _sqlite(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        # A file, so that other processes can join in, who then wait for their turn.
        "TEST": {"NAME": path.with_name(f"test_{path.name}")},
        "OPTIONS": {"timeout": 60, "init_command": "PRAGMA synchronous = OFF"},
    }


def _server(engine: str, url: SplitResult) -> dict[str, Any]:
    return {
        "ENGINE": engine,
        "NAME": unquote(url.path.lstrip("/")),
        "HOST": url.hostname or "",
        "PORT": str(url.port or ""),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
    }


def _ensure_mysqldb() -> None:
    """Let PyMySQL, which needs no compiler, stand in where mysqlclient is missing."""
    if find_spec("MySQLdb") is None:
        import pymysql

        # The mysqlclient release whose interface it offers, as Django wants to know.
        pymysql.version_info = (2, 2, 7, "final", 0)
        pymysql.install_as_MySQLdb()


def lock_error() -> Exception:
    """Return what the database under test raises when a lock is not to be had."""
    # Once Django is set up.
    from django.db import OperationalError, connection

    error = OperationalError("database is locked")
    if connection.vendor == "mysql":
        error = OperationalError(1205, "Lock wait timeout exceeded")
    elif connection.vendor == "postgresql":
        from psycopg.errors import LockNotAvailable

        error.__cause__ = LockNotAvailable("canceling statement due to lock timeout")
    return error
