"""
The bodies of the methods that the contract puts on model classes.

Signatures and documentation are in ``models.delegates``, ``models.courses`` and
``models.invitations``, which import this module when a method is called.
"""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth import get_user_model

from django_enrollments.context import Origin, current_origin, origin_of, read_alias
from django_enrollments.core import lifecycle
from django_enrollments.core.course_info import (
    deleted_course_info,
    find_course_info_by_key,
    get_course_info,
)
from django_enrollments.core.history import clean_enterprise_uuid
from django_enrollments.core.invitations import retire_invitations as retire_invitations
from django_enrollments.core.modes import modes_for_course as modes_for_course
from django_enrollments.core.selectors import last_known_ids
from django_enrollments.core.transactions import write_alias, writing_call
from django_enrollments.course_model import course_key_is_id
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseNotFoundError,
    EnrollmentNotFoundError,
    UserNotFoundError,
)
from django_enrollments.identifiers import find_course_id, find_course_id_text
from django_enrollments.models import CourseEnrollment, get_course_adapter
from django_enrollments.users import choose_user, find_users_by_email

logger = logging.getLogger(__name__)


def enroll(
    user: Any,
    course_id: object,
    mode: str | None = None,
    check_access: bool = False,
    can_upgrade: bool = False,
    enterprise_uuid: str | None = None,
    *,
    over_capacity: bool = False,
    actor: Any = None,
    reason: str = "",
    source: str | None = None,
) -> CourseEnrollment:
    """Enroll a user (MDL-02…04, MDL-24)."""
    return _enroll(
        user,
        course_id,
        mode,
        _origin(actor, reason, source),
        course_must_exist=check_access,
        access=check_access and not can_upgrade,
        seats=over_capacity is not True,
        if_active="refuse" if check_access else "change_mode",
        enterprise_uuid=clean_enterprise_uuid(enterprise_uuid),
    )


def get_or_create_enrollment(user: Any, course_id: object) -> CourseEnrollment:
    """Return a user's enrollment, or create an inactive one (MDL-23)."""
    return _enroll(
        user,
        course_id,
        None,
        current_origin(),
        is_active=False,
        access=False,
        if_active="keep",
    )


def _enroll(
    user: Any,
    course_id: object,
    mode: str | None,
    origin: Origin,
    *,
    course_must_exist: bool = False,
    is_active: bool = True,
    **rules: Any,
) -> CourseEnrollment:
    """
    Enroll one user; ``rules`` are fields of ``ChangeOptions``.

    Raises:
        UserNotFoundError: The user is anonymous.
    """
    if not isinstance(user, get_user_model()):
        raise UserNotFoundError("Only a saved user can be enrolled.")
    with writing_call() as (call, using):
        if user._state.adding:
            user.save()
        try:
            info = get_course_info(course_id, call, using)
        except CourseNotFoundError:
            text = find_course_id(course_id)
            if course_must_exist or text is None or not course_key_is_id():
                raise
            # The course need not exist (MDL-04).
            info = deleted_course_info(text, text)
        options = lifecycle.ChangeOptions(
            origin, call.at, using, offered_mode=False, **rules
        )
        (outcome,) = lifecycle.enroll(
            [user], info, mode=mode, options=options, is_active=is_active
        )
    return outcome.unwrap()


def unenroll(
    user: Any,
    course_id: object,
    skip_refund: bool = False,
    *,
    actor: Any = None,
    reason: str = "",
    source: str | None = None,
) -> None:
    """Deactivate a user's enrollment (MDL-08)."""
    origin = _origin(actor, reason, source)
    with writing_call() as (_, using):
        row = _find_row(user, course_id, using)
        if row is not None:
            _change(row, origin, is_active=False, skip_refund=skip_refund)
            return
    key, text = getattr(user, "pk", None), find_course_id(course_id)
    logger.warning("User %s was never in course %s.", key, text)


@writing_call()
def enroll_by_email(
    email: str, course_id: object, mode: str | None = None, ignore_errors: bool = True
) -> CourseEnrollment | None:
    """Enroll the user with an e-mail address (MDL-09)."""
    try:
        return enroll(_user_by_email(email), course_id, mode)
    except CourseEnrollmentError as error:
        if not ignore_errors:
            raise
        text = find_course_id(course_id)
        logger.warning("Not enrolled in course %s: %s.", text, error.code)
        return None


