"""Databases that refuse writes."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
from django.db import DatabaseError, OperationalError, connection

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError
from tests.factories import course_id_of, make_course, make_users
from tests.processes.calls import (
    enroll_by_api,
    enroll_with_everything,
    with_small_files,
)
from tests.processes.checks import (
    assert_no_lock_is_left,
    assert_nothing_is_incomplete,
    by_every_function,
    seats_taken,
)
from tests.processes.controlled import Controlled
from tests.watching import listening, nothing_written

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

only_on_sqlite = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="Only the files of SQLite belong to the test."
)


def execute(statement: str):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


@contextmanager
def read_only() -> Iterator[None]:
    """Refuse every write, as a replica does."""
    begin, end = {
        "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
        "postgresql": (
            "SET default_transaction_read_only = on",
            "SET default_transaction_read_only = off",
        ),
        "mysql": (
            "SET SESSION TRANSACTION READ ONLY",
            "SET SESSION TRANSACTION READ WRITE",
        ),
    }[connection.vendor]
    execute(begin)
    try:
        yield
    finally:
        execute(end)


@contextmanager
def full() -> Iterator[None]:
    """Let the file of SQLite grow no more."""
    # Pages that earlier tests have left empty would be used first.
    execute("VACUUM")
    (pages,) = execute("PRAGMA page_count")
    (before,) = execute("PRAGMA max_page_count")
    execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        execute(f"PRAGMA max_page_count = {before}")


class TestReadOnlyDatabase:
    @by_every_function
    def test_refuses_whole_operations_and_can_be_read(self, enroll):
        course = make_course(max_student_enrollments_allowed=2)
        ada, bob = make_users(2)
        enroll_by_api(bob, course_id_of(course))

        with listening() as signals, nothing_written(), read_only():
            with pytest.raises((DatabaseError, CourseEnrollmentError)):
                enroll(ada, course_id_of(course))
            read = api.get_enrollments(bob.get_username())

        assert signals == []
        assert len(read) == 1
        enroll(ada, course_id_of(course))
        assert seats_taken(course) == 2


class TestFullDisk:
    @only_on_sqlite
    def test_has_complete_enrollments_until_it_refuses(self):
        course = make_course(max_student_enrollments_allowed=200)
        users = make_users(200)
        enrolled = 0

        with full():
            for user in users:
                try:
                    enroll_with_everything(user, course_id_of(course))
                except OperationalError:
                    break
                enrolled += 1
            seats_when_full = seats_taken(course)
            assert_nothing_is_incomplete({course: 200})

        assert enrolled == seats_when_full < 200
        assert_no_lock_is_left(course)

    @only_on_sqlite
    @pytest.mark.parametrize("kilobytes", [4, 16, 64])
    def test_in_the_middle_of_a_commit_leaves_nothing(self, kilobytes):
        course = make_course(max_student_enrollments_allowed=2)
        (ada,) = make_users(1)
        call = partial(enroll_with_everything, ada, course_id_of(course))

        with nothing_written():
            answer = Controlled(
                partial(with_small_files, 1024 * kilobytes, call)
            ).answer()

        assert answer.error is OperationalError
        assert answer.heard == ()
        assert_nothing_is_incomplete({course: 2})
        assert_no_lock_is_left(course)
