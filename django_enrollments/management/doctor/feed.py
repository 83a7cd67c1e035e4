"""Whether consumers of the feed get their events, and positions have no holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Max, Min

from django_enrollments import delivery
from django_enrollments.conf import conf
from django_enrollments.core.transactions import write_alias
from django_enrollments.management.doctor.findings import Finding, in_batches
from django_enrollments.management.words import counted
from django_enrollments.models import Consumer, EnrollmentEvent, FeedCounter

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The time that an event may wait.
LONGEST_WAIT_SECONDS = 300


def check_feed() -> Iterator[Finding]:
    """Yield consumers that are stuck, events that are dead, and holes in the feed."""
    for one in delivery.status():
        subject = f"consumer {one['name']}"
        error = f" Last error: {one['last_error']}" if one["last_error"] else ""
        behind = counted(one["lag"], "event")
        if one["state"] == Consumer.STATES.down:
            text = f"It is down, {behind} behind.{error}"
            yield Finding("consumer_down", "error", subject, text)
        elif one["state"] == Consumer.STATES.paused:
            text = f"It is paused, {behind} behind.{error}"
            yield Finding("consumer_paused", "warning", subject, text)
        elif one["oldest_age_seconds"] > LONGEST_WAIT_SECONDS:
            text = f"Its oldest event waits for {one['oldest_age_seconds']} seconds. "
            text += "Check that enrollments_work runs."
            yield Finding("consumer_stuck", "error", subject, text + error)
        if one["dead"]:
            events = counted(one["dead"], "event was", "events were")
            text = f"{events} given up; use event_feed retry or discard."
            yield Finding("dead_events", "warning", subject, text)
    known = [*conf.ENROLLMENTS_CONSUMERS]
    unknown = Consumer.objects.using(write_alias()).exclude(pk__in=known)
    for name in unknown.values_list("pk", flat=True):
        text = "The setting ENROLLMENTS_CONSUMERS does not have it."
        yield Finding("unknown_consumer", "note", f"consumer {name}", text)
    yield from _find_holes()


def _find_holes() -> Iterator[Finding]:
    """
    Yield the positions that no event has, or several have.

    The counter is read first: positions up to it are committed together with it.
    """
    using = write_alias()
    counter = FeedCounter.objects.using(using).first()
    last = counter.last if counter else 0
    events = EnrollmentEvent.objects.using(using).filter(position__gt=0)
    found = events.order_by().aggregate(first=Min("position"), last=Max("position"))
    if (found["last"] or 0) > last:
        newer = FeedCounter.objects.using(using).first()
        if newer is None or newer.last < found["last"]:
            text = f"Events have positions up to {found['last']}, the counter {last}."
            yield Finding("feed_counter", "error", "feed", text)
    events = events.filter(position__lte=last)
    if (
        events.aggregate(n=Count("position", distinct=True))["n"]
        == last
        == (events.count())
    ):
        return
    before = 0
    rows = events.order_by().values("position").annotate(number=Count("pk"))
    for batch in in_batches(rows, "position"):
        for row in batch:
            if row["position"] > before + 1:
                yield _hole(before + 1, row["position"] - 1)
            if row["number"] > 1:
                text = f"{row['number']} events have it."
                subject = f"position {row['position']}"
                yield Finding("position_twice", "error", subject, text)
            before = row["position"]
    if before < last:
        yield _hole(before + 1, last)


def _hole(first: int, last: int) -> Finding:
    subject = f"position {first}" if first == last else f"positions {first} to {last}"
    text = "No event has it: an event was deleted, or restored without its position."
    return Finding("position_hole", "error", subject, text)
