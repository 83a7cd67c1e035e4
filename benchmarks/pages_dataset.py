"""
The data that the pages of the example project are measured on.

The learners, courses and enrollments are those of ``dataset``, in the tables of the
example project. Each former learner has a second event, so there are more events than
enrollments.
"""

from __future__ import annotations

import hashlib
from collections import deque
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from accounts.models import User
from catalog.models import CourseRun, RefusedAttempt, School
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from benchmarks.dataset import (
    FIRST,
    SPAN,
    DataSet,
    as_text,
    load,
    make_database,
    settle,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Model

#: Seats of each ordinary course with an even number; the others have no limit.
SEATS = 120
#: Open invitations to the largest course.
INVITATIONS = 1_000
#: A learner who is on the team of the largest course.
TEACHER = "list10"

_REASONS = ("course_full", "enrollment_ended", "invitation_only")
_MARK = "benchmark_pages"


def prepare(data: DataSet) -> bool:
    """
    Have this data in the database of the connection, empty or not.

    Args:
        data: The number of enrollments.

    Returns:
        Whether it had to be built.
    """
    if _is_there(data):
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


def _fingerprint(data: DataSet) -> str:
    apps = {model._meta.app_config.path for model in (User, CourseRun, CourseMode)}
    sources = [
        Path(__file__),
        Path(__file__).with_name("dataset.py"),
        *sorted(path for app in apps for path in Path(app).glob("migrations/0*.py")),
    ]
    content = b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(content + str(data.size).encode()).hexdigest()


def _is_there(data: DataSet) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT fingerprint FROM {_MARK}")
            return list(cursor.fetchall()) == [(_fingerprint(data),)]
    except DatabaseError:
        return False


def _build(data: DataSet) -> None:
    names, courses, places = data.names(), data.courses(), data.places()
    keys = {course_id: key for key, course_id in enumerate(courses, start=1)}
    _add(User, _users(data, names))
    _add(School, [{"id": 1, "code": "bench", "name": "School of Benchmarks"}])
    _add(CourseRun, _courses(data, courses))
    _add(CourseMode, _modes(keys.values()))
    _add(CourseEnrollment, _enrollments(places, keys))
    events = enumerate(_events(places, names), start=1)
    _add(EnrollmentEvent, ({**event, "position": place} for place, event in events))
    _add(CourseEnrollmentAllowed, _invitations(data))
    _add(RefusedAttempt, _refusals(data, len(courses)))
    _add(CourseAccessRole, [{"user_id": 1 + names.index(TEACHER), **_role(data)}])


def _add(model: type[Model], rows: Any) -> None:
    """Insert rows; columns that a row does not name get their defaults."""
    defaults = {
        field.column: field.get_db_prep_save(_default(field), connection)
        for field in model._meta.concrete_fields
    }
    key = model._meta.pk.column
    load(
        model,
        ({**defaults, key: number, **row} for number, row in enumerate(rows, start=1)),
    )


def _default(field: Any) -> Any:
    default = field.get_default()
    # The database would compute it.
    return None if hasattr(default, "resolve_expression") else default


def _users(data: DataSet, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for key, name in enumerate(names, start=1):
        yield {
            "id": key,
            "password": "!",
            "username": name,
            "name": name.capitalize(),
            "email": f"{name}@example.org",
            "is_staff": name == data.staff,
            "date_joined": as_text(FIRST),
        }


def _courses(data: DataSet, courses: Sequence[str]) -> Iterator[dict[str, Any]]:
    limits = {data.seated_course: data.capacity}
    for key, course_id in enumerate(courses, start=1):
        yield {
            "id": key,
            "school_id": 1,
            "code": course_id,
            "title": f"All about {course_id}",
            "seats": limits.get(course_id, None if key % 2 else SEATS),
        }


def _modes(keys: Any) -> Iterator[dict[str, Any]]:
    for key in keys:
        for slug, price in (("audit", 0), ("honor", 0), ("verified", 49)):
            yield {
                "course_id": key,
                "mode_slug": slug,
                "mode_display_name": slug.capitalize(),
                "min_price": price,
                "currency": "usd",
            }


def _enrollments(
    places: Sequence[Any], keys: dict[str, int]
) -> Iterator[dict[str, Any]]:
    for key, (user, course_id, mode, is_active) in enumerate(places, start=1):
        moment = as_text(FIRST + SPAN * (key / len(places)))
        yield {
            "id": key,
            "created": moment,
            "modified": moment,
            "user_id": user,
            "course_id": keys[course_id],
            "mode": mode,
            "is_active": is_active,
        }


def _events(places: Sequence[Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the events in the order of time, as they would have been written."""
    random = Random(len(places))  # noqa: S311 - no secret.
    left: deque[tuple[Any, dict[str, Any]]] = deque()
    for key, (user, course_id, mode, is_active) in enumerate(places, start=1):
        moment = FIRST + SPAN * (key / len(places))
        while left and left[0][0] <= moment:
            yield left.popleft()[1]
        created = {
            "event_id": UUID(int=random.getrandbits(128), version=4).hex,
            "type": "created",
            "time": as_text(moment),
            "enrollment_id": key,
            "user_id": user,
            "username": names[user - 1],
            "course_id": course_id,
            "mode_after": mode,
            "active_after": True,
            "source": "api",
        }
        yield created
        if not is_active:
            later = moment + timedelta(days=20)
            left.append(
                (
                    later,
                    {
                        **created,
                        "event_id": UUID(int=random.getrandbits(128), version=4).hex,
                        "type": "deactivated",
                        "time": as_text(later),
                        "mode_before": mode,
                        "active_before": True,
                        "active_after": False,
                    },
                )
            )
    yield from (event for _, event in left)


def _invitations(data: DataSet) -> Iterator[dict[str, Any]]:
    for number in range(INVITATIONS):
        yield {
            "email": f"guest{number}@example.org",
            "course_id": data.large_course,
            "auto_enroll": True,
            "created": as_text(FIRST),
        }


def _refusals(data: DataSet, courses: int) -> Iterator[dict[str, Any]]:
    count = data.size // 5
    for number in range(count):
        yield {
            "course_id": 1 + number % courses,
            "code": _REASONS[number % len(_REASONS)],
            "time": as_text(FIRST + SPAN * (number / count)),
        }


def _role(data: DataSet) -> dict[str, Any]:
    role = CourseAccessRole.STAFF
    return {"org": "bench", "course_id": data.large_course, "role": role}
