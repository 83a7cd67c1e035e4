"""Delivery to one consumer: order, failures, retries."""

from __future__ import annotations

from asyncio import CancelledError
from datetime import timedelta
from itertools import chain, repeat

import pytest
from django.db import transaction
from django.db.models import F, QuerySet

from django_enrollments.datetimes import for_database, now
from django_enrollments.delivery import (
    Gone,
    NotNow,
    Reject,
    deliver,
    discard,
    passes,
    pause,
    replay,
    resume,
    retry,
    status,
    work,
)
from django_enrollments.delivery.consumers import Declared
from django_enrollments.delivery.passes import Pass
from django_enrollments.models import Consumer, EnrollmentEvent, SetAside
from tests.delivery.consumers import (
    called,
    declare,
    doing,
    enroll,
    failing_for,
    once,
    positions,
    raising,
    taken,
    toggle,
)
from tests.factories import course_id_of, make_course

# Most run in a transaction of the test, as tests of hosts do.
pytestmark = pytest.mark.django_db


def let_time_pass():
    """Make everything due that is to be retried later."""
    past = for_database(now() - timedelta(days=1))
    SetAside.objects.filter(state="retrying").update(retry_at=past)
    Consumer.objects.filter(state="down").update(retry_at=past)


def the_consumer() -> Consumer:
    return Consumer.objects.get()


@pytest.fixture
def at(monkeypatch):
    """Stop the clock by which pauses are decided, and return its time."""
    at = now()
    monkeypatch.setattr(passes, "now", lambda: at)
    return for_database(at)


def leave_atomic():
    transaction.atomic().__enter__()
    Consumer.objects.update(failures=7)


def leave_without_autocommit():
    transaction.set_autocommit(False)
    Consumer.objects.update(failures=7)


class TestDeliver:
    def test_delivers_each_event_once_in_order(self, crm):
        enroll(5)

        done = deliver(crm)

        assert (done.delivered, done.failed, done.set_aside, done.lag) == (5, 0, 0, 0)
        assert positions(crm) == [1, 2, 3, 4, 5]
        assert [message.attempt for message in taken[crm]] == [1] * 5
        events = EnrollmentEvent.objects.order_by("pk")
        assert [message.event.event_id for message in taken[crm]] == [
            event.event_id for event in events
        ]
        assert deliver(crm).delivered == 0

    def test_starts_at_the_end_of_the_feed(self, settings):
        settings.ENROLLMENTS_CONSUMERS = declare("crm")
        course = make_course()
        enroll(3, course=course)
        deliver("crm")

        enroll(1, "later", course=course)
        deliver("crm")

        assert positions("crm") == [4]

    def test_delivers_at_most_the_limit(self, crm):
        enroll(5)

        assert deliver(crm, limit=2) == (2, 0, 0, 3)
        assert deliver(crm, limit=0).lag == 3

    def test_delivers_more_than_a_batch(self, crm):
        enroll(130)

        assert deliver(crm).delivered == 130
        assert positions(crm) == [*range(1, 131)]

    def test_raises_for_an_unknown_consumer(self, crm):
        with pytest.raises(ValueError, match="ENROLLMENTS_CONSUMERS has no consumer"):
            deliver("nobody")

    @pytest.mark.django_db(transaction=True)
    def test_raises_in_a_transaction(self, crm):
        enroll(1)

        with transaction.atomic(), pytest.raises(RuntimeError):
            deliver(crm)

        assert called[crm] == []

    def test_passes_the_options_to_the_backend(self, settings, crm):
        settings.ENROLLMENTS_CONSUMERS = declare("crm", OPTIONS={"unknown": 1})

        with pytest.raises(TypeError):
            deliver(crm)

    @pytest.mark.django_db(transaction=True)
    def test_has_no_transaction_open_in_a_call(self, crm):
        enroll(1)
        seen = []
        doing[crm] = lambda message: seen.append(
            transaction.get_connection().in_atomic_block
        )

        deliver(crm)

        assert seen == [False]

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("number", [2, 7])
    def test_delivers_with_several_threads_in_order_per_enrollment(
        self, settings, crm, number
    ):
        settings.ENROLLMENTS_CONSUMERS = declare("crm", CONCURRENCY=number)
        course = make_course()
        users = enroll(6, course=course)
        for _ in range(4):
            for user in users:
                toggle(user, course)

        done = deliver(crm)

        assert done == (len(positions(crm)), 0, 0, 0)
        assert sorted(positions(crm)) == [*range(1, done.delivered + 1)]
        for user in users:
            own = [m.position for m in taken[crm] if m.event.user_id == user.pk]
            assert own == sorted(own)


