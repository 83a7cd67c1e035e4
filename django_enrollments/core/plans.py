"""One learner's change from the moment it is meant until it is settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django_enrollments.core.eligibility import Refusal
    from django_enrollments.core.history import Change
    from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed

Status = Literal["created", "reactivated", "mode_changed", "unchanged", "deactivated"]


@dataclass
class Outcome:
    """
    What became of one learner.

    Attributes:
        enrollment: The row as it is now; ``None`` where there is none.
        status: What was done.
        refusal: Why nothing was done, if it was refused.
    """

    enrollment: CourseEnrollment | None = None
    status: Status = "unchanged"
    refusal: Refusal | None = None

    def unwrap(self) -> CourseEnrollment:
        """
        Return the enrollment.

        Raises:
            CourseEnrollmentError: The refusal, when there was one.
        """
        if self.refusal:
            raise self.refusal.error
        assert self.enrollment is not None  # noqa: S101 - no refusal means a row.
        return self.enrollment


@dataclass
class Plan:
    """
    One learner's change while it is being decided.

    Attributes:
        change: What is to become of the enrollment.
        outcome: What has become of it so far.
        invitation: The invitation that enrolling uses up, if there is one.
        waits: Whether somebody else must be settled first.
        replaced: The row in a deleted course that the unique constraint does not tell
            from the new row, because the ids differ in case or accents only.
    """

    change: Change
    outcome: Outcome
    invitation: CourseEnrollmentAllowed | None = None
    waits: bool = False
    replaced: CourseEnrollment | None = None

    @property
    def is_pending(self) -> bool:
        """Whether there is something to write and nothing has refused it."""
        is_held = self.waits or self.outcome.refusal is not None
        return not is_held and not self.change.is_empty

    def refuse(self, refusal: Refusal) -> None:
        """
        Leave the enrollment as it is.

        Args:
            refusal: Why.
        """
        self.outcome.refusal = refusal


def pending(plans: Iterable[Plan]) -> list[Plan]:
    """
    Return the plans that are still to be judged or written.

    Args:
        plans: Plans.
    """
    return [plan for plan in plans if plan.is_pending]
