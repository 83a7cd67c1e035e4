"""A receiver that fails undoes nothing and silences nobody."""

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
    """Connect a receiver that raises, before any other."""

    def fail(**carried):
        raise error

    enrollment_created.connect(fail)
    try:
        yield
    finally:
        enrollment_created.disconnect(fail)


class TestAReceiverThatRaises:
    @by_every_function
    def test_is_logged_and_the_enrollment_and_the_others_go_on(self, enroll, caplog):
        course = make_course(max_student_enrollments_allowed=1)
        (ada,) = make_users(1)

        with raising(RuntimeError("broken receiver")), listening() as heard:
            enroll(ada, course_id_of(course))

        assert [name for name, _ in heard] == ["created"]
        assert [record.exc_text for record in caplog.records if record.exc_info]
        assert "broken receiver" in caplog.text
        assert seats_taken(course) == 1
        assert_nothing_is_incomplete({course: 1})

    @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
    def test_ends_the_process_if_it_says_so_and_the_enrollment_stays(self, error):
        course = make_course(max_student_enrollments_allowed=2)
        ada, bob = make_users(2)
        service = EnrollmentsService()

        with raising(error), pytest.raises(type(error)):
            service.enroll(ada, course)
        with listening() as heard:
            service.enroll(bob, course)

        assert [carried["event"].user_id for _, carried in heard] == [bob.pk]
        assert seats_taken(course) == len(assert_history_folds()) == 2
