"""The permission backends that are shipped."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.core.exceptions import PermissionDenied
from django.db.models import Q

from django_enrollments.backends.courses import facts_of
from django_enrollments.conf import conf
from django_enrollments.context import moment, read_alias
from django_enrollments.identifiers import find_course, find_courses, find_username
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollmentAllowed,
    get_course_adapter,
)
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    ENROLL_IN_COURSE,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
    is_global_staff,
    user_or_anonymous,
)
from django_enrollments.users import email_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


logger = logging.getLogger(__name__)

_GLOBAL_STAFF = frozenset(
    {VIEW_ENROLLMENT_DATA, CREATE_ENROLLMENT, DEACTIVATE_ENROLLMENT}
)


class CourseRoleBackend:
    """
    Grants by ``is_staff``, by course roles, and by the enrollment rules ACC-01…14.

    Global staff is exactly ``is_staff`` (V1-AUTH-17); superusers and the configured
    service user may retire others (V1-AUTH-18); the course team may read its learners
    (V1-LIST-06…12). This backend never vetoes. It takes users and courses as the
    functions of :mod:`django_enrollments.permissions` do.
    """

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        """Return whether the rules grant ``perm``."""
        return bool(self.grants([user], perm, course))

    def grants(self, users: Iterable[Any], perm: str, course: Any = None) -> set[Any]:
        """Return the primary keys of the users to whom the rules grant ``perm``."""
        given = map(user_or_anonymous, users)
        known = [user for user in given if user.is_authenticated]
        if course is not None:
            course = find_course(course)
            if course is None:
                return set()
        if perm == RETIRE_USER:
            return {user.pk for user in known if self._may_retire(user)}
        if perm == ENROLL_IN_COURSE and course is not None:
            return {user for user, _ in _may_enroll(known, [course])}
        if perm == VIEW_ENROLLMENT_DATA and course is not None:
            course_id = get_course_adapter().course_id_of(course)
            staff = _staff(known)
            return staff | {
                user for user, _ in _teams(_active(known) - staff, {course_id})
            }
        return _staff(known) if perm in _GLOBAL_STAFF and course is None else set()

    def grants_on(self, user: Any, perm: str, courses: Iterable[Any]) -> set[Any]:
        """Return the primary keys of the courses on which the rules grant ``perm``."""
        user = user_or_anonymous(user)
        known = [course for course in find_courses(courses) if course is not None]
        if perm == ENROLL_IN_COURSE and user.is_authenticated:
            return {key for _, key in _may_enroll([user], known)}
        if perm != VIEW_ENROLLMENT_DATA or is_global_staff(user):
            return {course.pk for course in known if self.has_perm(user, perm, course)}
        course_id_of = get_course_adapter().course_id_of
        keys = {course_id_of(course): course.pk for course in known}
        return {keys[course_id] for _, course_id in _teams(_active([user]), keys)}

    def granted_ids(self, user: Any, perm: str) -> set[str] | None:
        """
        Return the ids of all courses on which the rules grant ``perm``.

        Returns:
            Course ids; ``None`` for global staff, and for permissions that do not come
            from roles on courses.
        """
        user = user_or_anonymous(user)
        if perm != VIEW_ENROLLMENT_DATA or is_global_staff(user):
            return None
        return {course_id for _, course_id in _teams(_active([user]))}

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

        Returns:
            No id if only Django's own auth backends are configured, which grant
            nothing on a single object; ``None`` if others may, or if the user model has
            a ``has_perm()`` of its own.
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
            # An auth backend may well refuse an object of another app.
            logger.log(level, "An auth backend failed on %s.", perm, exc_info=True)
            return self._any_backend_grants(user, perm, course)

    def _any_backend_grants(self, user: Any, perm: str, course: Any) -> bool:
        """Call the auth backends as Django does, but skip those that raise."""
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


#: Pairs of a user's primary key and a course's primary key or id.
_Pairs = set[tuple[Any, Any]]


def _may_enroll(users: Collection[Any], courses: Iterable[Any]) -> _Pairs:
    """Apply ACC-01…07 to all users and courses at once, the cheapest rule first."""
    at = moment()
    #: Courses that are not open to all, by id.
    keys: dict[str, Any] = {}
    orgs: dict[str, str] = {}
    granted: _Pairs = set()
    for course in courses:
        facts = facts_of(course)
        by_invitation = conf.ENROLLMENTS_INVITE_ONLY or facts.invitation_only
        is_open = facts.enrollment_has_begun(at) and not facts.enrollment_has_ended(at)
        if is_open and not by_invitation:
            granted.update((user.pk, course.pk) for user in users)
        else:
            keys[facts.course_id], orgs[facts.course_id] = course.pk, facts.org
    if not keys:
        return granted
    granted.update((user, key) for user in _staff(users) for key in keys.values())
    granted.update((user, keys[text]) for user, text in _invited(users, keys))
    others = {
        user
        for user in _active(users)
        if any((user, key) not in granted for key in keys.values())
    }
    granted.update((user, keys[text]) for user, text in _holding_roles(others, orgs))
    return granted


def _invited(users: Collection[Any], course_ids: Collection[str]) -> _Pairs:
    """
    Return the users with an invitation to these courses (ACC-01, ACC-02).

    An invitation that another user has used admits no second one; only an active
    account can use one.
    """
    active = _active(users)
    owners: dict[str, list[Any]] = {}
    for user in users:
        owners.setdefault(email_of(user), []).append(user.pk)
    owners.pop("", None)
    invitations = CourseEnrollmentAllowed.objects.using(read_alias()).filter(
        course_id__in=course_ids, email__in=owners
    )
    return {
        (user, course_id)
        for email, used_by, course_id in invitations.values_list(
            "email", "user_id", "course_id"
        )
        # A collation that ignores case also finds what merely looks alike.
        if course_id in course_ids
        for user in owners.get(email, ())
        if used_by == user or (user in active and used_by is None)
    }


def _holding_roles(user_keys: Collection[Any], orgs: Mapping[str, str]) -> _Pairs:
    """Return the users with a role on courses, or on their organizations (ACC-04)."""
    roles = CourseAccessRole.objects.using(read_alias()).filter(
        Q(course_id__in=orgs) | Q(course_id="", org__in={*orgs.values()} - {""}),
        user__in=user_keys,
    )
    held: _Pairs = set()
    for user, org, on_course, role in roles.values_list(
        "user", "org", "course_id", "role"
    ):
        team = CourseAccessRole.COURSE_TEAM if on_course else CourseAccessRole.ORG_TEAM
        if role in team:
            held.update(
                (user, text)
                for text in orgs
                if (text == on_course if on_course else orgs[text] == org)
            )
    return held


def _staff(users: Iterable[Any]) -> set[Any]:
    return {user.pk for user in users if is_global_staff(user)}


def _active(users: Iterable[Any]) -> set[Any]:
    """Return the keys of active accounts; the others hold no role (MDL-19)."""
    return {user.pk for user in users if user.is_active}


def _teams(
    user_keys: Collection[Any], course_ids: Collection[str] | None = None
) -> set[tuple[Any, str]]:
    """Return the users on the course teams of these, or all, courses."""
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
