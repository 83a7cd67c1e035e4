"""Notifications: the sender, the data and the mail."""

from __future__ import annotations

import json
import logging
import smtplib
from dataclasses import FrozenInstanceError, asdict
from datetime import datetime

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.test import override_settings
from django.utils import timezone, translation

from django_enrollments.backends.notifications import EmailBackend, NotificationData
from django_enrollments.enrollments_notifications import EnrollmentNotificationSender
from django_enrollments.models import get_course_adapter
from django_enrollments.signals import notification_requested
from tests.factories import (
    course_id_of,
    is_default_host,
    make_course,
    make_user,
    send_mail_by,
)

EXPIRY = "2026-03-05T18:30:00Z"

pytestmark = pytest.mark.django_db


class KeepingBackend:
    """A backend of the host that keeps its notifications."""

    kept: list[NotificationData] = []

    def send(self, notification_data):
        self.kept.append(notification_data)


class FailingBackend:
    """A backend of the host that cannot deliver."""

    def send(self, notification_data):
        raise ConnectionError("no connection")


class PickyMail(BaseEmailBackend):
    """A mail server that refuses bob and, as servers do, names his address."""

    def send_messages(self, email_messages):
        for message in email_messages:
            if message.to[0].startswith("bob"):
                raise smtplib.SMTPRecipientsRefused({message.to[0]: (550, b"no")})
            mail.outbox.append(message)
        return len(email_messages)


@pytest.fixture
def requested():
    """Collect the notifications that are requested."""
    heard = []

    def hear(sender, **payload):
        heard.append({"sender": sender, **payload})

    notification_requested.connect(hear)
    yield heard
    notification_requested.disconnect(hear)


@pytest.fixture
def kept(settings):
    """Collect the notifications of the backend."""
    settings.ENROLLMENTS_NOTIFICATION_BACKEND = (
        "tests.backends.test_notifications.KeepingBackend"
    )
    KeepingBackend.kept.clear()
    return KeepingBackend.kept


def send(user_id, course=None, expiry=EXPIRY):
    course = make_course() if course is None else course
    sender = EnrollmentNotificationSender(course, user_id, expiry)
    sender.send_audit_access_expiring_soon_notification()


def plain(key):
    """Return a user's key as JSON can hold it."""
    return key if isinstance(key, int) else str(key)


class TestEnrollmentNotificationSender:
    @pytest.mark.rule("NOTIF-01")
    def test_keeps_its_arguments(self, course):
        sender = EnrollmentNotificationSender(
            course=course, user_id="7", audit_access_expiry=EXPIRY
        )

        assert sender.course is course
        assert sender.user_id == "7"
        assert sender.audit_access_expiry == EXPIRY

    @pytest.mark.rule("NOTIF-02", "NOTIF-03")
    @pytest.mark.parametrize("by_instance", [True, False])
    def test_sends_one_notification_to_receivers_and_the_backend(
        self, ada, requested, kept, settings, by_instance
    ):
        settings.ENROLLMENTS_LEARNING_BASE_URL = "https://learn.example.org"
        course = make_course(display_name="Demonstration")
        course_id = course_id_of(course)
        key = ada.pk if by_instance else str(ada.pk)

        send(key, course if by_instance else course_id)

        (given,) = kept
        ((sender, data),) = (
            (one["sender"], one["notification_data"]) for one in requested
        )
        assert (len(requested), sender) == (1, EnrollmentNotificationSender)
        assert data is given
        assert dict(given) == {
            "user_ids": [plain(ada.pk)],
            "notification_type": "audit_access_expiring_soon",
            "app_name": "enrollments",
            "course_key": course_id,
            "content_url": f"https://learn.example.org/course/{course_id}/home",
            "context": {
                "course": get_course_adapter().facts(course).display_name,
                "audit_access_expiry": EXPIRY,
            },
        }
        assert json.loads(json.dumps(dict(given)))["context"] == given.context

    @pytest.mark.rule("NOTIF-03")
    def test_passes_the_expiry_as_it_is(self, ada, kept):
        expiry = timezone.now()

        send(ada.pk, expiry=expiry)

        assert kept[0].context["audit_access_expiry"] is expiry

    @pytest.mark.rule("NOTIF-04")
    @pytest.mark.parametrize(
        ("base", "start"), [("", "/course/"), ("https://a/b/", "https://a/b/course/")]
    )
    def test_builds_the_address_on_the_setting(self, ada, kept, settings, base, start):
        settings.ENROLLMENTS_LEARNING_BASE_URL = base

        send(ada.pk, make_course("django-101"))

        assert kept[0].content_url == f"{start}django-101/home"

    def test_goes_on_after_a_receiver_that_raises(self, ada, kept):
        def fail(**payload):
            raise RuntimeError("broken receiver")

        notification_requested.connect(fail)
        try:
            send(ada.pk)
        finally:
            notification_requested.disconnect(fail)

        assert len(kept) == 1

    @pytest.mark.parametrize(
        ("backend", "error", "match"),
        [
            (f"{__name__}.FailingBackend", ConnectionError, "no connection"),
            ("nowhere.Backend", ImproperlyConfigured, "NOTIFICATION_BACKEND"),
        ],
    )
    def test_raises_errors_of_the_backend(
        self, ada, requested, settings, backend, error, match
    ):
        settings.ENROLLMENTS_NOTIFICATION_BACKEND = backend

        with pytest.raises(error, match=match):
            send(ada.pk)


