"""Many new rows of one table in few statements, without a model instance for each."""

from __future__ import annotations

import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any

from django.db import connections

from django_enrollments.selects import as_python

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model

#: What SQLite allows in one statement since version 3.32, and before.
SQLITE_PARAMETERS = 32_766 if sqlite3.sqlite_version_info >= (3, 32) else 999

#: Most rows in one statement, whose text must fit into a packet of MariaDB's.
_ROWS_PER_STATEMENT = 5_000


def insert_columns(
    model: type[Model],
    columns: Mapping[str, Sequence[Any]],
    *,
    using: str,
    returning: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """
    Insert rows that are given column by column.

    Django's ``bulk_create`` spends most of its time on preparing each value of each
    instance, and databases spend much of theirs on reading them. So whatever is the
    same in all rows is prepared and sent once.

    Args:
        model: The model of the rows. What its fields do before a save is not done.
        columns: Values by field name, equally many of each; a column that is not
            there gets the database's default.
        using: Database alias.
        returning: Names of fields whose values in the new rows are wanted.

    Returns:
        These values of every row, the rows in any order; nothing where the database
        does not return what it inserts (MySQL).
    """
    connection = connections[using]
    shared: dict[Any, Any] = {}
    varying: dict[Any, list[Any]] = {}
    count = 0
    for name, values in columns.items():
        count = len(values)
        if not count:
            return []
        field: Any = model._meta.get_field(name)
        stored = field.target_field if field.is_relation else field
        if values.count(values[0]) == count:
            shared[field] = stored.get_db_prep_save(values[0], connection)
        else:
            varying[field] = [
                stored.get_db_prep_save(value, connection) for value in values
            ]
    fields: list[Any] = [model._meta.get_field(name) for name in returning]
    if not connection.features.can_return_rows_from_bulk_insert:
        fields = []
    returned: list[tuple[Any, ...]] = []
    for start, stop in _slices(count, len(shared), len(varying), connection):
        some = {field: values[start:stop] for field, values in varying.items()}
        sql, parameters = _source(some, shared, stop - start, connection)
        sql = f"INSERT INTO {_names([model._meta.db_table], connection)} {sql}"
        if fields:
            sql += f" RETURNING {_names([one.column for one in fields], connection)}"
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            if fields:
                returned += cursor.fetchall()
    return as_python(returned, fields, connection)


def _slices(
    count: int, shared: int, varying: int, connection: BaseDatabaseWrapper
) -> Iterator[tuple[int, int]]:
    """Cut rows up as the database must have them."""
    size = _ROWS_PER_STATEMENT
    if connection.vendor == "sqlite":
        size = min(size, max(1, (SQLITE_PARAMETERS - shared) // max(1, varying)))
    for start in range(0, count, size):
        yield start, min(start + size, count)


def _source(
    varying: Mapping[Any, list[Any]],
    shared: Mapping[Any, Any],
    count: int,
    connection: BaseDatabaseWrapper,
) -> tuple[str, list[Any]]:
    """Return the columns and rows of an ``INSERT``, and its parameters."""
    fields = [*varying, *shared]
    columns = _names([field.column for field in fields], connection)
    constants = [*shared.values()]
    row_by_row = [*zip(*varying.values(), strict=True)] or [()] * count
    if count == 1 or not varying or not _can_select(fields, connection):
        rows = ", ".join([_placeholders(len(fields))] * count)
        values = chain.from_iterable((*row, *constants) for row in row_by_row)
        return f"({columns}) VALUES {rows}", [*values]
    if connection.vendor == "postgresql":
        types = [_uncut_type(field, connection) for field in fields]
        arrays = ", ".join(f"%s::{one}[]" for one in types[: len(varying)])
        rest = "".join(f", %s::{one}" for one in types[len(varying) :])
        # Only names and types are put into it; values are parameters.
        sql = f"({columns}) SELECT new.*{rest} FROM UNNEST({arrays}) AS new"  # noqa: S608
        return sql, [*constants, *varying.values()]
    rest = ", %s" * len(shared)
    rows = ", ".join([_placeholders(len(varying))] * count)
    sql = f"({columns}) SELECT *{rest} FROM (VALUES {rows})"  # noqa: S608 - As above.
    return sql, [*constants, *chain.from_iterable(row_by_row)]


def _can_select(fields: Iterable[Any], connection: BaseDatabaseWrapper) -> bool:
    """Return whether the rows can be selected from lists of values."""
    if connection.vendor == "sqlite":
        return True
    # Not every type of PostgreSQL can be unnested, and the key of a host's user model
    # may have any.
    return connection.vendor == "postgresql" and all(
        (field.target_field if field.is_relation else field).get_internal_type()
        in connection.data_types
        for field in fields
    )


def _uncut_type(field: Any, connection: BaseDatabaseWrapper) -> str:
    """Return the type of a column without its length, to which a cast would cut."""
    return str(field.db_type(connection)).partition("(")[0]


def _names(names: Iterable[str], connection: BaseDatabaseWrapper) -> str:
    return ", ".join(map(connection.ops.quote_name, names))


def _placeholders(count: int) -> str:
    return f"({', '.join(['%s'] * count)})"
