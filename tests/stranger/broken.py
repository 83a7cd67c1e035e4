"""A module that fails while it is imported."""

raise RuntimeError("This module needs a licence.")
