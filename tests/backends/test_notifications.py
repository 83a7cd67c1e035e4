"""Telling learners: the sender, its payload, and the mail that comes of it."""

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
    """A stranger's backend that keeps what it is given."""

    kept: list[NotificationData] = []

    def send(self, notification_data):
        self.kept.append(notification_data)


class FailingBackend:
    """A stranger's backend that cannot deliver."""

    def send(self, notification_data):
        raise ConnectionError("nobody answers")


class PickyMail(BaseEmailBackend):
    """A mail server that refuses bob and, as servers do, tells his address."""

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
    """Collect what the notification backend is given."""
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

    @pytest.mark.rule("NOTIF-02")
    def test_requests_one_notification(self, requested, kept):
        send(make_user().pk)

        assert len(requested) == 1
        assert requested[0]["sender"] is EnrollmentNotificationSender

    @pytest.mark.rule("NOTIF-02")
    def test_hands_the_same_data_to_the_backend(self, requested, kept):
        send(make_user().pk)

        assert len(kept) == 1
        assert kept[0] is requested[0]["notification_data"]

    @pytest.mark.rule("NOTIF-03")
    def test_says_whom_to_tell_what(self, kept, settings):
        settings.ENROLLMENTS_LEARNING_BASE_URL = "https://learn.example.org"
        user, course = make_user(), make_course(display_name="Demonstration")

        send(user.pk, course)

        course_id = course_id_of(course)
        assert dict(kept[0]) == {
            "user_ids": [plain(user.pk)],
            "notification_type": "audit_access_expiring_soon",
            "app_name": "enrollments",
            "course_key": course_id,
            "content_url": f"https://learn.example.org/course/{course_id}/home",
            "context": {
                "course": get_course_adapter().facts(course).display_name,
                "audit_access_expiry": EXPIRY,
            },
        }

    @pytest.mark.rule("NOTIF-03")
    def test_takes_the_key_as_text(self, ada, kept):
        send(str(ada.pk))

        assert kept[0].user_ids == [plain(ada.pk)]

    @pytest.mark.rule("NOTIF-03")
    def test_gives_the_expiry_as_it_was_given(self, kept):
        expiry = timezone.now()

        send(make_user().pk, expiry=expiry)

        assert kept[0].context["audit_access_expiry"] is expiry

    @pytest.mark.rule("NOTIF-03")
    def test_passes_json(self, kept):
        send(make_user().pk)

        assert json.loads(json.dumps(dict(kept[0])))["context"] == kept[0].context

    @pytest.mark.rule("NOTIF-04")
    @pytest.mark.parametrize(
        ("base", "start"), [("", "/course/"), ("https://a/b/", "https://a/b/course/")]
    )
    def test_builds_the_address_on_the_setting(self, kept, settings, base, start):
        settings.ENROLLMENTS_LEARNING_BASE_URL = base

        send(make_user().pk, make_course("django-101"))

        assert kept[0].content_url == f"{start}django-101/home"

    def test_a_receiver_that_raises_keeps_nobody_from_being_told(self, kept):
        def fail(**payload):
            raise RuntimeError("broken receiver")

        notification_requested.connect(fail)
        try:
            send(make_user().pk)
        finally:
            notification_requested.disconnect(fail)

        assert len(kept) == 1

    def test_lets_the_backends_failure_out(self, requested, settings):
        settings.ENROLLMENTS_NOTIFICATION_BACKEND = (
            "tests.backends.test_notifications.FailingBackend"
        )

        with pytest.raises(ConnectionError):
            send(make_user().pk)

        assert len(requested) == 1

    def test_names_the_setting_when_the_backend_cannot_be_imported(self, settings):
        settings.ENROLLMENTS_NOTIFICATION_BACKEND = "nowhere.Backend"

        with pytest.raises(ImproperlyConfigured, match="NOTIFICATION_BACKEND"):
            send(make_user().pk)


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
    def test_reads_as_attributes_and_as_a_mapping(self):
        data = some_data([1])

        assert data.context is data["context"]
        assert dict(data) == asdict(data)
        assert len(data) == len(dict(data)) == 6

    def test_equals_a_mapping_with_the_same_items(self):
        assert some_data([1]) == some_data([1]) == dict(some_data([1]))
        assert some_data([1]) != some_data([2])

    def test_has_no_other_items(self):
        with pytest.raises(KeyError):
            some_data([1])["get"]

    def test_cannot_be_changed(self):
        with pytest.raises(FrozenInstanceError):
            some_data([1]).app_name = "other"


