"""The course adapter, which maps the fields of a host's course model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from django_enrollments.context import call_context, read_alias
from django_enrollments.course_model import (
    all_courses,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.datetimes import as_moment
from django_enrollments.text import org_of, run_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from django.db.models import QuerySet


class CourseMethod(Protocol):
    """The type of an adapter's method. A subclass can override it with a method."""

    def __call__(self, course: Any, /) -> Any:
        """Return the value for an instance of the host's course model."""


#: The type of an adapter's attributes.
Source = str | None | CourseMethod


@dataclass(frozen=True)
class CourseFacts:
    """
    The data of a course that this app uses: the fields of ``AbstractCourse``.

    Attributes:
        course_id: The id in URLs and payloads.
        org: The organization, or ``""``.
        display_name: The title.
        start: Aware datetime of the start; ``None`` without one.
        end: Aware datetime of the end; ``None`` without one.
        enrollment_start: Aware datetime at which enrollment opens, or ``None``.
        enrollment_end: Aware datetime at which enrollment closes, or ``None``.
        invitation_only: Whether only invited learners can enroll.
        max_student_enrollments_allowed: Number of seats; ``None`` for no limit.
        self_paced: Whether learners set their own pace.
        enable_proctored_exams: Whether the course has proctored exams.
        proctoring_provider: Key of ``ENROLLMENTS_PROCTORING_BACKENDS``, or ``""``.
    """

    course_id: str
    org: str = ""
    display_name: str = ""
    start: datetime | None = None
    end: datetime | None = None
    enrollment_start: datetime | None = None
    enrollment_end: datetime | None = None
    invitation_only: bool = False
    max_student_enrollments_allowed: int | None = None
    self_paced: bool = False
    enable_proctored_exams: bool = False
    proctoring_provider: str = ""

    def enrollment_has_begun(self, at: datetime) -> bool:
        """
        Return whether enrollment has opened before ``at`` (ACC-07).

        Args:
            at: Aware datetime.
        """
        return self.enrollment_start is None or self.enrollment_start < at

    def enrollment_has_ended(self, at: datetime) -> bool:
        """
        Return whether enrollment has closed at or before ``at`` (ACC-07).

        Args:
            at: Aware datetime.
        """
        return self.enrollment_end is not None and self.enrollment_end <= at


#: The names that an adapter maps.
NAMES = tuple(CourseFacts.__dataclass_fields__)


