"""The data of a notification, and the backend that sends it by e-mail."""

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

#: Timeout for each response of the mail server, if the host sets none.
MAIL_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, eq=False)
class NotificationData(Mapping[str, Any]):
    """
    A notification and its recipients (NOTIF-03). Frozen, and a mapping.

    ``dict(notification_data)`` is valid JSON if the context is.

    Attributes:
        user_ids: Primary keys of the recipients: integers, or text.
        notification_type: Such as ``audit_access_expiring_soon``.
        app_name: ``enrollments``.
        course_key: The course id.
        content_url: URL of the course.
        context: Variables for the text.
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
        """Return the names of the attributes."""
        return (field.name for field in fields(self))

    def __len__(self) -> int:
        """Return the number of attributes."""
        return len(fields(self))


class EmailBackend:
    """
    Sends each recipient an e-mail, in plain text and HTML.

    The templates are ``subject.txt``, ``body.txt`` and ``body.html`` in
    ``django_enrollments/email/<notification type>/``. Hosts can override them. Their
    variables are ``user``, ``notification``, ``content_url`` (``""`` if
    ``ENROLLMENTS_LEARNING_BASE_URL`` is empty), ``deadline`` (``audit_access_expiry``
    as text in the active time zone and language) and the notification's context.

    The timeout of the mail server is ``EMAIL_TIMEOUT``, or ten seconds without it.
    """

    def send(self, notification_data: NotificationData) -> None:
        """
        Send a notification to its active recipients that have an address.

        A failure does not prevent the other e-mails.

        Raises:
            Exception: The last exception of the mail framework.
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
            except Exception as error:  # noqa: BLE001 - raised at the end.
                # The text of the error may contain the address.
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
            # A relative URL does not work in an e-mail.
            "content_url": url if "://" in url else "",
            "deadline": _as_text(notification_data.context.get("audit_access_expiry")),
        }
        subject = render_to_string(f"{folder}/subject.txt", context)
        message = mail.EmailMultiAlternatives(
            # A header must be one line.
            subject=" ".join(subject.split()),
            body=render_to_string(f"{folder}/body.txt", context),
            to=[address],
        )
        html = render_to_string(f"{folder}/body.html", context)
        message.attach_alternative(html, "text/html")
        _connect().send_messages([message])


def _connect() -> Any:
    """Return a mail connection with a timeout."""
    mailers = getattr(mail, "mailers", None)
    # Since Django 6.1 there are mailers, and get_connection() is deprecated.
    connection = mail.get_connection() if mailers is None else mailers.default
    if getattr(connection, "timeout", 0) is None:
        connection.timeout = MAIL_TIMEOUT_SECONDS
    return connection


def _address_of(user: Any) -> str:
    """Return the address as stored, because servers may distinguish case."""
    field = getattr(user, "get_email_field_name", lambda: "email")()
    return str(getattr(user, field, None) or "").strip()


def _as_text(moment: Any) -> str:
    """Return a datetime, or its ISO 8601 text, as localized text."""
    if isinstance(moment, str):
        try:
            moment = parse_datetime(moment) or moment
        except ValueError:
            return str(moment)
    if not isinstance(moment, datetime):
        return "" if moment is None else localize(moment)
    local = timezone.localtime(as_moment(moment))
    return f"{date_format(local, 'DATETIME_FORMAT')} ({local.tzname()})"
