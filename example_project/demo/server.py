"""Runs the site in a separate process."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOST = "127.0.0.1"

_MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
_GREETING = re.compile(rf"server at http://{re.escape(HOST)}:(\d+)/")


class ServerError(Exception):
    """The site is not running."""


@dataclass(frozen=True)
class Server:
    """
    The running site.

    Attributes:
        port: The port.
        process: The process of the server.
    """

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """The URL of the site, without a trailing slash."""
        return f"http://{HOST}:{self.port}"


@contextmanager
def run(wanted: int) -> Iterator[Server]:
    """
    Run the site, and end it when the block ends.

    Args:
        wanted: The preferred port; 0 for any.

    Yields:
        The running site, on this or another port.

    Raises:
        ServerError: The site does not start.
    """
    started = _start(wanted) if _is_free(wanted) else None
    # Another process may have taken the port since; the server prints its real port.
    server = started or _start(0)
    if server is None:
        raise ServerError("The site does not start; the reason is above.")
    with server.process as process:
        printer = Thread(target=_print_mail, args=(process.stdout,))
        printer.start()
        try:
            yield server
        finally:
            process.terminate()
            printer.join()


def _print_mail(lines: Iterable[str]) -> None:
    """Print the mail of the site; the lines before the first are the server's own."""
    for line in dropwhile(lambda line: not line.startswith("Content-Type:"), lines):
        sys.stdout.write(line)
        sys.stdout.flush()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As in the server: a port that was just closed is free.
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
        return True


def _start(port: int) -> Server | None:
    process = subprocess.Popen(  # noqa: S603 - a command of this project.
        [sys.executable, str(_MANAGE), "runserver", "--noreload", f"{HOST}:{port}"],
        stdin=subprocess.DEVNULL,
        # stderr is inherited.
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        for line in process.stdout or ():
            greeting = _GREETING.search(line)
            if greeting:
                return Server(int(greeting[1]), process)
    except BaseException:
        process.terminate()
        raise
    process.communicate()
    return None
