"""Webhooks, sent to a receiver on this machine."""

from __future__ import annotations

import base64
import json
import logging
import socket
import sys
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from threading import Thread

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_enrollments.delivery import Gone, NotNow, Worker, deliver, status
from django_enrollments.delivery.backends import (
    InsecureWebhook,
    WebhookBackend,
    WebhookFailed,
    parse_retry_after,
)
from django_enrollments.importing import ExtraMissing
from django_enrollments.services import EnrollmentsService
from tests.delivery.messages import make_message
from tests.delivery.receiver import running_receiver
from tests.processes.concurrent import PATIENCE_SECONDS

standardwebhooks = pytest.importorskip(
    "standardwebhooks", reason="the extra webhooks is not installed"
)

NEW, OLD, OTHER = (
    "whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3)
)

service = EnrollmentsService()


@pytest.fixture
def receiver():
    with running_receiver() as receiver:
        yield receiver


def make_backend(url, *, personal=False, **options):
    options = {"secrets": [NEW], "allow_private": True, **options}
    return WebhookBackend(consumer="crm", personal=personal, url=url, **options)


def verify(secret, request):
    """Return the event of a request, whose signature the library accepts."""
    return standardwebhooks.Webhook(secret).verify(request.body, request.headers)


class TestSignature:
    def test_is_valid_with_the_new_and_the_old_secret(self, receiver):
        backend = make_backend(receiver.url, secrets=[NEW, OLD])

        backend.deliver(make_message())

        (request,) = receiver.requests
        assert verify(NEW, request) == verify(OLD, request)
        assert request.headers["webhook-signature"].count("v1,") == 2
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verify(OTHER, request)

    def test_is_of_exactly_the_body(self, receiver):
        make_backend(receiver.url).deliver(make_message())

        (request,) = receiver.requests
        changed = request.body.replace(b"audit", b"honor")

        assert changed != request.body
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(NEW).verify(changed, request.headers)

    @pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows has no tzset()")
    def test_is_valid_in_another_time_zone(self, receiver, monkeypatch):
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            make_backend(receiver.url).deliver(make_message())
            event = verify(NEW, receiver.requests[0])
        finally:
            monkeypatch.undo()
            time.tzset()

        assert event["data"]["user_id"] == 7

    def test_has_the_id_of_the_event_and_the_time_of_the_attempt(self, receiver):
        message = make_message()

        make_backend(receiver.url).deliver(message)

        headers = receiver.requests[0].headers
        assert headers["webhook-id"] == str(message.event.event_id)
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        assert headers["Content-Type"] == "application/cloudevents+json"


class TestBody:
    def test_is_the_cloudevent(self, receiver):
        message = make_message(position=12)

        make_backend(receiver.url).deliver(message)

        body = json.loads(receiver.requests[0].body)
        assert body == message.to_cloudevent()
        assert "username" not in body["data"]

    def test_is_personal_if_the_consumer_is(self, receiver):
        make_backend(receiver.url, personal=True).deliver(make_message())

        data = json.loads(receiver.requests[0].body)["data"]
        assert data["username"] == "ada"
        assert data["reason"] == "Asked to, è"


class TestResponse:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_accepts(self, receiver, status):
        receiver.answers = [(status, {})]

        make_backend(receiver.url).deliver(make_message())

        assert len(receiver.requests) == 1

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
    def test_says_not_now(self, receiver, status):
        receiver.answers = [(status, {"Retry-After": "7"})]

        with pytest.raises(NotNow, match=f"HTTP {status}") as refusal:
            make_backend(receiver.url).deliver(make_message())

        assert refusal.value.retry_after == 7

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 600])
    def test_refuses_the_message(self, receiver, status):
        receiver.answers = [(status, {})]

        with pytest.raises(WebhookFailed, match=f"HTTP {status}"):
            make_backend(receiver.url).deliver(make_message())

    def test_says_that_the_receiver_is_gone(self, receiver):
        receiver.answers = [(410, {})]

        with pytest.raises(Gone, match="HTTP 410"):
            make_backend(receiver.url).deliver(make_message())

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_in_vain(self, receiver, status):
        elsewhere = f"http://127.0.0.1:{receiver.port}/elsewhere"
        receiver.answers = [(status, {"Location": elsewhere})]

        with pytest.raises(WebhookFailed, match=f"HTTP {status}"):
            make_backend(receiver.url).deliver(make_message())

        assert [request.path for request in receiver.requests] == ["/hook"]

    def test_leaves_no_trace(self, receiver):
        receiver.body = b"your-own-secret"
        receiver.answers = [(400, {"Set-Cookie": "session=1"})] * 2
        backend = make_backend(receiver.url)

        for _ in range(2):
            with pytest.raises(WebhookFailed) as failure:
                backend.deliver(make_message())

        assert "your-own-secret" not in str(failure.value)
        assert "Cookie" not in receiver.requests[1].headers

    @pytest.mark.parametrize("status", [200, 204])
    def test_that_is_short_leaves_the_connection_open(self, receiver, status):
        receiver.body = b"ok"
        receiver.answers = [(status, {})] * 3
        backend = make_backend(receiver.url)

        for position in range(1, 4):
            backend.deliver(make_message(position))

        assert receiver.connections == 1

    def test_that_is_long_is_not_read(self, receiver):
        receiver.body = b"x" * 100_000
        receiver.answers = [(200, {})] * 2
        backend = make_backend(receiver.url)

        for position in range(1, 3):
            backend.deliver(make_message(position))

        assert receiver.connections == 2


