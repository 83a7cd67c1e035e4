"""
Send the example project thousands of requests made from its OpenAPI description.

Every answer must be as it is described, and none may be an error of the server's.
Schemathesis makes the requests, right and wrong ones, the same in each run, as callers
who may do more and more. Arguments go to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "example_project"

API_KEY = "a-key-for-fuzzing"

#: Who asks: how they say so, and in which ways requests are made up. Each odd value in
#: each place, one after the other, is for those who get furthest.
CALLERS = {
    "nobody": ([], "examples,fuzzing"),
    "a learner": (["--auth", "learner:demo-learner"], "examples,fuzzing"),
    "a program": (["--header", f"X-Edx-Api-Key: {API_KEY}"], "examples,fuzzing"),
    "staff": (["--auth", "operator:demo-operator"], "examples,coverage,fuzzing"),
}

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)

#: A learner who has roles and has asked to be retired, besides what the demo shows.
SET_UP = """
from demo.showcase import OPEN_COURSE, set_up
from django_enrollments.models import CourseAccessRole, UserRetirementStatus

learner = set_up()
for course_id in ("", OPEN_COURSE):
    CourseAccessRole.objects.create(
        user=learner, org="evening", course_id=course_id, role="beta_testers"
    )
UserRetirementStatus.objects.create(
    user=learner, original_username=learner.get_username()
)
"""


def prepare(folder: Path) -> None:
    """
    Make the site's database, and point everything at it.

    Args:
        folder: An empty folder.
    """
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tools.fuzz_settings",
        "EXAMPLE_DATABASE": str(folder / "fuzz.sqlite3"),
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tools.fuzz_hooks",
    }
    manage = [sys.executable, str(EXAMPLE / "manage.py")]
    for command in (["migrate"], ["shell", "--command", SET_UP]):
        subprocess.run([*manage, *command, "--verbosity=0"], check=True)


def fuzz(url: str, caller: str, folder: Path, arguments: list[str]) -> bool:
    """
    Send the requests of one caller.

    Args:
        url: Where the site is.
        caller: A key of ``CALLERS``.
        folder: Where schemathesis may leave things.
        arguments: More arguments for it.

    Returns:
        Whether every answer was as it should be.
    """
    credentials, phases = CALLERS[caller]
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{url}/api/schema/",
        f"--checks={','.join(CHECKS)}",
        f"--phases={phases}",
        "--max-examples=10",
        "--generation-deterministic",
        # Of requests that are meant to be refused, most are.
        "--warnings=off",
        *credentials,
        *arguments,
    ]
    print(f"\n== {caller} ==", flush=True)
    return subprocess.run(command, cwd=folder).returncode == 0


def main(arguments: list[str]) -> int:
    """
    Send the requests of all callers.

    Args:
        arguments: More arguments for schemathesis.

    Returns:
        The exit status.
    """
    sys.path.insert(0, str(EXAMPLE))
    from demo import server

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        with server.run(0) as site:
            failed = [
                caller
                for caller in CALLERS
                if not fuzz(site.url, caller, folder, arguments)
            ]
    seconds = time.monotonic() - began
    if failed:
        print(f"\nFAILED as {', '.join(failed)} ({seconds:.0f} s)")
        return 1
    print(f"\nEvery answer is as described, to {', '.join(CALLERS)} ({seconds:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
