"""
Plain reads of this app's own tables, which every change and every list begins with.

Django builds each query anew, and takes several times as long as the database does to
answer it. These are always the same few: some columns of one table, where other columns
have given values. So the statement is put together here, while Django's fields still
convert the values. Whatever belongs to a host (users, courses) is read by the host's
own managers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections, router

from django_enrollments.calls import read_alias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Field, Model

ModelT = TypeVar("ModelT", bound="Model")


def select_rows(
    model: type[Model],
    names: Sequence[str],
    where: Mapping[str, Any],
    *,
    using: str | None = None,
    in_order: bool = False,
) -> list[tuple[Any, ...]]:
    """
    Read some columns of the rows that have given values in others.

    Args:
        model: A model of this app.
        names: Names of the fields that are wanted.
        where: By field name, the value that it must have, a list of values of which
            it must have one, or ``None`` for null.
        using: Database alias; ``None`` lets the router choose.
        in_order: Whether the rows come by primary key; in any order otherwise.
    """
    connection = connections[using or read_alias() or router.db_for_read(model)]
    quote = connection.ops.quote_name
    condition, parameters = where_sql(model, where, connection)
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    columns = ", ".join(quote(field.column) for field in fields)
    # Only names are put into it; values are parameters.
    sql = f"SELECT {columns} FROM {quote(model._meta.db_table)} WHERE {condition}"  # noqa: S608
    if in_order:
        sql += f" ORDER BY {quote(model._meta.pk.column)}"
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return as_python([*cursor.fetchall()], fields, connection)


def select_instances(
    model: type[ModelT], where: Mapping[str, Any], *, using: str
) -> list[ModelT]:
    """
    Read the rows that have given values, in any order.

    Args:
        model: A model of this app.
        where: As :func:`select_rows` takes it.
        using: Database alias.
    """
    names = [field.attname for field in model._meta.concrete_fields]
    rows = select_rows(model, names, where, using=using)
    return [model.from_db(using, names, row) for row in rows]


def where_sql(
    model: type[Model],
    where: Mapping[str, Any],
    connection: BaseDatabaseWrapper,
    alias: str = "",
) -> tuple[str, list[Any]]:
    """
    Give a condition in SQL, and its parameters.

    Args:
        model: A model of this app.
        where: As :func:`select_rows` takes it.
        connection: The connection that it is for.
        alias: What the table is called in the statement, if it is called anything.
    """
    conditions, parameters = [], list[Any]()
    prefix = f"{alias}." if alias else ""
    for name, value in where.items():
        field: Any = model._meta.get_field(name)
        stored = field.target_field if field.is_relation else field
        column = f"{prefix}{connection.ops.quote_name(field.column)}"
        if value is None:
            conditions.append(f"{column} IS NULL")
        elif isinstance(value, list):
            # Nothing is none of no values.
            marks = ", ".join(["%s"] * len(value)) or "NULL"
            conditions.append(f"{column} IN ({marks})")
            parameters += [stored.get_db_prep_value(one, connection) for one in value]
        else:
            conditions.append(f"{column} = %s")
            parameters.append(stored.get_db_prep_value(value, connection))
    return " AND ".join(conditions), parameters


def select_with(
    model: type[ModelT],
    name: str,
    where: Mapping[str, Any],
    target_where: Mapping[str, Any],
    *,
    using: str | None = None,
) -> list[ModelT]:
    """
    Read rows together with what one of their foreign keys leads to, in any order.

    It is what ``select_related`` reads.

    Args:
        model: A model of this app.
        name: The foreign key; it leads to a model that has all its columns in one
            table, as :func:`has_one_table` tells.
        where: As :func:`select_rows` takes it.
        target_where: The same of what the key leads to.
        using: Database alias; ``None`` lets the router choose.
    """
    using = using or read_alias() or router.db_for_read(model)
    connection = connections[using]
    quote = connection.ops.quote_name
    key: Any = model._meta.get_field(name)
    target = key.related_model
    own, theirs = model._meta.concrete_fields, target._meta.concrete_fields
    columns = [f"e.{quote(field.column)}" for field in own]
    columns += [f"t.{quote(field.column)}" for field in theirs]
    condition, parameters = where_sql(model, where, connection, "e")
    target_condition, more = where_sql(target, target_where, connection, "t")
    # Only names are put into it; values are parameters.
    sql = (
        f"SELECT {', '.join(columns)} FROM {quote(model._meta.db_table)} e "  # noqa: S608
        f"INNER JOIN {quote(target._meta.db_table)} t "
        f"ON t.{quote(key.target_field.column)} = e.{quote(key.column)} "
        f"WHERE {condition} AND {target_condition}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, *more])
        rows = as_python([*cursor.fetchall()], [*own, *theirs], connection)
    names = [field.attname for field in own]
    target_names = [field.attname for field in theirs]
    found = []
    for row in rows:
        instance = model.from_db(using, names, row[: len(own)])
        related = target.from_db(using, target_names, row[len(own) :])
        key.set_cached_value(instance, related)
        found.append(instance)
    return found


def has_one_table(model: type[Model]) -> bool:
    """
    Tell whether a model has all its columns in a table of its own.

    Args:
        model: Any model; one that inherits from another has not.
    """
    return len(model._meta.local_concrete_fields) == len(model._meta.concrete_fields)


def as_python(
    rows: list[tuple[Any, ...]],
    fields: Sequence[Field[Any, Any]],
    connection: BaseDatabaseWrapper,
) -> list[tuple[Any, ...]]:
    """
    Convert what the database gave as Django does with what it selects.

    Args:
        rows: Rows of the values of some fields.
        fields: These fields, in order.
        connection: The connection that the rows came by.
    """
    if not rows:
        return rows
    columns = [*zip(*rows, strict=True)]
    is_converted = False
    for position, field in enumerate(fields):
        column: Any = field.get_col(field.model._meta.db_table)
        converters = [
            *connection.ops.get_db_converters(column),
            *column.get_db_converters(connection),
        ]
        for convert in converters:
            is_converted = True
            columns[position] = tuple(
                convert(value, column, connection) for value in columns[position]
            )
    return [*zip(*columns, strict=True)] if is_converted else rows
