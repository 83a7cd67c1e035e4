"""
The statements on this app's own tables that every change and every list runs.

Django takes several times as long to build such a statement as a database takes to run
it, and every change runs the same few. So they are put together here, from the names of
fields; Django's fields prepare the values and convert what comes back. Tables of hosts
(users, courses) are read by the ORM only.
"""

from __future__ import annotations

import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections, router
from django.db.models import IntegerField, Value
from django.db.models.expressions import RawSQL

from django_enrollments.context import read_alias
from django_enrollments.models import CourseAccessRole, CourseEnrollment
from django_enrollments.models.fields import EXACT_TEXT, is_mariadb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model

    Row = tuple[Any, ...]

ModelT = TypeVar("ModelT", bound="Model")

#: The most parameters in one statement of SQLite, since version 3.32 and before.
SQLITE_PARAMETERS = 32_766 if sqlite3.sqlite_version_info >= (3, 32) else 999

#: The most rows in one statement, whose text must fit into a packet of MariaDB.
_ROWS_PER_STATEMENT = 5_000

_IGNORING_CONFLICTS = {
    "sqlite": "INSERT OR IGNORE {}",
    "mysql": "INSERT IGNORE {}",
    "postgresql": "INSERT {} ON CONFLICT DO NOTHING",
}


def select_rows(
    model: type[Model],
    names: Sequence[str],
    where: Mapping[str, Any],
    *,
    using: str | None = None,
    in_order: bool = False,
) -> list[Row]:
    """
    Return some columns of the rows that meet a condition.

    Args:
        names: Names of the fields to read.
        where: By field name, the value that a row must have, a list of values of which
            it must have one, or ``None`` for null.
        in_order: Whether the rows are ordered by primary key.
    """
    connection = connections[using or read_alias() or router.db_for_read(model)]
    condition, parameters = _condition(model, where, connection)
    columns = _columns(model, names, connection)
    table = _quoted(connection, model._meta.db_table)
    # Only names are put into it, here and below; values are parameters.
    sql = f"SELECT {columns} FROM {table} WHERE {condition}"  # noqa: S608
    if in_order:
        sql += f" ORDER BY {_columns(model, ['id'], connection)}"
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return _converted(cursor.fetchall(), model, names, connection)


def select_instances(
    model: type[ModelT], where: Mapping[str, Any], *, using: str
) -> list[ModelT]:
    """
    Return the rows that meet a condition as instances, in any order.

    Args:
        where: As :func:`select_rows` takes it.
    """
    names = [field.attname for field in model._meta.concrete_fields]
    rows = select_rows(model, names, where, using=using)
    return [model.from_db(using, names, row) for row in rows]


