"""
Who may do what, asked in one place.

``has_perm`` and ``decide`` ask the backends of ``ENROLLMENTS_PERMISSION_BACKENDS`` in
order: ``True`` grants, ``False`` lets the next one answer, ``PermissionDenied`` vetoes
whatever comes after it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied

from django_enrollments.conf import conf
from django_enrollments.identifiers import find_course, find_courses
from django_enrollments.importing import CollaboratorNotLoaded, load_instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

logger = logging.getLogger(__name__)

#: Whether a learner may enroll in a course; asked about the learner, never the caller.
ENROLL_IN_COURSE = "django_enrollments.enroll_in_course"
#: Reading others' enrollments: without a course of anyone, with one of its learners.
VIEW_ENROLLMENT_DATA = "django_enrollments.view_enrollment_data"
#: Acting for others, in any mode, and with force.
CREATE_ENROLLMENT = "django_enrollments.create_enrollment"
#: Deactivating the enrollments of others.
DEACTIVATE_ENROLLMENT = "django_enrollments.deactivate_enrollment"
#: Taking somebody out of all courses for good.
RETIRE_USER = "django_enrollments.retire_user"


class PermissionBackend(Protocol):
    """
    What a permission backend is.

    It may also have ``grants(users, perm, course) -> set of primary keys``, which
    answers for many users at once, and ``grants_on(user, perm, courses) -> set of
    primary keys``, which answers for many courses. They keep the number of queries
    constant; without them ``has_perm`` is asked one by one, and so it is where a
    subclass answers otherwise than the class that has them.

    A third, ``granted_ids(user, perm) -> set of course ids or None``, returns the ids
    of all courses on which it grants; ``None`` where it cannot list them. Where every
    backend has it, a learner's enrollments that may not be seen are not even read, so
    that the time of an answer does not depend on them.
    """

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        """
        Return whether ``user`` has ``perm``.

        Args:
            user: An instance of any user model, or an anonymous user.
            perm: One of this module's constants.
            course: The host's own course object, or ``None`` for "everywhere".

        Raises:
            PermissionDenied: No, whatever the backends after this one say.
        """


@dataclass(frozen=True)
class Decision:
    """
    What the backends say together.

    Attributes:
        granted: Whether one of them granted.
        veto: The text of a veto; ``None`` when there was none.
    """

    granted: bool
    veto: str | None = None


class _DenyingBackend:
    """Replaces backends that cannot be loaded, and grants nothing."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return False

    def granted_ids(self, user: Any, perm: str) -> set[str]:
        return set()


def get_backends() -> Sequence[PermissionBackend]:
    """
    Return the configured backends.

    One that cannot be loaded might have vetoed, so then nothing is granted; a system
    check names it.
    """
    paths = conf.ENROLLMENTS_PERMISSION_BACKENDS
    try:
        return [
            load_instance("ENROLLMENTS_PERMISSION_BACKENDS", path) for path in paths
        ]
    except CollaboratorNotLoaded:
        logger.exception("Permission backends cannot be loaded; nothing is granted.")
        return [_DenyingBackend()]


def account_of(user: Any) -> Any:
    """
    Return a user if it is an account of this site, an anonymous user otherwise.

    A user of another class may have the key, the name and the flags of an account
    without being that account.

    Args:
        user: What authenticated a request, such as ``request.user``; or ``None``.
    """
    if isinstance(user, get_user_model()):
        return user
    # Models cannot be imported while Django loads.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


def is_global_staff(user: Any) -> bool:
    """
    Return whether a user is global staff by the shipped rules: ``is_staff`` is set.

    A superuser without that flag is not (V1-AUTH-17). User models may lack the flag.

    Args:
        user: An instance of any user model, or an anonymous user.
    """
    return bool(getattr(user, "is_staff", False))


def has_perm(user: Any, perm: str, course: Any = None) -> bool:
    """
    Return whether a user has a permission.

    Args:
        user: An instance of the user model; anything else counts as anonymous.
        perm: One of this module's constants.
        course: The course, its id, or anything whose ``str()`` that is, or ``None`` for
            "everywhere".

    Returns:
        Whether a backend granted it; a veto is a no, and so is an unknown course.
    """
    return decide([user], perm, course)[0].granted


