"""The checks of the command ``enrollments_doctor``, one module per subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_enrollments.management.doctor.feed import check_feed
from django_enrollments.management.doctor.findings import Finding
from django_enrollments.management.doctor.history import check_history
from django_enrollments.management.doctor.rows import (
    check_courses,
    check_invitations,
    check_modes,
    check_seats,
    check_users,
)
from django_enrollments.management.doctor.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CHECKS", "Finding"]

#: The checks by name. The others read tables that the first one looks at.
CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "schema": check_schema,
    "seats": check_seats,
    "history": check_history,
    "courses": check_courses,
    "modes": check_modes,
    "invitations": check_invitations,
    "users": check_users,
    "feed": check_feed,
}
