"""A module of a host that fails while it is imported, and not for want of a module."""

from __future__ import annotations

raise RuntimeError("The host's own mistake.")
