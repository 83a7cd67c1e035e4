"""How enrollments read a course model that they did not define."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from django_enrollments.context import read_alias, remember
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
    """A method of an adapter; unlike a ``Callable``, it may be overridden by one."""

    def __call__(self, course: Any, /) -> Any:
        """
        Return the value of one name.

        Args:
            course: An instance of the host's course model.
        """


#: What one name of an adapter may be.
Source = str | None | CourseMethod


@dataclass(frozen=True)
class CourseFacts:
    """
    What enrollments know of a course; the fields of ``AbstractCourse``.

    Attributes:
        course_id: The id in every URL and payload.
        org: Organisation, ``""`` when there is none.
        display_name: Title for people.
        start: When the course begins, aware; ``None`` is at once.
        end: When the course ends, aware; ``None`` is never.
        enrollment_start: When enrollment opens, aware; ``None`` is at once.
        enrollment_end: When enrollment closes, aware; ``None`` is never.
        invitation_only: Whether only invited learners may enroll.
        max_student_enrollments_allowed: Number of seats; ``None`` is no limit.
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
        Return whether enrollment has opened by ``at`` (ACC-07).

        Args:
            at: Aware datetime; the very moment of opening is not yet open.
        """
        return self.enrollment_start is None or self.enrollment_start < at

    def enrollment_has_ended(self, at: datetime) -> bool:
        """
        Return whether enrollment has closed by ``at`` (ACC-07).

        Args:
            at: Aware datetime; the very moment of closing is closed.
        """
        return self.enrollment_end is not None and self.enrollment_end <= at


#: Every name that an adapter maps, in the order of the contract.
NAMES = tuple(CourseFacts.__dataclass_fields__)


class CourseAdapter:
    """
    Says which attribute of the host's course model holds what.

    Subclass it and name what differs. A value is a field name, a ``__`` path through
    foreign keys, ``None`` where the host has nothing of the kind (the default value is
    used), or a method that takes the course. Field names and paths are read by the
    listing queries themselves; a method makes listings load whole courses.

    ``course_id`` must be a unique text field of the course model.
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
        """Return the courses that learners may be enrolled in; override to narrow."""
        courses: QuerySet[Any] = get_course_model()._default_manager.all()
        return courses

    def sources(self) -> Mapping[str, Source]:
        """Return the source of every name: a path, ``None`` or a bound method."""
        return {name: getattr(self, name) for name in NAMES}

    def paths(self, names: Iterable[str] = NAMES) -> dict[str, str]:
        """
        Return the names that a query can read, with their paths from the course.

        Args:
            names: Which names are wanted.
        """
        sources = self.sources()
        key = get_course_model()._meta.pk.name
        return {
            # Django 5.2.0 forgets the order of columns where one is called "pk".
            name: key if source == "pk" else source
            for name in names
            if isinstance(source := sources[name], str)
        }

    def needs_instance(self, names: Iterable[str] = NAMES) -> bool:
        """
        Return whether a method must see the course to answer one of ``names``.

        Args:
            names: Which names are wanted.
        """
        sources = self.sources()
        return any(callable(sources[name]) for name in names)

    def related(self) -> list[str]:
        """List the foreign keys that the paths go through, for ``select_related``."""
        return sorted(
            {path.rpartition("__")[0] for path in self.paths().values() if "__" in path}
        )

    def find_course(self, course_id: str, using: str | None = None) -> Any | None:
        """
        Return the host's course with this id, or ``None``.

        Args:
            course_id: A valid course id.
            using: Database alias; ``None`` lets the router choose.
        """
        courses = self._with_related(self.get_queryset())
        courses = courses.using(using or read_alias()).order_by()
        found = courses.filter(**{self.course_id: course_id})
        # A case-insensitive collation also finds ids that merely look alike.
        return next((one for one in found if self.course_id_of(one) == course_id), None)

    def find_courses(
        self, course_ids: Collection[str], using: str | None = None
    ) -> list[Any]:
        """
        Return the host's courses with these ids, in any order; one query.

        Args:
            course_ids: Valid course ids.
            using: Database alias; ``None`` lets the router choose.
        """
        courses = self._with_related(self.get_queryset())
        courses = courses.using(using or read_alias()).order_by()
        found = courses.filter(**{f"{self.course_id}__in": course_ids})
        # A case-insensitive collation also finds ids that merely look alike.
        return [one for one in found if self.course_id_of(one) in course_ids]

    def find_course_by_key(self, key: Any, using: str | None = None) -> Any | None:
        """
        Return the host's course with this primary key, or ``None``.

        Args:
            key: A primary key, whatever :meth:`get_queryset` says of its course.
            using: Database alias; ``None`` lets the router choose.
        """
        return next(iter(self.find_courses_by_key([key], using)), None)

    def find_courses_by_key(
        self, keys: Collection[Any], using: str | None = None
    ) -> list[Any]:
        """
        Return the host's courses with these primary keys, in any order; one query.

        Args:
            keys: Primary keys, whatever :meth:`get_queryset` says of their courses.
            using: Database alias; ``None`` lets the router choose.
        """
        courses = self._with_related(all_courses(using or read_alias()))
        return list(courses.filter(pk__in=keys).order_by())

    def _with_related(self, courses: QuerySet[Any]) -> QuerySet[Any]:
        related = self.related()
        return courses.select_related(*related) if related else courses

    def orgs_of(self, course_ids: Collection[str]) -> list[str]:
        """
        Return the organisation of each course; a deleted one's as its id tells.

        Args:
            course_ids: Course ids as text.
        """
        names = ("course_id", "org")
        courses = self.get_queryset().using(read_alias())
        courses = courses.filter(**{f"{self.course_id}__in": course_ids})
        facts: Iterable[CourseFacts]
        if self.needs_instance(names):
            facts = map(self.facts, self._with_related(courses))
        else:
            paths = self.paths(names)
            facts = (
                self.facts_from(dict(zip(paths, values, strict=True)))
                for values in courses.values_list(*paths.values())
            )
        known = {course.course_id: course.org for course in facts}
        return [known.get(one, org_of(one)) for one in course_ids]

    def course_id_of(self, course: Any) -> str:
        """
        Return the id of a course as text.

        Args:
            course: An instance of the host's course model.
        """
        return str(_follow(course, self.course_id))

    def facts(self, course: Any) -> CourseFacts:
        """
        Read everything that enrollments need to know of a course.

        Args:
            course: An instance of the host's course model.
        """
        values: dict[str, Any] = {}
        for name, source in self.sources().items():
            if callable(source):
                values[name] = source(course)
            elif source is not None:
                values[name] = _follow(course, source)
        return self.facts_from(values)

    def facts_from(self, values: Mapping[str, Any]) -> CourseFacts:
        """
        Make facts of raw values, filling in what the host leaves out.

        Args:
            values: Values by name, as the host's model holds them.
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
    """
    Return what the configured adapter reads of a course, read once for one call.

    Args:
        course: An instance of the host's course model.
    """

    def read() -> tuple[Any, CourseFacts]:
        # With the course, whose identity is the key.
        return course, get_course_adapter().facts(course)

    return remember(("facts", id(course)), read)[1]


def _follow(instance: Any, path: str) -> Any:
    """Follow a ``__`` path; a null on the way gives ``None``."""
    for part in path.split("__"):
        if instance is None:
            return None
        instance = getattr(instance, part)
    return instance
