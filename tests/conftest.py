"""What all tests share."""

from __future__ import annotations

from django.conf import settings


def pytest_report_header() -> str:
    """Name the host and the database, so that no run is mistaken for another."""
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    course = getattr(settings, "ENROLLMENTS_COURSE_MODEL", "the shipped one")
    return f"user: {settings.AUTH_USER_MODEL}, course: {course}, database: {engine}"
