"""The permission backends that are shipped."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.core.exceptions import PermissionDenied
from django.db.models import Q

from django_enrollments.conf import conf
from django_enrollments.context import moment, read_alias
from django_enrollments.identifiers import find_course, find_courses, find_username
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollmentAllowed,
    get_course_adapter,
)
from django_enrollments.models.invitations import email_of
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    ENROLL_IN_COURSE,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
    account_of,
    is_global_staff,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from django_enrollments.backends.courses import CourseFacts

logger = logging.getLogger(__name__)

_GLOBAL_STAFF = frozenset(
    {VIEW_ENROLLMENT_DATA, CREATE_ENROLLMENT, DEACTIVATE_ENROLLMENT}
)


class CourseRoleBackend:
    """
    Grants by ``is_staff``, by course roles, and by the enrollment rules ACC-01…14.

    Global staff is exactly ``is_staff`` (V1-AUTH-17); superusers and the configured
    service user may retire others (V1-AUTH-18); the course team may read its learners
    (V1-LIST-06…12).
    """

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        """
        Return whether the rules grant ``perm``; this backend never vetoes.

        Args:
            user: An instance of the user model; anything else counts as anonymous.
            perm: A constant of :mod:`django_enrollments.permissions`.
            course: The course, its id, or anything whose ``str()`` that is, or ``None``
                for "everywhere"; nothing is granted on an unknown one.
        """
        return bool(self.grants([user], perm, course))

    def grants(self, users: Iterable[Any], perm: str, course: Any = None) -> set[Any]:
        """
        Return the primary keys of those whom the rules grant ``perm``.

        Args:
            users: Instances of the user model; anything else counts as anonymous.
            perm: A constant of :mod:`django_enrollments.permissions`.
            course: The course, its id, or anything whose ``str()`` that is, or ``None``
                for "everywhere"; nothing is granted on an unknown one.
        """
        known = [user for user in map(account_of, users) if user.is_authenticated]
        if course is not None:
            course = find_course(course)
            if course is None:
                return set()
        if perm == ENROLL_IN_COURSE:
            if course is None:
                return set()
            return {key for key, _ in _may_enroll(known, [course])}
        if perm == RETIRE_USER:
            return {user.pk for user in known if self._may_retire(user)}
        if perm in _GLOBAL_STAFF and course is None:
            return {user.pk for user in known if is_global_staff(user)}
        if perm == VIEW_ENROLLMENT_DATA:
            return self._course_team(known, course)
        return set()

    def grants_on(self, user: Any, perm: str, courses: Iterable[Any]) -> set[Any]:
        """
        Return the primary keys of the courses on which the rules grant ``perm``.

        Args:
            user: An instance of the user model; anything else counts as anonymous.
            perm: A constant of :mod:`django_enrollments.permissions`.
            courses: The courses, their ids, or anything whose ``str()`` those are.
        """
        user = account_of(user)
        courses = [course for course in find_courses(courses) if course is not None]
        if perm == ENROLL_IN_COURSE and user.is_authenticated:
            return {key for _, key in _may_enroll([user], courses)}
        if perm != VIEW_ENROLLMENT_DATA or is_global_staff(user):
            return {
                course.pk for course in courses if self.has_perm(user, perm, course)
            }
        course_id_of = get_course_adapter().course_id_of
        keys = {course_id_of(course): course.pk for course in courses}
        return {keys[course_id] for _, course_id in _teams(_active([user]), keys)}

    def granted_ids(self, user: Any, perm: str) -> set[str] | None:
        """
        Return the ids of all courses on which the rules grant ``perm``.

        Args:
            user: An instance of the user model; anything else counts as anonymous.
            perm: A constant of :mod:`django_enrollments.permissions`.

        Returns:
            Course ids; ``None`` for global staff, and for permissions that do not come
            from roles on courses.
        """
        user = account_of(user)
        if perm != VIEW_ENROLLMENT_DATA or is_global_staff(user):
            return None
        return {course_id for _, course_id in _teams(_active([user]))}

    def _course_team(self, users: list[Any], course: Any) -> set[Any]:
        """Apply V1-LIST-09…12: roles on exactly this course, of active accounts."""
        course_id = get_course_adapter().course_id_of(course)
        granted = {user.pk for user in users if is_global_staff(user)}
        team = _teams(_active(users) - granted, {course_id})
        return granted | {user_id for user_id, _ in team}

    def _may_retire(self, user: Any) -> bool:
        service = conf.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME
        own = str(user.get_username())
        named = service is not None and own in {service, str(find_username(service))}
        return named or bool(getattr(user, "is_superuser", False))


class DjangoAuthBackend:
    """
    Grants what Django's own permission system grants on the host's course model.

    Packages for object permissions know a permission by the app of its object, so for a
    course of app ``catalog``, ``catalog.enroll_in_course`` grants too. An auth backend
    that raises counts as no, and the backends after it are called all the same.
    """

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        """
        Return ``user.has_perm(perm, course)``, or the same in the course's app.

        Args:
            user: An instance of any user model, or an anonymous user.
            perm: A constant of :mod:`django_enrollments.permissions`.
            course: The course, its id, or anything whose ``str()`` that is, or ``None``
                for "everywhere"; nothing is granted on an unknown one.

        Raises:
            PermissionDenied: ``user.has_perm()`` raised it.
        """
        app_label, _, codename = perm.partition(".")
        own_app = app_label
        if course is not None:
            course = find_course(course)
            if course is None:
                return False
            own_app = course._meta.app_label
        if app_label != own_app and self._has_perm(user, perm, course, logging.DEBUG):
            return True
        return self._has_perm(user, f"{own_app}.{codename}", course, logging.WARNING)

    def granted_ids(self, user: Any, perm: str) -> set[str] | None:
        """
        Return the ids of all courses on which the user has ``perm``.

        Args:
            user: An instance of any user model, or an anonymous user.
            perm: A constant of :mod:`django_enrollments.permissions`.

        Returns:
            No id where only Django's own auth backends are configured, which grant
            nothing on a single object; ``None`` where others may, or where the user
            model has a ``has_perm()`` of its own.
        """
        modules = {type(backend).__module__ for backend in auth.get_backends()}
        # A lazy object has the class of the user that it wraps.
        has_perm = getattr(user.__class__, "has_perm", None)
        is_of_django = modules == {"django.contrib.auth.backends"} and has_perm in {
            PermissionsMixin.has_perm,
            AnonymousUser.has_perm,
        }
        return set() if is_of_django else None

    def _has_perm(self, user: Any, perm: str, course: Any, level: int) -> bool:
        has_perm = getattr(user, "has_perm", None)
        if has_perm is None:
            return False
        try:
            return bool(has_perm(perm, course))
        except PermissionDenied:
            raise
        except Exception:
            # To refuse an object of another app is no fault of an auth backend.
            logger.log(level, "An auth backend failed on %s.", perm, exc_info=True)
            return self._any_backend_grants(user, perm, course)

    def _any_backend_grants(self, user: Any, perm: str, course: Any) -> bool:
        """Call the auth backends as Django does, but pass over one that raises."""
        for backend in auth.get_backends():
            has_perm = getattr(backend, "has_perm", None)
            try:
                if has_perm and has_perm(user, perm, course):
                    return True
            except PermissionDenied:
                return False
            except Exception:  # noqa: BLE001, S112 - Logged by _has_perm().
                continue
        return False


def _may_enroll(users: Collection[Any], courses: Iterable[Any]) -> set[tuple[Any, Any]]:
    """
    Apply ACC-01…07 to all users and courses at once; the cheapest rule comes first.

    Returns:
        Pairs of the primary keys of a user and of a course that the user may enroll in.
    """
    at = moment()
    closed: dict[str, tuple[Any, CourseFacts]] = {}
    granted: set[tuple[Any, Any]] = set()
    for course in courses:
        facts = get_course_adapter().facts(course)
        by_invitation = conf.ENROLLMENTS_INVITE_ONLY or facts.invitation_only
        is_open = facts.enrollment_has_begun(at) and not facts.enrollment_has_ended(at)
        if is_open and not by_invitation:
            granted.update((user.pk, course.pk) for user in users)
        else:
            closed[facts.course_id] = course.pk, facts
    if not closed:
        return granted
    staff = {user.pk for user in users if is_global_staff(user)}
    granted.update((user, key) for user in staff for key, _ in closed.values())
    active = _active(users)
    owners: dict[str, list[Any]] = {}
    for user in users:
        owners.setdefault(email_of(user), []).append(user.pk)
    owners.pop("", None)
    invitations = CourseEnrollmentAllowed.objects.using(read_alias()).filter(
        course_id__in=closed, email__in=owners
    )
    for email, used_by, course_id in invitations.values_list(
        "email", "user_id", "course_id"
    ):
        # A collation that ignores case also finds what merely looks alike.
        if course_id in closed:
            # An invitation that another user has used admits no second one (ACC-02);
            # only an active account can use one up.
            granted.update(
                (key, closed[course_id][0])
                for key in owners.get(email, ())
                if used_by == key or (key in active and used_by is None)
            )
    members = {
        user
        for user in active
        if any((user, key) not in granted for key, _ in closed.values())
    }
    orgs = {facts.org for _, facts in closed.values()} - {""}
    roles = CourseAccessRole.objects.using(read_alias()).filter(
        Q(course_id__in=closed) | Q(course_id="", org__in=orgs), user__in=members
    )
    for user_id, org, on_course, role in roles.values_list(
        "user", "org", "course_id", "role"
    ):
        team = CourseAccessRole.COURSE_TEAM if on_course else CourseAccessRole.ORG_TEAM
        if role in team:
            granted.update(
                (user_id, key)
                for course_id, (key, facts) in closed.items()
                if (on_course == course_id if on_course else org == facts.org)
            )
    return granted


def _active(users: Iterable[Any]) -> set[Any]:
    """Return the keys of active accounts; the others hold no role (MDL-19)."""
    return {user.pk for user in users if user.is_active}


def _teams(
    user_keys: Collection[Any], course_ids: Collection[str] | None = None
) -> set[tuple[Any, str]]:
    """Return who of these users is on the team of which of these, or all, courses."""
    team = CourseAccessRole.COURSE_TEAM
    roles = CourseAccessRole.objects.using(read_alias()).filter(
        user__in=user_keys, role__in=team
    )
    if course_ids is not None:
        roles = roles.filter(course_id__in=course_ids)
    # A collation that ignores case also finds what merely looks alike. A role without a
    # course is one on an organization.
    return {
        (user_id, course_id)
        for user_id, course_id, role in roles.values_list("user", "course_id", "role")
        if course_id
        and role in team
        and (course_ids is None or course_id in course_ids)
    }