def some_data(user_ids, **context):
    context = {"course": "Botany", "audit_access_expiry": EXPIRY, **context}
    return NotificationData(
        user_ids=user_ids,
        notification_type="audit_access_expiring_soon",
        app_name="enrollments",
        course_key="django-101",
        content_url="https://learn.example.org/course/django-101/home?a=1&b=2",
        context=context,
    )


class TestNotificationData:
    def test_is_a_frozen_mapping_with_attributes(self):
        data = some_data([1])

        assert data.context is data["context"]
        assert dict(data) == asdict(data)
        assert len(data) == len(dict(data)) == 6
        assert data == some_data([1]) == dict(some_data([1])) != some_data([2])
        with pytest.raises(KeyError):
            data["get"]
        with pytest.raises(FrozenInstanceError):
            data.app_name = "other"


def mail_to(*users, **context):
    EmailBackend().send(some_data([plain(user.pk) for user in users], **context))


class TestEmailBackend:
    def test_writes_text_and_html(self, settings):
        settings.DEFAULT_FROM_EMAIL = "courses@example.org"
        user = make_user("ada")

        mail_to(user)

        (message,) = mail.outbox
        ((html, kind),) = message.alternatives
        assert message.to == ["ada@example.org"]
        assert message.from_email == "courses@example.org"
        assert message.subject == "Your access to Botany ends soon"
        assert "taking Botany." in message.body
        assert "/course/django-101/home?a=1&b=2" in message.body
        assert kind == "text/html"
        assert 'href="https://learn.example.org/course/django-101/home?a=1&amp;b=2' in (
            html
        )

    def test_writes_to_each_address_alone_as_the_user_wrote_it(self):
        users = [make_user("ada", email="Ada.Lovelace@example.org"), make_user("bob")]

        mail_to(*users)

        assert sorted(message.to for message in mail.outbox) == [
            ["Ada.Lovelace@example.org"],
            ["bob@example.org"],
        ]
        assert all(not message.cc and not message.bcc for message in mail.outbox)

    def test_skips_users_without_address_or_account_and_logs_keys(self, ada, caplog):
        nameless, gone = make_user("nameless"), make_user("gone")
        get_user_model().objects.filter(pk=nameless.pk).update(email="")
        users = [nameless, make_user("bob", is_active=False), ada]
        keys = [plain(gone.pk), *(plain(user.pk) for user in users)]
        gone.delete()

        with caplog.at_level(logging.INFO, "django_enrollments"):
            EmailBackend().send(some_data(keys))

        assert [message.to for message in mail.outbox] == [["ada@example.org"]]
        assert [record.getMessage() for record in caplog.records] == [
            f"User {nameless.pk} has no e-mail address."
        ]

    def test_goes_on_after_a_failure_and_then_raises_it(self, settings, caplog):
        send_mail_by(settings, "tests.backends.test_notifications.PickyMail")
        users = [make_user(name) for name in ("bob", "ada")]

        with pytest.raises(smtplib.SMTPRecipientsRefused):
            mail_to(*users)

        assert [message.to for message in mail.outbox] == [["ada@example.org"]]
        assert caplog.messages == [
            f"Mail to user {users[0].pk} failed: SMTPRecipientsRefused."
        ]

    def test_escapes_in_html_alone_and_keeps_the_subject_on_one_line(self, ada):
        mail_to(ada, course="<b>R&D</b>\r\nBcc: all\n\tB")

        (message,) = mail.outbox
        subject = "Your access to <b>R&D</b> Bcc: all B ends soon"
        assert message.subject == subject
        assert "<b>R&D</b>" in message.body
        assert "&lt;b&gt;R&amp;D&lt;/b&gt;" in message.alternatives[0][0]

    @pytest.mark.parametrize(
        ("expiry", "words"),
        [
            (EXPIRY, "March 5, 2026, 7:30 p.m. (CET)"),
            (datetime.fromisoformat("2026-03-05T18:30:00+00:00"), "7:30 p.m. (CET)"),
            ("2026-03-05T18:30:00", "6:30 p.m. (CET)"),
            ("the day after tomorrow", "ends on the day after tomorrow."),
            ("2026-13-45T00:00:00Z", "ends on 2026-13-45T00:00:00Z."),
            (None, "ends on ."),
        ],
    )
    @override_settings(TIME_ZONE="Europe/Berlin")
    def test_writes_the_deadline_in_words(self, ada, expiry, words):
        mail_to(ada, audit_access_expiry=expiry)

        assert words in mail.outbox[0].body

    def test_writes_in_the_current_language(self, ada):
        with translation.override("de"):
            mail_to(ada)

        assert "5. März 2026" in mail.outbox[0].body

    def test_uses_templates_of_the_host(self, tmp_path, settings):
        folder = tmp_path / "django_enrollments/email/audit_access_expiring_soon"
        folder.mkdir(parents=True)
        (folder / "subject.txt").write_text("Hurry, {{ user.get_username }}!")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        user = make_user("ada")

        mail_to(user)

        assert mail.outbox[0].subject == f"Hurry, {user.get_username()}!"

    @pytest.mark.skipif(
        is_default_host(), reason="The default host's user keys are integers."
    )
    def test_finds_users_whose_keys_are_no_integers(self):
        user = make_user("ada")

        send(user.pk)

        assert mail.outbox[0].to == ["ada@example.org"]
