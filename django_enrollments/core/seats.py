"""Room in a course, decided under a lock (section CAP, B-15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections
from django.db.models import Count, F, Value

from django_enrollments.context import read_alias
from django_enrollments.core.sql import count_seats
from django_enrollments.core.transactions import (
    Conflict,
    lock_row,
    take_sqlite_write_lock,
)
from django_enrollments.course_model import all_courses
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    get_course_adapter,
)
from django_enrollments.models.fields import ExactText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_enrollments.core.course_info import CourseInfo
    from django_enrollments.payloads import SeatsDict


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

    def as_data(self) -> SeatsDict:
        """Return the seats as ``explain_enrollment`` returns them."""
        return {"capacity": self.capacity, "taken": self.taken, "left": self.left}


def read_seats(info: CourseInfo, *, using: str | None = None) -> Seats:
    """Return the seats of a course, counted without a lock."""
    holders = CourseEnrollment.objects.using(using or read_alias())
    taken = holders.holding_seats(info.key, info.course_id).count()
    return Seats(info.facts.max_student_enrollments_allowed, taken)


def read_seats_of_many(
    infos: Sequence[CourseInfo],
) -> tuple[dict[Any, Seats], set[tuple[Any, Any]]]:
    """
    Return the seats of several courses, counted without a lock.

    It makes three queries for any number of courses, two if none of them has staff.

    Returns:
        The seats by primary key of the course; and the staff, who take no seat, as
        pairs of the course's key and the user's (CAP-03, CAP-05).
    """
    keys = {info.course_id: info.key for info in infos}
    rows = CourseEnrollment.objects.using(read_alias()).active().order_by()
    rows = rows.filter(course__in=keys.values())
    columns = ["course"]
    if any(isinstance(key, str) for key in keys.values()):
        # Those of a deleted course whose id only looks alike take no seat.
        rows = rows.annotate(enrollments_course_key=ExactText(F("course_id")))
        columns.append("enrollments_course_key")
    counted = rows.values_list(*columns).annotate(Count("pk"))
    taken = {key: count for key, *_, count in counted}
    roles = CourseAccessRole.objects.using(read_alias()).order_by()
    roles = roles.filter(course_id__in=keys, role__in=CourseAccessRole.CAPACITY_EXEMPT)
    staff = {
        (keys[course_id], member)
        for course_id, member in roles.values_list("course_id", "user")
    }
    if staff:
        seated = rows.filter(user__in=roles.values("user"))
        for key, _ in staff.intersection(seated.values_list("course", "user")):
            taken[key] -= 1
    seats = {
        info.key: Seats(
            info.facts.max_student_enrollments_allowed, taken.get(info.key, 0)
        )
        for info in infos
    }
    return seats, staff


def has_new_limit(info: CourseInfo, *, using: str) -> bool:
    """
    Return whether a course that had no capacity when it was read has one by now.

    Raises:
        Conflict: The course has been deleted.
    """
    path = get_course_adapter().max_student_enrollments_allowed
    if not isinstance(path, str) or info.course is None:
        return False
    for capacity in all_courses(using).filter(pk=info.key).values_list(path):
        return bool(capacity != (None,))
    raise Conflict


def lock_seats(info: CourseInfo, *, using: str) -> Seats:
    """
    Lock the seats of a course until commit, and count them.

    Lock and count are two statements: a count within the locking statement would see
    the state from before it waited.

    Raises:
        Conflict: The course has been deleted since it was read.
    """
    # What can be built before others wait for the lock is built here.
    course = all_courses(using).filter(pk=info.key).order_by()
    path = get_course_adapter().max_student_enrollments_allowed
    taken: Any = count_seats(info.key, info.course_id, using=using)
    holders: Any = ()
    if _needs_locking_reads(connections[using]):
        # They lock rows, so they can neither count nor follow a path.
        holders = CourseEnrollment.objects.using(using).order_by()
        holders = holders.holding_seats(info.key, info.course_id)
        holders = holders.select_for_update().values_list("pk")
        course, taken = course.select_for_update(), Value(0)
        path = None if isinstance(path, str) and "__" in path else path
    known = Value(info.facts.max_student_enrollments_allowed)
    # The capacity may have been lowered since the course was read.
    found = course.values_list(taken, F(path) if isinstance(path, str) else known)
    if connections[using].vendor == "sqlite":
        take_sqlite_write_lock(using)
    else:
        lock_row(all_courses(using).filter(pk=info.key))
    held = len(holders)
    for count, capacity in found:
        return Seats(capacity, held + count)
    raise Conflict


def _needs_locking_reads(connection: BaseDatabaseWrapper) -> bool:
    """
    Return whether only a locking read sees what was committed since a snapshot.

    Which is so on MariaDB and MySQL at the level that is their default, but not
    Django's. See Note [Above READ COMMITTED] in ``transactions``.
    """
    if connection.vendor != "mysql":
        return False
    options = settings.DATABASES[connection.alias].get("OPTIONS", {})
    level = options.get("isolation_level", "read committed")
    # None leaves the level to the server.
    return str(level).lower() not in {"read committed", "read uncommitted"}


def capacity_exempt_users(
    info: CourseInfo, user_keys: Sequence[Any], *, using: str
) -> set[Any]:
    """Return the keys of the users who take no seat: course staff (CAP-03, CAP-05)."""
    roles = CourseAccessRole.objects.using(using).exempt_from_capacity(info.course_id)
    return set(roles.filter(user__in=user_keys).values_list("user", flat=True))


def find_active_users(
    info: CourseInfo, user_keys: Sequence[Any], *, using: str
) -> set[Any]:
    """Return the keys of users with an active enrollment, whatever the snapshot."""
    if not user_keys:
        return set()
    rows = CourseEnrollment.objects.using(using).active().order_by()
    rows = rows.of_course_key(info.key).filter(user__in=user_keys)
    connection = connections[using]
    if connection.in_atomic_block and _needs_locking_reads(connection):
        rows = rows.select_for_update()
    return set(rows.values_list("user", flat=True))
