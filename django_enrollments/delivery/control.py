"""Functions for operators: the state of the feed, and changes of what is delivered."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Count, Min

from django_enrollments.conf import conf
from django_enrollments.core.transactions import write_alias
from django_enrollments.datetimes import as_moment, for_database, now
from django_enrollments.delivery.consumers import registered
from django_enrollments.delivery.database import short_transaction
from django_enrollments.delivery.passes import make_message, make_row
from django_enrollments.delivery.sequencer import last_position, sequence
from django_enrollments.identifiers import find_stored_course_id
from django_enrollments.models import Consumer, EnrollmentEvent, SetAside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from django_enrollments.delivery.messages import Message
    from django_enrollments.models.delivery import SetAsideQuerySet
    from django_enrollments.models.events import EnrollmentEventQuerySet

logger = logging.getLogger("django_enrollments.delivery")

#: Events per transaction of a replay.
BATCH = 1_000


def status() -> list[dict[str, Any]]:
    """
    Return the state of each consumer, for monitoring.

    Returns:
        A dictionary for JSON per consumer: ``name``; ``state``, also ``"new"`` before
        the first pass; ``position``; ``lag``, the number of events after it;
        ``oldest_age_seconds``, the age of the first event to come, 0 without any;
        ``retrying`` and ``dead``, numbers of events that are set aside;
        ``unsequenced``, the number of events without a position; ``last_error``.
    """
    using, at, last = write_alias(), now(), last_position()
    waiting = _events().filter(position__lt=1).order_by("position", "pk")
    unsequenced = waiting.count()
    newest = waiting.values_list("time", flat=True).first()
    rows = Consumer.objects.using(using).in_bulk([*conf.ENROLLMENTS_CONSUMERS])
    states = SetAside.objects.using(using).order_by().values_list("consumer", "state")
    numbers = {(name, state): n for name, state, n in states.annotate(Count("pk"))}
    found = []
    for name in conf.ENROLLMENTS_CONSUMERS:
        row = rows.get(name) or Consumer(name=name, position=last, state="new")
        ahead = _events().filter(position__gt=row.position).order_by("position")
        is_behind = last > row.position
        first = ahead.values_list("time", flat=True).first() if is_behind else newest
        age = (at - as_moment(first)).total_seconds() if first else 0
        found.append(
            {
                "name": name,
                "state": row.state,
                "position": row.position,
                "lag": max(last - row.position, 0),
                "oldest_age_seconds": max(round(age), 0),
                "retrying": numbers.get((name, SetAside.STATES.retrying), 0),
                "dead": numbers.get((name, SetAside.STATES.dead), 0),
                "unsequenced": unsequenced,
                "last_error": row.last_error,
            }
        )
    return found


def read(after: int = 0, limit: int = 100) -> list[Message]:
    """
    Return the messages after a position, for consumers that keep it themselves.

    Events without a position get theirs first.

    Args:
        after: The position of the last message that was handled.
        limit: The most messages.

    Raises:
        RuntimeError: A transaction is open.
    """
    sequence()
    events = _events().filter(position__gt=max(after, 0)).order_by("position")
    return [make_message(event, 0, personal=True) for event in events[:limit]]


def pause(name: str) -> None:
    """
    Stop delivering to a consumer until :func:`resume`.

    A worker that delivers to it notices within some seconds.

    Raises:
        ValueError: There is no such consumer.
    """
    with _locked(name) as consumer:
        _change(
            consumer, state=Consumer.STATES.paused, lease_token="", lease_until=None
        )


def resume(name: str) -> None:
    """
    Deliver to a consumer again that is paused or down.

    Raises:
        ValueError: There is no such consumer.
    """
    with _locked(name) as consumer:
        _change(
            consumer,
            state=Consumer.STATES.active,
            failures=0,
            set_aside_in_a_row=0,
            retry_at=None,
        )


def retry(name: str, position: int) -> None:
    """
    Try an event that is set aside at once, also one that is dead.

    Raises:
        ValueError: There is no such consumer, or its event is not set aside.
    """
    with _locked(name):
        row = _find_set_aside(name, position)
        if row.state == SetAside.STATES.dead:
            row.state, row.attempts = SetAside.STATES.waiting, 0
            row.save(using=write_alias())
        _try_at_once(name, {row.partition})


def discard(name: str, position: int, reason: str) -> None:
    """
    Give up an event that is set aside; those behind it go on. The reason is logged.

    Raises:
        ValueError: There is no such consumer, or its event is not set aside.
    """
    with _locked(name):
        row = _find_set_aside(name, position)
        _set_aside(name).filter(position=position).delete()
        _set_aside(name).start_next([row.partition], for_database(now()))
    # One line, so that it cannot look like several messages.
    reason = " ".join(reason.split())
    logger.warning("Event %d of consumer %s was discarded: %s", position, name, reason)


def replay(
    name: str,
    *,
    position: int | None = None,
    since: datetime | None = None,
    event_id: Any = None,
    course_id: object = None,
    advance: Callable[[int], object] = bool,
) -> int:
    """
    Deliver events to a consumer once more.

    Exactly one of the four arguments says which. The first two set the cursor back, and
    forget what was set aside from there on; the others set single events aside, to be
    delivered at once.

    Args:
        position: All events from this position on.
        since: All events from the first one at this datetime or later on.
        event_id: This event.
        course_id: The events of this course, a course or its id.
        advance: Is called with the number of events of each batch.

    Returns:
        The number of events that are delivered once more.

    Raises:
        ValueError: There is no such consumer or event, or not one argument.
    """
    given = [position, since, event_id, course_id]
    if sum(one is not None for one in given) != 1:
        raise ValueError("Give one of position, since, event_id and course_id.")
    events = _events()
    if event_id is not None:
        one = events.filter(event_id=UUID(str(event_id)))
        if not one.exists():
            raise ValueError(f"There is no event {event_id}.")
        return _set_aside_again(name, one, advance)
    if course_id is not None:
        own = events.filter(course_id=find_stored_course_id(course_id))
        return _set_aside_again(name, own, advance)
    if since is not None:
        at = for_database(as_moment(since))
        later = events.filter(position__gt=0, time__gte=at)
        position = later.aggregate(first=Min("position"))["first"]
    with _locked(name) as consumer:
        start = consumer.position if position is None else max(position, 1) - 1
        number = max(consumer.position - start, 0)
        if number:
            _set_aside(name).filter(position__gt=start).delete()
            _change(consumer, position=start, lease_token="", lease_until=None)
    return number


def _set_aside_again(
    name: str, events: EnrollmentEventQuerySet, advance: Callable[[int], object]
) -> int:
    last = total = 0
    while True:
        with _locked(name) as consumer:
            passed = events.filter(position__gt=last, position__lte=consumer.position)
            rows = [
                make_row(name, event) for event in passed.order_by("position")[:BATCH]
            ]
            positions = [row.position for row in rows]
            _set_aside(name).filter(position__in=positions).delete()
            _set_aside(name).bulk_create(rows)
            _try_at_once(name, {row.partition for row in rows})
        if not rows:
            return total
        last = positions[-1]
        total += len(rows)
        advance(len(rows))


def _try_at_once(name: str, partitions: set[str]) -> None:
    """Let the first event of each of some enrollments be due, and others wait."""
    rows = _set_aside(name).open().filter(partition__in=partitions)
    rows.update(state=SetAside.STATES.waiting)
    _set_aside(name).start_next(partitions, for_database(now()))


def _change(consumer: Consumer, **values: Any) -> None:
    """Write to a consumer; without its lease, a worker that has it stops."""
    rows = Consumer.objects.using(write_alias())
    rows.filter(pk=consumer.pk).update(**values)
    logger.info("Consumer %s: %s.", consumer.name, values)


@contextmanager
def _locked(name: str) -> Iterator[Consumer]:
    """
    Open a transaction in which no worker changes what is set aside for a consumer.

    A worker writes to the consumer first. Otherwise, one could let an event wait for
    another that is discarded at the same time, and none of them would be tried again.
    """
    registered(name)
    using = write_alias()
    with short_transaction(using):
        yield Consumer.objects.using(using).select_for_update().get(pk=name)


def _events() -> EnrollmentEventQuerySet:
    return EnrollmentEvent.objects.using(write_alias())


def _set_aside(name: str) -> SetAsideQuerySet:
    return SetAside.objects.using(write_alias()).filter(consumer=name)


def _find_set_aside(name: str, position: int) -> SetAside:
    row = _set_aside(name).filter(position=position).first()
    if row is None:
        raise ValueError(f"Event {position} of consumer {name!r} is not set aside.")
    return row
