"""
The data that everything is measured on, the same on every machine and database.

A fifth or so of the rows belong to learners and courses that are measured; the rest
are there to be passed over. It is kept between runs, and every measurement leaves it
as it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DatabaseError, connection, transaction

from django_enrollments.models import (
    Course,
    CourseEnrollment,
    CourseMode,
    EnrollmentEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.models import Model

#: How many enrollments learners have whose lists are measured.
LIST_LENGTHS = (1, 10, 100, 500)

#: The modes of every course.
MODES = ("audit", "honor", "verified")

#: When the first learner enrolled, and how much later the last.
FIRST = datetime(2022, 1, 1, tzinfo=timezone.utc)
SPAN = timedelta(days=4 * 365)

#: Rows in one statement of a server that takes many, and rows sent at a time.
_ROWS_PER_STATEMENT = 5_000

_MARK = "benchmark_data"


@dataclass(frozen=True)
class DataSet:
    """
    Which rows there are.

    Attributes:
        size: How many enrollments.
    """

    size: int

    @property
    def users(self) -> int:
        """How many users; a course of 3,000 needs some even in a small set."""
        return max(self.size // 10, 4_000)

    @property
    def ordinary_courses(self) -> int:
        """How many courses have nothing about them."""
        return max(self.size // 100, 600)

    @property
    def in_large_course(self) -> int:
        """How many enrollments the largest course has."""
        return self.size // 20

    #: The largest course.
    large_course = "course-v1:BenchX+Large+2024"
    #: One with proctored exams, and how many may sit them.
    exam_course = "course-v1:BenchX+Exam+2024"
    in_exam_course = 3_000
    #: One with a capacity, how many it has room for, and how many are in it.
    seated_course = "course-v1:BenchX+Seats+2024"
    capacity = 5_000
    in_seated_course = 1_000

    #: Whoever lists everything.
    staff = "staff"
    #: A learner with one enrollment, who enrolls, leaves and comes back.
    newcomer = "list1"

    def course_id(self, number: int) -> str:
        """
        Return the id of an ordinary course.

        Args:
            number: Which, from 0.
        """
        return f"course-v1:Bench{number % 40}X+CS{number}+2024_T{number % 3}"

    def username(self, number: int) -> str:
        """
        Return the name of an ordinary learner.

        Args:
            number: Which, from 0.
        """
        return f"learner{number}"

    def lister(self, length: int) -> str:
        """
        Return the name of a learner with so many enrollments, all active.

        Args:
            length: One of ``LIST_LENGTHS``.
        """
        return f"list{length}"

    def names(self) -> list[str]:
        """List all users by name, in the order of their keys, which begin with 1."""
        special = [self.staff, *map(self.lister, LIST_LENGTHS)]
        ordinary = range(self.users - len(special))
        return [*special, *map(self.username, ordinary)]

    def courses(self) -> list[str]:
        """List all courses by id."""
        ordinary = map(self.course_id, range(self.ordinary_courses))
        return [self.large_course, self.exam_course, self.seated_course, *ordinary]

    def places(self) -> list[tuple[int, str, str, bool]]:
        """List who is in which course: key of the user, course id, mode, activation."""
        keys = {name: key for key, name in enumerate(self.names(), start=1)}
        first = keys[self.username(0)]
        courses = self.ordinary_courses
        places = [
            (keys[self.lister(length)], self.course_id(number), "audit", True)
            for length in LIST_LENGTHS
            for number in range(length)
        ]
        for course_id, count, mode in (
            (self.large_course, self.in_large_course, "audit"),
            (self.exam_course, self.in_exam_course, "verified"),
            (self.seated_course, self.in_seated_course, "audit"),
        ):
            places += [(first + n, course_id, mode, True) for n in range(count)]
        learners = self.users - first + 1
        for number in range(self.size - len(places)):
            learner, turn = number % learners, number // learners
            # Steps through the courses without meeting one twice.
            course = (learner * 7 + turn * 211) % courses
            is_active = number % 10 != 0
            places.append(
                (first + learner, self.course_id(course), MODES[number % 3], is_active)
            )
        Random(self.size).shuffle(places)  # noqa: S311 - no secret.
        return places


def prepare(data: DataSet) -> bool:
    """
    Have exactly this data in the database of the connection, empty or not.

    Args:
        data: What is wanted.

    Returns:
        Whether it had to be built.
    """
    if _is_there(data):
        settle()
        return False
    make_database()
    call_command("migrate", verbosity=0)
    with transaction.atomic():
        _build(data)
    settle()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {_MARK} (fingerprint varchar(64))")
        cursor.execute(f"INSERT INTO {_MARK} VALUES (%s)", [_fingerprint(data)])
    return True


def is_intact(data: DataSet) -> bool:
    """
    Return whether every measurement has taken back what it wrote.

    Args:
        data: What there should be.
    """
    counts = {
        CourseEnrollment: data.size,
        EnrollmentEvent: data.size,
        Course: len(data.courses()),
        get_user_model(): data.users,
    }
    return all(model._base_manager.count() == n for model, n in counts.items())


def _fingerprint(data: DataSet) -> str:
    """Return a digest of the schema and of this module."""
    migrations = Path(CourseEnrollment._meta.app_config.path, "migrations")
    sources = [Path(__file__), *sorted(migrations.glob("0*.py"))]
    content = b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(content + str(data.size).encode()).hexdigest()


def _is_there(data: DataSet) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT fingerprint FROM {_MARK}")
            marks = list(cursor.fetchall())
    except DatabaseError:
        return False
    return marks == [(_fingerprint(data),)] and is_intact(data)


def make_database() -> None:
    """Make an empty database of the connection's name in place of what is there."""
    connection.close()
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        for suffix in ("", "-journal", "-shm", "-wal"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)
        return
    quoted = connection.ops.quote_name(name)
    coding = " CHARACTER SET utf8mb4" if connection.vendor == "mysql" else ""
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quoted}")
        cursor.execute(f"CREATE DATABASE {quoted}{coding}")


