"""The numbers on the dashboard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import CharField, Count, F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Cast, Left

from catalog.models import CourseRun, RefusedAttempt
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from django_enrollments.services import EnrollmentsService

#: Events up to this moment are counted once in this number of seconds; later events are
#: counted for each page.
SECONDS = 600
#: Number of courses among the fullest, and of those from which they are chosen.
FULLEST = 10
CANDIDATES = 100

_CACHE_KEY = "team:totals"
_WEEK = timedelta(days=7)

_ARRIVAL = Q(active_after=True) & (Q(active_before=None) | Q(active_before=False))
_DEPARTURE = Q(active_after=False, active_before=True)


@dataclass(frozen=True)
class Week:
    """
    The movements of a week.

    Attributes:
        monday: The first day.
        arrivals: Number of enrollments that became active.
        departures: Number of enrollments that became inactive.
        active: Number of active enrollments at the end of the week.
    """

    monday: date
    arrivals: int
    departures: int
    active: int


@dataclass(frozen=True)
class Totals:
    """
    The numbers up to an event.

    Attributes:
        last: Primary key of the event; 0 without events.
        last_refusal: Primary key of the last refused attempt; 0 without any.
        modes: Number of active enrollments by mode slug.
        former: Number of inactive enrollments.
        arrivals: Number by day, in UTC.
        departures: Number by day, in UTC.
        refusals: Number of refused attempts by year, in UTC, and reason.
        candidates: Primary keys of the courses that were the fullest at the last count.
    """

    last: int
    last_refusal: int
    modes: Counter[str]
    former: int
    arrivals: Counter[date]
    departures: Counter[date]
    refusals: Counter[tuple[int, str]]
    candidates: tuple[Any, ...]

    @property
    def active(self) -> int:
        """Number of active enrollments."""
        return self.modes.total()

    def reasons(self, year: int | None = None) -> list[tuple[str, int]]:
        """
        Return the number of refused attempts by the code of the reason, largest first.

        Args:
            year: Only those of a year; ``None`` for all.
        """
        codes: Counter[str] = Counter()
        for (refused_in, code), number in self.refusals.items():
            if year in {None, refused_in}:
                codes[code] += number
        return codes.most_common()

    def weeks(self) -> list[Week]:
        """
        Return all weeks from the first event to the last.

        The number of active enrollments is counted back from the present one, because
        the history does not record that an account, with its enrollments, was deleted.
        """
        arrivals, departures = _by_week(self.arrivals), _by_week(self.departures)
        mondays = arrivals.keys() | departures.keys()
        if not mondays:
            return []
        weeks = []
        active, monday = self.active, max(mondays)
        while monday >= min(mondays):
            week = Week(monday, arrivals[monday], departures[monday], max(active, 0))
            weeks.append(week)
            active += week.departures - week.arrivals
            monday -= _WEEK
        return weeks[::-1]


@dataclass(frozen=True)
class Fullness:
    """
    The seats of a course.

    Attributes:
        run: The course.
        taken: Number of taken seats.
        capacity: Number of seats.
    """

    run: CourseRun
    taken: int
    capacity: int

    @property
    def percent(self) -> int:
        """Taken seats in percent, rounded down: 100 only if the course is full."""
        return 100 * self.taken // self.capacity


def read_totals() -> Totals:
    """
    Return the numbers of enrollments, movements and refusals.

    Counting everything takes up to a second with a million events, so the result is
    kept for ``SECONDS``, and only the events after it are counted for each page. An
    event whose transaction was open when everything was counted is missing until the
    next time.
    """
    kept = cache.get(_CACHE_KEY)
    if kept is None:
        kept = _count_all()
        cache.set(_CACHE_KEY, kept, SECONDS)
    return _add_later(kept)


def _count_all() -> Totals:
    last = EnrollmentEvent.objects.aggregate(last=Max("pk"))["last"] or 0
    last_refusal = RefusedAttempt.objects.aggregate(last=Max("pk"))["last"] or 0
    modes: Counter[str] = Counter()
    former = 0
    states = CourseEnrollment.objects.order_by().values_list("mode", "is_active")
    for mode, is_active, number in states.annotate(number=Count("*")):
        if is_active:
            modes[mode] = number
        else:
            former += number
    return Totals(
        last,
        last_refusal,
        modes,
        former,
        *_count_days(Q(pk__lte=last)),
        _count_refusals(Q(pk__lte=last_refusal)),
        _find_candidates(),
    )


def _add_later(totals: Totals) -> Totals:
    """Return totals with the events and refusals after them."""
    later = EnrollmentEvent.objects.order_by().filter(pk__gt=totals.last)
    modes, former = totals.modes.copy(), totals.former
    last = totals.last
    changes = later.values_list(
        "active_before", "mode_before", "active_after", "mode_after"
    )
    counted = changes.annotate(number=Count("*"), last=Max("pk"))
    for was_active, mode_before, is_active, mode_after, number, key in counted:
        last = max(last, key)
        modes[mode_after] += number * is_active
        former += number * (not is_active)
        if mode_before is not None:
            modes[mode_before] -= number * bool(was_active)
            former -= number * (not was_active)
    arrivals, departures = _count_days(Q(pk__gt=totals.last, pk__lte=last))
    return replace(
        totals,
        last=last,
        modes=+modes,
        former=max(former, 0),
        arrivals=totals.arrivals + arrivals,
        departures=totals.departures + departures,
        refusals=totals.refusals + _count_refusals(Q(pk__gt=totals.last_refusal)),
    )


def _text_of_time(length: int) -> Left:
    """Return the first characters of a time, in UTC."""
    # SQLite would call Python for each row to truncate a datetime.
    return Left(Cast("time", CharField()), length)


def _count_days(which: Q) -> tuple[Counter[date], Counter[date]]:
    """Return the numbers of arrivals and departures by day."""
    events = EnrollmentEvent.objects.order_by().filter(which)
    counted = (
        events.annotate(day=_text_of_time(len("2026-11-29")))
        .values_list("day")
        .annotate(
            arrivals=Count("pk", filter=_ARRIVAL),
            departures=Count("pk", filter=_DEPARTURE),
        )
    )
    arrivals: Counter[date] = Counter()
    departures: Counter[date] = Counter()
    for text, arrived, departed in counted:
        arrivals[date.fromisoformat(text)] = arrived
        departures[date.fromisoformat(text)] = departed
    return arrivals, departures


def _by_week(days: Counter[date]) -> Counter[date]:
    weeks: Counter[date] = Counter()
    for day, number in days.items():
        weeks[day - timedelta(days=day.weekday())] += number
    return weeks


def _count_refusals(which: Q) -> Counter[tuple[int, str]]:
    """Return the number of refused attempts by year and reason."""
    attempts = RefusedAttempt.objects.order_by().filter(which)
    years = attempts.annotate(year=_text_of_time(len("2026")))
    counted = years.values_list("year", "code").annotate(number=Count("*"))
    return Counter({(int(year), code): number for year, code, number in counted})


def _find_candidates() -> tuple[Any, ...]:
    """Return the primary keys of the courses with the largest share of taken seats."""
    active = CourseEnrollment.objects.order_by().active().filter(course=OuterRef("pk"))
    taken = active.values("course").annotate(number=Count("*")).values("number")
    share = 1.0 * Subquery(taken) / F("seats")
    limited = CourseRun.objects.filter(seats__gt=0).annotate(share=share)
    ordered = limited.order_by(F("share").desc(nulls_last=True), "pk")
    return tuple(ordered.values_list("pk", flat=True)[:CANDIDATES])


def find_fullest(totals: Totals) -> list[Fullness]:
    """
    Return the courses with the largest share of taken seats, largest first.

    They are chosen from the fullest at the last count, by their present seats.
    """
    runs = list(CourseRun.objects.filter(pk__in=totals.candidates, seats__gt=0))
    # Unlike the last count, the service leaves out course staff, who take no seat.
    seats = EnrollmentsService().seats_many(runs)
    found = [
        Fullness(run, seats[run.code]["taken"], seats[run.code]["capacity"] or 1)
        for run in runs
        if seats[run.code]["taken"]
    ]
    ordered = sorted(found, key=lambda one: (-one.taken / one.capacity, one.run.code))
    return ordered[:FULLEST]
