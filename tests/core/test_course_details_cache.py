"""Course details kept for a moment (rules CACHE, B-17, B-18)."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.db.models import Manager
from django.db.models.signals import pre_save
from django.utils import timezone
from django.utils.translation import get_language, override

from django_enrollments import api, data
from django_enrollments.context import one_call
from django_enrollments.core import course_details_cache
from django_enrollments.errors import CourseModeNotFoundError, CourseNotFoundError
from django_enrollments.models import (
    CourseMode,
    get_course_adapter,
    get_course_model,
)
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    username,
)
from tests.stranger import data as stranger

# The cache is not used within a transaction.
pytestmark = pytest.mark.django_db(transaction=True)


class TranslatedAdapter(type(get_course_adapter())):
    """Names courses in the language and the time zone of the request."""

    def display_name(self, course):
        return f"{get_language()} {timezone.get_current_timezone_name()}"


class TenantAdapter(type(get_course_adapter())):
    """Shows courses to one tenant only."""

    tenant = "one"

    def get_queryset(self):
        courses = super().get_queryset()
        return courses if self.tenant == "one" else courses.none()


class TenantManager(Manager[Any]):
    """Finds the courses of one tenant only."""

    def get_queryset(self):
        courses = super().get_queryset()
        return courses if TenantAdapter.tenant == "one" else courses.none()


def get_course_enrollment_info_and_save(course_id, include_expired=False):
    """Read a course, which somebody saves before its details are stored."""
    details = data.get_course_enrollment_info(course_id, include_expired)
    if not CourseMode.objects.exists():
        make_mode(get_course_model().objects.get(), "honor")
    return details


def slugs(course_id, *, include_expired=False):
    """List the modes that the course details show."""
    details = api.get_course_enrollment_details(course_id, include_expired)
    return [mode["slug"] for mode in details["course_modes"]]


def elsewhere(call):
    """Return what a call returns that is made over a connection of its own."""

    def make():
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()


def change_unseen(course):
    """Add a mode in a way that nobody can notice, as another program might."""
    CourseMode.objects.bulk_create([CourseMode(course=course, mode_slug="unseen")])


class TestGetCourseEnrollmentDetails:
    @pytest.mark.rule("CACHE-03")
    def test_the_second_call_costs_nothing_and_equals_the_first(
        self, django_assert_num_queries
    ):
        course_id = course_id_of(make_course())
        first = api.get_course_enrollment_details(course_id)

        with django_assert_num_queries(0):
            second = api.get_course_enrollment_details(course_id)

        assert second == first

    @pytest.mark.rule("CACHE-03")
    def test_a_replaced_data_layer_is_asked_once(self, settings):
        settings.ENROLLMENTS_DATA_API = "tests.stranger.data"
        stranger.CALLS.clear()

        for _ in range(2):
            assert api.get_course_enrollment_details("far-away") == stranger.COURSE

        assert len(stranger.CALLS) == 1

    @pytest.mark.rule("API-01")
    def test_two_data_layers_share_nothing(self, settings):
        course = make_course("far-away")
        here = api.get_course_enrollment_details("far-away")

        settings.ENROLLMENTS_DATA_API = "tests.stranger.data"

        assert here["course_id"] == course_id_of(course)
        assert api.get_course_enrollment_details("far-away") == stranger.COURSE

    @pytest.mark.rule("CACHE-01")
    def test_with_and_without_expired_modes_are_kept_apart(self):
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)
        course_id = course_id_of(course)

        for _ in range(2):
            assert slugs(course_id) == ["audit"]
            assert slugs(course_id, include_expired=True) == ["audit", "verified"]

    @pytest.mark.rule("CACHE-01")
    def test_courses_are_kept_apart(self):
        make_modes(make_course("one"), "audit")
        make_modes(make_course("two"), "honor")

        assert [slugs("one"), slugs("two"), slugs("one")] == [
            ["audit"],
            ["honor"],
            ["audit"],
        ]

    @pytest.mark.rule("CACHE-02")
    def test_a_lifetime_of_0_keeps_nothing(self, settings):
        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0
        course = make_course()
        make_mode(course, "audit")
        course_id = course_id_of(course)
        before = slugs(course_id)

        change_unseen(course)

        assert before == ["audit"]
        assert slugs(course_id) == ["audit", "unseen"]

    @pytest.mark.rule("CACHE-02")
    def test_turning_it_off_forgets_at_once(self, settings):
        course = make_course()
        make_mode(course, "audit")
        course_id = course_id_of(course)
        slugs(course_id)
        change_unseen(course)

        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0

        assert slugs(course_id) == ["audit", "unseen"]

    @pytest.mark.rule("CACHE-06")
    def test_an_unknown_course_is_not_remembered(self):
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details("late")

        make_course("late")

        assert api.get_course_enrollment_details("late")["course_id"] == "late"

    @pytest.mark.rule("CACHE-06")
    @pytest.mark.parametrize("course_id", ["", "not valid", None, [], {}])
    def test_what_is_no_course_id_is_told(self, course_id):
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details(course_id)

    @pytest.mark.rule("CACHE-07")
    def test_validation_and_enrollments_never_use_it(self):
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

    def test_what_a_caller_does_with_the_answer_stays_with_the_caller(self):
        course_id = course_id_of(make_course())

        api.get_course_enrollment_details(course_id)["course_modes"].clear()
        api.get_course_enrollment_details(course_id)["course_modes"].clear()

        assert slugs(course_id) == ["audit"]

    def test_a_long_course_id_in_any_script_is_kept_too(
        self, django_assert_num_queries
    ):
        course_id = course_id_of(make_course("курс-" * 51, display_name="Long"))
        api.get_course_enrollment_details(course_id)

        with django_assert_num_queries(0):
            assert api.get_course_enrollment_details(course_id)


class TestDifferentAnswers:
    def test_are_kept_apart_by_language_and_time_zone(self, settings):
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.TranslatedAdapter"
        course_id = course_id_of(make_course())
        names = []

        for language, zone in (("en", "UTC"), ("de", "UTC"), ("de", "Asia/Tokyo")):
            with override(language), timezone.override(ZoneInfo(zone)):
                details = api.get_course_enrollment_details(course_id)
            names.append(details["course_name"])

        assert names == ["en UTC", "de UTC", "de Asia/Tokyo"]

    def test_are_not_kept_where_an_adapter_narrows_courses(self, settings, monkeypatch):
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.TenantAdapter"
        course_id = course_id_of(make_course())
        assert slugs(course_id) == ["audit"]

        monkeypatch.setattr(TenantAdapter, "tenant", "two")

        with pytest.raises(CourseNotFoundError):
            slugs(course_id)

    def test_are_not_kept_where_the_default_manager_narrows_courses(self, monkeypatch):
        course_id = course_id_of(make_course())
        manager = TenantManager()
        manager.model = get_course_model()
        monkeypatch.setattr(get_course_model()._meta, "default_manager", manager)
        assert slugs(course_id) == ["audit"]

        monkeypatch.setattr(TenantAdapter, "tenant", "two")

        with pytest.raises(CourseNotFoundError):
            slugs(course_id)


class TestSavingWhileReading:
    @pytest.mark.rule("B-18")
    def test_what_was_read_before_a_save_is_not_kept(self, settings, monkeypatch):
        layer = ModuleType("layer_that_is_overtaken")
        layer.__dict__.update(
            vars(data), get_course_enrollment_info=get_course_enrollment_info_and_save
        )
        monkeypatch.setitem(sys.modules, layer.__name__, layer)
        settings.ENROLLMENTS_DATA_API = layer.__name__
        course_id = course_id_of(make_course())

        assert slugs(course_id) == ["audit"]
        assert slugs(course_id) == ["honor"]

    @pytest.mark.rule("B-18")
    def test_nor_what_the_same_call_read_before(self):
        course = make_course()
        course_id = course_id_of(course)

        with one_call():
            api.validate_course_mode(course_id, "audit")
            make_mode(course, "honor")
            slugs(course_id)

        assert slugs(course_id) == ["honor"]

    @pytest.mark.rule("B-18")
    @pytest.mark.skipif(
        is_default_host(), reason="The id of a shipped course is its key."
    )
    def test_nor_under_an_id_that_the_course_had_before(self):
        course = make_course("django-101")
        course.slug = "django-102"

        def read_between(**kwargs):
            slugs("django-101")

        # After the receivers of the app.
        pre_save.connect(read_between, sender=type(course))
        try:
            course.save()
        finally:
            pre_save.disconnect(read_between, sender=type(course))

        with pytest.raises(CourseNotFoundError):
            slugs("django-101")

    @pytest.mark.rule("B-18")
    def test_what_was_not_committed_is_not_kept(self):
        course = make_course()
        course_id = course_id_of(course)

        with transaction.atomic():
            make_mode(course, "honor")
            assert slugs(course_id) == ["honor"]
            transaction.set_rollback(True)

        assert slugs(course_id) == ["audit"]

    @pytest.mark.rule("B-18")
    def test_a_transaction_sees_what_it_has_saved_itself(self):
        course = make_course()
        course_id = course_id_of(course)
        before = slugs(course_id)

        with transaction.atomic():
            make_mode(course, "honor")
            assert elsewhere(partial(slugs, course_id)) == ["audit"]
            assert slugs(course_id) == ["honor"]

        assert before == ["audit"]
        assert slugs(course_id) == ["honor"]


class TestABrokenCache:
    @pytest.fixture(autouse=True)
    def _nothing_logged(self, monkeypatch):
        """Forget what other tests have caused to be logged a moment ago."""
        monkeypatch.setattr(course_details_cache, "_logged", {})

    @pytest.mark.rule("CACHE-04", "CACHE-05", "B-17")
    @pytest.mark.parametrize("broken", ["ReadsFail", "WritesFail"])
    def test_never_fails_a_call(self, settings, caplog, broken):
        settings.CACHES = {"default": {"BACKEND": f"tests.stranger.caches.{broken}"}}
        course = make_course()
        make_mode(course, "audit")
        course_id = course_id_of(course)
        before = slugs(course_id)

        change_unseen(course)
        course_details_cache.drop_details()

        assert before == ["audit"]
        assert slugs(course_id) == ["audit", "unseen"]
        assert "cache" in caplog.text

    @pytest.mark.rule("B-17")
    @pytest.mark.parametrize(
        ("broken", "failures"), [("ReadsFail", 1), ("WritesFail", 2)]
    )
    def test_is_logged_once_and_not_for_every_page(
        self, settings, caplog, broken, failures
    ):
        settings.CACHES = {"default": {"BACKEND": f"tests.stranger.caches.{broken}"}}
        course_id = course_id_of(make_course())

        for _ in range(5):
            slugs(course_id)
            course_details_cache.drop_details()

        assert len(caplog.records) == failures
        assert all(record.exc_info for record in caplog.records)

    @pytest.mark.rule("B-17")
    def test_is_logged_again_if_it_goes_on(self, settings, caplog, monkeypatch):
        monkeypatch.setattr(course_details_cache, "SILENT_SECONDS", 0)
        settings.CACHES = {"default": {"BACKEND": "tests.stranger.caches.ReadsFail"}}
        course_id = course_id_of(make_course())

        for _ in range(3):
            slugs(course_id)

        assert len(caplog.records) == 3

    @pytest.mark.rule("B-17")
    def test_nor_saving_a_mode(self, settings):
        settings.CACHES = {"default": {"BACKEND": "tests.stranger.caches.WritesFail"}}

        mode = make_mode(make_course())
        mode.delete()

        assert not CourseMode.objects.exists()


class TestKeeping:
    def _is_kept(self, mode, *, at=NOON, include_expired=False):
        """Return whether details with this mode are read once only."""
        readings = []

        def read():
            readings.append(1)
            return {"course_modes": [mode]}

        for _ in range(2):
            details = course_details_cache.cached_details(
                "any", read, include_expired=include_expired, at=at
            )
            assert details == {"course_modes": [mode]}
        return len(readings) == 1

    @pytest.mark.rule("B-18")
    def test_nothing_outlives_the_expiration_of_a_mode(self):
        now = timezone.now()
        soon = (now + timedelta(milliseconds=900)).isoformat().replace("+00:00", "Z")

        assert not self._is_kept({"slug": "a", "expiration_datetime": soon}, at=now)

    @pytest.mark.rule("B-18")
    def test_what_lasts_long_enough_is_kept(self):
        assert self._is_kept(
            {"slug": "a", "expiration_datetime": "2026-03-05T12:00:00Z"}
        )

    @pytest.mark.rule("B-18")
    def test_where_expired_ones_are_shown_none_outlives_itself(self):
        expired = {"slug": "a", "expiration_datetime": "2026-03-03T12:00:00Z"}

        assert self._is_kept(expired, include_expired=True)

    @pytest.mark.rule("B-18")
    def test_dropping_forgets_both_kinds(self):
        course = make_course()
        course_id = course_id_of(course)
        for include_expired in (False, True):
            slugs(course_id, include_expired=include_expired)
        change_unseen(course)

        course_details_cache.drop_details()

        for include_expired in (False, True):
            assert slugs(course_id, include_expired=include_expired) == ["unseen"]

    def test_a_mode_without_a_word_on_expiration_is_kept(self):
        assert self._is_kept({"slug": "a"}, at=NOON + DAY)


class TestCourseModeFilter:
    @pytest.mark.rule("MODE-19")
    def test_an_expired_mode_is_refused_though_the_cache_shows_it(self):
        course = make_course()
        make_modes(course, "audit", "verified")
        course_id = course_id_of(course)
        slugs(course_id)
        CourseMode.objects.filter(mode_slug="verified").update(expiration_datetime=NOON)

        with pytest.raises(CourseModeNotFoundError):
            api.validate_course_mode(course_id, "verified")
