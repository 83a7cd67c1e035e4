from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from django_enrollments.services import EnrollmentsService
from django_enrollments.testing import (
    capture_enrollment_signals,
    make_course,
    make_enrollment,
    make_mode,
    make_user,
    record_notifications,
)

service = EnrollmentsService()


@pytest.mark.parametrize(
    "marked",
    [
        pytest.param("rolled back", marks=pytest.mark.django_db),
        pytest.param("committed", marks=pytest.mark.django_db(transaction=True)),
    ],
)
class TestCaptureEnrollmentSignals:
    def test_returns_the_events_in_order(self, marked):
        user, course = make_user(), make_course(modes=["audit", "honor"])

        with capture_enrollment_signals() as events:
            service.enroll(user, course)
            service.change_mode(user, course, "honor")
            service.unenroll(user, course)
            service.enroll(user, course, "honor")
        service.unenroll(user, course)

        types = [event.type for event in events]
        assert types == ["created", "mode_changed", "deactivated", "activated"]
        assert {event.user_id for event in events} == {user.pk}

    def test_leaves_out_what_was_rolled_back(self, marked):
        user, course = make_user(), make_course()

        with capture_enrollment_signals() as events, transaction.atomic():
            service.enroll(user, course)
            transaction.set_rollback(True)

        assert events == []

    def test_disconnects_after_an_error(self, marked):
        with pytest.raises(ZeroDivisionError), capture_enrollment_signals() as events:
            1 / 0  # noqa: B018

        with capture_enrollment_signals():
            make_enrollment()
        assert events == []


@pytest.mark.django_db
class TestRecordNotifications:
    def test_returns_the_notifications(self, mailoutbox):
        course = make_course()
        make_mode(course, expiration_datetime=timezone.now() + timedelta(days=1))
        row = make_enrollment(course=course)

        with record_notifications() as sent:
            call_command("send_expiry_notifications", days=7)

        assert [one.user_ids for one in sent] == [[_plain(row.user_id)]]
        assert mailoutbox == []

    def test_begins_with_an_empty_list(self, mailoutbox):
        with record_notifications() as sent:
            assert sent == []


def _plain(key):
    return key if isinstance(key, int) else str(key)
