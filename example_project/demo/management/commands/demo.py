"""``manage.py demo``: a real university's registrations, replayed and served."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from demo import client, oulad, replay, server, showcase, verify
from demo.progress import progress
from django_enrollments.errors import CourseEnrollmentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.models import User

#: As wide as a line, and as long as an answer, may be before it is cut.
_WIDTH = 88
_LONGEST = 240

_HIGHEST_PORT = 65_535

#: What is told in a sentence; anything else is a fault of the demo's and tells where.
_FAULTS = (
    oulad.DataError,
    replay.ReplayError,
    server.ServerError,
    client.ClientError,
    CourseEnrollmentError,
)


class Command(BaseCommand):
    """Migrates, replays, checks, shows and serves."""

    help = (
        "Replay the registrations of a real university through the public service, "
        "check the totals, call the HTTP API as a client, and leave the site running. "
        "A second run finds everything done; an interrupted one continues."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """
        Declare what may be said on the command line.

        Args:
            parser: Django's.
        """
        parser.add_argument(
            "--no-serve",
            action="store_true",
            help="End after the checks instead of leaving the site running.",
        )
        parser.add_argument(
            "--port",
            type=_port,
            default=8000,
            help="Where the site runs; if it is taken, another one is (default: 8000).",
        )
        parser.add_argument(
            "--data",
            type=Path,
            default=oulad.DEFAULT_FOLDER,
            help="Folder with another part of the dataset.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Do all of it.

        Args:
            args: None.
            options: What was said on the command line.

        Raises:
            CommandError: The data cannot be read, a total is off, or the site does
                not answer as it should.
        """
        _exit_on_sigterm()
        try:
            dataset = oulad.read(options["data"])
            self._prepare(dataset)
            made, seconds = self._replay(dataset)
            self._check(dataset, made, seconds)
            learner = showcase.set_up()
            self._show_refusals(learner, min(dataset.presentations))
            self._serve(options["port"], stay=not options["no_serve"])
        except _FAULTS as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                "Interrupted; the next run continues here.", returncode=130
            ) from error

    def _prepare(self, dataset: oulad.Dataset) -> None:
        self._title("Database")
        call_command("migrate", verbosity=0)
        replay.load_catalog(dataset.presentations.values())
        replay.load_learners(dataset.students())
        self._say(
            f"{settings.DATABASES['default']['NAME']}: "
            f"{len(dataset.presentations):,} course runs, "
            f"{len(dataset.students()):,} learners."
        )

    def _replay(self, dataset: oulad.Dataset) -> tuple[Sequence[oulad.Step], float]:
        """Make the calls that are missing; give them and the seconds they took."""
        steps = dataset.steps()
        codes = list(dataset.presentations)
        done = replay.count_replayed(codes)
        self._title("Replay")
        undated = [one for one in dataset.registrations if one.day is None]
        withdrawn = sum(one.last_day is not None for one in undated)
        self._say(
            f"Data: {oulad.ATTRIBUTION}",
            f"{len(dataset.registrations):,} registrations and "
            f"{len(steps) - len(dataset.registrations):,} withdrawals in the order in "
            "which they happened, one call of EnrollmentsService each.",
        )
        if undated:
            self._say(
                f"{len(undated):,} registrations have no date; {withdrawn:,} of them "
                "were withdrawn. Each counts from the first day of its presentation, "
                "or from the day of its withdrawal where that came before. None is "
                "left out."
            )
        if done == len(steps):
            self._say("All of it was replayed earlier.")
            return [], 0.0
        if done:
            self._say(f"{done:,} calls were made earlier; the rest follows.")
        began = time.monotonic()
        # Not Django's own stream, which colors each piece and ends it as a line.
        with progress(len(steps), done, sys.stderr) as show:
            made = replay.replay(steps, codes=codes, progress=show)
        return steps[len(steps) - made :], time.monotonic() - began

    def _check(
        self, dataset: oulad.Dataset, made: Sequence[oulad.Step], seconds: float
    ) -> None:
        self._title("Totals")
        lines = verify.count(sorted(dataset.presentations))
        self._table(
            ("Course run", "Enrollments", "Active", "Left", "Events"),
            [
                (one.code, one.enrollments, one.active, one.left, one.events)
                for one in lines
            ],
        )
        self._say("")
        rows = sum(step.action == "enroll" for step in made)
        self._table(
            (
                "Course runs",
                "Learners",
                "Enrollments",
                "Active",
                "Left",
                "Events",
                "Seconds",
                "Rows/s",
                "Calls/s",
            ),
            [
                (
                    f"{len(lines):,}",
                    len(dataset.students()),
                    sum(one.enrollments for one in lines),
                    sum(one.active for one in lines),
                    sum(one.left for one in lines),
                    sum(one.events for one in lines),
                    f"{seconds:.1f}" if made else "-",
                    f"{rows / seconds:,.0f}" if made else "-",
                    f"{len(made) / seconds:,.0f}" if made else "-",
                )
            ],
        )
        self._say("")
        faults = verify.find_faults(dataset, lines)
        if faults:
            raise CommandError(
                "\n".join(
                    [
                        "The totals are off:",
                        *(f"  {fault}" for fault in faults),
                        "If somebody has changed these enrollments since, delete "
                        f"{settings.DATABASES['default']['NAME']} and run it again.",
                    ]
                )
            )
        known = dataset.known
        self._say(
            f"As published: {known.enrollments:,} enrollments, {known.active:,} of "
            "them active.",
            "As counted from the file: every course run, and every learner in it.",
            "As the history tells: every enrollment is what its events add up to.",
        )

    def _show_refusals(self, learner: User, closed: str) -> None:
        for title, course in (
            ("A full course", showcase.FULL_COURSE),
            ("A closed course", closed),
        ):
            self._title(title)
            self._say(*showcase.refuse(learner, course))

    def _serve(self, port: int, *, stay: bool) -> None:
        self._title("The site, and a client")
        with server.run(port) as site:
            if port not in (0, site.port):
                self._say(f"Port {port} is not free; {site.port} is.")
            for exchange in client.enroll(
                site.url, showcase.LEARNER, showcase.OPEN_COURSE
            ):
                answer = f"{exchange.status} {json.dumps(exchange.answer)}"
                self._say(
                    exchange.request, shorten(answer, _LONGEST, placeholder=" ...")
                )
            if stay:
                self._invite(site)
                self._wait(site)

    def _invite(self, site: server.Server) -> None:
        self._title("Have a look")
        for name, text in (
            ("Home page", f"{site.url}/"),
            ("Admin", f"{site.url}/admin/"),
            *([("API", f"{site.url}/api/docs/")] if settings.HAS_OPENAPI else []),
            *(
                (login.username.capitalize(), f"{login.username} / {login.password}")
                for login in (showcase.OPERATOR, showcase.LEARNER)
            ),
        ):
            self.stdout.write(f"  {name:<10} {text}")
        self.stdout.write("\n  Ctrl-C ends it.")
        self.stdout.flush()

    def _wait(self, site: server.Server) -> None:
        try:
            status = site.process.wait()
        except KeyboardInterrupt:
            self.stdout.write("\nThe site has ended.")
        else:
            raise server.ServerError(f"The site ended with status {status}.")

    def _title(self, text: str) -> None:
        self.stdout.write("\n" + self.style.MIGRATE_HEADING(text))
        self.stdout.flush()

    def _say(self, *sentences: str) -> None:
        for sentence in sentences:
            # The rest of a sentence stands a little to the right of its beginning.
            self.stdout.write(
                fill(
                    sentence,
                    _WIDTH,
                    initial_indent="  ",
                    subsequent_indent="    ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )
        self.stdout.flush()

    def _table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table: text to the left in the first column, numbers to the right."""
        texts = [
            [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
            for row in rows
        ]
        widths = [max(map(len, column)) for column in zip(heads, *texts, strict=True)]
        for line in (heads, *texts):
            first, *others = zip(line, widths, strict=True)
            cells = [first[0].ljust(first[1]), *(text.rjust(w) for text, w in others)]
            self.stdout.write("  " + "  ".join(cells))


def _port(text: str) -> int:
    """Read a port number; ``argparse`` turns the error into a message."""
    number = int(text)
    if not 0 <= number <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is between 0 and {_HIGHEST_PORT}")
    return number


def _exit_on_sigterm() -> None:
    """Let SIGTERM end the served site too, as leaving by an exception does."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
