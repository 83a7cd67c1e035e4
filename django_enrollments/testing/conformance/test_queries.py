"""The number of SQL statements does not grow with the number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_enrollments import api
from django_enrollments.course_model import get_course_adapter
from django_enrollments.identifiers import find_course_id
from django_enrollments.testing.conformance.helpers import (
    client_of,
    expect,
    expect_constant,
    make_staff,
    url_of,
)
from django_enrollments.testing.factories import (
    make_course,
    make_enrollment,
    make_invitation,
    make_user,
    make_users,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db(databases="__all__")


def test_the_enrollments_of_a_learner(learner: Any) -> None:
    """
    A list of a learner's enrollments makes as many statements for 12 as for 3.

    Change: if the repeated statement reads a relation of the course, a method of the
    course adapter causes it. Replace the method by a ``__`` path, or join the relation
    in ``get_queryset`` of the adapter with ``select_related``
    (docs/how-to/custom-course.md).
    """
    name = learner.get_username()

    expect_constant(
        "api.get_enrollments()",
        lambda count: _enroll_in_new_courses(learner, count),
        lambda: api.get_enrollments(name),
    )


class EveryoneBackend:
    """A permission backend that grants everything, without a statement."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        """Return true."""
        return True

    def grants(self, users: Iterable[Any], perm: str, course: Any = None) -> set[Any]:
        """Return the keys of all users."""
        return {user.pk for user in users}

    def grants_on(self, user: Any, perm: str, courses: Iterable[Any]) -> set[Any]:
        """Return the keys of all courses."""
        return {course.pk for course in courses}


@pytest.fixture
def _without_collaborators(settings: Any) -> None:
    """
    Count no statements of permission backends and filters, which may be called per row.

    ``test_permissions`` counts those of backends.
    """
    path = f"{EveryoneBackend.__module__}.{EveryoneBackend.__qualname__}"
    settings.ENROLLMENTS_PERMISSION_BACKENDS = [path]
    settings.ENROLLMENTS_FILTERS = []


@pytest.mark.usefixtures("_without_collaborators")
def test_explaining_many_courses(service: EnrollmentsService, learner: Any) -> None:
    """
    ``explain_many`` makes as many statements for 12 courses as for 3.

    Change: as in ``test_the_enrollments_of_a_learner``.
    """
    courses: list[Any] = []

    expect_constant(
        "explain_many()",
        lambda count: courses.extend(make_course() for _ in range(count)),
        lambda: service.explain_many(learner, courses),
    )


def _roster(service: EnrollmentsService, user: Any, course: Any) -> None:
    for row in service.roster(course):
        row.user.get_username()


def _list_by_user(service: EnrollmentsService, user: Any, course: Any) -> None:
    course_id_of = get_course_adapter().course_id_of
    for row in service.list_by_user(user):
        course_id_of(row.course)


def _history(service: EnrollmentsService, user: Any, course: Any) -> None:
    for event in service.history(course=course):
        getattr(event.actor, "is_active", None)


def _open_invitations(service: EnrollmentsService, user: Any, course: Any) -> None:
    list(service.open_invitations(course))


@pytest.mark.parametrize("read", [_roster, _list_by_user, _history, _open_invitations])
def test_the_lists_of_the_service(
    read: Callable[[EnrollmentsService, Any, Any], None],
    service: EnrollmentsService,
    learner: Any,
    course: Any,
) -> None:
    """
    The lists of the service make as many statements for 12 rows as for 3.

    Change: the repeated statement is one of a manager, of ``__init__`` or of
    ``from_db`` of the user or course model. Let it read what it needs for all rows.
    """

    def fill(count: int) -> None:
        _enroll_in_new_courses(learner, count)
        for user in make_users(count):
            make_enrollment(user, course, actor=make_user())
            make_invitation(course)

    expect_constant(
        f"{read.__name__.lstrip('_')}()", fill, lambda: read(service, learner, course)
    )


def test_the_seats_of_many_courses(service: EnrollmentsService) -> None:
    """
    ``seats_many`` makes as many statements for 12 courses as for 3.

    Change: as in ``test_the_enrollments_of_a_learner``.
    """
    courses: list[Any] = []

    expect_constant(
        "seats_many()",
        lambda count: courses.extend(make_course() for _ in range(count)),
        lambda: service.seats_many(courses),
    )


@pytest.mark.usefixtures("_without_collaborators")
def test_bulk_enrolling(service: EnrollmentsService, course: Any) -> None:
    """
    Enrolling 9 users in bulk makes as many statements as enrolling 3.

    Change: as in ``test_the_enrollments_of_a_learner``.
    """
    waiting: list[Any] = []

    def enroll() -> None:
        service.bulk_enroll(course, waiting)
        waiting.clear()

    expect_constant(
        "bulk_enroll()", lambda count: waiting.extend(make_users(count)), enroll
    )


def test_enrolling_among_many(service: EnrollmentsService, course: Any) -> None:
    """
    Enrolling one learner makes as many statements among 12 learners as among 3.

    Change: a filter, permission backend or method of the course adapter reads the
    learners of the course one by one.
    """

    def fill(count: int) -> None:
        for user in make_users(count):
            make_enrollment(user, course)

    expect_constant(
        "enroll()", fill, lambda: service.enroll(make_user(), course, force=True)
    )


def test_the_list_over_http(learner: Any) -> None:
    """
    ``GET enrollment`` makes as many statements for 12 enrollments as for 3.

    Change: as in ``test_the_enrollments_of_a_learner``; a middleware must not read
    each course or enrollment either.
    """
    url, client = url_of("courseenrollments"), client_of(learner)

    expect_constant(
        "GET enrollment",
        lambda count: _enroll_in_new_courses(learner, count),
        lambda: client.get(url, secure=True),
    )


def test_the_list_of_all_over_http(course: Any) -> None:
    """
    ``GET enrollments/`` of staff makes as many statements for 12 rows as for 3.

    Change: the permission backends are called for each course of the list. Give them
    the method ``grants_on(user, perm, courses)`` (docs/how-to/permissions.md).
    """
    url, client = url_of("courseenrollmentsapilist"), client_of(make_staff())
    query = {"course_id": str(find_course_id(course))}
    if client.get(url, query, secure=True).status_code != 200:
        pytest.skip("The permission backends let no user with is_staff read the list.")

    def fill(count: int) -> None:
        for user in make_users(count):
            make_enrollment(user, course)

    expect_constant(
        "GET enrollments/", fill, lambda: client.get(url, query, secure=True)
    )
    found = client.get(url, query, secure=True).json()["results"]
    expect(len(found) == 12, f"The list has {len(found)} of 12 enrollments.")


def _enroll_in_new_courses(user: Any, count: int) -> None:
    for _ in range(count):
        make_enrollment(user, make_course())
