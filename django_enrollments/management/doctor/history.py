"""Whether the events of each enrollment, applied in order, give its row."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from django_enrollments.core.changes import Change
from django_enrollments.core.course_info import find_course_info_by_key
from django_enrollments.core.transactions import (
    lock_enrollment,
    retry_on_conflict,
    write_alias,
    write_transaction,
    writing_call,
)
from django_enrollments.datetimes import for_database
from django_enrollments.management.doctor.findings import Finding, Level, in_batches
from django_enrollments.models import CourseEnrollment, EnrollmentEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: The reason of events that the command writes.
REASON = "enrollments_doctor: the history did not add up."

#: State before and after an event: mode and activation; ``None`` before the first.
_Step = tuple[tuple["str | None", "bool | None"], tuple[str, bool]]


def check_history() -> Iterator[Finding]:
    """
    Yield enrollments without events, and those whose events do not give the row.

    Each is read again before it is reported, because it may be changing.
    """
    rows = CourseEnrollment.objects.using(write_alias())
    columns = ("pk", "mode", "is_active")
    for batch in in_batches(rows.values(*columns)):
        states = {row["pk"]: (row["mode"], row["is_active"]) for row in batch}
        suspects = [*_find(states)]
        if suspects:
            again = rows.filter(pk__in=[key for key, _ in suspects]).order_by("pk")
            latest = {
                key: (mode, is_active)
                for key, mode, is_active in again.values_list(*columns)
            }
            for key, finding in _find(latest):
                if key in dict(suspects):
                    yield finding


def _find(states: dict[Any, tuple[str, bool]]) -> Iterator[tuple[Any, Finding]]:
    steps = _read_steps(states)
    for key, state in states.items():
        own = steps[key]
        subject = f"enrollment {key}"
        if not own:
            level: Level = "error" if state[1] else "warning"
            text = f"It is {_text(state)}, and has no history."
            repair = partial(_repair, key)
            yield key, Finding("no_history", level, subject, text, repair)
            continue
        if own[-1][1] != state:
            text = f"It is {_text(state)}; its history ends {_text(own[-1][1])}."
            repair = partial(_repair, key)
            yield key, Finding("history_differs", "error", subject, text, repair)
        if gap := _first_gap(own):
            text = f"Event {gap} of its history begins in another state than the one "
            text += "before it ended in."
            yield key, Finding("history_gap", "warning", subject, text)


def _read_steps(keys: Iterable[Any]) -> dict[Any, list[_Step]]:
    events = EnrollmentEvent.objects.using(write_alias()).order_by("enrollment", "pk")
    columns = ("mode_before", "active_before", "mode_after", "active_after")
    steps: dict[Any, list[_Step]] = defaultdict(list)
    for key, *step in events.filter(enrollment__in=[*keys]).values_list(
        "enrollment", *columns
    ):
        steps[key].append(((step[0], step[1]), (step[2], step[3])))
    return steps


def _first_gap(steps: Sequence[_Step]) -> int | None:
    """Return the number of the first event that does not follow from the others."""
    state: tuple[str | None, bool | None] = (None, None)
    for number, (before, after) in enumerate(steps, start=1):
        if before != state:
            return number
        state = after
    return None


def _text(state: tuple[str, bool]) -> str:
    return f"{'active' if state[1] else 'inactive'} in mode {state[0]!r}"


def _repair(key: Any) -> str:
    """
    Add the events that are missing at the end of a history.

    The row is right: seats are counted from it. No signal is sent, because receivers
    would act as if the learner had enrolled only now.
    """
    using = write_alias()

    def attempt(_lock: bool) -> str:
        row = CourseEnrollment.objects.using(using).filter(pk=key).first()
        if row is None:
            return ""
        with write_transaction(using):
            # First, since it may be the state of the first read that is seen until the
            # end of the transaction.
            lock_enrollment(row, using=using)
            return _add_events(key, using)

    with writing_call():
        return retry_on_conflict(attempt, using=using)


def _add_events(key: Any, using: str) -> str:
    rows = CourseEnrollment.objects.using(using).select_related("user")
    row = rows.get(pk=key)
    last = EnrollmentEvent.objects.using(using).filter(enrollment=key).last()
    with writing_call() as (call, _):
        info = find_course_info_by_key(row.course_id, call, using)
    # A deleted course has the id of its time.
    former = last.course_id if last else str(row.course_id)
    change = Change(
        row.user,
        row.course_id,
        info.course_id if info else former,
        row if last else None,
        row.mode,
        row.is_active,
    )
    if last:
        change.before = (last.mode_after, last.active_after)
    events = change.list_events() if change.is_pending else []
    for values in events:
        EnrollmentEvent.objects.using(using).create(
            time=for_database(call.at),
            enrollment_id=key,
            user_id=row.user_id,
            username=row.username,
            course_id=change.course_id,
            source="command",
            reason=REASON,
            **values,
        )
    types = ", ".join(values["type"] for values in events)
    return f"Added to the history: {types}." if events else ""
