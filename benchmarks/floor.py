"""
The same work, written by hand for one schema: the least that it can cost.

Plain SQL through the connection's own cursor, as few statements as will do, plain
dictionaries. It keeps what it must to be the same work: the same keys, the same texts,
expired modes left out, the mode and the window checked, the history row written, the
seats counted under a lock. It has no filters, permission backends, signals, swapped
models or adapters, and repeats nothing that conflicts. Before anything is timed, what
it gives is compared with what the app gives.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ENROLLMENT = "django_enrollments_courseenrollment"
EVENT = "django_enrollments_enrollmentevent"
COURSE = "django_enrollments_course"
MODE = "django_enrollments_coursemode"
ROLE = "django_enrollments_courseaccessrole"
USER = "auth_user"

_COURSE_COLUMNS = """
    c.id, c.display_name, c.enrollment_start, c.enrollment_end, c.start, c.{end},
    c.invitation_only, c.self_paced
"""
_MODE_COLUMNS = """
    m.mode_slug, m.mode_display_name, m.min_price, m.suggested_prices, m.currency,
    m.expiration_datetime, m.description, m.sku, m.bulk_sku
"""

_EXAMINEE = (
    "id",
    "created",
    "modified",
    "mode",
    "is_active",
    "course_id",
    "user_id",
    "username",
    "email",
    "first_name",
    "last_name",
)

#: Creation and key of a row in the list of all.
Place = tuple[datetime, int]


class Full(Exception):  # noqa: N818 - an answer.
    """No seat is left."""


def _read(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _stored(moment: datetime) -> Any:
    """Return a moment as the driver takes it."""
    if connection.vendor == "postgresql":
        return moment
    return moment.replace(tzinfo=None).isoformat(sep=" ")


def _stored_uuid(value: uuid.UUID) -> Any:
    return value.hex if connection.vendor == "sqlite" else str(value)


def _columns() -> str:
    end = connection.ops.quote_name("end")
    return _COURSE_COLUMNS.format(end=end)


def _mode_data(values: Sequence[Any]) -> dict[str, Any]:
    slug, name, price, prices, currency, expiration, description, sku, bulk = values
    return {
        "slug": slug,
        "name": name,
        "min_price": price,
        "suggested_prices": [int(one) for one in prices.split(",")] if prices else "",
        "currency": currency,
        "expiration_datetime": _iso(expiration),
        "description": description,
        "sku": sku,
        "bulk_sku": bulk,
    }


def _course_data(values: Sequence[Any]) -> dict[str, Any]:
    key, name, opens, closes, start, end, by_invitation, self_paced = values
    return {
        "course_id": key,
        "course_name": name,
        "enrollment_start": _iso(opens),
        "enrollment_end": _iso(closes),
        "course_start": _iso(start),
        "course_end": _iso(end),
        "invite_only": bool(by_invitation),
        "course_modes": [],
        "pacing_type": "Self Paced" if self_paced else "Instructor Paced",
    }


def _courses(rows: Iterable[Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Put rows of a course and a mode together, expired modes left out."""
    now = _now().replace(tzinfo=None)
    courses: dict[str, dict[str, Any]] = {}
    for row in rows:
        course = courses.get(row[0])
        if course is None:
            course = courses[row[0]] = _course_data(row[:8])
        expiration = row[13]
        if expiration is None or expiration.replace(tzinfo=None) >= now:
            course["course_modes"].append(_mode_data(row[8:17]))
    return courses


def list_enrollments(username: str) -> list[dict[str, Any]]:
    """
    List a learner's active enrollments, oldest first, in two statements.

    Args:
        username: The learner.
    """
    rows = _read(
        f"""
        SELECT e.course_id, e.created, e.mode, e.is_active
        FROM {ENROLLMENT} e JOIN {USER} u ON u.id = e.user_id
        WHERE u.username = %s AND e.is_active ORDER BY e.created, e.id
        """,
        [username],
    )
    keys = [row[0] for row in rows]
    courses = _courses(
        _read(
            f"""
            SELECT {_columns()}, {_MODE_COLUMNS}
            FROM {COURSE} c LEFT JOIN {MODE} m ON m.course_id = c.id
            WHERE c.id IN ({_marks(keys)}) ORDER BY m.id
            """,
            keys,
        )
    )
    return [
        {
            "created": _iso(created),
            "mode": mode,
            "is_active": bool(is_active),
            "course_details": courses[course],
            "user": username,
        }
        for course, created, mode, is_active in rows
    ]