class TestTypesAndFilter:
    def test_skip_without_a_call(self, settings, crm):
        course = make_course()
        (user,) = enroll(1, course=course)
        toggle(user, course, 2)
        settings.ENROLLMENTS_CONSUMERS = declare("crm", TYPES=["deactivated"])

        assert deliver(crm) == (1, 0, 0, 0)
        assert called[crm] == [2]

    def test_a_filter_chooses_messages(self, settings, crm):
        enroll(4)
        settings.ENROLLMENTS_CONSUMERS = declare(
            "crm", FILTER=lambda message: message.position % 2
        )

        deliver(crm)

        assert called[crm] == [1, 3]

    @pytest.mark.parametrize("error", [ValueError(), TimeoutError(), NotNow()])
    def test_a_filter_that_raises_fails_for_its_event_alone(self, settings, crm, error):
        _ada, ben, _cyd = enroll(3)
        settings.ENROLLMENTS_CONSUMERS = declare(
            "crm", FILTER=lambda message: failing_for(ben, error)(message) is None
        )

        assert deliver(crm) == (2, 1, 1, 0)
        assert called[crm] == [1, 3]
        assert type(error).__name__ in SetAside.objects.get().error

    def test_unwanted_events_do_not_wait_behind_one_that_failed(self, settings, crm):
        course = make_course()
        (user,) = enroll(1, course=course)
        toggle(user, course, 2)
        settings.ENROLLMENTS_CONSUMERS = declare("crm", TYPES=["created"])
        doing[crm] = raising(KeyError("x"))

        deliver(crm)

        assert SetAside.objects.values_list("position", flat=True).get() == 1


class TestPersonalData:
    def test_is_left_out_by_default(self, crm):
        enroll(1)

        deliver(crm)

        (message,) = taken[crm]
        assert (message.event.username, message.event.reason) == ("", "")

    def test_is_blank_if_an_event_is_erased_while_others_are_delivered(
        self, crm, settings
    ):
        settings.ENROLLMENTS_CONSUMERS = declare("crm", PERSONAL=True)
        _ada, ben = enroll(2)
        erase = EnrollmentEvent.objects.erase_personal_data
        doing[crm] = lambda message: erase(ben.pk)

        deliver(crm)

        assert [bool(message.event.username) for message in taken[crm]] == [True, False]

    def test_is_included_on_request(self, settings, crm):
        settings.ENROLLMENTS_CONSUMERS = declare("crm", PERSONAL=True)
        (user,) = enroll(1)

        deliver(crm)

        assert taken[crm][0].event.username == user.get_username()