def insert_rows(
    model: type[Model],
    columns: Mapping[str, Sequence[Any]],
    *,
    using: str,
    returning: Sequence[str] = (),
    ignore_conflicts: bool = False,
) -> list[Row]:
    """
    Insert rows that are given column by column.

    ``bulk_create`` prepares each value of each instance; here a value that all rows
    have in common is prepared once.

    Args:
        model: A model of this app; what its fields do in ``pre_save`` is not done.
        columns: Values by field name, equally many of each.
        returning: Names of the fields to return of every new row.
        ignore_conflicts: Whether rows that violate a unique constraint are left out.

    Returns:
        The values of these fields, the rows in any order; nothing where the database
        does not return them (MySQL).
    """
    connection = connections[using]
    prepared = [
        _prepared(model._meta.get_field(name), values, connection)
        for name, values in columns.items()
    ]
    rows = [*zip(*prepared, strict=True)]
    size = _ROWS_PER_STATEMENT
    if connection.vendor == "sqlite":
        size = min(size, SQLITE_PARAMETERS // len(columns))
    table = _quoted(connection, model._meta.db_table)
    written = _columns(model, columns, connection)
    marks = f"({', '.join(['%s'] * len(columns))})"
    if connection.vendor == "sqlite":
        can_return = sqlite3.sqlite_version_info >= (3, 35)
    else:
        can_return = connection.vendor != "mysql" or is_mariadb(connection)
    returns = bool(returning) and can_return
    returned: list[Row] = []
    with connection.cursor() as cursor:
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            sql = f"INTO {table} ({written}) VALUES {', '.join([marks] * len(some))}"
            if ignore_conflicts:
                sql = _IGNORING_CONFLICTS[connection.vendor].format(sql)
            else:
                sql = f"INSERT {sql}"
            if returns:
                sql += f" RETURNING {_columns(model, returning, connection)}"
            cursor.execute(sql, [*chain.from_iterable(some)])
            if returns:
                returned += cursor.fetchall()
    return _converted(returned, model, returning, connection)


def update_rows(
    model: type[Model],
    values: Mapping[str, Any],
    where: Sequence[Mapping[str, Any]],
    *,
    using: str,
) -> int:
    """
    Write values to the rows that meet one of several conditions.

    Args:
        values: New values by field name.
        where: Conditions as :func:`select_rows` takes them, at least one.

    Returns:
        The number of rows that met a condition.
    """
    connection = connections[using]
    changes, parameters = [], list[Any]()
    for name, value in values.items():
        changes.append(f"{_columns(model, [name], connection)} = %s")
        parameters += _prepared(model._meta.get_field(name), [value], connection)
    conditions = []
    for one in where:
        condition, more = _condition(model, one, connection)
        conditions.append(f"({condition})")
        parameters += more
    table = _quoted(connection, model._meta.db_table)
    sql = f"UPDATE {table} SET {', '.join(changes)} WHERE {' OR '.join(conditions)}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def count_seats(course_key: Any, course_id: str, *, using: str) -> RawSQL:
    """
    Return an expression of the number of seats taken in a course.

    It is what ``CourseEnrollmentQuerySet.holding_seats`` counts. But others wait for
    this count, and databases are quicker to count all learners, and then those of the
    few staff members, than to look for each learner among the staff.
    """
    connection = connections[using]
    is_inside = {"course": course_key, "is_active": True}
    inside, learners = _condition(CourseEnrollment, is_inside, connection)
    if isinstance(course_key, str):
        # Those of a deleted course whose id only looks alike take no seat.
        exact = EXACT_TEXT[connection.vendor] % {
            "expressions": _quoted(connection, "course_id")
        }
        inside, learners = f"{inside} AND {exact} = %s", [*learners, course_key]
    is_staff = {
        "course_id": course_id,
        "role": sorted(CourseAccessRole.CAPACITY_EXEMPT),
    }
    of_staff, members = _condition(CourseAccessRole, is_staff, connection)
    enrollments = _quoted(connection, CourseEnrollment._meta.db_table)
    count = f"SELECT COUNT(*) FROM {enrollments} WHERE {inside}"  # noqa: S608
    roles = _quoted(connection, CourseAccessRole._meta.db_table)
    staff = f"SELECT user_id FROM {roles} WHERE {of_staff}"  # noqa: S608
    return RawSQL(  # noqa: S611
        f"({count}) - ({count} AND user_id IN ({staff}))",
        [*learners, *learners, *members],
        IntegerField(),
    )


def _quoted(connection: BaseDatabaseWrapper, *names: str) -> str:
    """Return names of this app, all of which are plain words, as a list in SQL."""
    mark = "`" if connection.vendor == "mysql" else '"'
    return ", ".join(f"{mark}{name}{mark}" for name in names)


def _columns(
    model: type[Model], names: Iterable[str], connection: BaseDatabaseWrapper
) -> str:
    # No model of this app calls a column other than its field.
    options: Any = model._meta
    return _quoted(connection, *(options.get_field(name).attname for name in names))


def _condition(
    model: type[Model], where: Mapping[str, Any], connection: BaseDatabaseWrapper
) -> tuple[str, list[Any]]:
    """Return a condition in SQL, and its parameters."""
    conditions, parameters = [], list[Any]()
    for name, value in where.items():
        field: Any = model._meta.get_field(name)
        column = _quoted(connection, field.attname)
        if value is None:
            conditions.append(f"{column} IS NULL")
        elif isinstance(value, list):
            # No value is among none.
            marks = ", ".join(["%s"] * len(value)) or "NULL"
            conditions.append(f"{column} IN ({marks})")
            parameters += [field.get_db_prep_value(one, connection) for one in value]
        else:
            conditions.append(f"{column} = %s")
            parameters.append(field.get_db_prep_value(value, connection))
    return " AND ".join(conditions), parameters


def _prepared(
    field: Any, values: Sequence[Any], connection: BaseDatabaseWrapper
) -> list[Any]:
    """Return the values of one column as the database takes them."""
    if values and values.count(values[0]) == len(values):
        return [field.get_db_prep_save(values[0], connection)] * len(values)
    return [field.get_db_prep_save(value, connection) for value in values]


def _converted(
    rows: Sequence[Row],
    model: type[Model],
    names: Sequence[str],
    connection: BaseDatabaseWrapper,
) -> list[Row]:
    """Return rows as Django converts what it selects, column by column."""
    if not rows:
        return []
    columns: list[Sequence[Any]] = [*zip(*rows, strict=True)]
    for position, name in enumerate(names):
        field: Any = model._meta.get_field(name)
        while field.is_relation:
            field = field.related_model._meta.pk
        selected = Value(None, output_field=field)
        converters: list[Callable[..., Any]] = [
            *connection.ops.get_db_converters(selected),
            *field.get_db_converters(connection),
        ]
        for convert in converters:
            columns[position] = [
                convert(value, selected, connection) for value in columns[position]
            ]
    return [*zip(*columns, strict=True)]
