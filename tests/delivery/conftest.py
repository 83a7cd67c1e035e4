"""Fixtures of the tests of delivery."""

from __future__ import annotations

import pytest

from tests.delivery import consumers


@pytest.fixture(autouse=True)
def _nothing_recorded():
    consumers.forget()
    yield
    consumers.forget()


@pytest.fixture
def crm(settings, db):
    """Declare a consumer called ``crm``, which starts now."""
    from django_enrollments.delivery import deliver

    settings.ENROLLMENTS_CONSUMERS = consumers.declare("crm")
    deliver("crm")
    return "crm"
