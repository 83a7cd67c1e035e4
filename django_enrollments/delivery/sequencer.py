"""
Gives events their positions in the feed.

Note [Chosen because they have no position]: keys are drawn before the commit, so they
become visible out of order, and reading "above the last key" loses events. Here events
are chosen because they have no position yet, so none is left out, whenever it becomes
visible. Positions are given under one lock and committed together, so they have no
hole, and "above the last position" is exact. Of one enrollment, a later event is
written only after the earlier one was committed, so keys have the order of its changes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.db.models import Exists, Max, OuterRef

from django_enrollments.core.transactions import write_alias
from django_enrollments.datetimes import for_database
from django_enrollments.delivery.database import short_transaction
from django_enrollments.models import EnrollmentEvent, FeedCounter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: Events per transaction.
BATCH = 500


def sequence(limit: int = BATCH) -> int:
    """
    Give positions to the events that wait for one, in one short transaction.

    Events that somebody is erasing at the moment are left for the next call, together
    with the later events of their enrollments; nothing waits for them.

    Args:
        limit: The most events.

    Returns:
        The number of events that got a position.

    Raises:
        RuntimeError: A transaction is open.
    """
    using = write_alias()
    events = EnrollmentEvent.objects.using(using)
    # Only the index on (position, id) has this order, so every planner uses it.
    waiting = events.filter(position__lt=1).order_by("position", "pk")
    if not waiting.values_list("pk")[:1]:
        return 0
    with _locked_counter(using) as counter:
        found = list(waiting.values_list("pk", "user_id", "course_id")[:limit])
        free = {key for key, _, _ in found}
        if connections[using].vendor != "sqlite":
            rows = events.filter(pk__in=free).order_by()
            rows = rows.select_for_update(skip_locked=True)
            free = set(rows.values_list("pk", flat=True))
        chosen: list[int] = []
        held: set[tuple[object, str]] = set()
        for key, user_id, course_id in found:
            if key not in free or (user_id, course_id) in held:
                held.add((user_id, course_id))
            else:
                chosen.append(key)
        if not chosen:
            return 0
        last = counter.last + len(chosen)
        moved = FeedCounter.objects.using(using).filter(last=counter.last)
        done = events.give_positions(chosen, after=counter.last)
        if (done, moved.update(last=last)) != (len(chosen), 1):
            transaction.set_rollback(True, using=using)
            return 0
    return len(chosen)


def sequence_all() -> int:
    """Give positions to all events that wait for one; return their number."""
    total = 0
    while done := sequence():
        total += done
    return total


def last_position() -> int:
    """Return the last position that was given, 0 without any."""
    counter = FeedCounter.objects.using(write_alias()).first()
    return counter.last if counter else 0


def adopt(since: datetime | None = None) -> Iterator[tuple[int, int]]:
    """
    Bring events from before the feed existed into it, in batches.

    An event is left out if the feed already has a later one of its enrollment, because
    consumers would get them in the wrong order.

    Args:
        since: Aware datetime of the first event; ``None`` for all.

    Yields:
        Of each batch, the numbers of events that were brought in and left out.
    """
    using = write_alias()
    old = EnrollmentEvent.objects.using(using).filter(position=None)
    if since is not None:
        old = old.filter(time__gte=for_database(since))
    later = EnrollmentEvent.objects.filter(
        user_id=OuterRef("user_id"),
        course_id=OuterRef("course_id"),
        pk__gt=OuterRef("pk"),
        position__gt=0,
    )
    last = 0
    while True:
        # The lock of the counter excludes other sequencers.
        with _locked_counter(using):
            batch = old.filter(pk__gt=last).order_by("pk").annotate(late=Exists(later))
            found = list(batch.values_list("pk", "late")[:BATCH])
            keys = [key for key, late in found if not late]
            adopted = old.adopt(keys)
        if not found:
            return
        last = found[-1][0]
        yield adopted, len(found) - adopted


@contextmanager
def _locked_counter(using: str) -> Iterator[FeedCounter]:
    """Open a transaction of its own, and lock the counter first."""
    counters = FeedCounter.objects.using(using)
    if not counters.exists():
        given = EnrollmentEvent.objects.using(using).aggregate(last=Max("position"))
        last = {"last": given["last"] or 0}
        counters.get_or_create(pk=FeedCounter.ONLY, defaults=last)
    with short_transaction(using):
        yield counters.select_for_update().get()
