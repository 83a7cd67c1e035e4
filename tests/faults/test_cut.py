"""Connections that the server ends in the middle of a call."""

from __future__ import annotations

from functools import partial

import pytest
from django.db import OperationalError, connection

from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseEnrollment, EmailOptIn
from tests.factories import course_id_of, make_course, make_users
from tests.http import client_of
from tests.processes.calls import (
    call_after_cuts,
    enroll_by_api,
    enroll_in_bulk,
    enroll_with_everything,
    post_everything,
)
from tests.processes.checks import (
    assert_history_is_true,
    assert_nothing_is_incomplete,
    seats_taken,
)
from tests.processes.controlled import Controlled, paused, pausing_after
from tests.watching import stored

#: Beginnings of the statements after which a connection is ended.
WRITES = (
    'INSERT INTO "django_enrollments_courseenrollment"',
    'INSERT INTO "django_enrollments_enrollmentevent"',
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor == "sqlite", reason="SQLite has no connection to cut"
    ),
]


def cut(session: int | None):
    """Let the server end a connection."""
    statement = {
        "postgresql": "SELECT pg_terminate_backend(%s, 10000)",
        "mysql": "KILL CONNECTION %s",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statement, [session])


class TestEndedConnection:
    def test_after_each_statement_leaves_nothing_and_the_next_call_works(self):
        course = make_course(max_student_enrollments_allowed=100)
        ada, *others = make_users(60)
        call = partial(enroll_with_everything, ada, course_id_of(course))
        in_between = [
            partial(enroll_by_api, one, course_id_of(course)) for one in others
        ]

        cuts = 0
        process = Controlled(partial(call_after_cuts, call, in_between))
        while process.has_paused():
            assert not CourseEnrollment.objects.filter(user=ada).exists()
            assert not EmailOptIn.objects.exists()
            assert seats_taken(course) == cuts
            cut(process.session)
            process.go_on()
            cuts += 1
        answer = process.answer()

        assert cuts > 6
        assert answer.unwrap() == [OperationalError] * cuts
        assert_nothing_is_incomplete({course: 100})
        assert_history_is_true([answer])

    @pytest.mark.parametrize("beginning", WRITES)
    def test_leaves_a_bulk_with_correct_results(self, beginning):
        course = make_course(max_student_enrollments_allowed=2)
        (ada,) = make_users(1)
        call = partial(enroll_in_bulk, ada, course_id_of(course))

        with paused(partial(pausing_after, 1, call, of=beginning)) as process:
            cut(process.session)
            process.go_on()
            answer = process.answer()

        # It may have retried with a new connection.
        assert answer.error in {None, CourseEnrollmentError}, answer
        assert seats_taken(course) == (answer.error is None)
        assert_nothing_is_incomplete({course: 2})
        assert_history_is_true([answer])

    @pytest.mark.parametrize("beginning", WRITES)
    def test_is_a_500_that_leaves_nothing(self, beginning):
        course = make_course(max_student_enrollments_allowed=1)
        (ada,) = make_users(1)
        cookies = {name: one.value for name, one in client_of(ada).cookies.items()}
        call = partial(post_everything, cookies, course_id_of(course))
        before = stored()

        with paused(partial(pausing_after, 1, call, of=beginning)) as process:
            cut(process.session)
            process.go_on()
            cut_off = process.answer()
        assert stored() == before
        assert not EmailOptIn.objects.exists()
        undisturbed = Controlled(call).answer()

        assert (cut_off.value, undisturbed.value) == (500, 200)
        assert_nothing_is_incomplete({course: 1})
