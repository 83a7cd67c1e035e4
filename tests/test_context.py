"""The moment, the readings and the origin of a call."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from django.contrib.auth.models import AnonymousUser

from django_enrollments import api, context
from django_enrollments.context import (
    Origin,
    call_context,
    current_origin,
    moment,
    origin_of,
    outside_call,
    override_origin,
)
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import EnrollmentEvent
from django_enrollments.services import EnrollmentsService
from tests.factories import DAY, NOON, course_id_of, make_course, username


class TestOneCall:
    def test_has_the_moment_that_it_is_given(self):
        with call_context(NOON) as call:
            assert call.at == moment() == NOON

    def test_reads_the_clock_once_when_it_is_given_none(self):
        with call_context() as call:
            first = moment()
            second = moment()

        assert call.at == first == second
        assert abs(datetime.now(timezone.utc) - first) < timedelta(minutes=1)

    def test_includes_inner_calls(self):
        with call_context(NOON) as outer, call_context() as inner:
            assert inner is outer

    def test_is_another_one_at_another_moment(self):
        with call_context(NOON) as outer:
            outer.readings["seen"] = 1
            with call_context(NOON - DAY) as inner:
                assert inner.at == NOON - DAY
                assert inner.readings == {}
            assert moment() == NOON

    def test_takes_a_naive_moment_in_the_time_zone_of_the_project(self, settings):
        settings.TIME_ZONE = "UTC"

        with call_context(datetime(2026, 3, 4, 12)) as call:  # noqa: DTZ001 - is meant.
            assert call.at == NOON

    def test_ends_when_it_fails(self):
        with pytest.raises(ZeroDivisionError), call_context(NOON):
            raise ZeroDivisionError

        assert moment() != NOON

    def test_is_none_between_calls(self):
        with call_context(NOON):
            with outside_call():
                assert moment() != NOON
            assert moment() == NOON

    @pytest.mark.django_db
    def test_reads_a_course_once(self, django_assert_num_queries):
        course_id = course_id_of(make_course())

        with call_context(), django_assert_num_queries(2):
            api.validate_course_mode(course_id, "audit")
            api.validate_course_mode(course_id, "audit")


class TestOrigin:
    def test_is_an_api_call_by_default(self):
        assert current_origin() == Origin(actor_id=None, source="api", reason="")

    def test_is_the_attributed_one_within_a_block(self):
        origin = Origin(5, "rest", "why")

        with override_origin(origin):
            inside = current_origin()

        assert inside == origin
        assert current_origin() == Origin()

    @pytest.mark.django_db
    def test_has_the_key_of_an_actor(self, ada):
        assert origin_of(actor=ada).actor_id == ada.pk
        assert origin_of(actor=ada.pk).actor_id == ada.pk
        assert origin_of(actor=str(ada.pk)).actor_id == ada.pk
        assert origin_of(actor=AnonymousUser()).actor_id is None
        assert origin_of().actor_id is None

    @pytest.mark.parametrize("actor", ["nobody", [], 1.5, object(), b"1", "\x00", True])
    def test_has_no_actor_that_can_be_no_user(self, actor):
        with pytest.raises(TypeError, match="actor"):
            origin_of(actor=actor)

    def test_has_a_source_of_the_app(self):
        assert context.SOURCES == (
            "api",
            "service",
            "rest",
            "admin",
            "command",
            "bulk",
            "invitation",
            "retirement",
        )
        for source in context.SOURCES:
            assert origin_of(source=source).source == source

    @pytest.mark.django_db
    @pytest.mark.parametrize("source", ["s", "a-b_9", "w" * 32])
    def test_has_a_source_of_the_host(self, ada, course, source):
        EnrollmentsService().enroll(ada, course, source=source)

        assert EnrollmentEvent.objects.get().source == source

    @pytest.mark.parametrize(
        "source", ["", "w" * 33, "Shop", "a b", "a.b", "\u00e9", "shop\n", 5, ["shop"]]
    )
    def test_has_no_source_that_is_no_plain_word(self, source):
        with pytest.raises(ValueError, match="is no source"):
            origin_of(source=source)

    @pytest.mark.parametrize("reason", [None, 5, "\x00", "\ud800", b"why"])
    def test_has_no_reason_that_is_no_text(self, reason):
        with pytest.raises(CourseEnrollmentError, match="reason"):
            origin_of(reason=reason)

    @pytest.mark.django_db
    def test_has_a_reason_of_any_length(self, ada):
        reason = "why " * 5000

        with override_origin(origin_of(reason=reason)):
            api.add_enrollment(username("ada"), course_id_of(make_course()))

        assert EnrollmentEvent.objects.get().reason == reason
