"""
Run the tests on every database that is within reach, and report once.

SQLite always runs. A server runs when it answers; one that was named by its
environment variable and does not answer is a failure. Arguments go to pytest.
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

#: What is tried in one host only: processes are killed and servers crash as well
#: whatever the host's models look like.
ONCE = ["--ignore", "tests/faults"]


def find_fault(name: str) -> str | None:
    """
    Give the reason why a server cannot be used, or ``None`` when it answers.

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


def run(database: str, settings: str, arguments: list[str]) -> bool:
    """
    Run pytest once; on SQLite, leave its coverage data in a file of its own.

    Measuring takes half as long again. What the servers add to the measured lines is
    little, and so the measure is the same where no server answers.

    Args:
        database: What ``ENROLLMENTS_TEST_DATABASE`` is to be.
        settings: The settings module of the host.
        arguments: More arguments for pytest.

    Returns:
        Whether every test passed.
    """
    command = [sys.executable, "-m", "pytest", "-n", "2", "--ds", settings]
    if database == "sqlite":
        # The floor is for the runs together.
        command += ["--cov", "--cov-report=", "--cov-fail-under=0"]
    environment = os.environ | {
        "COVERAGE_FILE": f".coverage.{database}.{settings}",
        "ENROLLMENTS_TEST_DATABASE": database,
    }
    done = subprocess.run([*command, *arguments], env=environment)
    return done.returncode == 0


def report_coverage() -> bool:
    """
    Put the runs together and print one report.

    Returns:
        Whether enough is covered.
    """
    command = [sys.executable, "-m", "coverage"]
    steps = ("combine", "--quiet"), ("report",)
    return all(subprocess.run([*command, *step]).returncode == 0 for step in steps)


def main(arguments: list[str]) -> int:
    """
    Run everything and print what happened.

    Args:
        arguments: More arguments for pytest.

    Returns:
        The exit status.
    """
    subprocess.run([sys.executable, "-m", "coverage", "erase"], check=True)
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
        for host, settings in HOSTS.items():
            print(f"\n== {database}, {host} ==", flush=True)
            once = [] if host == "default host" else ONCE
            good = run(database, settings, [*once, *arguments])
            passed = passed and good
            lines.append(f"{database}, {host}: {'passed' if good else 'FAILED'}")
    covered = report_coverage()
    print("", *lines, sep="\n")
    return 0 if passed and covered else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
