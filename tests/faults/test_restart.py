"""A server that crashes and is restarted under load loses nothing it has confirmed."""

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

#: How long everybody is at work before the next restart.
PEACE_SECONDS = 0.5


def furnish():
    """Make tables in an empty database, and in them a course and who wants it."""
    call_command("migrate", verbosity=0)
    make_course(COURSE_ID, max_student_enrollments_allowed=SEATS)
    make_users(LEARNERS)


def carry_on(names: Sequence[str]) -> int:
    """
    Enroll and leave again and again, until told to stop, whatever fails.

    Pauses once, when it has done a little.

    Returns:
        How often the database has failed.
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


def look_around() -> set[UUID]:
    """Check a database that was furnished, and give the ids of its events."""
    course = get_course_model()._base_manager.get()
    assert_nothing_is_incomplete({course: SEATS})
    event_ids = set(EnrollmentEvent.objects.values_list("event_id", flat=True))
    (newcomer,) = make_users(1, prefix="newcomer")
    with suppress(CourseEnrollmentError):
        without_waiting(partial(enroll_by_api, newcomer, COURSE_ID), 20)
    return event_ids


class TestAServerThatIsRestarted:
    def test_keeps_what_it_confirmed_and_nothing_half_done(self):
        if connection.vendor not in SERVERS:
            pytest.skip("SQLite has no server.")
        kind = SERVERS[connection.vendor]
        missing = [name for name in kind.programs if find_program(name) is None]
        if missing:
            pytest.skip(f"There is no {' and no '.join(missing)} here.")

        with serving(kind) as server:
            hire = partial(Controlled, database=server.settings())
            hire(furnish).answer().unwrap()
            names = [username(f"learner{number}") for number in range(LEARNERS)]
            workers = [
                hire(partial(carry_on, names[n::WORKERS])) for n in range(WORKERS)
            ]
            assert all(worker.has_paused() for worker in workers)
            for worker in workers:
                worker.go_on()
            for how in (kind.crash, kind.stop, kind.crash):
                time.sleep(PEACE_SECONDS)
                server.end(how)
                server.start()
            for worker in workers:
                worker.go_on()
            answers = [worker.answer() for worker in workers]
            stored = hire(look_around).answer().unwrap()

        failures = [answer.unwrap() for answer in answers]
        confirmed = {event.event_id for answer in answers for event in answer.heard}
        assert min(failures) > 0
        assert confirmed <= stored
        # Whoever failed may have been at the very end of it, once for each failure.
        assert len(stored - confirmed) <= sum(failures)
