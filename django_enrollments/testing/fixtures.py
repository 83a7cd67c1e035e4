"""
The pytest fixtures of this app. They need pytest-django.

``django_enrollments.pytest_plugin`` registers them in projects that have installed the
app. Functions of ``django_enrollments.testing`` need no fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_enrollments.services import EnrollmentsService
from django_enrollments.testing.factories import (
    make_course,
    make_enrollment,
    make_user,
)
from django_enrollments.testing.recorders import record_notifications

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_enrollments.backends.notifications import NotificationData
    from django_enrollments.models import CourseEnrollment


@pytest.fixture
def enrollments_service() -> EnrollmentsService:
    """Return the service."""
    return EnrollmentsService()


@pytest.fixture
def enrollments_user(db: None) -> Any:
    """Return a new user."""
    return make_user()


@pytest.fixture
def enrollments_course(db: None) -> Any:
    """Return a new course, which offers the default mode."""
    return make_course()


@pytest.fixture
def enrollments_enrollment(
    enrollments_user: Any, enrollments_course: Any
) -> CourseEnrollment:
    """Return the enrollment of ``enrollments_user`` in ``enrollments_course``."""
    return make_enrollment(enrollments_user, enrollments_course)


@pytest.fixture
def enrollments_notifications() -> Iterator[list[NotificationData]]:
    """Record the notifications of the test instead of sending them."""
    with record_notifications() as sent:
        yield sent
