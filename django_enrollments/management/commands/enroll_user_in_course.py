"""Enrolls one user, named by e-mail address, in one course (CMD-01…04)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_enrollments import api
from django_enrollments.context import attributed, origin_of
from django_enrollments.core.transactions import write_alias
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseEnrollmentExistsError,
)
from django_enrollments.users import choose_user, find_users_by_email


class Command(BaseCommand):
    """``enroll_user_in_course -e ADDRESS -c COURSE [-m MODE]``."""

    help = "Enroll the user with an e-mail address in a course."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments (CMD-01)."""
        parser.add_argument(
            "-e", "--email", required=True, help="the user's address, in any case"
        )
        parser.add_argument("-c", "--course", required=True, help="the course id")
        parser.add_argument(
            "-m", "--mode", help="the mode; the course's default when left out"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Enroll; one who is in already is fine (CMD-03).

        Raises:
            CommandError: The user is unknown or was refused; the error is the refusal
                as well, so that code which calls the command can tell which (CMD-04).
        """
        try:
            email = options["email"]
            user = choose_user(email, find_users_by_email([email], write_alias()))
            with attributed(origin_of(source="command")):
                api.add_enrollment(
                    user.get_username(), options["course"], options["mode"]
                )
        except CourseEnrollmentExistsError:
            return
        except CourseEnrollmentError as refusal:
            raise _as_command_error(refusal) from refusal


def _as_command_error(refusal: CourseEnrollmentError) -> Any:
    """Return a refusal that ends a command without a traceback and stays what it is."""
    kind = type(refusal)
    both = type(kind.__name__, (CommandError, kind), {"__module__": kind.__module__})
    error: Any = both(*refusal.args)
    error.code = refusal.code
    return error
