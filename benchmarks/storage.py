"""What rows and indexes cost on PostgreSQL: bytes for each row, time for an insert."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from benchmarks import floor

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How often each insert is timed; the quickest counts.
_TIMES = 3

#: A copy of a table, filled row by row as time would fill it.
_COPY = "benchmark_copy"

#: Enrolls everybody in a course of which nobody has heard.
_INSERTS = {
    floor.ENROLLMENT: f"""
        INSERT INTO {_COPY}
            (id, created, modified, user_id, course_id, mode, is_active)
        SELECT 1000000000 + id, clock_timestamp(), clock_timestamp(), id,
               'course-v1:BenchX+Everybody+2024', 'audit', true
        FROM {floor.USER}
    """,
    floor.EVENT: f"""
        INSERT INTO {_COPY} (
            id, event_id, time, enrollment_id, user_id, username, course_id, type,
            mode_after, active_after, source, reason, enterprise_uuid
        )
        SELECT 1000000000 + id, gen_random_uuid(), clock_timestamp(), 1000000000 + id,
               id, username, 'course-v1:BenchX+Everybody+2024', 'created', 'audit',
               true, 'api', '', ''
        FROM {floor.USER}
    """,
}


def measure_storage() -> list[dict[str, Any]]:
    """
    Measure the two tables that grow, each by a copy that is gone afterwards.

    Returns:
        For rows and for each index the ``table``, the ``columns``, the ``bytes`` for
        each row, and the ``microseconds`` that an insert takes for it; ``columns`` is
        ``None`` for the rows.
    """
    return [one for table in _INSERTS for one in _measure(table)]


def _measure(table: str) -> Iterator[dict[str, Any]]:
    with transaction.atomic():
        _execute(f"CREATE TABLE {_COPY} (LIKE {table} INCLUDING ALL)")
        _execute(f"INSERT INTO {_COPY} SELECT * FROM {table} ORDER BY id")
        count = _value(f"SELECT count(*) FROM {table}")
        new = _value(f"SELECT count(*) FROM {floor.USER}")
        drops = dict(_drops())
        # Before what is taken back again has made everything larger.
        sizes = {columns: _size(columns) for columns in (None, *drops)}
        bare = _time(table, *drops.values())
        for columns in (None, *drops):
            kept = [drop for one, drop in drops.items() if one != columns]
            taken = bare if columns is None else _time(table, *kept) - bare
            yield {
                "table": table,
                "columns": columns,
                "bytes": sizes[columns] / count,
                "microseconds": taken / new * 1e6,
            }
        transaction.set_rollback(True)


def _drops() -> Iterator[tuple[str, str]]:
    """Yield the columns of each index of the copy, and what takes it away."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_get_indexdef(i.indexrelid), i.indexrelid::regclass, k.conname
            FROM pg_index i
            LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid
            WHERE i.indrelid = %s::regclass ORDER BY i.indexrelid
            """,
            [_COPY],
        )
        for definition, name, constraint in cursor.fetchall():
            columns = definition.partition(" USING btree ")[2]
            yield (
                columns,
                f"ALTER TABLE {_COPY} DROP CONSTRAINT {constraint}"
                if constraint
                else f"DROP INDEX {name}",
            )


def _size(columns: str | None) -> int:
    if columns is None:
        return int(_value(f"SELECT pg_relation_size('{_COPY}')"))
    return int(
        _value(
            f"""
            SELECT pg_relation_size(indexrelid) FROM pg_index
            WHERE indrelid = '{_COPY}'::regclass
                  AND pg_get_indexdef(indexrelid) LIKE '%% USING btree {columns}'
            """
        )
    )


def _time(table: str, *before: str) -> float:
    """Time the insert without some indexes, and take all back."""
    seconds = []
    for _ in range(_TIMES):
        with transaction.atomic():
            for statement in before:
                _execute(statement)
            began = time.perf_counter()
            _execute(_INSERTS[table])
            seconds.append(time.perf_counter() - began)
            transaction.set_rollback(True)
    return min(seconds)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _value(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, [])
        return cursor.fetchone()[0]
