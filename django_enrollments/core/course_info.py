"""One reading of a course and its modes, shared by everything one call does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from django.db import router

from django_enrollments.backends.courses import CourseFacts, facts_of
from django_enrollments.context import one_call, read_alias
from django_enrollments.core.modes import (
    MODE_COLUMNS,
    Mode,
    default_slug,
    usable_modes,
)
from django_enrollments.core.sql import select_rows
from django_enrollments.datetimes import to_iso
from django_enrollments.errors import CourseNotFoundError
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import CourseMode, get_course_adapter, get_course_model

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django_enrollments.context import Call
    from django_enrollments.payloads import CourseDict


@dataclass
class CourseOffer:
    """
    A course as enrolling sees it.

    Attributes:
        key: Primary key of the host's course.
        facts: What the adapter read.
        course: The host's own course object; ``None`` where a model method enrolls
            into a course that does not exist (MDL-04).
        using: Database alias it was read from; ``None`` where the router chose.
    """

    key: Any
    facts: CourseFacts
    course: Any | None
    using: str | None = None
    _modes: tuple[Mode, ...] | None = field(default=None, repr=False)

    @property
    def course_id(self) -> str:
        """The course id as text."""
        return self.facts.course_id

    def modes(self) -> tuple[Mode, ...]:
        """Return all modes in creation order (MODE-18); one query the first time."""
        if self._modes is None:
            rows = select_rows(
                CourseMode,
                MODE_COLUMNS,
                {"course": self.key},
                using=self.using,
                in_order=True,
            )
            self._modes = tuple(map(Mode._make, rows))
        return self._modes

    def usable(self, *, at: datetime, include_expired: bool = False) -> list[Mode]:
        """
        Return the modes that count, credit included (MODE-05).

        Args:
            at: When, aware.
            include_expired: Whether expired ones count too.
        """
        return usable_modes(self.modes(), at=at, include_expired=include_expired)

    def default_slug(self, *, at: datetime) -> str:
        """
        Return the mode of a learner who names none (MODE-06).

        Args:
            at: When, aware.
        """
        selectable = usable_modes(self.modes(), at=at, only_selectable=True)
        return default_slug([mode.slug for mode in selectable])

    def as_data(self, *, at: datetime, include_expired: bool = False) -> CourseDict:
        """
        Return the course as it is on the wire (V1-SER-05).

        Args:
            at: When, aware.
            include_expired: Whether expired modes are listed too.
        """
        return course_data(
            self.facts, self.usable(at=at, include_expired=include_expired)
        )


def course_data(facts: CourseFacts, modes: Iterable[Mode]) -> CourseDict:
    """
    Return a course as it is on the wire (V1-SER-05…11).

    Args:
        facts: What the adapter read.
        modes: The modes to list.
    """
    return {
        "course_id": facts.course_id,
        "course_name": facts.display_name,
        "enrollment_start": to_iso(facts.enrollment_start),
        "enrollment_end": to_iso(facts.enrollment_end),
        "course_start": to_iso(facts.start),
        "course_end": to_iso(facts.end),
        "invite_only": facts.invitation_only,
        "course_modes": [mode.as_data() for mode in modes],
        "pacing_type": "Self Paced" if facts.self_paced else "Instructor Paced",
    }


def find_offer(
    course_id: object, call: Call, using: str | None = None
) -> CourseOffer | None:
    """
    Return the course with this id, or ``None``; one query for one call.

    Args:
        course_id: The course id, anything whose ``str()`` it is, or an instance of
            the host's course model; it may be old, so it is read again.
        call: The call under way, which remembers the reading.
        using: Database alias; ``None`` lets the router choose.
    """
    if isinstance(course_id, get_course_model()):
        is_new = course_id._state.adding
        return None if is_new else find_offer_by_key(course_id.pk, call, using)
    text = find_course_id(course_id)
    if text is None:
        return None
    return _read("course_id", text, call, using)


def find_offer_by_key(
    key: Any, call: Call, using: str | None = None
) -> CourseOffer | None:
    """
    Return the course with this primary key, or ``None``; one query for one call.

    Args:
        key: Primary key of the host's course.
        call: The call under way, which remembers the reading.
        using: Database alias; ``None`` lets the router choose.
    """
    return _read("key", key, call, using)


def read_again(offer: CourseOffer, *, using: str) -> CourseOffer:
    """
    Return a course as the call under way has read it last.

    After a conflict that is a new reading; see Note [Decide first, write once].

    Args:
        offer: The course as it was read at first.
        using: Database alias that is written to.

    Raises:
        CourseNotFoundError: The course has been deleted meanwhile.
    """
    if offer.course is None:
        return offer
    with one_call() as call:
        latest = find_offer_by_key(offer.key, call, using)
    if latest is None:
        raise CourseNotFoundError(
            f"Requested enrollment information for unknown course {offer.course_id}"
        )
    return latest


def _read(
    name: Literal["course_id", "key"], value: Any, call: Call, using: str | None
) -> CourseOffer | None:
    using = using or read_alias() or router.db_for_read(get_course_model())
    known = (name, value, using)
    if known not in call.readings:
        adapter = get_course_adapter()
        by_key = name == "key"
        find = adapter.find_course_by_key if by_key else adapter.find_course
        course = find(value, using)
        call.readings[known] = None
        # A host's course may count as false, by a length of 0 for one.
        if course is not None:
            offer = CourseOffer(course.pk, facts_of(course), course, using)
            call.readings[known] = call.readings["key", offer.key, using] = offer
    found: CourseOffer | None = call.readings[known]
    return found


def get_offers(
    courses: Iterable[object], call: Call, using: str | None = None
) -> list[CourseOffer]:
    """
    Return the courses with these ids and their modes, in order.

    Takes one query for ids, one for instances and one for modes, however many.

    Args:
        courses: Each as :func:`find_offer` takes it.
        call: The call under way, which remembers the readings.
        using: Database alias; ``None`` lets the router choose.

    Raises:
        CourseNotFoundError: One is unknown (DATA-10), or no course id (DATA-13).
    """
    courses = list(courses)
    using = using or read_alias() or router.db_for_read(get_course_model())
    adapter = get_course_adapter()
    model = get_course_model()
    keys = {
        course.pk
        for course in courses
        if isinstance(course, model) and not course._state.adding
    }
    texts = {
        text
        for course in courses
        if not isinstance(course, model)
        and (text := find_course_id(course)) is not None
    }
    for course in adapter.find_courses_by_key(keys, using) if keys else ():
        offer = CourseOffer(course.pk, facts_of(course), course, using)
        call.readings["key", offer.key, using] = offer
    call.readings.update((("course_id", text, using), None) for text in texts)
    for course in adapter.find_courses(texts, using) if texts else ():
        offer = CourseOffer(course.pk, facts_of(course), course, using)
        call.readings["course_id", offer.course_id, using] = offer
    offers = [get_offer(course, call, using) for course in courses]
    _read_modes(offers, using)
    return offers


def _read_modes(offers: Iterable[CourseOffer], using: str) -> None:
    by_key = {offer.key: offer for offer in offers}
    modes: dict[Any, list[Mode]] = {key: [] for key in by_key}
    rows = select_rows(
        CourseMode,
        ("course", *MODE_COLUMNS),
        {"course": [*by_key]},
        using=using,
        in_order=True,
    )
    for key, *columns in rows:
        # A collation that ignores case also finds keys that merely look alike.
        if key in modes:
            modes[key].append(Mode._make(columns))
    for key, offer in by_key.items():
        offer._modes = tuple(modes[key])


def orphan_offer(key: Any, course_id: str) -> CourseOffer:
    """
    Stand in for a course that does not exist, so that its enrollments can change.

    Args:
        key: What the enrollments hold as the key of their course.
        course_id: The course id as text.
    """
    return CourseOffer(key, CourseFacts(course_id), None, _modes=())


def get_offer(course_id: object, call: Call, using: str | None = None) -> CourseOffer:
    """
    Return the course with this id.

    Args:
        course_id: As :func:`find_offer` takes it.
        call: The call under way, which remembers the reading.
        using: Database alias; ``None`` lets the router choose.

    Raises:
        CourseNotFoundError: There is none (DATA-10), or it is no course id (DATA-13).
    """
    offer = find_offer(course_id, call, using)
    if offer is None:
        raise CourseNotFoundError(
            f"Requested enrollment information for unknown course {course_id}"
        )
    return offer
