"""Signals, the receivers of the project, and the history."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.db import router, transaction

from django_enrollments.conf import conf
from django_enrollments.models import CourseEnrollment
from django_enrollments.testing.assertions import assert_enrolled
from django_enrollments.testing.conformance.helpers import (
    events_of,
    expect,
    expect_history_folds,
)
from django_enrollments.testing.factories import make_course, make_user
from django_enrollments.testing.recorders import capture_enrollment_signals

if TYPE_CHECKING:
    from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db(databases="__all__")

MODE = "conformance"


@pytest.fixture
def two_modes(db: None) -> Any:
    """Return a course with two modes."""
    return make_course(modes=[conf.ENROLLMENTS_DEFAULT_MODE, MODE])


def test_one_signal_is_sent_for_each_event(
    service: EnrollmentsService, learner: Any, two_modes: Any
) -> None:
    """
    After the commit, each event of the history is sent once, in order.

    Change: no code of this project may disconnect receivers or write events. Callbacks
    of ``transaction.on_commit()`` must not raise: the ones after them are not called.
    Pass ``robust=True``.
    """
    with capture_enrollment_signals() as sent:
        service.enroll(learner, two_modes, force=True)
        service.change_mode(learner, two_modes, MODE)
        service.unenroll(learner, two_modes)

    types = [event.type for event in sent if event.user_id == learner.pk]
    expected = ["created", "mode_changed", "deactivated"]
    expect(types == expected, f"The signals are {types}, not {expected}.")
    stored = [event.as_record() for event in events_of(learner)]
    expect(
        [one.event_id for one in stored] == [one.event_id for one in sent],
        "The signals and the stored events differ.",
    )


def test_receivers_raise_nothing(
    service: EnrollmentsService,
    learner: Any,
    two_modes: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    The receivers of this project handle every signal of a new learner.

    Change: correct the receiver in the message. Django logs its exception and goes on,
    so that the change is stored, but the work of the receiver is lost.
    """
    with caplog.at_level(logging.ERROR), capture_enrollment_signals():
        service.enroll(learner, two_modes, force=True, source="conformance")
        service.change_mode(learner, two_modes, MODE)
        service.unenroll(learner, two_modes, skip_refund=True)
        service.enroll(learner, two_modes, force=True)

    failures = [
        f"{record.getMessage()}: {record.exc_info[1]!r}"
        for record in caplog.records
        if record.exc_info and record.levelno >= logging.ERROR
    ]
    expect(not failures, "; ".join(failures[:3]))


def test_receivers_change_no_enrollment(
    service: EnrollmentsService, learner: Any, two_modes: Any
) -> None:
    """
    After a call, the enrollment has the state that was requested.

    Change: a receiver of this project's changes the enrollment again. Use a filter
    (docs/how-to/filters.md) to refuse a change or to replace its mode.
    """
    with capture_enrollment_signals():
        service.enroll(learner, two_modes, MODE, force=True)
    row = CourseEnrollment.objects.filter(user=learner.pk).first()
    expect(
        row is not None and row.is_active and row.mode == MODE,
        f"After enrolling in mode {MODE!r} the enrollment is {row!r}, active: "
        f"{row and row.is_active}.",
    )
    assert_enrolled(learner, two_modes, MODE)
    expect_history_folds(learner)


def test_a_rolled_back_change_sends_nothing(
    service: EnrollmentsService, course: Any
) -> None:
    """
    A change that is rolled back sends no signal.

    Change: only this app may send its signals. Code of this project that sends them,
    or that acts in a filter, does so before the commit (docs/how-to/signals.md).
    """
    user = make_user()
    using = router.db_for_write(CourseEnrollment)
    with capture_enrollment_signals() as sent, transaction.atomic(using=using):
        service.enroll(user, course, force=True)
        transaction.set_rollback(True, using=using)
    expect(not sent, f"{[event.type for event in sent]} was sent after a rollback.")
    expect(not events_of(user), "The event of a change that was rolled back is stored.")
