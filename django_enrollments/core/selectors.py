"""Many enrollments at once: as dictionaries in two queries (B-04), and by filters."""

from __future__ import annotations

from functools import lru_cache, partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db.models import (
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    prefetch_related_objects,
)
from django.db.models.lookups import IsNull

from django_enrollments.context import read_alias
from django_enrollments.core.course_info import CourseInfo, enrollment_as_data
from django_enrollments.core.modes import MODE_COLUMNS, Mode
from django_enrollments.course_model import all_courses, course_key_is_id
from django_enrollments.models import (
    CourseEnrollment,
    EnrollmentEvent,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.models.fields import searchable
from django_enrollments.text import MAX_TEXT, is_storable
from django_enrollments.users import find_users_by_email, find_users_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from django.db.models import Model

    from django_enrollments.backends.courses import CourseAdapter, CourseFacts
    from django_enrollments.context import Call
    from django_enrollments.models.enrollments import CourseEnrollmentQuerySet
    from django_enrollments.payloads import EnrollmentDict


#: What a course dictionary needs to know of a course.
_COURSE_NAMES = (
    "course_id",
    "display_name",
    "start",
    "end",
    "enrollment_start",
    "enrollment_end",
    "invitation_only",
    "self_paced",
)

#: The modes of a course, as a query on courses names them.
_MODES = "django_enrollments_coursemode_set"

#: The most keys in one ``IN``; SQLite allows 32,766 parameters.
_MOST_KEYS = 5_000


def serialize(
    enrollments: Iterable[CourseEnrollment], call: Call, *, include_expired: bool
) -> list[EnrollmentDict]:
    """
    Return enrollments as dictionaries, in their order (V1-SER-01).

    Takes two queries for a queryset: one for rows with the names of their learners, one
    for courses with their modes.

    Args:
        enrollments: A queryset, or any iterable of instances; those of deleted courses
            stay, with ``course_details`` of ``None``.
        include_expired: Whether expired modes are listed in the courses.
    """
    columns = ("course", "created", "mode", "is_active")
    rows: Sequence[tuple[Any, ...]]
    if isinstance(enrollments, QuerySet):
        username = f"user__{get_user_model().USERNAME_FIELD}"
        rows = list(enrollments.values_list(*columns, username))
    else:
        instances = list(enrollments)
        users = get_user_model()._base_manager.using(read_alias())
        # Django 5.2 on SQLite cannot read a thousand at once.
        for start in range(0, len(instances), 500):
            some = instances[start : start + 500]
            prefetch_related_objects(some, Prefetch("user", users))
        rows = [
            (one.course_id, one.created, one.mode, one.is_active, one.username)
            for one in instances
        ]
    courses = _read_courses({key for key, *_ in rows})
    return [
        enrollment_as_data(
            created,
            mode,
            is_active,
            courses[key].as_data(at=call.at, include_expired=include_expired)
            if key in courses
            else None,
            str(name),
        )
        for key, created, mode, is_active, name in rows
    ]


def _read_courses(keys: Collection[Any]) -> dict[Any, CourseInfo]:
    """Return courses with their modes, in creation order (MODE-18), by primary key."""
    facts: dict[Any, CourseFacts] = {}
    modes: dict[Any, list[Mode]] = {}
    adapter = get_course_adapter()
    read = _as_instances if adapter.needs_instance(_COURSE_NAMES) else _as_columns
    unread = list(keys)
    for start in range(0, len(unread), _MOST_KEYS):
        courses = all_courses(read_alias()).order_by(f"{_MODES}__pk")
        courses = courses.filter(pk__in=unread[start : start + _MOST_KEYS])
        # A course comes once for each of its modes, or once without one.
        for key, read_facts, columns in read(courses, adapter):
            if key not in facts:
                facts[key], modes[key] = read_facts(), []
            mode = Mode._make(columns)
            if mode.slug is not None:
                modes[key].append(mode)
    return {
        key: CourseInfo(key, one, None, _modes=tuple(modes[key]))
        for key, one in facts.items()
    }


def _as_instances(
    courses: QuerySet[Any], adapter: CourseAdapter
) -> Iterator[tuple[Any, Callable[[], CourseFacts], Sequence[Any]]]:
    """Yield keys, facts and columns of modes, for adapters that need instances."""
    modes = {f"enrollments_{name}": F(f"{_MODES}__{name}") for name in MODE_COLUMNS}
    for course in adapter.with_related(courses).annotate(**modes):
        columns = [getattr(course, name) for name in modes]
        yield course.pk, partial(adapter.facts, course), columns


def _as_columns(
    courses: QuerySet[Any], adapter: CourseAdapter
) -> Iterator[tuple[Any, Callable[[], CourseFacts], Sequence[Any]]]:
    """Yield the same without making an instance of each row."""
    paths = adapter.paths(_COURSE_NAMES)
    modes = [f"{_MODES}__{name}" for name in MODE_COLUMNS]

    def read_facts(values: Sequence[Any]) -> CourseFacts:
        return adapter.facts_from(dict(zip(paths, values, strict=True)))

    for key, *values in courses.values_list("pk", *paths.values(), *modes):
        facts, mode = values[: len(paths)], values[len(paths) :]
        yield key, partial(read_facts, facts), mode


def list_active_rows(
    user: Any, using: str
) -> tuple[list[CourseEnrollment], dict[Any, str]]:
    """Return a learner's active enrollments in order, and course ids by primary key."""
    rows = CourseEnrollment.objects.using(using).filter(user=user.pk).active()
    rows = rows.annotate(enrollments_course_id=_course_id_of_each()).order_by("pk")
    found: list[Any] = list(rows)
    for row in found:
        row.remember_user(user)
    orphans = [row for row in found if row.enrollments_course_id is None]
    course_ids = {row.course_id: str(row.enrollments_course_id) for row in found}
    return found, course_ids | last_known_ids(orphans, using)


def last_known_ids(orphans: Sequence[CourseEnrollment], using: str) -> dict[Any, str]:
    """Return the ids of deleted courses, from the history, by primary key."""
    ids = {row.course_id: str(row.course_id) for row in orphans}
    if orphans:
        keys = {row.pk: row.course_id for row in orphans}
        events = EnrollmentEvent.objects.using(using).filter(enrollment__in=keys)
        recorded = events.order_by("pk").values_list("enrollment", "course_id")
        ids.update((keys[enrollment], course_id) for enrollment, course_id in recorded)
    return ids


def search_enrollments(
    *,
    course_id: str | None = None,
    course_id_parts: Collection[str] | None = None,
    usernames: Collection[str] | None = None,
    emails: Collection[str] | None = None,
    as_columns: bool = False,
) -> CourseEnrollmentQuerySet:
    """
    Return the enrollments, active or not, that meet every condition (V1-ADM-03…08).

    Those of deleted courses are left out (V1-ADM-22).

    Args:
        course_id: The id of their course; ``None`` is any.
        course_id_parts: Texts of which the id of their course contains one, whatever
            its case; ``None`` is any course, an empty collection none.
        usernames: Names of which their learner has one; ``None`` is any learner, an
            empty collection none.
        emails: Addresses of which their learner has one, in any spelling; ``None`` is
            any learner, an empty collection none.
        as_columns: Whether to return no instances, but creation, primary key, mode,
            activation, the learner's name and the course id of each.
    """
    courses: type[Model] = get_course_model()
    course_id_path, users = get_course_adapter().course_id, get_user_model()
    enrollments: CourseEnrollmentQuerySet = _unfiltered(
        courses, course_id_path, users, users.USERNAME_FIELD, as_columns=as_columns
    )
    if course_id is not None:
        enrollments = enrollments.of_course_id(course_id)
    if course_id_parts is not None:
        found: Any = _courses_with(course_id_parts)
        if usernames is emails is None:
            # MariaDB would look for the courses of a subquery among all enrollments.
            few = list(found[:_MOST_KEYS])
            found = few if len(few) < _MOST_KEYS else found
        enrollments = enrollments.filter(course__in=found)
    if usernames is not None:
        # Databases find the rows of keys sooner than those of names.
        keys = [user.pk for user in find_users_by_name(usernames).values()]
        enrollments = enrollments.filter(user__in=keys)
    if emails is not None:
        # Databases differ in which addresses are equal.
        users_found = find_users_by_email(emails, enrollments.db)
        keys = [user.pk for some in users_found.values() for user in some]
        enrollments = enrollments.filter(user__in=keys)
    return enrollments


@lru_cache(maxsize=16)
def _unfiltered(
    courses: type[Model],
    course_id_path: str,
    users: type[Model],
    username_field: str,
    *,
    as_columns: bool,
) -> Any:
    """
    Return all enrollments, as ``search_enrollments`` describes them.

    Django takes longer to build this than a database takes to find a page, so it is
    built once, as the ``queryset`` of a view is.
    """
    # For Exists() or a join, MariaDB would begin with the other table and sort all
    # enrollments, where a page needs a hundred.
    enrollments = CourseEnrollment.objects.filter(
        IsNull(_value_of("course", courses, "pk"), False)
    )
    if not as_columns:
        return enrollments
    username = _value_of("user", users, username_field)
    return enrollments.values_list(
        "created", "pk", "mode", "is_active", username, _course_id_of_each()
    )


def _course_id_of_each() -> F | Subquery:
    """Return an expression of the course id of each enrollment."""
    if course_key_is_id():
        return F("course")
    return _value_of("course", get_course_model(), get_course_adapter().course_id)


def _value_of(key: str, model: type[Model], path: str) -> Subquery:
    """Return an expression of a value of the row that a foreign key leads to."""
    rows: QuerySet[Any] = QuerySet(model).filter(pk=OuterRef(key)).order_by()
    return Subquery(rows.values(path))


def _courses_with(parts: Collection[str]) -> Any:
    """Return the keys of courses whose id contains one of some texts."""
    keys = all_courses(read_alias()).order_by().values_list("pk", flat=True)
    # No id contains a longer text, and SQLite fails at much longer ones.
    possible = [part for part in parts if part and is_storable(part, MAX_TEXT)]
    if not possible:
        return keys.none()
    course_id = searchable(get_course_model(), get_course_adapter().course_id)
    wanted = reduce(or_, (Q(enrollments_id__icontains=part) for part in possible))
    return keys.alias(enrollments_id=course_id).filter(wanted)
