"""Workers for several consumers, and what wakes them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from io import StringIO
from threading import Barrier, BrokenBarrierError

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection

from django_enrollments import api
from django_enrollments.delivery import NotNow, deliver, passes, status, work
from django_enrollments.delivery import worker as workers
from django_enrollments.delivery.worker import Worker
from tests.delivery.consumers import (
    called,
    declare,
    doing,
    enroll,
    positions,
    raising,
)
from tests.factories import course_id_of, make_course, make_user
from tests.http import count_statements
from tests.processes.concurrent import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

woken: list[str] = []


def wake(what: str) -> None:
    woken.append(what)


def fail_to_wake(what: str) -> None:
    raise ConnectionError("the broker is away")


class Exiting:
    """A backend that exits when it is instantiated."""

    def __init__(self, **options):
        raise SystemExit(1)


@pytest.fixture
def two(settings):
    """Declare two consumers, which start now."""
    settings.ENROLLMENTS_CONSUMERS = declare("crm", "lms")
    deliver("crm")
    deliver("lms")


class TestWork:
    def test_delivers_all_that_is_due(self, two):
        enroll(3)

        assert work() == {
            "sequenced": 3,
            "consumers": {
                name: {"delivered": 3, "failed": 0, "set_aside": 0, "lag": 0}
                for name in ("crm", "lms")
            },
            "errors": {},
        }
        assert positions("crm") == positions("lms") == [1, 2, 3]

    @pytest.mark.parametrize("error", [NotNow(), KeyError(), TimeoutError()])
    def test_one_consumer_that_fails_delays_no_other(self, two, error):
        enroll(15)
        doing["crm"] = raising(error)

        work()

        lags = {one["name"]: one["lag"] for one in status()}
        assert lags["lms"] == 0 < lags["crm"]

    def test_one_that_cannot_be_loaded_delays_no_other(self, two, settings, caplog):
        settings.ENROLLMENTS_CONSUMERS = declare("lms") | {
            "crm": {"BACKEND": "no.Such"}
        }
        enroll(1)

        done = work()

        assert done["errors"] == {"crm": "SettingLoadError"}
        assert positions("lms") == [1]
        assert "Work for crm fails" in caplog.text

    def test_shows_that_a_consumer_has_ended_its_thread(self, two, settings):
        enroll(1)
        settings.ENROLLMENTS_CONSUMERS = declare("lms") | {
            "crm": {"BACKEND": f"{__name__}.Exiting"}
        }

        assert work()["errors"] == {"crm": "SystemExit"}

    @pytest.mark.parametrize("is_in_memory", [True, False])
    def test_serves_one_consumer_after_another_in_memory(
        self, two, monkeypatch, is_in_memory
    ):
        enroll(1)
        is_met = []
        meeting = Barrier(2, action=lambda: is_met.append(True))

        def meet(message):
            with suppress(BrokenBarrierError):
                meeting.wait(0.5 if is_in_memory else PATIENCE_SECONDS)

        doing["crm"] = doing["lms"] = meet
        monkeypatch.setattr(workers, "_is_in_memory", lambda using: is_in_memory)

        work()

        assert positions("crm") == positions("lms") == [1]
        assert is_met == ([] if is_in_memory else [True])

    @pytest.mark.parametrize(
        ("name", "is_in_memory"),
        [
            (":memory:", True),
            ("file:memorydb_default?mode=memory&cache=shared", True),
            ("/srv/memory/school.sqlite3", False),
        ],
    )
    def test_knows_sqlite_in_memory_by_its_name(
        self, settings, monkeypatch, name, is_in_memory
    ):
        monkeypatch.setitem(settings.DATABASES["default"], "NAME", name)

        expected = is_in_memory and connection.vendor == "sqlite"
        assert workers._is_in_memory("default") is expected

    def test_goes_on_until_nothing_is_left(self, two, monkeypatch):
        monkeypatch.setattr(passes, "BATCH", 2)
        enroll(7)

        assert work()["consumers"]["crm"]["delivered"] == 7

    def test_begins_no_delivery_after_its_time(self, two):
        enroll(3)

        work(seconds=-1)

        assert called["crm"] == []

    def test_without_consumers_gives_positions(self):
        enroll(1)

        assert work() == {"sequenced": 1, "consumers": {}, "errors": {}}


class TestFollow:
    def test_goes_on_after_failures_of_the_database(self, two, monkeypatch, caplog):
        caplog.set_level("INFO")
        enroll(2)
        failures = iter([Error("away"), Error("away")])
        worker = Worker(["crm"], interval=0.01)

        def sequence_all():
            error = next(failures, None)
            if error:
                raise error
            if positions("crm"):
                worker.stop()
            return real()

        real = workers.sequence_all
        monkeypatch.setattr(workers, "sequence_all", sequence_all)

        worker.follow()

        assert positions("crm") == [1, 2]
        lines = [one.getMessage() for one in caplog.records]
        assert lines.count("Work for sequencer fails: Error.") == 1
        assert lines.count("Work for sequencer goes on.") == 1

    def test_closes_connections_that_the_consumer_may_have_lost(self, two):
        enroll(2)
        doing["crm"] = lambda message: 1 / (message.position - 1)

        work()

        assert positions("crm") == [2]


class TestEnrollmentsWork:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("enrollments_work", *arguments, stdout=out)
        return out.getvalue()

    def test_makes_one_pass(self, two):
        enroll(2)

        assert "crm: 2 delivered, 0 failed, 0 set aside, 0 still to come" in self.run()

    def test_serves_chosen_consumers(self, two):
        enroll(2)

        self.run("--consumer", "lms")

        assert (positions("crm"), positions("lms")) == ([], [1, 2])

    def test_fails_for_an_unknown_consumer(self, two):
        with pytest.raises(CommandError, match="no consumer 'nobody'"):
            self.run("--consumer", "nobody")

    def test_fails_if_the_work_for_a_consumer_failed(self, settings):
        settings.ENROLLMENTS_CONSUMERS = {"crm": {"BACKEND": "no.Such"}}

        with pytest.raises(CommandError, match="crm"):
            self.run()


class TestWake:
    @pytest.fixture(autouse=True)
    def _nothing_woken(self):
        woken.clear()

    def test_is_called_after_the_commit(self, settings, two):
        settings.ENROLLMENTS_WAKE = f"{__name__}.wake"

        enroll(2)

        assert woken == ["events", "events"]

    def test_is_not_called_without_consumers(self, settings):
        settings.ENROLLMENTS_WAKE = f"{__name__}.wake"

        enroll(1)

        assert woken == []

    @pytest.mark.parametrize("name", ["fail_to_wake", "no_such_function"])
    def test_that_fails_is_logged_and_harmless(self, settings, two, caplog, name):
        settings.ENROLLMENTS_WAKE = f"{__name__}.{name}"

        enroll(1)

        assert "Error calling wake_workers in on_commit()" in caplog.text
        assert work()["consumers"]["crm"]["delivered"] == 1


class TestEnrolling:
    def test_executes_as_many_statements_with_consumers_as_without(self, settings):
        course_id, counts = course_id_of(make_course()), []
        for number, declared in enumerate(({}, {}, declare("crm"))):
            settings.ENROLLMENTS_CONSUMERS = declared
            name = make_user(f"learner{number}").get_username()
            enroll_one = partial(api.add_enrollment, name, course_id)
            counts.append(count_statements(enroll_one)[1])

        assert counts[1] == counts[2]
        assert connection.in_atomic_block is False