class TestUnreachableReceiver:
    def test_takes_nothing_now(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

        with pytest.raises(NotNow, match="ConnectionRefusedError"):
            make_backend(f"http://127.0.0.1:{port}/").deliver(make_message())

    def test_that_does_not_respond_takes_nothing_now(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"

            with pytest.raises(NotNow, match="imeout"):
                make_backend(url, timeout=(1, 0.2)).deliver(make_message())

    def test_whose_name_is_unknown_takes_nothing_now(self):
        backend = make_backend("https://crm.invalid/", allow_private=False)

        with pytest.raises(NotNow):
            backend.deliver(make_message())


class TestAddress:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
    def test_of_this_machine_is_refused_without_a_connection(
        self, receiver, settings, host
    ):
        settings.DEBUG = True
        url = f"http://{host}:{receiver.port}/"

        with pytest.raises(NotNow, match="private"):
            make_backend(url, allow_private=False).deliver(make_message())

        assert receiver.connections == 0

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",  # noqa: S104 - an address to be refused.
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:169.254.169.254",
        ],
    )
    def test_of_a_name_is_refused_without_a_connection(self, monkeypatch, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        connected = []
        monkeypatch.setattr(
            socket.socket, "connect", lambda *args: connected.append(args)
        )
        backend = make_backend("https://crm.example.org/", allow_private=False)

        with pytest.raises(NotNow, match="private"):
            backend.deliver(make_message())

        assert connected == []

    @pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
    def test_in_the_url_is_refused_without_a_connection(self, monkeypatch, address):
        connected = []
        monkeypatch.setattr(
            socket.socket, "connect", lambda *args: connected.append(args)
        )
        backend = make_backend(f"https://{address}/", allow_private=False)

        with pytest.raises(NotNow, match="private"):
            backend.deliver(make_message())

        assert connected == []

    def test_of_a_proxy_in_the_environment_is_not_used(self, receiver, monkeypatch):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        make_backend(receiver.url).deliver(make_message())

        assert len(receiver.requests) == 1


class TestOptions:
    @pytest.mark.parametrize("url", ["http://crm.example.org/", "http://10.0.0.1/"])
    def test_refuse_http(self, url):
        with pytest.raises(InsecureWebhook, match="https"):
            make_backend(url, allow_private=False)

    @pytest.mark.parametrize("url", ["ftp://crm.example.org/", "crm", "", "https:///"])
    def test_refuse_another_url(self, settings, url):
        settings.DEBUG = True

        with pytest.raises(ImproperlyConfigured, match="https"):
            make_backend(url)

    def test_refuse_to_send_without_a_signature(self):
        with pytest.raises(InsecureWebhook, match="secrets"):
            make_backend("https://crm.example.org/", secrets=[])

    def test_allow_to_send_without_a_signature_while_debugging(
        self, receiver, settings
    ):
        settings.DEBUG = True

        make_backend(receiver.url, secrets=[]).deliver(make_message())

        assert "webhook-signature" not in receiver.requests[0].headers

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_secret-é", None, 7])
    def test_refuse_a_secret_that_is_none(self, secret):
        with pytest.raises(ImproperlyConfigured, match="whsec_") as refusal:
            make_backend("https://crm.example.org/", secrets=[secret])

        assert "secret-é" not in str(refusal.value)

    def test_refuse_a_secret_instead_of_a_list(self):
        with pytest.raises(ImproperlyConfigured, match="list"):
            make_backend("https://crm.example.org/", secrets=NEW)

    @pytest.mark.parametrize(
        "library", ["standardwebhooks", "requests", "requests_hardened"]
    )
    def test_need_the_extra(self, monkeypatch, library):
        monkeypatch.setitem(sys.modules, library, None)

        with pytest.raises(ExtraMissing, match=r'pip install ".*\[webhooks\]"'):
            make_backend("https://crm.example.org/")


@pytest.mark.django_db(transaction=True)
class TestFeed:
    @pytest.fixture
    def consumer(self, receiver, settings):
        """Declare a consumer whose webhooks go to the receiver."""
        settings.ENROLLMENTS_CONSUMERS = {
            "crm": {
                "BACKEND": "django_enrollments.delivery.backends.WebhookBackend",
                "OPTIONS": {
                    "url": receiver.url,
                    "secrets": [NEW, OLD],
                    "allow_private": True,
                },
            }
        }
        deliver("crm")

    def test_sends_a_request_per_event(self, receiver, consumer, ada, course):
        service.enroll(ada, course)
        service.unenroll(ada, course)

        deliver("crm")

        events = [verify(OLD, request) for request in receiver.requests]
        first, second = (int(event["sequence"]) for event in events)
        assert second == first + 1
        assert [event["data"]["active_after"] for event in events] == [True, False]

    def test_pauses_a_receiver_that_is_gone(self, receiver, consumer, ada, course):
        service.enroll(ada, course)
        receiver.answers = [(410, {})]

        deliver("crm")
        deliver("crm")

        assert len(receiver.requests) == 1
        assert status()[0]["state"] == "paused"

    @pytest.mark.slow
    def test_waits_as_long_as_the_receiver_asks(self, receiver, consumer, ada, course):
        service.enroll(ada, course)
        receiver.answers = [(429, {"Retry-After": "7"})]
        worker = Worker(interval=0.1)
        thread = Thread(target=worker.follow)
        thread.start()
        end = time.monotonic() + PATIENCE_SECONDS
        while len(receiver.requests) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        worker.stop()
        thread.join()

        first, second = receiver.requests
        assert second.at - first.at >= 7
        assert status()[0]["lag"] == 0


class TestSecrets:
    def test_are_in_no_error_and_no_log(self, receiver, settings, caplog):
        caplog.set_level(logging.DEBUG)
        port = receiver.port
        receiver.answers = [(500, {}), (404, {})]
        hidden = [NEW[6:], OLD[6:], "pass-word", "to-ken"]
        texts = []
        for url, private in (
            (f"http://ada:pass-word@127.0.0.1:{port}/to-ken?key=to-ken", True),
            (f"http://ada:pass-word@127.0.0.1:{port}/to-ken?key=to-ken", True),
            ("https://ada:pass-word@crm.invalid/to-ken?key=to-ken", False),
            ("https://ada:pass-word@127.0.0.1/to-ken?key=to-ken", False),
            ("http://ada:pass-word@127.0.0.1:9/to-ken?key=to-ken", True),
        ):
            backend = make_backend(url, secrets=[NEW, OLD], allow_private=private)
            with pytest.raises((NotNow, WebhookFailed)) as failure:
                backend.deliver(make_message())
            texts += [str(failure.value), repr(failure.value), repr(backend)]
            assert failure.value.__suppress_context__ or not failure.value.__context__
        # urllib3 logs paths in DEBUG, but this app logs nothing.
        texts += [
            record.getMessage()
            for record in caplog.records
            if record.name != "urllib3.connectionpool"
        ]

        assert [text for text in texts for one in hidden if one in text] == []


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("0", 0), ("7", 7), (" 120 ", 120), ("", None), ("soon", None), ("-1", None)],
    )
    def test_is_a_number_of_seconds(self, value, seconds):
        assert parse_retry_after(value) == seconds

    def test_can_be_a_date(self):
        soon = datetime.now(tz=timezone.utc) + timedelta(hours=1)

        assert 3500 < parse_retry_after(format_datetime(soon, usegmt=True)) <= 3600

    def test_in_the_past_is_now(self):
        assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0

    @pytest.mark.parametrize("value", ["9" * 5000, "²", "Wed, 99 Oct 2015 07:28:00"])
    def test_that_is_absurd_is_harmless(self, value):
        assert parse_retry_after(value) in (None, float("inf"))
