"""
Receivers of Django's signals about users, courses and modes.

``apps.EnrollmentsConfig.ready()`` connects them. ``bulk_create`` and ``update`` send no
signals, so users that they write are not enrolled by their invitations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from django_enrollments.core.course_details_cache import invalidate_details
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
    Enroll a saved user by the unused invitations of their address (ACC-13).

    Inside a transaction, the invitations are read again after the commit: an invitation
    that is made at the same time does not see the account before. Each read is one
    query. None is made if neither the address nor ``is_active`` was written, or while a
    fixture is loaded.
    """
    address_field = email_field()
    if raw or address_field is None:
        return
    if update_fields is not None and not {address_field, "is_active"} & {
        *update_fields
    }:
        return
    # is_active may be deferred, so it is read only now.
    if not getattr(instance, "is_active", True):
        return
    redeem_for_user(instance)
    if using is not None and connections[using].in_atomic_block:
        # Django logs the name of a function that raises; a partial object has none.
        def redeem_again() -> None:
            redeem_for_user(instance)

        transaction.on_commit(redeem_again, using=using, robust=True)


def invalidate_course_details(using: str, **kwargs: Any) -> None:
    """
    Drop the cached details after a course or mode was saved or deleted (B-18).

    That happens after the commit, because other processes cache the old values until
    then. With autocommit off, it happens at once.
    """
    after_commit(invalidate_details, using=using)