class TestConsumerThatIsDown:
    @pytest.mark.parametrize(
        "error",
        [NotNow(), ConnectionRefusedError(), TimeoutError("15 s"), NotNow(None, "503")],
    )
    def test_gets_nothing_until_the_back_off_is_over(self, crm, at, error):
        enroll(3)
        doing[crm] = once(iter([None, error]))

        assert deliver(crm) == (1, 0, 0, 2)
        assert deliver(crm) == (0, 0, 0, 2)

        row = the_consumer()
        assert (row.state, row.position, row.failures) == ("down", 1, 1)
        assert type(error).__name__ in row.last_error
        assert 4 <= (row.retry_at - at).total_seconds() <= 6
        assert not SetAside.objects.exists()
        assert called[crm] == [1, 2]
        let_time_pass()
        assert deliver(crm) == (2, 0, 0, 0)
        row = the_consumer()
        assert (row.state, row.failures, row.last_error) == ("active", 0, "")
        assert row.retry_at is None

    def test_is_tried_less_and_less_often(self, crm, at):
        enroll(1)
        doing[crm] = raising(NotNow())
        pauses = []
        for _ in range(8):
            deliver(crm)
            pauses.append((the_consumer().retry_at - at).total_seconds())
            let_time_pass()

        for pause_, usual in zip(
            pauses, [5, 30, 120, 600, 1800, 3600, 3600, 3600], strict=True
        ):
            assert 0.79 * usual < pause_ < 1.21 * usual

    @pytest.mark.parametrize(("wish", "seconds"), [(7, 7), (-5, 0), (10**400, 86_400)])
    def test_obeys_retry_after_up_to_a_day(self, crm, at, wish, seconds):
        enroll(1)
        doing[crm] = raising(NotNow(retry_after=wish))

        deliver(crm)

        assert the_consumer().retry_at - at == timedelta(seconds=seconds)

    def test_is_paused_when_it_is_gone(self, crm):
        enroll(1)
        doing[crm] = raising(Gone("410"))

        deliver(crm)
        let_time_pass()
        deliver(crm)

        assert the_consumer().state == "paused"
        assert called[crm] == [1]

    @pytest.mark.parametrize(
        "given", ["7", "closed for maintenance", timedelta(seconds=7)]
    )
    def test_is_down_if_its_retry_after_is_no_number(self, crm, given):
        enroll(1)
        doing[crm] = raising(NotNow(given))

        deliver(crm)

        row = the_consumer()
        assert (row.state, row.failures) == ("down", 1)
        assert row.retry_at > for_database(now())

    def test_stays_down_if_the_pass_is_stopped_before_the_first_call(self, crm):
        enroll(1)
        doing[crm] = raising(NotNow(retry_after=0))
        deliver(crm)
        # When it begins, and before the call.
        is_stopped = chain([False], repeat(True)).__next__

        Pass(Declared(crm), is_stopped).run()

        assert called[crm] == [1]
        row = the_consumer()
        assert (row.state, row.failures) == ("down", 1)

    def test_may_raise_errors_without_a_text(self, crm):
        class BrokenError(Exception):
            def __str__(self):
                raise RuntimeError

        enroll(1)
        doing[crm] = raising(BrokenError())

        assert deliver(crm).set_aside == 1
        assert SetAside.objects.get().error == "BrokenError"

    @pytest.mark.parametrize("error", [KeyError("x"), Reject("400")])
    def test_is_down_after_ten_events_set_aside_in_a_row(self, crm, error):
        enroll(30)
        doing[crm] = raising(error)

        done = deliver(crm)

        assert (done.set_aside, done.lag) == (10, 20)
        for _ in range(3):
            let_time_pass()
            assert deliver(crm).set_aside == 0
        row = the_consumer()
        assert (row.state, row.position, row.failures) == ("down", 10, 4)
        assert SetAside.objects.count() == 10
        dead = SetAside.objects.filter(state="dead").count()
        assert dead == (10 if isinstance(error, Reject) else 0)
        del doing[crm]
        let_time_pass()
        assert deliver(crm).lag == 0
        expected = 20 if isinstance(error, Reject) else 30
        assert sorted(positions(crm)) == [*range(31 - expected, 31)]
        assert the_consumer().state == "active"

    def test_is_active_again_although_the_first_event_still_fails(self, crm):
        ada, *_others = enroll(10)
        doing[crm] = raising(KeyError())
        deliver(crm)
        assert the_consumer().state == "down"

        doing[crm] = failing_for(ada, KeyError())
        for _ in range(40):
            let_time_pass()
            deliver(crm)

        assert sorted(positions(crm)) == [*range(2, 11)]
        assert the_consumer().state == "active"

    def test_is_down_after_ten_failures_in_a_replay(self, crm):
        course = make_course()
        enroll(30, course=course)
        deliver(crm)
        replay(crm, course_id=course_id_of(course))
        called[crm].clear()
        doing[crm] = raising(KeyError("x"))

        for _ in range(20):
            deliver(crm)
            let_time_pass()

        assert the_consumer().state == "down"
        assert SetAside.objects.filter(attempts=0).count() == 20
        assert not SetAside.objects.filter(state="dead").exists()
        del doing[crm]
        deliver(crm)
        let_time_pass()
        deliver(crm)
        assert not SetAside.objects.exists()
        assert the_consumer().state == "active"

    def test_counts_no_row_that_a_success_interrupts(self, crm):
        enroll(30)
        doing[crm] = once(
            iter([*repeat(KeyError(), 27), None, *repeat(KeyError(), 27)])
        )

        done = deliver(crm)

        assert (done.set_aside, done.lag) == (18, 0)
        assert the_consumer().state == "active"

    @pytest.mark.slow
    def test_loses_nothing_of_ten_thousand(self, crm):
        enroll(1)
        (event,) = EnrollmentEvent.objects.all()
        EnrollmentEvent.objects.bulk_create(
            _copies(event, number) for number in range(9_999)
        )
        for error in (NotNow(), KeyError("secret"), NotNow()):
            doing[crm] = raising(error)
            deliver(crm)
            let_time_pass()
        assert SetAside.objects.count() <= 10
        assert not SetAside.objects.filter(state="dead").exists()

        del doing[crm]
        while deliver(crm, limit=5_000).delivered:
            pass

        assert sorted(positions(crm)) == [*range(1, 10_001)]
        assert not SetAside.objects.exists()
        _assert_ordered(taken[crm])


