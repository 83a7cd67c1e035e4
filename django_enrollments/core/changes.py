"""A planned change of one enrollment, and the options of the changes of a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django_enrollments.context import Origin
    from django_enrollments.core.eligibility import Refusal
    from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
    from django_enrollments.payloads import AttributeDict

Status = Literal["created", "reactivated", "mode_changed", "unchanged", "deactivated"]


@dataclass(frozen=True)
class ChangeOptions:
    """
    The rules that changes must meet, their origin and their moment.

    Attributes:
        origin: The actor, source and reason.
        at: The moment, aware.
        using: Database alias to write to.
        access: Whether the permission backends are asked about the learner.
        offered_mode: Whether the course must offer the mode.
        include_expired: Whether expired modes count as offered.
        seats: Whether a seat must be free; false only by ``over_capacity=True``.
        if_active: Whether an active learner is refused, kept, or moved to the mode.
        enterprise_uuid: The enterprise customer, or ``""``.
        skip_refund: Whether receivers are to skip the refunds.
        attributes: What ``clean_attributes`` returned, which replaces the attributes of
            each enrollment that changes; ``None`` leaves them.
    """

    origin: Origin
    at: datetime
    using: str
    access: bool = True
    offered_mode: bool = True
    include_expired: bool = False
    seats: bool = True
    if_active: Literal["refuse", "keep", "change_mode"] = "refuse"
    enterprise_uuid: str = ""
    skip_refund: bool = False
    attributes: Sequence[AttributeDict] | None = None


@dataclass
class Change:
    """
    A change of one enrollment: what is planned, and the outcome.

    Attributes:
        user: The learner.
        course_key: Primary key of the course.
        course_id: The course id as text.
        enrollment: The row: as it was read until the change is written, in its new
            state afterwards; ``None`` where there is none.
        mode: Mode slug afterwards.
        is_active: Whether it is active afterwards.
        invitation: The invitation that enrolling uses up, if any.
        waits: Whether the change of another account with the same address comes first.
        replaced: The row in a deleted course that the unique constraint does not
            distinguish from the new row: the ids differ in case or accents only.
        refusal: The reason why nothing is written, if it was refused.
        status: The outcome.
    """

    user: Any
    course_key: Any
    course_id: str
    enrollment: CourseEnrollment | None
    mode: str
    is_active: bool
    invitation: CourseEnrollmentAllowed | None = None
    waits: bool = False
    replaced: CourseEnrollment | None = None
    refusal: Refusal | None = None
    status: Status = "unchanged"
    #: Mode and activation of the row as it was read.
    before: tuple[str, bool] | None = field(init=False)

    def __post_init__(self) -> None:
        """Remember the state of the row, which the write changes."""
        row = self.enrollment
        self.before = None if row is None else (row.mode, row.is_active)

    @property
    def activates(self) -> bool:
        """Whether a seat is needed that was not needed before."""
        return self.is_active and not (self.before and self.before[1])

    @property
    def deactivates(self) -> bool:
        """Whether the learner leaves."""
        return bool(self.before and self.before[1] and not self.is_active)

    @property
    def changes_mode(self) -> bool:
        """Whether an existing row gets another mode."""
        return self.before is not None and self.before[0] != self.mode

    @property
    def is_pending(self) -> bool:
        """Whether there is something to write and nothing has refused it."""
        is_held = self.waits or self.refusal is not None
        return not is_held and self.before != (self.mode, self.is_active)

    def unwrap(self) -> CourseEnrollment:
        """
        Return the enrollment.

        Raises:
            CourseEnrollmentError: The refusal, if there is one.
        """
        if self.refusal:
            raise self.refusal.error
        assert self.enrollment is not None  # noqa: S101 - no refusal means a row.
        return self.enrollment

    def list_events(self) -> list[dict[str, Any]]:
        """Return the fields in which the events differ: activation first, then mode."""
        if self.before is None:
            return [_event("created", (None, None), (self.mode, self.is_active))]
        mode, was_active = self.before
        events = []
        if self.is_active != was_active:
            name = "activated" if self.is_active else "deactivated"
            events.append(_event(name, self.before, (mode, self.is_active)))
        if self.mode != mode:
            before, after = (mode, self.is_active), (self.mode, self.is_active)
            events.append(_event("mode_changed", before, after))
        return events


def _event(
    name: str, before: tuple[str | None, bool | None], after: tuple[str, bool]
) -> dict[str, Any]:
    return {
        "type": name,
        "mode_before": before[0],
        "mode_after": after[0],
        "active_before": before[1],
        "active_after": after[1],
    }


def pending(changes: Iterable[Change]) -> list[Change]:
    """Return the changes that are still to be checked or written."""
    return [change for change in changes if change.is_pending]
