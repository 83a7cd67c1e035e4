"""
Kill writers and workers at random for a while, and check what was delivered.

``python -m tests.delivery.killing DATABASE [LEVEL] [--seconds N] [--kills N]`` does it
with ``sqlite``, ``postgres`` or ``mariadb``, in a test database of its own, and at the
level ``"repeatable read"`` if it is given. It prints the figures, and raises for
anything that is missing, doubled or out of order.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error, connection, transaction

from django_enrollments import api
from django_enrollments.delivery import NotNow, deliver, leases, passes, sequence, work
from django_enrollments.delivery.worker import Worker
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import (
    Consumer,
    CourseEnrollment,
    EnrollmentEvent,
    SetAside,
)
from tests.delivery.calls import append
from tests.enrolling import enroll_or_change
from tests.factories import course_id_of, make_course, make_modes, make_users
from tests.processes.concurrent import REPEATABLE_READ

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_enrollments.delivery import Message

WRITERS, WORKERS = 8, 3
LEARNERS, COURSES = 12, 3

#: Consumers by name, with their options besides those of all.
CONSUMERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "threads": {"CONCURRENCY": 3},
    "failing": {"OPTIONS": {"fails": True}},
}

processes = multiprocessing.get_context("fork")


class Rollback(Exception):  # noqa: N818 - not an error.
    """Rolls a transaction back."""


class Consuming:
    """Writes what it takes to a file, and fails at random on request."""

    def __init__(
        self, consumer: str, personal: bool, folder: str, fails: bool = False
    ) -> None:
        self._path, self._fails = f"{folder}/{consumer}", fails

    def deliver(self, message: Message) -> None:
        chance = Random(os.urandom(8)).random() if self._fails else 1  # noqa: S311
        if chance < 0.02:
            raise NotNow
        if chance < 0.2:
            raise ValueError("This one not.")
        event = message.event
        state = {"mode": event.mode_after, "is_active": event.active_after}
        about = [message.position, str(event.event_id), message.partition, state]
        append(self._path, json.dumps([*about, os.getpid()]))
        # Many are killed between the call and the record of it.
        time.sleep(0.002)


def declare(folder: str, *, fails: bool) -> None:
    """Declare the consumers."""
    declared = {}
    for name, options in CONSUMERS.items():
        own = options.get("OPTIONS", {}) if fails else {}
        declared[name] = {
            **options,
            "BACKEND": "tests.delivery.killing.Consuming",
            "OPTIONS": {"folder": folder, **own},
        }
    settings.ENROLLMENTS_CONSUMERS = declared


def hurry() -> None:
    """Let leases and pauses end soon, as workers are killed all the time."""
    leases.LEASE, leases.RENEW_SECONDS = timedelta(seconds=1.5), 0.1
    passes.BACK_OFF = (0.05, 0.1)
    passes.EVENT_BACK_OFF = (0.05,) * len(passes.EVENT_BACK_OFF)
    # No event may die of bad luck.
    passes.RETRIES = 1_000


def write(names: list[str], course_ids: list[str]) -> None:
    """Change enrollments without an end; roll back, pause and erase sometimes."""
    random = Random(os.urandom(8))  # noqa: S311 - not a secret.
    longest = 0.02 if connection.vendor == "sqlite" else 0.5
    for number in count(1):
        with suppress(CourseEnrollmentError, Error, Rollback), transaction.atomic():
            for _ in range(random.choice([1, 1, 1, 2, 4])):
                change(random.choice(names), random.choice(course_ids), random)
            if random.random() < 0.2:
                time.sleep(random.uniform(0, longest))
            if random.random() < 0.2:
                raise Rollback
        if number % 10 == 0:
            with suppress(Error), transaction.atomic():
                user = get_user_model().objects.order_by("?").first()
                EnrollmentEvent.objects.erase_personal_data(user.pk)
                time.sleep(random.uniform(0, longest))
        time.sleep(random.uniform(0, 0.05))


def change(name: str, course_id: str, random: Random) -> None:
    """Enroll, unenroll, or change the mode."""
    if random.random() < 0.5:
        enroll_or_change(name, course_id, mode=random.choice(["audit", "honor"]))
    else:
        with suppress(CourseEnrollmentError):
            api.update_enrollment(
                name, course_id, is_active=random.choice([True, False])
            )


def follow() -> None:
    """Work without an end."""
    Worker(interval=0.2).follow()


def run(database: str, level: str, seconds: float, kills: float) -> dict[str, Any]:
    """Kill processes for some seconds, and return the figures."""
    if level:
        options = REPEATABLE_READ.options[connection.vendor]
        connection.settings_dict["OPTIONS"] |= options
    hurry()
    folder = tempfile.mkdtemp(prefix="killing-")
    courses = [make_course(f"course-v1:edX+Killed+{n}") for n in range(COURSES)]
    for course in courses:
        make_modes(course, "audit", "honor")
    names = [user.get_username() for user in make_users(LEARNERS)]
    declare(folder, fails=True)
    for name in CONSUMERS:
        deliver(name)
    connection.close()
    killed = _kill_at_random(
        [partial(write, names, [course_id_of(one) for one in courses])] * WRITERS
        + [follow] * WORKERS,
        seconds,
        kills,
    )
    declare(folder, fails=False)
    _finish()
    return {"database": database, "level": level, "killed": killed, **_check(folder)}


def _kill_at_random(
    calls: list[Callable[[], None]], seconds: float, kills: float
) -> int:
    random = Random(os.urandom(8))  # noqa: S311 - as above.

    def start(call: Callable[[], None]) -> Any:
        process = processes.Process(target=_quietly, args=(call,), daemon=True)
        process.start()
        return process

    running = [start(call) for call in calls]
    end, killed = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        time.sleep(random.uniform(0, 2 / kills))
        victim = random.randrange(len(calls))
        _kill(running[victim])
        running[victim] = start(calls[victim])
        killed += 1
    for process in running:
        _kill(process)
    return killed


def _kill(process: Any) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    process.close()


def _quietly(call: Callable[[], None]) -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
        call()


def _finish() -> None:
    """Deliver the rest, once the leases of the killed have ended."""
    give_up = time.monotonic() + 600
    while (
        sequence()
        or EnrollmentEvent.objects.filter(position=0).exists()
        or SetAside.objects.exists()
        or any(one["lag"] for one in work()["consumers"].values())
    ):
        assert time.monotonic() < give_up, (
            work(),
            [*SetAside.objects.values()],
            [*Consumer.objects.values()],
        )
        work()
        time.sleep(0.1)


def _check(folder: str) -> dict[str, Any]:
    events = list(EnrollmentEvent.objects.order_by("position"))
    assert [event.position for event in events] == [*range(1, len(events) + 1)]
    _assert_ordered(
        (f"{event.user_id}:{event.course_id}", event.pk) for event in events
    )
    committed = {str(event.event_id) for event in events}
    states = {
        f"{row.user_id}:{course_id_of(row.course)}": {
            "mode": row.mode,
            "is_active": row.is_active,
        }
        for row in CourseEnrollment.objects.select_related("course")
    }
    figures = {"events": len(events)}
    for name in CONSUMERS:
        taken = [
            json.loads(line) for line in Path(folder, name).read_text().splitlines()
        ]
        assert {event_id for _, event_id, *_ in taken} == committed, name
        first = {position: partition for position, _, partition, *_ in reversed(taken)}
        ordered = sorted(first, key=[one[0] for one in taken].index)
        _assert_ordered((first[position], position) for position in ordered)
        # The reference consumer keeps the highest sequence of each enrollment.
        highest: dict[str, int] = {}
        folded = {}
        for position, _, partition, state, _ in taken:
            if position > highest.get(partition, 0):
                highest[partition], folded[partition] = position, state
        assert folded == states, name
        by_killed = sum(process != os.getpid() for *_, process in taken)
        figures[f"calls of {name}, by processes that were killed"] = by_killed
        figures[f"repeated calls of {name}"] = len(taken) - len(events)
    return figures


def _assert_ordered(pairs: Any) -> None:
    highest: dict[str, int] = {}
    for partition, number in pairs:
        assert number > highest.get(partition, 0), (partition, number)
        highest[partition] = number


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("level", nargs="?", default="")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kills", type=float, default=10, help="kills per second")
    given = parser.parse_args()
    connection.settings_dict["TEST"]["NAME"] = (
        f"{connection.settings_dict['NAME']}_killed_{given.level.replace(' ', '_')}"
    )
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        print(json.dumps(run(given.database, given.level, given.seconds, given.kills)))  # noqa: T201
    finally:
        connection.close()
        connection.creation.destroy_test_db(
            connection.settings_dict["NAME"], verbosity=0
        )


if __name__ == "__main__":
    main()