def _copies(event: EnrollmentEvent, number: int) -> EnrollmentEvent:
    """Return a new event of one of a hundred enrollments."""
    values = {
        field.attname: getattr(event, field.attname)
        for field in EnrollmentEvent._meta.concrete_fields
        if field.name not in ("id", "event_id", "position")
    }
    return EnrollmentEvent(**values | {"course_id": f"course-{number % 100}"})


def _assert_ordered(messages):
    highest: dict[str, int] = {}
    for message in messages:
        assert message.position > highest.get(message.partition, 0)
        highest[message.partition] = message.position


class TestEventThatFails:
    def test_is_tried_three_times_and_set_aside(self, crm, at):
        ada, *_ = enroll(3)
        doing[crm] = failing_for(ada, KeyError("boom"))

        assert deliver(crm) == (2, 1, 1, 0)

        assert called[crm] == [1, 1, 1, 2, 3]
        row = SetAside.objects.get()
        assert (row.position, row.state, row.attempts) == (1, "retrying", 3)
        assert row.error == "KeyError: 'boom'"
        assert row.partition.startswith(f"{ada.pk}:")
        assert 4 <= (row.retry_at - at).total_seconds() <= 6
        assert the_consumer().state == "active"

    def test_may_succeed_at_the_third_attempt(self, crm):
        enroll(1)
        doing[crm] = once(iter([KeyError(), KeyError()]))

        assert deliver(crm) == (1, 0, 0, 0)
        assert taken[crm][0].attempt == 3

    @pytest.mark.parametrize("error", [SystemExit(1), CancelledError()])
    def test_may_be_any_exception(self, crm, error):
        _ada, ben, _cyd = enroll(3)
        doing[crm] = failing_for(ben, error)

        assert deliver(crm) == (2, 1, 1, 0)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("error", [None, KeyError()])
    @pytest.mark.parametrize("leave_open", [leave_atomic, leave_without_autocommit])
    def test_is_that_a_transaction_was_left_open(self, crm, error, leave_open):
        _ada, ben, _cyd = enroll(3)

        def fail(message):
            if message.event.user_id == ben.pk:
                leave_open()
                if error:
                    raise error

        doing[crm] = fail

        assert work()["consumers"][crm]["set_aside"] == 1
        assert [*dict.fromkeys(positions(crm))] == [1, 2, 3] if not error else [1, 3]
        assert Consumer.objects.filter(position=3, failures=0).exists()

    def test_holds_back_the_later_events_of_its_enrollment(self, crm):
        course = make_course()
        ada, bob = enroll(2, course=course)
        doing[crm] = failing_for(ada, KeyError())
        toggle(ada, course, 2)
        deliver(crm)
        toggle(ada, course)
        toggle(bob, course)

        deliver(crm)

        assert positions(crm) == [2, 6]
        states = SetAside.objects.values_list("position", "state")
        assert [*states] == [
            (1, "retrying"),
            (3, "waiting"),
            (4, "waiting"),
            (5, "waiting"),
        ]
        del doing[crm]
        let_time_pass()
        assert deliver(crm) == (4, 0, 0, 0)
        assert positions(crm) == [2, 6, 1, 3, 4, 5]
        assert not SetAside.objects.exists()

    def test_is_dead_after_ten_retries_and_its_followers_go_on(self, crm, at, caplog):
        course = make_course()
        (ada,) = enroll(1, course=course)
        toggle(ada, course, 2)
        doing[crm] = once(repeat(KeyError("ada@example.org"), 13))
        pauses = []

        for _ in range(11):
            deliver(crm)
            first = SetAside.objects.first()
            pauses.append(first.retry_at and (first.retry_at - at).total_seconds())
            let_time_pass()

        assert positions(crm) == [2, 3]
        assert taken[crm][0].attempt == 1
        row = SetAside.objects.get()
        assert (row.position, row.state, row.attempts) == (1, "dead", 13)
        (line,) = [one for one in caplog.records if one.levelname == "ERROR"]
        assert "dead" in line.getMessage()
        (line,) = [one for one in caplog.records if one.levelname == "WARNING"]
        assert "tried again later: KeyError." in line.getMessage()
        assert "ada" not in caplog.text
        assert pauses[-1] is None
        assert 0.75 * 72 < sum(pauses[:-1]) / 3600 < 1.25 * 72
        assert deliver(crm) == (0, 0, 0, 0)

    def test_is_dead_at_once_when_it_is_rejected(self, crm):
        course = make_course()
        (ada,) = enroll(1, course=course)
        toggle(ada, course)
        doing[crm] = once(iter([Reject("no")]))

        assert deliver(crm) == (1, 1, 1, 0)
        assert SetAside.objects.get().state == "dead"
        assert positions(crm) == [2]

    def test_waits_while_the_consumer_is_down(self, crm):
        ada, _ = enroll(2)
        doing[crm] = failing_for(ada, KeyError())
        deliver(crm)
        doing[crm] = raising(NotNow())
        let_time_pass()
        deliver(crm)

        assert (SetAside.objects.get().attempts, the_consumer().state) == (3, "down")

    def test_stores_no_more_of_an_error_than_fits(self, crm):
        enroll(1)
        doing[crm] = raising(ValueError("x\x00\udfff" * 1000))

        deliver(crm)

        assert len(SetAside.objects.get().error) == 500

    def test_that_somebody_deleted_is_forgotten(self, crm):
        enroll(1)
        doing[crm] = raising(KeyError())
        deliver(crm)
        QuerySet(EnrollmentEvent).delete()
        let_time_pass()

        deliver(crm)

        assert not SetAside.objects.exists()


