"""What one call has in common: its moment, its readings, its origin."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from django.contrib.auth.models import AnonymousUser

from django_enrollments import api, context
from django_enrollments.context import (
    Origin,
    attributed,
    between_calls,
    current_origin,
    moment,
    one_call,
    origin_of,
)
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import EnrollmentEvent
from tests.factories import DAY, NOON, course_id_of, make_course, make_user, username


class TestOneCall:
    def test_has_the_moment_that_it_is_given(self):
        with one_call(NOON) as call:
            assert call.at == moment() == NOON

    def test_reads_the_clock_once_when_it_is_given_none(self):
        with one_call() as call:
            first = moment()
            second = moment()

        assert call.at == first == second
        assert abs(datetime.now(timezone.utc) - first) < timedelta(minutes=1)

    def test_is_joined_by_what_it_leads_to(self):
        with one_call(NOON) as outer, one_call() as inner:
            assert inner is outer

    def test_a_given_moment_begins_one_of_its_own(self):
        with one_call(NOON) as outer:
            outer.readings["seen"] = 1
            with one_call(NOON - DAY) as inner:
                assert inner.at == NOON - DAY
                assert inner.readings == {}
            assert moment() == NOON

    def test_takes_a_naive_moment_as_the_projects_own(self, settings):
        settings.TIME_ZONE = "UTC"

        with one_call(datetime(2026, 3, 4, 12)) as call:  # noqa: DTZ001 - is meant.
            assert call.at == NOON

    def test_ends_when_it_fails(self):
        with pytest.raises(ZeroDivisionError), one_call(NOON):
            raise ZeroDivisionError

        assert moment() != NOON

    def test_between_calls_there_is_none(self):
        with one_call(NOON):
            with between_calls():
                assert moment() != NOON
            assert moment() == NOON

    @pytest.mark.django_db
    def test_a_course_is_read_once(self, django_assert_num_queries):
        course_id = course_id_of(make_course())

        with one_call(), django_assert_num_queries(2):
            api.validate_course_mode(course_id, "audit")
            api.validate_course_mode(course_id, "audit")


class TestOrigin:
    def test_is_a_plain_api_call_by_default(self):
        assert current_origin() == Origin(actor_id=None, source="api", reason="")

    def test_is_what_is_attributed_until_that_ends(self):
        origin = Origin(5, "rest", "why")

        with attributed(origin):
            inside = current_origin()

        assert inside == origin
        assert current_origin() == Origin()

    @pytest.mark.django_db
    def test_of_an_actor_takes_instances_and_keys(self):
        actor = make_user()

        assert origin_of(actor=actor).actor_id == actor.pk
        assert origin_of(actor=actor.pk).actor_id == actor.pk
        assert origin_of(actor=str(actor.pk)).actor_id == actor.pk
        assert origin_of(actor=AnonymousUser()).actor_id is None
        assert origin_of().actor_id is None

    @pytest.mark.parametrize("actor", ["nobody", [], 1.5, object(), b"1", "\x00", True])
    def test_of_what_is_no_actor_is_told(self, actor):
        with pytest.raises(TypeError, match="actor"):
            origin_of(actor=actor)

    @pytest.mark.parametrize("source", context.SOURCES)
    def test_contract_8_has_one_of_these_sources(self, source):
        assert origin_of(source=source).source == source

    def test_contract_8_another_source_is_a_plain_word(self):
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
        with pytest.raises(ValueError, match="is no source"):
            origin_of(source="Else where")

    @pytest.mark.parametrize("reason", [None, 5, "\x00", "\ud800", b"why"])
    def test_a_reason_is_a_text(self, reason):
        with pytest.raises(CourseEnrollmentError, match="reason"):
            origin_of(reason=reason)

    @pytest.mark.django_db
    def test_a_long_reason_is_kept_whole(self):
        make_user()
        reason = "why " * 5000

        with attributed(origin_of(reason=reason)):
            api.add_enrollment(username("ada"), course_id_of(make_course()))

        assert EnrollmentEvent.objects.get().reason == reason
