"""
The types of the dictionaries that the Python API returns, for annotations of hosts.

They are plain dictionaries at run time, and pass ``json.dumps``. Moments are ISO 8601
text in UTC, ending in ``Z``.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - for typing.get_type_hints().
from typing import Any, Literal, TypedDict

#: The outcome of a row of a bulk call.
BulkStatus = Literal[
    "created",
    "reactivated",
    "mode_changed",
    "unchanged",
    "deactivated",
    "invited",
    "uninvited",
    "error",
]


class ModeDict(TypedDict):
    """A mode of a course (V1-SER-12)."""

    slug: str
    name: str
    min_price: int
    #: Whole numbers; ``""`` where there are none.
    suggested_prices: list[int] | str
    currency: str
    expiration_datetime: str | None
    description: str | None
    sku: str | None
    bulk_sku: str | None


class CourseDict(TypedDict):
    """A course with its modes (V1-SER-05)."""

    course_id: str
    course_name: str
    enrollment_start: str | None
    enrollment_end: str | None
    course_start: str | None
    course_end: str | None
    invite_only: bool
    course_modes: list[ModeDict]
    pacing_type: Literal["Self Paced", "Instructor Paced"]


class EnrollmentDict(TypedDict):
    """An enrollment (V1-SER-01)."""

    created: str
    mode: str
    is_active: bool
    #: ``None`` when the course is deleted.
    course_details: CourseDict | None
    #: The learner's username.
    user: str


class AttributeDict(TypedDict):
    """An attribute of an enrollment (DATA-08)."""

    namespace: str
    name: str
    value: str


class RefusalDict(TypedDict):
    """A rule that refuses an enrollment."""

    #: One of the codes of ``explain_enrollment``.
    code: str
    message: str
    #: When the refusal ends by itself; ``None`` when it does not.
    changes_at: str | None


class SeatsDict(TypedDict):
    """The seats of a course; without a capacity, ``capacity`` and ``left`` are null."""

    capacity: int | None
    taken: int
    left: int | None


class ExplanationDict(TypedDict):
    """The result of ``explain_enrollment``."""

    allowed: bool
    reasons: list[RefusalDict]
    seats: SeatsDict
    #: The slug of the mode that was judged.
    mode: str


class BulkResultDict(TypedDict):
    """The result of one row of ``bulk_enroll``."""

    #: The username, address or key of the row.
    identifier: str | int | None
    status: BulkStatus
    #: The code of the error; ``None`` without one.
    code: str | None
    message: str


class RenamedDict(TypedDict):
    """The numbers of rows that ``rename_course_id`` moved."""

    roles: int
    invitations: int


class EventDict(TypedDict):
    """An event of the history, as ``event.to_dict()`` returns it (contract §8)."""

    event_id: str
    type: str
    time: str
    user_id: int | str | None
    username: str
    course_id: str
    mode_before: str | None
    mode_after: str
    active_before: bool | None
    active_after: bool
    actor_id: int | str | None
    source: str
    reason: str
    enterprise_uuid: str


class BulkOptions(TypedDict, total=False):
    """The keyword arguments that every signature of ``bulk_enroll`` has."""

    force: bool
    over_capacity: bool
    skip_refund: bool
    actor: Any
    reason: str
    source: str
    at: datetime | None


class ImportOptions(TypedDict, total=False):
    """The keyword arguments of ``csv_import.preview`` and ``csv_import.apply``."""

    force: bool
    over_capacity: bool
    actor: Any
    reason: str
    source: str
