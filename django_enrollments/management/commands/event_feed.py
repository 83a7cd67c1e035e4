"""Show the state of the event feed, and change what is delivered."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils.dateparse import parse_date, parse_datetime

from django_enrollments import delivery
from django_enrollments.core.transactions import is_in_transaction, write_alias
from django_enrollments.datetimes import as_moment
from django_enrollments.delivery.database import autocommit
from django_enrollments.management.progress import progress
from django_enrollments.management.words import counted
from django_enrollments.models import SetAside

if TYPE_CHECKING:
    from datetime import datetime

#: Events set aside that ``status`` lists for each consumer.
LISTED = 20


def moment(text: str) -> datetime:
    """
    Return the aware datetime of an ISO 8601 date or datetime.

    Raises:
        ValueError: It is none.
    """
    found = parse_datetime(text) or parse_date(text)
    if found is None:
        raise ValueError(text)
    return as_moment(found)


class Command(BaseCommand):
    """``event_feed status|replay|pause|resume|retry|discard|adopt``."""

    help = (
        "Show the state of the event feed and of its consumers, or change what is "
        "delivered to them. The exit status of 'status' is 1 if a consumer is down, an "
        "event is dead, or an event waits for longer than --max-age."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        actions = parser.add_subparsers(
            dest="action",
            required=True,
            metavar="ACTION",
            help="status, replay, pause, resume, retry, discard or adopt",
        )
        one = actions.add_parser("status", help="show the state of each consumer")
        one.add_argument("--json", action="store_true", help="as JSON, for programs")
        one.add_argument(
            "--max-age",
            type=float,
            default=300,
            metavar="SECONDS",
            help="the longest time that an event may wait (default: 300)",
        )
        one = actions.add_parser("replay", help="deliver events once more")
        one.add_argument("name", metavar="NAME")
        which = one.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--position", type=int, metavar="N", help="all from this position on"
        )
        which.add_argument(
            "--since", type=moment, metavar="TIME", help="all from this time on"
        )
        which.add_argument("--event", type=UUID, metavar="UUID", help="this event")
        which.add_argument("--course", metavar="ID", help="the events of this course")
        for action, text in (
            ("pause", "stop delivering to a consumer"),
            ("resume", "deliver to a consumer again"),
        ):
            one = actions.add_parser(action, help=text)
            one.add_argument("name", metavar="NAME")
        one = actions.add_parser("retry", help="try an event that is set aside at once")
        one.add_argument("name", metavar="NAME")
        one.add_argument("position", type=int, metavar="POSITION")
        one = actions.add_parser("discard", help="give up an event that is set aside")
        one.add_argument("name", metavar="NAME")
        one.add_argument("position", type=int, metavar="POSITION")
        one.add_argument(
            "--reason", required=True, metavar="TEXT", help="why, for the log"
        )
        one = actions.add_parser(
            "adopt", help="bring events from before the feed existed into it"
        )
        one.add_argument(
            "--since", type=moment, metavar="TIME", help="only from this time on"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Do what the first argument says.

        Raises:
            CommandError: It is not possible, or the status is not good.
        """
        if not is_in_transaction(connections[write_alias()]):
            # Hosts may have it off.
            autocommit()
        try:
            getattr(self, f"_{options['action']}")(options)
        except ValueError as error:
            raise CommandError(str(error)) from None

    def _status(self, options: dict[str, Any]) -> None:
        found = delivery.status()
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
        else:
            for one in found:
                self.stdout.write(
                    f"{one['name']}: {one['state']}, position {one['position']}, lag "
                    f"{one['lag']}, oldest {one['oldest_age_seconds']} s, "
                    f"{one['retrying']} retrying, {one['dead']} dead"
                )
                if one["last_error"]:
                    self.stdout.write(f"    {one['last_error']}")
                if one["retrying"] or one["dead"]:
                    self._list_set_aside(one["name"])
        bad = [
            one["name"]
            for one in found
            if one["state"] == "down"
            or one["dead"]
            or one["oldest_age_seconds"] > options["max_age"]
        ]
        if bad:
            raise CommandError(f"Not well: {', '.join(bad)}.")

    def _list_set_aside(self, name: str) -> None:
        rows = SetAside.objects.using(write_alias()).filter(consumer=name)
        failed = rows.exclude(state=SetAside.STATES.waiting).order_by("position")
        for row in failed[:LISTED]:
            self.stdout.write(f"    event {row.position} is {row.state}: {row.error}")

    def _replay(self, options: dict[str, Any]) -> None:
        with self._progress(options) as advance:
            number = delivery.replay(
                options["name"],
                position=options["position"],
                since=options["since"],
                event_id=options["event"],
                course_id=options["course"],
                advance=advance,
            )
        self.stdout.write(
            counted(number, "event is", "events are") + " delivered once more"
        )

    def _pause(self, options: dict[str, Any]) -> None:
        delivery.pause(options["name"])

    def _resume(self, options: dict[str, Any]) -> None:
        delivery.resume(options["name"])

    def _retry(self, options: dict[str, Any]) -> None:
        delivery.retry(options["name"], options["position"])

    def _discard(self, options: dict[str, Any]) -> None:
        delivery.discard(options["name"], options["position"], options["reason"])

    def _adopt(self, options: dict[str, Any]) -> None:
        adopted = left_out = 0
        with self._progress(options) as advance:
            for number, late in delivery.adopt(options["since"]):
                adopted, left_out = adopted + number, left_out + late
                advance(number + late)
        self.stdout.write(
            f"{counted(adopted, 'event is', 'events are')} part of the feed now; "
            f"{counted(left_out, 'was', 'were')} left out, because the feed has later "
            "events of the same enrollments"
        )

    def _progress(self, options: dict[str, Any]) -> Any:
        return progress(
            None,
            terminal=options.get("stderr") or sys.stderr,
            write_line=self.stdout.write,
        )
