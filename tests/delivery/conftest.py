"""Fixtures of the tests of delivery."""

from __future__ import annotations

import pytest
from django.db import connection

from django_enrollments.delivery import deliver
from tests.concurrency.conftest import way
from tests.delivery import consumers

__all__ = ["way"]


@pytest.fixture(autouse=True)
def _nothing_recorded():
    consumers.forget()
    yield
    consumers.forget()


@pytest.fixture
def crm(settings, db):
    """Declare a consumer called ``crm``, which starts now."""
    settings.ENROLLMENTS_CONSUMERS = consumers.declare("crm")
    deliver("crm")
    return "crm"


@pytest.fixture
def needs_two_writers():
    """Skip a test on SQLite, where others wait for a writer in a transaction."""
    if connection.vendor == "sqlite":
        pytest.skip(
            "SQLite has one writer at a time: while one stays in its transaction, "
            "others can neither commit events nor give them positions."
        )
