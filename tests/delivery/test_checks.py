"""System checks of consumers, by their ids."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.core.checks import ERROR, WARNING
from django.db import connection

from django_enrollments import checks
from django_enrollments.models import EnrollmentEvent

BACKENDS = "django_enrollments.delivery.backends"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://crm.example.org/hook"


def take(message):
    """Take a message."""


class Secretive:
    """A backend of a host."""

    def __init__(self, consumer, personal):
        """Take no options."""


class Undelivering:
    """Takes the options of a backend, and is none."""

    def __init__(self, **options):
        pass


class Asynchronous(Undelivering):
    """Its method only returns a coroutine."""

    async def deliver(self, message):
        pass


@pytest.fixture
def check(settings):
    """Return a function that checks one consumer."""

    def check_one(backend: str, options: Any = None, **more: Any):
        path = f"{BACKENDS}.{backend}" if "." not in backend else backend
        settings.ENROLLMENTS_CONSUMERS = {
            "crm": {"BACKEND": path, "OPTIONS": options or {}, **more}
        }
        return checks.check_consumers()

    return check_one


def only(found, id_, *texts, level=ERROR):
    (one,) = found
    assert (one.id, one.level) == (f"django_enrollments.{id_}", level)
    for text in ("'crm'", *texts):
        assert text in one.msg
    assert one.hint
    return one


class TestCheckConsumers:
    def test_passes_without_consumers(self):
        assert checks.check_consumers() == []

    def test_passes_with_a_function(self, check):
        assert check("CallBackend", {"function": f"{__name__}.take"}) == []

    @pytest.mark.parametrize(
        ("backend", "options", "text"),
        [
            ("Nothing", {}, "Nothing"),
            ("nowhere.Backend", {}, "nowhere"),
            ("CallBackend", {}, "function"),
            ("CallBackend", {"function": "nowhere.take"}, "nowhere"),
            ("CallBackend", {"function": f"{__name__}.take", "url": URL}, "url"),
            (f"{__name__}.Secretive", {"key": SECRET}, "key"),
            (f"{__name__}.Undelivering", {}, "deliver"),
            (f"{__name__}.Asynchronous", {}, "asynchronous"),
        ],
    )
    def test_e012_reports_what_cannot_be_used(self, check, backend, options, text):
        found = only(check(backend, options), "E012", text)

        assert SECRET not in str(found)

    @pytest.mark.parametrize(
        ("wants", "text"),
        [("nowhere.wants", "nowhere"), (Asynchronous.deliver, "asynchronous")],
    )
    def test_e012_reports_a_filter(self, check, wants, text):
        options = {"function": f"{__name__}.take"}

        only(check("CallBackend", options, FILTER=wants), "E012", text)

    @pytest.mark.parametrize(
        ("backend", "options", "library", "extra"),
        [
            ("CeleryBackend", {"task": "crm.take"}, "celery", "celery"),
            ("TaskBackend", {"task": "crm.take"}, "django_tasks", "tasks"),
            ("TaskBackend", {"task": "crm.take"}, "django.tasks", "tasks"),
            ("WebhookBackend", {"url": URL}, "standardwebhooks", "webhooks"),
            ("WebhookBackend", {"url": URL}, "requests_hardened", "webhooks"),
        ],
    )
    def test_e013_reports_a_missing_extra(
        self, check, monkeypatch, backend, options, library, extra
    ):
        monkeypatch.setitem(sys.modules, library, None)
        found = check(backend, options)

        if library in {"django_tasks", "django.tasks"} and found[0].id[-4:] != "E013":
            # The other Django has the other one.
            only(found, "E012")
            return
        one = only(found, "E013", f'pip install "django-enrollments[{extra}]"')
        assert f"[{extra}]" in one.hint


class TestCheckWebhooks:
    @pytest.fixture(autouse=True)
    def _extra(self):
        for library in ("standardwebhooks", "requests_hardened"):
            pytest.importorskip(library, reason="the extra webhooks is missing")

    def test_passes(self, check):
        assert check("WebhookBackend", {"url": URL, "secrets": [SECRET]}) == []

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"url": "http://crm.example.org/hook", "secrets": [SECRET]}, "https"),
            ({"url": URL}, "secrets"),
            ({"url": URL, "secrets": []}, "secrets"),
        ],
    )
    def test_e014_reports_one_that_is_not_secure(self, check, settings, options, text):
        only(check("WebhookBackend", options), "E014", text)
        settings.DEBUG = True
        assert check("WebhookBackend", options) == []

    def test_passes_in_the_own_network(self, check):
        options = {"url": "http://crm/", "secrets": [SECRET], "allow_private": True}

        assert check("WebhookBackend", options) == []

    @pytest.mark.parametrize("host", ["ex\u2100mple.org", "[::1"])
    def test_shows_no_password_of_a_url(self, check, host):
        url = f"https://crm:password@{host}/"

        found = only(check("WebhookBackend", {"url": url, "secrets": [SECRET]}), "E012")

        assert "password" not in found.msg

    @pytest.mark.parametrize("secrets", ["whsec_not-base64-é", SECRET])
    def test_e012_does_not_show_secrets(self, check, secrets):
        listed = [secrets] if secrets != SECRET else secrets

        found = only(
            check("WebhookBackend", {"url": URL, "secrets": listed}), "E012", "secret"
        )

        assert secrets not in str(found)


class TestCheckBroker:
    @pytest.fixture
    def app(self):
        celery = pytest.importorskip("celery", reason="the extra celery is missing")
        with celery.Celery("tests", set_as_current=False) as app:
            app.set_current()
            app.set_default()
            yield app

    @pytest.mark.parametrize(
        ("broker", "options", "is_found"),
        [
            ("amqp://guest@127.0.0.1:9//", {}, True),
            ("pyamqp://guest@127.0.0.1:9//", {}, True),
            ("amqp://guest@127.0.0.1:9//", {"confirm_publish": False}, True),
            ("amqp://guest@127.0.0.1:9//", {"confirm_publish": True}, False),
            ("memory://", {}, False),
        ],
    )
    def test_w005_warns_if_the_broker_does_not_confirm(
        self, check, app, broker, options, is_found
    ):
        app.conf.broker_url = broker
        app.conf.broker_transport_options = options

        found = check("CeleryBackend", {"task": "crm.take"})

        if is_found:
            only(found, "W005", "confirm", level=WARNING)
        else:
            assert found == []


@pytest.mark.django_db
class TestCheckEventIds:
    def test_passes(self):
        assert checks.check_event_ids(databases=["default"]) == []

    @pytest.mark.skipif(
        connection.vendor != "postgresql", reason="only PostgreSQL has sequences"
    )
    def test_w006_warns_if_ids_are_handed_out_in_blocks(self, monkeypatch):
        table = EnrollmentEvent._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [table])
            (sequence,) = cursor.fetchone()
            cursor.execute(f"ALTER SEQUENCE {sequence} CACHE 20")

        (found,) = checks.check_event_ids(databases=["default"])

        assert (found.id, found.level) == ("django_enrollments.W006", WARNING)
        assert "20 ids" in found.msg
        assert "CACHE 1" in found.hint
        assert checks.check_event_ids(databases=[]) == []
        monkeypatch.setattr(EnrollmentEvent._meta, "db_table", "not_migrated")
        assert checks.check_event_ids(databases=["default"]) == []