class TestOperators:
    def test_pause_and_resume(self, crm):
        enroll(2)
        pause(crm)
        assert deliver(crm) == (0, 0, 0, 2)
        assert status()[0]["state"] == "paused"

        resume(crm)

        assert deliver(crm) == (2, 0, 0, 0)

    def test_resume_does_not_wait_for_the_back_off(self, crm):
        enroll(1)
        doing[crm] = once(iter([NotNow()]))
        deliver(crm)

        resume(crm)

        assert deliver(crm).delivered == 1

    def test_pause_stops_a_worker(self, crm, monkeypatch):
        monkeypatch.setattr("django_enrollments.delivery.leases.RENEW_SECONDS", 0)
        enroll(3)
        doing[crm] = lambda message: pause(crm)

        deliver(crm)

        assert called[crm] == [1]
        assert (the_consumer().state, the_consumer().position) == ("paused", 0)

    def test_discard_lets_the_followers_go_on(self, crm, caplog):
        caplog.set_level("INFO")
        course = make_course()
        (ada,) = enroll(1, course=course)
        toggle(ada, course)
        doing[crm] = once(repeat(KeyError(), 3))
        deliver(crm)

        discard(crm, 1, "known to\nbe wrong")

        assert "known to be wrong" in caplog.text
        assert deliver(crm) == (1, 0, 0, 0)
        assert positions(crm) == [2]

    def test_retry_tries_a_dead_event_again(self, crm):
        enroll(1)
        doing[crm] = once(iter([Reject()]))
        deliver(crm)

        retry(crm, 1)

        assert deliver(crm).delivered == 1
        assert not SetAside.objects.exists()

    @pytest.mark.parametrize("act", [retry, lambda *given: discard(*given, "why")])
    def test_raise_for_events_that_are_not_set_aside(self, crm, act):
        with pytest.raises(ValueError, match="not set aside"):
            act(crm, 5)


class TestLease:
    def test_keeps_others_out(self, crm):
        enroll(2)
        inner = []
        doing[crm] = lambda message: inner.append(deliver(crm))

        deliver(crm)

        assert called[crm] == [1, 2]
        assert inner[0].delivered == 0

    def test_is_given_back(self, crm):
        enroll(1)
        doing[crm] = raising(KeyboardInterrupt())

        with pytest.raises(KeyboardInterrupt):
            deliver(crm)

        assert the_consumer().lease_until is None
        del doing[crm]
        assert deliver(crm).delivered == 1

    def test_ends_by_the_clock_of_the_database(self, crm):
        from django_enrollments.delivery.leases import Lease

        first, second = Lease(crm, "first"), Lease(crm, "second")
        assert first.claim()
        assert second.claim() is None

        Consumer.objects.update(lease_until=F("lease_until") - timedelta(seconds=30))
        assert second.claim() is None
        Consumer.objects.update(lease_until=F("lease_until") - timedelta(seconds=30))

        assert second.claim()

    def test_that_is_lost_moves_nothing(self, crm, monkeypatch):
        monkeypatch.setattr("django_enrollments.delivery.leases.RENEW_SECONDS", 0)
        enroll(3)

        def lose(message):
            Consumer.objects.update(lease_token="somebody else's")

        doing[crm] = lose

        deliver(crm)

        assert called[crm] == [1]
        row = the_consumer()
        assert (row.position, row.lease_token) == (0, "somebody else's")
