"""The backends that call functions, enqueue tasks and send to Celery's broker."""

from __future__ import annotations

import sys
from importlib import import_module

import django
import pytest
from django.core.exceptions import ImproperlyConfigured

from django_enrollments.delivery import NotNow
from django_enrollments.delivery.backends import (
    CallBackend,
    CeleryBackend,
    TaskBackend,
)
from django_enrollments.importing import ExtraMissing
from tests.delivery.messages import make_message

HERE = "tests.delivery.test_backends"
OPTIONS = {"consumer": "crm", "personal": False}

taken = []


def take(message):
    """Take a message."""
    taken.append(message)


async def take_later(message):
    """Take a message, if somebody waits for it."""
    taken.append(message)


class AsyncConsumer:
    """Is called like an asynchronous function."""

    async def __call__(self, message):
        taken.append(message)


not_callable = "text"


@pytest.fixture(autouse=True)
def _nothing_taken():
    taken.clear()


class TestCallBackend:
    @pytest.mark.parametrize("function", [f"{HERE}.take", take])
    def test_calls_the_function(self, function):
        message = make_message()

        CallBackend(function=function, **OPTIONS).deliver(message)

        assert [one.event for one in taken] == [message.event]

    def test_calls_an_instance(self):
        CallBackend(function=taken.append, **OPTIONS).deliver(make_message())

        assert len(taken) == 1

    def test_raises_what_the_function_raises(self):
        def fail(message):
            raise NotNow(7)

        with pytest.raises(NotNow) as refusal:
            CallBackend(function=fail, **OPTIONS).deliver(make_message())

        assert refusal.value.retry_after == 7

    @pytest.mark.parametrize(
        "function", [f"{HERE}.nothing", "nowhere.take", f"{HERE}.not_callable", 7]
    )
    def test_refuses_what_cannot_be_called(self, function):
        with pytest.raises(ImproperlyConfigured):
            CallBackend(function=function, **OPTIONS)

    @pytest.mark.parametrize("function", [f"{HERE}.take_later", AsyncConsumer()])
    def test_refuses_what_only_returns_a_coroutine(self, function):
        with pytest.raises(ImproperlyConfigured, match="asynchronous"):
            CallBackend(function=function, **OPTIONS)


class TestTaskBackend:
    @pytest.fixture
    def module(self, settings):
        """Return the tasks of the Django under test, which are only remembered."""
        name = "django.tasks" if django.VERSION >= (6,) else "django_tasks"
        module = pytest.importorskip(name, reason="the extra tasks is missing")
        # Its receiver of changed settings is connected by an app, if it is installed.
        import_module(f"{name}.signals")
        dummy = f"{name}.backends.dummy.DummyBackend"
        settings.TASKS = {"default": {"BACKEND": dummy}}
        return module

    def test_enqueues_a_task_per_event(self, module):
        backend = TaskBackend(task="tests.delivery.task_functions.take", **OPTIONS)
        messages = [make_message(position) for position in range(1, 4)]

        for message in messages:
            backend.deliver(message)

        results = module.default_task_backend.results
        assert [result.kwargs for result in results] == [
            {"event": message.to_cloudevent()} for message in messages
        ]

    def test_takes_a_task(self, module):
        take = import_module("tests.delivery.task_functions").take
        urgent = take.using(priority=7)

        TaskBackend(task=urgent, consumer="crm", personal=True).deliver(make_message())

        (result,) = module.default_task_backend.results
        assert result.task.priority == 7
        assert result.kwargs["event"]["data"]["username"] == "ada"

    @pytest.mark.parametrize("task", [f"{HERE}.take", f"{HERE}.nothing", "nowhere.t"])
    def test_refuses_what_is_no_task(self, module, task):
        with pytest.raises(ImproperlyConfigured):
            TaskBackend(task=task, **OPTIONS)

    def test_needs_the_extra(self, monkeypatch):
        for name in ("django.tasks", "django_tasks"):
            monkeypatch.setitem(sys.modules, name, None)

        with pytest.raises(ExtraMissing, match=r'pip install ".*\[tasks\]"'):
            TaskBackend(task=f"{HERE}.take", **OPTIONS)


class TestCeleryBackend:
    @pytest.fixture
    def app(self):
        """Make the current app, whose broker is in memory."""
        celery = pytest.importorskip("celery", reason="the extra celery is missing")
        with celery.Celery("tests", broker="memory://", set_as_current=False) as app:
            app.set_current()
            yield app
            app.set_default()

    def received(self, app, queue="celery"):
        with app.connection_for_read() as connection:
            messages = []
            with connection.SimpleQueue(queue) as simple:
                while simple.qsize():
                    messages.append(simple.get(timeout=1))
                    messages[-1].ack()
        return messages

    def test_sends_the_event(self, app):
        message = make_message()

        CeleryBackend(task="crm.take", **OPTIONS).deliver(message)

        (sent,) = self.received(app)
        args, kwargs, _ = sent.payload
        assert (args, kwargs) == ([], {"event": message.to_cloudevent()})
        assert sent.headers["task"] == "crm.take"
        assert sent.headers["id"] == f"crm-{message.event.event_id}"
        assert sent.content_type == "application/json"

    def test_sends_to_a_queue(self, app):
        backend = CeleryBackend(task="crm.take", queue="crm", **OPTIONS)

        backend.deliver(make_message())

        assert (len(self.received(app)), len(self.received(app, "crm"))) == (0, 1)

    def test_sends_personal_data_if_the_consumer_has_them(self, app):
        backend = CeleryBackend(task="crm.take", consumer="crm", personal=True)

        backend.deliver(make_message())

        (sent,) = self.received(app)
        assert sent.payload[1]["event"]["data"]["username"] == "ada"

    def test_uses_the_options_of_a_task_that_is_registered(self, app):
        @app.task(name="crm.take", shared=False, time_limit=7)
        def take(event):
            """Take an event."""

        CeleryBackend(task="crm.take", **OPTIONS).deliver(make_message())

        (sent,) = self.received(app)
        assert sent.headers["timelimit"] == [7, None]

    def test_runs_a_task_at_once_where_tasks_are_eager(self, app):
        app.conf.task_always_eager = True

        @app.task(name="crm.take", shared=False)
        def take(event):
            taken.append(event["sequence"])

        CeleryBackend(task="crm.take", **OPTIONS).deliver(make_message(position=3))

        assert taken == [f"{3:020}"]

    @pytest.mark.parametrize(
        "broker",
        ["amqp://guest:pass-word@127.0.0.1:9//", "redis://:pass-word@localhost:9"],
    )
    def test_says_not_now_if_the_broker_cannot_be_reached(self, app, broker):
        if broker[:5] == "redis":
            pytest.importorskip("redis", reason="the package redis is missing")
        app.conf.broker_url = broker
        app.conf.broker_transport_options = {"max_retries": 0}
        backend = CeleryBackend(task="crm.take", **OPTIONS)

        with pytest.raises(NotNow, match=r"Connection\w*Error") as refusal:
            backend.deliver(make_message())

        assert "pass-word" not in str(refusal.value)

    def test_needs_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "celery", None)

        with pytest.raises(ExtraMissing, match=r'pip install ".*\[celery\]"'):
            CeleryBackend(task="crm.take", **OPTIONS)
