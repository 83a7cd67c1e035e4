"""
One pass over what is due for one consumer.

The cursor of the consumer goes over the feed in batches. An event that fails is set
aside, with the later events of its enrollment behind it, so that it delays no other
events (D-13). If the consumer as a whole fails, the pass ends and the cursor stays
(D-12).
"""

from __future__ import annotations

import logging
import random
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import takewhile
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from django_enrollments.core.transactions import write_alias
from django_enrollments.datetimes import for_database, now
from django_enrollments.delivery.consumers import Declared, registered
from django_enrollments.delivery.database import (
    closing_transaction,
    in_threads,
    short_transaction,
)
from django_enrollments.delivery.leases import Lease, LeaseLost
from django_enrollments.delivery.messages import (
    Gone,
    Message,
    NotNow,
    Reject,
    partition_of,
)
from django_enrollments.delivery.sequencer import last_position, sequence_all
from django_enrollments.models import Consumer, EnrollmentEvent, SetAside
from django_enrollments.models.delivery import MAX_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from django.db.models import QuerySet

    #: An event, and its row, which is stored if the event is set aside already.
    Pair = tuple[EnrollmentEvent, SetAside]
    #: By position, ``None`` for what is done, and the row for what failed or waits.
    #: Those that are missing were not tried.
    Outcomes = dict[int, SetAside | None]

logger = logging.getLogger("django_enrollments.delivery")

#: Events per batch.
BATCH = 100

#: Attempts before an event is set aside, and retries before it is dead.
TRIES, RETRIES = 3, 10

#: What means that the consumer is at fault, not the event (D-12).
FAILURES_OF_CONSUMER = (NotNow, Gone, ConnectionError, TimeoutError)

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


class PassEnded(Exception):  # noqa: N818 - an event, not an error for callers.
    """The worker stops, or the consumer as a whole fails."""


def deliver(name: str, limit: int = 1000) -> Delivered:
    """
    Deliver what is due to a consumer, unless another worker is at it.

    Events without a position get theirs first.

    Args:
        limit: About the most events, with those that are retried.

    Raises:
        ValueError: There is no such consumer.
        ImproperlyConfigured: Its backend or filter cannot be imported.
        RuntimeError: A transaction is open.
    """
    consumer = Declared(name)
    sequence_all()
    return Pass(consumer, lambda: False).run(limit)


def back_off(delays: Sequence[float], failures: int) -> float:
    """Return the seconds before the next attempt after so many failures (±20 %)."""
    seconds = delays[min(failures, len(delays)) - 1]
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret.


def describe(error: BaseException) -> str:
    """Return an error as a text that can be stored."""
    try:
        text = f"{type(error).__name__}: {error}".replace("\x00", "")
    except Exception:  # noqa: BLE001 - whatever exceptions of hosts raise.
        text = type(error).__name__
    return text.encode(errors="replace").decode()[:MAX_ERROR]


def make_message(event: EnrollmentEvent, attempt: int, *, personal: bool) -> Message:
    """Return the message of an event that has a position."""
    record = event.as_record()
    if not personal:
        record = replace(record, username="", reason="")
    return Message(event.position or 0, attempt, record)


def make_row(name: str, event: EnrollmentEvent) -> SetAside:
    """Return a row, not saved, for an event that waits for a consumer."""
    return SetAside(
        consumer_id=name,
        position=event.position or 0,
        partition=partition_of(event),
        state=SetAside.STATES.waiting,
    )


