"""Database servers of the tests, which crash and are restarted."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pymysql

from tests.processes.concurrent import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Folders of server programs that are not in ``PATH``.
_FOLDERS = [
    *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True),
    "/usr/sbin",
    "/usr/libexec",
]


def find_program(name: str) -> str | None:
    """Return the path of a server program, or ``None`` if it is missing."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS])
    return shutil.which(name, path=path)


class Server:
    """
    A database server with a folder and a port of its own.

    Args:
        folder: An empty folder that belongs to the account.
        account: The account of the processes, as arguments of :mod:`subprocess`.
    """

    #: Programs that are required.
    programs: tuple[str, ...]
    #: Signals that end it like a power failure, and like an operator.
    crash: signal.Signals
    stop: signal.Signals

    def __init__(self, folder: Path, account: dict[str, Any]):
        self.folder = folder
        self._account = account
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self) -> dict[str, Any]:
        """Return settings that replace those of the tests' database."""
        return {
            "NAME": "faults",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PASSWORD": "",
        }

    def prepare(self):
        """Make its files."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return the command that starts it in the foreground."""
        raise NotImplementedError

    def execute(self, statement: str):
        """Execute a statement as its operator, without a database."""
        raise NotImplementedError

    def start(self):
        """Start it and wait until it accepts connections."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - It is as written below.
                self.command(), stdout=log, stderr=log, **self._account
            )
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
            except (psycopg.Error, pymysql.Error):
                log_of = (self.folder / "log").read_text(errors="replace")
                assert self._process.poll() is None, log_of
                assert time.monotonic() < give_up, log_of
                time.sleep(0.05)
            else:
                return

    def end(self, how: signal.Signals):
        """End it and wait until it has ended."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def run(self, *command: str):
        """Run a program to its end."""
        done = subprocess.run(  # noqa: S603 - As above.
            command, capture_output=True, cwd=self.folder, **self._account
        )
        assert done.returncode == 0, done


class PostgreSQL(Server):
    """PostgreSQL, as ``initdb`` leaves it."""

    programs = ("initdb", "postgres")
    crash = signal.SIGQUIT
    stop = signal.SIGINT

    def settings(self) -> dict[str, Any]:
        # Commits are on the disk, unlike in the tests' database.
        return {**super().settings(), "USER": "postgres", "OPTIONS": {}}

    def prepare(self):
        program = find_program("initdb")
        options = "--no-sync", "--no-locale", "--encoding=UTF8", "--auth=trust"
        self.run(program, *options, "-U", "postgres", "-D", str(self.folder / "data"))

    def command(self) -> list[str]:
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        return [
            *(find_program("postgres"), "-D", str(self.folder / "data")),
            *("-p", str(self.port)),
            *(part for pair in options.items() for part in ("-c", "=".join(pair))),
        ]

    def execute(self, statement: str):
        login = {"host": "127.0.0.1", "port": self.port, "user": "postgres"}
        with psycopg.connect(**login, dbname="postgres", autocommit=True) as session:
            session.execute(statement)


class MariaDB(Server):
    """MariaDB, as ``mariadb-install-db`` leaves it."""

    programs = ("mariadb-install-db", "mariadbd")
    crash = signal.SIGKILL
    stop = signal.SIGTERM

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "USER": "root"}

    def prepare(self):
        program = find_program("mariadb-install-db")
        method = "--auth-root-authentication-method=normal"
        data = f"--datadir={self.folder / 'data'}"
        self.run(program, "--no-defaults", method, "--skip-test-db", data)

    def command(self) -> list[str]:
        return [
            *(find_program("mariadbd"), "--no-defaults"),
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            *(f"--port={self.port}", "--bind-address=127.0.0.1"),
        ]

    def execute(self, statement: str):
        login = {"host": "127.0.0.1", "port": self.port, "user": "root"}
        session = pymysql.connect(**login)
        try:
            session.cursor().execute(statement)
        finally:
            session.close()


SERVERS: dict[str, type[Server]] = {"postgresql": PostgreSQL, "mysql": MariaDB}


@contextmanager
def serving(kind: type[Server]) -> Iterator[Server]:
    """Start a server with an empty database ``faults``, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    server = kind(folder, _account(folder))
    try:
        server.prepare()
        server.start()
        server.execute("CREATE DATABASE faults")
        yield server
    finally:
        server.end(kind.crash)
        shutil.rmtree(folder)


def _account(folder: Path) -> dict[str, Any]:
    """Move the folder to an account that servers accept; root is refused."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
