"""One reading of a course and its modes, shared by everything one call does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from django.db import router

from django_enrollments.backends.courses import CourseFacts, facts_of
from django_enrollments.context import call_context, read_alias
from django_enrollments.core.modes import (
    MODE_COLUMNS,
    Mode,
    default_mode,
    default_slug,
)
from django_enrollments.core.sql import select_rows
from django_enrollments.datetimes import to_iso
from django_enrollments.errors import CourseNotFoundError
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import CourseMode, get_course_adapter, get_course_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django_enrollments.context import Call
    from django_enrollments.payloads import CourseDict, EnrollmentDict


@dataclass
class CourseInfo:
    """
    A course as enrolling sees it.

    Attributes:
        key: Primary key of the host's course.
        facts: What the adapter read.
        course: The host's own course object; ``None`` where it has been deleted or
            does not exist (MDL-04).
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

    def usable(
        self,
        *,
        at: datetime,
        include_expired: bool = False,
        only_selectable: bool = False,
    ) -> list[Mode]:
        """
        Return the modes that count, in creation order; one query the first time.

        It is the default mode if none is left (MODE-03…05, MODE-18).

        Args:
            at: Aware datetime.
            include_expired: Whether expired modes count too.
            only_selectable: Whether to leave out credit, which cannot be chosen at
                first.
        """
        if self._modes is None:
            where = {"course": self.key}
            rows = select_rows(
                CourseMode, MODE_COLUMNS, where, using=self.using, in_order=True
            )
            self._modes = tuple(map(Mode._make, rows))
        usable = [
            mode
            for mode in self._modes
            if (include_expired or not mode.has_expired(at))
            and not (only_selectable and mode.slug == CourseMode.CREDIT)
        ]
        return usable or [default_mode()]

    def default_slug(self, *, at: datetime) -> str:
        """Return the mode of a learner for whom no mode is named (MODE-06)."""
        selectable = self.usable(at=at, only_selectable=True)
        return default_slug([mode.slug for mode in selectable])

    def as_data(self, *, at: datetime, include_expired: bool = False) -> CourseDict:
        """Return the course as it is on the wire (V1-SER-05…11)."""
        facts = self.facts
        modes = self.usable(at=at, include_expired=include_expired)
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


def enrollment_as_data(
    created: Any, mode: str, is_active: bool, course: CourseDict | None, username: str
) -> EnrollmentDict:
    """Return an enrollment as it is on the wire (V1-SER-01)."""
    return {
        "created": to_iso(created),
        "mode": mode,
        "is_active": is_active,
        "course_details": course,
        "user": username,
    }


def find_course_info(
    course_id: object, call: Call, using: str | None = None
) -> CourseInfo | None:
    """
    Return the course with this id, or ``None``; one query for one call.

    ``course_id`` may be anything whose ``str()`` is the id, or an instance of the
    course model, which is read again.
    """
    if isinstance(course_id, get_course_model()):
        is_new = course_id._state.adding
        return None if is_new else find_course_info_by_key(course_id.pk, call, using)
    text = find_course_id(course_id)
    return None if text is None else _read("course_id", text, call, using)


def find_course_info_by_key(
    key: Any, call: Call, using: str | None = None
) -> CourseInfo | None:
    """Return the course with this primary key, or ``None``; one query for one call."""
    return _read("key", key, call, using)


def get_course_info(
    course_id: object, call: Call, using: str | None = None
) -> CourseInfo:
    """
    Return the course with this id, as :func:`find_course_info` does.

    Raises:
        CourseNotFoundError: There is none (DATA-10), or it is no course id (DATA-13).
    """
    info = find_course_info(course_id, call, using)
    if info is None:
        raise _unknown(course_id)
    return info


def get_course_infos(
    courses: Iterable[object], call: Call, using: str | None = None
) -> list[CourseInfo]:
    """
    Return the courses with these ids, in order, without their modes.

    It makes one query for all ids, and one for all instances.

    Raises:
        CourseNotFoundError: One is unknown (DATA-10), or no course id (DATA-13).
    """
    courses = list(courses)
    using = using or read_alias() or router.db_for_read(get_course_model())
    adapter, model = get_course_adapter(), get_course_model()
    instances = [course for course in courses if isinstance(course, model)]
    keys = {course.pk for course in instances if not course._state.adding}
    ids = {find_course_id(one) for one in courses if not isinstance(one, model)}
    texts = {text for text in ids if text is not None}
    call.readings.update((("course_id", text, using), None) for text in texts)
    for course in adapter.find_courses_by_key(keys, using) if keys else ():
        _remember(course, call, using)
    for course in adapter.find_courses(texts, using) if texts else ():
        info = _remember(course, call, using)
        call.readings["course_id", info.course_id, using] = info
    return [get_course_info(course, call, using) for course in courses]


def read_modes(infos: Sequence[CourseInfo]) -> None:
    """Read the modes of several courses, in one query."""
    using = infos[0].using if infos else None
    by_key = {info.key: info for info in infos}
    modes: dict[Any, list[Mode]] = {key: [] for key in by_key}
    columns, where = ("course", *MODE_COLUMNS), {"course": [*by_key]}
    rows = select_rows(CourseMode, columns, where, using=using, in_order=True)
    for key, *values in rows:
        # A collation that ignores case also finds keys that merely look alike.
        if key in modes:
            modes[key].append(Mode._make(values))
    for key, info in by_key.items():
        info._modes = tuple(modes[key])


def read_latest(info: CourseInfo, *, using: str) -> CourseInfo:
    """
    Return a course as the call under way has read it last.

    After a conflict that is a new reading; see Note [Decide first, write once].

    Raises:
        CourseNotFoundError: The course has been deleted meanwhile.
    """
    if info.course is None:
        return info
    with call_context() as call:
        latest = find_course_info_by_key(info.key, call, using)
    if latest is None:
        raise _unknown(info.course_id)
    return latest


def deleted_course_info(key: Any, course_id: str) -> CourseInfo:
    """Return the data for a deleted course, so that its enrollments can change."""
    return CourseInfo(key, CourseFacts(course_id), None, _modes=())


def _unknown(course_id: object) -> CourseNotFoundError:
    return CourseNotFoundError(
        f"Requested enrollment information for unknown course {course_id}"
    )


def _read(
    name: Literal["course_id", "key"], value: Any, call: Call, using: str | None
) -> CourseInfo | None:
    using = using or read_alias() or router.db_for_read(get_course_model())
    known = (name, value, using)
    if known not in call.readings:
        adapter = get_course_adapter()
        by_key = name == "key"
        find = adapter.find_course_by_key if by_key else adapter.find_course
        course = find(value, using)
        # A host's course may count as false, by a length of 0 for one.
        is_known = course is not None
        call.readings[known] = _remember(course, call, using) if is_known else None
    found: CourseInfo | None = call.readings[known]
    return found


def _remember(course: Any, call: Call, using: str) -> CourseInfo:
    info = CourseInfo(course.pk, facts_of(course), course, using)
    call.readings["key", info.key, using] = info
    return info
