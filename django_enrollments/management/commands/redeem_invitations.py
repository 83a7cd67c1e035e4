"""Enroll accounts that have unused invitations (ACC-13)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_enrollments.core.invitations import redeem, waiting_invitations
from django_enrollments.core.transactions import write_alias
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.management.progress import progress
from django_enrollments.management.words import counted
from django_enrollments.text import is_storable
from django_enrollments.users import (
    choose_user,
    find_users_by_email,
    is_inactive,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_enrollments.models.invitations import (
        CourseEnrollmentAllowed,
        CourseEnrollmentAllowedQuerySet,
    )

#: Number of invitations per query.
ROWS_PER_QUERY = 500


class Command(BaseCommand):
    """
    ``redeem_invitations [--course ID] [--email ADDRESS]``.

    Running it again changes nothing.
    """

    help = (
        "Enroll active accounts whose address has an unused invitation that enrolls at "
        "once. A user who is or was enrolled in the course is not changed. The exit "
        "status is 1 if an account could not be enrolled; the next run tries again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--course", metavar="ID", help="only invitations to this course"
        )
        parser.add_argument(
            "--email", metavar="ADDRESS", help="only invitations of this address"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Redeem the unused invitations.

        Raises:
            CommandError: An account could not be enrolled, or an option contains a
                character that cannot be stored.
        """
        waiting = waiting_invitations()
        for name in ("course", "email"):
            if not is_storable(options[name] or ""):
                raise CommandError(f"--{name} holds a NUL character.")
        if options["course"] is not None:
            waiting = waiting.filter(course_id=options["course"])
        if options["email"] is not None:
            waiting = waiting.for_email(options["email"])
        terminal = options.get("stderr") or sys.stderr
        failures: list[str] = []
        redeemed = 0
        with progress(
            waiting.count(), terminal=terminal, write_line=self.stdout.write
        ) as advance:
            for invitation, users in _with_accounts(waiting):
                problem, who = None, "several users"
                if users:
                    try:
                        user = choose_user(invitation.email, {invitation.email: users})
                    except CourseEnrollmentError as refusal:
                        problem = refusal.code
                    else:
                        who = f"user {user.pk}"
                        problem = redeem(user, invitation)
                        redeemed += problem is None
                if problem is not None:
                    failures.append(
                        f"Invitation {invitation.pk}, {who}, "
                        f"course {invitation.course_id}: {problem}"
                    )
                advance(1)
        for failure in failures:
            self.stderr.write(failure)
        self.stdout.write(
            f"{redeemed} enrolled or in the course already, {len(failures)} failed"
        )
        if failures:
            failed = counted(len(failures), "invitation")
            raise CommandError(f"{failed} could not be redeemed.")


def _with_accounts(
    waiting: CourseEnrollmentAllowedQuerySet,
) -> Iterator[tuple[CourseEnrollmentAllowed, list[Any]]]:
    """Yield the invitations with the active accounts of their addresses."""
    last = 0
    while chunk := list(waiting.filter(pk__gt=last)[:ROWS_PER_QUERY]):
        found = find_users_by_email({one.email for one in chunk}, write_alias())
        for invitation in chunk:
            users = found.get(invitation.email, [])
            yield invitation, [user for user in users if not is_inactive(user)]
        last = chunk[-1].pk