def _build(data: DataSet) -> None:
    names, courses, places = data.names(), data.courses(), data.places()
    load(get_user_model(), _users(data, names))
    load(Course, (_course(data, course_id) for course_id in courses))
    load(CourseMode, _modes(courses))
    load(CourseEnrollment, _enrollments(places))
    load(EnrollmentEvent, _events(places, names))


def _users(data: DataSet, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for key, name in enumerate(names, start=1):
        yield {
            "id": key,
            "password": "!",
            "last_login": None,
            "is_superuser": False,
            "username": name,
            "first_name": "",
            "last_name": "",
            "email": f"{name}@example.org",
            "is_staff": name == data.staff,
            "is_active": True,
            "date_joined": as_text(FIRST),
        }


def _course(data: DataSet, course_id: str) -> dict[str, Any]:
    moment = as_text(FIRST)
    return {
        "id": course_id,
        "created": moment,
        "modified": moment,
        "org": course_id.partition(":")[2].partition("+")[0],
        "display_name": f"All about {course_id}",
        "start": moment,
        "end": None,
        "enrollment_start": moment,
        "enrollment_end": as_text(FIRST + timedelta(days=36_500)),
        "invitation_only": False,
        "max_student_enrollments_allowed": (
            data.capacity if course_id == data.seated_course else None
        ),
        "self_paced": False,
        "enable_proctored_exams": course_id == data.exam_course,
        "proctoring_provider": "",
    }


def _modes(courses: Iterable[str]) -> Iterator[dict[str, Any]]:
    key = 0
    for course_id in courses:
        for slug in MODES:
            key += 1
            is_paid = slug == "verified"
            yield {
                "id": key,
                "course_id": course_id,
                "mode_slug": slug,
                "mode_display_name": slug.capitalize(),
                "min_price": 49 if is_paid else 0,
                "suggested_prices": "100,200" if is_paid else "",
                "currency": "usd",
                "expiration_datetime": (
                    as_text(FIRST + timedelta(days=36_500)) if is_paid else None
                ),
                "description": None,
                "sku": f"SKU{key}" if is_paid else None,
                "bulk_sku": None,
            }


def _enrollments(places: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for key, (user, course_id, mode, is_active) in enumerate(places, start=1):
        moment = as_text(FIRST + SPAN * (key / len(places)))
        yield {
            "id": key,
            "created": moment,
            "modified": moment,
            "user_id": user,
            "course_id": course_id,
            "mode": mode,
            "is_active": is_active,
        }


def _events(places: Sequence[Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    random = Random(len(places))  # noqa: S311 - no secret.
    for key, (user, course_id, mode, is_active) in enumerate(places, start=1):
        event_id = UUID(int=random.getrandbits(128), version=4)
        yield {
            "id": key,
            # As SQLite stores it; the others read it too.
            "event_id": event_id.hex,
            "type": "created",
            "time": as_text(FIRST + SPAN * (key / len(places))),
            "enrollment_id": key,
            "user_id": user,
            "username": names[user - 1],
            "course_id": course_id,
            "mode_before": None,
            "mode_after": mode,
            "active_before": None,
            "active_after": is_active,
            "actor_id": None,
            "source": "api",
            "reason": "",
            "enterprise_uuid": "",
            # From before the feed existed.
            "position": None,
        }


def as_text(moment: datetime) -> str:
    """Return a moment in UTC as all three databases read it."""
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def load(model: type[Model], rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows the quickest way that the driver offers."""
    columns = [field.column for field in model._meta.concrete_fields]
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    names = ", ".join(map(quote, columns))
    values = ([row[column] for column in columns] for row in rows)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(columns))
            statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
            while some := list(islice(values, _ROWS_PER_STATEMENT)):
                cursor.executemany(statement, some)
        for reset in connection.ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(reset)


def settle() -> None:
    """Let a server see what it has, and tidy up, as it does by itself in time."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
        elif connection.vendor == "mysql":
            models = (Course, CourseMode, CourseEnrollment, EnrollmentEvent)
            for model in (*models, get_user_model()):
                cursor.execute(f"ANALYZE TABLE {model._meta.db_table}")
                cursor.fetchall()
