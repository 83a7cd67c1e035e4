"""Positions: complete, contiguous, in the order of each enrollment's changes."""

from __future__ import annotations

from functools import partial

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from django_enrollments import api
from django_enrollments.delivery import adopt, deliver, read, sequence
from django_enrollments.models import EnrollmentEvent, FeedCounter
from tests.delivery.calls import enroll_and_pause, erase_and_pause
from tests.delivery.consumers import enroll, positions, toggle
from tests.factories import DAY, course_id_of, make_course, make_users
from tests.processes.concurrent import (
    IN_TRANSACTION,
    REPEATABLE_READ,
    at_once,
    by,
)
from tests.processes.controlled import paused


def stored_positions() -> list[int | None]:
    """Return the positions in the order in which the events were written."""
    return [*EnrollmentEvent.objects.values_list("position", flat=True)]


def make_old(**chosen) -> int:
    """Make events as those from before the feed existed."""
    return QuerySet(EnrollmentEvent).filter(**chosen).update(position=None)


@pytest.mark.django_db
class TestSequence:
    def test_gives_the_next_positions_in_order(self):
        enroll(3)
        assert stored_positions() == [0, 0, 0]

        assert sequence() == 3

        assert stored_positions() == [1, 2, 3]
        assert FeedCounter.objects.get().last == 3
        assert sequence() == 0

    def test_gives_at_most_the_limit(self):
        enroll(5)

        assert [sequence(2) for _ in range(4)] == [2, 2, 1, 0]
        assert stored_positions() == [1, 2, 3, 4, 5]

    def test_leaves_out_gaps_between_keys(self):
        course = make_course()
        enroll(2, course=course)
        QuerySet(EnrollmentEvent).filter(
            pk=EnrollmentEvent.objects.latest("pk").pk
        ).delete()
        enroll(2, "later", course=course)

        sequence()

        assert stored_positions() == [1, 2, 3]

    def test_leaves_events_from_before_the_feed(self):
        enroll(2)
        make_old()

        assert sequence() == 0
        assert stored_positions() == [None, None]

    def test_goes_on_after_the_counter_was_lost(self):
        course = make_course()
        enroll(2, course=course)
        sequence()
        FeedCounter.objects.all().delete()
        enroll(1, "later", course=course)

        sequence()

        assert stored_positions() == [1, 2, 3]

    @pytest.mark.parametrize(
        ("table", "change"),
        [
            (EnrollmentEvent._meta.db_table, "position = 999"),
            (FeedCounter._meta.db_table, "last = 999"),
        ],
    )
    def test_gives_none_if_somebody_else_did_in_between(self, table, change):
        enroll(3)
        sequence(1)

        def interfere(execute, sql, *rest):
            if sql.startswith(f"UPDATE {connection.ops.quote_name(table)} SET"):
                statement = f"UPDATE {table} SET {change}"  # noqa: S608 - As above.
                connection.connection.cursor().execute(statement)
            return execute(sql, *rest)

        with connection.execute_wrapper(interfere):
            assert sequence() == 0

        assert stored_positions() == [1, 0, 0]
        assert FeedCounter.objects.get().last == 1
        assert sequence() == 2

    @pytest.mark.django_db(transaction=True)
    def test_raises_in_a_transaction(self):
        enroll(1)

        with transaction.atomic(), pytest.raises(RuntimeError):
            sequence()


class TestHistory:
    """Only the sequencer writes positions, and nothing else is ever changed."""

    @pytest.mark.django_db
    def test_gives_a_position_once(self):
        enroll(2)
        keys = [*EnrollmentEvent.objects.values_list("pk", flat=True)]
        sequence()

        assert EnrollmentEvent.objects.give_positions(keys, after=100) == 0
        assert EnrollmentEvent.objects.adopt(keys) == 0
        assert stored_positions() == [1, 2]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestConcurrentSequencers:
    @by(REPEATABLE_READ)
    def test_give_each_position_once(self, way):
        enroll(60)

        answers = at_once([partial(sequence, 10)] * 8, way)

        given = sum(answer.unwrap() for answer in answers)
        assert stored_positions() == [*range(1, given + 1), *[0] * (60 - given)]

    def test_lose_no_event_that_is_committed_late(self, crm, needs_two_writers):
        course = make_course()
        early, late = make_users(2)
        call = partial(enroll_and_pause, early.get_username(), course_id_of(course))
        with paused(call, way=IN_TRANSACTION) as process:
            api.add_enrollment(late.get_username(), course_id_of(course))
            # The writer that stays in its transaction delays nobody.
            assert deliver(crm) == (1, 0, 0, 0)
            process.go_on()
            process.answer().unwrap()

        assert deliver(crm) == (1, 0, 0, 0)
        assert positions(crm) == [1, 2]
        assert stored_positions() == [2, 1]

    def test_do_not_wait_for_an_erasure_nor_overtake_it(self, needs_two_writers):
        course = make_course()
        ada, bob = enroll(2, course=course)
        with paused(partial(erase_and_pause, ada.pk), way=IN_TRANSACTION) as process:
            toggle(ada, course)
            toggle(bob, course)
            assert sequence() == 2
            assert sequence() == 0
            process.go_on()
            process.answer().unwrap()
        assert sequence() == 2

        assert stored_positions() == [3, 1, 4, 2]


@pytest.mark.django_db
class TestAdopt:
    def test_brings_old_events_in_by_age(self):
        course = make_course()
        enroll(3, course=course)
        make_old()
        enroll(1, "new", course=course)
        sequence()

        assert [*adopt()] == [(3, 0)]

        sequence()
        assert stored_positions() == [2, 3, 4, 1]

    def test_leaves_out_those_that_would_come_after_later_ones(self):
        course = make_course()
        ada, _ = enroll(2, course=course)
        make_old()
        toggle(ada, course)
        sequence()

        assert [*adopt()] == [(1, 1)]

        sequence()
        assert stored_positions() == [None, 2, 1]

    def test_begins_at_a_time(self):
        course = make_course()
        enroll(2, course=course)
        make_old()
        newest = EnrollmentEvent.objects.latest("pk")
        older = QuerySet(EnrollmentEvent).filter(pk__lt=newest.pk)
        older.update(time=newest.time - DAY)

        assert [*adopt(newest.time)] == [(1, 0)]


@pytest.mark.django_db
class TestRead:
    def test_returns_what_comes_after_a_position(self):
        ada, *_ = enroll(3)

        messages = read()

        assert [message.position for message in messages] == [1, 2, 3]
        assert [message.attempt for message in messages] == [0, 0, 0]
        assert messages[0].event.username == ada.get_username()
        assert read(after=2) == messages[2:]
        assert read(limit=1) == messages[:1]
        assert read(after=3) == []
