"""What a notification is, and the backend that mails it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core import mail
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format, localize

from django_enrollments.datetimes import as_moment

logger = logging.getLogger(__name__)

#: How long each answer of a mail server is waited for where the host sets no limit.
MAIL_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, eq=False)
class NotificationData(Mapping[str, Any]):
    """
    What to tell whom (NOTIF-03); frozen, and a mapping of its attributes as well.

    ``dict(notification_data)`` passes ``json.dumps`` as long as the context does.

    Attributes:
        user_ids: Primary keys of those to tell; text where they are no integers.
        notification_type: What it is about, such as ``audit_access_expiring_soon``.
        app_name: ``enrollments``.
        course_key: The course id.
        content_url: Where to read on.
        context: What the words are made of.
    """

    user_ids: list[int | str]
    notification_type: str
    app_name: str
    course_key: str
    content_url: str
    context: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return an attribute."""
        if name not in list(self):
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the attributes."""
        return (field.name for field in fields(self))

    def __len__(self) -> int:
        """Count the attributes."""
        return len(fields(self))


class EmailBackend:
    """
    Sends each user a mail of their own, in plain text and HTML.

    The words are the templates ``subject.txt``, ``body.txt`` and ``body.html`` in
    ``django_enrollments/email/<notification type>/``; a host overrides them like any
    other template. Their variables are ``user``, ``notification``, ``content_url``
    (``""`` where ``ENROLLMENTS_LEARNING_BASE_URL`` is empty), ``deadline`` (words for
    ``audit_access_expiry``, in the time zone and language of the moment) and everything
    in the notification's context.

    A mail server that does not answer within ``EMAIL_TIMEOUT`` counts as one that
    refuses; it is given ten seconds where the host sets no such limit.
    """

    def send(self, notification_data: NotificationData) -> None:
        """
        Mail a notification to its active users that have an address.

        A mail that fails does not keep the others from being sent.

        Args:
            notification_data: Whom to tell what.

        Raises:
            Exception: What the mail framework raised for the last mail that failed.
        """
        failure: Exception | None = None
        users = get_user_model()._default_manager.filter(
            pk__in=notification_data.user_ids
        )
        for user in users.order_by("pk"):
            if not getattr(user, "is_active", True):
                continue
            address = _address_of(user)
            if not address:
                logger.warning("User %s has no e-mail address.", user.pk)
                continue
            try:
                self._mail(user, address, notification_data)
            except Exception as error:  # noqa: BLE001 - raised when all are done.
                # Its text may hold the address.
                kind = type(error).__name__
                logger.warning("Mail to user %s failed: %s.", user.pk, kind)
                failure = error
        if failure is not None:
            raise failure

    def _mail(
        self, user: Any, address: str, notification_data: NotificationData
    ) -> None:
        url = notification_data.content_url
        folder = f"django_enrollments/email/{notification_data.notification_type}"
        context = {
            **notification_data.context,
            "user": user,
            "notification": notification_data,
            # A mail has no page that a relative address could start from.
            "content_url": url if "://" in url else "",
            "deadline": _in_words(notification_data.context.get("audit_access_expiry")),
        }
        subject = render_to_string(f"{folder}/subject.txt", context)
        message = mail.EmailMultiAlternatives(
            # A header is one line, whatever a course is called.
            subject=" ".join(subject.split()),
            body=render_to_string(f"{folder}/body.txt", context),
            to=[address],
        )
        html = render_to_string(f"{folder}/body.html", context)
        message.attach_alternative(html, "text/html")
        _connect().send_messages([message])


def _connect() -> Any:
    """Return a connection to the host's mail server that does not wait for ever."""
    mailers = getattr(mail, "mailers", None)
    # Django has mailers since version 6.1, and warns of the other since then.
    connection = mail.get_connection() if mailers is None else mailers.default
    if getattr(connection, "timeout", 0) is None:
        connection.timeout = MAIL_TIMEOUT_SECONDS
    return connection


def _address_of(user: Any) -> str:
    """Return the address as the user wrote it; servers may care about its case."""
    field = getattr(user, "get_email_field_name", lambda: "email")()
    return str(getattr(user, field, None) or "").strip()


def _in_words(moment: Any) -> str:
    """Return a datetime, or its ISO 8601 text, for people; other text as it is."""
    if isinstance(moment, str):
        try:
            moment = parse_datetime(moment) or moment
        except ValueError:
            return str(moment)
    if not isinstance(moment, datetime):
        return "" if moment is None else localize(moment)
    local = timezone.localtime(as_moment(moment))
    return f"{date_format(local, 'DATETIME_FORMAT')} ({local.tzname()})"
