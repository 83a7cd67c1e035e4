"""The tests on the page about tests pass, in both ways of running tests."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.factories import is_default_host
from tests.pages import ROOT, read_blocks
from tests.testing.test_plugin import SETTINGS, run, run_pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_default_host() or connection.vendor != "sqlite",
        reason="The page uses Django's user model and Course.",
    ),
]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the files of the page."""
    for block in read_blocks(ROOT / "docs" / "how-to" / "testing.md"):
        if block.file:
            file = tmp_path / block.file[0]
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
    (tmp_path / "school" / "__init__.py").touch()
    return tmp_path


def test_unittest(folder):
    ran = run(folder, "django", "test", "school", settings=SETTINGS)

    assert ran.returncode == 0, ran.stdout
    assert "Ran 1 test" in ran.stdout


def test_pytest(folder):
    ran = run_pytest(folder, "-o", "python_files=test*.py", settings=SETTINGS)

    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout
