"""Joins of an enrollment with what it points to, whether or not that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.db.models.sql.datastructures import Join

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.db.models.sql import Query

QuerySetT = TypeVar("QuerySetT", bound="QuerySet[Any, Any]")


def join_outer(enrollments: QuerySetT, *names: str) -> QuerySetT:
    """
    Make the joins of a queryset by some foreign keys, and all that hang on them, outer.

    Django makes them inner, since the keys are never null, and offers no way to say
    otherwise. But the course of an enrollment may be deleted, and a database that has
    an inner join may begin with the other table, read all enrollments and sort them,
    where a page needs a hundred.

    Args:
        enrollments: A queryset that has the joins already, by the columns it reads.
        names: Names of foreign keys, or of ``FilteredRelation`` annotations.

    Returns:
        The very queryset.
    """
    query: Query = enrollments.query
    outer = set()
    for alias, join in query.alias_map.items():
        if not isinstance(join, Join):
            continue
        relation, field = join.filtered_relation, cast("Any", join.join_field)
        name = relation.alias if relation else field.name
        is_meant = join.parent_alias == query.base_table and name in names
        if is_meant or join.parent_alias in outer:
            query.alias_map[alias] = join.promote()
            outer.add(alias)
    return enrollments
