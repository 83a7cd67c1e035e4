"""Users and a course that most tests of views begin with."""

from __future__ import annotations

import pytest

from tests.factories import make_course, make_modes, make_user


@pytest.fixture
def ada():
    """A learner."""
    return make_user("ada")


@pytest.fixture
def bea():
    """Another learner."""
    return make_user("bea")


@pytest.fixture
def boss():
    """Global staff."""
    return make_user("boss", is_staff=True)


@pytest.fixture
def root():
    """A superuser without the flag of staff."""
    return make_user("root", is_superuser=True)


@pytest.fixture
def course():
    """A course that offers audit, honor and verified."""
    course = make_course()
    make_modes(course, "audit", "honor", "verified")
    return course
