"""Mail servers that do not respond."""

from __future__ import annotations

import socket
from functools import partial

import django
import pytest
from django.conf import settings as django_settings

from django_enrollments.backends import notifications
from django_enrollments.backends.notifications import EmailBackend, NotificationData
from django_enrollments.enrollments_notifications import EnrollmentNotificationSender
from django_enrollments.signals import enrollment_created
from tests.factories import course_id_of, make_course, make_users
from tests.processes.calls import enroll_by_api, enroll_with_everything, without_waiting
from tests.processes.checks import assert_history_is_true, seats_taken, tally
from tests.processes.concurrent import PATIENCE_SECONDS, at_once
from tests.processes.controlled import Controlled

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def silent_server():
    """Accept connections like a mail server, and send nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_SECONDS)
        yield server


def send_mail_to(settings, port: int, timeout: float | None = None):
    """Send mail by SMTP, with the settings of the Django under test."""
    path = "django.core.mail.backends.smtp.EmailBackend"
    if django.VERSION >= (6, 1):
        options = {"host": "127.0.0.1", "port": port, "timeout": timeout}
        settings.MAILERS = {"default": {"BACKEND": path, "OPTIONS": options}}
    else:
        settings.EMAIL_BACKEND = path
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        settings.EMAIL_TIMEOUT = timeout


def enroll_while_mail_hangs(user, course_id: str, port: int):
    """Enroll with a receiver that sends mail by a silent server."""
    send_mail_to(django_settings, port, timeout=PATIENCE_SECONDS)

    def notify(enrollment, **arguments):
        sender = EnrollmentNotificationSender(
            enrollment.course, enrollment.user_id, "2026-03-05T18:30:00Z"
        )
        sender.send_audit_access_expiring_soon_notification()

    enrollment_created.connect(notify)
    enroll_with_everything(user, course_id)


class TestSilentMailServer:
    def test_keeps_no_lock_and_no_transaction_open(self, silent_server):
        course = make_course(max_student_enrollments_allowed=2)
        ada, bob = make_users(2)
        port = silent_server.getsockname()[1]
        call = partial(enroll_while_mail_hangs, ada, course_id_of(course), port)
        others = partial(enroll_by_api, bob, course_id_of(course))

        process = Controlled(call)
        client, _ = silent_server.accept()
        try:
            taken = seats_taken(course)
            answers = at_once([partial(without_waiting, others)])
            is_waiting = process.is_busy()
        finally:
            client.close()
        answers.append(process.answer())

        assert (taken, is_waiting) == (1, True)
        assert tally(answers) == {"fine": 2}
        assert seats_taken(course) == 2
        assert_history_is_true(answers)


class TestEmailBackend:
    @pytest.mark.parametrize(("timeout", "most"), [(None, 0.1), (0.2, 60)])
    def test_raises_after_the_timeout_of_the_host_or_its_own(
        self, settings, monkeypatch, silent_server, timeout, most
    ):
        monkeypatch.setattr(notifications, "MAIL_TIMEOUT_SECONDS", most)
        send_mail_to(settings, silent_server.getsockname()[1], timeout)
        (ada,) = make_users(1)
        data = NotificationData(
            user_ids=[ada.pk],
            notification_type="audit_access_expiring_soon",
            app_name="enrollments",
            course_key="django-101",
            content_url="/course/django-101/home",
            context={"course": "Botany", "audit_access_expiry": None},
        )

        with pytest.raises(OSError, match="timed out"):
            EmailBackend().send(data)
