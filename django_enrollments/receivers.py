"""
What the app listens to: accounts that appear, courses and modes that change.

``apps.EnrollmentsConfig.ready()`` connects every function here. Users written by
``bulk_create`` or ``update`` send no signal and go unnoticed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from django_enrollments.core.course_details_cache import drop_details
from django_enrollments.core.invitations import after_commit, redeem_for_user
from django_enrollments.users import email_field

if TYPE_CHECKING:
    from collections.abc import Collection


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
        raw: Whether a fixture is being loaded, which enrolls no user.
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
    redeem_for_user(instance)
    if using is not None and connections[using].in_atomic_block:
        look_again = partial(redeem_for_user, instance)
        transaction.on_commit(look_again, using=using, robust=True)


def forget_details(using: str, **kwargs: Any) -> None:
    """
    After a course or a mode has been saved or deleted: drop cached details (B-18).

    After commit, for until then others read and store what was before; at once where
    autocommit is off.

    Args:
        using: Database alias it was written to.
        kwargs: Whatever else the signal carries.
    """
    after_commit(drop_details, using=using)
