"""Move roles and invitations to the new id of a course (contract §5)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError


class Command(BaseCommand):
    """``rename_course_id OLD NEW``. Running it again changes nothing."""

    help = (
        "Move the roles and invitations of a course to its new id. Run it after you "
        "have changed the field that your course adapter maps to course_id. The "
        "history keeps the old id. Nothing is changed if the command fails."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("old", metavar="OLD", help="the old course id")
        parser.add_argument("new", metavar="NEW", help="the new course id")

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Move roles and invitations, and print their numbers.

        Raises:
            CommandError: An id is not valid, or there were too many conflicts.
        """
        try:
            moved = api.rename_course_id(options["old"], options["new"])
        except CourseEnrollmentError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Roles moved: {moved['roles']}, invitations moved: {moved['invitations']}"
        )
