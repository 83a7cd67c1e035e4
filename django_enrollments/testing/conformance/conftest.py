"""Fixtures of the kit, and the texts that explain its failures."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.db import connections, router

from django_enrollments.models import CourseEnrollment
from django_enrollments.services import EnrollmentsService
from django_enrollments.testing.conformance.helpers import (
    adapter_name,
    course_model_name,
)
from django_enrollments.testing.factories import make_course, make_user

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to each failure the docstring of its test, which names what to change."""
    report = yield
    if report.failed:
        text = inspect.getdoc(getattr(item, "obj", None)) or ""
        report.sections.append(("What must hold, and what to change", text))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which host was checked, and what was not checked for which reason."""
    alias = router.db_for_write(CourseEnrollment)
    terminalreporter.section("conformance of django-enrollments")
    terminalreporter.line(
        f"user: {django_settings.AUTH_USER_MODEL}, course: {course_model_name()} "
        f"({adapter_name()}), database: {connections[alias].vendor} ({alias})"
    )
    if connections[alias].vendor == "sqlite":
        terminalreporter.line(
            "SQLite: tests with several connections ran on a copy of the test database "
            "in a temporary file, because a database in memory has one connection."
        )
    reasons = {
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    }
    for reason in sorted(reasons):
        terminalreporter.line(f"Not checked: {reason}")


@pytest.fixture(autouse=True)
def _without_limits(settings: Any) -> None:
    """Count no requests, and leave nothing in the project's cache."""
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}
    settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0


@pytest.fixture
def service() -> EnrollmentsService:
    """Return the service."""
    return EnrollmentsService()


@pytest.fixture
def learner(db: None) -> Any:
    """Return a new user without roles."""
    return make_user()


@pytest.fixture
def course(db: None) -> Any:
    """Return a new course, which offers the default mode."""
    return make_course()
