"""
The event feed: sequencing, delivering to a function, and enrolling meanwhile.

``python -m benchmarks.feed`` (``make bench-feed``) measures every database that
answers, in a test database of its own, and writes ``benchmarks/feed.md``. ``--check``
fails where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from threading import Thread
from typing import TYPE_CHECKING, Any

from tests.databases import SERVERS
from tools.run_tests import find_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_enrollments.delivery import Message

PAGE = Path(__file__).with_suffix(".md")

DATABASES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}

#: Events of the small and of the large backlog.
SMALL, LARGE = 10_000, 300_000

#: Learners who enroll in one round, and rounds, each without and then with a worker.
LEARNERS, ROUNDS = 300, 15

INTERVAL = 0.5

#: What is measured: heading, and the goal, of which the value is the bound.
ROWS = {
    "sequencing, events/s": ("at least", 3_000),
    "delivering to a function, events/s": ("", 0),
    f"memory of delivering {LARGE:,} ÷ {SMALL:,}": ("at most", 1.2),
    "enrolling one by one, time ÷ without a worker": ("at most", 1.05),
    "enrolling in bulk, time ÷ without a worker": ("at most", 1.05),
    f"commit to call, 95 %, in intervals of {INTERVAL} s": ("at most", 2),
}

_numbers = count()


def note(message: Message) -> None:
    """Write when an event was delivered, as a consumer."""
    path = os.environ.get("ENROLLMENTS_BENCHMARK_NOTES")
    if path:
        with Path(path).open("a") as notes:
            notes.write(f"{message.event.event_id} {time.time()}\n")


def declare() -> None:
    """Declare the consumer."""
    from django.conf import settings

    settings.ENROLLMENTS_CONSUMERS = {
        "function": {
            "BACKEND": "django_enrollments.delivery.backends.CallBackend",
            "OPTIONS": {"function": "benchmarks.feed.note"},
        }
    }


def fill(size: int) -> None:
    """Write events of many enrollments."""
    from django_enrollments.core.sql import insert_rows
    from django_enrollments.core.transactions import write_alias
    from django_enrollments.datetimes import for_database, now
    from django_enrollments.models import EnrollmentEvent

    same = {
        "type": "created",
        "time": for_database(now()),
        "username": "ada",
        "course_id": "course-v1:edX+Feed+1",
        "mode_before": None,
        "mode_after": "audit",
        "active_before": None,
        "active_after": True,
        "actor": None,
        "source": "bulk",
        "reason": "",
        "enterprise_uuid": "",
    }
    step = 5_000
    for start in range(0, size, step):
        columns = {name: [value] * step for name, value in same.items()}
        columns["event_id"] = [uuid.uuid4() for _ in range(step)]
        columns["enrollment"] = columns["user"] = [*range(start + 1, start + step + 1)]
        insert_rows(EnrollmentEvent, columns, using=write_alias())


def in_process(name: str, action: str, **environment: str) -> Any:
    """Start an action of this module in a process with the same database."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.feed", "--database", name, "--do", action],
        env=os.environ | {"ENROLLMENTS_TEST_DATABASE": name} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def do_deliver() -> dict[str, float]:
    """Deliver the backlog; return the speed, and the memory of this process."""
    from django_enrollments.delivery import work

    began = time.perf_counter()
    delivered = work()["consumers"]["function"]["delivered"]
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"speed": delivered / seconds, "memory": memory, "delivered": delivered}


def do_follow() -> None:
    """Work between each pair of lines of the standard input."""
    from django_enrollments.delivery import Worker

    while sys.stdin.readline():
        worker = Worker(interval=INTERVAL)
        thread = Thread(target=worker.follow)
        thread.start()
        sys.stdin.readline()
        worker.stop()
        thread.join()
        print("stopped", flush=True)


@contextmanager
def working(process: Any) -> Iterator[None]:
    """Let the worker of a process work, beginning without a backlog."""
    print("work", file=process.stdin, flush=True)
    time.sleep(3 * INTERVAL)
    yield
    print("stop", file=process.stdin, flush=True)
    process.stdout.readline()


def enroll_singly() -> float:
    """Return the seconds of enrolling new learners one by one."""
    from django_enrollments import api
    from tests.factories import make_users

    users = make_users(LEARNERS, f"single{next(_numbers)}x")
    began = time.perf_counter()
    for user in users:
        api.add_enrollment(user.get_username(), "course-v1:edX+Feed+1")
    return time.perf_counter() - began


def enroll_in_bulk() -> float:
    """Return the seconds of enrolling ten times as many in bulk."""
    from django_enrollments import api
    from tests.factories import make_users

    users = make_users(10 * LEARNERS, f"bulk{next(_numbers)}x")
    names = [user.get_username() for user in users]
    began = time.perf_counter()
    for _ in api.bulk_enroll("course-v1:edX+Feed+1", names):
        pass
    return time.perf_counter() - began


