"""Functions and tasks that consumers of tests name."""

from __future__ import annotations

import django
import pytest

if django.VERSION >= (6,):
    from django.tasks import task
else:
    task = pytest.importorskip(
        "django_tasks", reason="the extra tasks is not installed"
    ).task


@task
def take(event: dict) -> None:
    """Take an event."""


def wake(what: str) -> None:
    """Wake nobody."""
