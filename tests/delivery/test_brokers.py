"""
Celery on real brokers.

RabbitMQ is stopped under load, and Redis delivers tasks again. A test is skipped, with
the reason, if its server does not respond, unless a variable names the server.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import closing, suppress
from threading import Event, Thread
from uuid import uuid4

import pytest

from django_enrollments.delivery import Worker, backends, deliver, resume, status
from django_enrollments.models import CourseEnrollment, EnrollmentEvent, SetAside
from django_enrollments.services import EnrollmentsService
from tests.example import ROOT
from tests.factories import course_id_of, make_users
from tests.processes.concurrent import PATIENCE_SECONDS
from tests.shared_caches import NAMED_REDIS, REDIS_URL

celery = pytest.importorskip("celery", reason="the extra celery is not installed")
kombu = pytest.importorskip("kombu", reason="the extra celery is not installed")

NAMED_RABBITMQ = os.environ.get("ENROLLMENTS_TEST_RABBITMQ_URL")
RABBITMQ_URL = NAMED_RABBITMQ or "amqp://guest:guest@127.0.0.1:5672//"

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

service = EnrollmentsService()


def need(url: str, named: str | None) -> None:
    """Skip a test, or fail if the server was named, if no server responds."""
    try:
        with kombu.Connection(url, connect_timeout=30) as connection:
            connection.ensure_connection(max_retries=1, timeout=30)
    except Exception as error:
        if named:
            raise
        server = url.rpartition("@")[2]
        pytest.skip(f"No broker responds at {server}: {type(error).__name__}")


def need_control() -> None:
    """Skip a test, or fail if RabbitMQ was named, where it cannot be stopped."""
    need(RABBITMQ_URL, NAMED_RABBITMQ)
    if not NAMED_RABBITMQ and (shutil.which("rabbitmqctl") is None or os.getuid()):
        pytest.skip("Only root can stop RabbitMQ, with rabbitmqctl.")


@pytest.fixture
def make_consumer(settings):
    """Return a function that declares ``crm`` with a queue of its own."""
    apps = []

    def make(url: str, **options):
        queue = f"enrollments-test-{uuid4().hex}"
        app = celery.Celery("tests", broker=url, set_as_current=False)
        app.conf.broker_transport_options = options
        app.set_current()
        app.set_default()
        apps.append((app, queue))
        settings.ENROLLMENTS_CONSUMERS = {
            "crm": {
                "BACKEND": "django_enrollments.delivery.backends.CeleryBackend",
                "OPTIONS": {"task": "crm.take", "queue": queue},
            }
        }
        deliver("crm")
        return app, queue

    yield make
    for app, queue in apps:
        with app.connection_for_write() as connection:
            connection.default_channel.queue_delete(queue)
        app.close()


def change_at_random(learners, course, is_enough: Event) -> None:
    """Enroll and unenroll learners until it is enough."""
    chance = random.Random(7)  # noqa: S311 - not a secret.
    enrolled = set()
    while not is_enough.is_set():
        learner = chance.choice(learners)
        if learner in enrolled:
            service.unenroll(learner, course)
        else:
            service.enroll(learner, course)
        enrolled ^= {learner}
        time.sleep(0.02)


def wait_until(is_true) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        assert time.monotonic() < end, "It takes too long."
        time.sleep(0.2)


def has_some() -> bool:
    (one,) = status()
    return one["position"] > 20


def waits_for_the_broker() -> bool:
    (one,) = status()
    return one["state"] == "down" and one["lag"] > 100


def has_all() -> bool:
    (one,) = status()
    return not (one["lag"] or one["unsequenced"] or one["retrying"])


class TestRabbitMQ:
    def test_that_is_stopped_loses_nothing(self, make_consumer, course):
        need_control()
        app, queue = make_consumer(RABBITMQ_URL, confirm_publish=True)
        learners = make_users(40)
        worker, is_enough = Worker(interval=0.2), Event()
        threads = [
            Thread(target=worker.follow),
            Thread(target=change_at_random, args=(learners, course, is_enough)),
        ]
        for thread in threads:
            thread.start()
        try:
            wait_until(has_some)
            self.control("stop_app")
            wait_until(waits_for_the_broker)
        finally:
            self.control("start_app")
            is_enough.set()
            threads[1].join()
        resume("crm")
        wait_until(has_all)
        worker.stop()
        threads[0].join()

        got = self.drain(app, queue)
        events = EnrollmentEvent.objects.order_by("pk").values_list(
            "event_id", "user_id"
        )
        wanted, received = defaultdict(list), defaultdict(list)
        for event_id, user_id in events:
            wanted[user_id].append(str(event_id))
        for event in got:
            if event["id"] not in received[event["data"]["user_id"]]:
                received[event["data"]["user_id"]].append(event["id"])
        assert received == wanted
        assert not SetAside.objects.exists()

    def test_that_hangs_is_not_waited_for(
        self, make_consumer, ada, course, monkeypatch
    ):
        need_control()
        app, queue = make_consumer(RABBITMQ_URL, confirm_publish=True)
        service.enroll(ada, course)
        assert deliver("crm").delivered == 1
        service.unenroll(ada, course)
        process = int(self.control("eval", "os:getpid().").strip('"\n'))

        os.kill(process, signal.SIGSTOP)
        try:
            with monkeypatch.context() as patched:
                patched.setattr(backends, "CONFIRM_SECONDS", 1)
                hung = deliver("crm")
        finally:
            os.kill(process, signal.SIGCONT)
        (state,) = status()
        resume("crm")
        again = deliver("crm")

        # It may have got the message, and its late confirmation is for nobody.
        got = {event["id"] for event in self.drain(app, queue)}
        assert (hung.delivered, again.delivered) == (0, 1)
        assert state["state"] == "down"
        assert got == {str(event.event_id) for event in EnrollmentEvent.objects.all()}

    def control(self, *action: str) -> str:
        return subprocess.run(  # noqa: S603 - this test's own command.
            ["rabbitmqctl", "--quiet", *action],  # noqa: S607 - Debian's, as root.
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
        ).stdout

    def drain(self, app, queue: str) -> list[dict]:
        events = []
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=10)
            simple = connection.SimpleQueue(queue)
            with simple, suppress(simple.Empty):
                while True:
                    message = simple.get(block=False)
                    events.append(message.payload[1]["event"])
                    message.ack()
        return events


class TestRedis:
    def test_that_delivers_tasks_again_causes_no_second_act(
        self, make_consumer, course, tmp_path
    ):
        pytest.importorskip("redis", reason="The package redis is not installed.")
        need(REDIS_URL, NAMED_REDIS)
        _, queue = make_consumer(REDIS_URL)
        learners = make_users(12)
        for learner in learners:
            service.enroll(learner, course)
            service.unenroll(learner, course)
            service.enroll(learner, course)
            service.unenroll(learner, course)
        service.enroll(learners[0], course)
        database = tmp_path / "crm.sqlite3"

        deliver("crm")
        with self.running_worker(queue, database, seconds=1.5):
            wait_until(lambda: self.is_done(database, course))

        calls, acts = self.read(database)
        assert max(calls.values()) > 1
        assert set(calls) == {
            str(one)
            for one in EnrollmentEvent.objects.values_list("event_id", flat=True)
        }
        assert max(Counter(event for event, _, _ in acts).values()) == 1

    def running_worker(self, queue, database, *, seconds):
        environment = {
            "CRM_BROKER": REDIS_URL,
            "CRM_QUEUE": queue,
            "CRM_DATABASE": str(database),
            "CRM_SECONDS": str(seconds),
        }
        command = [
            *(sys.executable, "-m", "celery", "-A", "tests.delivery.celery_project"),
            *("worker", "-P", "threads", "-c", "4", "-Q", queue, "-l", "ERROR"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
        process = subprocess.Popen(  # noqa: S603 - as above.
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return killing(process)

    def is_done(self, database, course) -> bool:
        """Return whether tasks came again, and the states are those of now."""
        if not database.exists():
            return False
        calls, acts = self.read(database)
        states = {key: bool(is_active) for _, key, is_active in acts}
        wanted = {
            f"{user_id}:{course_id_of(course)}": is_active
            for user_id, is_active in CourseEnrollment.objects.values_list(
                "user_id", "is_active"
            )
        }
        is_complete = len(calls) == EnrollmentEvent.objects.count()
        return is_complete and max(calls.values()) > 1 and states == wanted

    def read(self, database):
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            try:
                calls = connection.execute("SELECT event FROM call").fetchall()
                acts = connection.execute("SELECT * FROM act ORDER BY rowid").fetchall()
            except sqlite3.OperationalError:
                # The tables do not exist yet.
                return Counter(), []
        return Counter(event for (event,) in calls), acts


class killing:  # noqa: N801 - used like a function.
    """Kills a process when the block ends."""

    def __init__(self, process):
        self.process = process

    def __enter__(self):
        return self.process

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
