"""Room in a course, decided under a lock (section CAP, B-15)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models import Count, F
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import RawSQL

from django_enrollments.context import read_alias
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
from django_enrollments.models.fields import ToTheLetter
from django_enrollments.selects import where_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from django_enrollments.core.course_info import CourseOffer
    from django_enrollments.payloads import SeatsDict

#: How long a course that was found full is looked at before it is locked.
SOLD_OUT_SECONDS = 10

#: Most courses that are known for it.
_MOST_SOLD_OUT = 1_000

#: When this process last found a course full, by alias and primary key.
_sold_out: dict[tuple[str, Any], float] = {}


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


def look_at_seats_of_many(
    offers: Sequence[CourseOffer], user: Any
) -> dict[Any, tuple[Seats, bool]]:
    """
    Count the seats of several courses as things stand now, without a lock.

    Takes three queries however many courses there are, two where none has staff.

    Args:
        offers: The courses.
        user: A saved user.

    Returns:
        By primary key of the course, its seats and whether the user needs one: course
        staff does not (CAP-03, CAP-05).
    """
    keys = {offer.course_id: offer.key for offer in offers}
    rows = CourseEnrollment.objects.using(read_alias()).active().order_by()
    rows = rows.filter(course__in=keys.values())
    columns = ["course"]
    if any(isinstance(key, str) for key in keys.values()):
        # Those of a deleted course whose id only looks alike take no seat.
        rows = rows.annotate(enrollments_course_key=ToTheLetter(F("course_id")))
        columns.append("enrollments_course_key")
    counted = rows.values_list(*columns).annotate(Count("pk"))
    taken = {key: count for key, *_, count in counted}
    roles = CourseAccessRole.objects.using(read_alias()).order_by()
    roles = roles.filter(
        course_id__in=keys, role__in=CourseAccessRole.OUTSIDE_THE_COUNT
    )
    staff = {
        (keys[course_id], member)
        for course_id, member in roles.values_list("course_id", "user")
    }
    if staff:
        seated = rows.filter(user__in=roles.values("user"))
        for key, _ in staff.intersection(seated.values_list("course", "user")):
            taken[key] -= 1
    return {
        offer.key: (
            Seats(offer.facts.max_student_enrollments_allowed, taken.get(offer.key, 0)),
            (offer.key, user.pk) not in staff,
        )
        for offer in offers
    }


def has_got_limit(offer: CourseOffer, *, using: str) -> bool:
    """
    Return whether a course that had no capacity when it was read has one by now.

    Args:
        offer: The course.
        using: Database alias.

    Raises:
        Conflict: The course has been deleted.
    """
    path = get_course_adapter().max_student_enrollments_allowed
    if not isinstance(path, str) or offer.course is None:
        return False
    for capacity in all_courses(using).filter(pk=offer.key).values_list(path):
        return bool(capacity != (None,))
    raise Conflict


def remember_sold_out(offer: CourseOffer, *, using: str) -> None:
    """
    Remember for a moment that a course has been found full.

    Args:
        offer: The course.
        using: Database alias.
    """
    if len(_sold_out) >= _MOST_SOLD_OUT:
        _sold_out.clear()
    _sold_out[using, offer.key] = time.monotonic()


def is_still_sold_out(offer: CourseOffer, *, using: str) -> bool:
    """
    Return whether a course that was full a moment ago is full now, without a lock.

    To be turned away takes no lock, only to be let in does. Everybody who wants the
    last seats and gets none would queue for it otherwise. This process must have found
    the course full of late, lest everybody else pay for a look that tells nothing.

    Args:
        offer: The course.
        using: Database alias.
    """
    connection = connections[using]
    since = _sold_out.get((using, offer.key))
    if since is None or time.monotonic() - since > SOLD_OUT_SECONDS:
        return False
    if not connection.get_autocommit() or _needs_locking_reads(connection):
        # What a transaction sees may be out of date.
        return False
    seats = _prepare_count(offer, using=using)()
    return seats is not None and seats.are_full


def lock_seats(offer: CourseOffer, *, using: str) -> Seats:
    """
    Count the seats and keep everybody else from taking one until commit.

    Lock and count are two statements: a count within the locking statement would see
    the state from before it waited. The count is put together before the lock is there,
    since Django takes longer for that than databases do to count.

    Args:
        offer: A course with a capacity.
        using: Database alias, within a transaction.

    Raises:
        Conflict: The course has been deleted since it was read.
    """
    count = _prepare_count(offer, using=using)
    if connections[using].vendor == "sqlite":
        take_sqlite_write_lock(using)
    else:
        lock_row(all_courses(using).filter(pk=offer.key))
    seats = count()
    if seats is None:
        raise Conflict
    return seats


def _prepare_count(offer: CourseOffer, *, using: str) -> Callable[[], Seats | None]:
    """
    Return a function that counts the seats and reads the capacity again.

    An operator may have lowered it since the course was read. The function returns
    ``None`` where the course has been deleted.
    """
    courses = all_courses(using).filter(pk=offer.key)
    known = offer.facts.max_student_enrollments_allowed
    path = get_course_adapter().max_student_enrollments_allowed
    if _needs_locking_reads(connections[using]):
        holders = CourseEnrollment.objects.using(using).order_by()
        holders = holders.holding_seats(offer.key, offer.course_id)
        list_holders = _prepare(holders.select_for_update().values_list("pk"))
        own = path if isinstance(path, str) and LOOKUP_SEP not in path else None
        locked = courses.select_for_update().values_list(own or "pk")
        list_capacities = _prepare(locked)

        def count_locked() -> Seats | None:
            taken = len(list_holders())
            for (capacity,) in list_capacities():
                return Seats(capacity if own else known, taken)
            return None

        return count_locked
    taken_now = _count_of(offer, connections[using])
    columns = (taken_now, path) if isinstance(path, str) else (taken_now,)
    list_both = _prepare(courses.values_list(*columns))

    def count() -> Seats | None:
        for taken, *capacity in list_both():
            return Seats(capacity[0] if capacity else known, taken)
        return None

    return count


def _count_of(offer: CourseOffer, connection: BaseDatabaseWrapper) -> RawSQL:
    """
    Return the count of those who hold seats: of all in the course but its staff.

    It is what ``CourseEnrollmentQuerySet.holding_seats`` counts. But everybody else
    waits for this count, and asking of each learner whether they are staff takes longer
    than counting all and then, beginning with the staff, who are few, them.
    """
    quote = connection.ops.quote_name
    enrollments = quote(CourseEnrollment._meta.db_table)
    roles = quote(CourseAccessRole._meta.db_table)
    within, inside = where_sql(
        CourseEnrollment, {"course": offer.key, "is_active": True}, connection
    )
    if isinstance(offer.key, str):
        # Those of a deleted course whose id only looks alike take no seat.
        column = quote(CourseEnrollment._meta.get_field("course").column)
        letters = {"sqlite": "{} COLLATE BINARY", "mysql": "CAST({} AS BINARY)"}
        letter = letters.get(connection.vendor, '{} COLLATE "C"').format(column)
        within, inside = f"{within} AND {letter} = %s", [*inside, offer.key]
    is_staff = {
        "course_id": offer.course_id,
        "role": sorted(CourseAccessRole.OUTSIDE_THE_COUNT),
    }
    of_staff, staff = where_sql(CourseAccessRole, is_staff, connection)
    # Only names are put into it; values are parameters.
    count = f"SELECT COUNT(*) FROM {enrollments} WHERE {within}"  # noqa: S608
    members = f"SELECT user_id FROM {roles} WHERE {of_staff}"  # noqa: S608
    sql = f"({count}) - ({count} AND user_id IN ({members}))"
    parameters = [*inside, *inside, *staff]
    return RawSQL(sql, parameters, models.IntegerField())  # noqa: S611 - As above.


def _prepare(rows: QuerySet[Any, Any]) -> Callable[[], list[Sequence[Any]]]:
    """Put the statement of a query together, and give what executes it."""
    compiler = rows.query.get_compiler(rows.db)
    statement = compiler.as_sql()
    converters = compiler.get_converters([column for column, *_ in compiler.select])

    def execute() -> list[Sequence[Any]]:
        with connections[rows.db].cursor() as cursor:
            cursor.execute(*statement)
            return [*compiler.apply_converters(cursor.fetchall(), converters)]

    return execute


def _needs_locking_reads(connection: BaseDatabaseWrapper) -> bool:
    """
    Return whether only a locking read sees what was committed since a snapshot.

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
    Return the keys of users outside the count: course staff (CAP-03, CAP-05).

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
    Return the keys of users with an active enrollment, whatever the snapshot.

    Args:
        offer: The course.
        user_keys: Primary keys of users.
        using: Database alias.
    """
    if not user_keys:
        return set()
    rows = CourseEnrollment.objects.using(using).active().order_by()
    rows = rows.of_course_key(offer.key).filter(user__in=user_keys)
    connection = connections[using]
    if connection.in_atomic_block and _needs_locking_reads(connection):
        rows = rows.select_for_update()
    return set(rows.values_list("user", flat=True))