class TestEmailBackend:
    def test_mails_the_learner_in_text_and_html(self, settings):
        settings.DEFAULT_FROM_EMAIL = "courses@example.org"
        user = make_user("ada")

        EmailBackend().send(some_data([plain(user.pk)]))

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

    def test_mails_everybody_on_their_own(self):
        users = [make_user(name) for name in ("ada", "bob")]

        EmailBackend().send(some_data([plain(user.pk) for user in users]))

        assert sorted(message.to for message in mail.outbox) == [
            ["ada@example.org"],
            ["bob@example.org"],
        ]
        assert all(not message.cc and not message.bcc for message in mail.outbox)

    def test_writes_to_the_address_as_the_user_wrote_it(self):
        user = make_user("ada", email="Ada.Lovelace@example.org")

        EmailBackend().send(some_data([plain(user.pk)]))

        assert mail.outbox[0].to == ["Ada.Lovelace@example.org"]

    def test_passes_over_who_has_no_address_and_logs_the_key_alone(self, caplog):
        nobody, ada = make_user("nobody"), make_user("ada")
        get_user_model().objects.filter(pk=nobody.pk).update(email="")

        with caplog.at_level(logging.INFO, "django_enrollments"):
            EmailBackend().send(some_data([plain(nobody.pk), plain(ada.pk)]))

        assert [message.to for message in mail.outbox] == [["ada@example.org"]]
        assert [record.getMessage() for record in caplog.records] == [
            f"User {nobody.pk} has no e-mail address."
        ]

    def test_passes_over_an_account_that_is_disabled(self):
        users = [make_user("ada", is_active=False), make_user("bob")]

        EmailBackend().send(some_data([user.pk for user in users]))

        assert [message.to for message in mail.outbox] == [["bob@example.org"]]

    def test_passes_over_who_is_gone(self):
        ada, gone = make_user("ada"), make_user("gone")
        keys = [plain(ada.pk), plain(gone.pk)]
        gone.delete()

        EmailBackend().send(some_data(keys))

        assert [message.to for message in mail.outbox] == [["ada@example.org"]]

    def test_goes_on_after_a_failure_and_then_tells_it(self, settings, caplog):
        send_mail_by(settings, "tests.backends.test_notifications.PickyMail")
        users = [make_user(name) for name in ("bob", "ada")]

        with pytest.raises(smtplib.SMTPRecipientsRefused):
            EmailBackend().send(some_data([plain(user.pk) for user in users]))

        assert [message.to for message in mail.outbox] == [["ada@example.org"]]
        assert caplog.messages == [
            f"Mail to user {users[0].pk} failed: SMTPRecipientsRefused."
        ]

    def test_keeps_the_subject_on_one_line(self, ada):
        EmailBackend().send(some_data([plain(ada.pk)], course="A\r\nBcc: all\n\tB"))

        assert mail.outbox[0].subject == "Your access to A Bcc: all B ends soon"

    def test_escapes_in_html_and_nowhere_else(self, ada):
        EmailBackend().send(some_data([plain(ada.pk)], course="<b>R&D</b>"))

        (message,) = mail.outbox
        assert message.subject == "Your access to <b>R&D</b> ends soon"
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
    def test_tells_the_deadline_in_words(self, ada, expiry, words):
        EmailBackend().send(some_data([plain(ada.pk)], audit_access_expiry=expiry))

        assert words in mail.outbox[0].body

    def test_tells_the_deadline_in_the_language_of_the_moment(self, ada):
        with translation.override("de"):
            EmailBackend().send(some_data([plain(ada.pk)]))

        assert "5. März 2026" in mail.outbox[0].body

    def test_a_host_overrides_the_words(self, tmp_path, settings):
        folder = tmp_path / "django_enrollments/email/audit_access_expiring_soon"
        folder.mkdir(parents=True)
        (folder / "subject.txt").write_text("Hurry, {{ user.get_username }}!")
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
        user = make_user("ada")

        EmailBackend().send(some_data([plain(user.pk)]))

        assert mail.outbox[0].subject == f"Hurry, {user.get_username()}!"

    @pytest.mark.skipif(
        is_default_host(), reason="The default host's user keys are integers."
    )
    def test_finds_users_whose_keys_are_no_integers(self):
        user = make_user("ada")

        send(user.pk)

        assert mail.outbox[0].to == ["ada@example.org"]
