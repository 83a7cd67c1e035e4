"""Inviting addresses to courses, and taking invitations back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import IntegrityError

from django_enrollments.enrolling import redeeming
from django_enrollments.enrolling.transactions import (
    begin_writing,
    until_settled,
    write_transaction,
)
from django_enrollments.keys import is_storable, normalize_email
from django_enrollments.models import CourseEnrollmentAllowed
from django_enrollments.moments import for_database

if TYPE_CHECKING:
    from datetime import datetime

    from django_enrollments.calls import Origin


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
        email: An address as :func:`~django_enrollments.keys.clean_address` returns it.
        course_id: A valid course id.
        auto_enroll: Whether the account with the address is enrolled once it exists.
        at: The moment of the invitation.
        origin: Who invites and why, for the history; ``None`` for a program.

    Returns:
        The invitation; ``None`` when it was there already, even if only just now.
    """
    using = begin_writing()
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
        until_settled(attempt, using=using)
    except IntegrityError:
        return None
    if auto_enroll:
        # An account that is saved just now may not have seen the invitation.
        look_again = partial(redeeming.redeem_for_addresses, [email], course_id)
        redeeming.after_commit(look_again, using=using)
    return invitation


def withdraw(address: object, course_id: str) -> bool:
    """
    Take an invitation back, used or not (V1-CEA-07, V1-CEA-13).

    Args:
        address: An e-mail address in any spelling, valid or not.
        course_id: The course id.

    Returns:
        Whether there was one.
    """
    if not isinstance(address, str) or not is_storable(address):
        return False
    email = normalize_email(address)
    using = begin_writing()
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
