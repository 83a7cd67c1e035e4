"""
The Open University Learning Analytics dataset, see ``data/oulad/README.md``.

The files have days relative to the start of a presentation, without a time of day. The
datetimes made from them are at midnight UTC.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "data" / "oulad"

#: Required wherever the data is used.
ATTRIBUTION = (
    "J. Kuzilek, M. Hlosta, Z. Zdrahal, Open University Learning Analytics dataset, "
    "Scientific Data 4:170171 (2017), doi 10.1038/sdata.2017.171, CC BY 4.0."
)

#: Month in which the presentations with a letter start, on the first day.
_START_MONTHS = {"B": 2, "J": 10}

#: Reasons in the history.
REPLAYED = "Replayed from OULAD"
DATE_UNKNOWN = f"{REPLAYED}; the date of registration is not recorded"


class DataError(Exception):
    """A file does not have the format of the dataset."""


@dataclass(frozen=True)
class Presentation:
    """
    A module in one term.

    Attributes:
        module: Such as ``AAA``.
        term: Such as ``2013J``.
        days: Length in days.
    """

    module: str
    term: str
    days: int

    @property
    def code(self) -> str:
        """Module and term, such as ``AAA-2013J``."""
        return f"{self.module}-{self.term}"

    @property
    def starts_on(self) -> date:
        """The first day: February 1 or October 1."""
        return date(int(self.term[:4]), _START_MONTHS[self.term[4:]], 1)

    @property
    def ends_on(self) -> date:
        """The day after the last day."""
        return self.starts_on + timedelta(days=self.days)

    @property
    def title(self) -> str:
        """A title; the dataset does not contain the real titles."""
        return f"Module {self.module}, {self.starts_on:%B %Y}"


@dataclass(frozen=True)
class Registration:
    """
    One row of ``studentRegistration.csv``.

    Attributes:
        presentation: The presentation.
        student: The student's number.
        day: Day of the registration; ``None`` if it is not recorded.
        last_day: Day of the withdrawal; ``None`` without one.
    """

    presentation: Presentation
    student: int
    day: int | None
    last_day: int | None

    def registered_at(self) -> datetime:
        """
        Return the datetime of the registration.

        If it is not recorded, it is the first day of the presentation, or the day of
        the withdrawal if that is earlier.
        """
        if self.day is not None:
            return self._moment(self.day)
        return self._moment(0 if self.last_day is None else min(0, self.last_day))

    def withdrew_at(self) -> datetime | None:
        """Return the datetime of the withdrawal, or ``None``."""
        return None if self.last_day is None else self._moment(self.last_day)

    def _moment(self, day: int) -> datetime:
        start = datetime.combine(self.presentation.starts_on, time(), timezone.utc)
        return start + timedelta(days=day)


@dataclass(frozen=True)
class Step:
    """
    One call of the replay.

    Attributes:
        at: The datetime of the change.
        action: The change.
        student: The student's number.
        code: The course run.
        reason: The reason in the history.
    """

    at: datetime
    action: Literal["enroll", "unenroll"]
    student: int
    code: str
    reason: str


@dataclass(frozen=True)
class KnownAnswers:
    """
    The published totals of the data, which the replay must reproduce.

    Attributes:
        course_runs: Number of presentations.
        learners: Number of students.
        enrollments: Number of registrations.
        active: Number of registrations without a withdrawal.
    """

    course_runs: int
    learners: int
    enrollments: int
    active: int


@dataclass(frozen=True)
class Dataset:
    """
    The data of a folder.

    Attributes:
        folder: The folder.
        presentations: All presentations, by code.
        registrations: All registrations, in the order of the file.
        known: The published totals.
    """

    folder: Path
    presentations: dict[str, Presentation]
    registrations: list[Registration]
    known: KnownAnswers

    def students(self) -> set[int]:
        """Return the numbers of all students."""
        return {registration.student for registration in self.registrations}

    def steps(self) -> list[Step]:
        """
        Return all changes in their original order.

        Of changes with equal times, registrations are first.
        """
        steps = list(_steps(self.registrations))
        # Sorting is stable, so equal steps keep the order of the file.
        steps.sort(key=lambda step: (step.at, step.action != "enroll"))
        return steps


def _steps(registrations: Iterable[Registration]) -> Iterator[Step]:
    for one in registrations:
        key = one.student, one.presentation.code
        reason = REPLAYED if one.day is not None else DATE_UNKNOWN
        yield Step(one.registered_at(), "enroll", *key, reason)
        withdrew_at = one.withdrew_at()
        if withdrew_at is not None:
            yield Step(withdrew_at, "unenroll", *key, REPLAYED)


def read(folder: Path) -> Dataset:
    """
    Return the dataset in a folder, or a part of it in the same format.

    Raises:
        DataError: A file is missing, or a row is invalid. The message has the file and
            the line.
    """
    presentations = {}
    for row, where in _rows(folder / "courses.csv", columns=3):
        module, term, days = row
        if term[4:] not in _START_MONTHS or not term[:4].isdecimal():
            raise DataError(f"{where}: {term!r} is no presentation.")
        one = Presentation(module, term, _number(days, where))
        presentations[one.code] = one
    registrations = []
    for row, where in _rows(folder / "studentRegistration.csv", columns=5):
        module, term, student, day, last_day = row
        code = f"{module}-{term}"
        if code not in presentations:
            raise DataError(f"{where}: courses.csv does not have {code}.")
        registration = Registration(
            presentations[code],
            _number(student, where),
            _number(day, where) if day else None,
            _number(last_day, where) if last_day else None,
        )
        registrations.append(registration)
    return Dataset(folder, presentations, registrations, _known_answers(folder))


def _rows(path: Path, *, columns: int) -> Iterator[tuple[list[str], str]]:
    """Yield the rows of a file below its header, with their positions."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            next(reader, None)
            for row in reader:
                where = f"{path.name}, line {reader.line_num}"
                if len(row) != columns:
                    raise DataError(f"{where}: there must be {columns} values.")
                yield row, where
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _number(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise DataError(f"{where}: {text!r} is no whole number.") from error


def _known_answers(folder: Path) -> KnownAnswers:
    path = folder / "known_answers.json"
    try:
        return KnownAnswers(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
