"""Many enrollments at once: as dictionaries in two queries (B-04), and by filters."""

from __future__ import annotations

from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db.models import (
    CharField,
    F,
    Func,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    TextField,
    prefetch_related_objects,
)
from django.db.models.lookups import IsNull

from django_enrollments.context import read_alias
from django_enrollments.core.course_info import CourseOffer
from django_enrollments.core.modes import MODE_COLUMNS, Mode
from django_enrollments.course_model import (
    all_courses,
    course_key_is_id,
    find_field,
)
from django_enrollments.datetimes import to_iso
from django_enrollments.models import (
    CourseEnrollment,
    EnrollmentEvent,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.text import MAX_TEXT, is_storable
from django_enrollments.users import find_users_by_email

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
_KEYS_PER_QUERY = 5_000


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
        call: The call under way.
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
        prefetch_related_objects(instances, Prefetch("user", users))
        rows = [
            (one.course_id, one.created, one.mode, one.is_active, one.username)
            for one in instances
        ]
    courses = _read_courses({key for key, *_ in rows})
    return [
        enrollment_entry(
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


def enrollment_entry(
    created: Any, mode: str, is_active: bool, details: Any, username: str
) -> EnrollmentDict:
    """
    Return an enrollment as it is on the wire (V1-SER-01).

    Args:
        created: When the row was made, as the database gave it.
        mode: Mode slug.
        is_active: Whether the learner is in the course.
        details: The course as it is on the wire; ``None`` when it is deleted.
        username: The learner's name.
    """
    return {
        "created": to_iso(created),
        "mode": mode,
        "is_active": is_active,
        "course_details": details,
        "user": username,
    }


def _read_courses(keys: Collection[Any]) -> dict[Any, CourseOffer]:
    """Return courses with their modes, in creation order (MODE-18), by primary key."""
    facts: dict[Any, CourseFacts] = {}
    modes: dict[Any, list[Mode]] = {}
    adapter = get_course_adapter()
    read = _as_instances if adapter.needs_instance(_COURSE_NAMES) else _as_columns
    unread = list(keys)
    for start in range(0, len(unread), _KEYS_PER_QUERY):
        courses = all_courses(read_alias()).order_by(f"{_MODES}__pk")
        courses = courses.filter(pk__in=unread[start : start + _KEYS_PER_QUERY])
        # A course comes once for each of its modes, or once without one.
        for key, read_facts, columns in read(courses, adapter):
            if key not in facts:
                facts[key], modes[key] = read_facts(), []
            mode = Mode._make(columns)
            if mode.slug is not None:
                modes[key].append(mode)
    return {
        key: CourseOffer(key, one, None, _modes=tuple(modes[key]))
        for key, one in facts.items()
    }


def _as_instances(
    courses: QuerySet[Any], adapter: CourseAdapter
) -> Iterator[tuple[Any, Callable[[], CourseFacts], Sequence[Any]]]:
    """Yield keys, facts and columns of modes, for adapters that need instances."""
    modes = {f"enrollments_{name}": F(f"{_MODES}__{name}") for name in MODE_COLUMNS}
    related = adapter.related()
    if related:
        courses = courses.select_related(*related)
    for course in courses.annotate(**modes):
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
    """
    Return a learner's active enrollments in order, and course ids by primary key.

    Args:
        user: The learner, whom each enrollment remembers.
        using: Database alias.
    """
    rows = CourseEnrollment.objects.using(using).filter(user=user.pk).active()
    rows = rows.annotate(enrollments_course_id=course_id_of_each()).order_by("pk")
    found: list[Any] = list(rows)
    for row in found:
        row.remember_user(user)
    orphans = [row for row in found if row.enrollments_course_id is None]
    course_ids = {row.course_id: str(row.enrollments_course_id) for row in found}
    return found, course_ids | last_known_ids(orphans, using)


def last_known_ids(orphans: Sequence[CourseEnrollment], using: str) -> dict[Any, str]:
    """
    Return the ids of deleted courses, from the history, by primary key.

    Args:
        orphans: Enrollments of deleted courses.
        using: Database alias.
    """
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
    learners: Collection[Any] | None = None,
    emails: Collection[str] | None = None,
    using: str | None = None,
) -> CourseEnrollmentQuerySet:
    """
    Return the enrollments, active or not, that meet every condition (V1-ADM-03…08).

    Those of deleted courses are left out (V1-ADM-22).

    Args:
        course_id: The id of their course; ``None`` is any.
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
    # Asked by Exists(), MariaDB would begin with the courses and sort all enrollments,
    # where a page needs a hundred of each.
    key = Subquery(_course_of_each().values("pk"))
    return enrollments.filter(IsNull(key, False))


def course_id_of_each() -> F | Subquery:
    """Return an expression of the course id of each enrollment."""
    if course_key_is_id():
        return F("course")
    return Subquery(_course_of_each().values(get_course_adapter().course_id))


def username_of_each() -> Subquery:
    """
    Return an expression of the learner's name of each enrollment.

    A join would let MariaDB begin with the users and sort all enrollments.
    """
    users: QuerySet[Any] = (
        QuerySet(get_user_model()).filter(pk=OuterRef("user")).order_by()
    )
    return Subquery(users.values(get_user_model().USERNAME_FIELD))


def _course_of_each() -> QuerySet[Any]:
    return all_courses().filter(pk=OuterRef("course")).order_by()


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
