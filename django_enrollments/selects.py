"""
Reads that are the same every time, which every change and every list begins with.

Django builds each query anew, and takes several times as long as the database does to
answer it. These are always the same few: some columns of one table, where other columns
have given values. So the statement is put together here, while Django's fields still
convert the values. What belongs to a host (users, courses) is read by the host's own
managers, and in this way only where those have nothing to say of it. Lists that join
both are built by Django, once: see :class:`Prepared`.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connections, router
from django.db.models import Expression, Field, ForeignKey, ForeignObject, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In

from django_enrollments.context import read_alias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model
    from django.db.models.sql.compiler import SQLCompiler

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


def select_from(
    rows: QuerySet[ModelT], where: Mapping[str, Any], *, using: str | None = None
) -> list[ModelT]:
    """
    Read those of a host's rows that have given values, in any order.

    Args:
        rows: What the host's manager gives. What it says of them counts: filters,
            joins, a class of its own.
        where: As :func:`select_rows` takes it, of columns.
        using: Database alias; ``None`` lets the router choose.
    """
    rows = rows.using(using or read_alias())
    if _says_nothing(rows) and is_plainly_stored(rows.model, *where):
        return select_instances(rows.model, where, using=rows.db)
    conditions = {
        f"{name}__in" if isinstance(value, list) else name: value
        for name, value in where.items()
    }
    return list(rows.filter(**conditions).order_by())


def _says_nothing(rows: QuerySet[Any]) -> bool:
    """Return whether a queryset is just all rows of its model, as Django makes it."""
    if type(rows) is not QuerySet:
        return False
    query = rows.query
    model: type[Model] = rows.model
    return (_said(rows), type(query), vars(query)) == _nothing_said(model)


def _said(rows: QuerySet[Any]) -> dict[str, Any]:
    """Return the state of a queryset except its query and database."""
    aside = {"_db", "_hints", "_query"}
    return {name: value for name, value in vars(rows).items() if name not in aside}


@lru_cache(maxsize=32)
def _nothing_said(model: type[Model]) -> tuple[dict[str, Any], type, dict[str, Any]]:
    # Made from another, as the one it is compared with.
    rows: QuerySet[Any] = QuerySet(model).using(None)
    return _said(rows), type(rows.query), vars(rows.query)


@lru_cache(maxsize=32)
def is_plainly_stored(model: type[Model], *names: str) -> bool:
    """
    Return whether a model's columns are just read, and some of them just compared.

    Args:
        model: Any model.
        names: Names of the fields that are compared.
    """
    if not has_one_table(model):
        return False
    by_name: dict[str, Any] = {field.name: field for field in model._meta.fields}
    compared = [by_name.get(name) for name in names]
    return all(
        field is not None
        and field.get_lookup("exact") is Exact
        and field.get_lookup("in") is In
        for field in compared
    ) and all(map(_is_plain, by_name.values()))


@lru_cache(maxsize=128)
def is_plain_path(model: type[Model], path: str) -> bool:
    """
    Return whether what a path selects is the same each time a query is built.

    A host's field may have its own way of being selected or joined, by the language or
    the tenant of the moment for instance.

    Args:
        model: Where the path starts.
        path: Names joined by ``__``.
    """
    for name in path.split(LOOKUP_SEP):
        field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
        if not _is_plain(field):
            return False
        model = field.related_model
    return True


def _is_plain(field: Any) -> bool:
    """Return whether a field is selected, and joined if it is a key, as Django does."""
    own, djangos = type(field), cast("Any", ForeignObject)
    restriction = getattr(own, "get_extra_restriction", None)
    return (
        # A relation seen from its other end has none of these.
        getattr(own, "select_format", None) is Field.select_format
        and own.get_col in {Field.get_col, ForeignKey.get_col}
        and type(field.cached_col) is Col
        and restriction in {None, djangos.get_extra_restriction}
    )


def where_sql(
    model: type[Model],
    where: Mapping[str, Any],
    connection: BaseDatabaseWrapper,
    alias: str = "",
) -> tuple[str, list[Any]]:
    """
    Return a condition in SQL, and its parameters.

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
            parameters += [_stored(stored, one, connection) for one in value]
        else:
            conditions.append(f"{column} = %s")
            parameters.append(_stored(stored, value, connection))
    return " AND ".join(conditions), parameters


