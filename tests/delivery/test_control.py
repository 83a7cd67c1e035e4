"""What operators see and change: status, replays, and the command ``event_feed``."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import QuerySet

from django_enrollments.datetimes import for_database, now
from django_enrollments.delivery import (
    NotNow,
    Reject,
    deliver,
    replay,
    sequence,
    status,
)
from django_enrollments.models import (
    Consumer,
    EnrollmentEvent,
    FeedCounter,
    SetAside,
)
from tests.delivery.consumers import (
    called,
    declare,
    doing,
    enroll,
    failing_for,
    once,
    positions,
    raising,
    toggle,
)
from tests.factories import DAY, HOUR, course_id_of, make_course
from tests.http import count_statements

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Run ``event_feed``, and return its output."""
    out = StringIO()
    call_command("event_feed", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def make_older(position: int, age: timedelta):
    events = QuerySet(EnrollmentEvent).filter(position=position)
    events.update(time=for_database(now() - age))


class TestStatus:
    def test_of_a_consumer_that_has_everything(self, crm):
        enroll(2)
        deliver(crm)

        assert status() == [
            {
                "name": "crm",
                "state": "active",
                "position": 2,
                "lag": 0,
                "oldest_age_seconds": 0,
                "retrying": 0,
                "dead": 0,
                "unsequenced": 0,
                "last_error": "",
            }
        ]

    def test_counts_what_is_to_come(self, crm):
        course = make_course()
        enroll(5, course=course)
        deliver(crm, limit=2)
        enroll(3, "later", course=course)
        make_older(3, HOUR)

        (one,) = status()

        assert one["lag"] == 3 == FeedCounter.objects.get().last - one["position"]
        assert one["unsequenced"] == 3
        assert one["oldest_age_seconds"] == pytest.approx(3600, abs=30)

    def test_tells_the_age_of_events_without_a_position(self, crm):
        enroll(1)
        make_older(0, HOUR)

        (one,) = status()

        assert (one["lag"], one["unsequenced"]) == (0, 1)
        assert one["oldest_age_seconds"] == pytest.approx(3600, abs=30)

    def test_counts_what_is_set_aside(self, crm):
        enroll(3)
        doing[crm] = once(iter([Reject()]))
        deliver(crm, limit=1)
        doing[crm] = raising(KeyError("x"))
        deliver(crm, limit=1)

        (one,) = status()

        assert (one["retrying"], one["dead"], one["lag"]) == (1, 1, 1)

    def test_of_a_consumer_before_its_first_pass(self, settings):
        settings.ENROLLMENTS_CONSUMERS = declare("crm")
        enroll(1)
        sequence()

        (one,) = status()

        assert (one["state"], one["lag"]) == ("new", 0)
        assert not Consumer.objects.exists()

    def test_executes_few_statements(self, settings, crm):
        enroll(3)
        names = [f"crm-{number}" for number in range(10)]
        settings.ENROLLMENTS_CONSUMERS = declare(*names)
        for name in names:
            deliver(name)

        _, number = count_statements(status)
        assert number <= 6


class TestReplay:
    def test_from_a_position_on(self, crm):
        enroll(4)
        deliver(crm)

        assert replay(crm, position=3) == 2

        deliver(crm)
        assert positions(crm) == [1, 2, 3, 4, 3, 4]

    def test_from_a_time_on(self, crm):
        enroll(4)
        deliver(crm)
        for position in (1, 2):
            make_older(position, DAY)

        assert replay(crm, since=now() - HOUR) == 2

        deliver(crm)
        assert positions(crm) == [1, 2, 3, 4, 3, 4]

    @pytest.mark.parametrize("given", [{"position": 9}, {"position": 3}])
    def test_never_goes_forward(self, crm, given):
        enroll(2)
        deliver(crm)
        enroll(3, "later", course=make_course("later"))
        sequence()

        assert replay(crm, **given) == 0

        deliver(crm)
        assert positions(crm) == [1, 2, 3, 4, 5]

    def test_of_a_new_consumer_starts_in_the_past(self, settings):
        enroll(3)
        sequence()
        settings.ENROLLMENTS_CONSUMERS = declare("new")

        assert replay("new", position=0) == 3

        deliver("new")
        assert positions("new") == [1, 2, 3]

    @pytest.mark.parametrize("text", ["x\x00", "\ud800"])
    def test_of_a_course_that_cannot_be(self, crm, text):
        enroll(1)
        deliver(crm)

        assert replay(crm, course_id=text) == 0

    def test_takes_a_course(self, crm):
        course = make_course()
        enroll(2, course=course)
        deliver(crm)

        assert replay(crm, course_id=course) == 2

    def test_of_an_event_that_cannot_be(self, crm):
        with pytest.raises(ValueError, match="UUID"):
            replay(crm, event_id="a typing error")

    def test_since_a_time_without_a_zone(self, crm):
        enroll(2)
        deliver(crm)

        assert replay(crm, since=datetime(2020, 1, 1)) == 2  # noqa: DTZ001

    def test_of_one_event(self, crm):
        enroll(3)
        deliver(crm)
        event = EnrollmentEvent.objects.get(position=2)

        assert replay(crm, event_id=event.event_id) == 1

        deliver(crm)
        assert positions(crm) == [1, 2, 3, 2]
        assert not SetAside.objects.exists()

    def test_of_a_course_in_order_per_enrollment(self, crm):
        course = make_course()
        ada, _ = enroll(2, course=course)
        enroll(1, "other", course=make_course("other"))
        toggle(ada, course, 2)
        deliver(crm)

        assert replay(crm, course_id=course_id_of(course)) == 4

        toggle(ada, course)
        deliver(crm)
        again = positions(crm)[5:]
        assert sorted(again) == [1, 2, 4, 5, 6]
        assert [one for one in again if one != 2] == [1, 4, 5, 6]
        assert not SetAside.objects.exists()

    def test_of_one_event_comes_before_later_ones_that_are_set_aside(self, crm):
        course = make_course()
        (ada,) = enroll(1, course=course)
        toggle(ada, course, 2)
        doing[crm] = once(iter([None, *[KeyError()] * 3]))
        deliver(crm)
        first = EnrollmentEvent.objects.get(position=1)

        replay(crm, event_id=first.event_id)

        states = SetAside.objects.values_list("position", "state")
        assert [*states] == [(1, "retrying"), (2, "waiting"), (3, "waiting")]
        deliver(crm)
        assert positions(crm) == [1, 1, 2, 3]

    def test_takes_dead_events_too(self, crm):
        enroll(1)
        doing[crm] = once(iter([Reject(), Reject()]))
        deliver(crm)
        replay(crm, event_id=EnrollmentEvent.objects.get().event_id)
        deliver(crm)
        replay(crm, position=1)

        deliver(crm)

        assert positions(crm) == [1]
        assert not SetAside.objects.exists()

    def test_over_events_that_are_set_aside_keeps_the_order(self, crm):
        course = make_course()
        (ada,) = enroll(1, course=course)
        toggle(ada, course, 3)
        doing[crm] = once(iter([None, *[KeyError()] * 3]))
        deliver(crm)
        assert [*SetAside.objects.values_list("position", flat=True)] == [2, 3, 4]

        replay(crm, position=1)
        deliver(crm)

        assert positions(crm) == [1, 1, 2, 3, 4]
        assert not SetAside.objects.exists()

    @pytest.mark.parametrize("given", [{}, {"position": 1, "course_id": "a"}])
    def test_raises_unless_it_has_one_argument(self, crm, given):
        with pytest.raises(ValueError, match="Give one of"):
            replay(crm, **given)

    def test_raises_for_an_unknown_event(self, crm):
        with pytest.raises(ValueError, match="no event"):
            replay(crm, event_id="0" * 32)


class TestEventFeed:
    def test_status_is_for_people_or_programs(self, crm):
        enroll(1)
        deliver(crm)

        assert run("status") == (
            "crm: active, position 1, lag 0, oldest 0 s, 0 retrying, 0 dead\n"
        )
        assert json.loads(run("status", "--json")) == status()

    @pytest.mark.parametrize("error", [NotNow(), Reject()])
    def test_status_fails_if_something_is_down_or_dead(self, crm, error):
        enroll(1)
        doing[crm] = once(iter([error]))
        deliver(crm)

        with pytest.raises(CommandError, match="crm"):
            run("status")

    def test_status_lists_the_events_that_failed(self, crm, capsys):
        course = make_course()
        ada, _ = enroll(2, course=course)
        toggle(ada, course)
        doing[crm] = once(iter([*[KeyError("seat")] * 3, Reject("no such course")]))
        deliver(crm)

        with pytest.raises(CommandError, match="crm"):
            call_command("event_feed", "status")

        # The third event waits behind the first.
        assert capsys.readouterr().out == (
            "crm: active, position 3, lag 0, oldest 0 s, 1 retrying, 1 dead\n"
            "    event 1 is retrying: KeyError: 'seat'\n"
            "    event 2 is dead: Reject: no such course\n"
        )

    def test_retries_a_dead_event(self, crm):
        enroll(1)
        doing[crm] = once(iter([Reject()]))
        deliver(crm)

        run("retry", crm, "1")
        deliver(crm)

        assert positions(crm) == [1]
        assert not SetAside.objects.exists()

    def test_retries_the_events_before_one_that_waits(self, crm):
        course = make_course()
        (ada,) = enroll(1, course=course)
        toggle(ada, course)
        doing[crm] = once(iter([KeyError()] * 3))
        deliver(crm)

        run("retry", crm, "2")
        deliver(crm)

        assert positions(crm) == [1, 2]

    def test_status_fails_if_an_event_waits_too_long(self, crm):
        enroll(1)
        make_older(0, timedelta(seconds=100))

        run("status")
        with pytest.raises(CommandError, match="crm"):
            run("status", "--max-age", "60")

    def test_replays(self, crm):
        course = make_course()
        enroll(3, course=course)
        deliver(crm)
        event = EnrollmentEvent.objects.get(position=2)

        assert run("replay", crm, "--position", "2").startswith("2 events")
        deliver(crm)
        assert run("replay", crm, "--since", "2020-01-01").startswith("3 events")
        deliver(crm)
        one = run("replay", crm, "--event", str(event.event_id))
        assert one.startswith("1 event is")
        run("replay", crm, "--course", course_id_of(course))
        deliver(crm)

        assert len(called[crm]) == 3 + 2 + 3 + 3

    def test_pauses_resumes_and_discards(self, crm, caplog):
        caplog.set_level("INFO")
        (ada,) = enroll(1)
        doing[crm] = failing_for(ada, KeyError())
        deliver(crm)
        run("pause", crm)
        assert Consumer.objects.get().state == "paused"

        run("resume", crm)
        run("discard", crm, "1", "--reason", "a mistake")

        assert Consumer.objects.get().state == "active"
        assert not SetAside.objects.exists()
        assert "a mistake" in caplog.text

    @pytest.mark.django_db(transaction=True)
    def test_works_without_autocommit_of_the_host(self, crm, monkeypatch):
        # As in a process that begins.
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)

        call_command("event_feed", "pause", crm)

        connection.close()
        monkeypatch.undo()
        assert status()[0]["state"] == "paused"

    def test_adopts(self, crm):
        course = make_course()
        ada, _ = enroll(2, course=course)
        QuerySet(EnrollmentEvent).update(position=None)
        toggle(ada, course)
        sequence()

        assert run("adopt").startswith("1 event is part of the feed now; 1 was left")

    @pytest.mark.parametrize(
        "arguments",
        [
            ("pause", "nobody"),
            ("retry", "crm", "7"),
            ("discard", "crm", "7", "--reason", "x"),
            ("replay", "crm"),
            ("replay", "crm", "--since", "yesterday"),
            ("replay", "crm", "--since", "2026-13-01"),
            ("dance",),
        ],
    )
    def test_fails_with_a_reason(self, crm, arguments):
        with pytest.raises(CommandError):
            run(*arguments)