def measure_enrolling(name: str) -> dict[str, float]:
    """Return the cost of enrolling while a worker runs, and the time to a call."""
    from django_enrollments import api
    from django_enrollments.models import EnrollmentEvent
    from tests.factories import make_users

    ratios: dict[str, list[float]] = {"singly": [], "bulk": []}
    written: dict[str, float] = {}
    with tempfile.NamedTemporaryFile("r") as notes:
        path = {"ENROLLMENTS_BENCHMARK_NOTES": notes.name}
        worker = in_process(name, "follow", **path)
        for _ in range(ROUNDS):
            alone = enroll_singly(), enroll_in_bulk()
            with working(worker):
                both = enroll_singly(), enroll_in_bulk()
            for row, before, after in zip(ratios.values(), alone, both, strict=True):
                row.append(after / before)
        with working(worker):
            for user in make_users(100, "timed"):
                api.add_enrollment(user.get_username(), "course-v1:edX+Feed+1")
                event = EnrollmentEvent.objects.latest("pk")
                written[str(event.event_id)] = time.time()
                time.sleep(0.1)
            time.sleep(3 * INTERVAL)
        worker.communicate()
        called = dict(line.split() for line in notes.read().splitlines())
    waits = [float(called[key]) - at for key, at in written.items()]
    return {
        **{name: median(values) for name, values in ratios.items()},
        "wait": quantiles(waits, n=20)[-1] / INTERVAL,
    }


def measure(name: str) -> dict[str, float]:
    """Return the values of all rows for the database of this process."""
    from django.db import connection

    from django_enrollments.delivery import deliver
    from django_enrollments.delivery.sequencer import sequence_all
    from tests.factories import make_course

    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        make_course("course-v1:edX+Feed+1")
        deliver("function")
        delivered = []
        speed = 0.0
        for size in (SMALL, LARGE):
            fill(size)
            began = time.perf_counter()
            sequence_all()
            speed = size / (time.perf_counter() - began)
            connection.close()
            output, _ = in_process(name, "deliver").communicate()
            delivered.append(json.loads(output.splitlines()[-1]))
            if delivered[-1]["delivered"] != size:
                raise RuntimeError(f"Not all was delivered: {delivered[-1]}")
        small, large = delivered
        enrolling = measure_enrolling(name)
    finally:
        connection.close()
        connection.creation.destroy_test_db(
            connection.settings_dict["NAME"], verbosity=0
        )
    values = (
        speed,
        large["speed"],
        large["memory"] / small["memory"],
        enrolling["singly"],
        enrolling["bulk"],
        enrolling["wait"],
    )
    return dict(zip(ROWS, values, strict=True))


def page(measured: dict[str, dict[str, float]]) -> str:
    """Return the page of results."""
    lines = [
        "# Event feed",
        "",
        f"Written by `make bench-feed` on a machine with {os.cpu_count()} cores. A "
        f"ratio is the median of {ROUNDS} rounds, each without and then with a worker.",
        "",
        f"| | {' | '.join(DATABASES[name] for name in measured)} | goal |",
        f"| --- |{' ---: |' * len(measured)} --- |",
    ]
    for row, (bound, goal) in ROWS.items():
        digits = 0 if "events/s" in row else 2
        cells = [f"{rows[row]:,.{digits}f}" for rows in measured.values()]
        wanted = f"{bound} {goal:,}" if bound else ""
        lines.append(f"| {row} | {' | '.join(cells)} | {wanted} |")
    return "\n".join(lines) + "\n"


def is_met(row: str, value: float) -> bool:
    """Return whether a value meets the goal of its row."""
    bound, goal = ROWS[row]
    return value >= goal if bound in ("", "at least") else value <= goal


def main() -> int:
    """Measure all databases; or do what a process of this module is started for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--database", default="")
    parser.add_argument("--do", default="")
    options = parser.parse_args()
    if options.database:
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        import django

        django.setup()
        from django.db import connection

        name = connection.settings_dict["NAME"]
        test = connection.settings_dict["TEST"]
        test["NAME"] = f"{name}_feed"
        declare()
        if options.do:
            connection.settings_dict["NAME"] = test["NAME"]
        if options.do == "follow":
            do_follow()
        else:
            print(json.dumps(do_deliver() if options.do else measure(options.database)))
        return 0
    measured = {}
    for name in DATABASES:
        if name in SERVERS and (fault := find_fault(name)):
            print(f"{name} does not answer: {fault}")
            continue
        output, _ = in_process(name, "").communicate()
        measured[name] = json.loads(output.splitlines()[-1])
    text = page(measured)
    print(text)
    PAGE.write_text(text)
    missed = [
        (name, row)
        for name, rows in measured.items()
        for row, value in rows.items()
        if not is_met(row, value)
    ]
    for name, row in missed:
        print(f"missed on {name}: {row}")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
