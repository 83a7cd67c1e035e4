"""The example project for tests: a slice of its data, its commands, its site."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
MANAGE = ROOT / "example_project" / "manage.py"
DATA = ROOT / "example_project" / "data" / "oulad"

#: The slice in numbers, counted without the demo's own code.
ENROLLMENTS = 371
ACTIVE = 227
LEFT = ENROLLMENTS - ACTIVE


class Demo:
    """A database of the example project, and the commands that work on it."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "demo.sqlite3"
        self.data = folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        # This run's own settings module is not the example project's.
        inherited = {k: v for k, v in os.environ.items() if k[:6] != "DJANGO"}
        return inherited | {
            "EXAMPLE_DATABASE": str(self.database),
            "PYTHONWARNINGS": "error",
        }

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - this project's own command.
            [sys.executable, str(MANAGE), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        data = f"--data={self.data}"
        return self.manage("demo", "--no-serve", "--port=0", data, *arguments)

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - as above.
            [sys.executable, str(MANAGE), "demo", "--port=0", f"--data={self.data}"],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            # A shell that runs the tests in the background has them ignore Ctrl-C.
            preexec_fn=(
                None
                if sys.platform == "win32"
                else partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
            ),
        )

    @contextmanager
    def serve(self) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
        """Run it until the site stands; give its process and the lines it printed."""
        with self.start() as process:
            printed = []
            for line in process.stdout:
                printed.append(line)
                if "Ctrl-C" in line:
                    break
            try:
                yield process, printed
            finally:
                process.terminate()

    def query(self, statement: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.database)
        try:
            rows = connection.execute(statement).fetchall()
            connection.commit()
        finally:
            connection.close()
        return rows

    def enrollments(self) -> list[tuple[object, ...]]:
        """Every enrollment without its keys, in order."""
        return self.query(
            "SELECT username, code, enrollment.is_active, mode, created, modified "
            "FROM django_enrollments_courseenrollment AS enrollment "
            "JOIN accounts_user ON accounts_user.id = user_id "
            "JOIN catalog_courserun ON catalog_courserun.id = course_id "
            "ORDER BY username, code"
        )

    def events(self) -> list[tuple[object, ...]]:
        """The history of the replay without its keys, in order."""
        return self.query(
            "SELECT type, time, username, course_id, source, reason "
            "FROM django_enrollments_enrollmentevent WHERE source = 'command' "
            "AND reason LIKE 'Replayed%' ORDER BY id"
        )


def read_rows() -> list[dict[str, str]]:
    with (DATA / "studentRegistration.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def address(printed: list[str]) -> str:
    """Return the URL of the home page as the demo printed it."""
    (url,) = (line.split()[-1] for line in printed if "Home page" in line)
    return url


def make_slice(folder: Path) -> None:
    """Put a hundredth of the registrations, and all without a date, into a folder."""
    shutil.copy(DATA / "courses.csv", folder)
    rows = [
        row
        for number, row in enumerate(read_rows())
        if number % 100 == 0 or not row["date_registration"]
    ]
    with (folder / "studentRegistration.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    known = {
        "course_runs": 22,
        "learners": len({row["id_student"] for row in rows}),
        "enrollments": ENROLLMENTS,
        "active": ACTIVE,
    }
    (folder / "known_answers.json").write_text(json.dumps(known))
