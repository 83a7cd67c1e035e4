"""What all tests share."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    """Begin every test with nothing remembered of the one before."""
    # Once Django is set up.
    from django_enrollments.core import seats

    cache.clear()
    seats._sold_out.clear()


def pytest_report_header() -> str:
    """Name the host and the database, so that no run is mistaken for another."""
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    course = getattr(settings, "ENROLLMENTS_COURSE_MODEL", "the shipped one")
    return f"user: {settings.AUTH_USER_MODEL}, course: {course}, database: {engine}"
