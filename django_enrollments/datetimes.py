"""Conversion of the dates and datetimes of hosts."""

from __future__ import annotations

from datetime import date, datetime, time
from datetime import timezone as fixed_timezone
from typing import overload

from django.conf import settings
from django.utils import timezone


@overload
def as_moment(value: datetime | date, *, ends: bool = ...) -> datetime: ...


@overload
def as_moment(
    value: datetime | date | None, *, ends: bool = ...
) -> datetime | None: ...


def as_moment(value: datetime | date | None, *, ends: bool = False) -> datetime | None:
    """
    Return an aware datetime for a date or datetime of a host.

    Args:
        value: An aware datetime, a naive one in the project's time zone, a date in the
            current time zone, or ``None``.
        ends: Whether a date means the end of that day instead of its beginning
            (contract §9, "Dates").
    """
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is fixed_timezone.utc:
        # As nearly every moment that is read.
        return value
    if not isinstance(value, datetime):
        value = datetime.combine(value, time.max if ends else time.min)
        return timezone.make_aware(value, timezone.get_current_timezone())
    if timezone.is_naive(value):
        value = timezone.make_aware(value, timezone.get_default_timezone())
    return value


def now() -> datetime:
    """Return the current time, aware even if ``USE_TZ`` is off."""
    return datetime.now(fixed_timezone.utc)


def for_database(at: datetime) -> datetime:
    """Return an aware datetime for a query, naive if ``USE_TZ`` is off."""
    if settings.USE_TZ:
        return at
    return timezone.make_naive(at, timezone.get_default_timezone())


@overload
def to_iso(value: datetime | date) -> str: ...
@overload
def to_iso(value: datetime | date | None) -> str | None: ...
def to_iso(value: datetime | date | None) -> str | None:
    """
    Return a date or datetime as ISO 8601 text in UTC, ending in ``Z`` (V1-SER-02).

    Microseconds are included if they are not zero.
    """
    if value is None:
        return None
    moment = as_moment(value)
    try:
        moment = moment.astimezone(fixed_timezone.utc)
    except OverflowError:
        # The very first or last moment there is, by which a host may mean "never".
        moment = moment.replace(tzinfo=fixed_timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")
