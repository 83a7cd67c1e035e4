"""The tests that the apps of the example project bring, in that project."""

from __future__ import annotations

import pytest
from django.conf import settings

from tests.example import Demo
from tests.factories import is_default_host

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_default_host()
        or settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3",
        reason="the example project brings its own host and database: once is enough",
    ),
]


@pytest.mark.parametrize("app", ["team"])
def test_the_tests_of_an_app_pass(app, tmp_path):
    done = Demo(tmp_path).manage("test", app)

    assert done.returncode == 0, done.stderr
    assert "Ran 0 tests" not in done.stderr
