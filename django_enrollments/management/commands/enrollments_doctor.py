"""Check the data and the schema, and repair what is safe to repair."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.management.doctor import CHECKS, Finding
from django_enrollments.management.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Findings of one code that are printed one by one.
SHOWN_PER_CODE = 20

#: Exit status if nothing could be checked, and by the worst level that is left.
NOT_CHECKED = 3
EXIT_STATUS = {"error": 2, "warning": 1}


class Command(BaseCommand):
    """``enrollments_doctor [--fix] [--json] [--only CHECK]``."""

    help = (
        "Check that courses have no more learners than seats, that the history of each "
        "enrollment gives its row, that courses, modes and users of all rows exist, "
        "that the tables have the columns and indexes of the models, and that the "
        "event feed is delivered. The exit status is 0 without a problem, 1 with "
        "warnings, 2 with errors, and 3 if a check could not run. Notes are no problem."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--fix", action="store_true", help="repair what is safe to repair"
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object, for programs"
        )
        parser.add_argument(
            "--only",
            action="append",
            choices=[*CHECKS],
            metavar="CHECK",
            help=f"run only this check, can be repeated: {', '.join(CHECKS)}",
        )
        parser.add_argument(
            "--limit",
            type=int,
            default=SHOWN_PER_CODE,
            metavar="N",
            help="findings of one kind that are printed, 0 for all (default: "
            f"{SHOWN_PER_CODE}); repairs are always printed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Run the checks and print what they find, as they find it.

        Raises:
            CommandError: There are problems, or a check could not run.
        """
        self._limit = options["limit"]
        self._counts: Counter[str] = Counter()
        left: Counter[str] = Counter()
        write = self._write_json if options["json"] else self._write_text
        if options["json"]:
            self.stdout.write('{"findings": [', ending="")
        repaired = 0
        problem = ""
        try:
            for finding in self._find(options["only"] or [*CHECKS]):
                done = self._repair(finding) if options["fix"] else ""
                repaired += bool(done)
                if not done:
                    left[finding.level] += 1
                write(finding, done)
        except DatabaseError as error:
            problem = f"A check could not run: {type(error).__name__}."
        summary = {level: left[level] for level in ("error", "warning", "note")}
        if options["json"]:
            tail = {**summary, "repaired": repaired, "problem": problem}
            self.stdout.write(f'\n], "summary": {json.dumps(tail)}}}')
        else:
            self._write_rest(summary, repaired)
        if problem:
            raise CommandError(problem, returncode=NOT_CHECKED)
        for level, status in EXIT_STATUS.items():
            if left[level]:
                errors = counted(left["error"], "error")
                warnings = counted(left["warning"], "warning")
                text = f"Problems are left: {errors}, {warnings}."
                raise CommandError(text, returncode=status)

    def _find(self, names: list[str]) -> Iterator[Finding]:
        """Run the checks; without tables and columns, the others cannot run."""
        for name, check in CHECKS.items():
            if name not in names:
                continue
            is_unreadable = False
            for finding in check():
                is_unreadable |= finding.code in {"missing_table", "missing_column"}
                yield finding
            if is_unreadable:
                return

    def _repair(self, finding: Finding) -> str:
        """Return what was repaired; ``""`` for nothing."""
        if finding.repair is None:
            return ""
        try:
            return finding.repair() or "It has been repaired meanwhile."
        except CourseEnrollmentError as error:
            self.stderr.write(f"{finding.subject}: {error}")
            return ""

    def _write_text(self, finding: Finding, done: str) -> None:
        self._counts[finding.code] += 1
        is_shown = not self._limit or self._counts[finding.code] <= self._limit
        if is_shown or done:
            text = f"{finding.level} {finding.code}: {finding.subject}: "
            self.stdout.write(text + finding.message + (f" {done}" if done else ""))

    def _write_rest(self, summary: dict[str, int], repaired: int) -> None:
        for code, number in self._counts.items():
            if self._limit and number > self._limit:
                more = number - self._limit
                self.stdout.write(f"{code}: {more} more; --limit 0 prints all.")
        texts = [counted(number, level) for level, number in summary.items()]
        self.stdout.write(f"{', '.join(texts)}, {repaired} repaired")

    def _write_json(self, finding: Finding, done: str) -> None:
        entry = {
            "code": finding.code,
            "level": finding.level,
            "subject": finding.subject,
            "message": finding.message,
            "repaired": done,
        }
        separator = "," if self._counts else ""
        self._counts[finding.code] += 1
        self.stdout.write(f"{separator}\n{json.dumps(entry)}", ending="")