def enroll(username: str, course_id: str, mode: str) -> dict[str, Any]:
    """
    Enroll a learner who never was in the course, or was and left.

    Three statements, and two more where seats are counted.

    Args:
        username: The learner.
        course_id: The course.
        mode: One that the course offers.

    Raises:
        Full: No seat is left.
        ValueError: The learner is in, or the course is closed or offers no such mode.
    """
    now = _now()
    rows = _read(
        f"""
        SELECT {_columns()}, {_MODE_COLUMNS},
               c.max_student_enrollments_allowed, u.id, e.id, e.mode, e.is_active,
               e.created
        FROM {COURSE} c
        JOIN {USER} u ON u.username = %s
        LEFT JOIN {MODE} m ON m.course_id = c.id
        LEFT JOIN {ENROLLMENT} e ON e.user_id = u.id AND e.course_id = c.id
        WHERE c.id = %s ORDER BY m.id
        """,
        [username, course_id],
    )
    capacity, user, key, old_mode, was_active, created = rows[0][-6:]
    if was_active:
        raise ValueError("in already")
    course = _courses(rows)[course_id]
    moment = _iso(now)
    if not course["enrollment_start"] < moment < course["enrollment_end"]:
        raise ValueError("closed")
    if mode not in [one["slug"] for one in course["course_modes"]]:
        raise ValueError("no such mode")
    at = _stored(now)
    with transaction.atomic(), connection.cursor() as cursor:
        if capacity is not None:
            _count_seats(cursor, course_id, capacity)
        if key is None:
            cursor.execute(
                f"""
                INSERT INTO {ENROLLMENT}
                    (created, modified, user_id, course_id, mode, is_active)
                VALUES (%s, %s, %s, %s, %s, %s) RETURNING id
                """,
                [at, at, user, course_id, mode, True],
            )
            key = cursor.fetchone()[0]
            created = now
            _write_events(
                cursor,
                [(key, user, username, course_id, "created", None, mode, None, True)],
                at,
            )
        else:
            cursor.execute(
                f"""
                UPDATE {ENROLLMENT} SET mode = %s, is_active = %s, modified = %s
                WHERE id = %s AND mode = %s AND NOT is_active
                """,
                [mode, True, at, key, old_mode],
            )
            one = (key, user, username, course_id)
            events = [(*one, "activated", old_mode, old_mode, False, True)]
            if mode != old_mode:
                events.append((*one, "mode_changed", old_mode, mode, True, True))
            _write_events(cursor, events, at)
    return {
        "created": _iso(created),
        "mode": mode,
        "is_active": True,
        "course_details": course,
        "user": username,
    }


def _count_seats(cursor: Any, course_id: str, capacity: int) -> None:
    """Lock the course, then count who is in it and no staff of it."""
    if connection.vendor == "sqlite":
        # Takes the lock of SQLite's only writer.
        cursor.execute(f"UPDATE {ENROLLMENT} SET mode = mode WHERE id = 0")
    else:
        cursor.execute(f"SELECT id FROM {COURSE} WHERE id = %s FOR UPDATE", [course_id])
        cursor.fetchall()
    cursor.execute(
        f"""
        SELECT COUNT(*) FROM {ENROLLMENT} e
        WHERE e.course_id = %s AND e.is_active AND NOT EXISTS (
            SELECT 1 FROM {ROLE} r WHERE r.user_id = e.user_id AND r.course_id = %s
            AND r.role IN ('staff', 'instructor')
        )
        """,
        [course_id, course_id],
    )
    if cursor.fetchone()[0] >= capacity:
        raise Full


def _write_events(
    cursor: Any, events: Sequence[tuple[Any, ...]], at: Any, source: str = "api"
) -> None:
    rows = [
        (_stored_uuid(uuid.uuid4()), at, *event, source, "", "") for event in events
    ]
    one = f"({_marks(rows[0])})"
    cursor.execute(
        f"""
        INSERT INTO {EVENT} (
            event_id, time, enrollment_id, user_id, username, course_id, type,
            mode_before, mode_after, active_before, active_after, source, reason,
            enterprise_uuid
        ) VALUES {", ".join([one] * len(rows))}
        """,
        [value for row in rows for value in row],
    )


