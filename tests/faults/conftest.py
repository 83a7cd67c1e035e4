"""Fixtures of the tests of faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.concurrency.conftest import _one_test_at_a_time, way

__all__ = ["_one_test_at_a_time", "way"]


def pytest_collection_modifyitems(items):
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.slow)
