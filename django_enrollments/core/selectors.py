"""
Many enrollments as dictionaries, in two queries however many they are (B-04).

One reads rows with their learners' names and their courses, the other the modes of all
these courses. Serializers declare the same shape, one instance at a time.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import (
    CharField,
    F,
    FilteredRelation,
    Func,
    Q,
    QuerySet,
    TextField,
)

from django_enrollments.context import read_alias
from django_enrollments.core.course_info import course_data
from django_enrollments.core.joins import join_outer
from django_enrollments.core.modes import MODE_COLUMNS, Mode, usable_modes
from django_enrollments.course_model import find_field
from django_enrollments.datetimes import to_iso
from django_enrollments.models import (
    CourseEnrollment,
    CourseMode,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.models.enrollments import CourseEnrollmentQuerySet
from django_enrollments.selects import (
    Prepared,
    Slot,
    is_plain_path,
    read_columns,
    select_rows,
)
from django_enrollments.text import MAX_TEXT, is_storable
from django_enrollments.users import find_users_by_email

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from django.db.models import Model

    from django_enrollments.backends.courses import CourseFacts
    from django_enrollments.context import Call
    from django_enrollments.payloads import CourseDict, EnrollmentDict


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

#: What an enrollment dictionary needs to know of a row.
_ROW_COLUMNS = ("course", "created", "mode", "is_active")

#: What the course is called in the query of a list.
_COURSE = "enrollments_course"

#: Most keys in one ``IN``; SQLite allows 32,766 parameters.
_KEYS_PER_QUERY = 5_000


def serialize(
    enrollments: Iterable[CourseEnrollment], call: Call, *, include_expired: bool
) -> list[EnrollmentDict]:
    """
    Return enrollments as dictionaries, in their order (V1-SER-01).

    Args:
        enrollments: A queryset or any iterable of instances; those of deleted courses
            stay, with ``course_details`` of ``None``.
        call: The call under way.
        include_expired: Whether expired modes are listed in the courses.
    """
    if isinstance(enrollments, CourseEnrollmentQuerySet) and _can_be_joined(
        enrollments
    ):
        return _serialize_queryset(enrollments, call, include_expired)
    return _serialize_instances(list(enrollments), call, include_expired)


def _can_be_joined(enrollments: CourseEnrollmentQuerySet) -> bool:
    """Return whether users and courses can still be joined to a queryset."""
    is_read = enrollments._result_cache is not None
    return not (is_read or enrollments.query.is_sliced)


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


def _serialize_queryset(
    enrollments: CourseEnrollmentQuerySet, call: Call, include_expired: bool
) -> list[EnrollmentDict]:
    """Serialize a queryset: one query for rows and courses, one for all modes."""
    adapter = get_course_adapter()
    username = get_user_model().USERNAME_FIELD
    if adapter.needs_instance(_COURSE_NAMES):
        columns = (*_ROW_COLUMNS, f"user__{username}")
        rows = read_columns(enrollments.values_list(*columns))
        courses = _Courses({key for key, *_ in rows}, call, include_expired)
        return [
            enrollment_entry(
                created, mode, is_active, courses.details(key), str(username)
            )
            for key, created, mode, is_active, username in rows
        ]
    paths = adapter.paths(_COURSE_NAMES)
    rows = read_columns(_with_courses(enrollments, username, paths.values()))
    return _with_modes(rows, [*paths], call, include_expired)


def serialize_own(
    username: Any,
    call: Call,
    include_expired: bool,
    *,
    course_id: str | None = None,
    only_active: bool = False,
) -> list[EnrollmentDict]:
    """
    Return a learner's enrollments as dictionaries, oldest first (V1-SER-01).

    Args:
        username: What :func:`~django_enrollments.identifiers.find_username` gave.
        call: The call under way.
        include_expired: Whether expired modes are listed in the courses.
        course_id: The only course; ``None`` for all.
        only_active: Whether those the learner left are passed over.

    Returns:
        Dictionaries; those of look-alikes too where a collation finds them.
    """
    using = read_alias() or CourseEnrollment.objects.db
    adapter = get_course_adapter()
    if adapter.needs_instance(_COURSE_NAMES):
        enrollments = own_enrollments(
            using, username, course_id, only_active=only_active
        )
        return _serialize_queryset(
            enrollments.order_by("created", "pk"), call, include_expired
        )
    paths = adapter.paths(_COURSE_NAMES)
    username_field = get_user_model().USERNAME_FIELD
    courses: type[Model] = get_course_model()
    is_plain = is_plain_path(get_user_model(), username_field) and all(
        is_plain_path(courses, path) for path in paths.values()
    )
    prepare = _prepare_own if is_plain else _prepare_own.__wrapped__
    prepared = prepare(
        using,
        username_field,
        (*paths.values(),),
        None if course_id is None else adapter.course_id,
        only_active=only_active,
    )
    rows = prepared.read(username=username, course_id=course_id)
    return _with_modes(rows, [*paths], call, include_expired)


def own_enrollments(
    using: str | None, username: Any, course_id: Any = None, *, only_active: bool
) -> CourseEnrollmentQuerySet:
    """
    Return a learner's enrollments, in any order, as :func:`serialize_own` has them.

    Args:
        using: Database alias; ``None`` lets the router choose.
        username: As there, or where it is to be.
        course_id: As there, or where it is to be.
        only_active: As there.
    """
    enrollments = CourseEnrollment.objects.using(using).of_stored_username(username)
    if course_id is not None:
        enrollments = enrollments.of_course_id(course_id)
    return enrollments.active() if only_active else enrollments


@lru_cache(maxsize=32)
def _prepare_own(
    using: str,
    username_field: str,
    paths: tuple[str, ...],
    course_id_path: str | None,
    *,
    only_active: bool,
) -> Prepared:
    name: Any = get_user_model()._meta.get_field(username_field)
    username = Slot("username", name)
    course_id = None
    if course_id_path is not None:
        field: Any = find_field(get_course_model(), course_id_path)
        course_id = Slot("course_id", field)
    enrollments = own_enrollments(using, username, course_id, only_active=only_active)
    enrollments = enrollments.order_by("created", "pk")
    return Prepared(_with_courses(enrollments, username_field, paths))


def _with_courses(
    enrollments: CourseEnrollmentQuerySet, username_field: str, paths: Iterable[str]
) -> QuerySet[Any, Any]:
    columns = [*_ROW_COLUMNS, f"user__{username_field}"]
    columns += [f"{_COURSE}__{path}" for path in paths]
    joined = enrollments.annotate(**{_COURSE: FilteredRelation("course")})
    # Outer, so that the rows of deleted courses stay.
    return join_outer(joined.values_list(*columns), _COURSE)


def _with_modes(
    rows: Iterable[tuple[Any, ...]],
    names: Sequence[str],
    call: Call,
    include_expired: bool,
) -> list[EnrollmentDict]:
    """Serialize what :func:`_with_courses` selects; ``names`` are those of courses."""
    adapter = get_course_adapter()
    facts: dict[Any, CourseFacts] = {}
    for key, _, _, _, _, *values in rows:
        # The id comes first; a deleted course has none.
        if values[0] is not None and key not in facts:
            facts[key] = adapter.facts_from(dict(zip(names, values, strict=True)))
    modes = _read_modes(facts)
    return [
        enrollment_entry(
            row[1],
            row[2],
            row[3],
            _details(facts.get(row[0]), modes[row[0]], call, include_expired),
            str(row[4]),
        )
        for row in rows
    ]


def _read_modes(keys: Collection[Any]) -> dict[Any, list[Mode]]:
    """Read the modes of many courses, in creation order (MODE-18)."""
    modes: dict[Any, list[Mode]] = defaultdict(list)
    unread = list(keys)
    for start in range(0, len(unread), _KEYS_PER_QUERY):
        rows = select_rows(
            CourseMode,
            ("course", *MODE_COLUMNS),
            {"course": unread[start : start + _KEYS_PER_QUERY]},
            in_order=True,
        )
        for key, *columns in rows:
            modes[key].append(Mode._make(columns))
    return modes


def _details(
    facts: CourseFacts | None, modes: Sequence[Mode], call: Call, include_expired: bool
) -> CourseDict | None:
    """Return a course as a dictionary of its own; ``None`` when it is deleted."""
    if facts is None:
        return None
    usable = usable_modes(modes, at=call.at, include_expired=include_expired)
    return course_data(facts, usable)


def _serialize_instances(
    rows: Sequence[CourseEnrollment], call: Call, include_expired: bool
) -> list[EnrollmentDict]:
    """Serialize instances, reading what they lack for all of them at once."""
    names = _names_of(rows)
    courses = _Courses({row.course_id for row in rows}, call, include_expired)
    return [
        enrollment_entry(
            row.created,
            row.mode,
            row.is_active,
            courses.details(row.course_id),
            names[row.user_id],
        )
        for row in rows
    ]


def _names_of(rows: Sequence[CourseEnrollment]) -> dict[Any, str]:
    is_cached = CourseEnrollment._meta.get_field("user").is_cached
    names = {row.user_id: row.username for row in rows if is_cached(row)}
    missing = {row.user_id for row in rows} - names.keys()
    if missing:
        users = get_user_model()._base_manager.using(read_alias()).in_bulk(missing)
        names |= {key: str(user.get_username()) for key, user in users.items()}
    return names


class _Courses:
    """Course dictionaries for many rows, read with their modes in one query."""

    def __init__(self, keys: set[Any], call: Call, include_expired: bool) -> None:
        self._call = call
        self._include_expired = include_expired
        self._facts: dict[Any, CourseFacts] = {}
        self._modes: dict[Any, list[Mode]] = {}
        unread = list(keys)
        for start in range(0, len(unread), _KEYS_PER_QUERY):
            self._read(unread[start : start + _KEYS_PER_QUERY])

    def _read(self, keys: Sequence[Any]) -> None:
        """Read courses joined with their modes: a course comes once for each."""
        adapter = get_course_adapter()
        modes = CourseMode._meta.get_field("course").remote_field.name
        courses = get_course_model()._base_manager.using(read_alias())
        courses = courses.filter(pk__in=keys)
        courses = courses.order_by(f"{modes}__pk")
        columns = [f"{modes}__{column}" for column in MODE_COLUMNS]
        if adapter.needs_instance(_COURSE_NAMES):
            named = {f"enrollments_{path}": F(path) for path in columns}
            related = adapter.related()
            if related:
                courses = courses.select_related(*related)
            for course in courses.annotate(**named):
                if course.pk not in self._facts:
                    self._facts[course.pk] = adapter.facts(course)
                self._add_mode(course.pk, [vars(course)[name] for name in named])
            return
        paths = adapter.paths(_COURSE_NAMES)
        for key, *values in courses.values_list("pk", *paths.values(), *columns):
            if key not in self._facts:
                # Stops where the names do, before the mode.
                named = dict(zip(paths, values, strict=False))
                self._facts[key] = adapter.facts_from(named)
            self._add_mode(key, values[len(paths) :])

    def _add_mode(self, key: Any, columns: Sequence[Any]) -> None:
        mode = Mode._make(columns)
        if mode.slug is not None:  # A course without modes comes once all the same.
            self._modes.setdefault(key, []).append(mode)

    def details(self, key: Any) -> CourseDict | None:
        """Return a course as a dictionary of its own; ``None`` when it is deleted."""
        return _details(
            self._facts.get(key),
            self._modes.get(key, ()),
            self._call,
            self._include_expired,
        )


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
