"""The pytest plugin, in new processes, and the tools without pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from django.db import connection

from tests.factories import is_default_host
from tests.pages import ROOT

SETTINGS = "tests.testing.broken.settings"

pytestmark = pytest.mark.skipif(
    not is_default_host() or connection.vendor != "sqlite",
    reason="The projects have settings of their own, on SQLite.",
)

#: Loads the plugin if the installed distribution is older than this folder.
PLUGIN = (
    []
    if entry_points(group="pytest11", name="django_enrollments")
    else ["-p", "django_enrollments.pytest_plugin"]
)

NO_SETTINGS = """
import sys


def test_nothing_is_imported():
    modules = {name for name in sys.modules if name.startswith("django_enrollments.")}
    assert modules <= {"django_enrollments.pytest_plugin"}
    assert "django.db.models" not in sys.modules


def test_there_are_no_fixtures(request):
    import pytest

    with pytest.raises(pytest.FixtureLookupError):
        request.getfixturevalue("enrollments_service")
"""

FIXTURES = """
import pytest
from django.core.management import call_command

from django_enrollments.testing import assert_enrolled, make_course


def test_a(enrollments_enrollment, enrollments_user, enrollments_course):
    assert_enrolled(enrollments_user, enrollments_course)


@pytest.mark.django_db
def test_b(enrollments_service, enrollments_notifications):
    assert not enrollments_service.is_enrolled(1, make_course())
    call_command("send_expiry_notifications", days=1)
    assert enrollments_notifications == []
"""

UNITTEST = """
import sys

sys.modules["pytest"] = sys.modules["pytest_django"] = None

from django.test import TestCase

from django_enrollments import testing


class Seats(TestCase):
    def test_are_refused(self):
        course = testing.make_course(max_student_enrollments_allowed=1)
        ada, bob = testing.make_users(2)
        with testing.capture_enrollment_signals() as events:
            testing.make_enrollment(ada, course)
        testing.assert_enrolled(ada, course)
        self.assertEqual([event.type for event in events], ["created"])
        with testing.assert_refused("course_full"):
            testing.make_enrollment(bob, course)
        testing.assert_not_enrolled(bob, course)
        testing.make_invitation(course)
        with testing.record_notifications() as sent:
            self.assertEqual(sent, [])
"""


def run(folder, *arguments, settings=None):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COV", "DJANGO_SETTINGS", "PYTEST"))
    }
    if settings:
        environment["DJANGO_SETTINGS_MODULE"] = settings
    return subprocess.run(  # noqa: S603 - Commands of these tests.
        [sys.executable, "-W", "error", "-m", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )


def run_pytest(folder, *arguments, **options):
    common = ["-q", "-p", "no:cacheprovider", "-W", "error"]
    return run(folder, "pytest", *PLUGIN, *common, *arguments, **options)


class TestPlugin:
    def test_is_declared(self):
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

        assert '\ndjango_enrollments = "django_enrollments.pytest_plugin"\n' in text

    def test_does_nothing_without_django_settings(self, tmp_path):
        (tmp_path / "test_project.py").write_text(NO_SETTINGS)

        ran = run_pytest(tmp_path)

        assert ran.returncode == 0, ran.stdout

    def test_does_nothing_in_a_project_without_the_app(self, tmp_path):
        (tmp_path / "empty.py").write_text('SECRET_KEY = "empty"\n')
        (tmp_path / "test_project.py").write_text(NO_SETTINGS.split("\n\n\n")[2])

        ran = run_pytest(tmp_path, settings="empty")

        assert ran.returncode == 0, ran.stdout

    def test_registers_fixtures(self, tmp_path):
        (tmp_path / "test_project.py").write_text(FIXTURES)

        ran = run_pytest(tmp_path, settings=SETTINGS)

        assert ran.returncode == 0, ran.stdout
        assert "2 passed" in ran.stdout

    @pytest.mark.slow
    def test_does_not_lower_the_coverage(self, tmp_path):
        (tmp_path / "test_project.py").write_text("def test_nothing(): pass\n")
        cov = ["--cov=django_enrollments", "--cov-report=json:cov.json"]
        lines = []

        for plugin in (PLUGIN, ["-p", "no:django_enrollments"]):
            common = ["-q", "-p", "no:cacheprovider", *cov]
            ran = run(tmp_path, "pytest", *plugin, *common, settings=SETTINGS)
            assert ran.returncode == 0, ran.stdout
            report = json.loads((tmp_path / "cov.json").read_text())
            lines.append(
                {
                    name: file["executed_lines"]
                    for name, file in report["files"].items()
                    if "/testing/" not in name and "pytest_plugin" not in name
                }
            )

        with_plugin, without = lines
        less = {
            name.rpartition("django_enrollments/")[2]
            for name in without
            if set(without[name]) - set(with_plugin[name])
        }
        # It is imported before the measurement, and has one statement.
        assert less <= {"__init__.py"}


class TestUnittest:
    def test_needs_no_pytest(self, tmp_path):
        (tmp_path / "test_seats.py").write_text(UNITTEST)

        ran = run(tmp_path, "django", "test", settings=SETTINGS)

        assert ran.returncode == 0, ran.stdout
        assert "Ran 1 test" in ran.stdout
