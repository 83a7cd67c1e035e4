"""Workers that are killed, stopped or told to end, at any point."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Barrier, BrokenBarrierError, Event, Thread

import pytest
from django.db import connection
from django.db.models import F

from django_enrollments import api
from django_enrollments.delivery import deliver, status
from django_enrollments.delivery.worker import Worker
from django_enrollments.models import Consumer, EnrollmentEvent
from tests.delivery.calls import (
    declare_writer,
    deliver_to_file,
    deliver_with_short_leases,
    enroll_and_pause,
    lines,
    work_until_terminated,
)
from tests.delivery.consumers import enroll
from tests.factories import course_id_of, make_course, make_users
from tests.processes.concurrent import IN_TRANSACTION, PATIENCE_SECONDS
from tests.processes.controlled import Controlled, paused, pausing_after

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def record(settings, tmp_path):
    """Declare a consumer that writes to a file, which starts now; return its path."""
    path = tmp_path / "record"
    path.touch()
    settings.ENROLLMENTS_CONSUMERS = declare_writer(str(path))
    deliver("file")
    return str(path)


def expire_leases():
    """Let a minute pass for the leases."""
    Consumer.objects.update(lease_until=F("lease_until") - timedelta(seconds=61))


def delivered(path: str) -> list[int]:
    return [int(position) for _, position, _ in lines(path)]


def first_deliveries(path: str) -> list[int]:
    return [*dict.fromkeys(delivered(path))]


class TestKilledAfterEachStatement:
    def test_loses_nothing(self, record):
        course = make_course()
        total = 0
        while True:
            total += 2
            enroll(2, f"learner{total}x", course=course)
            call = partial(deliver_to_file, record)
            process = Controlled(partial(pausing_after, total // 2, call))
            if not process.has_paused():
                break
            process.kill()
            expire_leases()
            if total % 4:
                # The next pass delivers both the old and the new events, or all.
                assert deliver("file").lag == 0
                assert first_deliveries(record) == [*range(1, total + 1)]
        process.answer().unwrap()

        assert total > 2 * 15
        assert first_deliveries(record) == [*range(1, total + 1)]
        assert status()[0]["unsequenced"] == status()[0]["lag"] == 0

    def test_delivers_again_what_was_not_recorded(self, record):
        enroll(3)
        with paused(partial(deliver_to_file, record, pauses=True)) as process:
            process.kill()

        assert deliver("file").delivered == 0
        expire_leases()
        deliver("file")

        assert delivered(record) == [1, 1, 2, 3]


class TestStoppedWorker:
    def test_neither_calls_nor_moves_once_another_has_taken_over(self, record):
        course = make_course()
        enroll(3, course=course)
        with paused(partial(deliver_with_short_leases, record)) as process:
            pid = int(lines(record)[0][0])
            os.kill(pid, signal.SIGSTOP)
            expire_leases()
            deliver("file")
            enroll(2, "later", course=course)
            os.kill(pid, signal.SIGCONT)
            process.go_on()
            process.answer().unwrap()

        assert delivered(record) == [1, 1, 2, 3]
        assert Consumer.objects.get().position == 3
        assert deliver("file").delivered == 2


class TestDelivery:
    def test_leaves_no_transaction_open_during_a_call(self, record):
        enroll(1)
        with paused(partial(deliver_to_file, record, pauses=True)) as process:
            assert not is_in_transaction(process.session)
            # On SQLite, nobody else could write.
            enroll(1, "other", course=make_course("other"))
            process.go_on()
            process.answer().unwrap()

        assert delivered(record) == [1]


def is_in_transaction(session: int | None) -> bool:
    statement = {
        "postgresql": "SELECT 1 FROM pg_stat_activity WHERE pid = %s "
        "AND (state <> 'idle' OR xact_start IS NOT NULL)",
        "mysql": "SELECT 1 FROM information_schema.innodb_trx "
        "WHERE trx_mysql_thread_id = %s",
        "sqlite": "SELECT 1 WHERE %s IS NOT NULL",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statement, [session])
        return cursor.fetchone() is not None


class Intervals(Event):
    """Lets the two threads of a worker wait until the test begins the next interval."""

    def __init__(self):
        super().__init__()
        self._next = Barrier(3, timeout=PATIENCE_SECONDS)

    def wait(self, timeout=None):
        with suppress(BrokenBarrierError):
            self._next.wait()
        return self.is_set()

    def pass_(self, count: int):
        """Wait until both threads have made their passes, so many times."""
        for _ in range(count):
            self._next.wait()

    def end(self):
        self.set()
        self._next.abort()


class TestFollow:
    def test_delivers_within_two_intervals_while_another_stays_in_its_transaction(
        self, record, needs_two_writers
    ):
        course = make_course()
        ada, bob = make_users(2)
        intervals = Intervals()
        worker = Worker()
        worker._is_stopped = intervals
        thread = Thread(target=worker.follow)
        thread.start()
        try:
            call = partial(enroll_and_pause, ada.get_username(), course_id_of(course))
            with paused(call, way=IN_TRANSACTION) as writer:
                api.add_enrollment(bob.get_username(), course_id_of(course))
                # The passes under way, which may be too early, and two more.
                intervals.pass_(1 + 2)
                assert delivered(record) == [1]
                writer.go_on()
                writer.answer().unwrap()
            intervals.pass_(1 + 2)
            assert delivered(record) == [1, 2]
        finally:
            intervals.end()
            thread.join()

    def test_ends_cleanly_when_terminated(self, record):
        enroll(40)
        with paused(partial(work_until_terminated, record)) as process:
            os.kill(int(lines(record)[0][0]), signal.SIGTERM)
            # The handler runs a little later.
            process.go_on()
            while process.has_paused():
                process.go_on()
            process.answer().unwrap()

        done = delivered(record)
        assert len(done) < 40
        row = Consumer.objects.get()
        assert (row.position, row.lease_until) == (done[-1], None)
        assert EnrollmentEvent.objects.filter(position__gt=0).count() == 40
