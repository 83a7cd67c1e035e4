"""The cache of course details."""

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
from django_enrollments.context import call_context
from django_enrollments.core import course_details_cache
from django_enrollments.errors import CourseModeNotFoundError, CourseNotFoundError
from django_enrollments.models import CourseMode, get_course_adapter, get_course_model
from tests.factories import (
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    username,
)
from tests.swapped import data as other_data

# The cache is not used within a transaction.
pytestmark = pytest.mark.django_db(transaction=True)


class TranslatedAdapter(type(get_course_adapter())):
    """Names courses in the language and the time zone of the request."""

    def display_name(self, course):
        return f"{get_language()} {timezone.get_current_timezone_name()}"


class TenantAdapter(type(get_course_adapter())):
    """Has courses for one tenant only."""

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
    """Read a course that is saved before its details are stored."""
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
    """Add a mode without a signal, as another program might."""
    CourseMode.objects.bulk_create([CourseMode(course=course, mode_slug="unseen")])


class TestDetails:
    @pytest.mark.rule("CACHE-03")
    @pytest.mark.parametrize("course_id", ["short", "курс-" * 51])
    def test_costs_nothing_the_second_time(self, course_id, django_assert_num_queries):
        make_course(course_id, display_name="Any")
        first = api.get_course_enrollment_details(course_id)

        with django_assert_num_queries(0):
            assert api.get_course_enrollment_details(course_id) == first

        # Changes of the result are the caller's own.
        first["course_modes"].clear()
        assert slugs(course_id) == ["audit"]

    @pytest.mark.rule("CACHE-03", "API-01")
    def test_is_kept_for_each_data_layer(self, settings):
        course = make_course("far-away")
        here = api.get_course_enrollment_details("far-away")
        settings.ENROLLMENTS_DATA_API = "tests.swapped.data"
        other_data.CALLS.clear()

        for _ in range(2):
            assert api.get_course_enrollment_details("far-away") == other_data.COURSE

        assert here["course_id"] == course_id_of(course)
        assert len(other_data.CALLS) == 1

    @pytest.mark.rule("CACHE-01")
    def test_is_kept_for_each_course_with_and_without_expired_modes(self):
        make_course("one", modes=["audit"], expired=["verified"])
        make_course("two", modes=["honor"])

        for _ in range(2):
            assert slugs("one") == ["audit"]
            assert slugs("one", include_expired=True) == ["audit", "verified"]
            assert slugs("two") == ["honor"]

    @pytest.mark.rule("CACHE-02")
    @pytest.mark.parametrize("later", [False, True])
    def test_is_not_kept_for_0_seconds(self, settings, later):
        course = make_course(modes=["audit"])
        course_id = course_id_of(course)
        if later:
            slugs(course_id)
        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0
        if not later:
            slugs(course_id)

        change_unseen(course)

        assert slugs(course_id) == ["audit", "unseen"]

    @pytest.mark.rule("CACHE-06")
    def test_is_not_kept_for_an_unknown_course(self):
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details("late")

        make_course("late")

        assert api.get_course_enrollment_details("late")["course_id"] == "late"

    @pytest.mark.rule("CACHE-06")
    @pytest.mark.parametrize("course_id", ["", "not valid", None, [], {}])
    def test_is_refused_for_invalid_course_ids(self, course_id):
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details(course_id)

    @pytest.mark.rule("CACHE-07", "MODE-19")
    def test_is_not_used_by_validation_and_enrolling(self, course):
        make_mode(course, "audit")
        make_user()
        course_id = course_id_of(course)
        slugs(course_id)
        change_unseen(course)

        api.validate_course_mode(course_id, "unseen")
        added = api.add_enrollment(username("ada"), course_id, "unseen")

        modes = added["course_details"]["course_modes"]
        assert [mode["slug"] for mode in modes] == ["audit", "unseen"]
        CourseMode.objects.filter(mode_slug="audit").update(expiration_datetime=NOON)
        with pytest.raises(CourseModeNotFoundError):
            api.validate_course_mode(course_id, "audit")
        assert slugs(course_id) == ["audit"]


class TestDifferentDetails:
    def test_are_kept_apart_by_language_and_time_zone(self, settings):
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.TranslatedAdapter"
        course_id = course_id_of(make_course())
        names = []

        for language, zone in (("en", "UTC"), ("de", "UTC"), ("de", "Asia/Tokyo")):
            with override(language), timezone.override(ZoneInfo(zone)):
                details = api.get_course_enrollment_details(course_id)
            names.append(details["course_name"])

        assert names == ["en UTC", "de UTC", "de Asia/Tokyo"]

    @pytest.mark.parametrize("by", ["adapter", "manager"])
    def test_are_not_kept_where_courses_are_narrowed(self, settings, monkeypatch, by):
        if by == "adapter":
            settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.TenantAdapter"
        else:
            manager = TenantManager()
            manager.model = get_course_model()
            monkeypatch.setattr(get_course_model()._meta, "default_manager", manager)
        course_id = course_id_of(make_course())
        assert slugs(course_id) == ["audit"]

        monkeypatch.setattr(TenantAdapter, "tenant", "two")

        with pytest.raises(CourseNotFoundError):
            slugs(course_id)


