"""Move roles and invitations to the new id of a course (contract §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, Q

from django_enrollments.core.transactions import (
    conflict_on_integrity_error,
    retry_on_conflict,
    write_transaction,
)
from django_enrollments.models import CourseAccessRole, CourseEnrollmentAllowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

    from django_enrollments.payloads import RenamedDict

#: Number of rows per DELETE statement.
_ROWS_PER_STATEMENT = 500


def rename_course_id(old: str, new: str, *, using: str) -> RenamedDict:
    """
    Move the roles and invitations of a course id to another id, in one transaction.

    Returns:
        The numbers of ``roles`` and ``invitations`` with the old id.
    """

    def attempt(_lock: bool) -> RenamedDict:
        roles = CourseAccessRole.objects.using(using).order_by()
        invitations = CourseEnrollmentAllowed.objects.using(using).order_by()
        # The same role may be granted, or the same address invited, under the new id.
        with conflict_on_integrity_error(), write_transaction(using):
            return {
                "roles": _move(roles, old, new, _held_twice(roles, old, new)),
                "invitations": _move(
                    invitations, old, new, _weaker_ones(invitations, old, new)
                ),
            }

    return retry_on_conflict(attempt, using=using)


def _move(rows: QuerySet[Any], old: str, new: str, superfluous: Sequence[int]) -> int:
    """Delete duplicates, move the rest, and return the number of both."""
    count = rows.filter(course_id=old).count()
    for start in range(0, len(superfluous), _ROWS_PER_STATEMENT):
        rows.filter(pk__in=superfluous[start : start + _ROWS_PER_STATEMENT]).delete()
    rows.filter(course_id=old).update(course_id=new)
    return count


def _held_twice(roles: QuerySet[CourseAccessRole], old: str, new: str) -> list[int]:
    """Return the keys of roles on the old id that the user also has on the new id."""
    same = {name: OuterRef(name) for name in ("user", "org", "role")}
    twins = roles.filter(course_id=new, **same)
    held = roles.filter(Exists(twins), course_id=old)
    return list(held.values_list("pk", flat=True))


def _weaker_ones(
    invitations: QuerySet[CourseEnrollmentAllowed], old: str, new: str
) -> list[int]:
    """
    Return the keys of invitations whose address has a preferred one under the other id.

    The used invitation is preferred, because its user may enroll again. Next is one
    that enrolls at once, then the one for the new id.
    """
    to_either = invitations.filter(course_id__in=[old, new])
    others = to_either.filter(~Q(pk=OuterRef("pk")), email=OuterRef("email"))
    # Both must stay unused until the end of the transaction.
    pairs = list(to_either.filter(Exists(others)).order_by("pk").select_for_update())
    pairs.sort(
        key=lambda one: (one.user_id is not None, one.auto_enroll, one.course_id == new)
    )
    prevailing = {one.email: one.pk for one in pairs}
    return [one.pk for one in pairs if prevailing[one.email] != one.pk]
