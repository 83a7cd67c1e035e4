"""A host whose users have numbers for names works like any other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.factories import is_default_host


@pytest.mark.slow
@pytest.mark.skipif(not is_default_host(), reason="It is a host by itself.")
def test_a_name_may_be_a_number():
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.numbered.settings"}

    done = subprocess.run(
        [sys.executable, "-m", "tests.numbered"],
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
