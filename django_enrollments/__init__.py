"""A reusable Django app that enrolls learners in courses."""

__version__ = "0.1.0"
