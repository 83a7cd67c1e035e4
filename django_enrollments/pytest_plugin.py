"""
The pytest plugin of this app, an entry point of the group ``pytest11``.

pytest imports it at start, in every project of the environment. So it imports nothing
of this app, and registers the fixtures only when Django has loaded the app.
"""

from __future__ import annotations

import pytest
from django.apps import apps


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Register ``django_enrollments.testing.fixtures``, if the app is installed."""
    if apps.ready and apps.is_installed("django_enrollments"):
        plugins = session.config.pluginmanager
        plugins.import_plugin("django_enrollments.testing.fixtures")
