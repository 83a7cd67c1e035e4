"""Room in a course, decided under a lock (section CAP, B-15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Count, Subquery
from django.db.models.constants import LOOKUP_SEP

from django_enrollments.calls import read_alias
from django_enrollments.enrolling.transactions import (
    lock_row,
    take_sqlite_write_lock,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    get_course_adapter,
    get_course_model,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_enrollments.enrolling.catalog import CourseOffer


@dataclass(frozen=True)
class Seats:
    """
    The seats of a course.

    Attributes:
        capacity: How many there are; ``None`` is no limit.
        taken: How many are taken, course staff aside.
    """

    capacity: int | None
    taken: int

    @property
    def left(self) -> int | None:
        """How many are free, never below 0; ``None`` is no limit."""
        return None if self.capacity is None else max(0, self.capacity - self.taken)

    @property
    def are_full(self) -> bool:
        """Whether the next learner would be one too many (CAP-02)."""
        return self.left == 0

    def as_data(self) -> dict[str, int | None]:
        """Give the seats as ``explain_enrollment`` returns them."""
        return {"capacity": self.capacity, "taken": self.taken, "left": self.left}


def look_at_seats(offer: CourseOffer, *, using: str | None = None) -> Seats:
    """
    Count the seats as things stand now, without a lock.

    Args:
        offer: The course.
        using: Database alias; ``None`` lets the router choose.
    """
    holders = CourseEnrollment.objects.using(using or read_alias())
    taken = holders.holding_seats(offer.key, offer.course_id).count()
    return Seats(offer.facts.max_student_enrollments_allowed, taken)


def has_got_limit(offer: CourseOffer, *, using: str) -> bool:
    """
    Tell whether a course that had no capacity when it was read has one by now.

    Args:
        offer: The course.
        using: Database alias.
    """
    path = get_course_adapter().max_student_enrollments_allowed
    if not isinstance(path, str):
        return False
    courses = get_course_model()._base_manager.using(using).filter(pk=offer.key)
    limited: bool = courses.exclude(**{path: None}).exists()
    return limited


def lock_seats(offer: CourseOffer, *, using: str) -> Seats:
    """
    Count the seats and keep everybody else from taking one until commit.

    Lock and count are two statements: a count within the locking statement would see
    the state from before it waited.

    Args:
        offer: A course with a capacity.
        using: Database alias, within a transaction.
    """
    if connections[using].vendor == "sqlite":
        take_sqlite_write_lock(using)
    else:
        courses = get_course_model()._base_manager.using(using)
        lock_row(courses.filter(pk=offer.key))
    return _count_seats(offer, using=using)


def _count_seats(offer: CourseOffer, *, using: str) -> Seats:
    """
    Count under the lock, reading the capacity again in the same statement.

    An operator may have lowered it since the course was read.
    """
    holders = CourseEnrollment.objects.using(using).order_by()
    holders = holders.holding_seats(offer.key, offer.course_id)
    courses = get_course_model()._base_manager.using(using).filter(pk=offer.key)
    capacity = offer.facts.max_student_enrollments_allowed
    path = get_course_adapter().max_student_enrollments_allowed
    if _needs_locking_reads(connections[using]):
        taken = len(holders.select_for_update().values_list("pk"))
        if isinstance(path, str) and LOOKUP_SEP not in path:
            locked = courses.select_for_update().values_list(path, flat=True)
            capacity = locked.first()
        return Seats(capacity, taken)
    if not isinstance(path, str):
        return Seats(capacity, holders.count())
    count = holders.values("course").annotate(taken=Count("*")).values("taken")
    row = courses.values_list(path, Subquery(count)).first()
    return Seats(row[0], row[1] or 0) if row else Seats(capacity, holders.count())


def _needs_locking_reads(connection: BaseDatabaseWrapper) -> bool:
    """
    Tell whether only a locking read sees what was committed since a snapshot.

    Which is so on MariaDB and MySQL at the level that is their default, but not
    Django's. See Note [Above READ COMMITTED] in ``transactions``.
    """
    if connection.vendor != "mysql":
        return False
    level = getattr(connection, "isolation_level", None)
    return level not in {"read committed", "read uncommitted"}


def outside_the_count(
    offer: CourseOffer, user_keys: Sequence[Any], *, using: str
) -> set[Any]:
    """
    Give those who take no seat: staff and instructors of the course (CAP-03, CAP-05).

    Args:
        offer: The course.
        user_keys: Primary keys of users.
        using: Database alias.
    """
    roles = CourseAccessRole.objects.using(using).outside_the_count(offer.course_id)
    return set(roles.filter(user__in=user_keys).values_list("user", flat=True))


def find_seated(
    offer: CourseOffer, user_keys: Sequence[Any], *, using: str
) -> set[Any]:
    """
    Give those who are in the course as things stand now, whatever the snapshot.

    Args:
        offer: The course.
        user_keys: Primary keys of users.
        using: Database alias.
    """
    if not user_keys:
        return set()
    rows = CourseEnrollment.objects.using(using).active().order_by()
    rows = rows.filter(course=offer.key, user__in=user_keys)
    connection = connections[using]
    if connection.in_atomic_block and _needs_locking_reads(connection):
        rows = rows.select_for_update()
    return set(rows.values_list("user", flat=True))
