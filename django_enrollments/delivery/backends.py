"""
The backends that deliver messages: to a function, a task queue or a URL.

``BACKEND`` of a consumer names one of them, and ``OPTIONS`` are its keyword arguments.
Libraries of extras are imported when a backend is instantiated.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_enrollments import __version__
from django_enrollments.delivery.messages import Gone, NotNow
from django_enrollments.importing import import_from_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django_enrollments.delivery.messages import Message

#: Seconds that :class:`CeleryBackend` waits for the confirmation of the broker.
CONFIRM_SECONDS = 15

#: Statuses of a receiver that takes no message at the moment (D-12); so are 500 to 599.
_NOT_NOW = {408, 425, 429}

#: Bytes of a response that are read, and forgotten.
_SHORT_BODY = 4096


class CallBackend:
    """
    Calls a function with the message, in the worker and outside of transactions.

    Args:
        function: A callable, or its dotted path. When it returns, it has delivered.
    """

    def __init__(self, *, consumer: str, personal: bool, function: Any) -> None:
        self._function = _load(function, "__call__")

    def deliver(self, message: Message) -> None:
        """Call the function, and raise its exceptions."""
        self._function(message)


class TaskBackend:
    """
    Enqueues a task of ``django.tasks``, or of ``django_tasks`` on Django 5.2.

    Args:
        task: A task, or its dotted path. It is enqueued with the keyword argument
            ``event``, the CloudEvent as a dictionary.
    """

    def __init__(self, *, consumer: str, personal: bool, task: Any) -> None:
        import_tasks()
        self._enqueue = _load(task, "enqueue")
        self._personal = personal

    def deliver(self, message: Message) -> None:
        """Enqueue the task; the message is delivered when the queue has it."""
        self._enqueue(event=message.to_cloudevent(self._personal))


class CeleryBackend:
    """
    Sends a task to Celery's broker. It needs the extra ``celery``.

    The task gets the keyword argument ``event``, the CloudEvent as a dictionary, and
    has the id ``{consumer}-{event_id}``. RabbitMQ confirms only with
    ``confirm_publish`` in ``broker_transport_options``; a system check warns without.

    Args:
        task: The registered name of the task, which may be in another project.
        queue: The queue; by default the one that Celery's routes give the task.
    """

    def __init__(
        self, *, consumer: str, personal: bool, task: str, queue: str | None = None
    ) -> None:
        self._app = import_from_extra("celery", "celery").current_app
        faults = import_from_extra("kombu.exceptions", "celery")
        connection = self._app.connection_for_write()
        self._unreachable = (
            faults.OperationalError,
            faults.LimitExceeded,
            *connection.connection_errors,
            *connection.channel_errors,
        )
        self._consumer, self._personal, self._task = consumer, personal, task
        self._options = {"queue": queue} if queue else {}

    def is_confirmed(self) -> bool:
        """Return whether the broker confirms what it got; only AMQP has to be asked."""
        connection = self._app.connection_for_write()
        is_amqp = connection.transport.driver_type == "amqp"
        return not is_amqp or bool(connection.transport_options.get("confirm_publish"))

    def deliver(self, message: Message) -> None:
        """Send the task; it is delivered when the broker has confirmed."""
        options = {
            **self._options,
            "kwargs": {"event": message.to_cloudevent(self._personal)},
            "task_id": f"{self._consumer}-{message.event.event_id}",
            "serializer": "json",
            "retry": False,
            "confirm_timeout": CONFIRM_SECONDS,
            # This may run inside a task, which would collect all of them.
            "add_to_parent": False,
        }
        # Tasks that are registered here have options, and can be eager.
        task = self._app.tasks.get(self._task)
        send = task.apply_async if task else partial(self._app.send_task, self._task)
        try:
            with self._app.producer_or_acquire() as producer:
                try:
                    send(producer=producer, **options)
                except Exception:
                    # A late confirmation would be taken for the next message's.
                    producer.connection.collect()
                    raise
        except self._unreachable as error:
            raise NotNow(text=f"The broker: {_name(error)}.") from None


class InsecureWebhook(ImproperlyConfigured):
    """A webhook has no secret, or its URL has no ``https``."""


class WebhookFailed(Exception):  # noqa: N818 - an outcome, not a programming error.
    """The receiver did not accept this message."""


class WebhookBackend:
    """
    Sends the CloudEvent to a URL. It needs the extra ``webhooks``.

    Requests are signed as `Standard Webhooks <https://www.standardwebhooks.com/>`_
    says. Redirects are not followed, and private, loopback and link-local addresses are
    refused after the name is resolved. Of the environment, only ``REQUESTS_CA_BUNDLE``
    is used, since a proxy would resolve the name again.

    Args:
        url: The URL, with ``https``.
        secrets: Secrets as ``whsec_`` and base64, newest first. Each of them signs, so
            that receivers can change from one to the next.
        timeout: Seconds to wait for the connection, and for the response.
        allow_private: Whether the receiver is in the own network: then private
            addresses and ``http`` are allowed.
    """

    def __init__(
        self,
        *,
        consumer: str,
        personal: bool,
        url: str,
        secrets: Sequence[str] = (),
        timeout: tuple[float, float] = (5, 15),
        allow_private: bool = False,
    ) -> None:
        signing = import_from_extra("standardwebhooks", "webhooks")
        self._requests = import_from_extra("requests", "webhooks")
        hardened = import_from_extra("requests_hardened", "webhooks")
        try:
            parts = urlsplit(url)
        except ValueError:
            # Its text may contain the password of the URL.
            raise ImproperlyConfigured("The url of a webhook is not a URL.") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ImproperlyConfigured("The url of a webhook must begin with https://.")
        if parts.scheme == "http" and not (allow_private or settings.DEBUG):
            raise InsecureWebhook("The url of a webhook must begin with https://.")
        if isinstance(secrets, str):
            raise ImproperlyConfigured("The secrets of a webhook must be a list.")
        if not secrets and not settings.DEBUG:
            raise InsecureWebhook("A webhook must have secrets, which sign it.")
        try:
            self._signers = [signing.Webhook(secret) for secret in secrets]
        except Exception:  # noqa: BLE001 - the text may contain a part of the secret.
            message = "A secret of a webhook must be 'whsec_' and base64."
            raise ImproperlyConfigured(message) from None
        self._url, self._personal = url, personal
        self._refused = import_from_extra("requests_hardened.ip_filter", "webhooks")
        self._config = hardened.Config(
            ip_filter_enable=not allow_private,
            ip_filter_allow_loopback_ips=False,
            never_redirect=True,
            default_timeout=timeout,
            user_agent_override=f"django-enrollments/{__version__}",
        )
        self._new_session = hardened.HTTPSession
        self._local = threading.local()

    def deliver(self, message: Message) -> None:
        """
        Send the message; it is delivered if the status is 200 to 299.

        Raises:
            NotNow: The receiver cannot be reached, or the status says so (D-12).
            Gone: The status is 410.
            WebhookFailed: It is another one.
        """
        event = message.to_cloudevent(self._personal)
        body = json.dumps(event)
        headers = {
            "Content-Type": "application/cloudevents+json",
            **self._sign(event["id"], body),
        }
        try:
            status, retry_after = self._post(body.encode(), headers)
        except self._refused.InvalidIPAddress:
            text = "The address of the receiver is private, and allow_private is false."
            raise NotNow(text=text) from None
        except self._requests.RequestException as error:
            # The text of the error, and of its cause, contains the URL.
            raise NotNow(text=f"The receiver: {_name(error)}.") from None
        if 200 <= status < 300:
            return
        text = f"The receiver responded with HTTP {status}."
        if status == 410:
            raise Gone(text)
        if status in _NOT_NOW or 500 <= status < 600:
            raise NotNow(parse_retry_after(retry_after), text)
        raise WebhookFailed(text)

    def _sign(self, id_: str, body: str) -> dict[str, str]:
        # sign() replaces the time zone of the time, which must be UTC therefore.
        at = datetime.now(tz=timezone.utc)
        signatures = [signer.sign(id_, at, body) for signer in self._signers]
        return {
            "webhook-id": id_,
            "webhook-timestamp": str(int(at.timestamp())),
            **({"webhook-signature": " ".join(signatures)} if signatures else {}),
        }

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Return the status, and the header ``Retry-After``."""
        session = getattr(self._local, "session", None)
        if session is None:
            # Sessions are not thread-safe.
            session = self._local.session = self._new_session(self._config)
            session.trust_env = False
            session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        with session.post(
            self._url, data=body, headers=headers, stream=True
        ) as response:
            # A connection is used again only if the whole response was read.
            with suppress(self._requests.RequestException):
                next(response.iter_content(_SHORT_BODY), None)
            return response.status_code, response.headers.get("Retry-After", "")


def import_tasks() -> Any:
    """Return ``django.tasks``, or ``django_tasks`` on Django 5.2, or raise."""
    module = "django.tasks" if django.VERSION >= (6,) else "django_tasks"
    return import_from_extra(module, "tasks")


def parse_retry_after(value: str) -> float | None:
    """Return the seconds of a header ``Retry-After``, a number or an HTTP date."""
    value = value.strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _load(named: Any, method: str) -> Callable[..., object]:
    """Return a method of an object, or of the one at a dotted path, or raise."""
    try:
        target = import_string(named) if isinstance(named, str) else named
        found: Callable[..., object] = getattr(target, method)
    except (ImportError, AttributeError) as error:
        raise ImproperlyConfigured(f"{named!r} has no {method}().") from error
    if iscoroutinefunction(target) or iscoroutinefunction(found):
        # A call would only return a coroutine, and do nothing.
        raise ImproperlyConfigured(f"{named!r} is asynchronous.")
    return found


def _name(error: BaseException) -> str:
    """Return the name of the first cause, because its text may contain secrets."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        error, cause = cause, cause.__cause__
    return type(error).__name__
