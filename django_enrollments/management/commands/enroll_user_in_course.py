"""Enroll the user with an e-mail address in a course (CMD-01…04)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_enrollments import api
from django_enrollments.context import origin_of, override_origin
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
            "-m", "--mode", help="the mode; by default the course's default mode"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Enroll the user. Succeed if the user is enrolled already (CMD-03).

        Raises:
            CommandError: The user is unknown or was refused. The error is also an
                instance of the refusal's class (CMD-04).
        """
        try:
            email = options["email"]
            user = choose_user(email, find_users_by_email([email], write_alias()))
            with override_origin(origin_of(source="command")):
                api.add_enrollment(
                    user.get_username(), options["course"], options["mode"]
                )
        except CourseEnrollmentExistsError:
            return
        except CourseEnrollmentError as refusal:
            raise _as_command_error(refusal) from refusal


def _as_command_error(refusal: CourseEnrollmentError) -> Any:
    """Return an error of both classes: ``CommandError``, and that of the refusal."""
    kind = type(refusal)
    both = type(kind.__name__, (CommandError, kind), {"__module__": kind.__module__})
    error: Any = both(*refusal.args)
    error.code = refusal.code
    return error
