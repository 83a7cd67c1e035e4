"""
One pass over what is due for one consumer.

The cursor of the consumer goes over the feed in batches. An event that fails is set
aside, with the later events of its enrollment behind it, so that it delays no other
events (D-13). If the consumer as a whole fails, the pass ends and the cursor stays
(D-12).
"""

from __future__ import annotations

import logging
import math
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import takewhile
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections

from django_enrollments.core.transactions import is_in_transaction, write_alias
from django_enrollments.datetimes import for_database, now
from django_enrollments.delivery.consumers import Declared, load_consumer, registered
from django_enrollments.delivery.database import (
    autocommit,
    disconnecting,
    short_transaction,
)
from django_enrollments.delivery.leases import Lease, LeaseLost
from django_enrollments.delivery.messages import Gone, Message, NotNow, Reject
from django_enrollments.delivery.sequencer import last_position, sequence_all
from django_enrollments.models import Consumer, EnrollmentEvent, SetAside
from django_enrollments.models.delivery import MAX_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

logger = logging.getLogger("django_enrollments.delivery")

#: Events per batch.
BATCH = 100

#: Attempts before an event is set aside, and retries before it is dead.
TRIES, RETRIES = 3, 10

#: So many events set aside in a row mean that the consumer is at fault (D-14).
SET_ASIDE_IN_A_ROW = 10

#: Seconds before the attempts of a consumer that is down; the last one is repeated.
BACK_OFF = (5, 30, 120, 600, 1_800, 3_600)

#: Seconds before the retries of an event, about three days altogether.
EVENT_BACK_OFF = (*BACK_OFF, 4 * 3_600, 12 * 3_600, 24 * 3_600, 30 * 3_600)

#: The longest ``retry_after`` that is obeyed, in seconds.
LONGEST_RETRY_AFTER = 86_400


class Delivered(NamedTuple):
    """
    What a pass has done.

    Attributes:
        delivered: Events that the consumer has taken.
        failed: Events that failed, retried ones included.
        set_aside: Events that were set aside, with those that wait behind them.
        lag: Events of the feed that are still to come.
    """

    delivered: int = 0
    failed: int = 0
    set_aside: int = 0
    lag: int = 0


class FilterFailed(Exception):  # noqa: N818 - a failure of the event (D-15).
    """The filter of a consumer raised an exception."""


class TransactionLeftOpen(Exception):  # noqa: N818 - a failure of the event.
    """A consumer has begun a transaction and not ended it; it is rolled back."""


class Trouble(NamedTuple):
    """A failure of the consumer as a whole: its new state, and the reason."""

    state: str
    error: str
    retry_after: float | None = None


def deliver(name: str, limit: int = 1000) -> Delivered:
    """
    Deliver what is due to a consumer, unless another worker is at it.

    Events without a position get theirs first.

    Args:
        limit: The most events of the feed, and about the most retries.

    Raises:
        ValueError: There is no such consumer.
        ImproperlyConfigured: Its backend or filter cannot be imported.
        RuntimeError: A transaction is open.
    """
    consumer = load_consumer(name)
    registered(name)
    sequence_all()
    return Pass(consumer, lambda: False).run(limit)


def back_off(delays: Sequence[float], failures: int) -> datetime:
    """Return the time of the next attempt after so many failures (±20 %)."""
    seconds = delays[min(failures, len(delays)) - 1]
    seconds *= random.uniform(0.8, 1.2)  # noqa: S311 - not a secret.
    return for_database(now() + timedelta(seconds=seconds))


def describe(error: BaseException) -> str:
    """Return an error as a text that can be stored."""
    try:
        text = f"{type(error).__name__}: {error}".replace("\x00", "")
    except Exception:  # noqa: BLE001 - whatever exceptions of hosts raise.
        text = type(error).__name__
    return text.encode(errors="replace").decode()[:MAX_ERROR]


def _seconds(value: object) -> float | None:
    """Return the seconds to wait; ``None``, the usual back-off, if it is no number."""
    if not isinstance(value, int | float):
        return None
    seconds = min(max(value, 0), LONGEST_RETRY_AFTER)
    return None if math.isnan(seconds) else seconds


