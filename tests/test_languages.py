"""The languages in which people read the texts."""

from __future__ import annotations

import pytest
from django.core import mail
from django.utils import translation

from django_enrollments.enrollments_notifications import EnrollmentNotificationSender
from django_enrollments.services import EnrollmentsService
from tests.factories import close, make_course
from tests.http import ask

pytestmark = pytest.mark.django_db

CLOSED = "Enrollment in this course has ended."


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", CLOSED),
        ("de", "Die Einschreibung in diesen Kurs ist beendet."),
        ("fr", "Les inscriptions à ce cours sont closes."),
        # Without a catalogue.
        ("it", CLOSED),
    ],
)
def test_reasons_are_in_the_active_language(ada, language, text):
    course = make_course()
    close(course)

    with translation.override(language):
        explained = EnrollmentsService().explain(ada, course)

    assert [reason["message"] for reason in explained["reasons"]] == [text]


def test_refusals_of_the_rest_api_are_the_same_in_all_languages(ada):
    course = make_course()
    close(course)
    answers = set()

    for language in ("en", "de"):
        with translation.override(language):
            response = ask(ada, course)
        answers.add((response.status_code, response.content))

    assert len(answers) == 1


@pytest.mark.parametrize(
    ("language", "tag"),
    [("de", '<html lang="de">'), ("ar", '<html lang="ar" dir="rtl">')],
)
def test_mails_name_their_language_and_direction(ada, language, tag):
    course = make_course()

    with translation.override(language):
        sender = EnrollmentNotificationSender(course, ada.pk, "2026-03-05T18:30:00Z")
        sender.send_audit_access_expiring_soon_notification()

    html = mail.outbox[0].alternatives[0].content
    assert tag in html


def test_mails_show_dates_as_the_language_writes_them(ada):
    course = make_course()

    with translation.override("de"):
        sender = EnrollmentNotificationSender(course, ada.pk, "2026-03-05T18:30:00Z")
        sender.send_audit_access_expiring_soon_notification()

    assert "Ihr Zugang endet am 5. März 2026 " in mail.outbox[0].body
