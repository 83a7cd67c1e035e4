"""The use cases by name (rules API, V1-ENR and V1-FORCE below HTTP, B-05…B-07)."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from typing import Any

import pytest

from django_enrollments import api
from django_enrollments.context import one_call
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentError,
    CourseEnrollmentExistsError,
    CourseEnrollmentFullError,
    CourseModeNotFoundError,
    CourseNotFoundError,
    EnrollmentApiLoadError,
    EnrollmentNotFoundError,
    InvalidEnrollmentAttribute,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseMode,
    get_course_model,
)
from tests.factories import (
    DAY,
    HOUR,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_modes,
    make_user,
    username,
)
from tests.stranger import data as stranger
from tests.watching import event_types, nothing_written, row_of, state_of

pytestmark = pytest.mark.django_db

COLOR = {"namespace": "host", "name": "color", "value": "red"}
SIZE = {"namespace": "host", "name": "size", "value": "XL"}


class TestDataLayer:
    """API-01 and DATA-14: the module behind the functions."""

    @pytest.fixture(autouse=True)
    def _stranger(self, settings: Any) -> None:
        settings.ENROLLMENTS_DATA_API = "tests.stranger.data"
        stranger.CALLS.clear()

    @pytest.mark.rule("API-01")
    @pytest.mark.parametrize(
        "path", ["no.such.module", "django_enrollments.nowhere", "nowhere", ".", "a b"]
    )
    def test_a_path_that_cannot_be_imported_is_told(
        self, settings: Any, path: str
    ) -> None:
        settings.ENROLLMENTS_DATA_API = path

        with pytest.raises(EnrollmentApiLoadError) as refusal:
            api.get_enrollments("someone")

        assert path in str(refusal.value)
        assert refusal.value.code == "data_api_not_loaded"

    @pytest.mark.rule("API-01")
    def test_a_module_that_fails_while_imported_is_told(self, settings: Any) -> None:
        settings.ENROLLMENTS_DATA_API = "tests.stranger.broken"

        with pytest.raises(EnrollmentApiLoadError, match=r"tests\.stranger\.broken"):
            api.get_enrollment("someone", "far-away")

    @pytest.mark.rule("API-01")
    def test_the_setting_is_read_at_each_call(self, settings: Any) -> None:
        asked_elsewhere = api.get_enrollments("someone")

        settings.ENROLLMENTS_DATA_API = "django_enrollments.data"

        assert [one["mode"] for one in asked_elsewhere] == ["audit", "verified"]
        assert api.get_enrollments("someone") == []

    @pytest.mark.rule("DATA-14")
    def test_verified_enrollments_are_picked_from_anybodys_list(self) -> None:
        verified = api.get_verified_enrollments("someone", include_inactive=True)

        assert [one["mode"] for one in verified] == ["verified"]
        assert stranger.CALLS == [("get_course_enrollments", "someone", True)]

    @pytest.mark.rule("DATA-14")
    def test_adding_asks_for_the_course_and_creates(self) -> None:
        added = api.add_enrollment("new", "far-away", enrollment_attributes=[COLOR])

        assert added == stranger.ENROLLMENT
        assert [call[0] for call in stranger.CALLS] == [
            "get_course_enrollment_info",
            "create_course_enrollment",
            "add_or_update_enrollment_attr",
        ]
        assert stranger.CALLS[1] == (
            "create_course_enrollment",
            "new",
            "far-away",
            "audit",
            True,
        )

    @pytest.mark.rule("DATA-14")
    def test_updating_updates(self) -> None:
        updated = api.update_enrollment("someone", "far-away", is_active=False)

        assert updated == stranger.ENROLLMENT
        assert stranger.CALLS == [
            ("update_course_enrollment", "someone", "far-away", None, False)
        ]

    @pytest.mark.rule("DATA-14")
    def test_nothing_to_update_is_not_found(self) -> None:
        with pytest.raises(EnrollmentNotFoundError):
            api.update_enrollment("nobody", "far-away", is_active=False)

    @pytest.mark.rule("DATA-14")
    def test_the_other_functions_ask_it_too(self) -> None:
        assert api.get_enrollment("someone", "far-away") == stranger.ENROLLMENT
        assert api.get_enrollment_attributes("someone", "far-away")[0]["value"] == "1"
        assert api.get_user_roles("someone") == {"role"}
        assert api.serialize_enrollments([]) == [stranger.ENROLLMENT]
        assert api.get_course_enrollment_details("far-away") == stranger.COURSE
        api.set_enrollment_attributes("someone", "far-away", [])
        api.validate_course_mode("far-away", "audit")
        with pytest.raises(CourseModeNotFoundError):
            api.validate_course_mode("far-away", "honor")

    @pytest.mark.rule("API-18")
    def test_orgs_of_courses_that_only_it_knows_come_from_their_ids(
        self,
    ) -> None:
        assert api.unenroll_user_from_all_courses("someone") == ["a", "x"]


class TestGetEnrollments:
    @pytest.mark.rule("API-02")
    def test_lists_active_ones_by_creation(self) -> None:
        learner = make_user()
        for number, at in ((1, NOON), (2, NOON - DAY), (3, NOON)):
            with one_call(at):
                api.add_enrollment(
                    username("ada"), course_id_of(make_course(f"course-{number}"))
                )
        api.update_enrollment(learner.get_username(), "course-1", is_active=False)

        listed = api.get_enrollments(username("ada"))

        ids = [one["course_details"]["course_id"] for one in listed]
        assert ids == ["course-2", "course-3"]

    @pytest.mark.rule("API-02")
    def test_lists_inactive_ones_when_asked(self) -> None:
        make_user()
        course = make_course()
        api.add_enrollment(username("ada"), course_id_of(course))
        api.update_enrollment(username("ada"), course_id_of(course), is_active=False)

        listed = api.get_enrollments(username("ada"), include_inactive=True)

        assert [one["is_active"] for one in listed] == [False]

    @pytest.mark.rule("API-02")
    @pytest.mark.parametrize("name", ["nobody", "", "ADA"])
    def test_an_unknown_user_has_none(self, name: str) -> None:
        make_user()
        api.add_enrollment(username("ada"), course_id_of(make_course()))

        assert api.get_enrollments(name) == []

    @pytest.mark.rule("B-26")
    def test_a_name_in_another_case_is_another_name(self) -> None:
        make_user()
        course_id = course_id_of(make_course())
        api.add_enrollment(username("ada"), course_id)
        shouted = username("ada").upper()

        assert api.get_enrollments(shouted) == []
        assert api.get_enrollment(shouted, course_id) is None
        assert not api.is_enrollment_valid_for_proctoring(shouted, course_id)
        with nothing_written(), pytest.raises(UserNotFoundError):
            api.update_enrollment(shouted, course_id, is_active=False)
        with nothing_written(), pytest.raises(UserNotFoundError):
            api.add_enrollment(shouted, course_id)
        with nothing_written(), pytest.raises(UserNotFoundError):
            api.set_enrollment_attributes(shouted, course_id, [COLOR])
        with nothing_written(), pytest.raises(UserNotFoundError):
            api.unenroll_user_from_all_courses(shouted)
        with pytest.raises(UserNotFoundError):
            api.get_enrollment_attributes(shouted, course_id)

    @pytest.mark.rule("B-26")
    def test_a_course_id_in_another_case_is_another_course(self) -> None:
        make_user()
        make_course("django-101")
        api.add_enrollment(username("ada"), "django-101")

        assert api.get_enrollment(username("ada"), "Django-101") is None
        with nothing_written(), pytest.raises(EnrollmentNotFoundError):
            api.update_enrollment(username("ada"), "Django-101", is_active=False)
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details("Django-101")

    @pytest.mark.rule("V1-LIST-15")
    def test_expired_modes_are_listed_when_asked(self) -> None:
        make_user()
        course = make_course()
        make_mode(course, "honor")
        make_mode(course, "verified", expiration_datetime=NOON)
        api.add_enrollment(username("ada"), course_id_of(course))

        without = api.get_enrollments(username("ada"))
        included = api.get_enrollments(username("ada"), include_expired=True)

        assert _slugs(without[0]["course_details"]) == ["honor"]
        assert _slugs(included[0]["course_details"]) == ["honor", "verified"]


class TestGetVerifiedEnrollments:
    @pytest.fixture
    def _enrolled_in_many_modes(self) -> None:
        learner = make_user()
        for slug in (
            "verified",
            "professional",
            "masters",
            "executive-education",
            "paid-executive-education",
            "paid-bootcamp",
            "no-id-professional",
            "credit",
            "honor",
            "audit",
        ):
            CourseEnrollment.enroll(learner, course_id_of(make_course(slug)), slug)

    @pytest.mark.rule("MODE-11", "API-03")
    @pytest.mark.usefixtures("_enrolled_in_many_modes")
    def test_keeps_the_verified_modes(self) -> None:
        listed = api.get_verified_enrollments(username("ada"))

        assert [one["mode"] for one in listed] == [
            "verified",
            "professional",
            "masters",
            "executive-education",
            "paid-executive-education",
            "paid-bootcamp",
        ]

    @pytest.mark.rule("MODE-11")
    @pytest.mark.usefixtures("_enrolled_in_many_modes")
    def test_follows_the_setting(self, settings: Any) -> None:
        settings.ENROLLMENTS_VERIFIED_MODES = ["honor"]

        listed = api.get_verified_enrollments(username("ada"))

        assert [one["mode"] for one in listed] == ["honor"]

    @pytest.mark.rule("API-03")
    def test_lists_inactive_ones_when_asked(self) -> None:
        learner = make_user()
        course = make_course()
        CourseEnrollment.enroll(learner, course_id_of(course), "verified")
        CourseEnrollment.unenroll(learner, course_id_of(course))

        assert api.get_verified_enrollments(username("ada")) == []
        assert len(api.get_verified_enrollments(username("ada"), True)) == 1


class TestGetEnrollment:
    @pytest.mark.rule("API-04")
    def test_gives_an_inactive_one_too(self) -> None:
        make_user()
        course_id = course_id_of(make_course())
        api.add_enrollment(username("ada"), course_id, is_active=False)

        enrollment = api.get_enrollment(username("ada"), course_id)

        assert enrollment is not None
        assert enrollment["is_active"] is False

    @pytest.mark.rule("API-04")
    def test_gives_none_for_unknown_user_course_or_pair(self) -> None:
        make_user()
        course_id = course_id_of(make_course())

        assert api.get_enrollment("nobody", course_id) is None
        assert api.get_enrollment(username("ada"), "no-such-course") is None
        assert api.get_enrollment(username("ada"), course_id) is None

    @pytest.mark.rule("V1-GET-13")
    def test_gives_the_one_of_this_user_and_course(self) -> None:
        first, second = make_course("first"), make_course("second")
        for name in ("ada", "bob"):
            learner = make_user(name)
            for course in (first, second):
                CourseEnrollment.enroll(learner, course_id_of(course))

        enrollment = api.get_enrollment(username("bob"), "second")

        assert enrollment is not None
        assert enrollment["user"] == username("bob")
        assert enrollment["course_details"]["course_id"] == "second"

    @pytest.mark.rule("V1-GET-09")
    def test_expired_modes_are_listed_when_asked(self) -> None:
        make_user()
        course = make_course()
        make_mode(course, "honor")
        make_mode(course, "verified", expiration_datetime=NOON)
        api.add_enrollment(username("ada"), course_id_of(course))

        enrollment = api.get_enrollment(
            username("ada"), course_id_of(course), include_expired=True
        )

        assert enrollment is not None
        assert _slugs(enrollment["course_details"]) == ["honor", "verified"]


class TestAddEnrollment:
    @pytest.mark.rule("API-05", "V1-ENR-03")
    def test_enrolls_actively_in_the_default_mode(self) -> None:
        learner = make_user()
        course = make_course()

        added = api.add_enrollment(username("ada"), course_id_of(course))

        assert (added["mode"], added["is_active"]) == ("audit", True)
        assert added["user"] == username("ada")
        assert state_of(learner, course) == ("audit", True)
        json.dumps(added)

    @pytest.mark.rule("API-06")
    def test_the_default_mode_is_that_of_the_course(self) -> None:
        make_user()
        course = make_course()
        make_modes(course, "honor", "verified")

        assert (
            api.add_enrollment(username("ada"), course_id_of(course))["mode"] == "honor"
        )

    @pytest.mark.rule("API-06")
    def test_writes_attributes_with_the_enrollment(self) -> None:
        make_user()
        course_id = course_id_of(make_course())

        api.add_enrollment(
            username("ada"), course_id, enrollment_attributes=[COLOR, SIZE]
        )

        assert api.get_enrollment_attributes(username("ada"), course_id) == [
            COLOR,
            SIZE,
        ]

    @pytest.mark.rule("API-22")
    def test_a_round_trip_gives_the_same(self) -> None:
        make_user()
        course = make_course(
            enrollment_start=NOON - DAY, end=NOON + DAY, display_name="Round trips"
        )
        make_mode(course, "audit", suggested_prices="1,2,3", currency="EUR")
        added = api.add_enrollment(username("ada"), course_id_of(course))

        assert added == api.get_enrollment(username("ada"), course_id_of(course))
        assert api.get_enrollments(username("ada")) == [added]

    @pytest.mark.rule("API-22")
    def test_a_round_trip_of_an_update_gives_the_same(self) -> None:
        make_user()
        course = make_course()
        make_modes(course, "audit", "honor")
        api.add_enrollment(username("ada"), course_id_of(course))

        updated = api.update_enrollment(
            username("ada"), course_id_of(course), mode="honor"
        )

        assert updated == api.get_enrollment(username("ada"), course_id_of(course))

    @pytest.mark.rule("API-07")
    def test_an_unavailable_mode_is_told(self) -> None:
        make_user()
        course = make_course()
        make_mode(course, "honor")

        with nothing_written(), pytest.raises(CourseModeNotFoundError) as refusal:
            api.add_enrollment(username("ada"), course_id_of(course), "verified")

        assert refusal.value.code == "mode_unavailable"
        assert _slugs(refusal.value.data) == ["honor"]

    @pytest.mark.rule("API-07")
    def test_an_unknown_course_is_told(self) -> None:
        make_user()

        with nothing_written(), pytest.raises(CourseNotFoundError) as refusal:
            api.add_enrollment(username("ada"), "no-such-course")

        assert refusal.value.code == "course_not_found"

    @pytest.mark.rule("API-07")
    def test_an_unknown_user_is_told(self) -> None:
        course_id = course_id_of(make_course())

        with nothing_written(), pytest.raises(UserNotFoundError) as refusal:
            api.add_enrollment("nobody", course_id)

        assert refusal.value.code == "user_not_found"

    @pytest.mark.rule("API-07")
    def test_a_closed_course_is_told(self) -> None:
        make_user()
        course_id = course_id_of(make_course(enrollment_end=NOON))

        with nothing_written(), pytest.raises(CourseEnrollmentClosedError) as refusal:
            api.add_enrollment(username("ada"), course_id)

        assert refusal.value.code == "enrollment_closed"

    @pytest.mark.rule("API-07")
    def test_a_full_course_is_told(self) -> None:
        make_user()
        course_id = course_id_of(make_course(max_student_enrollments_allowed=0))

        with nothing_written(), pytest.raises(CourseEnrollmentFullError) as refusal:
            api.add_enrollment(username("ada"), course_id)

        assert refusal.value.code == "course_full"

    @pytest.mark.rule("API-07", "V1-ENR-05")
    def test_who_is_in_is_told_with_the_enrollment(self) -> None:
        make_user()
        course = make_course()
        make_modes(course, "audit", "honor")
        course_id = course_id_of(course)
        added = api.add_enrollment(
            username("ada"), course_id, enrollment_attributes=[COLOR]
        )

        with (
            nothing_written(),
            pytest.raises(CourseEnrollmentExistsError) as refusal,
        ):
            api.add_enrollment(
                username("ada"), course_id, "honor", enrollment_attributes=[SIZE]
            )

        assert refusal.value.enrollment == added
        assert refusal.value.code == "already_enrolled"

    @pytest.mark.rule("V1-ENR-29", "B-07", "V1-ATTR-10")
    @pytest.mark.parametrize(
        ("attributes", "text"),
        [
            ([{"name": "a", "value": "b"}], "'namespace' not in enrollment attribute"),
            ([{"namespace": "a", "value": "b"}], "'name' not in enrollment attribute"),
            ([COLOR, {"namespace": "a", "name": "b"}], "'value' not in"),
            (["color"], "'namespace' not in enrollment attribute"),
            ({"color": "red"}, "must be a list"),
        ],
    )
    def test_a_malformed_attribute_leaves_nothing_behind(
        self, attributes: Any, text: str
    ) -> None:
        make_user()
        course_id = course_id_of(make_course())

        with (
            nothing_written(),
            pytest.raises(InvalidEnrollmentAttribute, match=text),
        ):
            api.add_enrollment(
                username("ada"), course_id, enrollment_attributes=attributes
            )

    @pytest.mark.rule("API-08")
    def test_course_unknown_is_told_before_user_unknown(self) -> None:
        with pytest.raises(CourseNotFoundError):
            api.add_enrollment("nobody", "no-such-course")

    @pytest.mark.rule("API-08")
    def test_mode_unavailable_is_told_before_user_unknown(self) -> None:
        with pytest.raises(CourseModeNotFoundError):
            api.add_enrollment("nobody", course_id_of(make_course()), "verified")

    @pytest.mark.rule("API-09", "V1-ENR-08")
    def test_creates_an_inactive_row_when_asked(self) -> None:
        learner = make_user()
        course = make_course()

        added = api.add_enrollment(
            username("ada"), course_id_of(course), is_active=False
        )

        assert added["is_active"] is False
        assert state_of(learner, course) == ("audit", False)

    @pytest.mark.rule("V1-ENR-04", "MDL-28")
    def test_re_enrolling_resets_the_mode_to_the_default(self) -> None:
        learner = make_user()
        course = make_course()
        make_modes(course, "audit", "verified")
        course_id = course_id_of(course)
        api.add_enrollment(username("ada"), course_id, "verified")
        api.update_enrollment(username("ada"), course_id, is_active=False)

        api.add_enrollment(username("ada"), course_id)

        assert state_of(learner, course) == ("audit", True)
        assert event_types() == ["created", "deactivated", "activated", "mode_changed"]

    @pytest.mark.rule("V1-ENR-04")
    def test_re_enrolling_takes_the_mode_asked_for(self) -> None:
        learner = make_user()
        course = make_course()
        make_modes(course, "audit", "verified")
        course_id = course_id_of(course)
        api.add_enrollment(username("ada"), course_id)
        api.update_enrollment(username("ada"), course_id, is_active=False)

        api.add_enrollment(username("ada"), course_id, "verified")

        assert state_of(learner, course) == ("verified", True)

    @pytest.mark.rule("V1-SER-04")
    def test_created_never_changes(self) -> None:
        make_user()
        course = make_course()
        make_modes(course, "audit", "honor")
        course_id = course_id_of(course)
        with one_call(NOON):
            first = api.add_enrollment(username("ada"), course_id)

        left = api.update_enrollment(username("ada"), course_id, is_active=False)
        again = api.add_enrollment(username("ada"), course_id, "honor")

        assert first["created"] == "2026-03-04T12:00:00Z"
        assert left["created"] == again["created"] == first["created"]

    @pytest.mark.rule("V1-ENR-06")
    def test_who_is_in_cannot_be_added_inactive(self) -> None:
        learner = make_user()
        course = make_course()
        api.add_enrollment(username("ada"), course_id_of(course))

        with nothing_written(), pytest.raises(CourseEnrollmentExistsError) as refusal:
            api.add_enrollment(username("ada"), course_id_of(course), is_active=False)

        assert refusal.value.enrollment["is_active"] is True
        assert state_of(learner, course) == ("audit", True)

    @pytest.mark.rule("B-05")
    def test_an_inactive_one_asked_to_be_inactive_stays_as_it_is(self) -> None:
        make_user()
        course = make_course(enrollment_end=NOON)
        make_modes(course, "audit", "verified")
        course_id = course_id_of(course)
        api.add_enrollment(
            username("ada"), course_id, "verified", False, force_enrollment=True
        )

        with nothing_written():
            kept = api.add_enrollment(username("ada"), course_id, is_active=False)

        assert (kept["mode"], kept["is_active"]) == ("verified", False)

    @pytest.mark.rule("B-05", "V1-ENR-20")
    def test_its_mode_may_be_gone_since(self) -> None:
        make_user()
        course = make_course()
        verified, _ = make_modes(course, "verified", "audit")
        course_id = course_id_of(course)
        api.add_enrollment(username("ada"), course_id, "verified", False)
        verified.delete()

        with nothing_written():
            kept = api.add_enrollment(
                username("ada"), course_id, "verified", is_active=False
            )

        assert (kept["mode"], kept["is_active"]) == ("verified", False)

    @pytest.mark.rule("V1-ATTR-02")
    def test_one_that_stays_inactive_still_takes_attributes(self) -> None:
        make_user()
        course_id = course_id_of(make_course())
        api.add_enrollment(username("ada"), course_id, is_active=False)

        api.add_enrollment(
            username("ada"), course_id, is_active=False, enrollment_attributes=[COLOR]
        )

        assert api.get_enrollment_attributes(username("ada"), course_id) == [COLOR]
        assert event_types() == ["created"]

    @pytest.mark.rule("V1-ENR-21")
    def test_an_inactive_one_asked_by_mode_moves_to_it(self) -> None:
        learner = make_user()
        course = make_course()
        make_modes(course, "audit", "verified")
        course_id = course_id_of(course)
        api.add_enrollment(username("ada"), course_id, "verified", False)

        api.add_enrollment(username("ada"), course_id, "audit", False)

        assert state_of(learner, course) == ("audit", False)
        assert event_types() == ["created", "mode_changed"]

    @pytest.mark.rule("V1-ENR-23")
    def test_an_expired_mode_is_open_only_to_inactive_ones(self) -> None:
        make_user()
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)
        course_id = course_id_of(course)

        with nothing_written(), pytest.raises(CourseModeNotFoundError):
            api.add_enrollment(username("ada"), course_id, "verified")
        added = api.add_enrollment(username("ada"), course_id, "verified", False)

        assert (added["mode"], added["is_active"]) == ("verified", False)

    @pytest.mark.rule("V1-ENR-25")
    def test_a_course_without_modes_is_audit(self) -> None:
        make_user("bob")
        make_user()
        course_id = course_id_of(make_course())

        assert api.add_enrollment(username("ada"), course_id)["mode"] == "audit"
        assert (
            api.add_enrollment(username("bob"), course_id, "audit")["mode"] == "audit"
        )

    @pytest.mark.rule("V1-ENR-26")
    @pytest.mark.parametrize("mode", [None, "audit"])
    def test_a_course_of_professionals_has_no_default(self, mode: str | None) -> None:
        make_user()
        course = make_course()
        make_mode(course, "professional")

        with nothing_written(), pytest.raises(CourseModeNotFoundError) as refusal:
            api.add_enrollment(username("ada"), course_id_of(course), mode)

        assert _slugs(refusal.value.data) == ["professional"]

    @pytest.mark.rule("V1-ENR-31", "B-14")
    def test_a_professional_in_it_who_asks_for_no_mode_is_in(
        self,
    ) -> None:
        make_user()
        course = make_course()
        make_mode(course, "professional")
        course_id = course_id_of(course)
        added = api.add_enrollment(username("ada"), course_id, "professional")

        with nothing_written(), pytest.raises(CourseEnrollmentExistsError) as refusal:
            api.add_enrollment(username("ada"), course_id)

        assert refusal.value.enrollment == added

    @pytest.mark.rule("V1-ENR-31")
    def test_an_explicit_mode_is_checked_even_of_who_is_in(self) -> None:
        make_user()
        course = make_course()
        make_mode(course, "professional")
        course_id = course_id_of(course)
        api.add_enrollment(username("ada"), course_id, "professional")

        with nothing_written(), pytest.raises(CourseModeNotFoundError):
            api.add_enrollment(username("ada"), course_id, "audit")

    @pytest.mark.rule("B-14")
    def test_who_is_in_is_in_although_the_course_closed_and_filled(self) -> None:
        make_user()
        course = make_course(max_student_enrollments_allowed=1)
        course_id = course_id_of(course)
        added = api.add_enrollment(username("ada"), course_id)
        _close(course)

        with nothing_written(), pytest.raises(CourseEnrollmentExistsError) as refusal:
            api.add_enrollment(username("ada"), course_id)

        assert refusal.value.enrollment["is_active"]
        assert refusal.value.enrollment["created"] == added["created"]

    @pytest.mark.rule("MODE-19")
    def test_a_new_mode_is_offered_at_once(self) -> None:
        make_user()
        course = make_course()
        course_id = course_id_of(course)
        with pytest.raises(CourseModeNotFoundError):
            api.add_enrollment(username("ada"), course_id, "verified")

        make_mode(course, "verified")

        assert api.add_enrollment(username("ada"), course_id, "verified")

    @pytest.mark.rule("MODE-19")
    def test_a_deleted_mode_is_gone_at_once(self) -> None:
        make_user()
        course = make_course()
        make_modes(course, "audit", "verified")
        CourseMode.objects.filter(mode_slug="verified").delete()

        with pytest.raises(CourseModeNotFoundError):
            api.add_enrollment(username("ada"), course_id_of(course), "verified")

    @pytest.mark.rule("V1-ATTR-06")
    def test_credit_is_entered_without_attributes(self) -> None:
        make_user()
        course = make_course()
        make_modes(course, "audit", "credit")

        added = api.add_enrollment(username("ada"), course_id_of(course), "credit")

        assert added["mode"] == "credit"

    def test_enterprise_uuid_is_noted_in_the_history(self) -> None:
        learner = make_user()
        course = make_course()

        api.add_enrollment(
            username("ada"), course_id_of(course), enterprise_uuid="acme"
        )

        assert row_of(learner, course).events.get().enterprise_uuid == "acme"


class TestForceEnrollment:
    @pytest.mark.rule("V1-FORCE-03")
    def test_lifts_the_window(self) -> None:
        make_user()
        course_id = course_id_of(make_course(enrollment_end=NOON))

        added = api.add_enrollment(username("ada"), course_id, force_enrollment=True)

        assert added["is_active"]

    @pytest.mark.rule("V1-FORCE-03")
    def test_lifts_invitations(self) -> None:
        make_user()
        course_id = course_id_of(make_course(invitation_only=True))

        added = api.add_enrollment(username("ada"), course_id, force_enrollment=True)

        assert added["is_active"]

    @pytest.mark.rule("V1-FORCE-04")
    def test_expired_modes_are_another_switch(self) -> None:
        make_user()
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)
        course_id = course_id_of(course)

        with pytest.raises(CourseModeNotFoundError):
            api.add_enrollment(
                username("ada"), course_id, "verified", force_enrollment=True
            )
        added = api.add_enrollment(
            username("ada"),
            course_id,
            "verified",
            force_enrollment=True,
            include_expired=True,
        )

        assert added["mode"] == "verified"

    @pytest.mark.rule("V1-FORCE-05")
    def test_does_not_lift_the_seats(self) -> None:
        make_user()
        course_id = course_id_of(make_course(max_student_enrollments_allowed=0))

        with nothing_written(), pytest.raises(CourseEnrollmentFullError):
            api.add_enrollment(username("ada"), course_id, force_enrollment=True)

    @pytest.mark.rule("V1-FORCE-06")
    def test_does_not_change_who_is_in(self) -> None:
        make_user()
        course = make_course()
        make_modes(course, "audit", "honor")
        course_id = course_id_of(course)
        api.add_enrollment(username("ada"), course_id)

        with nothing_written(), pytest.raises(CourseEnrollmentExistsError):
            api.add_enrollment(
                username("ada"), course_id, "honor", force_enrollment=True
            )


class TestUpdateEnrollment:
    @pytest.fixture
    def course(self) -> Any:
        make_user()
        course = make_course()
        make_modes(course, "honor", "verified")
        api.add_enrollment(username("ada"), course_id_of(course))
        return course

    @pytest.mark.rule("API-10", "V1-ENR-11")
    def test_changes_the_mode_and_keeps_the_activation(self, course: Any) -> None:
        updated = api.update_enrollment(
            username("ada"), course_id_of(course), mode="verified"
        )

        assert (updated["mode"], updated["is_active"]) == ("verified", True)
        json.dumps(updated)

    @pytest.mark.rule("V1-ENR-09")
    def test_deactivates_and_keeps_the_mode(self, course: Any) -> None:
        updated = api.update_enrollment(
            username("ada"), course_id_of(course), is_active=False
        )

        assert (updated["mode"], updated["is_active"]) == ("honor", False)

    @pytest.mark.rule("V1-ENR-12", "V1-ENR-13", "V1-ENR-14", "V1-ENR-15")
    @pytest.mark.parametrize("old_mode", ["honor", "verified"])
    @pytest.mark.parametrize("new_mode", ["honor", "verified"])
    @pytest.mark.parametrize("old_active", [True, False])
    @pytest.mark.parametrize("new_active", [True, False])
    def test_the_row_equals_the_request(
        self,
        course: Any,
        old_mode: str,
        new_mode: str,
        old_active: bool,
        new_active: bool,
    ) -> None:
        course_id = course_id_of(course)
        api.update_enrollment(username("ada"), course_id, old_mode, old_active)

        api.update_enrollment(username("ada"), course_id, new_mode, new_active)

        stored = api.get_enrollment(username("ada"), course_id)
        assert stored is not None
        assert (stored["mode"], stored["is_active"]) == (new_mode, new_active)

    @pytest.mark.rule("V1-ENR-30")
    @pytest.mark.parametrize(
        ("offered", "mode"),
        [
            ([], "audit"),
            (["audit", "verified"], "verified"),
            (["professional"], "professional"),
            (["no-id-professional"], "no-id-professional"),
            (["verified", "credit"], "credit"),
        ],
    )
    def test_deactivating_keeps_the_mode_whatever_is_offered(
        self, offered: list[str], mode: str
    ) -> None:
        learner = make_user()
        course = make_course()
        make_modes(course, *offered)
        api.add_enrollment(username("ada"), course_id_of(course), mode)

        with pytest.raises(CourseEnrollmentError, match="activation status"):
            api.update_enrollment(
                username("ada"),
                course_id_of(course),
                mode,
                "not a boolean",  # type: ignore[arg-type]
            )
        for _ in range(2):
            updated = api.update_enrollment(
                username("ada"), course_id_of(course), mode, is_active=False
            )
            assert (updated["mode"], updated["is_active"]) == (mode, False)
        assert state_of(learner, course) == (mode, False)

    @pytest.mark.rule("API-11")
    def test_no_row_is_not_found(self, course: Any) -> None:
        make_user("bob")
        course_id = course_id_of(course)

        with nothing_written(), pytest.raises(EnrollmentNotFoundError) as refusal:
            api.update_enrollment(username("bob"), course_id, is_active=True)

        name = username("bob")
        assert str(refusal.value) == (
            f"Course Enrollment not found for user {name} in course {course_id}"
        )
        assert refusal.value.code == "enrollment_not_found"

    @pytest.mark.rule("API-11")
    def test_an_unknown_course_is_not_found_either(self, course: Any) -> None:
        with pytest.raises(EnrollmentNotFoundError):
            api.update_enrollment(username("ada"), "no-such-course", is_active=True)
        with pytest.raises(CourseNotFoundError):
            api.update_enrollment(username("ada"), "no-such-course", mode="honor")

    @pytest.mark.rule("API-11")
    def test_an_unknown_user_is_told(self, course: Any) -> None:
        with pytest.raises(UserNotFoundError):
            api.update_enrollment("nobody", course_id_of(course), is_active=False)

    @pytest.mark.rule("API-12", "V1-ENR-18")
    def test_an_expired_mode_must_be_asked_for_as_such(self, course: Any) -> None:
        course_id = course_id_of(course)
        CourseMode.objects.filter(mode_slug="verified").update(expiration_datetime=NOON)

        with nothing_written(), pytest.raises(CourseModeNotFoundError):
            api.update_enrollment(username("ada"), course_id, mode="verified")
        updated = api.update_enrollment(
            username("ada"), course_id, mode="verified", include_expired=True
        )

        assert updated["mode"] == "verified"

    @pytest.mark.rule("API-12", "V1-ENR-19")
    def test_leaving_an_expired_mode_works_either_way(self, course: Any) -> None:
        course_id = course_id_of(course)
        api.update_enrollment(username("ada"), course_id, mode="verified")
        CourseMode.objects.filter(mode_slug="verified").update(expiration_datetime=NOON)

        updated = api.update_enrollment(
            username("ada"), course_id, mode="verified", is_active=False
        )

        assert (updated["mode"], updated["is_active"]) == ("verified", False)

    @pytest.mark.rule("API-13", "V1-ENR-16")
    def test_asks_for_no_access(self, course: Any) -> None:
        course_id = course_id_of(course)
        api.update_enrollment(username("ada"), course_id, is_active=False)
        _close(course)

        updated = api.update_enrollment(username("ada"), course_id, is_active=True)

        assert updated["is_active"]

    @pytest.mark.rule("API-13")
    def test_logs_start_and_end(
        self, course: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, logger="django_enrollments.api"):
            api.update_enrollment(username("ada"), course_id_of(course), "verified")

        assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
        assert caplog.messages[0].startswith("Starting an enrollment update")
        assert caplog.messages[1].startswith("Finished an enrollment update")

    @pytest.mark.rule("V1-ENR-17")
    def test_without_a_mode_none_is_checked(self, course: Any) -> None:
        CourseMode.objects.all().delete()

        updated = api.update_enrollment(
            username("ada"), course_id_of(course), is_active=False
        )

        assert updated["mode"] == "honor"

    @pytest.mark.rule("B-05")
    @pytest.mark.parametrize(
        "request_", [{}, {"mode": "honor"}, {"is_active": True}, {"mode": None}]
    )
    def test_what_equals_the_state_changes_nothing(
        self, course: Any, request_: dict[str, Any]
    ) -> None:
        with nothing_written():
            updated = api.update_enrollment(
                username("ada"), course_id_of(course), **request_
            )

        assert (updated["mode"], updated["is_active"]) == ("honor", True)

    @pytest.mark.rule("B-05", "V1-ENR-20")
    def test_deactivating_twice_changes_nothing(self, course: Any) -> None:
        course_id = course_id_of(course)
        api.update_enrollment(username("ada"), course_id, is_active=False)
        _close(course)

        with nothing_written():
            api.update_enrollment(username("ada"), course_id, is_active=False)
            api.update_enrollment(username("ada"), course_id, "honor", False)

    @pytest.mark.rule("V1-ATTR-02")
    def test_attributes_alone_can_be_written(self, course: Any) -> None:
        course_id = course_id_of(course)

        api.update_enrollment(username("ada"), course_id, enrollment_attributes=[SIZE])

        assert api.get_enrollment_attributes(username("ada"), course_id) == [SIZE]
        assert event_types() == ["created"]

    @pytest.mark.rule("B-07")
    def test_a_malformed_attribute_changes_nothing(self, course: Any) -> None:
        with nothing_written(), pytest.raises(InvalidEnrollmentAttribute):
            api.update_enrollment(
                username("ada"),
                course_id_of(course),
                mode="verified",
                enrollment_attributes=[{"namespace": "only"}],
            )

    @pytest.mark.rule("B-07")
    def test_without_a_row_no_attribute_is_written(self, course: Any) -> None:
        make_user("bob")

        with nothing_written(), pytest.raises(EnrollmentNotFoundError):
            api.update_enrollment(
                username("bob"), course_id_of(course), enrollment_attributes=[SIZE]
            )

    @pytest.mark.rule("MDL-01")
    def test_an_enrollment_of_a_deleted_course_can_be_left(self, course: Any) -> None:
        if not _key_is_id(course):
            pytest.skip("In this host a deleted course's id leads nowhere.")
        course_id = course_id_of(course)
        course.delete()

        updated = api.update_enrollment(username("ada"), course_id, is_active=False)

        assert updated["is_active"] is False
        assert updated["course_details"] is None
        assert event_types(course_id=course_id) == ["created", "deactivated"]


class TestGetCourseEnrollmentDetails:
    @pytest.mark.rule("API-14", "V1-CRS-05")
    def test_gives_the_course_with_its_modes(self) -> None:
        course = make_course()
        make_mode(course, "honor")
        make_mode(course, "verified", expiration_datetime=NOON)

        now = api.get_course_enrollment_details(course_id_of(course))
        ever = api.get_course_enrollment_details(
            course_id_of(course), include_expired=True
        )

        assert _slugs(now) == ["honor"]
        assert _slugs(ever) == ["honor", "verified"]

    @pytest.mark.rule("API-14")
    def test_an_unknown_course_is_told(self) -> None:
        with pytest.raises(CourseNotFoundError) as refusal:
            api.get_course_enrollment_details("no-such-course")

        assert str(refusal.value) == (
            "Requested enrollment information for unknown course no-such-course"
        )


class TestValidateCourseMode:
    @pytest.mark.rule("API-17", "MODE-08")
    def test_passes_an_offered_mode(self) -> None:
        course = make_course()
        make_modes(course, "honor", "credit")

        assert api.validate_course_mode(course_id_of(course), "honor") is None
        assert api.validate_course_mode(course_id_of(course), "credit") is None

    @pytest.mark.rule("MODE-10", "SEED-DIFF-16")
    def test_the_refusal_lists_what_there_is(self) -> None:
        course = make_course()
        make_modes(course, "honor", "verified")
        course_id = course_id_of(course)

        with pytest.raises(CourseModeNotFoundError) as refusal:
            api.validate_course_mode(course_id, "audit")

        assert str(refusal.value) == (
            f"Specified course mode 'audit' unavailable for course {course_id}.  "
            "Available modes were: honor, verified"
        )
        assert refusal.value.data == api.get_course_enrollment_details(course_id)

    @pytest.mark.rule("MODE-09")
    @pytest.mark.parametrize(
        ("is_active", "include_expired", "passes"),
        [
            (None, False, False),
            (True, False, False),
            (False, False, True),
            (None, True, True),
            (True, True, True),
            (False, True, True),
        ],
    )
    def test_expired_ones_pass_when_included_or_when_leaving(
        self, is_active: bool | None, include_expired: bool, passes: bool
    ) -> None:
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)

        expectation: Any = (
            nullcontext() if passes else pytest.raises(CourseModeNotFoundError)
        )

        with expectation as refusal:
            api.validate_course_mode(
                course_id_of(course), "verified", is_active, include_expired
            )

        assert refusal is None or _slugs(refusal.value.data) == ["audit"]

    @pytest.mark.rule("API-17")
    def test_an_unknown_course_is_told(self) -> None:
        with pytest.raises(CourseNotFoundError):
            api.validate_course_mode("no-such-course", "audit")

    @pytest.mark.rule("MODE-03")
    def test_the_moment_of_expiration_still_counts(self) -> None:
        course = make_course()
        make_mode(course, "verified", expiration_datetime=NOON)

        with one_call(NOON):
            api.validate_course_mode(course_id_of(course), "verified")
        with one_call(NOON + HOUR), pytest.raises(CourseModeNotFoundError):
            api.validate_course_mode(course_id_of(course), "verified")


class TestUnenrollUserFromAllCourses:
    @pytest.mark.rule("API-18", "SEED-DIFF-06")
    def test_gives_the_orgs_left_sorted_and_each_once(self) -> None:
        learner = make_user()
        for course_id in ("b/1/x", "a/1/x", "b/2/x", "django-101", "z/left/x"):
            CourseEnrollment.enroll(learner, course_id_of(make_course(course_id)))
        CourseEnrollment.unenroll(learner, "z/left/x")

        assert api.unenroll_user_from_all_courses(username("ada")) == ["", "a", "b"]
        assert api.unenroll_user_from_all_courses(username("ada")) == []

    @pytest.mark.rule("API-18")
    def test_the_org_is_what_the_course_says(self) -> None:
        learner = make_user()
        course = make_course("x/1/y", org="Institute")
        CourseEnrollment.enroll(learner, course_id_of(course))

        assert api.unenroll_user_from_all_courses(username("ada")) == ["Institute"]

    @pytest.mark.rule("API-18")
    def test_an_unknown_user_is_told(self) -> None:
        with pytest.raises(UserNotFoundError):
            api.unenroll_user_from_all_courses("nobody")


class TestGetUserRoles:
    @pytest.mark.rule("API-19")
    def test_gives_all_roles_of_the_user(self) -> None:
        ada, bob = make_user(), make_user("bob")
        own = {
            CourseAccessRole.objects.create(user=ada, course_id="a/b/c", role="staff"),
            CourseAccessRole.objects.create(user=ada, org="a", role="instructor"),
        }
        CourseAccessRole.objects.create(user=bob, course_id="a/b/c", role="staff")

        assert api.get_user_roles(username("ada")) == own


class TestSerializeEnrollments:
    @pytest.mark.rule("API-20")
    def test_keeps_those_of_deleted_courses(self) -> None:
        learner = make_user()
        kept, deleted = make_course("kept"), make_course("deleted")
        for course in (kept, deleted):
            CourseEnrollment.enroll(learner, course_id_of(course))
        get_course_model().objects.filter(pk=deleted.pk).delete()

        rows = CourseEnrollment.objects.filter(user=learner).order_by("pk")
        serialized = api.serialize_enrollments(rows)

        assert serialized[0] == api.get_enrollments(username("ada"))[0]
        assert [one["course_details"] is None for one in serialized] == [False, True]
        json.dumps(serialized)


class TestIsEnrollmentValidForProctoring:
    @pytest.fixture(autouse=True)
    def _special_exams(self, settings: Any) -> None:
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True
        settings.ENROLLMENTS_PROCTORING_BACKENDS = {
            "lenient": {"allow_honor_mode": True},
            "strict": {},
        }

    def _valid(self, mode: str, **facts: Any) -> bool:
        facts = {"enable_proctored_exams": True, **facts}
        learner = make_user()
        course_id = course_id_of(make_course(**facts))
        CourseEnrollment.enroll(learner, course_id, mode)
        return api.is_enrollment_valid_for_proctoring(username("ada"), course_id)

    @pytest.mark.rule("API-21", "PROC-01")
    def test_no_without_special_exams(
        self, settings: Any, django_assert_num_queries: Any
    ) -> None:
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = False

        with django_assert_num_queries(0):
            valid = api.is_enrollment_valid_for_proctoring(username("ada"), "any")

        assert valid is False

    @pytest.mark.rule("PROC-02")
    def test_no_without_an_active_enrollment(self) -> None:
        learner = make_user()
        course_id = course_id_of(make_course(enable_proctored_exams=True))
        before = api.is_enrollment_valid_for_proctoring(username("ada"), course_id)
        CourseEnrollment.enroll(learner, course_id, "verified")
        CourseEnrollment.unenroll(learner, course_id)

        assert before is False
        assert not api.is_enrollment_valid_for_proctoring(username("ada"), course_id)

    @pytest.mark.rule("PROC-03")
    def test_no_in_a_course_without_proctored_exams(self) -> None:
        assert self._valid("verified", enable_proctored_exams=False) is False

    @pytest.mark.rule("PROC-03")
    def test_no_in_a_course_that_is_missing(self) -> None:
        learner = make_user()
        course = make_course(enable_proctored_exams=True)
        CourseEnrollment.enroll(learner, course_id_of(course), "verified")
        course_id = course_id_of(course)
        course.delete()

        assert not api.is_enrollment_valid_for_proctoring(username("ada"), course_id)

    @pytest.mark.rule("PROC-04")
    @pytest.mark.parametrize(
        "mode", ["verified", "masters", "professional", "executive-education"]
    )
    def test_yes_in_the_proctored_modes(self, mode: str) -> None:
        assert self._valid(mode) is True

    @pytest.mark.rule("PROC-04")
    @pytest.mark.parametrize("mode", ["audit", "credit", "no-id-professional", "honor"])
    def test_no_in_the_others(self, mode: str) -> None:
        assert self._valid(mode) is False

    @pytest.mark.rule("PROC-04", "PROC-05")
    @pytest.mark.parametrize(
        ("provider", "valid"),
        [("lenient", True), ("strict", False), ("unheard-of", False), ("", False)],
    )
    def test_honor_as_the_provider_allows(self, provider: str, valid: bool) -> None:
        assert self._valid("honor", proctoring_provider=provider) is valid

    @pytest.mark.rule("PROC-06", "B-16")
    def test_anything_whose_text_is_the_id_will_do(self) -> None:
        class Key:
            def __str__(self) -> str:
                return "course-v1:a+b+c"

        learner = make_user()
        make_course("course-v1:a+b+c", enable_proctored_exams=True)
        CourseEnrollment.enroll(learner, Key(), "verified")

        assert api.is_enrollment_valid_for_proctoring(username("ada"), Key())


class TestWithinATransactionOfTheHosts:
    @pytest.mark.rule("B-07")
    def test_a_refusal_leaves_the_hosts_transaction_usable(self) -> None:
        make_user()
        make_user("bob")
        course_id = course_id_of(make_course(max_student_enrollments_allowed=1))
        api.add_enrollment(username("ada"), course_id, enrollment_attributes=[COLOR])

        with pytest.raises(CourseEnrollmentError):
            api.add_enrollment(
                username("bob"), course_id, enrollment_attributes=[COLOR]
            )

        assert api.get_enrollment(username("bob"), course_id) is None


def _slugs(details: Any) -> list[str]:
    return [mode["slug"] for mode in details["course_modes"]]


def _key_is_id(course: Any) -> bool:
    return bool(course.pk == course_id_of(course))


def _close(course: Any) -> None:
    """Let the enrollment window of a stored course end in the past."""
    fields = {field.name for field in course._meta.concrete_fields}
    name = "enrollment_end" if "enrollment_end" in fields else "registration_closes_at"
    type(course).objects.filter(pk=course.pk).update(**{name: NOON - DAY})
