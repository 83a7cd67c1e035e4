"""Finding enrollments of anybody in any course."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, cast

from django.db import connections
from django.db.models import CharField, F, Func, Q, TextField

from django_enrollments.enrolling.learners import find_users_by_email
from django_enrollments.keys import MAX_TEXT, is_storable
from django_enrollments.models import (
    CourseEnrollment,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.swapped import find_field

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import Model

    from django_enrollments.models.enrollments import CourseEnrollmentQuerySet
    from django_enrollments.selects import Slot


def search_enrollments(
    *,
    course_id: str | Slot | None = None,
    course_id_parts: Collection[str] | None = None,
    learners: Collection[Any] | None = None,
    emails: Collection[str] | None = None,
    using: str | None = None,
) -> CourseEnrollmentQuerySet:
    """
    Return the enrollments, active or not, that meet every condition (V1-ADM-03…08).

    Those of deleted courses are left out (V1-ADM-22).

    Args:
        course_id: The id of their course, or where it is to be; ``None`` is any.
        course_id_parts: Texts of which the id of their course contains one, whatever
            its case; ``None`` is any course, an empty collection none.
        learners: Keys of users of whom their learner is one; ``None`` is any learner,
            an empty collection none.
        emails: Addresses of which their learner has one, in any spelling; ``None`` is
            any learner, an empty collection none.
        using: Database alias; ``None`` lets the router choose.
    """
    enrollments = CourseEnrollment.objects.using(using)
    if course_id is not None:
        enrollments = enrollments.of_course_id(course_id)
    if course_id_parts is None:
        enrollments = _in_courses_that_exist(enrollments)
    else:
        enrollments = _in_courses_with(enrollments, course_id_parts)
    if learners is not None:
        enrollments = enrollments.filter(user__in=learners)
    if emails is not None:
        enrollments = _of_emails(enrollments, emails)
    return enrollments


def _in_courses_that_exist(
    enrollments: CourseEnrollmentQuerySet,
) -> CourseEnrollmentQuerySet:
    # Asked whether there is one, MariaDB would begin with the courses, read all the
    # enrollments and sort them, and PostgreSQL would read all courses first, where a
    # page needs a hundred of each. So they are asked for a value.
    courses, own = get_course_model()._meta, CourseEnrollment._meta
    quote = connections[enrollments.db].ops.quote_name
    table, key = quote(courses.db_table), quote(courses.pk.column)
    course = f"{quote(own.db_table)}.{quote(own.get_field('course').column)}"
    # Only names are put into it.
    found = f"SELECT 1 FROM {table} WHERE {table}.{key} = {course}"  # noqa: S608
    where = [f"({found}) IS NOT NULL"]
    return cast("CourseEnrollmentQuerySet", enrollments.extra(where=where))  # noqa: S610 - As above.


class _Searchable(Func):
    """A text that ``LIKE`` can search, whatever the collation of its column."""

    output_field = CharField()
    template = "%(expressions)s"

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the text with a deterministic collation; others have no ``LIKE``."""
        template = '(%(expressions)s) COLLATE "default"'
        return self.as_sql(compiler, connection, template=template, **context)


def searchable(model: type[Model], path: str, prefix: str = "") -> F | Func:
    """
    Return an expression of a column, for lookups such as ``icontains``.

    Args:
        model: The model where the path starts.
        path: The path of the column.
        prefix: The path from the model that is queried to ``model``, with ``__``.
    """
    column = F(f"{prefix}{path}")
    is_text = isinstance(find_field(model, path), CharField | TextField)
    return _Searchable(column) if is_text else column


def _in_courses_with(
    enrollments: CourseEnrollmentQuerySet, parts: Collection[str]
) -> CourseEnrollmentQuerySet:
    path = get_course_adapter().course_id
    # No id contains a longer text, and SQLite fails at much longer ones.
    possible = [part for part in parts if part and is_storable(part, MAX_TEXT)]
    if not possible:
        return enrollments.none()
    wanted = reduce(or_, (Q(enrollments_id__icontains=part) for part in possible))
    courses = get_course_model()._base_manager.alias(
        enrollments_id=searchable(get_course_model(), path)
    )
    courses = courses.filter(wanted).order_by()
    return enrollments.filter(course__in=courses.values("pk"))


def _of_emails(
    enrollments: CourseEnrollmentQuerySet, emails: Collection[str]
) -> CourseEnrollmentQuerySet:
    # A database alone does not tell which addresses are the same.
    found = find_users_by_email(emails, enrollments.db)
    keys = [user.pk for users in found.values() for user in users]
    return enrollments.filter(user__in=keys)