@writing_call()
def unenroll_by_email(email: str, course_id: object) -> None:
    """Deactivate the enrollment of the user with an e-mail address (MDL-09)."""
    try:
        user = _user_by_email(email)
    except UserNotFoundError as error:
        text = find_course_id(course_id)
        logger.warning("Not unenrolled from course %s: %s.", text, error.code)
    else:
        unenroll(user, course_id)


def is_enrolled(user: Any, course_id: object) -> bool:
    """Return whether a user is in a course (MDL-10)."""
    return bool(enrollment_mode_for_user(user, course_id)[1])


def is_enrolled_by_partial(user: Any, course_id_partial: object) -> bool:
    """Return whether a user is in any run of a course (MDL-25)."""
    partial = find_course_id_text(course_id_partial)
    if partial is None or not getattr(user, "is_authenticated", False):
        return False
    start = f"{partial}{'+' if '+' in partial else '/'}"
    path = f"course__{get_course_adapter().course_id}"
    rows = CourseEnrollment.objects.using(read_alias()).active()
    runs = rows.filter(user=user.pk, **{f"{path}__startswith": start})
    # SQLite ignores case there.
    return any(run.startswith(start) for run in runs.values_list(path, flat=True))


def enrollment_mode_for_user(
    user: Any, course_id: object
) -> tuple[str, bool] | tuple[None, None]:
    """Return mode and activation of a user's enrollment (MDL-10)."""
    row = _find_row(user, course_id)
    return (row.mode, row.is_active) if row else (None, None)


def update_enrollment(
    enrollment: Any,
    mode: str | None = None,
    is_active: bool | None = None,
    skip_refund: bool = False,
    enterprise_uuid: str | None = None,
) -> None:
    """Change mode or activation of an enrollment (MDL-07)."""
    with writing_call() as (_, using):
        # The instance may be old, or have been edited.
        rows = CourseEnrollment.objects.using(using).select_related("user")
        row = rows.filter(pk=enrollment.pk).first()
        if row is None:
            raise EnrollmentNotFoundError("The enrollment is not stored.")
        row = _change(
            row,
            current_origin(),
            mode=mode,
            is_active=is_active,
            skip_refund=skip_refund,
            enterprise_uuid=clean_enterprise_uuid(enterprise_uuid),
        )
    for name in ("mode", "is_active", "modified"):
        setattr(enrollment, name, getattr(row, name))


def _change(
    row: CourseEnrollment,
    origin: Origin,
    *,
    mode: str | None = None,
    is_active: bool | None = None,
    **rules: Any,
) -> CourseEnrollment:
    """Change a row; ``rules`` are fields of ``ChangeOptions``."""
    with writing_call() as (call, using):
        key = row.course_id
        info = find_course_info_by_key(key, call, using)
        if info is None:
            info = deleted_course_info(key, last_known_ids([row], using)[key])
        options = lifecycle.ChangeOptions(origin, call.at, using, **rules)
        return lifecycle.change(
            row, info, mode=mode, is_active=is_active, options=options
        )


def _origin(actor: Any, reason: str, source: str | None) -> Origin:
    """Return an origin of these parts, the current one's where a part is missing."""
    current = current_origin()
    given = origin_of(actor=actor, reason=reason, source=source or current.source)
    return Origin(
        current.actor_id if actor is None else given.actor_id,
        given.source,
        given.reason or current.reason,
    )


def _user_by_email(email: str) -> Any:
    return choose_user(email, find_users_by_email([email], write_alias()))


def _find_row(
    user: Any, course_id: object, using: str | None = None
) -> CourseEnrollment | None:
    """Return a user's row in a course; ``None`` for an anonymous user."""
    if not isinstance(user, get_user_model()) or user.pk is None:
        return None
    rows = CourseEnrollment.objects.using(using or read_alias())
    row = rows.filter(user=user.pk).in_course(course_id).first()
    if row is not None:
        row.remember_user(user)
    return row