class CourseAdapter:
    """
    Maps the fields of the host's course model.

    Override the attributes that differ. A value is a field name, a ``__`` path through
    foreign keys, a method that takes the course, or ``None``, which stands for the
    default value. Queries of lists read field names and paths as columns. With methods,
    they load course instances.

    ``course_id`` must name a unique text field of the course model.
    """

    course_id: ClassVar[str] = "id"
    org: ClassVar[Source] = "org"
    display_name: ClassVar[Source] = "display_name"
    start: ClassVar[Source] = "start"
    end: ClassVar[Source] = "end"
    enrollment_start: ClassVar[Source] = "enrollment_start"
    enrollment_end: ClassVar[Source] = "enrollment_end"
    invitation_only: ClassVar[Source] = "invitation_only"
    max_student_enrollments_allowed: ClassVar[Source] = (
        "max_student_enrollments_allowed"
    )
    self_paced: ClassVar[Source] = "self_paced"
    enable_proctored_exams: ClassVar[Source] = "enable_proctored_exams"
    proctoring_provider: ClassVar[Source] = "proctoring_provider"

    def get_queryset(self) -> QuerySet[Any]:
        """Return the courses that are known. Override it to hide courses."""
        courses: QuerySet[Any] = get_course_model()._default_manager.all()
        return courses

    def sources(self) -> Mapping[str, Source]:
        """Return the value of each name: a path, ``None`` or a bound method."""
        return {name: getattr(self, name) for name in NAMES}

    def paths(self, names: Iterable[str] = NAMES) -> dict[str, str]:
        """Return those of ``names`` that a query can read, with their paths."""
        sources = self.sources()
        key = get_course_model()._meta.pk.name
        return {
            # Django 5.2.0 changes the order of columns if one is called "pk".
            name: key if source == "pk" else source
            for name in names
            if isinstance(source := sources[name], str)
        }

    def needs_instance(self, names: Iterable[str] = NAMES) -> bool:
        """Return whether one of ``names`` is a method, which needs an instance."""
        sources = self.sources()
        return any(callable(sources[name]) for name in names)

    def with_related(self, courses: QuerySet[Any]) -> QuerySet[Any]:
        """Return a queryset of courses that reads the foreign keys of the paths too."""
        sources = self.sources().values()
        paths = {path for path in sources if isinstance(path, str) and "__" in path}
        related = sorted({path.rpartition("__")[0] for path in paths})
        # Without a name, Django would read all foreign keys.
        return courses.select_related(*related) if related else courses

    def find_course(self, course_id: str, using: str | None = None) -> Any | None:
        """
        Return the course with this id, or ``None``.

        Args:
            course_id: A valid course id.
            using: Database alias; ``None`` for the router's choice.
        """
        return next(iter(self.find_courses([course_id], using)), None)

    def find_courses(
        self, course_ids: Collection[str], using: str | None = None
    ) -> list[Any]:
        """
        Return the courses with these ids, in any order, in one query.

        Args:
            course_ids: Valid course ids.
            using: Database alias; ``None`` for the router's choice.
        """
        courses = self.with_related(self.get_queryset())
        courses = courses.using(using or read_alias()).order_by()
        found = courses.filter(**{f"{self.course_id}__in": course_ids})
        # A case-insensitive collation also matches similar ids.
        return [one for one in found if self.course_id_of(one) in course_ids]

    def find_course_by_key(self, key: Any, using: str | None = None) -> Any | None:
        """
        Return the course with this primary key, or ``None``.

        Args:
            key: A primary key; :meth:`get_queryset` does not apply.
            using: Database alias; ``None`` for the router's choice.
        """
        return next(iter(self.find_courses_by_key([key], using)), None)

    def find_courses_by_key(
        self, keys: Collection[Any], using: str | None = None
    ) -> list[Any]:
        """
        Return the courses with these primary keys, in any order, in one query.

        Args:
            keys: Primary keys; :meth:`get_queryset` does not apply.
            using: Database alias; ``None`` for the router's choice.
        """
        courses = self.with_related(all_courses(using or read_alias()))
        return list(courses.filter(pk__in=keys).order_by())

    def orgs_of(self, course_ids: Collection[str]) -> list[str]:
        """
        Return the organization of each course id.

        That of a deleted course is derived from its id.
        """
        names = ("course_id", "org")
        courses = self.get_queryset().using(read_alias())
        courses = courses.filter(**{f"{self.course_id}__in": course_ids})
        facts: Iterable[CourseFacts]
        if self.needs_instance(names):
            facts = map(self.facts, self.with_related(courses))
        else:
            paths = self.paths(names)
            facts = (
                self.facts_from(dict(zip(paths, values, strict=True)))
                for values in courses.values_list(*paths.values())
            )
        known = {course.course_id: course.org for course in facts}
        return [known.get(one, org_of(one)) for one in course_ids]

    def course_id_of(self, course: Any) -> str:
        """Return the id of a course as text."""
        return str(_follow(course, self.course_id))

    def facts(self, course: Any) -> CourseFacts:
        """Return the data of an instance of the host's course model."""
        values: dict[str, Any] = {}
        for name, source in self.sources().items():
            if callable(source):
                values[name] = source(course)
            elif source is not None:
                values[name] = _follow(course, source)
        return self.facts_from(values)

    def facts_from(self, values: Mapping[str, Any]) -> CourseFacts:
        """
        Return the data of a course, with defaults for missing values.

        Args:
            values: Values by name, as the host's model stores them.
        """
        course_id = str(values["course_id"])
        find = values.get
        capacity = find("max_student_enrollments_allowed")
        display_name = find("display_name")
        return CourseFacts(
            course_id=course_id,
            org=str(find("org") or org_of(course_id)),
            display_name=(
                run_of(course_id).replace("_", " ")
                if display_name is None
                else str(display_name)
            ),
            start=as_moment(find("start")),
            end=as_moment(find("end"), ends=True),
            enrollment_start=as_moment(find("enrollment_start")),
            enrollment_end=as_moment(find("enrollment_end"), ends=True),
            invitation_only=bool(find("invitation_only")),
            max_student_enrollments_allowed=(
                None if capacity is None else int(capacity)
            ),
            self_paced=bool(find("self_paced")),
            enable_proctored_exams=bool(find("enable_proctored_exams")),
            proctoring_provider=str(find("proctoring_provider") or ""),
        )


def facts_of(course: Any) -> CourseFacts:
    """Return the data of a course, read once per call by the configured adapter."""
    with call_context() as call:
        if ("facts", id(course)) not in call.readings:
            facts = get_course_adapter().facts(course)
            # The course is kept as well, because its identity is the key.
            call.readings["facts", id(course)] = (course, facts)
        found: CourseFacts = call.readings["facts", id(course)][1]
    return found


def _follow(instance: Any, path: str) -> Any:
    """Return the value at a ``__`` path, or ``None`` after a null."""
    for part in path.split("__"):
        if instance is None:
            return None
        instance = getattr(instance, part)
    return instance
