"""
The event feed of the demo: a consumer that counts, and a receiver of webhooks.

The worker and the receiver are processes, which are killed while events come. At the
end, what both have got is compared with the history.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from demo import records
from demo.records import Records
from django_enrollments import delivery
from django_enrollments.models import EnrollmentEvent

if TYPE_CHECKING:
    from collections.abc import Collection

    from django_enrollments.delivery import Message

_MANAGE = Path(__file__).resolve().parent.parent / "manage.py"

#: Shares of the replay after which the worker and the receiver are killed in turn.
_KILLS = (0.15, 0.35, 0.55, 0.75)

#: Seconds without any progress after which the demo gives up.
_PATIENCE = 300


class FeedError(Exception):
    """An event was not delivered, or not in order."""


@cache
def records_of(name: str) -> Records:
    """Return what a consumer has got."""
    return Records(settings.FEED_RECORDS[name])


def count(message: Message) -> None:
    """Count a message: this is the consumer that is a function."""
    records_of("counter").add(message.to_cloudevent())


@dataclass(frozen=True)
class Outcome:
    """
    The comparison of what a consumer has got with the history.

    Attributes:
        name: The consumer.
        events: Number of events that it has got.
        repeats: Number of deliveries of events that it had got before.
        missing: Number of events that it has not got.
        unknown: Number of deliveries of events that the history does not have.
        disordered: Number of enrollments whose events came in another order.
    """

    name: str
    events: int
    repeats: int
    missing: int
    unknown: int
    disordered: int

    def is_good(self) -> bool:
        """Return whether each event was delivered, and in order."""
        return not (self.missing or self.unknown or self.disordered)


@dataclass
class Feed:
    """
    The worker and the receiver of the demo.

    Attributes:
        total: Number of calls of the replay.
        kills: The number of times that each process was killed.
    """

    total: int
    kills: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _port: int = 0
    _due: list[float] = field(default_factory=lambda: [*_KILLS])

    def __enter__(self) -> Feed:
        """Start both processes, and let new consumers begin with the first event."""
        for one in delivery.status():
            path = Path(settings.FEED_RECORDS[one["name"]])
            if one["state"] == "new":
                # Left over from a database that was deleted.
                for old in path.parent.glob(f"{path.name}*"):
                    old.unlink()
            if not path.exists():
                # Events from before the app had a feed get positions.
                list(delivery.adopt())
                delivery.replay(one["name"], position=1)
        self._port = _find_port()
        for process in ("receiver", "worker"):
            self._start(process)
        return self

    def __exit__(self, *exception: object) -> None:
        """End both processes."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait()

    def advance(self, done: int) -> None:
        """
        Kill a process if it is its turn, and start it again.

        Args:
            done: Number of calls of the replay that were made so far.
        """
        if self._due and done >= self.total * self._due[0]:
            self._kill(("worker", "receiver")[len(self._due) % 2])
            del self._due[0]

    def wait(self) -> float:
        """
        Wait until everything is delivered; return the seconds.

        Raises:
            FeedError: There is no progress, or a process has ended.
        """
        began = last = time.monotonic()
        before: list[int] = []
        while time.monotonic() < last + _PATIENCE:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise FeedError(f"The {name} ended with {process.returncode}.")
            status = delivery.status()
            if not any(
                one["lag"] or one["unsequenced"] or one["retrying"] for one in status
            ):
                return time.monotonic() - began
            positions = [one["position"] for one in status]
            if positions != before:
                before, last = positions, time.monotonic()
            time.sleep(0.2)
        raise FeedError(f"The consumers are behind: {status}")

    def _kill(self, name: str) -> None:
        """Kill a process, start it again, and do what an operator would do then."""
        if name not in self._processes:
            return
        self._processes[name].kill()
        self._processes[name].wait()
        self.kills[name] += 1
        if name == "worker":
            # It has the consumers for another minute. A pause ends that.
            for consumer in settings.ENROLLMENTS_CONSUMERS:
                delivery.pause(consumer)
                delivery.resume(consumer)
            self._start(name)
        else:
            self._start(name)
            # Otherwise, the next attempt is made after 5 seconds, later after more.
            _wait_for(self._port)
            delivery.resume("webhook")

    def _start(self, name: str) -> None:
        command = [str(_MANAGE), "enrollments_work", "--follow", "--interval=0.5"]
        if name == "receiver":
            if "webhook" not in settings.FEED_RECORDS:
                return
            secret, path = settings.FEED_SECRET, settings.FEED_RECORDS["webhook"]
            command = [str(records.__file__), str(self._port), secret, str(path)]
        self._processes[name] = subprocess.Popen(  # noqa: S603 - this project's own.
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"EXAMPLE_HOOK_PORT": str(self._port)},
        )


def _wait_for(port: int) -> None:
    """Wait until a process on this machine listens."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection((records.HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def _find_port() -> int:
    with socket.socket() as free:
        free.bind((records.HOST, 0))
        return int(free.getsockname()[1])


def compare(codes: Collection[str]) -> list[Outcome]:
    """
    Compare what the consumers have got with the history of some courses.

    Args:
        codes: The courses.
    """
    events = EnrollmentEvent.objects.order_by("pk").values_list(
        "event_id", "user", "course_id"
    )
    wanted: dict[str, list[str]] = defaultdict(list)
    known = set()
    for event, user, course_id in events:
        known.add(str(event))
        if course_id in codes:
            wanted[f"{user}:{course_id}"].append(str(event))
    return [_compare(name, wanted, known, set(codes)) for name in settings.FEED_RECORDS]


def _compare(
    name: str, wanted: dict[str, list[str]], known: set[str], codes: set[str]
) -> Outcome:
    got: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    repeats = unknown = 0
    for event, partition in records_of(name).read():
        unknown += event not in known
        if partition.partition(":")[2] not in codes:
            continue
        if event in seen:
            repeats += 1
        else:
            seen.add(event)
            got[partition].append(event)
    return Outcome(
        name=name,
        events=len(seen),
        repeats=repeats,
        missing=len({one for events in wanted.values() for one in events} - seen),
        unknown=unknown,
        # Of those that have not got all, the missing events tell.
        disordered=sum(
            got[key] != [event for event in events if event in seen]
            for key, events in wanted.items()
        ),
    )
