"""
Authorization: what a requester may do over HTTP and in the admin.

The functions of ``api`` and ``services`` do not call this module: Python callers are
trusted. Whether a learner may enroll is not decided here either, but by
``core.eligibility``, for every caller.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_permission_codename

from django_enrollments.conf import conf
from django_enrollments.identifiers import find_username
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
    decide_on,
    granted_course_ids,
    has_perm,
    is_global_staff,
    user_or_anonymous,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.db.models import Model


def has_valid_api_key(headers: Mapping[str, str]) -> bool:
    """
    Return whether a request carries one of ``ENROLLMENTS_API_KEYS`` (V1-AUTH-08, B-01).

    A blank key never matches. Every key is compared, in constant time, so that the
    duration reveals none of them.

    Args:
        headers: The headers of the request.
    """
    given = _digest(headers.get(conf.ENROLLMENTS_API_KEY_HEADER, ""))
    is_valid = False
    for key in conf.ENROLLMENTS_API_KEYS:
        is_valid |= bool(key.strip()) and compare_digest(given, _digest(key))
    return is_valid


def _digest(text: str) -> bytes:
    # Digests have one length; a header may hold characters that cannot be encoded.
    return sha256(text.encode(errors="surrogatepass")).digest()


class Requester:
    """
    The user or program that sends a request, with their permissions.

    A program with an API key may read, enroll and unenroll every learner. Each
    permission is asked of the permission backends at most once.

    Attributes:
        user: The user; an anonymous one for everything but accounts of this site.
        has_api_key: Whether the request carries a valid API key.
    """

    def __init__(self, user: Any, *, has_api_key: bool = False) -> None:
        self.user = user_or_anonymous(user)
        self.has_api_key = has_api_key

    @property
    def username(self) -> str:
        """The user's name; ``""`` for a program that is not logged in (V1-AUTH-09)."""
        return str(self.user.get_username())

    @property
    def is_global_staff(self) -> bool:
        """Whether the user has the flag ``is_staff`` (V1-ROLE-04)."""
        return is_global_staff(self.user)

    def is_named(self, name: object) -> bool:
        """
        Return whether a name is the requester's own, in any Unicode normal form.

        Args:
            name: The learner's name in a request.
        """
        stored = find_username(name) if isinstance(name, str) else None
        own = self.username
        return name == own or (stored is not None and str(stored) == own)

    @cached_property
    def can_view_others(self) -> bool:
        """Whether the requester may read the enrollments of every learner."""
        return self.has_api_key or has_perm(self.user, VIEW_ENROLLMENT_DATA)

    @cached_property
    def can_force(self) -> bool:
        """Whether the requester may enroll by force; a key cannot (V1-FORCE-02)."""
        return has_perm(self.user, CREATE_ENROLLMENT)

    @cached_property
    def can_enroll_others(self) -> bool:
        """Whether the requester may enroll every learner in every mode."""
        return self.has_api_key or self.can_force

    @cached_property
    def can_deactivate_others(self) -> bool:
        """Whether the requester may deactivate the enrollments of every learner."""
        return self.has_api_key or has_perm(self.user, DEACTIVATE_ENROLLMENT)

    @cached_property
    def can_retire_users(self) -> bool:
        """Whether the requester may unenroll a user from all courses (V1-AUTH-18)."""
        return has_perm(self.user, RETIRE_USER)

    def can_enroll(self, user: Any) -> bool:
        """
        Return whether the requester may enroll a learner.

        Args:
            user: The learner.
        """
        return bool(user == self.user) or self.can_enroll_others

    def can_act_for_others(self, *, is_active: object) -> bool:
        """
        Return whether a request about another learner is allowed (V1-POST-09).

        Args:
            is_active: The requested activation; deactivating has its own permission.
        """
        return self.can_enroll_others or (
            is_active is False and self.can_deactivate_others
        )

    def can_choose_mode(self, mode: object) -> bool:
        """
        Return whether the requester may enroll a learner in a mode (V1-POST-15).

        Args:
            mode: The requested mode; ``None`` for the default.
        """
        is_self_service = mode is None or mode in conf.ENROLLMENTS_SELF_SERVICE_MODES
        return is_self_service or self.can_enroll_others

    def visible_course_ids(self) -> set[str] | None:
        """
        Return the ids of the courses whose enrollments are visible (V1-LIST-06).

        Returns:
            Course ids, of courses that need not exist; ``None`` if a backend cannot
            list them, so that :meth:`visible_courses` must be called instead.
        """
        return granted_course_ids(self.user, VIEW_ENROLLMENT_DATA)

    def visible_courses(self, courses: Iterable[Any]) -> list[Any]:
        """
        Return the courses whose enrollments are visible, in order (V1-LIST-06).

        Args:
            courses: Instances of the course model.
        """
        courses = list(courses)
        decisions = decide_on(self.user, VIEW_ENROLLMENT_DATA, courses)
        pairs = zip(courses, decisions, strict=True)
        return [course for course, decision in pairs if decision.granted]


def throttle_scope(user: Any) -> str:
    """
    Return the scope of a user's throttle rate, ``staff`` or ``user`` (V1-THR-02).

    Args:
        user: The user of a request, or an anonymous user.
    """
    user = user_or_anonymous(user)
    is_staff = is_global_staff(user) or getattr(user, "is_superuser", False)
    return "staff" if is_staff else "user"


def can_view_rows(user: Any, model: type[Model]) -> bool:
    """
    Return whether a user may view rows of a model in the admin.

    Args:
        user: The user of an admin page.
    """
    options = model._meta
    # As in Django's admin, the permission to change a row includes viewing it.
    return any(
        user.has_perm(f"{options.app_label}.{get_permission_codename(action, options)}")
        for action in ("view", "change")
    )
