"""Changes of rows of this app's own tables, by plain statements as in ``selects``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from django_enrollments.selects import where_sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.models import Model


def update_rows(
    model: type[Model],
    values: Mapping[str, Any],
    where: Sequence[Mapping[str, Any]],
    *,
    using: str,
) -> int:
    """
    Set values in the rows that meet one of the conditions.

    Args:
        model: A model of this app.
        values: New values by field name.
        where: Conditions as :func:`~django_enrollments.selects.select_rows` takes
            them, at least one.
        using: Database alias.

    Returns:
        How many rows met a condition.
    """
    connection = connections[using]
    quote = connection.ops.quote_name
    changes, parameters = [], list[Any]()
    for name, value in values.items():
        field: Any = model._meta.get_field(name)
        changes.append(f"{quote(field.column)} = %s")
        parameters.append(field.get_db_prep_save(value, connection))
    conditions = []
    for one in where:
        condition, more = where_sql(model, one, connection)
        conditions.append(f"({condition})")
        parameters += more
    # Only names are put into it; values are parameters.
    sql = f"UPDATE {quote(model._meta.db_table)} SET {', '.join(changes)}"  # noqa: S608
    sql += f" WHERE {' OR '.join(conditions)}"
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)
