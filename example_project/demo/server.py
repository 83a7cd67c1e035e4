"""Runs the site as a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"

_MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
_GREETING = re.compile(rf"server at http://{re.escape(HOST)}:(\d+)/")


class ServerError(Exception):
    """The site does not run."""


@dataclass(frozen=True)
class Server:
    """
    The running site.

    Attributes:
        port: Where it listens.
        process: What runs it.
    """

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """The address of the home page, without the slash at the end."""
        return f"http://{HOST}:{self.port}"


@contextmanager
def run(wanted: int) -> Iterator[Server]:
    """
    Run the site, and end it in the end.

    Args:
        wanted: The port where it listens if it can; 0 takes any.

    Yields:
        The site, listening there or on another port.

    Raises:
        ServerError: It does not come up.
    """
    started = _start(wanted) if _is_free(wanted) else None
    # Somebody may have been quicker; which port the site really has, it says itself.
    server = started or _start(0)
    if server is None:
        raise ServerError("The site does not start; the reason is above.")
    with server.process as process:
        try:
            yield server
        finally:
            process.terminate()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server itself does it: what was closed a moment ago is free.
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
        return True


def _start(port: int) -> Server | None:
    process = subprocess.Popen(  # noqa: S603 - this project's own command.
        [sys.executable, str(_MANAGE), "runserver", "--noreload", f"{HOST}:{port}"],
        stdin=subprocess.DEVNULL,
        # Errors go where this process's go.
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
