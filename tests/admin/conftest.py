"""An operator."""

from __future__ import annotations

import pytest

from tests.factories import make_user


@pytest.fixture
def operator(db):
    return make_user("operator", is_staff=True, is_superuser=True)


@pytest.fixture
def admin_client(operator, client):
    """A client in which the operator is logged in."""
    client.force_login(operator)
    return client
