"""
Makes what many tests begin with once, and lays its rows down in each of them.

Whatever the rules take to make a row, laying it down takes one statement a table. It
needs no transaction that outlasts a test, so tests that commit can do it as well.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.db import connection, transaction
from django.db.models.sql import InsertQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.models import Model

T = TypeVar("T")


class Groundwork:
    """
    The rows that lie below a test, in layers.

    Args:
        made: What tests with the same settings have made so far; empty at first.
    """

    def __init__(self, made: dict[Any, Any]) -> None:
        self._made = made
        self._laid: tuple[Any, ...] = ()

    def lay(self, make: Callable[..., T], /, *args: Any) -> T:
        """
        Add the rows that a call makes, and give what it gave when it made them.

        Args:
            make: Adds rows and changes none of those below. It is called once for all
                tests in which the same lies below, so it has to be the same object.
            args: What it is called with.
        """
        key = (*self._laid, make, args)
        if key not in self._made:
            self._made[key] = _make(make, *args)
        given, statements = self._made[key]
        with connection.cursor() as cursor:
            for sql, values in statements:
                cursor.execute(sql, values)
        self._laid = key
        return given

    def recall(self, read: Callable[[], T], /) -> T:
        """Return what a call gave in the first test in which the same lies below."""
        key = (*self._laid, read)
        if key not in self._made:
            self._made[key] = read()
        return self._made[key]

    @contextmanager
    def for_a_while(self) -> Iterator[None]:
        """Take back whatever is laid, or written, in a block."""
        laid = self._laid
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
        self._laid = laid


def rows_of(models: Iterable[type[Model]]) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of some tables, by table and in the order of their keys."""
    rows = {}
    with connection.cursor() as cursor:
        for sql, table in map(_select, models):
            cursor.execute(sql)
            rows[table] = list(cursor.fetchall())
    return rows


@cache
def _select(model: type[Model]) -> tuple[str, str]:
    meta, quote = model._meta, connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in _fields_of(model))
    table, key = quote(meta.db_table), quote(meta.pk.column)
    return f"SELECT {columns} FROM {table} ORDER BY {key}", meta.db_table  # noqa: S608


def _fields_of(model: type[Model]) -> list[Any]:
    """List the fields that are columns, the key first."""
    return sorted(
        model._meta.local_concrete_fields, key=lambda field: not field.primary_key
    )


def _make(make: Callable[..., T], *args: Any) -> tuple[T, list[tuple[str, Any]]]:
    """Return what a call gives, and statements that add the rows that it adds."""
    models = _in_order(apps.get_models(include_auto_created=True))
    with transaction.atomic():
        before = rows_of(models)
        given = make(*args)
        after = rows_of(models)
        statements = []
        for model in models:
            table = model._meta.db_table
            old = {row[0]: row for row in before[table]}
            new = {row[0]: row for row in after[table]}
            for key, row in old.items():
                assert new.get(key) == row, f"{make} changed a row of {table}."
            if added := new.keys() - old.keys():
                statements += _inserts(model, added)
        transaction.set_rollback(True)
    return given, statements


def _inserts(model: type[Model], keys: Iterable[Any]) -> list[tuple[str, Any]]:
    rows = model._base_manager.filter(pk__in=keys).order_by("pk")
    query = InsertQuery(model)
    query.insert_values(_fields_of(model), list(rows), raw=True)
    return list(query.get_compiler(connection=connection).as_sql())


def _in_order(models: Iterable[type[Model]]) -> list[type[Model]]:
    """Put the models that are pointed to before those that point to them."""
    ordered: dict[type[Model], None] = {}

    def add(model: type[Model], *pointing: type[Model]) -> None:
        for field in model._meta.local_concrete_fields:
            to = field.related_model
            if to is not None and to not in (model, *pointing):
                add(to, model, *pointing)
        ordered[model] = None

    for model in models:
        if model._meta.managed and not model._meta.proxy:
            add(model)
    return list(ordered)
