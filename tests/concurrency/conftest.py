"""Fixtures of the concurrency tests."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from tests.processes.concurrent import AUTOCOMMIT

if TYPE_CHECKING:
    from tests.processes.concurrent import Way


@pytest.fixture(autouse=True)
def _one_test_at_a_time():
    """Keep the tests of one machine within the connections of the servers."""
    path = Path(tempfile.gettempdir()) / f"django_enrollments-{os.getuid()}.lock"
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def way(request):
    """Return how the processes of a test connect."""
    way: Way = getattr(request, "param", AUTOCOMMIT)
    if connection.vendor not in way.options:
        pytest.skip(f"{connection.display_name} has no {way.name}.")
    return way


def pytest_collection_modifyitems(items):
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.slow)