def change_mode(username: str, course_id: str, mode: str) -> dict[str, Any]:
    """
    Change the mode of an active enrollment, in three statements.

    Args:
        username: The learner.
        course_id: The course.
        mode: One that the course offers.

    Raises:
        ValueError: The course does not offer the mode now.
    """
    at = _stored(_now())
    rows = _read(
        f"""
        SELECT {_columns()}, {_MODE_COLUMNS}, u.id, e.id, e.mode, e.created
        FROM {ENROLLMENT} e
        JOIN {USER} u ON u.id = e.user_id
        JOIN {COURSE} c ON c.id = e.course_id
        LEFT JOIN {MODE} m ON m.course_id = c.id
        WHERE u.username = %s AND e.course_id = %s ORDER BY m.id
        """,
        [username, course_id],
    )
    user, key, old_mode, created = rows[0][-4:]
    course = _courses(rows)[course_id]
    if mode not in [one["slug"] for one in course["course_modes"]]:
        raise ValueError("no such mode")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE {ENROLLMENT} SET mode = %s, modified = %s
            WHERE id = %s AND mode = %s AND is_active
            """,
            [mode, at, key, old_mode],
        )
        event = (key, user, username, course_id, "mode_changed", old_mode, mode)
        _write_events(cursor, [(*event, True, True)], at)
    return {
        "created": _iso(created),
        "mode": mode,
        "is_active": True,
        "course_details": course,
        "user": username,
    }


def explain_many(user: int, course_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """
    Explain whether a learner may enroll in courses that are open, in two statements.

    Args:
        user: Key of a learner who is in none of the courses.
        course_ids: The courses; each offers audit.

    Raises:
        ValueError: A learner is in a course, or the course refuses them.
    """
    marks = _marks(course_ids)
    rows = _read(
        f"""
        SELECT {_columns()}, {_MODE_COLUMNS}, c.max_student_enrollments_allowed, e.id
        FROM {COURSE} c
        LEFT JOIN {MODE} m ON m.course_id = c.id
        LEFT JOIN {ENROLLMENT} e
            ON e.user_id = %s AND e.course_id = c.id AND e.is_active
        WHERE c.id IN ({marks}) ORDER BY m.id
        """,
        [user, *course_ids],
    )
    counted = _read(
        f"""
        SELECT e.course_id, COUNT(*) FROM {ENROLLMENT} e
        WHERE e.course_id IN ({marks}) AND e.is_active AND NOT EXISTS (
            SELECT 1 FROM {ROLE} r
            WHERE r.user_id = e.user_id AND r.course_id = e.course_id
            AND r.role IN ('staff', 'instructor')
        )
        GROUP BY e.course_id
        """,
        course_ids,
    )
    taken: dict[str, int] = dict(counted)
    capacities = {row[0]: row[-2:] for row in rows}
    moment = _iso(_now())
    explained = {}
    for course_id, course in _courses(rows).items():
        capacity, key = capacities[course_id]
        is_open = course["enrollment_start"] < moment < course["enrollment_end"]
        slugs = [one["slug"] for one in course["course_modes"]]
        left = None if capacity is None else capacity - taken.get(course_id, 0)
        if key or not is_open or "audit" not in slugs or left == 0:
            raise ValueError("refused")
        explained[course_id] = {
            "allowed": True,
            "reasons": [],
            "seats": {
                "capacity": capacity,
                "taken": taken.get(course_id, 0),
                "left": left,
            },
            "mode": "audit",
        }
    return explained


def leave_all(username: str) -> list[str]:
    """
    Take a learner out of all courses, in three statements.

    Args:
        username: The learner.

    Returns:
        The organisations of the courses left, sorted, each once.
    """
    at = _stored(_now())
    rows = _read(
        f"""
        SELECT e.id, u.id, e.course_id, e.mode, c.org
        FROM {ENROLLMENT} e
        JOIN {USER} u ON u.id = e.user_id
        JOIN {COURSE} c ON c.id = e.course_id
        WHERE u.username = %s AND e.is_active
        """,
        [username],
    )
    keys = [row[0] for row in rows]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE {ENROLLMENT} SET is_active = %s, modified = %s
            WHERE id IN ({_marks(keys)}) AND is_active
            """,
            [False, at, *keys],
        )
        _write_events(
            cursor,
            [
                (key, user, username, course, "deactivated", mode, mode, True, False)
                for key, user, course, mode, _ in rows
            ],
            at,
            "retirement",
        )
    return sorted({row[4] for row in rows})