class Pass:
    """
    One pass of one worker for one consumer.

    Args:
        is_stopped: Returns whether the pass ends before the next delivery.
    """

    def __init__(self, consumer: Declared, is_stopped: Callable[[], bool]) -> None:
        self._consumer, self._is_stopped = consumer, is_stopped
        self._row = registered(consumer.name)
        self._events = EnrollmentEvent.objects.using(write_alias())
        self._asides = SetAside.objects.using(write_alias()).filter(
            consumer=consumer.name
        )
        self._lease = Lease(consumer.name, consumer.token)
        self._lock = Lock()
        self._delivered = self._failed = self._moved_aside = 0
        #: The failure of the consumer that has ended the pass.
        self.trouble: BaseException | None = None

    def run(self, limit: int = sys.maxsize) -> Delivered:
        """Claim the lease, deliver what is due, and release the lease."""
        if self._is_due() and (row := self._lease.claim()):
            self._row = row
            try:
                while limit > 0 and not self._is_ending():
                    handled = self._go_forward(min(limit, BATCH))
                    if not self._is_ending():
                        handled += self._retry()
                    if not handled:
                        break
                    limit -= handled
            except LeaseLost:
                logger.info("The lease of %s has ended.", self._consumer.name)
            finally:
                self._lease.release()
        lag = max(last_position() - self._row.position, 0)
        return Delivered(self._delivered, self._failed, self._moved_aside, lag)

    def _is_due(self) -> bool:
        return self._row.position < last_position() or self._due().exists()

    def _due(self) -> QuerySet[SetAside]:
        return self._asides.filter(
            state=SetAside.STATES.retrying, retry_at__lte=for_database(now())
        )

    def _is_ending(self) -> bool:
        return self.trouble is not None or self._is_stopped()

    def _go_forward(self, size: int) -> int:
        """Deliver the next events of the feed; return their number."""
        ahead = self._events.filter(position__gt=self._row.position)
        pairs = [
            (event, make_row(self._consumer.name, event))
            for event in ahead.order_by("position")[:size]
        ]
        if pairs:
            partitions = {row.partition for _, row in pairs}
            blocked = self._asides.open().filter(partition__in=partitions)
            held = set(blocked.values_list("partition", flat=True))
            outcomes = self._call_consumer(pairs, held)
            positions = [row.position for _, row in pairs]
            # The cursor goes to the end of the finished prefix (D-11).
            reached = {
                position: outcomes[position]
                for position in takewhile(outcomes.__contains__, positions)
            }
            failed = {row.partition for row in reached.values() if row}
            self._save(max(reached, default=self._row.position), reached, failed)
        return len(pairs)

    def _retry(self) -> int:
        """Deliver events that are set aside and due; return their number."""
        due = self._due().order_by("retry_at").values_list("partition", flat=True)
        partitions = set(due[:BATCH])
        if partitions and self._row.set_aside_in_a_row >= SET_ASIDE_IN_A_ROW:
            # Any of them, because the pass ends if it fails, and others may not.
            partitions = {random.choice([*partitions])}  # noqa: S311 - not a secret.
        chains = self._asides.open().filter(partition__in=partitions)
        rows = {row.position: row for row in chains.order_by("position")[:BATCH]}
        if rows:
            events = self._events.filter(position__in=[*rows]).order_by("position")
            pairs = [(event, rows[event.position or 0]) for event in events]
            outcomes = self._call_consumer(pairs, set())
            # An event that was deleted is forgotten.
            found = {row.position for _, row in pairs}
            outcomes.update(dict.fromkeys(rows.keys() - found))
            self._save(self._row.position, outcomes, partitions)
        return len(rows)

    def _call_consumer(self, pairs: Sequence[Pair], held: set[str]) -> Outcomes:
        """Deliver events; those of enrollments that are held wait."""
        number = self._consumer.concurrency
        lane_of: dict[str, int] = {}
        lanes: dict[int, list[Pair]] = defaultdict(list)
        for event, row in pairs:
            lane = lane_of.setdefault(row.partition, len(lane_of) % number)
            lanes[lane].append((event, row))
        outcomes: Outcomes = {}
        tasks = [
            partial(self._deliver_lane, lane, held, outcomes) for lane in lanes.values()
        ]
        if len(tasks) == 1:
            tasks[0]()
        else:
            in_threads(tasks)
        return outcomes

    def _deliver_lane(
        self, pairs: Sequence[Pair], held: set[str], outcomes: Outcomes
    ) -> None:
        types = self._consumer.types
        with suppress(PassEnded):
            for event, row in pairs:
                failed: SetAside | None = None
                if types is None or event.type in types:
                    if row.partition in held:
                        row.state = SetAside.STATES.waiting
                        failed = row
                    else:
                        failed = self._attempt(event, row)
                if failed and failed.state != SetAside.STATES.dead:
                    held.add(row.partition)
                outcomes[row.position] = failed

    def _attempt(self, event: EnrollmentEvent, row: SetAside) -> SetAside | None:
        """
        Return the row of an event that failed; ``None`` if it needs no other attempt.

        Raises:
            PassEnded: It was not delivered, and that does not count.
        """
        consumer = self._consumer
        for _ in range(1 if row.pk else TRIES):
            if self._is_ending():
                raise PassEnded
            self._lease.keep()
            if consumer.personal:
                # It may have been erased since it was read.
                event = self._events.get(pk=event.pk)
            message = make_message(event, row.attempts + 1, personal=consumer.personal)
            is_wanted = False
            try:
                is_wanted = consumer.filter is None or bool(consumer.filter(message))
                if is_wanted:
                    with closing_transaction(self._events.db):
                        consumer.backend.deliver(message)
                    with self._lock:
                        self._delivered += 1
                        self._row.set_aside_in_a_row = 0
                return None
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever hosts raise.
                # A filter fails for its event alone (D-15).
                if is_wanted and isinstance(error, FAILURES_OF_CONSUMER):
                    self.trouble = error
                    raise PassEnded from None
                failure = error
            row.attempts += 1
            if isinstance(failure, Reject):
                break
        with self._lock:
            is_one_too_many = self._row.set_aside_in_a_row >= SET_ASIDE_IN_A_ROW
            # A retry that fails is not another one.
            self._row.set_aside_in_a_row += not (is_one_too_many or row.error)
            if self._row.set_aside_in_a_row >= SET_ASIDE_IN_A_ROW:
                self.trouble = failure
        if is_one_too_many:
            raise PassEnded
        row.error, row.retry_at = describe(failure), None
        row.state = SetAside.STATES.dead
        if not isinstance(failure, Reject) and row.attempts < TRIES + RETRIES:
            retries = max(row.attempts - TRIES, 0)
            row.state = SetAside.STATES.retrying
            wait = timedelta(seconds=back_off(EVENT_BACK_OFF, retries + 1))
            row.retry_at = for_database(now() + wait)
        return row

    def _save(
        self, position: int, outcomes: Outcomes, partitions: Collection[str]
    ) -> None:
        """
        Store what has become of events, in a transaction, and renew the lease.

        Args:
            position: That of the consumer from now on.
            partitions: The enrollments whose events that are set aside change.

        Raises:
            LeaseLost: It belongs to somebody else; nothing is stored.
        """
        row, trouble = self._row, self.trouble
        if not (outcomes or trouble):
            # The pass was stopped before the first call, which tells nothing.
            return
        rows = [one for one in outcomes.values() if one]
        new = [one for one in rows if one.pk is None]
        stored = [one for one in rows if one.pk is not None]
        done = [position for position, one in outcomes.items() if one is None]
        values: dict[str, Any] = {
            "position": position,
            "state": Consumer.STATES.active,
            "failures": 0,
            "set_aside_in_a_row": row.set_aside_in_a_row,
            "retry_at": None,
            "last_error": "",
        }
        if done:
            values["progressed_at"] = for_database(now())
        if trouble is not None:
            is_gone = isinstance(trouble, Gone)
            values["state"] = (
                Consumer.STATES.paused if is_gone else Consumer.STATES.down
            )
            values["failures"] = 1 if done else row.failures + 1
            values["last_error"] = describe(trouble)
            seconds = getattr(trouble, "retry_after", None)
            if not isinstance(seconds, int | float):
                seconds = back_off(BACK_OFF, values["failures"])
            wait = timedelta(seconds=min(max(0, seconds), LONGEST_RETRY_AFTER))
            values["retry_at"] = for_database(now() + wait)
        with short_transaction(self._events.db):
            self._lease.save(**values)
            if partitions:
                self._asides.filter(position__in=done).delete()
                self._asides.bulk_create(new)
                # It does not insert again what was discarded meanwhile.
                fields = ["state", "attempts", "retry_at", "error"]
                self._asides.bulk_update(stored, fields)
                # What they wait for may have been discarded, too.
                self._asides.start_next(partitions, for_database(now()))
        before = row.state
        for name, value in values.items():
            setattr(row, name, value)
        if row.state != before:
            # The rest of the text may be about a person.
            reason = row.last_error.partition(":")[0] or "it takes messages"
            level = logging.WARNING if trouble else logging.INFO
            logger.log(level, "Consumer %s is %s: %s.", row.name, row.state, reason)
        self._moved_aside += len(new)
        failed = [one for one in rows if one.state != SetAside.STATES.waiting]
        self._failed += len(failed)
        for one in failed:
            _log_failure(one)


def _log_failure(row: SetAside) -> None:
    """Log that an event is dead (D-13), or that it was set aside."""
    about = row.position, row.consumer_id, row.error.partition(":")[0]
    if row.state == SetAside.STATES.dead:
        logger.error("Event %d is dead for consumer %s: %s.", *about)
    elif row.attempts == TRIES:
        text = "Event %d failed for consumer %s and is tried again later: %s."
        logger.warning(text, *about)
