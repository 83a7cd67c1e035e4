"""
What the app listens to: accounts that appear, courses and modes that change.

``apps.EnrollmentsConfig.ready()`` connects every function here. Users written by
``bulk_create`` or ``update`` send no signal and go unnoticed.
"""

from __future__ import annotations

import logging
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from django_enrollments.collaborators import CollaboratorNotLoaded
from django_enrollments.details_cache import drop_details
from django_enrollments.enrolling.learners import email_field
from django_enrollments.enrolling.redeeming import redeem_for_user
from django_enrollments.enrolling.transactions import begin_writing
from django_enrollments.models import (
    CourseMode,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.swapped import course_key_is_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

logger = logging.getLogger(__name__)


def enroll_invited(
    instance: Any,
    raw: bool = False,
    using: str | None = None,
    update_fields: Collection[str] | None = None,
    **kwargs: Any,
) -> None:
    """
    After a user has been saved: enroll them by the invitations that wait (ACC-13).

    Within a transaction they are looked for again after its commit, for somebody may
    be inviting meanwhile who does not see the account yet. Each look costs one query,
    and none is made when neither address nor activation is written. Somebody who is or
    was in a course stays as they are.

    Args:
        instance: The user.
        raw: Whether a fixture is being loaded, which enrolls nobody.
        using: Database alias it was saved to.
        update_fields: The fields that were written; ``None`` for all.
        kwargs: Whatever else the signal carries.
    """
    address_field = email_field()
    if raw or address_field is None:
        return
    if update_fields is not None and not {address_field, "is_active"} & {
        *update_fields
    }:
        return
    # Not before: it may not have been loaded.
    if not getattr(instance, "is_active", True):
        return
    begin_writing()
    redeem_for_user(instance)
    if using is not None and connections[using].in_atomic_block:
        look_again = partial(redeem_for_user, instance)
        transaction.on_commit(look_again, using=using, robust=True)


def _log_faulty_adapter(receiver: Callable[..., None]) -> Callable[..., None]:
    """Make a receiver log that the course adapter cannot be loaded, and not raise."""

    @wraps(receiver)
    def receive(**kwargs: Any) -> None:
        try:
            receiver(**kwargs)
        except CollaboratorNotLoaded:
            # A course is saved all the same; details are not shown without the adapter.
            logger.exception("Cached course details are not dropped.")

    return receive


@_log_faulty_adapter
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


@_log_faulty_adapter
def forget_course(instance: Any, using: str | None = None, **kwargs: Any) -> None:
    """
    After a course has been saved or deleted: drop its details (B-18).

    Args:
        instance: The course.
        using: Database alias it was written to.
        kwargs: Whatever else the signal carries.
    """
    _drop(get_course_adapter().course_id_of(instance), using)


@_log_faulty_adapter
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


@_log_faulty_adapter
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
