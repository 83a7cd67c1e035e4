"""Receivers of signals that raise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from django_enrollments.services import EnrollmentsService
from django_enrollments.signals import enrollment_created
from tests.factories import course_id_of, make_course, make_users
from tests.processes.checks import (
    assert_history_folds,
    assert_nothing_is_incomplete,
    by_every_function,
    seats_taken,
)
from tests.watching import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def raising(error: BaseException) -> Iterator[None]:
    """Connect a receiver that raises, before the others."""

    def fail(**arguments):
        raise error

    enrollment_created.connect(fail)
    try:
        yield
    finally:
        enrollment_created.disconnect(fail)


class TestRaisingReceiver:
    @by_every_function
    def test_is_logged_and_prevents_nothing(self, enroll, caplog):
        course = make_course(max_student_enrollments_allowed=1)
        (ada,) = make_users(1)

        with raising(RuntimeError("broken receiver")), listening() as signals:
            enroll(ada, course_id_of(course))

        assert [name for name, _ in signals] == ["created"]
        assert [record.exc_text for record in caplog.records if record.exc_info]
        assert "broken receiver" in caplog.text
        assert seats_taken(course) == 1
        assert_nothing_is_incomplete({course: 1})

    @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
    def test_may_end_the_process_after_the_enrollment(self, error):
        course = make_course(max_student_enrollments_allowed=2)
        ada, bob = make_users(2)
        service = EnrollmentsService()

        with raising(error), pytest.raises(type(error)):
            service.enroll(ada, course)
        with listening() as signals:
            service.enroll(bob, course)

        assert [arguments["event"].user_id for _, arguments in signals] == [bob.pk]
        assert seats_taken(course) == len(assert_history_folds()) == 2
