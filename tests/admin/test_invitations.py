"""Invitations: sent again, and taken back."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend

from django_enrollments.models import CourseEnrollmentAllowed
from django_enrollments.services import EnrollmentsService
from tests.admin.pages import make_clerk, shown, texts, url
from tests.factories import make_course, make_user, send_mail_by
from tests.watching import veto

pytestmark = pytest.mark.django_db


@pytest.fixture
def course(ada):
    return make_course("django-101", display_name="Django for all")


def invite(email: str, **fields) -> CourseEnrollmentAllowed:
    return CourseEnrollmentAllowed.objects.create(
        email=email, course_id=fields.pop("course_id", "django-101"), **fields
    )


def act(client, action: str, *rows):
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(url(CourseEnrollmentAllowed, "changelist"), data)


class NoMail(BaseEmailBackend):
    """A mail backend that is out of order."""

    def send_messages(self, messages):
        raise ConnectionError("new@example.org")


class TestResend:
    def test_mails_the_invited(self, admin_client, course, settings):
        settings.ENROLLMENTS_LEARNING_BASE_URL = "https://learn.example.org"
        rows = [
            invite("new@example.org", auto_enroll=True),
            invite("other@example.org", course_id="later-101"),
        ]

        response = act(admin_client, "resend", *rows)

        assert texts(response) == ["2 e-mails were sent."]
        by_address = {message.to[0]: message for message in mail.outbox}
        first, second = by_address["new@example.org"], by_address["other@example.org"]
        assert first.subject.endswith("Django for all")
        assert "https://learn.example.org/course/django-101/home" in first.body
        assert "as soon as you register" in first.body
        assert "Django for all" in first.alternatives[0][0]
        assert "later-101" in second.subject
        assert "Log in with this e-mail address" in second.body

    def test_enrolls_those_whose_account_waits(self, admin_client, course, ada):
        row = invite("ada@example.org", auto_enroll=True)

        response = act(admin_client, "resend", row)

        assert EnrollmentsService().is_enrolled(ada, course)
        assert mail.outbox == []
        assert texts(response)[1].startswith("1 learner had an account already")

    def test_mails_those_who_cannot_be_enrolled(
        self, admin_client, course, ada, settings
    ):
        settings.ENROLLMENTS_FILTERS = [veto]
        row = invite("ada@example.org", auto_enroll=True)

        act(admin_client, "resend", row)

        assert [message.to for message in mail.outbox] == [["ada@example.org"]]

    def test_leaves_out_used_invitations_and_disabled_accounts(
        self, admin_client, course, ada
    ):
        make_user("bob", is_active=False)
        rows = [invite("x@example.org", user=ada), invite("bob@example.org")]

        response = act(admin_client, "resend", *rows)

        assert mail.outbox == []
        assert texts(response)[-1].startswith("2 invitations were left out")

    def test_reports_a_failure_without_the_address(
        self, admin_client, course, settings, caplog
    ):
        send_mail_by(settings, f"{__name__}.NoMail")
        row = invite("new@example.org")

        response = act(admin_client, "resend", row)

        assert texts(response)[-1].startswith("1 e-mail could not be sent.")
        assert f"invitation {row.pk} failed: ConnectionError" in caplog.text
        assert "new@" not in caplog.text

    def test_is_limited(self, admin_client, course, monkeypatch):
        monkeypatch.setattr(
            "django_enrollments.admin.invitations.INVITATIONS_CHANGED", 1
        )
        rows = [invite("a@example.org"), invite("b@example.org")]

        answers = [act(admin_client, name, *rows) for name in ("resend", "take_back")]

        assert mail.outbox == []
        assert CourseEnrollmentAllowed.objects.count() == 2
        for answer in answers:
            assert "Select at most 1 invitation." in texts(answer)


class TestTakeBack:
    def test_deletes_unused_invitations(self, admin_client, course, ada):
        used = invite("ada@example.org", user=ada)
        rows = [used, invite("a@example.org"), invite("b@example.org")]

        response = act(admin_client, "take_back", *rows)

        assert CourseEnrollmentAllowed.objects.get() == used
        assert texts(response) == [
            "2 invitations were taken back.",
            "1 invitation has been used. Unenroll the learner instead.",
        ]

    def test_needs_the_permission_to_delete(self, client, course):
        row = invite("a@example.org")
        client.force_login(
            make_clerk("view_courseenrollmentallowed", "change_courseenrollmentallowed")
        )

        act(client, "take_back", row)

        assert CourseEnrollmentAllowed.objects.exists()


def test_are_filtered_by_state(admin_client, course, ada):
    invite("ada@example.org", user=ada)
    invite("new@example.org")
    address = url(CourseEnrollmentAllowed, "changelist")

    for state, text in (("used", "ada@example.org"), ("unused", "new@example.org")):
        page = admin_client.get(address, {"state": state})
        assert page.context["cl"].result_count == 1
        assert text in shown(page)
    assert admin_client.get(address, {"state": "x"}).context["cl"].result_count == 2


def test_pages_have_words_in_their_headings(admin_client, course):
    row = invite("new@example.org")

    page = admin_client.get(url(CourseEnrollmentAllowed, "change", row.pk))

    assert page.context["subtitle"] == "new@example.org to django-101"
