"""Wake-ups of workers after a commit."""

from __future__ import annotations

import logging
import socket
import sys
import time
from importlib import import_module
from threading import Event

import django
import pytest

from django_enrollments.apps import register_wake
from django_enrollments.delivery import wake
from django_enrollments.importing import ExtraMissing
from django_enrollments.services import EnrollmentsService

HERE = "tests.delivery.test_wake"
BROKEN = {"consumer": {"BACKEND": "nowhere.Backend"}}

called = []


def note(what):
    """Note a wake-up."""
    called.append(what)


@pytest.fixture(autouse=True)
def _nothing_called(monkeypatch):
    called.clear()
    monkeypatch.setattr(wake, "work", lambda seconds: called.append(seconds))


def settle():
    """Wait until no wake-up waits."""
    if wake._waiting is not None:
        wake._waiting.result(timeout=300)


class TestCelery:
    @pytest.fixture
    def app(self):
        """Make the current app, whose broker is in memory."""
        celery = pytest.importorskip("celery", reason="the extra celery is missing")
        with celery.Celery("tests", broker="memory://", set_as_current=False) as app:
            app.set_current()
            app.set_default()
            yield app
            settle()

    def received(self, app):
        settle()
        with (
            app.connection_for_read() as connection,
            connection.SimpleQueue("celery") as queue,
        ):
            return [queue.get(timeout=1, block=False) for _ in range(queue.qsize())]

    def test_sends_a_task_that_makes_a_pass(self, app):
        wake.celery("events")

        (sent,) = self.received(app)
        app.tasks[sent.headers["task"]](*sent.payload[0])
        assert sent.headers["task"] == "django_enrollments.deliver"
        assert called == [wake.PASS_SECONDS]

    def test_sends_one_for_many_commits(self, app, monkeypatch):
        sent, may_go_on = [], Event()

        def send(what):
            sent.append(what)
            may_go_on.wait(timeout=300)

        monkeypatch.setattr(wake, "_send", send)
        wake.celery("events")
        while not sent:
            time.sleep(0.01)

        # The first one has begun, perhaps before these commits.
        for _ in range(10):
            wake.celery("events")
        may_go_on.set()
        settle()

        assert len(sent) == 2

    def test_does_not_wait_for_a_broker_that_is_silent(self, app, caplog):
        caplog.set_level(logging.WARNING, "django_enrollments")
        app.conf.broker_transport_options = {"max_retries": 0}
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            app.conf.broker_url = f"amqp://guest:pass-word@127.0.0.1:{port}//"

            wake.celery("events")
            is_done = wake._waiting.done()
        settle()

        assert not is_done
        assert "OperationalError" in caplog.text
        assert "pass-word" not in caplog.text

    def test_calls_at_once_where_tasks_are_eager(self, app):
        app.conf.task_always_eager = True

        wake.celery("events")

        assert called == [wake.PASS_SECONDS]

    @pytest.mark.skipif(
        not hasattr(wake.os, "register_at_fork"), reason="Windows has no fork()"
    )
    def test_begins_anew_after_a_fork(self, monkeypatch):
        before = wake._executor
        monkeypatch.setattr(wake, "_waiting", object())

        wake._forget()

        assert wake._executor is not before
        assert wake._waiting is None

    def test_needs_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "celery", None)

        with pytest.raises(ExtraMissing, match=r'pip install ".*\[celery\]"'):
            wake.celery("events")


class TestTasks:
    def test_enqueues_a_task_that_makes_a_pass(self, settings):
        name = "django.tasks" if django.VERSION >= (6,) else "django_tasks"
        pytest.importorskip(name, reason="the extra tasks is missing")
        import_module(f"{name}.signals")
        immediate = f"{name}.backends.immediate.ImmediateBackend"
        settings.TASKS = {"default": {"BACKEND": immediate}}

        wake.tasks("events")

        assert called == [wake.PASS_SECONDS]

    def test_need_the_extra(self, monkeypatch):
        for name in ("django.tasks", "django_tasks"):
            monkeypatch.setitem(sys.modules, name, None)

        with pytest.raises(ExtraMissing, match=r'pip install ".*\[tasks\]"'):
            wake.tasks("events")


class TestSetting:
    @pytest.mark.django_db(transaction=True)
    def test_is_called_after_each_commit(self, ada, course, settings):
        settings.ENROLLMENTS_CONSUMERS = BROKEN
        settings.ENROLLMENTS_WAKE = f"{HERE}.note"

        EnrollmentsService().enroll(ada, course)

        assert called == ["events"]

    def test_is_imported_when_django_starts(self, settings, monkeypatch):
        monkeypatch.delitem(sys.modules, "tests.delivery.task_functions", False)
        settings.ENROLLMENTS_WAKE = "tests.delivery.task_functions.wake"

        register_wake()

        assert "tests.delivery.task_functions" in sys.modules

    @pytest.mark.parametrize("path", [None, "nowhere.wake", f"{HERE}.BROKEN"])
    def test_may_be_wrong_when_django_starts(self, settings, path):
        settings.ENROLLMENTS_WAKE = path

        register_wake()
