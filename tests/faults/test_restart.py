"""Servers that crash and are restarted under load."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import Error, connection

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import EnrollmentEvent, get_course_model
from tests.enrolling import enroll_or_change
from tests.factories import make_course, make_users, username
from tests.processes.calls import enroll_by_api, own_list, without_waiting
from tests.processes.checks import assert_nothing_is_incomplete
from tests.processes.controlled import Controlled, has_sign, pause
from tests.processes.servers import SERVERS, find_program, serving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

COURSE_ID = "django-101"
SEATS = 5
LEARNERS = 12
WORKERS = 4

#: Time between two restarts.
SECONDS_BETWEEN_RESTARTS = 0.5


def prepare_database():
    """Migrate an empty database, and make a course and learners."""
    call_command("migrate", verbosity=0)
    make_course(COURSE_ID, max_student_enrollments_allowed=SEATS)
    make_users(LEARNERS)


def enroll_and_unenroll(names: Sequence[str]) -> int:
    """
    Enroll and unenroll, whatever fails, until the test sends a sign.

    Pauses once, after a few calls.

    Returns:
        The number of failures of the database.
    """
    failures = 0
    for number in count():
        round_number, turn = divmod(number, len(names))
        try:
            if round_number % 2:
                api.update_enrollment(names[turn], COURSE_ID, is_active=False)
            else:
                enroll_or_change(
                    names[turn],
                    COURSE_ID,
                    enrollment_attributes=own_list(f"{names[0]} {number}"),
                    email_opt_in=True,
                )
        except CourseEnrollmentError:
            pass
        except Error:
            failures += 1
            connection.close()
            time.sleep(0.02)
            continue
        if number == 1:
            pause()
        elif has_sign():
            break
    return failures


def check_database() -> set[UUID]:
    """Check the prepared database, and return the ids of its events."""
    course = get_course_model()._base_manager.get()
    assert_nothing_is_incomplete({course: SEATS})
    event_ids = set(EnrollmentEvent.objects.values_list("event_id", flat=True))
    (newcomer,) = make_users(1, prefix="newcomer")
    with suppress(CourseEnrollmentError):
        without_waiting(partial(enroll_by_api, newcomer, COURSE_ID), 20)
    return event_ids


class TestRestartedServer:
    def test_keeps_commits_and_nothing_incomplete(self):
        if connection.vendor not in SERVERS:
            pytest.skip("SQLite has no server.")
        kind = SERVERS[connection.vendor]
        missing = [name for name in kind.programs if find_program(name) is None]
        if missing:
            pytest.skip(f"There is no {' and no '.join(missing)} here.")

        with serving(kind) as server:
            start = partial(Controlled, database=server.settings())
            start(prepare_database).answer().unwrap()
            names = [username(f"learner{number}") for number in range(LEARNERS)]
            calls = [
                partial(enroll_and_unenroll, names[n::WORKERS]) for n in range(WORKERS)
            ]
            workers = [start(call) for call in calls]
            assert all(worker.has_paused() for worker in workers)
            for worker in workers:
                worker.go_on()
            for how in (kind.crash, kind.stop, kind.crash):
                time.sleep(SECONDS_BETWEEN_RESTARTS)
                server.end(how)
                server.start()
            for worker in workers:
                worker.go_on()
            answers = [worker.answer() for worker in workers]
            stored = start(check_database).answer().unwrap()

        failures = [answer.unwrap() for answer in answers]
        confirmed = {event.event_id for answer in answers for event in answer.heard}
        assert min(failures) > 0
        assert confirmed <= stored
        # Each failure may have come after a commit.
        assert len(stored - confirmed) <= sum(failures)
