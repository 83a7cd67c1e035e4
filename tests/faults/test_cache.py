"""Enrolling and reading with a cache that raises on every call."""

from __future__ import annotations

import pytest

from django_enrollments import api
from django_enrollments.core import course_details_cache
from tests.factories import course_id_of, make_course, make_mode, make_users
from tests.http import ask, get
from tests.processes.checks import (
    assert_nothing_is_incomplete,
    by_every_function,
    seats_taken,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _broken_cache(settings, monkeypatch):
    settings.CACHES = {"default": {"BACKEND": "tests.swapped.caches.EverythingFails"}}
    monkeypatch.setattr(course_details_cache, "_logged", {})


class TestBrokenCache:
    @by_every_function
    def test_does_not_prevent_enrolling(self, enroll):
        course = make_course(max_student_enrollments_allowed=1)
        (ada,) = make_users(1)

        enroll(ada, course_id_of(course))

        assert seats_taken(course) == 1
        assert_nothing_is_incomplete({course: 1})

    def test_does_not_prevent_reading_current_details(self):
        course = make_course()
        make_mode(course, "audit")
        (ada,) = make_users(1)
        before = api.get_course_enrollment_details(course_id_of(course))

        make_mode(course, "verified")
        posted = ask(ada, course)
        listed = get(ada)
        shown = get(None, f"course/{course_id_of(course)}")

        statuses = [response.status_code for response in (posted, listed, shown)]
        assert statuses == [200] * 3
        assert [mode["slug"] for mode in before["course_modes"]] == ["audit"]
        assert len(shown.json()["course_modes"]) == 2
