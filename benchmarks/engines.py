"""
Measure how many events a second each backend delivers, with one worker.

``make bench-engines`` delivers 10,000 events to a function, to webhooks on this machine
and to Celery on the brokers that answer. It prints a table, and writes ``engines.md``
beside this file. ``ARGS="--events 2000"`` chooses the number.

The receiver of webhooks is a process of its own, verifies each signature, and shares
the machine with the worker. Celery's tasks stay in a queue, which is deleted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.databases import SERVERS, server_url
from tools.run_tests import find_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
DATA = FOLDER / ".data"

BACKENDS = "django_enrollments.delivery.backends"
SECRET = "whsec_b25seSBmb3IgYmVuY2htYXJrcywgbm90IHNlY3JldA=="
BROKERS = {
    "RabbitMQ, confirmed": os.environ.get("ENROLLMENTS_TEST_RABBITMQ_URL")
    or "amqp://guest:guest@127.0.0.1:5672//",
    "Redis": os.environ.get("ENROLLMENTS_TEST_REDIS_URL")
    or "redis://127.0.0.1:6379/15",
}

HEAD = """\
| database | consumer | threads | events | seconds | events per second |
| --- | --- | ---: | ---: | ---: | ---: |
"""

PAGE = """\
# Delivering events

Written by `make bench-engines` on a machine with {cores} cores. One worker delivers a
backlog of {events:,} events of {enrollments:,} enrollments. The receiver of webhooks
and the brokers are on the same machine.

{table}"""


def receive() -> None:
    """Receive webhooks, and verify them, until the process is killed."""
    from standardwebhooks import Webhook

    webhook = Webhook(SECRET)

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            webhook.verify(body, dict(self.headers))
            self.send_response_only(204)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def _receiver() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.engines", "--receive"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline()) if process.stdout else 0
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


@contextmanager
def _queue(broker: str) -> Iterator[str]:
    """Make Celery use a broker, and yield the name of a queue that is deleted after."""
    from celery import Celery

    app = Celery("benchmarks", broker=broker, set_as_current=False)
    app.conf.broker_transport_options = (
        {"confirm_publish": True} if broker.startswith("amqp") else {}
    )
    app.set_current()
    app.set_default()
    queue = f"enrollments-benchmark-{uuid.uuid4().hex}"
    yield queue
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(queue)


def _answers(broker: str) -> bool:
    from kombu import Connection

    try:
        with Connection(broker, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
    except Exception as error:  # noqa: BLE001 - any fault of a server.
        print(f"{broker.rpartition('@')[2]} does not answer: {type(error).__name__}")
        return False
    return True


def _ignore(message: object) -> None:
    """Take a message."""


def _make_events(number: int, enrollments: int) -> None:
    """Write the events of enrollments, which are activated and deactivated in turn."""
    from django.utils import timezone

    from django_enrollments.models import EnrollmentEvent

    at = timezone.now()
    EnrollmentEvent.objects.bulk_create(
        (
            EnrollmentEvent(
                type="activated" if (one // enrollments) % 2 == 0 else "deactivated",
                time=at,
                enrollment_id=one % enrollments + 1,
                user_id=one % enrollments + 1,
                username=f"learner{one % enrollments}",
                course_id=f"course-v1:School+Course{one % 10}+2026",
                mode_before="audit",
                mode_after="audit",
                active_before=(one // enrollments) % 2 == 1,
                active_after=(one // enrollments) % 2 == 0,
                source="service",
            )
            for one in range(number)
        ),
        batch_size=500,
    )


def _deliver(name: str, options: dict[str, Any], threads: int, events: int) -> float:
    """Deliver all events to a new consumer, and return the seconds."""
    from django.test import override_settings

    from django_enrollments import delivery

    consumer = f"benchmark-{uuid.uuid4().hex[:8]}"
    declared = {
        "BACKEND": f"{BACKENDS}.{name}",
        "OPTIONS": options,
        "CONCURRENCY": threads,
    }
    with override_settings(ENROLLMENTS_CONSUMERS={consumer: declared}):
        delivery.replay(consumer, position=1)
        began = time.perf_counter()
        done = delivery.deliver(consumer, limit=events)
        seconds = time.perf_counter() - began
    if done.delivered != events:
        raise AssertionError(f"{name}: {done}")
    return seconds


def measure(name: str, events: int, enrollments: int) -> Iterator[str]:
    """
    Measure one database.

    Args:
        name: ``sqlite`` or a key of ``SERVERS``.
        events: How many events.
        enrollments: How many enrollments they belong to.

    Yields:
        A line of the table for each consumer.
    """
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    from django_enrollments import delivery

    old = setup_databases(verbosity=0, interactive=False)
    try:
        _make_events(events, enrollments)
        began = time.perf_counter()
        while delivery.sequence():
            pass
        seconds = time.perf_counter() - began
        line = partial(_line, name, events)
        yield line("positions only", 1, seconds)
        call = {"function": _ignore}
        yield line("function", 1, _deliver("CallBackend", call, 1, events))
        with _receiver() as url:
            options = {"url": url, "secrets": [SECRET], "allow_private": True}
            for threads in (1, 4):
                seconds = _deliver("WebhookBackend", options, threads, events)
                yield line("webhook on this machine", threads, seconds)
        for broker, address in BROKERS.items():
            if _answers(address):
                with _queue(address) as queue:
                    options = {"task": "benchmark", "queue": queue}
                    for threads in (1, 4):
                        seconds = _deliver("CeleryBackend", options, threads, events)
                        yield line(f"Celery, {broker}", threads, seconds)
    finally:
        connection.close()
        teardown_databases(old, verbosity=0)


def _line(name: str, events: int, consumer: str, threads: int, seconds: float) -> str:
    return (
        f"| {name} | {consumer} | {threads} | {events:,} | {seconds:.1f} "
        f"| {events / seconds:,.0f} |\n"
    )


def main(arguments: list[str]) -> None:
    """
    Measure and report.

    Args:
        arguments: As the module says.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines")
    parser.add_argument("--databases", nargs="+", default=["sqlite", *SERVERS])
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    enrollments = max(options.events // 5, 1)
    if options.receive:
        receive()
    if options.one:
        import django

        django.setup()
        for line in measure(options.one, options.events, enrollments):
            print(line, end="", flush=True)
        return
    print(HEAD, end="", flush=True)
    table = HEAD
    DATA.mkdir(exist_ok=True)
    for name in options.databases:
        if name in SERVERS and (fault := find_fault(name)):
            print(f"{name} does not answer: {fault}")
            continue
        table += _apart(name, options.events)
    cores = os.cpu_count()
    text = PAGE.format(
        table=table, cores=cores, events=options.events, enrollments=enrollments
    )
    (FOLDER / "engines.md").write_text(text)


def _apart(name: str, events: int) -> str:
    """Measure one database in a process of its own; give what it printed."""
    url = f"sqlite://{DATA / 'engines.sqlite3'}"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "ENROLLMENTS_BENCHMARK_DATABASE": server_url(name) if name in SERVERS else url,
    }
    command = [sys.executable, "-m", "benchmarks.engines", f"--events={events}"]
    lines = []
    with subprocess.Popen(
        [*command, f"--one={name}"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(process.returncode)
    return "".join(line for line in lines if line.startswith("| "))


if __name__ == "__main__":
    main(sys.argv[1:])
