"""
Run the tests: in short on SQLite, or all that the short run leaves out.

Without ``--rest``, both hosts run on SQLite, without the tests that are marked ``slow``
or ``full``. With ``--rest``, these follow, and then the servers. A server runs when it
answers; one that was named by its environment variable and does not answer is a
failure. Other arguments go to pytest.

Where ``ENROLLMENTS_TEST_COVERAGE`` is set, the runs of the default host on SQLite
measure together which lines of the package they reach, and fail below the floor.
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

#: Marks of the tests on SQLite in the short run, and in the rest of the default host.
SHORT, LONG = "not slow and not full", "slow or full"

#: Marks of the rest in the other host; one host has the cross-products in full.
LONG_ELSEWHERE = "slow and not full"

#: Processes, locks, servers and texts, which do not depend on a host's models.
IN_ONE_HOST = (
    "concurrency",
    "delivery/test_brokers.py",
    "delivery/test_killing.py",
    "delivery/test_processes.py",
    "delivery/test_webhooks.py",
    "faults",
    "test_translations.py",
    "views/test_hostile.py",
    "views/test_throttle.py",
)

#: What does not depend on the database.
ON_SQLITE = (
    "test_checks.py",
    "test_conf.py",
    "test_docs.py",
    "backends/test_faulty.py",
    "delivery/test_backends.py",
    "delivery/test_brokers.py",
    "delivery/test_webhooks.py",
    "views/test_hostile.py",
    "views/test_throttle.py",
    "test_schema.py",
    "test_translations.py",
    "views/test_privacy.py",
    "hosts/test_routers.py",
    "hosts/test_swapped_projects.py",
)

#: Run with either host on SQLite, and with one host on each server.
ONCE_PER_SERVER = ("test_bad_input.py", "test_query_budgets.py", "delivery", "views")

#: Run on SQLite and on one server. In the matrix, MariaDB has most of it too.
ON_POSTGRES = ("views",)


def choose(database: str, host: str, *, rest: bool) -> list[str]:
    """
    Return arguments of pytest that leave out what another run has.

    Args:
        database: ``sqlite`` or a key of ``SERVERS``.
        host: A key of ``HOSTS``.
        rest: Whether the short run has been made.
    """
    is_other = host != "default host"
    is_server = database in SERVERS
    names = {
        *(IN_ONE_HOST if is_other else ()),
        *(ON_SQLITE if is_server else ()),
        *(ONCE_PER_SERVER if is_other and is_server else ()),
        *(ON_POSTGRES if database == "mariadb" else ()),
    }
    if is_server:
        marks = "not full"
    elif rest:
        marks = LONG_ELSEWHERE if is_other else LONG
    else:
        marks = SHORT
    return [
        *("-m", marks),
        *(f"--ignore-glob=tests/{name}" for name in sorted(names)),
    ]


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
        "connect_timeout": 30,
    }
    try:
        if name == "postgres":
            psycopg.connect(dbname="postgres", **login).close()
        else:
            pymysql.connect(**login).close()
    except (psycopg.Error, pymysql.Error) as error:
        return " ".join(str(error).split())
    return None


def run(database: str, host: str, arguments: list[str], *, rest: bool) -> bool:
    """
    Run pytest once.

    Args:
        database: The value of ``ENROLLMENTS_TEST_DATABASE``.
        host: A key of ``HOSTS``.
        arguments: More arguments for pytest.
        rest: Whether the short run has been made.

    Returns:
        Whether every test passed.
    """
    command = [sys.executable, "-m", "pytest", "-n", "2", "--ds", HOSTS[host]]
    is_measured = (database, host) == ("sqlite", "default host")
    if is_measured and os.environ.get("ENROLLMENTS_TEST_COVERAGE"):
        command.append("--cov")
        command.append("--cov-append" if rest else "--cov-fail-under=0")
    environment = os.environ | {"ENROLLMENTS_TEST_DATABASE": database}
    return subprocess.run([*command, *arguments], env=environment).returncode == 0


def main(arguments: list[str]) -> int:
    """
    Make all runs and print their results.

    Args:
        arguments: ``--rest`` or none, and arguments for pytest.

    Returns:
        The exit status.
    """
    rest = "--rest" in arguments
    arguments = [one for one in arguments if one != "--rest"]
    lines = []
    passed = True
    # Tests that are named run on SQLite in the short run, whatever their marks.
    databases = [] if rest and arguments else ["sqlite"]
    databases += SERVERS if rest else []
    for database in databases:
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
            chosen = arguments or choose(database, host, rest=rest)
            good = run(database, host, chosen, rest=rest)
            passed = passed and good
            lines.append(f"{database}, {host}: {'passed' if good else 'FAILED'}")
    print("", *lines, sep="\n")
    if not rest:
        print(
            "This was SQLite with both hosts; make test-all runs every database, "
            "concurrency, faults, whole projects and cross-products in full as well."
        )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