def make_message(event: EnrollmentEvent, attempt: int, *, personal: bool) -> Message:
    """Return the message of an event that has a position."""
    record = event.as_record()
    if not personal:
        record = replace(record, username="", reason="")
    return Message(event.position or 0, attempt, record)


class Pass:
    """
    One pass of one worker for one consumer.

    Args:
        consumer: The consumer, which is registered.
        is_stopped: Returns whether the pass ends before the next delivery.
    """

    def __init__(self, consumer: Declared, is_stopped: Callable[[], bool]) -> None:
        self._consumer, self._is_stopped = consumer, is_stopped
        self._events = EnrollmentEvent.objects.using(write_alias())
        self._asides = SetAside.objects.using(write_alias()).filter(
            consumer=consumer.name
        )
        self._lease = Lease(consumer.name, consumer.token)
        self._lock = Lock()
        self._row = registered(consumer.name)
        self._in_a_row = self._delivered = self._failed = self._moved_aside = 0
        self._has_success = False
        #: The failure of the consumer that has ended the pass.
        self.trouble: Trouble | None = None
        #: Events that the cursor has passed, and those that were retried.
        self.handled = 0

    def run(self, limit: int) -> Delivered:
        """Claim the lease, deliver what is due, and release the lease."""
        if self._is_due() and (row := self._lease.claim()):
            self._row, self._in_a_row = row, row.set_aside_in_a_row
            try:
                while self._go_forward(min(limit - self.handled, BATCH)):
                    pass
                end = self.handled + limit
                while self.handled < end and self._may_go_on() and self._retry():
                    pass
            except LeaseLost:
                logger.info("The lease of %s has ended.", self._consumer.name)
            finally:
                self._lease.release()
        lag = max(last_position() - self._row.position, 0)
        return Delivered(self._delivered, self._failed, self._moved_aside, lag)

    def _is_due(self) -> bool:
        """Return whether there may be something to deliver, without writing."""
        row, at = self._row, for_database(now())
        if row.state == Consumer.STATES.paused:
            return False
        if row.state == Consumer.STATES.down and row.retry_at and row.retry_at > at:
            return False
        return row.position < last_position() or self._due(at).exists()

    def _due(self, at: datetime) -> QuerySet[SetAside]:
        return self._asides.filter(state=SetAside.STATES.retrying, retry_at__lte=at)

    def _may_go_on(self) -> bool:
        return self.trouble is None and not self._is_stopped()

    def _go_forward(self, size: int) -> bool:
        """Deliver the next batch; return whether there may be another one."""
        if size <= 0 or not self._may_go_on():
            return False
        ahead = self._events.filter(position__gt=self._row.position)
        messages = self._messages(ahead.order_by("position")[:size], {})
        if not messages:
            return False
        partitions = {message.partition for message in messages}
        positions = [message.position for message in messages]
        blocked = self._asides.open().filter(partition__in=partitions)
        held = set(blocked.values_list("partition", flat=True))
        # Since a replay, events may come that are set aside.
        again = self._asides.filter(position__in=positions)
        is_again = again.exists()
        outcomes = self._call_consumer(messages, {}, held)
        if not (outcomes or self.trouble):
            # It was stopped before the first call, which tells nothing.
            return False
        reached = [*takewhile(outcomes.__contains__, positions)]
        rows = [row for position in reached if (row := outcomes[position])]
        with short_transaction(self._events.db):
            self._save(reached[-1] if reached else self._row.position)
            if is_again:
                again.filter(position__in=reached).delete()
            if rows:
                SetAside.objects.using(self._events.db).bulk_create(rows)
            if rows or is_again:
                # What they wait for may have been discarded meanwhile.
                self._asides.start_next(partitions, for_database(now()))
        self.handled += len(reached)
        self._moved_aside += len(rows)
        self._report(rows)
        return True

    def _retry(self) -> bool:
        """Deliver events that are set aside; return whether any was due."""
        at = for_database(now())
        due = self._due(at).order_by("retry_at").values_list("partition", flat=True)
        partitions = set(due[:BATCH])
        if partitions and self._in_a_row >= SET_ASIDE_IN_A_ROW:
            # Any of them, because the pass ends if it fails, and others may not.
            partitions = {random.choice([*partitions])}  # noqa: S311 - not a secret.
        chains = self._asides.open().filter(partition__in=partitions)
        rows = {row.position: row for row in chains.order_by("position")[:BATCH]}
        if not rows:
            return False
        events = self._events.filter(position__in=[*rows]).order_by("position")
        messages = self._messages(events, rows)
        outcomes = self._call_consumer(messages, rows, set())
        if messages and not (outcomes or self.trouble):
            return False
        # Those that wait stay as they are; an event that was deleted is forgotten.
        waiting = SetAside.STATES.waiting
        failed = [row for row in outcomes.values() if row and row.state != waiting]
        done = {position for position, row in outcomes.items() if row is None}
        done |= rows.keys() - {message.position for message in messages}
        with short_transaction(self._events.db):
            self._save(self._row.position)
            self._asides.filter(position__in=done).delete()
            for row in failed:
                # Not save(), which inserts again what was discarded meanwhile.
                names = "state", "attempts", "retry_at", "error"
                values = {name: getattr(row, name) for name in names}
                self._asides.filter(pk=row.pk).update(**values)
                # After a replay, later ones may have been tried already.
                behind = self._asides.open().filter(partition=row.partition)
                behind.filter(position__gt=row.position).update(state=waiting)
            self._asides.start_next(partitions, at)
        self.handled += len(rows)
        self._report(failed)
        return True

    def _messages(
        self, events: Iterable[EnrollmentEvent], rows: Mapping[int, SetAside]
    ) -> list[Message]:
        messages = []
        for event in events:
            row = rows.get(event.position or 0)
            attempt = row.attempts + 1 if row else 1
            personal = self._consumer.personal
            messages.append(make_message(event, attempt, personal=personal))
        return messages

    def _call_consumer(
        self,
        messages: Sequence[Message],
        rows: Mapping[int, SetAside],
        held: Iterable[str],
    ) -> dict[int, SetAside | None]:
        """
        Deliver messages, those of one enrollment in order.

        Args:
            rows: By position, the rows of events that are set aside already.
            held: The enrollments whose events wait behind one that is set aside.

        Returns:
            By position, ``None`` for what is done, and the row, not saved, for what
            failed or waits. Those that are missing were not tried.
        """
        number = self._consumer.concurrency
        lane_of: dict[str, int] = {}
        lanes: dict[int, list[Message]] = defaultdict(list)
        for message in messages:
            lane = lane_of.setdefault(message.partition, len(lane_of) % number)
            lanes[lane].append(message)
        outcomes: dict[int, SetAside | None] = {}
        run = partial(self._deliver_lane, rows=rows, held=held, outcomes=outcomes)
        if len(lanes) <= 1:
            run(messages)
            return outcomes
        with ThreadPoolExecutor(number) as threads:
            tasks = [
                partial(disconnecting, partial(run, one)) for one in lanes.values()
            ]
            for end in [threads.submit(task) for task in tasks]:
                end.result()
        return outcomes

    def _deliver_lane(
        self,
        messages: Sequence[Message],
        rows: Mapping[int, SetAside],
        held: Iterable[str],
        outcomes: dict[int, SetAside | None],
    ) -> None:
        held, types = set(held), self._consumer.types
        for message in messages:
            if types is not None and message.event.type not in types:
                outcomes[message.position] = None
                continue
            row = rows.get(message.position) or SetAside(
                consumer_id=self._consumer.name,
                position=message.position,
                partition=message.partition,
            )
            row.state = SetAside.STATES.waiting
            if message.partition not in held:
                done = self._attempt(message, row, is_new=not rows)
                if done is None:
                    return
                if done:
                    outcomes[message.position] = None
                    continue
                if row.state != SetAside.STATES.dead:
                    held.add(message.partition)
            outcomes[message.position] = row

    def _attempt(self, message: Message, row: SetAside, *, is_new: bool) -> bool | None:
        """Return whether a message is done, its row says how; ``None`` at the end."""
        error, is_dead = "", False
        for _ in range(TRIES if is_new else 1):
            if not self._may_go_on():
                return None
            self._lease.keep()
            if self._consumer.personal:
                message = self._without_erased(message)
            try:
                if self._is_wanted(message):
                    self._deliver(message)
                    with self._lock:
                        self._delivered += 1
                        self._in_a_row, self._has_success = 0, True
                return True
            except (NotNow, ConnectionError, TimeoutError) as failure:
                after = _seconds(getattr(failure, "retry_after", None))
                down = Consumer.STATES.down
                self.trouble = Trouble(down, describe(failure), after)
                return None
            except Gone as failure:
                self.trouble = Trouble(Consumer.STATES.paused, describe(failure))
                return None
            except KeyboardInterrupt:
                raise
            except BaseException as failure:  # noqa: BLE001 - whatever hosts raise.
                error, is_dead = describe(failure), isinstance(failure, Reject)
            row.attempts += 1
            message = replace(message, attempt=message.attempt + 1)
            if is_dead:
                break
        with self._lock:
            self._failed += 1
            is_one_too_many = self._in_a_row >= SET_ASIDE_IN_A_ROW
            # The first failure in a replay, too.
            is_first = is_new or row.attempts == 1
            self._in_a_row += is_first and not is_one_too_many
            if self._in_a_row >= SET_ASIDE_IN_A_ROW:
                self.trouble = Trouble(Consumer.STATES.down, error)
        if is_one_too_many:
            return None
        row.error, row.state, row.retry_at = error, SetAside.STATES.dead, None
        if not is_dead and row.attempts < TRIES + RETRIES:
            retries = max(row.attempts - TRIES, 0)
            row.state = SetAside.STATES.retrying
            row.retry_at = back_off(EVENT_BACK_OFF, retries + 1)
        return False

    def _is_wanted(self, message: Message) -> bool:
        try:
            return self._consumer.wants(message)
        except Exception as error:
            raise FilterFailed(describe(error)) from error

    def _deliver(self, message: Message) -> None:
        """Call the backend, and close a transaction that it leaves open."""
        connection = connections[self._events.db]
        was_open, is_left_open = is_in_transaction(connection), False
        try:
            self._consumer.backend.deliver(message)
        finally:
            if not was_open and is_in_transaction(connection):
                is_left_open = True
                connection.close()
                # With a new one, what is left of the old one has no effect.
                del connections[self._events.db]
                autocommit()
        if is_left_open:
            raise TransactionLeftOpen

    def _without_erased(self, message: Message) -> Message:
        """Return a message without personal data that were erased since it was read."""
        rows = self._events.filter(position=message.position)
        row = rows.values("username", "reason").first() or {
            "username": "",
            "reason": "",
        }
        return replace(message, event=replace(message.event, **row))

    def _save(self, position: int) -> None:
        """
        Write the state of the consumer, in a transaction, and renew the lease.

        Raises:
            LeaseLost: It belongs to somebody else.
        """
        row, trouble, before = self._row, self.trouble, self._row.state
        if position != row.position or self._has_success:
            row.progressed_at = for_database(now())
        if self._has_success or trouble is None:
            row.failures = 0
        row.state, row.last_error, row.retry_at = Consumer.STATES.active, "", None
        if trouble is not None:
            row.failures += 1
            row.state, row.last_error = trouble.state, trouble.error
            row.retry_at = back_off(BACK_OFF, row.failures)
            if trouble.retry_after is not None:
                wait = timedelta(seconds=trouble.retry_after)
                row.retry_at = for_database(now() + wait)
        row.set_aside_in_a_row = self._in_a_row
        self._has_success = False
        names = "state", "last_error", "failures", "retry_at", "progressed_at"
        self._lease.save(
            position=position,
            set_aside_in_a_row=row.set_aside_in_a_row,
            **{name: getattr(row, name) for name in names},
        )
        row.position = position
        if row.state != before:
            # The rest of the text may be about a person.
            reason = row.last_error.partition(":")[0] or "it takes messages"
            level = logging.WARNING if trouble else logging.INFO
            logger.log(level, "Consumer %s is %s: %s.", row.name, row.state, reason)

    def _report(self, rows: Iterable[SetAside]) -> None:
        """Log the events that are dead (D-13), or have failed three times."""
        for row in rows:
            kind = row.error.partition(":")[0]
            if row.state == SetAside.STATES.dead:
                logger.error(
                    "Event %d is dead for consumer %s: %s.",
                    row.position,
                    row.consumer_id,
                    kind,
                )
            elif row.attempts == TRIES:
                logger.warning(
                    "Event %d failed for consumer %s and is tried again later: %s.",
                    row.position,
                    row.consumer_id,
                    kind,
                )