def _stored(field: Any, value: Any, connection: BaseDatabaseWrapper) -> Any:
    """Return a value as the database takes it to compare with, as lookups do."""
    prepared = field.get_prep_value(value)
    return field.get_db_prep_value(prepared, connection, prepared=True)


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
    Return whether a model has all its columns in a table of its own.

    Args:
        model: Any model; one that inherits from another has not.
    """
    return len(model._meta.local_concrete_fields) == len(model._meta.concrete_fields)


def read_columns(selected: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """
    Read what a queryset selects, as evaluating it would.

    Args:
        selected: The result of ``values_list()`` with columns of models, and with
            nothing that is computed.
    """
    try:
        prepared = Prepared(selected)
    except EmptyResultSet:
        return []
    return prepared.read()


class Slot(Expression):
    """
    A place in a query for a value that is given when it is read.

    Args:
        name: What the value is given as.
        field: The field that it is compared with, which converts it.
    """

    def __init__(self, name: str, field: Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        """
        Return itself as the parameter.

        Args:
            compiler: As Django gives it.
            connection: As Django gives it.
        """
        return "%s", [self]

    def stored(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """
        Return a value as the database takes it.

        Args:
            value: As it would be given to ``filter()``.
            connection: The connection that it is for.
        """
        return _stored(self.output_field, value, connection)


class Prepared:
    """
    A query whose statement is put together once, and read with other values each time.

    Args:
        selected: As :func:`read_columns` takes it, with slots for what differs.
    """

    def __init__(self, selected: QuerySet[Any, Any]) -> None:
        self._using = selected.db
        compiler: Any = selected.query.get_compiler(self._using)
        self._sql, self._parameters = compiler.as_sql()
        self._columns = [column for column, *_ in compiler.select]

    def read(self, **values: Any) -> list[tuple[Any, ...]]:
        """
        Read what the query selects.

        Args:
            values: A value for each slot, by its name.
        """
        connection = connections[self._using]
        parameters = [
            given.stored(values[given.name], connection)
            if isinstance(given, Slot)
            else given
            for given in self._parameters
        ]
        with connection.cursor() as cursor:
            cursor.execute(self._sql, parameters)
            rows = [*cursor.fetchall()]
        count = len(self._columns)
        if rows and len(rows[0]) > count:
            # What DISTINCT makes Django select to order by comes last.
            rows = [row[:count] for row in rows]
        return _converted(rows, self._columns, connection)


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
    columns = (field.get_col(field.model._meta.db_table) for field in fields)
    return _converted(rows, columns, connection)


def _converted(
    rows: list[tuple[Any, ...]], columns: Iterable[Any], connection: BaseDatabaseWrapper
) -> list[tuple[Any, ...]]:
    if not rows:
        return rows
    values = [*zip(*rows, strict=True)]
    is_converted = False
    for position, column in enumerate(columns):
        converters = [
            *connection.ops.get_db_converters(column),
            *column.get_db_converters(connection),
        ]
        for convert in converters:
            is_converted = True
            values[position] = _convert_all(
                values[position], convert, column, connection
            )
    return [*zip(*values, strict=True)] if is_converted else rows


def _convert_all(
    values: tuple[Any, ...],
    convert: Callable[[Any, Any, Any], Any],
    column: Any,
    connection: BaseDatabaseWrapper,
) -> tuple[Any, ...]:
    if not _is_djangos_for_datetimes(convert, connection):
        return tuple(convert(value, column, connection) for value in values)
    # What Django does, without looking up settings for each value: they are half of
    # what a long list of moments takes.
    zone = connection.timezone if settings.USE_TZ else None
    return tuple(
        value.replace(tzinfo=zone)
        if type(value) is datetime and value.tzinfo is None
        else convert(value, column, connection)
        for value in values
    )


def _is_djangos_for_datetimes(
    convert: Callable[[Any, Any, Any], Any], connection: BaseDatabaseWrapper
) -> bool:
    djangos = getattr(connection.ops, "convert_datetimefield_value", None)
    return convert == djangos and djangos.__module__.startswith("django.db.backends.")
