"""
Tools for the tests of projects that use this app.

They work in ``unittest`` and in pytest, with any user and course model. ``fixtures``
has the pytest fixtures, and ``conformance`` the tests that check a project.
"""

from __future__ import annotations

from django_enrollments.testing.assertions import (
    assert_enrolled,
    assert_not_enrolled,
    assert_refused,
)
from django_enrollments.testing.factories import (
    make_course,
    make_enrollment,
    make_invitation,
    make_mode,
    make_user,
    make_users,
)
from django_enrollments.testing.recorders import (
    RecordingBackend,
    capture_enrollment_signals,
    record_notifications,
)

__all__ = [
    "RecordingBackend",
    "assert_enrolled",
    "assert_not_enrolled",
    "assert_refused",
    "capture_enrollment_signals",
    "make_course",
    "make_enrollment",
    "make_invitation",
    "make_mode",
    "make_user",
    "make_users",
    "record_notifications",
]