def list_examinees(course_id: str, text: str | None) -> list[dict[str, Any]]:
    """
    List who may sit proctored exams of a course, in one statement.

    Args:
        course_id: The course.
        text: Part of a username or e-mail address, in any case; ``None`` for all.
    """
    modes = ("verified", "masters", "professional", "executive-education")
    values: list[Any] = [course_id, *modes]
    search = ""
    if text is not None:
        like = "ILIKE" if connection.vendor == "postgresql" else "LIKE"
        found = f"u.username {like} %s OR u.email {like} %s"
        # As a bare condition, PostgreSQL would search all users before the course.
        search = f"AND CASE WHEN {found} THEN TRUE ELSE FALSE END"
        values += [f"%{text}%"] * 2
    rows = _read(
        f"""
        SELECT e.id, e.created, e.modified, e.mode, e.is_active, e.course_id,
               u.id, u.username, u.email, u.first_name, u.last_name
        FROM {ENROLLMENT} e
        {"LEFT JOIN" if search else "JOIN"} {USER} u ON u.id = e.user_id
        JOIN {COURSE} c ON c.id = e.course_id
        WHERE e.course_id = %s AND e.is_active AND c.enable_proctored_exams
              AND e.mode IN ({_marks(modes)}) {search}
        ORDER BY e.user_id, e.course_id
        """,
        values,
    )
    return [dict(zip(_EXAMINEE, row, strict=True)) for row in rows]


def enroll_many(course_id: str, usernames: Sequence[str], mode: str) -> int:
    """
    Enroll many learners who never were in the course, in three statements a batch.

    Args:
        course_id: The course.
        usernames: The learners.
        mode: One that the course offers.

    Returns:
        How many were enrolled.
    """
    at = _stored(_now())
    created = ("created", None, mode, None, True)
    done = 0
    for start in range(0, len(usernames), 500):
        some = usernames[start : start + 500]
        users = _read(
            f"SELECT id, username FROM {USER} WHERE username IN ({_marks(some)})", some
        )
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"""
                INSERT INTO {ENROLLMENT}
                    (created, modified, user_id, course_id, mode, is_active)
                VALUES {", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(users))}
                RETURNING id, user_id
                """,
                [
                    value
                    for user, _ in users
                    for value in (at, at, user, course_id, mode, True)
                ],
            )
            keys = {user: key for key, user in cursor.fetchall()}
            _write_events(
                cursor,
                [(keys[user], user, name, course_id, *created) for user, name in users],
                at,
                "bulk",
            )
        done += len(users)
    return done


def list_all(
    *,
    before: Place | None = None,
    course_id: str | None = None,
    usernames: Sequence[str] | None = None,
    count: int = 100,
) -> tuple[list[dict[str, Any]], Place | None, Place | None]:
    """
    List a page of everybody's enrollments, newest first, in one statement or two.

    Args:
        before: Where the page before ended.
        course_id: The only course.
        usernames: The only learners.
        count: How many rows a page has.

    Returns:
        The rows, and where the page begins and ends; ``None`` on the first page, and on
        the last.
    """
    # MariaDB would begin with the courses, and read everything.
    join = "STRAIGHT_JOIN" if connection.vendor == "mysql" else "JOIN"
    conditions, values = ["1 = 1"], list[Any]()
    if before is not None:
        # MariaDB finds no place in an index by (created, id) < (…).
        conditions.append("e.created <= %s AND (e.created < %s OR e.id < %s)")
        values += [_stored(before[0]), _stored(before[0]), before[1]]
    if course_id is not None:
        conditions.append("e.course_id = %s")
        values.append(course_id)
    if usernames is not None:
        # Databases are better at it when they know who it is.
        found = _read(
            f"SELECT id FROM {USER} WHERE username IN ({_marks(usernames)})", usernames
        )
        keys = [key for (key,) in found]
        conditions.append(f"e.user_id IN ({_marks(keys)})")
        values += keys
    rows = _read(
        f"""
        SELECT e.id, e.created, e.mode, e.is_active, u.username, c.id
        FROM {ENROLLMENT} e
        {join} {USER} u ON u.id = e.user_id
        {join} {COURSE} c ON c.id = e.course_id
        WHERE {" AND ".join(conditions)}
        ORDER BY e.created DESC, e.id DESC LIMIT {count + 1}
        """,
        values,
    )
    page = [
        {
            "created": _iso(created),
            "mode": mode,
            "is_active": bool(is_active),
            "user": username,
            "course_id": course,
        }
        for _, created, mode, is_active, username, course in rows[:count]
    ]
    first = rows[0] if before and rows else None
    last = rows[count - 1] if len(rows) > count else None
    return page, first and (first[1], first[0]), last and (last[1], last[0])
