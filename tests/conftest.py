"""What all tests share."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache

from tests import factories


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    """Begin every test with nothing remembered of the one before."""
    cache.clear()


def pytest_report_header() -> str:
    """Name the host and the database, so that no run is mistaken for another."""
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    course = getattr(settings, "ENROLLMENTS_COURSE_MODEL", "the shipped one")
    return f"user: {settings.AUTH_USER_MODEL}, course: {course}, database: {engine}"


@pytest.fixture
def ada(db: None) -> Any:
    """Make a user."""
    return factories.make_user()


@pytest.fixture
def course(db: None) -> Any:
    """Make a course without modes, which offers the default mode."""
    return factories.make_course()