def decide(users: Iterable[Any], perm: str, course: Any = None) -> list[Decision]:
    """
    Ask the backends about several users at once.

    Args:
        users: Instances of the user model; anything else counts as anonymous.
        perm: One of this module's constants.
        course: The course, its id, or anything whose ``str()`` that is, or ``None`` for
            "everywhere".

    Returns:
        One decision per user, in order; nothing is granted on an unknown course.
    """
    users = [account_of(user) for user in users]
    denied = Decision(granted=False)
    if course is not None:
        course = find_course(course)
        if course is None:
            return [denied] * len(users)
    decisions: dict[int, Decision] = {}
    undecided = list(enumerate(users))
    for backend in get_backends():
        if not undecided:
            break
        grants = _answer_for_many(backend, "grants")
        if grants and len(undecided) > 1:
            granted = grants([user for _, user in undecided], perm, course)
            for position, user in undecided:
                if user.pk in granted:
                    decisions[position] = Decision(granted=True)
        else:
            for position, user in undecided:
                try:
                    if backend.has_perm(user, perm, course):
                        decisions[position] = Decision(granted=True)
                except PermissionDenied as veto:
                    decisions[position] = Decision(granted=False, veto=str(veto))
        undecided = [pair for pair in undecided if pair[0] not in decisions]
    return [decisions.get(position, denied) for position in range(len(users))]


def granted_courses(user: Any, perm: str, courses: Iterable[Any]) -> list[Any]:
    """
    Keep the courses on which a user has a permission.

    Args:
        user: An instance of the user model; anything else counts as anonymous.
        perm: One of this module's constants.
        courses: The courses, their ids, or anything whose ``str()`` those are.

    Returns:
        Those on which a backend granted it, in order; a veto is a no.
    """
    courses = list(courses)
    decisions = decide_on(user, perm, courses)
    pairs = zip(courses, decisions, strict=True)
    return [course for course, decision in pairs if decision.granted]


def decide_on(user: Any, perm: str, courses: Iterable[Any]) -> list[Decision]:
    """
    Return what the backends decide about one user and several courses.

    Args:
        user: An instance of the user model; anything else counts as anonymous.
        perm: One of this module's constants.
        courses: The courses, their ids, or anything whose ``str()`` those are.

    Returns:
        One decision per course, in order; nothing is granted on an unknown one.
    """
    user = account_of(user)
    found = find_courses(courses)
    decisions: dict[Any, Decision] = {}
    undecided = [course for course in found if course is not None]
    for backend in get_backends():
        grants_on = _answer_for_many(backend, "grants_on")
        if grants_on and undecided:
            granted = grants_on(user, perm, undecided)
            decisions.update(dict.fromkeys(granted, Decision(granted=True)))
        else:
            for course in undecided:
                try:
                    if backend.has_perm(user, perm, course):
                        decisions[course.pk] = Decision(granted=True)
                except PermissionDenied as veto:
                    decisions[course.pk] = Decision(granted=False, veto=str(veto))
        undecided = [course for course in undecided if course.pk not in decisions]
    denied = Decision(granted=False)
    return [
        denied if course is None else decisions.get(course.pk, denied)
        for course in found
    ]


def granted_course_ids(user: Any, perm: str) -> set[str] | None:
    """
    Return the ids of all courses on which a user has a permission.

    Args:
        user: An instance of the user model; anything else counts as anonymous.
        perm: One of this module's constants.

    Returns:
        Course ids, of courses that need not exist; ``None`` where a backend cannot list
        them, so that :func:`granted_courses` must be called instead.
    """
    user = account_of(user)
    granted: set[str] = set()
    for backend in get_backends():
        granted_ids = _answer_for_many(backend, "granted_ids")
        found = granted_ids and granted_ids(user, perm)
        if found is None:
            return None
        granted |= found
    return granted


def _answer_for_many(backend: PermissionBackend, name: str) -> Any:
    """
    Return the method of a backend that answers for many at once.

    Returns:
        The method; ``None`` where there is none, or where a class further down gives
        answers that it does not know of.
    """
    for owner in type(backend).__mro__:
        if name in vars(owner):
            return getattr(backend, name)
        if {"has_perm", "grants", "grants_on"} & vars(owner).keys():
            break
    return None
