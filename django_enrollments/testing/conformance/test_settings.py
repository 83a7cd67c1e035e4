"""The settings of the project."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.db import connections

from django_enrollments.testing.conformance.helpers import expect

pytestmark = pytest.mark.django_db(databases="__all__")


def test_system_checks_report_nothing() -> None:
    """
    The system checks of this app report nothing.

    Change: follow the hint of each message. docs/reference/checks.md describes them.
    """
    found = [
        message
        for message in run_checks(databases=list(connections))
        if str(message.id).startswith("django_enrollments.")
        and not message.is_silenced()
    ]
    expect(not found, "\n".join(map(str, found)))
