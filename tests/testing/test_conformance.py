"""The conformance kit passes in working hosts, and fails in broken ones."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.db import connection

from tests.databases import SERVERS, server_url
from tests.factories import is_default_host
from tests.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

KIT = "django_enrollments.testing.conformance"

#: Adds the lines that a process reaches to those of the run of these tests.
MEASURED = (
    *("-m", "coverage", "run", "--parallel-mode"),
    *(f"--rcfile={ROOT / 'pyproject.toml'}", f"--data-file={ROOT / '.coverage'}"),
)

#: Tables that migrations fill.
FILLED = {"django_enrollments_feedcounter"}

only_once = pytest.mark.skipif(
    not is_default_host() or connection.vendor != "sqlite",
    reason="These hosts have settings of their own, on SQLite.",
)


def run_kit(
    folder: Path,
    settings: str,
    *arguments: str,
    paths: tuple[Path, ...] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run the kit as a host does, in an empty folder."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COV", "DJANGO_SETTINGS", "PYTEST"))
    }
    path = os.pathsep.join(map(str, (folder, ROOT, *paths)))
    is_measured = os.environ.get("ENROLLMENTS_TEST_COVERAGE") and "-k" not in arguments
    return subprocess.run(  # noqa: S603 - The command of the documentation.
        [
            *(sys.executable, *(MEASURED if is_measured else ())),
            *("-m", "pytest", "--pyargs", KIT, "--ds", settings),
            *("-p", "no:cacheprovider", "-W", "error", *arguments),
        ],
        cwd=folder,
        env=inherited | {"PYTHONPATH": path, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def this_database(folder: Path) -> str:
    """Return a database on the server under test that no other test uses."""
    for name in SERVERS:
        if connection.vendor == {"postgres": "postgresql", "mariadb": "mysql"}[name]:
            return f"{server_url(name)}_kit"
    return f"sqlite:{folder}/kit.sqlite3"


class TestHosts:
    def test_passes_in_this_host(self, tmp_path):
        ran = run_kit(
            tmp_path,
            django_settings.SETTINGS_MODULE,
            ENROLLMENTS_TEST_DATABASE=this_database(tmp_path),
        )

        assert ran.returncode == 0, ran.stdout
        assert f"course: {django_settings.ENROLLMENTS_COURSE_MODEL}" in ran.stdout
        assert f"database: {connection.vendor} (default)" in ran.stdout

    @only_once
    def test_leaves_no_row(self, tmp_path):
        options = ["--reuse-db", "-k", "concurrency or lifecycle or privacy"]
        database = this_database(tmp_path)

        ran = run_kit(
            tmp_path, "tests.settings", *options, ENROLLMENTS_TEST_DATABASE=database
        )

        assert ran.returncode == 0, ran.stdout
        stored = sqlite3.connect(tmp_path / "test_kit.sqlite3")
        tables = stored.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        rows = {
            name: stored.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0]  # noqa: S608
            for (name,) in tables.fetchall()
            if name.startswith(("django_enrollments_", "auth_user"))
        }
        stored.close()
        assert len(rows) > 5
        assert {name for name, count in rows.items() if count} <= FILLED, rows

    @only_once
    def test_passes_in_the_example_project(self, tmp_path):
        ran = run_kit(
            tmp_path,
            "config.settings",
            paths=(ROOT / "example_project",),
            EXAMPLE_DATABASE=str(tmp_path / "example.sqlite3"),
        )

        assert ran.returncode == 0, ran.stdout
        assert "course: catalog.CourseRun (CourseRunAdapter)" in ran.stdout
        assert "maps self_paced to no field" in ran.stdout

    @only_once
    @pytest.mark.parametrize(
        ("host", "printed"),
        [
            ("inherited", "user: inherited.Person, course: inherited.Run (RunAdapter)"),
            ("guarded", "DjangoAuthBackend has no method grants()"),
            ("two_databases", "database: sqlite (school)"),
        ],
    )
    def test_passes_in_a_host(self, host, printed, tmp_path):
        ran = run_kit(tmp_path, f"tests.testing.{host}.settings")

        assert ran.returncode == 0, ran.stdout
        assert printed in ran.stdout
        assert "on a copy of the test database" in ran.stdout


FAULTS = "tests.testing.broken.faults"
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


def adapter(name: str) -> dict[str, str]:
    return {"ENROLLMENTS_COURSE_ADAPTER": f"{FAULTS}.{name}"}


def backend(*names: str) -> dict[str, list[str]]:
    return {"ENROLLMENTS_PERMISSION_BACKENDS": [f"{FAULTS}.{name}" for name in names]}


def receiver(name: str) -> dict[str, str]:
    return {"RECEIVER": f"{FAULTS}.{name}"}


def middleware(name: str) -> dict[str, list[str]]:
    return {
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            f"{FAULTS}.{name}",
        ]
    }


#: Settings with faults, and the tests that fail, with parts of the report.
BROKEN: list[tuple[dict[str, Any], dict[str, tuple[str, ...]]]] = [
    (
        adapter("RaisingAdapter") | backend("RaisingBackend"),
        {
            "test_every_value_has_its_type": (
                "RaisingAdapter.start() raises",
                "also for one whose optional fields are empty",
            ),
            "test_a_backend_answers_every_question": (
                "RaisingBackend.has_perm(user, 'django_enrollments.enroll_in_course')",
                "without a course raised AttributeError",
                "let ``has_perm`` of the backend return ``False``",
            ),
        },
    ),
    (
        adapter("TextAdapter")
        | backend("ClosedBackend")
        | middleware("ParsingMiddleware"),
        {
            "test_a_wrong_body_is_a_4xx": (
                "The status for b'{' is 500, not 4xx.",
                "Let it leave the\nbody to the view.",
            ),
            "test_every_value_has_its_type": (
                "TextAdapter have wrong types",
                "{'end': 'next summer'}",
            ),
            "test_somebody_can_enroll": (
                "let nobody enroll in a new course",
                "list ``CourseRoleBackend``",
            ),
        },
    ),
    (
        adapter("ShiftedAdapter"),
        {
            "test_a_stored_value_is_returned": (
                "'Conformance' was stored as 'display_name', but ShiftedAdapter",
            ),
            "test_a_stored_moment_is_returned": (
                "was stored as 'start', but ShiftedAdapter returns",
            ),
            "test_the_same_value_is_read_in_every_way": (
                "override ``facts_from`` instead",
            ),
        },
    ),
    (
        {"ENROLLMENTS_FILTERS": [f"{FAULTS}.commit"]},
        {
            "test_a_rolled_back_change_leaves_nothing": (
                "The enrollment is still stored.",
                "may end the transaction",
            ),
        },
    ),
    (
        {"ENROLLMENTS_FILTERS": [f"{FAULTS}.announce"]},
        {
            "test_one_signal_is_sent_for_each_event": (
                "The mail server does not answer.",
                "Pass ``robust=True``",
            ),
        },
    ),
    (
        adapter("HidingAdapter"),
        {
            "test_a_new_course_is_known": (
                "HidingAdapter.find_course('course-",
                "with ``factories.FIELD_VALUES``",
            ),
        },
    ),
    (
        adapter("CarelessAdapter")
        | backend("GenerousBackend")
        | receiver("fail")
        | middleware("CachingMiddleware")
        | {"ENROLLMENTS_FILTER": []},
        {
            "test_a_similar_id_is_unknown": (
                "It was not refused with 'course_not_found'",
                "because collations ignore case",
            ),
            "test_a_new_user_has_no_permission_over_others": (
                "GenerousBackend grants 'django_enrollments.retire_user'",
            ),
            "test_an_anonymous_user_cannot_enroll": (
                "GenerousBackend lets an anonymous user enroll.",
            ),
            "test_other_learners_stay_unknown": (
                "The responses about an enrolled and another user differ",
            ),
            "test_a_learner_cannot_act_for_others": (
                "The status is 200, not 4xx",
                "Grant them to staff only",
            ),
            "test_receivers_raise_nothing": (
                "The mail server does not answer",
                "Error calling fail in Signal.send_robust()",
            ),
            "test_no_cache_stores_personal_responses": (
                "Cache-Control is 'public, max-age=600'",
                "leave responses alone",
            ),
            "test_system_checks_report_nothing": ("Did you mean ENROLLMENTS_FILTERS?",),
        },
    ),
    (
        adapter("RepeatingAdapter")
        | backend("RepeatingBackend")
        | receiver("leave")
        | middleware("LoginMiddleware"),
        {
            "test_the_enrollments_of_a_learner": (
                "This statement is repeated:\nSELECT COUNT(*)",
                "Replace the method by a ``__`` path",
            ),
            "test_a_backend_answers_for_many_users_at_once": (
                "RepeatingBackend.grants() makes 3 SQL statements for 3 rows and 12",
            ),
            "test_methods_for_many_agree_with_has_perm": (
                "RepeatingBackend.grants_on() is {",
                "remove it: all three are optional",
            ),
            "test_an_explanation_agrees_with_enrolling": (
                "has a method grants_on() that contradicts has_perm()",
            ),
            "test_receivers_change_no_enrollment": (
                "active: False",
                "a receiver of this project's changes the enrollment again",
            ),
            "test_an_anonymous_request_is_a_401": (
                "The status is 302, not 401. Location: /login/.",
            ),
        },
    ),
    (
        receiver("certify") | {"ENROLLMENTS_FILTERS": [f"{FAULTS}.refuse_modes"]},
        {
            "test_a_user_can_be_deleted": (
                "ProtectedError",
                "with ``on_delete=PROTECT``",
            ),
            "test_ensure_enrolled_can_be_repeated": ("This mode must be paid.",),
        },
    ),
    (
        receiver("write_past_the_service"),
        {
            "test_receivers_change_no_enrollment": (
                "After enrolling in mode 'conformance' the enrollment is",
                "(premium)",
            ),
            "test_seats_are_given_once": ("changes enrollments without the service",),
        },
    ),
    (
        receiver("invite_friend")
        | {"DATABASES": {"default": {**SQLITE, "ATOMIC_REQUESTS": True}}},
        {
            "test_seats_are_given_once": (
                "learners are enrolled in 3 seats",
                "writes enrollments without the service",
            ),
            "test_system_checks_report_nothing": (
                "(django_enrollments.W003)",
                '"transaction_mode": "IMMEDIATE"',
            ),
        },
    ),
    (
        {"DATABASES": {"default": {**SQLITE, "OPTIONS": {"timeout": 0}}}},
        {
            "test_seats_are_given_once": (
                "database is locked",
                "give waiting writers more time",
            ),
        },
    ),
]


@only_once
class TestBrokenHosts:
    @pytest.mark.parametrize(
        ("settings", "report"), BROKEN, ids=["-".join(one) for _, one in BROKEN]
    )
    def test_name_each_fault_and_its_remedy(self, settings, report, tmp_path):
        lines = ["from tests.testing.broken.settings import *\n"]
        lines += [f"{name} = {value!r}\n" for name, value in settings.items()]
        (tmp_path / "host_settings.py").write_text("".join(lines))

        ran = run_kit(tmp_path, "host_settings", "-k", " or ".join(report))

        assert ran.returncode == 1, ran.stdout + ran.stderr
        texts = [text for texts in report.values() for text in texts]
        assert [text for text in texts if text not in ran.stdout] == [], ran.stdout
        failed = {*re.findall(r"^FAILED \S+::(\w+)", ran.stdout, re.MULTILINE)}
        assert {*report} <= failed, ran.stdout
        assert "What must hold, and what to change" in ran.stdout

    def test_pass_without_a_fault(self, tmp_path):
        ran = run_kit(tmp_path, "tests.testing.broken.settings")

        assert ran.returncode == 0, ran.stdout
