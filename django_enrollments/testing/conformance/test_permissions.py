"""The permission backends of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied

from django_enrollments import permissions
from django_enrollments.conf import conf
from django_enrollments.course_model import get_course_adapter
from django_enrollments.identifiers import find_course_id
from django_enrollments.importing import load_instance
from django_enrollments.models import CourseAccessRole
from django_enrollments.testing.conformance.helpers import expect, expect_constant
from django_enrollments.testing.factories import (
    make_course,
    make_invitation,
    make_user,
    make_users,
)
from django_enrollments.users import email_of

if TYPE_CHECKING:
    from django_enrollments.permissions import PermissionBackend

pytestmark = pytest.mark.django_db(databases="__all__")

#: Permissions that a learner without a role must not have.
OVER_OTHERS = (
    permissions.VIEW_ENROLLMENT_DATA,
    permissions.CREATE_ENROLLMENT,
    permissions.DEACTIVATE_ENROLLMENT,
    permissions.RETIRE_USER,
)
ALL = (permissions.ENROLL_IN_COURSE, *OVER_OTHERS)


@pytest.fixture(params=conf.ENROLLMENTS_PERMISSION_BACKENDS)
def backend(request: pytest.FixtureRequest) -> PermissionBackend:
    """Return each of the configured backends."""
    loaded: PermissionBackend = load_instance(
        "ENROLLMENTS_PERMISSION_BACKENDS", request.param
    )
    return loaded


def _ask(backend: PermissionBackend, user: Any, perm: str, course: Any) -> bool:
    """Return the answer of a backend; a veto is false."""
    try:
        return bool(backend.has_perm(user, perm, course))
    except PermissionDenied:
        return False
    except Exception as error:  # noqa: BLE001 - Reported.
        about = "without a course" if course is None else "about a course"
        pytest.fail(
            f"{type(backend).__name__}.has_perm(user, {perm!r}) {about} raised "
            f"{error!r} for {'an anonymous' if not user.pk else 'a new'} user.",
            pytrace=False,
        )


@pytest.mark.parametrize("perm", ALL)
def test_a_backend_answers_every_question(
    perm: str, backend: PermissionBackend, learner: Any, course: Any
) -> None:
    """
    A backend returns true or false, or raises ``PermissionDenied``, and nothing else.

    It is called with every permission, with a course and without one, and with
    anonymous and inactive users.

    Change: let ``has_perm`` of the backend return ``False`` for what it does not know,
    and handle errors of other services there. Any other exception reaches the caller,
    and nobody can enroll (docs/how-to/permissions.md).
    """
    inactive = make_user()
    inactive.is_active = False
    for user in (learner, inactive, AnonymousUser()):
        for about in (None, course):
            _ask(backend, user, perm, about)


@pytest.mark.parametrize("perm", OVER_OTHERS)
def test_a_new_user_has_no_permission_over_others(
    perm: str, backend: PermissionBackend, learner: Any, course: Any
) -> None:
    """
    A new user without roles, and an anonymous one, may not act for others.

    Change: let ``has_perm`` of the backend grant this permission only to staff and to
    users with a role. It is asked about every user of the REST API.
    """
    for user in (learner, AnonymousUser()):
        for about in (None, course):
            granted = _ask(backend, user, perm, about)
            expect(
                not granted,
                f"{type(backend).__name__} grants {perm!r} to a new or anonymous user.",
            )


def test_somebody_can_enroll(course: Any) -> None:
    """
    A new learner, an invited one, course staff or a superuser can enroll in a course.

    Change: list ``CourseRoleBackend`` in ``ENROLLMENTS_PERMISSION_BACKENDS``, or let a
    backend of this project grant ``ENROLL_IN_COURSE``. Without a grant, every course is
    closed (docs/how-to/permissions.md).
    """
    learner, invited, staff, boss = make_users(4)
    make_invitation(course, email_of(invited) or "nobody@example.org")
    CourseAccessRole.objects.create(
        user=staff, course_id=str(find_course_id(course)), role="staff"
    )
    boss.is_superuser = boss.is_staff = True
    users = [learner, invited, staff, boss]
    decisions = permissions.decide(users, permissions.ENROLL_IN_COURSE, course)
    expect(
        any(one.granted for one in decisions),
        "The permission backends let nobody enroll in a new course: "
        f"{list(conf.ENROLLMENTS_PERMISSION_BACKENDS)}.",
    )


def test_an_anonymous_user_cannot_enroll(
    backend: PermissionBackend, course: Any
) -> None:
    """
    An anonymous user has no permission to enroll.

    Change: let ``has_perm`` of the backend return ``False`` unless
    ``user.is_authenticated``.
    """
    granted = _ask(backend, AnonymousUser(), permissions.ENROLL_IN_COURSE, course)
    expect(not granted, f"{type(backend).__name__} lets an anonymous user enroll.")


def test_a_backend_answers_for_many_users_at_once(
    backend: PermissionBackend, course: Any
) -> None:
    """
    ``grants`` makes as many statements for 12 users as for 3.

    Change: let ``grants(users, perm, course)`` of the backend read all users in one
    query (docs/how-to/permissions.md).
    """
    name, method = type(backend).__name__, getattr(backend, "grants", None)
    if method is None:
        pytest.skip(f"{name} has no method grants(): bulk calls ask it for each user.")
    users: list[Any] = []

    expect_constant(
        f"{name}.grants()",
        lambda count: users.extend(make_users(count)),
        lambda: method(users, permissions.ENROLL_IN_COURSE, course),
    )


def test_a_backend_answers_for_many_courses_at_once(
    backend: PermissionBackend, learner: Any
) -> None:
    """
    ``grants_on`` makes as many statements for 12 courses as for 3.

    Change: let ``grants_on(user, perm, courses)`` of the backend read all courses in
    one query (docs/how-to/permissions.md).
    """
    name, method = type(backend).__name__, getattr(backend, "grants_on", None)
    if method is None:
        pytest.skip(f"{name} has no method grants_on(): lists ask it for each course.")
    courses: list[Any] = []

    def prepare(count: int) -> None:
        keys = [make_course().pk for _ in range(count)]
        courses.extend(get_course_adapter().find_courses_by_key(keys))

    expect_constant(
        f"{name}.grants_on()",
        prepare,
        lambda: method(learner, permissions.ENROLL_IN_COURSE, courses),
    )


@pytest.mark.parametrize("perm", ALL)
def test_methods_for_many_agree_with_has_perm(
    perm: str, backend: PermissionBackend, course: Any
) -> None:
    """
    ``grants``, ``grants_on`` and ``granted_ids`` return what ``has_perm`` returns.

    Change: correct the method of the backend, or remove it: all three are optional
    (docs/how-to/permissions.md).
    """
    users, courses = make_users(3), [course, make_course()]
    name = type(backend).__name__
    method: Any = getattr(backend, "grants", None)
    if method is not None:
        granted = {user.pk for user in users if _ask(backend, user, perm, course)}
        found = method(users, perm, course)
        expect(found == granted, f"{name}.grants() is {found}, not {granted}.")
    method = getattr(backend, "grants_on", None)
    granted = {one.pk for one in courses if _ask(backend, users[0], perm, one)}
    if method is not None:
        found = method(users[0], perm, courses)
        expect(found == granted, f"{name}.grants_on() is {found}, not {granted}.")
    method = getattr(backend, "granted_ids", None)
    ids = method(users[0], perm) if method is not None else None
    if ids is not None:
        course_id_of = get_course_adapter().course_id_of
        listed = {one.pk for one in courses if course_id_of(one) in ids}
        expect(listed == granted, f"{name}.granted_ids() is {listed}, not {granted}.")
