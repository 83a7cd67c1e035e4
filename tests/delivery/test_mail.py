"""The consumer that sends mails."""

from __future__ import annotations

import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import call_command

from django_enrollments.datetimes import for_database, now
from django_enrollments.delivery import Message, NotNow
from django_enrollments.delivery.mail import MailBackend, MailFailed
from django_enrollments.models import (
    CourseEnrollment,
    CourseMode,
    EnrollmentEvent,
    SentNotification,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import DAY, make_mode, send_mail_by
from tests.http import count_statements

pytestmark = pytest.mark.django_db

service = EnrollmentsService()


class Failing(BaseEmailBackend):
    """A mail server that raises ``error``, whose text has an address."""

    error: Any = None

    def send_messages(self, messages):
        raise self.error


def deliver(*, which: int = -1, **options: Any) -> list[tuple[str, list[str]]]:
    """Deliver one of the events to a new consumer; return the mails that it sent."""
    event = list(EnrollmentEvent.objects.all())[which]
    sent = len(mail.outbox)
    backend = MailBackend(consumer="mail", personal=False, **options)
    backend.deliver(Message(1, 1, event.as_record()))
    return [(one.subject, one.to) for one in mail.outbox[sent:]]


def let_mode_expire(course, after: timedelta, slug: str = "audit") -> None:
    moment = for_database(now() + after)
    modes = CourseMode.objects.filter(mode_slug=slug)
    if not modes.update(expiration_datetime=moment):
        make_mode(course, slug, expiration_datetime=moment)


class TestWelcome:
    def test_is_sent_once(self, ada, course):
        service.enroll(ada, course)

        first, again = deliver(), deliver()

        ((subject, to),) = first
        assert subject.startswith("You are enrolled in")
        assert to == ["ada@example.org"]
        assert "you are now enrolled in" in mail.outbox[-1].body
        assert again == []

    def test_is_sent_again_when_the_learner_comes_back(self, ada, course):
        service.enroll(ada, course)
        assert len(deliver()) == 1
        service.unenroll(ada, course)
        assert deliver() == []
        service.enroll(ada, course)

        assert len(deliver()) == 1

    def test_is_not_sent_if_the_enrollment_has_ended(self, ada, course):
        service.enroll(ada, course)
        service.unenroll(ada, course)

        assert deliver(which=0) == []
        assert not SentNotification._default_manager.exists()

    def test_is_not_sent_if_the_enrollment_was_deleted(self, ada, course):
        service.enroll(ada, course)
        CourseEnrollment.objects.all().delete()

        assert deliver() == []

    def test_is_sent_for_the_last_start_only(self, ada, course):
        service.enroll(ada, course)
        service.unenroll(ada, course)
        service.enroll(ada, course)

        assert [len(deliver(which=number)) for number in (0, 1, 2)] == [0, 0, 1]

    def test_is_not_sent_for_old_events(self, ada, course):
        service.enroll(ada, course, at=now() - timedelta(days=8))

        assert deliver() == []

    def test_is_not_sent_for_another_change(self, ada, course):
        make_mode(course, "audit")
        make_mode(course, "honor")
        service.enroll(ada, course, "audit")
        service.change_mode(ada, course, "honor")

        assert deliver() == []

    def test_can_be_left_out(self, ada, course):
        service.enroll(ada, course)

        assert deliver(welcome=False) == []


class TestExpiry:
    @pytest.fixture(autouse=True)
    def _expiring(self, course):
        let_mode_expire(course, 3 * DAY)

    def test_is_announced_at_once_and_once(self, ada, course):
        service.enroll(ada, course)

        first, again = deliver(welcome=False), deliver(welcome=False)

        ((subject, to),) = first
        assert subject.startswith("Your access to")
        assert to == ["ada@example.org"]
        assert again == []

    def test_is_not_announced_again_by_the_command(self, ada, course, capsys):
        service.enroll(ada, course)
        deliver()

        call_command("send_expiry_notifications", "--days=7")

        assert capsys.readouterr().out == "0 sent, 0 failed\n"

    def test_is_not_announced_if_the_enrollment_has_ended(self, ada, course):
        service.enroll(ada, course)
        service.unenroll(ada, course)

        assert deliver(which=0) == []

    def test_is_not_announced_if_the_mode_has_changed(self, ada, course):
        make_mode(course, "honor")
        service.enroll(ada, course, "audit")
        service.change_mode(ada, course, "honor")

        assert deliver(which=0, welcome=False) == []

    @pytest.mark.parametrize("after", [8 * DAY, -DAY])
    def test_is_not_announced_too_early_or_too_late(self, ada, course, after):
        service.enroll(ada, course, force=True)
        let_mode_expire(course, after)

        assert deliver(welcome=False) == []

    def test_is_announced_before_a_number_of_days(self, ada, course):
        service.enroll(ada, course)

        assert deliver(welcome=False, expiry_days=0) == []
        assert deliver(welcome=False, expiry_days=2) == []
        assert len(deliver(welcome=False, expiry_days=4)) == 1

    def test_is_not_announced_if_one_currency_does_not_expire(self, ada, course):
        make_mode(course, "audit", currency="eur")
        service.enroll(ada, course)

        assert deliver(welcome=False) == []


class TestFailure:
    @pytest.fixture(autouse=True)
    def _failing(self, settings, ada, course, monkeypatch):
        self.monkeypatch = monkeypatch
        send_mail_by(settings, f"{__name__}.Failing")
        service.enroll(ada, course)

    def fail(self, error):
        self.monkeypatch.setattr(Failing, "error", error)
        with pytest.raises((MailFailed, NotNow)) as failure:
            deliver()
        assert "ada@" not in str(failure.value)
        assert not SentNotification._default_manager.exists()
        return type(failure.value)

    @pytest.mark.parametrize(
        "error",
        [
            ConnectionRefusedError("ada@example.org"),
            TimeoutError(),
            smtplib.SMTPServerDisconnected("ada@example.org"),
            smtplib.SMTPAuthenticationError(535, b"ada@example.org"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_of_the_server_is_the_consumers(self, error):
        assert self.fail(error) is NotNow

    @pytest.mark.parametrize(
        "error",
        [
            smtplib.SMTPRecipientsRefused({"ada@example.org": (550, b"unknown")}),
            smtplib.SMTPDataError(554, b"ada@example.org"),
            ValueError("ada@example.org"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_of_the_mail_is_the_events(self, error):
        assert self.fail(error) is MailFailed

    def test_is_tried_again(self, settings):
        self.fail(TimeoutError())
        send_mail_by(settings, "django.core.mail.backends.locmem.EmailBackend")

        assert len(deliver()) == 1


class TestStatements:
    def test_are_few(self, ada, course):
        let_mode_expire(course, 3 * DAY)
        service.enroll(ada, course)

        sent, count = count_statements(deliver)

        # The event of this test, the enrollment, its last start and the deadline; for
        # each mail, whether it was sent, the learner, and the record.
        assert (len(sent), count) == (2, 4 + 2 * 3)
