"""``manage.py demo``: replays a real university's registrations, and serves them."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from demo import client, feed, oulad, replay, server, showcase, verify
from demo.progress import progress
from django_enrollments.errors import CourseEnrollmentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accounts.models import User

#: Maximum width of a line, and maximum length of a response.
_WIDTH = 88
_LONGEST = 240

_HIGHEST_PORT = 65_535

#: Errors that are printed in one sentence. Others are bugs, with a traceback.
_FAULTS = (
    oulad.DataError,
    feed.FeedError,
    replay.ReplayError,
    server.ServerError,
    client.ClientError,
    CourseEnrollmentError,
)


class Command(BaseCommand):
    """Migrates, replays, checks, shows and serves."""

    help = (
        "Replay the registrations of a real university with EnrollmentsService, check "
        "the totals, send HTTP requests, and keep the site running. A second run "
        "replays nothing; an interrupted run continues."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--no-serve",
            action="store_true",
            help="End after the checks instead of serving the site.",
        )
        parser.add_argument(
            "--port",
            type=_port,
            default=8000,
            help="Port of the site (default: 8000). If it is in use, another is used.",
        )
        parser.add_argument(
            "--data",
            type=Path,
            default=oulad.DEFAULT_FOLDER,
            help="Folder with another part of the dataset.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Run the demo.

        Raises:
            CommandError: The data cannot be read, a total is wrong, or a response of
                the site is unexpected.
        """
        _exit_on_sigterm()
        try:
            dataset = oulad.read(options["data"])
            self._prepare(dataset)
            stay = not options["no_serve"]
            with feed.Feed(len(dataset.steps())) as running:
                made, seconds = self._replay(dataset, running)
                self._check(dataset, made, seconds)
                learner = showcase.set_up()
                self._show_refusals(learner, min(dataset.presentations))
                with self._ask_site(options["port"]) as site:
                    self._show_feed(dataset, running)
                    if stay:
                        self._invite(site)
                        self._wait(site)
        except _FAULTS as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                "Interrupted. The next run continues here.", returncode=130
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

    def _replay(
        self, dataset: oulad.Dataset, running: feed.Feed
    ) -> tuple[Sequence[oulad.Step], float]:
        """Make the missing calls, and return them with the duration in seconds."""
        steps = dataset.steps()
        codes = list(dataset.presentations)
        done = replay.count_replayed(codes)
        self._title("Replay")
        undated = [one for one in dataset.registrations if one.day is None]
        withdrawn = sum(one.last_day is not None for one in undated)
        self._say(
            f"Data: {oulad.ATTRIBUTION}",
            f"{len(dataset.registrations):,} registrations and "
            f"{len(steps) - len(dataset.registrations):,} withdrawals in their "
            "original order, with one call of EnrollmentsService each.",
        )
        if undated:
            self._say(
                f"{len(undated):,} registrations have no date; {withdrawn:,} of them "
                "were withdrawn. Their date is the first day of the presentation, or "
                "the day of the withdrawal if that is earlier."
            )
        if done == len(steps):
            self._say("All of it was replayed earlier.")
            return [], 0.0
        if done:
            self._say(f"{done:,} calls were made earlier. The rest follows.")
        began = time.monotonic()
        # Not self.stderr, which colors each text and adds a line break.
        with progress(len(steps), done, sys.stderr) as show:

            def advance(now: int) -> None:
                show(now)
                running.advance(now)

            made = replay.replay(steps, codes=codes, progress=advance)
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
                        "The totals are wrong:",
                        *(f"  {fault}" for fault in faults),
                        "If these enrollments have been changed since, delete "
                        f"{settings.DATABASES['default']['NAME']} and run it again.",
                    ]
                )
            )
        known = dataset.known
        self._say(
            f"Equal to the published totals: {known.enrollments:,} enrollments, "
            f"{known.active:,} of them active.",
            "Equal to the file: all course runs and all learners.",
            "Equal to the history: the events of each enrollment result in its state.",
        )

    def _show_refusals(self, learner: User, closed: str) -> None:
        for title, course in (
            ("A full course", showcase.FULL_COURSE),
            ("A closed course", closed),
        ):
            self._title(title)
            self._say(*showcase.refuse(learner, course))

    @contextmanager
    def _ask_site(self, port: int) -> Iterator[server.Server]:
        """Run the site, send it requests, and yield it."""
        self._title("HTTP requests to the site")
        with server.run(port) as site:
            if port not in (0, site.port):
                self._say(f"Port {port} is not free; the site uses {site.port}.")
            for exchange in client.enroll(
                site.url, showcase.LEARNER, showcase.OPEN_COURSE
            ):
                answer = f"{exchange.status} {json.dumps(exchange.answer)}"
                self._say(
                    exchange.request, shorten(answer, _LONGEST, placeholder=" ...")
                )
            yield site

    def _show_feed(self, dataset: oulad.Dataset, running: feed.Feed) -> None:
        self._title("Event feed")
        kills = " and ".join(
            f"the {name} {'once' if number == 1 else f'{number} times'}"
            for name, number in running.kills.items()
        )
        if kills:
            self._say(f"Killed with SIGKILL while events came: {kills}.")
        seconds = running.wait()
        self._say(f"Everything was delivered {seconds:.1f} seconds later.")
        outcomes = feed.compare(dataset.presentations)
        self._table(
            ("Consumer", "Events", "Repeats", "Missing", "Unknown", "Disordered"),
            [
                (
                    one.name,
                    one.events,
                    one.repeats,
                    one.missing,
                    one.unknown,
                    one.disordered,
                )
                for one in outcomes
            ],
        )
        if not all(one.is_good() for one in outcomes):
            raise feed.FeedError("An event was not delivered, or not in order.")
        events = {one.events for one in outcomes}.pop()
        self._say(f"{events:,} events, each delivered, in order")

    def _invite(self, site: server.Server) -> None:
        logins = (showcase.LEARNER, showcase.TEACHER, showcase.OPERATOR)
        names = ", ".join(f"{login.username} ({login.role})" for login in logins)
        passwords = ", ".join(login.password for login in logins)
        self._title("Open the site, and log in")
        self.stdout.write(f"  Home page  {site.url}/")
        self.stdout.write(f"  Accounts   {names}")
        self.stdout.write(f"  Passwords  {passwords}. Ctrl-C ends the site.")
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
            # Lines after the first are indented further.
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
        """Print a table with a left-aligned first column and right-aligned numbers."""
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
    """Return a port number."""
    number = int(text)
    if not 0 <= number <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is between 0 and {_HIGHEST_PORT}")
    return number


def _exit_on_sigterm() -> None:
    """Raise ``SystemExit`` on SIGTERM, so that the site is ended, too."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
