"""The tests of the example project's pages, which need its settings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings

from tests.example import MANAGE
from tests.factories import is_default_host

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_default_host()
        or settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3",
        reason="the example project brings its own host and database: once is enough",
    ),
]


def test_pages_of_the_example_project():
    inherited = {
        k: v for k, v in os.environ.items() if k[:6] not in ("DJANGO", "PYTEST")
    }

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=MANAGE.parent,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=1200,
    )

    assert done.returncode == 0, done.stdout + done.stderr
