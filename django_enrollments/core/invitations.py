"""Inviting addresses to courses, and taking invitations back."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections, transaction

from django_enrollments.context import Origin, outside_call
from django_enrollments.core import lifecycle
from django_enrollments.core.course_info import get_course_info
from django_enrollments.core.transactions import (
    no_expected_state,
    retry_on_conflict,
    write_alias,
    write_transaction,
    writing_call,
)
from django_enrollments.datetimes import for_database
from django_enrollments.emails import normalize_email
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.models.invitations import REDACTED_EMAIL
from django_enrollments.text import is_storable
from django_enrollments.users import email_of, find_users_by_email, is_inactive

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from django_enrollments.models.invitations import CourseEnrollmentAllowedQuerySet


logger = logging.getLogger(__name__)


def list_invitations(address: str) -> list[CourseEnrollmentAllowed]:
    """
    List the invitations of an address, used ones too, oldest first (V1-CEA-02).

    Args:
        address: An e-mail address in any spelling, valid or not.
    """
    email = normalize_email(address) if is_storable(address) else ""
    if not email:
        return []
    found = CourseEnrollmentAllowed.objects.for_email(email).order_by("pk")
    # A collation may also find what merely looks alike.
    return [invitation for invitation in found if invitation.email == email]


@writing_call()
def invite(
    email: str,
    course_id: str,
    *,
    auto_enroll: bool,
    at: datetime,
    origin: Origin | None = None,
) -> CourseEnrollmentAllowed | None:
    """
    Invite an address to a course, which need not exist yet (V1-CEA-04).

    Args:
        email: An address as ``emails.clean_address`` returns it.
        auto_enroll: Whether the account with the address is enrolled once it exists.
        at: The moment of the invitation.
        origin: Who invites and why, for the history; ``None`` for a program.

    Returns:
        The invitation; ``None`` when it was there already, even if only just now.
    """
    using = write_alias()
    invitation = CourseEnrollmentAllowed(
        email=email,
        course_id=course_id,
        auto_enroll=auto_enroll,
        actor_id=origin.actor_id if origin else None,
        reason=origin.reason if origin else "",
        created=for_database(at),
    )

    def attempt(_lock: bool) -> None:
        with write_transaction(using, reads_first=False):
            invitation.save(using=using, force_insert=True)

    try:
        retry_on_conflict(attempt, using=using)
    except IntegrityError:
        return None
    if auto_enroll:
        # An account that is saved just now may not have seen the invitation.
        look_again = partial(redeem_for_addresses, [email], course_id)
        after_commit(look_again, using=using)
    return invitation


@writing_call()
def withdraw(address: object, course_id: str) -> bool:
    """
    Take an invitation back, used or not (V1-CEA-07, V1-CEA-13).

    Args:
        address: An e-mail address in any spelling, valid or not.

    Returns:
        Whether there was one.
    """
    if not is_storable(address):
        return False
    email = normalize_email(address)
    using = write_alias()
    invitations = CourseEnrollmentAllowed.objects.using(using).order_by()
    keys = [
        key
        for key, *found in invitations.filter(
            email=email, course_id=course_id
        ).values_list("pk", "email", "course_id")
        if found == [email, course_id]
    ]
    deleted, _ = invitations.filter(pk__in=keys).delete() if keys else (0, {})
    return deleted > 0


@writing_call()
def retire_invitations(email: str) -> bool:
    """Overwrite and delete the invitations of an address (MDL-26)."""
    if not is_storable(email):
        return False
    using = write_alias()
    stored = CourseEnrollmentAllowed.objects.using(using).order_by("pk")

    def attempt(_lock: bool) -> bool:
        with write_transaction(using):
            keys = list(stored.for_email(email).values_list("pk", flat=True))
            # One by one: for many keys, MariaDB may read and lock the whole table.
            for key in keys:
                invitation = stored.filter(pk=key)
                # Address and course are unique together; no course id has a space.
                invitation.update(email=REDACTED_EMAIL, course_id=f"redacted {key}")
                invitation.delete()
        return bool(keys)

    return retry_on_conflict(attempt, using=using)


def waiting_invitations() -> CourseEnrollmentAllowedQuerySet:
    """Return the unused invitations that enroll at once, as the database has them."""
    invitations = CourseEnrollmentAllowed.objects.using(write_alias())
    return invitations.unused().filter(auto_enroll=True).order_by("pk")


def redeem_for_user(user: Any) -> None:
    """
    Enroll a saved account by every invitation that waits for it.

    Takes one query where none waits.

    Args:
        user: The account as it was saved; it is read again if an invitation waits.

    Raises:
        OperationalError: As :func:`redeem` raises it.
    """
    address = email_of(user)
    if not address or not is_storable(address):
        return
    # In one order for all: who saves accounts in transactions keeps locks on courses.
    waiting = list(waiting_invitations().for_email(address).order_by("course_id"))
    if not waiting:
        return
    stored = type(user)._base_manager.using(write_alias()).filter(pk=user.pk).first()
    if stored is None or is_inactive(stored):
        return
    for invitation in waiting:
        if email_of(stored) == invitation.email:
            redeem(stored, invitation)


def redeem_for_addresses(addresses: Collection[str], course_id: str) -> None:
    """
    Enroll accounts that appeared while their addresses were invited; never raise.

    Takes one query where there are none.

    Args:
        addresses: Addresses that were invited, in stored form.
    """
    found = find_users_by_email(addresses, write_alias())
    for address, users in found.items():
        active = [user for user in users if not is_inactive(user)]
        if len(active) == 1:
            waiting = waiting_invitations().for_email(address)
            for invitation in waiting.filter(course_id=course_id):
                redeem(active[0], invitation)


def after_commit(act: Callable[[], object], *, using: str) -> None:
    """
    Call a function after the commit.

    At once outside ``atomic()``: with autocommit off, Django accepts no function there.
    """

    # Django logs the name of a function that raises; a partial object has none.
    def do_after_commit() -> None:
        act()

    if connections[using].in_atomic_block:
        transaction.on_commit(do_after_commit, using=using, robust=True)
    else:
        act()


def redeem(user: Any, invitation: CourseEnrollmentAllowed) -> str | None:
    """
    Enroll an account by an invitation, in its mode, for its actor and reason.

    By the learner's rules. An enrollment that exists is not changed.
    Every failure is rolled back and logged, and the invitation stays unused: it
    must not cost a host the account that is being saved.

    Args:
        user: A saved, active user with the invitation's address.
        invitation: An unused one.

    Returns:
        The code of the refusal, or the name of the error that was raised; ``None``
        when the user has an enrollment afterwards.

    Raises:
        OperationalError: The database has rolled back the transaction of the caller,
            with all that was written in it.
    """
    using = write_alias()
    is_within = not connections[using].get_autocommit()
    try:
        with (
            outside_call(),
            no_expected_state(),
            transaction.atomic(using) if is_within else nullcontext(),
        ):
            _enroll(user, invitation, using)
    except CourseEnrollmentError as refusal:
        problem: str = refusal.code
    except Exception as error:
        # Outside atomic(), Django knows of no transaction that could have ended.
        is_atomic = connections[using].in_atomic_block
        if is_atomic and transaction.get_rollback(using):
            # MariaDB and MySQL end the whole transaction at a deadlock.
            raise
        # Its text may hold an address.
        problem = type(error).__name__
    else:
        return None
    logger.warning(
        "User %s, invited to course %s, was not enrolled: %s.",
        user.pk,
        invitation.course_id,
        problem,
    )
    return problem


def _enroll(user: Any, invitation: CourseEnrollmentAllowed, using: str) -> None:
    with writing_call() as (call, _):
        info = get_course_info(invitation.course_id, call, using)
        rows = CourseEnrollment.objects.using(using)
        if rows.of_course_key(info.key).filter(user=user.pk).exists():
            return
        origin = Origin(invitation.actor_id, "invitation", invitation.reason)
        (outcome,) = lifecycle.enroll(
            [user],
            info,
            mode=invitation.mode or None,
            options=lifecycle.ChangeOptions(origin, call.at, using, if_active="keep"),
        )
        outcome.unwrap()
