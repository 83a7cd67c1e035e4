"""
Run the tests on every database that is within reach, and report once.

SQLite always runs. A server runs when it answers; one that was named by its
environment variable and does not answer is a failure. Arguments go to pytest.

Where ``ENROLLMENTS_TEST_COVERAGE`` is set, the first run, which tries everything, also
measures what of the package it reaches, and fails below the floor.
"""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql

from tests.databases import SERVERS, server_url

HOSTS = {
    "default host": "tests.settings",
    "other host": "tests.settings_other_host",
}

#: What becomes of processes, locks and servers, whatever a host's models look like.
IN_ONE_HOST = (
    "concurrency",
    "faults",
    "views/test_hostile.py",
    "views/test_throttle.py",
)

#: Where no database answers otherwise than SQLite.
ON_SQLITE = (
    "test_checks.py",
    "test_conf.py",
    "test_docs.py",
    "backends/test_faulty.py",
    "views/test_hostile.py",
    "views/test_throttle.py",
    "test_schema.py",
    "views/test_privacy.py",
    "hosts/test_routers.py",
    "hosts/test_swapped_projects.py",
)

#: Tried in either host on SQLite, and in one host on each server.
ONCE_PER_SERVER = ("test_bad_input.py", "test_query_budgets.py", "views")

#: Tried on SQLite and on one server. In the matrix, MariaDB has most of it too.
ON_POSTGRES = ("views",)


def leave_out(database: str, host: str) -> list[str]:
    """
    Return arguments of pytest that leave out what another run tries as well.

    Args:
        database: What is run on.
        host: A key of ``HOSTS``.
    """
    is_other = host != "default host"
    is_server = database in SERVERS
    names = {
        *(IN_ONE_HOST if is_other else ()),
        *(ON_SQLITE if is_server else ()),
        *(ONCE_PER_SERVER if is_other and is_server else ()),
        *(ON_POSTGRES if database == "mariadb" else ()),
    }
    return [f"--ignore-glob=tests/{name}" for name in sorted(names)]


def find_fault(name: str) -> str | None:
    """
    Return the reason why a server cannot be used, or ``None`` when it answers.

    Args:
        name: A key of ``SERVERS``.
    """
    url = urlsplit(server_url(name))
    login = {
        "host": url.hostname,
        "port": url.port,
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "connect_timeout": 5,
    }
    try:
        if name == "postgres":
            psycopg.connect(dbname="postgres", **login).close()
        else:
            pymysql.connect(**login).close()
    except (psycopg.Error, pymysql.Error) as error:
        return " ".join(str(error).split())
    return None


def run(database: str, host: str, arguments: list[str]) -> bool:
    """
    Run pytest once.

    Args:
        database: What ``ENROLLMENTS_TEST_DATABASE`` is to be.
        host: A key of ``HOSTS``.
        arguments: More arguments for pytest.

    Returns:
        Whether every test passed.
    """
    command = [sys.executable, "-m", "pytest", "-n", "2", "--ds", HOSTS[host]]
    is_first = (database, host) == ("sqlite", "default host")
    if is_first and os.environ.get("ENROLLMENTS_TEST_COVERAGE"):
        command.append("--cov")
    environment = os.environ | {"ENROLLMENTS_TEST_DATABASE": database}
    return subprocess.run([*command, *arguments], env=environment).returncode == 0


def main(arguments: list[str]) -> int:
    """
    Run everything and print what happened.

    Args:
        arguments: More arguments for pytest.

    Returns:
        The exit status.
    """
    lines = []
    passed = True
    for database in ("sqlite", *SERVERS):
        fault = find_fault(database) if database in SERVERS else None
        if fault:
            wanted = SERVERS[database][0] in os.environ
            passed = passed and not wanted
            lines.append(
                f"{database}: {'FAILED' if wanted else 'did not run'}: {fault}"
            )
            continue
        for host in HOSTS:
            print(f"\n== {database}, {host} ==", flush=True)
            # Whoever asks for something gets it in every run.
            chosen = arguments or leave_out(database, host)
            good = run(database, host, chosen)
            passed = passed and good
            lines.append(f"{database}, {host}: {'passed' if good else 'FAILED'}")
    print("", *lines, sep="\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
