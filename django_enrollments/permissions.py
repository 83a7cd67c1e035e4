"""
Permissions: their names, and the question to the backends of the host.

The backends of ``ENROLLMENTS_PERMISSION_BACKENDS`` are called in order: ``True``
grants, ``False`` leaves the answer to the next one, ``PermissionDenied`` is a veto that
ends the calls.

In all functions, a user that is no instance of the user model counts as anonymous. A
course is an instance of the course model, its id, or an object whose ``str()`` is the
id; nothing is granted on an unknown one, and ``None`` means "everywhere".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied

from django_enrollments.conf import conf
from django_enrollments.identifiers import find_course, find_courses
from django_enrollments.importing import SettingLoadError, load_instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

logger = logging.getLogger(__name__)

#: Enrolling in a course; asked about the learner, never about the requester.
ENROLL_IN_COURSE = "django_enrollments.enroll_in_course"
#: Reading enrollments of others: in a course, or everywhere.
VIEW_ENROLLMENT_DATA = "django_enrollments.view_enrollment_data"
#: Enrolling others, in every mode, and with force.
CREATE_ENROLLMENT = "django_enrollments.create_enrollment"
#: Deactivating the enrollments of others.
DEACTIVATE_ENROLLMENT = "django_enrollments.deactivate_enrollment"
#: Unenrolling a user from all courses for good.
RETIRE_USER = "django_enrollments.retire_user"


class PermissionBackend(Protocol):
    """
    A class in ``ENROLLMENTS_PERMISSION_BACKENDS``.

    Three methods are optional and keep the number of queries constant:

    - ``grants(users, perm, course) -> set of primary keys`` answers for many users,
    - ``grants_on(user, perm, courses) -> set of primary keys`` for many courses,
    - ``granted_ids(user, perm) -> set of course ids or None`` returns the ids of all
      courses on which it grants, ``None`` if it cannot list them. If every backend has
      it, enrollments that the requester may not see are not even read, and the duration
      of a response does not depend on them.

    None of them can veto. Without them, and where a subclass overrides ``has_perm``
    alone, ``has_perm`` is called for each user and course.
    """

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        """
        Return whether ``user`` has ``perm``.

        Args:
            user: An instance of the user model, or an anonymous user.
            perm: One of this module's constants.
            course: An instance of the host's course model, or ``None``.

        Raises:
            PermissionDenied: Refused, whatever the later backends return.
        """


@dataclass(frozen=True)
class Decision:
    """
    The answer of all backends together.

    Attributes:
        granted: Whether one of them granted.
        veto: The text of a veto; ``None`` without one.
    """

    granted: bool
    veto: str | None = None


_GRANTED, _DENIED = Decision(granted=True), Decision(granted=False)


class _DenyingBackend:
    """Replaces backends that cannot be loaded, and grants nothing."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return False

    def granted_ids(self, user: Any, perm: str) -> set[str]:
        return set()


def get_backends() -> Sequence[PermissionBackend]:
    """
    Return the configured backends.

    If one cannot be loaded, nothing is granted, because it might have vetoed. A system
    check names it.
    """
    paths = conf.ENROLLMENTS_PERMISSION_BACKENDS
    try:
        return [
            load_instance("ENROLLMENTS_PERMISSION_BACKENDS", path) for path in paths
        ]
    except SettingLoadError:
        logger.exception("Permission backends cannot be loaded; nothing is granted.")
        return [_DenyingBackend()]


def user_or_anonymous(user: Any) -> Any:
    """
    Return ``user`` if it is an instance of the user model, else an anonymous user.

    An instance of another class can have the key, name and flags of an account without
    being that account.
    """
    if isinstance(user, get_user_model()):
        return user
    # Models cannot be imported while Django loads.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


def is_global_staff(user: Any) -> bool:
    """
    Return whether ``is_staff`` is set, as the shipped rules define global staff.

    A superuser without that flag is not global staff (V1-AUTH-17).
    """
    return bool(getattr(user, "is_staff", False))


def has_perm(user: Any, perm: str, course: Any = None) -> bool:
    """Return whether a backend grants a permission to a user; a veto is false."""
    return decide([user], perm, course)[0].granted


def decide(users: Iterable[Any], perm: str, course: Any = None) -> list[Decision]:
    """Return the decision about each of several users, in order."""
    users = [user_or_anonymous(user) for user in users]
    if course is not None:
        course = find_course(course)
        if course is None:
            return [_DENIED] * len(users)
    return _decide([(user, course) for user in users], perm, method="grants")


def decide_on(user: Any, perm: str, courses: Iterable[Any]) -> list[Decision]:
    """Return the decision about a user and each of several courses, in order."""
    user = user_or_anonymous(user)
    found = find_courses(courses)
    cases = [(user, course) for course in found if course is not None]
    decisions = iter(_decide(cases, perm, method="grants_on"))
    return [_DENIED if course is None else next(decisions) for course in found]


def granted_course_ids(user: Any, perm: str) -> set[str] | None:
    """
    Return the ids of all courses on which a user has a permission.

    Returns:
        Course ids, of courses that need not exist; ``None`` if a backend cannot list
        them, so that :func:`decide_on` must be called instead.
    """
    user = user_or_anonymous(user)
    granted: set[str] = set()
    for backend in get_backends():
        granted_ids = _answer_for_many(backend, "granted_ids")
        found = granted_ids and granted_ids(user, perm)
        if found is None:
            return None
        granted |= found
    return granted


def _decide(
    cases: Sequence[tuple[Any, Any]],
    perm: str,
    *,
    method: Literal["grants", "grants_on"],
) -> list[Decision]:
    """
    Call the backends about pairs of a user and a course, until each is decided.

    The pairs differ in the user (``grants``) or in the course (``grants_on``).
    """
    decisions: dict[int, Decision] = {}
    for backend in get_backends():
        pending = [(n, *case) for n, case in enumerate(cases) if n not in decisions]
        if not pending:
            break
        granted = grant_many = None
        if method == "grants_on" or len(pending) > 1:
            grant_many = _answer_for_many(backend, method)
        if grant_many and method == "grants_on":
            courses = [course for _, _, course in pending]
            granted = grant_many(pending[0][1], perm, courses)
        elif grant_many:
            users = [user for _, user, _ in pending]
            granted = grant_many(users, perm, pending[0][2])
        for n, user, course in pending:
            try:
                if (
                    backend.has_perm(user, perm, course)
                    if granted is None
                    else (user if method == "grants" else course).pk in granted
                ):
                    decisions[n] = _GRANTED
            except PermissionDenied as veto:
                decisions[n] = Decision(granted=False, veto=str(veto))
    return [decisions.get(n, _DENIED) for n in range(len(cases))]


def _answer_for_many(backend: PermissionBackend, name: str) -> Any:
    """
    Return an optional method of a backend, or ``None``.

    A method is not used if a subclass overrides another one, which it does not know.
    """
    for owner in type(backend).__mro__:
        if name in vars(owner):
            return getattr(backend, name)
        if {"has_perm", "grants", "grants_on"} & vars(owner).keys():
            break
    return None
