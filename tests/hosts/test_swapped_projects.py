"""Migrations of projects whose course model is their own, by the system checks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.core import checks as django_checks
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from django_enrollments import checks
from django_enrollments.models import get_course_model
from tests.factories import is_default_host
from tests.pages import ROOT

FACULTY = """
from django.db import models


class Faculty(models.Model):
    name = models.SlugField(unique=True)
"""
SEMINAR = """

class Seminar(models.Model):
    code = models.SlugField(unique=True)
"""
RECEIPT = """

class Receipt(models.Model):
    enrollment = models.ForeignKey(
        "django_enrollments.CourseEnrollment", on_delete=models.CASCADE
    )
"""
USER = """
from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    pass
"""
NAMES = """
SECRET_KEY = "secret"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "rest_framework",
    "django_enrollments", "@app@",
]
"""
ADAPTER = """
from django_enrollments.backends.courses import CourseAdapter


class Adapter(CourseAdapter):
    course_id = display_name = "code"
    org = start = end = enrollment_start = enrollment_end = None
    invitation_only = self_paced = enable_proctored_exams = proctoring_provider = None
    max_student_enrollments_allowed = None
"""


class Project:
    """A new project on SQLite, with one app."""

    def __init__(self, folder, app):
        self.folder, self.app = folder, app
        package = folder / app
        (package / "migrations").mkdir(parents=True)
        (package / "migrations" / "__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "adapters.py").write_text(ADAPTER)
        self.settings = NAMES.replace("@app@", app)
        self.write("settings.py", self.settings)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def set(self, **settings):
        lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
        self.write("settings.py", self.settings + "".join(lines))

    def use_own_course(self):
        self.set(
            ENROLLMENTS_COURSE_MODEL=f"{self.app}.Seminar",
            ENROLLMENTS_COURSE_ADAPTER=f"{self.app}.adapters.Adapter",
        )

    def models(self, *sources):
        """Write the app's models, and the migration that they need."""
        self.write(f"{self.app}/models.py", "".join(sources))
        done = self.run("makemigrations", self.app)
        assert done.returncode == 0, done.stdout[-300:]

    def run(self, *words):
        environment = {
            name: value for name, value in os.environ.items() if name[:3] != "COV"
        }
        return subprocess.run(  # noqa: S603 - Commands of these tests.
            [sys.executable, "-m", "django", *words],
            cwd=self.folder,
            env=environment
            | {
                "DJANGO_SETTINGS_MODULE": "settings",
                "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )


only_once = pytest.mark.skipif(
    not is_default_host() or connection.vendor != "sqlite",
    reason="The projects have settings of their own.",
)


@only_once
@pytest.mark.slow
class TestOrder:
    def test_e009_names_the_migration_to_edit(self, tmp_path):
        project = Project(tmp_path, "zoo")
        project.models(FACULTY)
        project.models(FACULTY, SEMINAR)
        project.use_own_course()

        found = project.run("check")

        assert found.returncode == 1
        assert "(django_enrollments.E009)" in found.stdout
        assert "zoo.0002_seminar" in found.stdout
        line = 'run_before = [("django_enrollments", "0001_initial")]'
        assert line in found.stdout
        file = tmp_path / "zoo" / "migrations" / "0002_seminar.py"
        with file.open("a") as end:
            end.write(f"    {line}\n")
        done = project.run("migrate")
        assert done.returncode == 0, done.stdout[-300:]
        assert "no issues" in project.run("check", "--database", "default").stdout

    def test_e009_covers_the_user_model(self, tmp_path):
        project = Project(tmp_path, "zoo")
        project.models(FACULTY)
        project.set(AUTH_USER_MODEL="zoo.User")
        project.write("zoo/models.py", FACULTY + USER)
        project.run("makemigrations", "zoo")

        assert "(django_enrollments.E009)" in project.run("check").stdout

    def test_a_label_that_sorts_first_needs_nothing(self, tmp_path):
        project = Project(tmp_path, "catalog")
        project.models(FACULTY)
        project.models(FACULTY, SEMINAR)
        project.use_own_course()

        done = project.run("migrate")

        assert done.returncode == 0, done.stdout[-300:]

    def test_a_model_without_a_migration_can_get_one(self, tmp_path):
        project = Project(tmp_path, "zoo")
        project.use_own_course()

        project.models(FACULTY, SEMINAR)

        assert project.run("migrate").returncode == 0


@only_once
@pytest.mark.slow
class TestCircle:
    def test_e010_names_the_migrations(self, tmp_path):
        project = Project(tmp_path, "zoo")
        project.use_own_course()
        project.models(FACULTY, SEMINAR, RECEIPT)

        found = project.run("check")

        assert found.returncode == 1
        assert "(django_enrollments.E010)" in found.stdout
        assert "zoo.0001_initial" in found.stdout
        (tmp_path / "zoo" / "migrations" / "0001_initial.py").unlink()
        project.models(FACULTY, SEMINAR)
        project.models(FACULTY, SEMINAR, RECEIPT)
        done = project.run("migrate")
        assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.django_db
class TestMigrations:
    def test_e009_names_setting_and_migration(self, settings):
        settings.ENROLLMENTS_COURSE_MODEL = "sessions.Session"

        (found,) = checks.check_migrations()

        assert found.id == "django_enrollments.E009"
        assert "ENROLLMENTS_COURSE_MODEL" in found.msg
        assert "sessions.0001_initial" in found.msg

    def test_broken_migrations_are_left_to_django(self, settings):
        settings.ENROLLMENTS_COURSE_MODEL = "auth.Group"
        settings.MIGRATION_MODULES = {"auth": "tests.nowhere"}

        assert checks.check_migrations() == []
        assert checks.check_course_tables(databases=["default"]) == []


@pytest.mark.django_db
class TestTables:
    def test_finds_nothing_in_this_host(self):
        assert checks.check_course_tables(databases=["default"]) == []

    def test_e011_names_both_tables(self, settings):
        table = get_course_model()._meta.db_table
        settings.ENROLLMENTS_COURSE_MODEL = "auth.Group"

        (found,) = checks.check_course_tables(databases=["default"])

        assert found.id == "django_enrollments.E011"
        assert table in found.msg
        assert "auth_group" in found.msg

    def test_a_migration_of_the_new_app_may_repair_it(self, settings):
        settings.ENROLLMENTS_COURSE_MODEL = "auth.Group"
        recorder = MigrationRecorder(connection)
        recorder.record_unapplied("auth", "0012_alter_user_first_name_max_length")

        assert checks.check_course_tables(databases=["default"]) == []

    def test_other_commands_make_no_query(self, settings, django_assert_num_queries):
        settings.ENROLLMENTS_COURSE_MODEL = "auth.Group"

        with django_assert_num_queries(0):
            found = django_checks.run_checks()

        assert "django_enrollments.E011" not in {one.id for one in found}

    def test_a_database_without_enrollments_is_no_concern(self, settings):
        settings.ENROLLMENTS_COURSE_MODEL = "auth.Group"
        settings.DATABASE_ROUTERS = ["tests.hosts.test_swapped_projects.Nowhere"]

        assert checks.check_course_tables(databases=["default"]) == []


class Nowhere:
    def allow_migrate(self, db, app_label, **hints):
        return False if app_label == "django_enrollments" else None


@only_once
@pytest.mark.slow
class TestSwappedLater:
    def test_e011_stops_migrate(self, tmp_path):
        project = Project(tmp_path, "catalog")
        project.models(FACULTY, SEMINAR)
        assert project.run("migrate").returncode == 0
        project.use_own_course()

        done = project.run("migrate")

        assert done.returncode == 1
        assert "(django_enrollments.E011)" in done.stdout
        assert "(django_enrollments.E011)" not in project.run("check").stdout
        project.set()
        assert project.run("migrate").returncode == 0
