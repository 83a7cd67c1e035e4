"""
One pass over what is due for one consumer.

The cursor of the consumer goes over the feed in batches. An event that fails is set
aside, with the later events of its enrollment behind it, so that it delays nobody else
(D-13). If the consumer as a whole fails, the pass ends and the cursor stays (D-12).
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections
from django.db.models import Q

from django_enrollments.core.transactions import write_alias
from django_enrollments.datetimes import for_database, now
from django_enrollments.delivery.consumers import Declared, load_consumer, registered
from django_enrollments.delivery.database import short_transaction
from django_enrollments.delivery.leases import Lease, LeaseLost
from django_enrollments.delivery.messages import Gone, Message, NotNow, Reject
from django_enrollments.delivery.sequencer import last_position, sequence_all
from django_enrollments.models import Consumer, EnrollmentEvent, SetAside
from django_enrollments.models.delivery import MAX_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
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
        failed: Events that failed, those that were retried included.
        set_aside: Events that were set aside, with those that wait behind them.
        lag: Events of the feed that are still to come.
    """

    delivered: int = 0
    failed: int = 0
    set_aside: int = 0
    lag: int = 0


@dataclass(frozen=True)
class _Outcome:
    """
    What became of one message.

    Attributes:
        error: The failure, ``""`` for none.
        attempts: The number of failed attempts.
        is_dead: Whether it is not to be tried again.
        waits: Whether it was not tried, because an earlier one of its enrollment is
            set aside.
    """

    error: str = ""
    attempts: int = 0
    is_dead: bool = False
    waits: bool = False


#: The consumer has taken a message, or does not want it.
_DONE = _Outcome()
_WAITING = _Outcome(waits=True)


@dataclass(frozen=True)
class _Trouble:
    """A failure of the consumer as a whole, which ends the pass."""

    state: str
    error: str
    retry_after: float | None = None


def never() -> bool:
    """Return ``False``: the pass is not to be stopped."""
    return False


def deliver(name: str, limit: int = 1000) -> Delivered:
    """
    Deliver what is due to a consumer, unless another worker is at it.

    Events without a position get theirs first.

    Args:
        limit: The most events of the feed; retries come in addition.

    Raises:
        ValueError: There is no such consumer.
        ImproperlyConfigured: Its backend or filter cannot be imported.
        RuntimeError: A transaction is open.
    """
    consumer = load_consumer(name)
    registered(name)
    sequence_all()
    return Pass(consumer, never).run(limit)


def back_off(delays: Sequence[int], failures: int) -> timedelta:
    """Return the time before the next attempt after so many failures, ±20 %."""
    seconds = delays[min(failures, len(delays)) - 1]
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311 - not a secret.


