"""Deliver the event feed to the consumers."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_enrollments.delivery import Worker


class Command(BaseCommand):
    """
    ``enrollments_work [--follow] [--interval SECONDS] [--consumer NAME]``.

    Several may run at once, on several machines.
    """

    help = (
        "Deliver the events of enrollments to the consumers of ENROLLMENTS_CONSUMERS. "
        "SIGTERM and SIGINT end it after the deliveries under way, with exit status 0. "
        "Without --follow, it makes one pass, and the exit status is 1 if the work for "
        "a consumer failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--follow", action="store_true", help="go on until it is stopped"
        )
        parser.add_argument(
            "--interval",
            type=float,
            default=1.0,
            metavar="SECONDS",
            help="time between two looks for events, with --follow (default: 1)",
        )
        parser.add_argument(
            "--consumer",
            action="append",
            metavar="NAME",
            help="only this consumer; may be repeated",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Work.

        Raises:
            CommandError: There is no such consumer, or the work for one failed.
        """
        try:
            worker = Worker(options["consumer"], interval=options["interval"])
        except ValueError as error:
            raise CommandError(str(error)) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        if options["follow"]:
            worker.follow()
            return
        done = worker.run()
        for name, one in done["consumers"].items():
            self.stdout.write(
                f"{name}: {one['delivered']} delivered, {one['failed']} failed, "
                f"{one['set_aside']} set aside, {one['lag']} still to come"
            )
        if done["errors"]:
            failed = ", ".join(
                f"{name} ({error})" for name, error in done["errors"].items()
            )
            raise CommandError(f"Some work failed: {failed}.")
