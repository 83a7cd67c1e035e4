"""Calls that processes make, and a consumer whose record outlives its process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command

from django_enrollments import api
from django_enrollments.delivery import deliver, leases
from django_enrollments.delivery.worker import Worker
from django_enrollments.models import EnrollmentEvent
from tests.processes.controlled import pause

if TYPE_CHECKING:
    from django_enrollments.delivery import Message


class Writer:
    """Appends a line to a file for each message; pauses within the call on request."""

    def __init__(
        self, consumer: str, personal: bool, path: str, pauses: bool = False
    ) -> None:
        self._path, self._pauses = path, pauses

    def deliver(self, message: Message) -> None:
        append(self._path, f"{os.getpid()} {message.position} {message.partition}")
        if self._pauses:
            pause()


def append(path: str, line: str) -> None:
    """Append a line at once, whatever other processes append."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def lines(path: str) -> list[list[str]]:
    """Return the words of each line."""
    return [line.split(" ", 2) for line in Path(path).read_text().splitlines()]


def declare_writer(path: str, **options: Any) -> dict[str, Any]:
    """Return the setting for a consumer called ``file``."""
    backend = f"{__name__}.Writer"
    return {"file": {"BACKEND": backend, "OPTIONS": {"path": path, **options}}}


def enroll_and_pause(username: str, course_id: str) -> None:
    api.add_enrollment(username, course_id)
    pause()


def erase_and_pause(user_id: Any) -> None:
    EnrollmentEvent.objects.erase_personal_data(user_id)
    pause()


def deliver_to_file(path: str, **options: Any) -> Any:
    settings.ENROLLMENTS_CONSUMERS = declare_writer(path, **options)
    return deliver("file")


def deliver_with_short_leases(path: str) -> Any:
    """Deliver as :func:`deliver_to_file`, and look at the lease before each call."""
    leases.RENEW_SECONDS = 0.0
    return deliver_to_file(path, pauses=True)


def follow(path: str, interval: float = 0.1) -> None:
    """Work until the process ends."""
    settings.ENROLLMENTS_CONSUMERS = declare_writer(path)
    Worker(interval=interval).follow()


def work_until_terminated(path: str) -> None:
    """Run the command with a consumer that pauses."""
    settings.ENROLLMENTS_CONSUMERS = declare_writer(path, pauses=True)
    call_command("enrollments_work", "--follow", "--interval", "0.1")
