"""Moves roles and invitations to the new id of a course (contract §5)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError


class Command(BaseCommand):
    """``rename_course_id OLD NEW``; safe to run twice."""

    help = (
        "Move the roles and invitations of a course to its new id, after the host has "
        "renamed what its course adapter reads as course_id. The history keeps the id "
        "of its time. Nothing is changed if the command fails."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("old", metavar="OLD", help="the course id until now")
        parser.add_argument("new", metavar="NEW", help="the course id from now on")

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Move them, and print how many.

        Raises:
            CommandError: One of the two can be no course id, or the database was
                changed by others all the time.
        """
        try:
            moved = api.rename_course_id(options["old"], options["new"])
        except CourseEnrollmentError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Roles moved: {moved['roles']}, invitations moved: {moved['invitations']}"
        )
