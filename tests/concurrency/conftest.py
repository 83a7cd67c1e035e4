"""What the concurrency tests share."""

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
def _one_crowd_at_a_time():
    """Keep the test processes of one machine within the servers' connections."""
    path = Path(tempfile.gettempdir()) / f"django_enrollments-{os.getuid()}.lock"
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def way(request):
    """Return the way of connecting that a test is to go by."""
    way: Way = getattr(request, "param", AUTOCOMMIT)
    if connection.vendor not in way.options:
        pytest.skip(f"{connection.display_name} knows no such way: {way.name}")
    return way


def pytest_collection_modifyitems(items):
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.slow)
