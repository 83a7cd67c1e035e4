"""
What the app listens to: accounts that appear, courses and modes that change.

``apps.EnrollmentsConfig.ready()`` connects every function here. Users written by
``bulk_create`` or ``update`` send no signal and go unnoticed.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import transaction

from django_enrollments.details_cache import drop_details
from django_enrollments.enrolling.learners import email_field
from django_enrollments.enrolling.transactions import begin_writing
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.keys import is_storable, normalize_email
from django_enrollments.models import (
    CourseEnrollmentAllowed,
    CourseMode,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.models.invitations import email_of
from django_enrollments.services import EnrollmentsService
from django_enrollments.swapped import course_key_is_id

if TYPE_CHECKING:
    from collections.abc import Collection

logger = logging.getLogger(__name__)

#: Where a user carries the invitations found before saving until it is saved.
_WAITING = "_django_enrollments_waiting"


def find_invitations(
    instance: Any,
    raw: bool = False,
    using: str | None = None,
    update_fields: Collection[str] | None = None,
    **kwargs: Any,
) -> None:
    """
    Before a user is saved: find the invitations that wait for this account (ACC-13).

    They wait for an account that appears with their address, changes to it, or becomes
    active with it; whoever merely saves a profile is not put back into a course they
    left. An ordinary save costs one query, and none when neither address nor
    activation is written.

    Args:
        instance: The user.
        raw: Whether a fixture is being loaded, which enrolls nobody.
        using: Database alias it is saved to.
        update_fields: The fields to be written; ``None`` for all.
        kwargs: Whatever else the signal carries.
    """
    vars(instance).pop(_WAITING, None)
    address_field = email_field()
    if raw or address_field is None:
        return
    written = {address_field, "is_active"}
    if update_fields is not None:
        written &= {*update_fields}
    if not written or not getattr(instance, "is_active", True):
        return
    address = email_of(instance)
    if not address or not is_storable(address):
        return
    invitations = CourseEnrollmentAllowed.objects.using(begin_writing())
    waiting = invitations.for_email(address).unused()
    waiting = waiting.filter(auto_enroll=True).order_by("pk")
    course_ids = list(waiting.values_list("course_id", flat=True))
    if course_ids and _appears(instance, address_field, address, written, using):
        setattr(instance, _WAITING, course_ids)


def _appears(
    user: Any, address_field: str, address: str, written: set[str], using: str | None
) -> bool:
    """Tell whether saving makes an active account with this address out of none."""
    if user.pk is None:
        return True
    model = get_user_model()
    columns = {field.name for field in model._meta.concrete_fields}
    columns &= {address_field, "is_active"}
    users = model._base_manager.using(using).filter(pk=user.pk)
    stored = users.values(*columns).first()
    if stored is None:
        return True
    before = (
        normalize_email(stored[address_field] or ""),
        bool(stored.get("is_active", True)),
    )
    after = (
        address if address_field in written else before[0],
        True if "is_active" in written else before[1],
    )
    return before != after and after == (address, True)


def enroll_invited(instance: Any, **kwargs: Any) -> None:
    """
    After a user has been saved: enroll them by the invitations found before (ACC-13).

    By the same rules as everybody, in the default mode. A refusal is logged, and the
    invitation goes on waiting; who is in a course already stays as they are.

    Args:
        instance: The user.
        kwargs: Whatever else the signal carries.
    """
    service = EnrollmentsService()
    for course_id in vars(instance).pop(_WAITING, ()):
        try:
            service.enroll(instance, course_id, source="invitation")
        except CourseEnrollmentError as refusal:
            logger.warning(
                "User %s, invited to course %s, was not enrolled: %s.",
                instance.pk,
                course_id,
                refusal.code,
            )


def forget_course_before(
    instance: Any, raw: bool = False, using: str | None = None, **kwargs: Any
) -> None:
    """
    Before a course is saved: drop its details where it gets another id (B-18).

    Args:
        instance: The course.
        raw: Whether a fixture is being loaded.
        using: Database alias it is saved to.
        kwargs: Whatever else the signal carries.
    """
    if raw or instance._state.adding or course_key_is_id():
        return
    stored = _course_id_of_key(instance.pk, using)
    if stored is not None and stored != get_course_adapter().course_id_of(instance):
        _drop(stored, using)


def forget_course(instance: Any, using: str | None = None, **kwargs: Any) -> None:
    """
    After a course has been saved or deleted: drop its details (B-18).

    Args:
        instance: The course.
        using: Database alias it was written to.
        kwargs: Whatever else the signal carries.
    """
    _drop(get_course_adapter().course_id_of(instance), using)


def forget_course_of_mode_before(
    instance: CourseMode, raw: bool = False, using: str | None = None, **kwargs: Any
) -> None:
    """
    Before a mode is saved: drop the details of the course it is taken from (B-18).

    Args:
        instance: The mode.
        raw: Whether a fixture is being loaded.
        using: Database alias it is saved to.
        kwargs: Whatever else the signal carries.
    """
    if raw or instance._state.adding:
        return
    stored = CourseMode.objects.using(using).filter(pk=instance.pk)
    for key in stored.values_list("course", flat=True):
        if key != instance.course_id:
            _drop(_course_id_of_key(key, using), using)


def forget_course_of_mode(
    instance: CourseMode, using: str | None = None, **kwargs: Any
) -> None:
    """
    After a mode has been saved or deleted: drop the details of its course (B-18).

    Args:
        instance: The mode.
        using: Database alias it was written to.
        kwargs: Whatever else the signal carries.
    """
    _drop(_course_id_of_key(instance.course_id, using), using)


def _course_id_of_key(key: Any, using: str | None) -> str | None:
    if course_key_is_id():
        return str(key)
    courses = get_course_model()._base_manager.using(using).filter(pk=key)
    course_id = get_course_adapter().course_id
    found: str | None = courses.values_list(course_id, flat=True).first()
    return found


def _drop(course_id: str | None, using: str | None) -> None:
    """Drop details at once, and again after commit: somebody may read until then."""
    if course_id is not None:
        drop_details(course_id)
        transaction.on_commit(partial(drop_details, course_id), using, robust=True)