class TestSavingWhileReading:
    @pytest.mark.rule("B-18")
    def test_keeps_nothing_that_was_read_before_the_save(self, settings, monkeypatch):
        layer = ModuleType("layer_that_is_overtaken")
        layer.__dict__.update(
            vars(data),
            __name__=layer.__name__,
            get_course_enrollment_info=get_course_enrollment_info_and_save,
        )
        monkeypatch.setitem(sys.modules, layer.__name__, layer)
        settings.ENROLLMENTS_DATA_API = layer.__name__
        course_id = course_id_of(make_course())

        assert slugs(course_id) == ["audit"]
        assert slugs(course_id) == ["honor"]

    @pytest.mark.rule("B-18")
    def test_keeps_nothing_that_the_same_call_read_before(self, course):
        course_id = course_id_of(course)

        with call_context():
            api.validate_course_mode(course_id, "audit")
            make_mode(course, "honor")
            slugs(course_id)

        assert slugs(course_id) == ["honor"]

    @pytest.mark.rule("B-18")
    @pytest.mark.skipif(
        is_default_host(), reason="The id of a shipped course is its key."
    )
    def test_keeps_nothing_under_an_id_that_the_course_had_before(self):
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
    @pytest.mark.parametrize("commits", [True, False])
    def test_keeps_nothing_of_a_transaction(self, commits):
        course = make_course()
        course_id = course_id_of(course)
        slugs(course_id)

        with transaction.atomic():
            make_mode(course, "honor")
            assert elsewhere(partial(slugs, course_id)) == ["audit"]
            assert slugs(course_id) == ["honor"]
            transaction.set_rollback(not commits)

        assert slugs(course_id) == (["honor"] if commits else ["audit"])


class TestBrokenCache:
    @pytest.fixture(autouse=True)
    def _nothing_logged(self, monkeypatch):
        """Forget what other tests have caused to be logged a moment ago."""
        monkeypatch.setattr(course_details_cache, "_logged", {})

    @pytest.mark.rule("CACHE-04", "CACHE-05", "B-17")
    @pytest.mark.parametrize(
        ("broken", "failures"), [("ReadsFail", 1), ("WritesFail", 2)]
    )
    def test_fails_no_call_and_is_logged_once(self, settings, caplog, broken, failures):
        settings.CACHES = {"default": {"BACKEND": f"tests.swapped.caches.{broken}"}}
        course = make_course(modes=["audit"])
        course_id = course_id_of(course)
        assert slugs(course_id) == ["audit"]

        change_unseen(course)
        for _ in range(5):
            course_details_cache.invalidate_details()
            assert slugs(course_id) == ["audit", "unseen"]
        make_mode(course, "honor").delete()

        assert not CourseMode.objects.filter(mode_slug="honor").exists()
        assert len(caplog.records) == failures
        assert "cache" in caplog.text
        assert all(record.exc_info for record in caplog.records)

    @pytest.mark.rule("B-17")
    def test_is_logged_again_after_a_while(self, settings, caplog, monkeypatch):
        monkeypatch.setattr(course_details_cache, "SILENT_SECONDS", 0)
        settings.CACHES = {"default": {"BACKEND": "tests.swapped.caches.ReadsFail"}}
        course_id = course_id_of(make_course())

        for _ in range(3):
            slugs(course_id)

        assert len(caplog.records) == 3


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
    def test_ends_with_a_mode_that_expires(self):
        now = timezone.now()
        soon = (now + timedelta(milliseconds=900)).isoformat().replace("+00:00", "Z")

        assert not self._is_kept({"slug": "a", "expiration_datetime": soon}, at=now)

    @pytest.mark.rule("B-18")
    @pytest.mark.parametrize(
        ("expiration", "include_expired"),
        [
            ({"expiration_datetime": "2026-03-05T12:00:00Z"}, False),
            ({"expiration_datetime": "2026-03-03T12:00:00Z"}, True),
            ({}, False),
        ],
    )
    def test_goes_on_otherwise(self, expiration, include_expired):
        mode = {"slug": "a", **expiration}

        assert self._is_kept(mode, include_expired=include_expired)

    @pytest.mark.rule("B-18")
    def test_ends_for_both_kinds_when_details_are_dropped(self):
        course = make_course()
        course_id = course_id_of(course)
        for include_expired in (False, True):
            slugs(course_id, include_expired=include_expired)
        change_unseen(course)

        course_details_cache.invalidate_details()

        for include_expired in (False, True):
            assert slugs(course_id, include_expired=include_expired) == ["unseen"]
