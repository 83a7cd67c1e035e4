"""Room in a course, decided under a lock (section CAP, B-15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Count, F, Subquery

from django_enrollments.enrolling.transactions import take_sqlite_write_lock
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
    holders = CourseEnrollment.objects.all()
    if using:
        holders = holders.using(using)
    taken = holders.holding_seats(offer.key, offer.course_id).count()
    return Seats(offer.facts.max_student_enrollments_allowed, taken)


def lock_seats(offer: CourseOffer, *, using: str) -> Seats:
    """
    Count the seats and keep everybody else from taking one until commit.

    Lock and count are two statements: a count within the locking statement would see
    the state from before it waited.

    Args:
        offer: A course with a capacity.
        using: Database alias, within a transaction.
    """
    connection = connections[using]
    if connection.vendor == "sqlite":
        take_sqlite_write_lock(using)
    else:
        courses = get_course_model()._base_manager.using(using).filter(pk=offer.key)
        if _keeps_snapshot(connection) and connection.vendor == "postgresql":
            # A row lock would be granted and the count still see the old snapshot;
            # a write is refused as a serialization failure, and decided anew.
            key = courses.model._meta.pk.attname
            courses.update(**{key: F(key)})
        else:
            no_key = connection.features.has_select_for_no_key_update
            locked = courses.order_by().select_for_update(no_key=no_key)
            list(locked.values_list("pk"))
    return _count_seats(offer, using=using)


def _count_seats(offer: CourseOffer, *, using: str) -> Seats:
    """
    Count under the lock, reading the capacity again in the same statement.

    An operator may have lowered it since the course was read.
    """
    holders = CourseEnrollment.objects.using(using).order_by()
    holders = holders.holding_seats(offer.key, offer.course_id)
    capacity = offer.facts.max_student_enrollments_allowed
    connection = connections[using]
    if _keeps_snapshot(connection) and connection.vendor == "mysql":
        # Only a locking read sees beyond the snapshot of a transaction that had read
        # before it came here.
        return Seats(capacity, len(holders.select_for_update().values_list("pk")))
    path = get_course_adapter().max_student_enrollments_allowed
    if not isinstance(path, str):
        return Seats(capacity, holders.count())
    taken = holders.values("course").annotate(taken=Count("*")).values("taken")
    courses = get_course_model()._base_manager.using(using).filter(pk=offer.key)
    row = courses.values_list(path, Subquery(taken)).first()
    return Seats(row[0], row[1] or 0) if row else Seats(capacity, holders.count())


def _keeps_snapshot(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether the host chose an isolation level above READ COMMITTED."""
    level = getattr(connection, "isolation_level", None)
    if connection.vendor == "postgresql":
        # psycopg's levels: READ UNCOMMITTED 1 … SERIALIZABLE 4; None is the default.
        name = getattr(level, "name", "READ_COMMITTED")
        return name not in {"READ_UNCOMMITTED", "READ_COMMITTED"}
    if connection.vendor == "mysql":
        # None leaves the server's own default, which is REPEATABLE READ.
        return level not in {"read committed", "read uncommitted"}
    return False


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
