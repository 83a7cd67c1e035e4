"""The failure of one row is that of no other."""

from __future__ import annotations

import sqlite3

import pytest
from django.db import (
    DataError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from django_enrollments.core import isolation
from django_enrollments.core.isolation import isolate_failures, retry_while_unavailable
from django_enrollments.errors import CourseEnrollmentError, EnrollmentNotAllowed
from tests.databases import lock_error

USING = "default"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(isolation, "PAUSES_SECONDS", (0, 0, 0))


class Work:
    """Doubles numbers and fails for some; keeps the parts that it was called with."""

    def __init__(self, *bad, error):
        self.bad = set(bad)
        self.error = error
        self.parts: list[list[int]] = []

    def __call__(self, items):
        self.parts.append(list(items))
        if self.bad & set(items):
            raise self.error
        return [2 * item for item in items]


@pytest.mark.django_db(transaction=True)
class TestIsolateFailures:
    def test_works_on_all_together(self):
        work = Work(error=DataError())

        assert isolate_failures(work, range(5), using=USING) == [0, 2, 4, 6, 8]
        assert work.parts == [[0, 1, 2, 3, 4]]

    def test_does_nothing_for_no_items(self):
        work = Work(error=DataError())

        assert isolate_failures(work, [], using=USING) == []
        assert work.parts == []

    @pytest.mark.parametrize("bad", range(5))
    def test_finds_the_one_that_fails_by_halves(self, bad):
        work = Work(bad, error=DataError("no"))

        results = isolate_failures(work, range(5), using=USING)

        error = results.pop(bad)
        assert isinstance(error, CourseEnrollmentError)
        assert str(error) == "Unexpected DataError."
        assert results == [2 * item for item in range(5) if item != bad]
        # In order, so that the first still comes first.
        done = [item for part in work.parts for item in part if {bad} - set(part)]
        assert done == sorted(done)

    def test_returns_a_refusal_and_logs_nothing(self, caplog):
        refusal = EnrollmentNotAllowed("Not today.")

        results = isolate_failures(Work(1, error=refusal), range(3), using=USING)

        assert results == [0, refusal, 4]
        assert caplog.messages == []

    def test_logs_once_however_many_fail(self, caplog):
        results = isolate_failures(
            Work(*range(8), error=KeyError("x")), range(8), using=USING
        )

        assert len(results) == 8
        assert caplog.messages == ["Rows of a bulk failed: Unexpected KeyError."]

    def test_fails_all_for_a_lock(self):
        work = Work(2, error=lock_error())

        results = isolate_failures(work, range(4), using=USING)

        assert all(isinstance(one, CourseEnrollmentError) for one in results)
        assert work.parts == [[0, 1, 2, 3]] * 4

    @pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
    def test_fails_all_for_a_lost_connection(self, kind, monkeypatch):
        work = Work(2, error=kind("server closed the connection unexpectedly"))
        monkeypatch.setattr(connection, "is_usable", lambda: False)

        results = isolate_failures(work, range(4), using=USING)

        assert len({*results}) == 1
        assert work.parts == [[0, 1, 2, 3]] * 4

    def test_raises_within_a_transaction_of_the_callers(self):
        with pytest.raises(OperationalError), transaction.atomic():
            isolate_failures(Work(2, error=lock_error()), range(4), using=USING)

    def test_raises_where_autocommit_is_off(self):
        transaction.set_autocommit(False)
        try:
            with pytest.raises(OperationalError):
                isolate_failures(Work(2, error=lock_error()), range(4), using=USING)
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)

    @pytest.mark.parametrize("error", [DataError(), KeyError("x")])
    def test_goes_on_in_a_transaction_of_the_callers_that_is_still_usable(self, error):
        with transaction.atomic():
            results = isolate_failures(Work(0, error=error), range(3), using=USING)

        assert results[1:] == [2, 4]


@pytest.mark.django_db(transaction=True)
class TestRetryWhileUnavailable:
    def test_tries_again_until_it_works(self):
        tries = []

        def work():
            tries.append(1)
            if len(tries) < 3:
                raise lock_error()
            return "done"

        assert retry_while_unavailable(work, using=USING) == "done"

    def test_gives_up_in_the_end(self):
        with pytest.raises(OperationalError):
            retry_while_unavailable(
                lambda: Work(0, error=lock_error())([0]), using=USING
            )

    @pytest.mark.parametrize(
        "error", [OperationalError("no such table"), DataError("no"), KeyError("x")]
    )
    def test_does_not_repeat_other_errors(self, error):
        connection.ensure_connection()
        work = Work(0, error=error)

        with pytest.raises(type(error)):
            retry_while_unavailable(lambda: work([0]), using=USING)
        assert len(work.parts) == 1

    def test_waits_for_another_writer_of_the_same_file(self):
        if connection.vendor != "sqlite":
            pytest.skip("Servers lock rows.")
        other = sqlite3.connect(
            connection.settings_dict["NAME"], isolation_level=None, timeout=0
        )
        tries = []
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 0")
            other.execute("BEGIN IMMEDIATE")

            def work():
                tries.append(1)
                if len(tries) == 3:
                    other.execute("ROLLBACK")
                with transaction.atomic():
                    cursor.execute("DELETE FROM django_enrollments_courseenrollment")
                return "done"

            try:
                assert retry_while_unavailable(work, using=USING) == "done"
            finally:
                other.close()
                cursor.execute("PRAGMA busy_timeout = 60000")
        assert len(tries) == 3
