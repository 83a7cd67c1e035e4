"""Course details kept for a moment (rules CACHE, B-17, B-18)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_enrollments import api, details_cache
from django_enrollments.errors import CourseModeNotFoundError, CourseNotFoundError
from django_enrollments.models import CourseMode
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_modes,
    make_user,
    username,
)
from tests.stranger import data as stranger

pytestmark = pytest.mark.django_db


def slugs(course_id: str, *, include_expired: bool = False) -> list[str]:
    """List the modes that the course details show."""
    details = api.get_course_enrollment_details(course_id, include_expired)
    return [mode["slug"] for mode in details["course_modes"]]


def change_unseen(course: Any) -> None:
    """Add a mode in a way that nobody can notice, as another program might."""
    CourseMode.objects.bulk_create([CourseMode(course=course, mode_slug="unseen")])


class TestGetCourseEnrollmentDetails:
    def test_cache_03_the_second_call_costs_nothing_and_equals_the_first(
        self, django_assert_num_queries: Any
    ) -> None:
        course_id = course_id_of(make_course())
        first = api.get_course_enrollment_details(course_id)

        with django_assert_num_queries(0):
            second = api.get_course_enrollment_details(course_id)

        assert second == first

    def test_cache_03_a_replaced_data_layer_is_asked_once(self, settings: Any) -> None:
        settings.ENROLLMENTS_DATA_API = "tests.stranger.data"
        stranger.CALLS.clear()

        for _ in range(2):
            assert api.get_course_enrollment_details("far-away") == stranger.COURSE

        assert len(stranger.CALLS) == 1

    def test_api_01_two_data_layers_share_nothing(self, settings: Any) -> None:
        course = make_course("far-away")
        here = api.get_course_enrollment_details("far-away")

        settings.ENROLLMENTS_DATA_API = "tests.stranger.data"

        assert here["course_id"] == course_id_of(course)
        assert api.get_course_enrollment_details("far-away") == stranger.COURSE

    def test_cache_01_with_and_without_expired_modes_are_kept_apart(self) -> None:
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)
        course_id = course_id_of(course)

        for _ in range(2):
            assert slugs(course_id) == ["audit"]
            assert slugs(course_id, include_expired=True) == ["audit", "verified"]

    def test_cache_01_courses_are_kept_apart(self) -> None:
        make_modes(make_course("one"), "audit")
        make_modes(make_course("two"), "honor")

        assert [slugs("one"), slugs("two"), slugs("one")] == [
            ["audit"],
            ["honor"],
            ["audit"],
        ]

    def test_cache_02_a_lifetime_of_0_keeps_nothing(self, settings: Any) -> None:
        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0
        course = make_course()
        make_mode(course, "audit")
        course_id = course_id_of(course)
        before = slugs(course_id)

        change_unseen(course)

        assert before == ["audit"]
        assert slugs(course_id) == ["audit", "unseen"]

    def test_cache_02_turning_it_off_forgets_at_once(self, settings: Any) -> None:
        course = make_course()
        make_mode(course, "audit")
        course_id = course_id_of(course)
        slugs(course_id)
        change_unseen(course)

        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0

        assert slugs(course_id) == ["audit", "unseen"]

    def test_cache_06_an_unknown_course_is_not_remembered(self) -> None:
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details("late")

        make_course("late")

        assert api.get_course_enrollment_details("late")["course_id"] == "late"

    @pytest.mark.parametrize("course_id", ["", "not valid", None, [], {}])
    def test_cache_06_what_is_no_course_id_is_told(self, course_id: Any) -> None:
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details(course_id)

    def test_cache_07_validation_and_enrollments_never_use_it(self) -> None:
        course = make_course()
        make_mode(course, "audit")
        make_user()
        course_id = course_id_of(course)
        slugs(course_id)
        change_unseen(course)

        api.validate_course_mode(course_id, "unseen")
        added = api.add_enrollment(username("ada"), course_id, "unseen")

        modes = added["course_details"]["course_modes"]
        assert [mode["slug"] for mode in modes] == ["audit", "unseen"]
        assert slugs(course_id) == ["audit"]

    def test_what_a_caller_does_with_the_answer_stays_with_the_caller(self) -> None:
        course_id = course_id_of(make_course())

        api.get_course_enrollment_details(course_id)["course_modes"].clear()
        api.get_course_enrollment_details(course_id)["course_modes"].clear()

        assert slugs(course_id) == ["audit"]

    def test_a_long_course_id_in_any_script_is_kept_too(
        self, django_assert_num_queries: Any
    ) -> None:
        course_id = course_id_of(make_course("курс-" * 51, display_name="Long"))
        api.get_course_enrollment_details(course_id)

        with django_assert_num_queries(0):
            assert api.get_course_enrollment_details(course_id)


class TestABrokenCache:
    @pytest.fixture(autouse=True)
    def _nothing_logged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Forget what other tests have caused to be logged a moment ago."""
        monkeypatch.setattr(details_cache, "_logged", {})

    @pytest.mark.parametrize("broken", ["ReadsFail", "WritesFail"])
    def test_cache_04_cache_05_b_17_never_fails_a_call(
        self, settings: Any, caplog: pytest.LogCaptureFixture, broken: str
    ) -> None:
        settings.CACHES = {"default": {"BACKEND": f"tests.stranger.caches.{broken}"}}
        course = make_course()
        make_mode(course, "audit")
        course_id = course_id_of(course)
        before = slugs(course_id)

        change_unseen(course)
        details_cache.drop_details(course_id)

        assert before == ["audit"]
        assert slugs(course_id) == ["audit", "unseen"]
        assert "cache" in caplog.text

    @pytest.mark.parametrize(
        ("broken", "failures"), [("ReadsFail", 1), ("WritesFail", 2)]
    )
    def test_b_17_is_logged_once_and_not_for_every_page(
        self, settings: Any, caplog: Any, broken: str, failures: int
    ) -> None:
        settings.CACHES = {"default": {"BACKEND": f"tests.stranger.caches.{broken}"}}
        course_id = course_id_of(make_course())

        for _ in range(5):
            slugs(course_id)
            details_cache.drop_details(course_id)

        assert len(caplog.records) == failures
        assert all(record.exc_info for record in caplog.records)

    def test_b_17_is_logged_again_if_it_goes_on(
        self, settings: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(details_cache, "SILENT_SECONDS", 0)
        settings.CACHES = {"default": {"BACKEND": "tests.stranger.caches.ReadsFail"}}
        course_id = course_id_of(make_course())

        for _ in range(3):
            slugs(course_id)

        assert len(caplog.records) == 3

    def test_b_17_nor_saving_a_mode(self, settings: Any) -> None:
        settings.CACHES = {"default": {"BACKEND": "tests.stranger.caches.WritesFail"}}

        mode = make_mode(make_course())
        mode.delete()

        assert not CourseMode.objects.exists()


class TestKeeping:
    def _keep(self, expiration: str | None, **kwargs: Any) -> None:
        details = {"course_modes": [{"slug": "a", "expiration_datetime": expiration}]}
        include_expired = kwargs.pop("include_expired", False)
        details_cache.keep_details("any", include_expired, details, **kwargs)

    def test_b_18_nothing_outlives_the_expiration_of_a_mode(self) -> None:
        now = timezone.now()
        soon = (now + timedelta(milliseconds=900)).isoformat().replace("+00:00", "Z")

        self._keep(soon, at=now)

        assert details_cache.find_details("any", include_expired=False) is None

    def test_b_18_what_lasts_long_enough_is_kept(self) -> None:
        self._keep("2026-03-05T12:00:00Z", at=NOON)

        assert details_cache.find_details("any", include_expired=False)

    def test_b_18_where_expired_ones_are_shown_none_outlives_itself(self) -> None:
        self._keep("2026-03-03T12:00:00Z", at=NOON, include_expired=True)

        assert details_cache.find_details("any", include_expired=True)

    def test_b_18_dropping_forgets_both_kinds(self) -> None:
        self._keep(None, at=NOON)
        self._keep(None, at=NOON, include_expired=True)

        details_cache.drop_details("any")

        assert details_cache.find_details("any", include_expired=False) is None
        assert details_cache.find_details("any", include_expired=True) is None

    def test_cache_02_off_finds_nothing(self, settings: Any) -> None:
        self._keep(None, at=NOON)
        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0

        assert details_cache.find_details("any", include_expired=False) is None

    def test_a_mode_without_a_word_on_expiration_is_kept(self) -> None:
        details = {"course_modes": [{"slug": "a"}]}

        details_cache.keep_details("any", False, details, at=NOON + DAY)

        assert details_cache.find_details("any", include_expired=False) == details


class TestCourseModeFilter:
    def test_mode_19_an_expired_mode_is_refused_though_the_cache_shows_it(self) -> None:
        course = make_course()
        make_modes(course, "audit", "verified")
        course_id = course_id_of(course)
        slugs(course_id)
        CourseMode.objects.filter(mode_slug="verified").update(expiration_datetime=NOON)

        with pytest.raises(CourseModeNotFoundError):
            api.validate_course_mode(course_id, "verified")