def describe(error: Exception) -> str:
    """Return an error as a text that can be stored."""
    text = f"{type(error).__name__}: {error}".replace("\x00", "")
    return text.encode(errors="replace").decode()[:MAX_ERROR]


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
        consumer: The consumer, which has been registered.
        is_stopped: Returns whether the pass is to end before the next delivery.
    """

    def __init__(self, consumer: Declared, is_stopped: Callable[[], bool]) -> None:
        self._consumer = consumer
        self._is_stopped = is_stopped
        self._using = write_alias()
        self._lease = Lease(consumer.name)
        self._set_aside = SetAside.objects.using(self._using).filter(
            consumer=consumer.name
        )
        self._lock = Lock()
        self.trouble: _Trouble | None = None
        # Set by run().
        self._row = Consumer()
        self._in_a_row = 0
        self._has_success = False
        self._delivered = self._failed = self._moved_aside = 0
        #: Events that the cursor has passed.
        self.handled = 0

    def run(self, limit: int) -> Delivered:
        """Claim the lease, deliver what is due, and give the lease back."""
        row = self._lease.claim() if self._is_due() else None
        if row is not None:
            self._row, self._in_a_row = row, row.set_aside_in_a_row
            try:
                self._go_forward(limit)
                while self._may_go_on() and self._retry():
                    pass
            except LeaseLost:
                logger.info("Another worker delivers to %s now.", self._consumer.name)
            finally:
                self._lease.release()
        position = registered(self._consumer.name).position
        lag = max(last_position() - position, 0)
        return Delivered(self._delivered, self._failed, self._moved_aside, lag)

    def _is_due(self) -> bool:
        """Return whether there may be something to deliver, without writing."""
        row, at = registered(self._consumer.name), for_database(now())
        if row.state == Consumer.STATES.paused:
            return False
        if row.state == Consumer.STATES.down and (row.retry_at or at) > at:
            return False
        return row.position < last_position() or self._due(at).exists()

    def _due(self, at: datetime) -> QuerySet[SetAside]:
        return self._set_aside.filter(state=SetAside.STATES.retrying, retry_at__lte=at)

    def _may_go_on(self) -> bool:
        return self.trouble is None and not self._is_stopped()

    def _go_forward(self, limit: int) -> None:
        """Deliver the events behind the cursor."""
        while limit > 0 and self._may_go_on():
            feed = EnrollmentEvent.objects.using(self._using)
            ahead = feed.filter(position__gt=self._row.position).order_by("position")
            messages = self._messages(ahead[: min(limit, BATCH)])
            if not messages:
                return
            self._deliver_batch(messages)
            limit -= len(messages)

    def _messages(
        self, events: Iterable[EnrollmentEvent], attempts: dict[int, int] | None = None
    ) -> list[Message]:
        personal, before = self._consumer.personal, attempts or {}
        return [
            make_message(
                event, before.get(event.position or 0, 0) + 1, personal=personal
            )
            for event in events
        ]

    def _deliver_batch(self, messages: Sequence[Message]) -> None:
        partitions = {message.partition for message in messages}
        positions = [message.position for message in messages]
        # Those at these positions are there because of a replay.
        aside = self._set_aside.filter(
            Q(partition__in=partitions) | Q(position__in=positions)
        )
        blocked, known = set(), set()
        for partition, position, state in aside.values_list(
            "partition", "position", "state"
        ):
            known.add(position)
            if state != SetAside.STATES.dead:
                blocked.add(partition)
        outcomes = self._call_consumer(messages, blocked)
        reached, done, rows = self._row.position, [], []
        for message in messages:
            outcome = outcomes.get(message.position)
            if outcome is None:
                break
            reached = message.position
            if outcome.waits and reached in known:
                continue
            done.append(reached)
            if outcome.waits or outcome.error:
                row = SetAside(
                    consumer_id=self._consumer.name,
                    position=reached,
                    partition=message.partition,
                )
                rows.append(self._as_failed(row, outcome))
        with short_transaction(self._using):
            self._save(reached)
            if known.intersection(done):
                self._set_aside.filter(position__in=done).delete()
            if rows:
                SetAside.objects.using(self._using).bulk_create(rows)
        self.handled += len([m for m in messages if m.position <= reached])
        self._row.position = reached
        self._moved_aside += len(rows)
        self._report(rows)

    def _retry(self) -> bool:
        """Deliver events that are set aside; return whether any was due."""
        at = for_database(now())
        due = self._due(at).order_by("retry_at").values_list("partition", flat=True)
        partitions = set(due[:BATCH])
        chains = self._set_aside.open().filter(partition__in=partitions)
        rows = {row.position: row for row in chains.order_by("position")[:BATCH]}
        if not rows:
            return False
        events = EnrollmentEvent.objects.using(self._using).filter(position__in=[*rows])
        attempts = {position: row.attempts for position, row in rows.items()}
        messages = self._messages(events.order_by("position"), attempts)
        outcomes = self._call_consumer(messages, None)
        # Those that wait stay as they are.
        final = {
            position: outcome
            for position, outcome in outcomes.items()
            if not outcome.waits
        }
        failed = [
            self._as_failed(rows[position], outcome)
            for position, outcome in final.items()
            if outcome.error
        ]
        done = {position for position, outcome in final.items() if not outcome.error}
        # Somebody has deleted the event.
        done |= rows.keys() - {message.position for message in messages}
        with short_transaction(self._using):
            self._save(self._row.position)
            self._set_aside.filter(position__in=done).delete()
            for row in failed:
                row.save(using=self._using)
                # After a replay, later ones may have been tried already.
                behind = self._set_aside.filter(partition=row.partition)
                behind.filter(
                    position__gt=row.position, state=SetAside.STATES.retrying
                ).update(state=SetAside.STATES.waiting)
            self._set_aside.start_next(partitions, at)
        self._report(failed)
        return True

    def _call_consumer(
        self, messages: Sequence[Message], blocked: set[str] | None
    ) -> dict[int, _Outcome]:
        """
        Deliver messages, those of one enrollment in order.

        Args:
            blocked: The enrollments whose events wait behind one that is set aside;
                ``None`` if these are the events that are set aside.

        Returns:
            The outcomes by position; those that are missing were not tried, or failed
            with the consumer.
        """
        number = self._consumer.concurrency
        lane_of: dict[str, int] = {}
        lanes: dict[int, list[Message]] = defaultdict(list)
        for message in messages:
            lane = lane_of.setdefault(message.partition, len(lane_of) % number)
            lanes[lane].append(message)
        outcomes: dict[int, _Outcome] = {}
        if len(lanes) <= 1:
            self._deliver_lane(messages, blocked, outcomes)
            return outcomes

        def run(lane: Sequence[Message]) -> None:
            try:
                self._deliver_lane(lane, blocked, outcomes)
            finally:
                # Those of this thread.
                connections.close_all()

        with ThreadPoolExecutor(number) as threads:
            for end in [threads.submit(run, lane) for lane in lanes.values()]:
                end.result()
        return outcomes

    def _deliver_lane(
        self,
        messages: Sequence[Message],
        blocked: set[str] | None,
        outcomes: dict[int, _Outcome],
    ) -> None:
        is_new = blocked is not None
        held = set(blocked or ())
        types = self._consumer.types
        for message in messages:
            outcome: _Outcome | None
            if types is not None and message.event.type not in types:
                outcome = _DONE
            elif message.partition in held:
                outcome = _WAITING
            else:
                outcome = self._attempt(message, is_new=is_new)
            if outcome is None:
                return
            if outcome.error and not outcome.is_dead:
                held.add(message.partition)
            outcomes[message.position] = outcome

    def _attempt(self, message: Message, *, is_new: bool) -> _Outcome | None:
        """Return the outcome, ``None`` if the pass ends."""
        attempts, error = 0, ""
        while attempts < (TRIES if is_new else 1):
            if not self._may_go_on():
                return None
            self._lease.keep()
            try:
                if self._consumer.wants(message):
                    self._consumer.backend.deliver(message)
                    with self._lock:
                        self._delivered += 1
                        self._in_a_row, self._has_success = 0, True
            except (NotNow, ConnectionError, TimeoutError) as failure:
                after = getattr(failure, "retry_after", None)
                down = Consumer.STATES.down
                self.trouble = _Trouble(down, describe(failure), after)
                return None
            except Gone as failure:
                self.trouble = _Trouble(Consumer.STATES.paused, describe(failure))
                return None
            except Reject as failure:
                return self._failure(describe(failure), attempts + 1, is_new, True)
            except Exception as failure:  # noqa: BLE001 - whatever hosts raise.
                error = describe(failure)
            else:
                return _DONE
            attempts += 1
            message = replace(message, attempt=message.attempt + 1)
        return self._failure(error, attempts, is_new, False)

    def _failure(
        self, error: str, attempts: int, is_new: bool, is_dead: bool
    ) -> _Outcome | None:
        """Return the outcome of an event that failed, ``None`` beyond ten in a row."""
        with self._lock:
            self._failed += 1
            is_one_too_many = self._in_a_row >= SET_ASIDE_IN_A_ROW
            if is_new and not is_one_too_many:
                self._in_a_row += 1
            if self._in_a_row >= SET_ASIDE_IN_A_ROW:
                self.trouble = _Trouble(Consumer.STATES.down, error)
        if is_one_too_many:
            return None
        return _Outcome(error=error, attempts=attempts, is_dead=is_dead)

    def _as_failed(self, row: SetAside, outcome: _Outcome) -> SetAside:
        """Write an outcome to the row of an event that is set aside, and return it."""
        row.attempts += outcome.attempts
        row.error, row.retry_at = outcome.error, None
        if outcome.waits:
            row.state = SetAside.STATES.waiting
        elif outcome.is_dead or row.attempts >= TRIES + RETRIES:
            row.state = SetAside.STATES.dead
        else:
            row.state = SetAside.STATES.retrying
            retries = max(row.attempts - TRIES, 0)
            delay = back_off(EVENT_BACK_OFF, retries + 1)
            row.retry_at = for_database(now() + delay)
        return row

    def _save(self, position: int) -> None:
        """
        Write the state of the consumer, in a transaction, and renew the lease.

        Raises:
            LeaseLost: Another worker has claimed it.
        """
        row, trouble = self._row, self.trouble
        before, row.set_aside_in_a_row = row.state, self._in_a_row
        if position != row.position or self._has_success:
            row.progressed_at = for_database(now())
        if self._has_success:
            row.failures = 0
        if trouble is None:
            row.state, row.failures = Consumer.STATES.active, 0
            row.retry_at, row.last_error = None, ""
        else:
            row.state, row.last_error = trouble.state, trouble.error
            row.failures += 1
            row.retry_at = for_database(now() + self._pause(trouble, row.failures))
        self._has_success = False
        self._lease.save(
            position=position,
            state=row.state,
            failures=row.failures,
            set_aside_in_a_row=row.set_aside_in_a_row,
            retry_at=row.retry_at,
            last_error=row.last_error,
            progressed_at=row.progressed_at,
        )
        if row.state != before:
            level = logging.WARNING if trouble else logging.INFO
            kind = trouble.error.partition(":")[0] if trouble else "it takes messages"
            logger.log(level, "Consumer %s is %s: %s.", row.name, row.state, kind)

    def _pause(self, trouble: _Trouble, failures: int) -> timedelta:
        if trouble.retry_after is None:
            return back_off(BACK_OFF, failures)
        return timedelta(seconds=min(max(trouble.retry_after, 0), LONGEST_RETRY_AFTER))

    def _report(self, rows: Iterable[SetAside]) -> None:
        """Log the events that are dead (D-13)."""
        for row in rows:
            if row.state == SetAside.STATES.dead:
                logger.error(
                    "Consumer %s does not get event %d, which is dead: %s.",
                    row.consumer_id,
                    row.position,
                    # The rest of the text may be about a person.
                    row.error.partition(":")[0],
                )
