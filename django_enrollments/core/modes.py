"""Which modes of a course count, and which one a learner gets (section MODE)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from django_enrollments.conf import conf
from django_enrollments.context import call_context, read_alias
from django_enrollments.datetimes import as_moment, for_database, to_iso
from django_enrollments.models import CourseMode
from django_enrollments.text import is_storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django_enrollments.backends.courses import CourseFacts
    from django_enrollments.payloads import ModeDict


#: Columns of ``CourseMode`` in the order of :class:`Mode`.
MODE_COLUMNS = (
    "mode_slug",
    "mode_display_name",
    "min_price",
    "suggested_prices",
    "currency",
    "expiration_datetime",
    "description",
    "sku",
    "bulk_sku",
)

_WHOLE_NUMBER = re.compile(r"-?\d+")

#: The longest slug that an enrollment can hold.
MAX_SLUG = 100


class Mode(NamedTuple):
    """A mode of a course as read from the database; fields as on the wire."""

    slug: str
    name: str
    min_price: int
    suggested_prices: str
    currency: str
    expiration_datetime: datetime | None
    description: str | None
    sku: str | None
    bulk_sku: str | None

    def has_expired(self, at: datetime) -> bool:
        """
        Return whether the mode is past its expiration (MODE-03).

        Args:
            at: Aware datetime; the very moment of expiration still counts.
        """
        expiration = self.expiration_datetime
        return expiration is not None and as_moment(expiration) < at

    def as_data(self) -> ModeDict:
        """Return the mode as it is on the wire (V1-SER-12)."""
        return {
            "slug": self.slug,
            "name": self.name,
            "min_price": self.min_price,
            "suggested_prices": as_prices(self.suggested_prices),
            "currency": self.currency,
            "expiration_datetime": to_iso(self.expiration_datetime),
            "description": self.description,
            "sku": self.sku,
            "bulk_sku": self.bulk_sku,
        }


def as_prices(stored: str) -> str | list[int]:
    """
    Return suggested prices as they are on the wire.

    Args:
        stored: Whole numbers separated by commas.

    Returns:
        A list of integers, or ``""`` when there are none.
    """
    if not stored:
        return ""
    prices = (part.strip() for part in stored.split(","))
    return [int(part) for part in prices if _WHOLE_NUMBER.fullmatch(part)] or ""


def default_mode() -> Mode:
    """Return the mode of a course that has none (MODE-04, V1-SER-18)."""
    slug = conf.ENROLLMENTS_DEFAULT_MODE
    return Mode(slug, slug.capitalize(), 0, "", "usd", None, None, None, None)


def modes_for_course(
    course_id: object, include_expired: bool, only_selectable: bool
) -> list[CourseMode]:
    """List the modes of a course, or the default mode (MODE-03…05)."""
    modes = CourseMode.objects.using(read_alias()).of_course(course_id)
    if not include_expired:
        with call_context() as call:
            now = for_database(call.at)
        modes = modes.exclude(expiration_datetime__lt=now)
    excluded = CourseMode.CREDIT if only_selectable else None
    found = [mode for mode in modes if mode.mode_slug != excluded]
    if found:
        return found
    default = default_mode()
    return [CourseMode(mode_slug=default.slug, mode_display_name=default.name)]


def default_slug(usable: Sequence[str]) -> str:
    """
    Choose the mode for a learner who names none (MODE-06, MODE-07).

    Args:
        usable: Slugs of the usable modes of the course.

    Returns:
        The configured default when offered, else ``audit``, else ``honor``, else the
        configured default although it is not offered.
    """
    configured = conf.ENROLLMENTS_DEFAULT_MODE
    for slug in (configured, CourseMode.AUDIT, CourseMode.HONOR):
        if slug in usable:
            return slug
    return configured


def is_mode_slug(slug: object) -> bool:
    """Return whether an enrollment could hold this slug at all."""
    return is_storable(slug, MAX_SLUG) and bool(slug.strip())


def unavailable_text(slug: object, course_id: str, offered: Iterable[str]) -> str:
    """
    Return the text of ``CourseModeNotFoundError`` (MODE-10).

    Args:
        slug: The mode asked for.
        offered: Slugs of the modes considered.
    """
    return (
        f"Specified course mode '{slug}' unavailable for course {course_id}.  "
        f"Available modes were: {', '.join(offered)}"
    )


def proctored_modes(facts: CourseFacts) -> list[str]:
    """
    List the modes whose learners may sit the course's proctored exams (SVC-05).

    Returns:
        Slugs of ``ENROLLMENTS_PROCTORED_MODES``, and ``honor`` where the course's
        provider allows it; an unknown provider does not (PROC-05).
    """
    provider = conf.ENROLLMENTS_PROCTORING_BACKENDS.get(facts.proctoring_provider, {})
    modes = list(conf.ENROLLMENTS_PROCTORED_MODES)
    if provider.get("allow_honor_mode", False):
        modes.append(CourseMode.HONOR)
    return modes
