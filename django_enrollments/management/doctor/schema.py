"""Whether the tables have the columns and indexes of the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, router
from django.db.models import UniqueConstraint

from django_enrollments.management.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIGRATE = "Run 'manage.py migrate', or compare with the migrations."


def check_schema() -> Iterator[Finding]:
    """Yield the differences between tables and models."""
    for model in apps.get_app_config("django_enrollments").get_models():
        options = model._meta
        if not options.managed or options.proxy or options.swapped:
            continue
        connection = connections[router.db_for_write(model)]
        table = options.db_table
        with connection.cursor() as cursor:
            if table not in connection.introspection.table_names(cursor):
                text = f"It does not exist. {_MIGRATE}"
                yield Finding("missing_table", "error", f"table {table}", text)
                continue
            columns = connection.introspection.get_table_description(cursor, table)
            constraints = connection.introspection.get_constraints(cursor, table)
        yield from _compare_columns(model, {one.name: one for one in columns})
        yield from _compare_indexes(model, constraints.values())


def _compare_columns(model: Any, stored: dict[str, Any]) -> Iterator[Finding]:
    table = model._meta.db_table
    fields = {field.column: field for field in _columns_of(model._meta)}
    for name, field in fields.items():
        subject = f"column {table}.{name}"
        if name not in stored:
            text = f"It does not exist. {_MIGRATE}"
            yield Finding("missing_column", "error", subject, text)
        elif stored[name].null_ok != field.null:
            text = "It takes NULL, unlike the model."
            if field.null:
                text = "It does not take NULL, unlike the model."
            yield Finding("different_column", "warning", subject, text)
    for name, column in stored.items():
        if name not in fields:
            is_required = not column.null_ok and column.default is None
            text = "The model does not have it."
            if is_required:
                text += " It has no default, so no row can be added."
            level = "error" if is_required else "note"
            yield Finding("unknown_column", level, f"column {table}.{name}", text)  # type: ignore[arg-type]  # one of two literals.


def _compare_indexes(model: Any, stored: Any) -> Iterator[Finding]:
    table = model._meta.db_table
    unique = [one["columns"] for one in stored if one["unique"] or one["primary_key"]]
    indexed = [*unique, *(one["columns"] for one in stored if one["index"])]
    for columns, is_unique in _expected_indexes(model):
        subject = f"table {table}, columns {', '.join(columns)}"
        if is_unique and not any(set(one) == set(columns) for one in unique):
            text = f"There is no unique constraint. {_MIGRATE}"
            yield Finding("missing_constraint", "error", subject, text)
        elif not any(one[: len(columns)] == columns for one in indexed):
            text = f"There is no index. {_MIGRATE}"
            yield Finding("missing_index", "warning", subject, text)


def _expected_indexes(model: Any) -> Iterator[tuple[list[str], bool]]:
    """Yield the columns of each index, and whether it is unique."""
    options = model._meta
    for field in _columns_of(options):
        if field.unique:
            yield [field.column], True
        elif field.db_index:
            yield [field.column], False
    for constraint in options.constraints:
        if isinstance(constraint, UniqueConstraint) and constraint.fields:
            yield _columns(options, constraint.fields), True
    for index in options.indexes:
        if index.fields:
            yield _columns(options, [name for name, _ in index.fields_orders]), False


def _columns_of(options: Any) -> list[Any]:
    """Return the fields that have a column in the model's own table."""
    fields = options.get_fields(include_parents=False)
    return [field for field in fields if field.concrete and field.column]


def _columns(options: Any, names: Any) -> list[str]:
    return [options.get_field(name).column for name in names]
