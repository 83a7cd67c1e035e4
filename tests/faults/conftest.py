"""What the tests of faults share."""

from __future__ import annotations

# One fixture for both, since both fill the servers' connections.
from tests.concurrency.conftest import _one_crowd_at_a_time, way

__all__ = ["_one_crowd_at_a_time", "way"]
