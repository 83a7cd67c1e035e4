"""The functions of the public API, and through them the rules of enrolling."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext

import pytest

from django_enrollments import api
from django_enrollments.context import call_context
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
from django_enrollments.models import CourseAccessRole, CourseEnrollment, CourseMode
from tests.factories import (
    DAY,
    NOON,
    close,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    username,
)
from tests.swapped import data as other_data
from tests.watching import (
    event_types,
    nothing_written,
    raises_without_writes,
    row_of,
    state_of,
)

pytestmark = pytest.mark.django_db

ADA = username("ada")
COLOR = {"namespace": "host", "name": "color", "value": "red"}
SIZE = {"namespace": "host", "name": "size", "value": "XL"}


def add(course, *args, **options):
    """Add an enrollment of the learner ``ada``."""
    return api.add_enrollment(ADA, course_id_of(course), *args, **options)


def change(course, *args, **options):
    """Update the enrollment of the learner ``ada``."""
    return api.update_enrollment(ADA, course_id_of(course), *args, **options)


def attributes_in(course):
    return api.get_enrollment_attributes(ADA, course_id_of(course))


def slugs(details):
    return [mode["slug"] for mode in details["course_modes"]]


def state(enrollment):
    return enrollment["mode"], enrollment["is_active"]


class TestDataLayer:
    @pytest.fixture(autouse=True)
    def _other_data_layer(self, settings):
        settings.ENROLLMENTS_DATA_API = "tests.swapped.data"
        other_data.CALLS.clear()

    @pytest.mark.rule("API-01")
    @pytest.mark.parametrize(
        "path",
        [
            "no.such.module",
            "django_enrollments.nowhere",
            "nowhere",
            ".",
            "a b",
            "tests.swapped.broken",
        ],
    )
    def test_that_cannot_be_imported_is_reported_by_its_path(self, settings, path):
        settings.ENROLLMENTS_DATA_API = path

        with pytest.raises(EnrollmentApiLoadError) as refusal:
            api.get_enrollments("someone")

        assert path in str(refusal.value)
        assert refusal.value.code == "data_api_not_loaded"

    @pytest.mark.rule("API-01")
    def test_is_read_from_the_setting_at_each_call(self, settings):
        listed_elsewhere = api.get_enrollments("someone")

        settings.ENROLLMENTS_DATA_API = "django_enrollments.data"

        assert [one["mode"] for one in listed_elsewhere] == ["audit", "verified"]
        assert api.get_enrollments("someone") == []

    @pytest.mark.rule("DATA-14")
    def test_lists_enrollments_to_choose_by_mode(self):
        verified = api.get_verified_enrollments("someone", include_inactive=True)

        assert [one["mode"] for one in verified] == ["verified"]
        assert other_data.CALLS == [("get_course_enrollments", "someone", True)]

    @pytest.mark.rule("DATA-14")
    def test_gives_the_course_before_it_creates(self):
        added = api.add_enrollment("new", "far-away", enrollment_attributes=[COLOR])

        assert added == other_data.ENROLLMENT
        assert [call[0] for call in other_data.CALLS] == [
            "get_course_enrollment_info",
            "create_course_enrollment",
            "add_or_update_enrollment_attr",
        ]
        assert other_data.CALLS[1][1:] == ("new", "far-away", "audit", True)

    @pytest.mark.rule("DATA-14")
    def test_updates(self):
        updated = api.update_enrollment("someone", "far-away", is_active=False)

        assert updated == other_data.ENROLLMENT
        assert other_data.CALLS == [
            ("update_course_enrollment", "someone", "far-away", None, False)
        ]
        with pytest.raises(EnrollmentNotFoundError):
            api.update_enrollment("nobody", "far-away", is_active=False)

    @pytest.mark.rule("DATA-14", "API-18")
    def test_is_behind_the_other_functions(self):
        assert api.get_enrollment("someone", "far-away") == other_data.ENROLLMENT
        assert api.get_enrollment_attributes("someone", "far-away")[0]["value"] == "1"
        assert api.get_user_roles("someone") == {"role"}
        assert api.serialize_enrollments([]) == [other_data.ENROLLMENT]
        assert api.get_course_enrollment_details("far-away") == other_data.COURSE
        # Courses that it alone knows have the orgs of their ids.
        assert api.unenroll_user_from_all_courses("someone") == ["a", "x"]
        api.set_enrollment_attributes("someone", "far-away", [])
        api.validate_course_mode("far-away", "audit")
        with pytest.raises(CourseModeNotFoundError):
            api.validate_course_mode("far-away", "honor")


class TestLookingUp:
    @pytest.mark.rule("B-26")
    def test_a_username_in_another_case_finds_no_user(self, ada, course):
        add(course)
        course_id = course_id_of(course)
        shouted = ADA.upper()

        assert api.get_enrollments(shouted) == []
        assert api.get_enrollment(shouted, course_id) is None
        assert not api.is_enrollment_valid_for_proctoring(shouted, course_id)
        for call, *args in (
            (api.update_enrollment, course_id, None, False),
            (api.add_enrollment, course_id),
            (api.set_enrollment_attributes, course_id, [COLOR]),
            (api.get_enrollment_attributes, course_id),
            (api.unenroll_user_from_all_courses,),
        ):
            with raises_without_writes(UserNotFoundError):
                call(shouted, *args)

    @pytest.mark.rule("B-26")
    def test_a_course_id_in_another_case_finds_no_course(self, ada):
        add(make_course("django-101"))

        assert api.get_enrollment(ADA, "Django-101") is None
        with raises_without_writes(EnrollmentNotFoundError):
            api.update_enrollment(ADA, "Django-101", is_active=False)
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details("Django-101")


class TestGetEnrollments:
    @pytest.mark.rule("API-02")
    def test_lists_active_ones_by_creation(self, ada):
        for number, at in ((1, NOON), (2, NOON - DAY), (3, NOON)):
            with call_context(at):
                add(make_course(f"course-{number}"))
        api.update_enrollment(ADA, "course-1", is_active=False)

        active = api.get_enrollments(ADA)
        every = api.get_enrollments(ADA, include_inactive=True)

        assert [one["course_details"]["course_id"] for one in active] == [
            "course-2",
            "course-3",
        ]
        assert [one["is_active"] for one in every] == [True, False, True]

    @pytest.mark.rule("API-02")
    @pytest.mark.parametrize("name", ["nobody", "", "ADA"])
    def test_is_empty_for_an_unknown_user(self, ada, course, name):
        add(course)

        assert api.get_enrollments(name) == []

    @pytest.mark.rule("V1-LIST-15", "V1-GET-09")
    def test_shows_expired_modes_on_request(self, ada):
        course = make_course(modes=["honor"], expired=["verified"])
        add(course)

        for include, expected in ((False, ["honor"]), (True, ["honor", "verified"])):
            (listed,) = api.get_enrollments(ADA, include_expired=include)
            single = api.get_enrollment(
                ADA, course_id_of(course), include_expired=include
            )
            assert slugs(listed["course_details"]) == expected
            assert slugs(single["course_details"]) == expected


class TestGetVerifiedEnrollments:
    VERIFIED = (
        "verified",
        "professional",
        "masters",
        "executive-education",
        "paid-executive-education",
        "paid-bootcamp",
    )

    @pytest.mark.rule("MODE-11", "API-03")
    def test_keeps_the_modes_of_the_setting(self, ada, settings):
        others = ("no-id-professional", "credit", "honor", "audit")
        for slug in (*self.VERIFIED, *others):
            CourseEnrollment.enroll(ada, course_id_of(make_course(slug)), slug)

        default = api.get_verified_enrollments(ADA)
        settings.ENROLLMENTS_VERIFIED_MODES = ["honor"]
        chosen = api.get_verified_enrollments(ADA)

        assert [one["mode"] for one in default] == [*self.VERIFIED]
        assert [one["mode"] for one in chosen] == ["honor"]

    @pytest.mark.rule("API-03")
    def test_lists_inactive_ones_on_request(self, ada, course):
        CourseEnrollment.enroll(ada, course_id_of(course), "verified")
        CourseEnrollment.unenroll(ada, course_id_of(course))

        assert api.get_verified_enrollments(ADA) == []
        assert len(api.get_verified_enrollments(ADA, True)) == 1


class TestGetEnrollment:
    @pytest.mark.rule("API-04")
    def test_returns_an_inactive_one_too(self, ada, course):
        add(course, is_active=False)

        assert api.get_enrollment(ADA, course_id_of(course))["is_active"] is False

    @pytest.mark.rule("API-04")
    def test_returns_none_for_an_unknown_user_course_or_pair(self, ada, course):
        assert api.get_enrollment("nobody", course_id_of(course)) is None
        assert api.get_enrollment(ADA, "no-such-course") is None
        assert api.get_enrollment(ADA, course_id_of(course)) is None

    @pytest.mark.rule("V1-GET-13")
    def test_returns_the_one_of_this_user_and_course(self):
        courses = make_course("first"), make_course("second")
        for name in ("ada", "bob"):
            learner = make_user(name)
            for course in courses:
                CourseEnrollment.enroll(learner, course_id_of(course))

        enrollment = api.get_enrollment(username("bob"), "second")

        assert enrollment["user"] == username("bob")
        assert enrollment["course_details"]["course_id"] == "second"


class TestAddEnrollment:
    @pytest.mark.rule("API-05", "API-09", "V1-ENR-03", "V1-ENR-08")
    @pytest.mark.parametrize("is_active", [True, False])
    def test_enrolls_in_the_default_mode_actively_unless_given(
        self, ada, course, is_active
    ):
        added = add(course) if is_active else add(course, is_active=False)

        assert state(added) == state_of(ada, course) == ("audit", is_active)
        assert added["user"] == ADA
        json.dumps(added)

    @pytest.mark.rule("API-06")
    def test_writes_attributes_and_the_enterprise_customer(self, ada, course):
        add(course, enrollment_attributes=[COLOR, SIZE], enterprise_uuid="acme")

        assert attributes_in(course) == [COLOR, SIZE]
        assert row_of(ada, course).events.get().enterprise_uuid == "acme"

    @pytest.mark.rule("API-22")
    def test_returns_the_enrollment_as_it_is_read(self, ada):
        course = make_course(
            enrollment_start=NOON - DAY, end=NOON + DAY, display_name="Round trips"
        )
        make_mode(course, "audit", suggested_prices="1,2,3", currency="EUR")

        added = add(course)

        assert added == api.get_enrollment(ADA, course_id_of(course))
        assert api.get_enrollments(ADA) == [added]

    @pytest.mark.rule("API-07")
    @pytest.mark.parametrize(
        ("facts", "error", "code"),
        [
            (
                {"enrollment_end": NOON},
                CourseEnrollmentClosedError,
                "enrollment_closed",
            ),
            (
                {"max_student_enrollments_allowed": 0},
                CourseEnrollmentFullError,
                "course_full",
            ),
        ],
    )
    def test_refuses_a_course_that_is_closed_or_full(self, ada, facts, error, code):
        course = make_course(**facts)

        with raises_without_writes(error) as refusal:
            add(course)

        assert refusal.value.code == code

    @pytest.mark.rule("API-07", "V1-ENR-26")
    @pytest.mark.parametrize(
        ("offered", "asked"),
        [("honor", "verified"), ("professional", None), ("professional", "audit")],
    )
    def test_refuses_a_mode_that_the_course_does_not_offer(self, ada, offered, asked):
        course = make_course(modes=[offered])

        with raises_without_writes(CourseModeNotFoundError) as refusal:
            add(course, asked)

        assert refusal.value.code == "mode_unavailable"
        assert slugs(refusal.value.data) == [offered]

    @pytest.mark.rule("API-07", "API-08")
    @pytest.mark.parametrize(
        ("user", "course_id", "mode", "error", "code"),
        [
            (ADA, "no-such", None, CourseNotFoundError, "course_not_found"),
            ("nobody", "no-such", None, CourseNotFoundError, "course_not_found"),
            ("nobody", "any", "masters", CourseModeNotFoundError, "mode_unavailable"),
            ("nobody", "any", None, UserNotFoundError, "user_not_found"),
        ],
    )
    def test_looks_for_the_course_then_the_mode_then_the_user(
        self, ada, user, course_id, mode, error, code
    ):
        make_course("any")

        with raises_without_writes(error) as refusal:
            api.add_enrollment(user, course_id, mode)

        assert refusal.value.code == code

    @pytest.mark.rule("V1-ENR-29", "B-07", "V1-ATTR-10")
    @pytest.mark.parametrize(
        ("attributes", "text"),
        [
            ([COLOR, {"namespace": "a", "name": "b"}], "'value' not in"),
            ({"color": "red"}, "must be a list"),
        ],
    )
    def test_refuses_malformed_attributes_and_writes_nothing(
        self, ada, course, attributes, text
    ):
        with raises_without_writes(InvalidEnrollmentAttribute, match=text):
            add(course, enrollment_attributes=attributes)

        add(course)
        with raises_without_writes(InvalidEnrollmentAttribute, match=text):
            change(course, enrollment_attributes=attributes, is_active=False)

    @pytest.mark.rule("API-07", "V1-ENR-05", "V1-ENR-06", "V1-FORCE-06")
    @pytest.mark.parametrize(
        "options",
        [
            {"mode": "honor", "enrollment_attributes": [SIZE]},
            {"mode": "honor", "force_enrollment": True},
            {"is_active": False},
        ],
    )
    def test_refuses_an_active_learner_with_the_enrollment(self, ada, options):
        course = make_course(modes=["audit", "honor"])
        added = add(course, enrollment_attributes=[COLOR])

        with raises_without_writes(CourseEnrollmentExistsError) as refusal:
            add(course, **options)

        assert refusal.value.enrollment == added
        assert refusal.value.code == "already_enrolled"

    @pytest.mark.rule("B-14")
    def test_finds_an_active_learner_before_the_window_and_the_seats(self, ada):
        course = make_course(max_student_enrollments_allowed=1)
        added = add(course)
        close(course)

        with raises_without_writes(CourseEnrollmentExistsError) as refusal:
            add(course)

        assert refusal.value.enrollment["is_active"]
        assert refusal.value.enrollment["created"] == added["created"]

    @pytest.mark.rule("V1-ENR-31", "B-14")
    def test_checks_the_mode_of_an_active_learner_only_if_it_is_given(self, ada):
        course = make_course(modes=["professional"])
        added = add(course, "professional")

        with raises_without_writes(CourseEnrollmentExistsError) as refusal:
            add(course)
        with raises_without_writes(CourseModeNotFoundError):
            add(course, "audit")

        assert refusal.value.enrollment == added

    @pytest.mark.rule("V1-ENR-04", "MDL-28")
    @pytest.mark.parametrize(
        ("before", "asked", "after"),
        [("verified", None, "audit"), ("audit", "verified", "verified")],
    )
    def test_enrolls_again_in_the_mode_asked_for_or_the_default(
        self, ada, before, asked, after
    ):
        course = make_course(modes=["audit", "verified"])
        add(course, before)
        change(course, is_active=False)

        add(course, asked)

        assert state_of(ada, course) == (after, True)
        assert event_types() == ["created", "deactivated", "activated", "mode_changed"]

    @pytest.mark.rule("V1-SER-04")
    def test_never_changes_the_time_of_creation(self, ada):
        course = make_course(modes=["audit", "honor"])
        with call_context(NOON):
            first = add(course)

        left = change(course, is_active=False)
        again = add(course, "honor")

        assert first["created"] == "2026-03-04T12:00:00Z"
        assert left["created"] == again["created"] == first["created"]

    @pytest.mark.rule("B-05", "V1-ENR-20")
    @pytest.mark.parametrize("asked", [None, "verified"])
    def test_leaves_an_inactive_enrollment_that_stays_inactive(self, ada, asked):
        course = make_course(modes=["audit", "verified"])
        add(course, "verified", False)
        close(course)
        if asked:
            CourseMode.objects.filter(mode_slug=asked).delete()

        with nothing_written():
            kept = add(course, asked, is_active=False)

        assert state(kept) == ("verified", False)

    @pytest.mark.rule("V1-ENR-21", "V1-ATTR-02")
    def test_changes_mode_and_attributes_of_one_that_stays_inactive(self, ada):
        course = make_course(modes=["audit", "verified"])
        add(course, "verified", False)

        add(course, is_active=False, enrollment_attributes=[COLOR])
        assert attributes_in(course) == [COLOR]
        assert event_types() == ["created"]

        add(course, "audit", False)
        assert state_of(ada, course) == ("audit", False)
        assert event_types() == ["created", "mode_changed"]

    @pytest.mark.rule("V1-ENR-23")
    def test_takes_an_expired_mode_only_for_inactive_ones(self, ada):
        course = make_course(modes=["audit"], expired=["verified"])

        with raises_without_writes(CourseModeNotFoundError):
            add(course, "verified")

        assert state(add(course, "verified", False)) == ("verified", False)

    @pytest.mark.rule("V1-FORCE-03", "V1-FORCE-04")
    def test_by_force_ignores_the_window_and_invitations_but_no_expiration(self, ada):
        course = make_course(
            enrollment_end=NOON,
            invitation_only=True,
            modes=["audit"],
            expired=["verified"],
        )

        with raises_without_writes(CourseModeNotFoundError):
            add(course, "verified", force_enrollment=True)
        added = add(course, "verified", force_enrollment=True, include_expired=True)

        assert state(added) == ("verified", True)

    @pytest.mark.rule("V1-FORCE-05", "B-07")
    def test_by_force_needs_a_seat_and_leaves_a_transaction_usable(self, ada):
        course = make_course(max_student_enrollments_allowed=0)

        with raises_without_writes(CourseEnrollmentFullError):
            add(course, force_enrollment=True, enrollment_attributes=[COLOR])

        assert api.get_enrollment(ADA, course_id_of(course)) is None


class TestUpdateEnrollment:
    @pytest.fixture
    def course(self, ada):
        course = make_course(modes=["honor", "verified"])
        add(course)
        return course

    @pytest.mark.rule("API-10", "V1-ENR-11", "API-22")
    def test_changes_the_mode_and_keeps_the_activation(self, course):
        updated = change(course, mode="verified")

        assert state(updated) == ("verified", True)
        assert updated == api.get_enrollment(ADA, course_id_of(course))
        json.dumps(updated)

    @pytest.mark.rule("V1-ENR-12", "V1-ENR-13", "V1-ENR-14", "V1-ENR-15")
    @pytest.mark.parametrize("old_mode", ["honor", "verified"])
    @pytest.mark.parametrize("new_mode", ["honor", "verified"])
    @pytest.mark.parametrize("old_active", [True, False])
    @pytest.mark.parametrize("new_active", [True, False])
    def test_stores_the_state_asked_for(
        self, ada, course, old_mode, new_mode, old_active, new_active
    ):
        change(course, old_mode, old_active)

        change(course, new_mode, new_active)

        assert state_of(ada, course) == (new_mode, new_active)

    @pytest.mark.rule("V1-ENR-09", "V1-ENR-30")
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
    def test_deactivates_and_keeps_the_mode(self, offered, mode, ada):
        course = make_course("another", modes=offered)
        add(course, mode)

        with pytest.raises(CourseEnrollmentError, match="activation status"):
            change(course, mode, "not a boolean")
        for _ in range(2):
            assert state(change(course, mode, is_active=False)) == (mode, False)
        assert state_of(ada, course) == (mode, False)

    @pytest.mark.rule("API-11", "B-07")
    @pytest.mark.parametrize(
        "options", [{"is_active": True}, {"enrollment_attributes": [SIZE]}]
    )
    def test_refuses_a_learner_without_an_enrollment(self, course, options):
        name = make_user("bob").get_username()
        course_id = course_id_of(course)

        with raises_without_writes(EnrollmentNotFoundError) as refusal:
            api.update_enrollment(name, course_id, **options)

        assert refusal.value.code == "enrollment_not_found"
        assert str(refusal.value) == (
            f"Course Enrollment not found for user {name} in course {course_id}"
        )

    @pytest.mark.rule("API-11")
    def test_refuses_an_unknown_course_or_user(self, course):
        with raises_without_writes(EnrollmentNotFoundError):
            api.update_enrollment(ADA, "no-such-course", is_active=True)
        with raises_without_writes(CourseNotFoundError):
            api.update_enrollment(ADA, "no-such-course", mode="honor")
        with raises_without_writes(UserNotFoundError):
            api.update_enrollment("nobody", course_id_of(course), is_active=False)

    @pytest.mark.rule("API-12", "V1-ENR-18", "V1-ENR-19")
    def test_takes_an_expired_mode_if_included_or_when_deactivating(self, course):
        CourseMode.objects.filter(mode_slug="verified").update(expiration_datetime=NOON)

        with raises_without_writes(CourseModeNotFoundError):
            change(course, mode="verified")
        included = change(course, mode="verified", include_expired=True)
        left = change(course, mode="verified", is_active=False)

        assert state(included) == ("verified", True)
        assert state(left) == ("verified", False)

    @pytest.mark.rule("API-13", "V1-ENR-16")
    def test_ignores_the_window_and_logs_start_and_end(self, course, caplog):
        change(course, is_active=False)
        close(course)

        with caplog.at_level(logging.INFO, logger="django_enrollments.api"):
            assert change(course, is_active=True)["is_active"]

        assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
        assert caplog.messages[0].startswith("Starting an enrollment update")
        assert caplog.messages[1].startswith("Finished an enrollment update")

    @pytest.mark.rule("V1-ENR-17")
    def test_checks_no_mode_where_none_is_given(self, course):
        CourseMode.objects.all().delete()

        assert state(change(course, is_active=False)) == ("honor", False)

    @pytest.mark.rule("B-05", "V1-ENR-20")
    @pytest.mark.parametrize(
        ("before", "asked"),
        [
            (True, {}),
            (True, {"mode": "honor"}),
            (True, {"mode": None, "is_active": True}),
            (False, {"is_active": False}),
            (False, {"mode": "honor", "is_active": False}),
        ],
    )
    def test_writes_nothing_where_nothing_changes(self, course, before, asked):
        change(course, is_active=before)
        close(course)

        with nothing_written():
            updated = change(course, **asked)

        assert state(updated) == ("honor", before)

    @pytest.mark.rule("V1-ATTR-02")
    def test_may_write_attributes_alone(self, course):
        change(course, enrollment_attributes=[SIZE])

        assert attributes_in(course) == [SIZE]
        assert event_types() == ["created"]

    @pytest.mark.rule("MDL-01")
    @pytest.mark.skipif(
        not is_default_host(), reason="here a deleted course's id leads nowhere"
    )
    def test_deactivates_an_enrollment_of_a_deleted_course(self, course):
        course_id = course_id_of(course)
        course.delete()

        updated = api.update_enrollment(ADA, course_id, is_active=False)

        assert updated["is_active"] is False
        assert updated["course_details"] is None
        assert event_types(course_id=course_id) == ["created", "deactivated"]


class TestGetCourseEnrollmentDetails:
    @pytest.mark.rule("API-14", "V1-CRS-05")
    def test_returns_the_course_with_its_modes(self):
        course_id = course_id_of(make_course(modes=["honor"], expired=["verified"]))

        now = api.get_course_enrollment_details(course_id)
        ever = api.get_course_enrollment_details(course_id, include_expired=True)

        assert slugs(now) == ["honor"]
        assert slugs(ever) == ["honor", "verified"]
        text = "^Requested enrollment information for unknown course no-such-course$"
        with pytest.raises(CourseNotFoundError, match=text):
            api.get_course_enrollment_details("no-such-course")


class TestValidateCourseMode:
    @pytest.mark.rule("API-17", "MODE-08", "MODE-10", "SEED-DIFF-16")
    def test_refuses_modes_that_are_not_offered_and_lists_the_others(self):
        course_id = course_id_of(make_course(modes=["honor", "credit"]))

        assert api.validate_course_mode(course_id, "honor") is None
        assert api.validate_course_mode(course_id, "credit") is None
        with pytest.raises(CourseNotFoundError):
            api.validate_course_mode("no-such-course", "audit")
        with pytest.raises(CourseModeNotFoundError) as refusal:
            api.validate_course_mode(course_id, "audit")

        assert str(refusal.value) == (
            f"Specified course mode 'audit' unavailable for course {course_id}.  "
            "Available modes were: honor, credit"
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
    def test_accepts_expired_modes_if_included_or_when_leaving(
        self, is_active, include_expired, passes
    ):
        course_id = course_id_of(make_course(modes=["audit"], expired=["verified"]))
        raises_error = pytest.raises(CourseModeNotFoundError)

        with nullcontext() if passes else raises_error as refusal:
            api.validate_course_mode(course_id, "verified", is_active, include_expired)

        assert refusal is None or slugs(refusal.value.data) == ["audit"]


class TestUnenrollUserFromAllCourses:
    @pytest.mark.rule("API-18", "SEED-DIFF-06")
    def test_returns_the_orgs_of_active_enrollments_sorted_and_each_once(self, ada):
        make_course("x/1/y", org="Institute")
        for course_id in ("b/1/x", "a/1/x", "b/2/x", "django-101", "z/left/x"):
            make_course(course_id)
        for course_id in ("x/1/y", "b/1/x", "a/1/x", "b/2/x", "django-101", "z/left/x"):
            CourseEnrollment.enroll(ada, course_id)
        CourseEnrollment.unenroll(ada, "z/left/x")

        orgs = ["", "Institute", "a", "b"]
        assert api.unenroll_user_from_all_courses(ADA) == orgs
        assert api.unenroll_user_from_all_courses(ADA) == []
        with pytest.raises(UserNotFoundError):
            api.unenroll_user_from_all_courses("nobody")


class TestGetUserRoles:
    @pytest.mark.rule("API-19")
    def test_returns_all_roles_of_the_user(self, ada):
        grant = CourseAccessRole.objects.create
        own = {
            grant(user=ada, course_id="a/b/c", role="staff"),
            grant(user=ada, org="a", role="instructor"),
        }
        grant(user=make_user("bob"), course_id="a/b/c", role="staff")

        assert api.get_user_roles(ADA) == own


class TestSerializeEnrollments:
    @pytest.mark.rule("API-20")
    def test_keeps_enrollments_of_deleted_courses(self, ada):
        kept, deleted = make_course("kept"), make_course("deleted")
        for course in (kept, deleted):
            CourseEnrollment.enroll(ada, course_id_of(course))
        deleted.delete()

        rows = CourseEnrollment.objects.filter(user=ada).order_by("pk")
        serialized = api.serialize_enrollments(rows)

        assert serialized[0] == api.get_enrollments(ADA)[0]
        assert [one["course_details"] is None for one in serialized] == [False, True]
        json.dumps(serialized)


class TestIsEnrollmentValidForProctoring:
    @pytest.fixture(autouse=True)
    def _special_exams(self, settings):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True
        settings.ENROLLMENTS_PROCTORING_BACKENDS = {
            "lenient": {"allow_honor_mode": True},
            "strict": {},
        }

    @pytest.mark.rule("API-21", "PROC-01")
    def test_is_false_without_special_exams(self, settings, django_assert_num_queries):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = False

        with django_assert_num_queries(0):
            assert api.is_enrollment_valid_for_proctoring(ADA, "any") is False

    @pytest.mark.rule("PROC-02", "PROC-03")
    def test_needs_an_active_enrollment_in_a_course_that_exists(self, ada):
        make_course("left", enable_proctored_exams=True)
        deleted = make_course("deleted", enable_proctored_exams=True)
        valid = api.is_enrollment_valid_for_proctoring

        assert valid(ADA, "left") is False
        for course_id in ("left", "deleted"):
            CourseEnrollment.enroll(ada, course_id, "verified")
            assert valid(ADA, course_id) is True
        CourseEnrollment.unenroll(ada, "left")
        deleted.delete()
        assert valid(ADA, "left") is False
        assert valid(ADA, "deleted") is False

    @pytest.mark.rule("PROC-03", "PROC-04", "PROC-05")
    @pytest.mark.parametrize(
        ("mode", "facts", "valid"),
        [
            ("verified", {}, True),
            ("masters", {}, True),
            ("professional", {}, True),
            ("executive-education", {}, True),
            ("audit", {}, False),
            ("credit", {}, False),
            ("no-id-professional", {}, False),
            ("honor", {}, False),
            ("verified", {"enable_proctored_exams": False}, False),
            ("honor", {"proctoring_provider": "lenient"}, True),
            ("honor", {"proctoring_provider": "strict"}, False),
            ("honor", {"proctoring_provider": "unheard-of"}, False),
            ("honor", {"proctoring_provider": ""}, False),
        ],
    )
    def test_depends_on_mode_course_and_provider(self, ada, mode, facts, valid):
        course = make_course(**{"enable_proctored_exams": True, **facts})
        CourseEnrollment.enroll(ada, course_id_of(course), mode)

        course_id = course_id_of(course)
        assert api.is_enrollment_valid_for_proctoring(ADA, course_id) is valid

    @pytest.mark.rule("PROC-06", "B-16")
    def test_takes_any_object_whose_text_is_the_id(self, ada):
        class Key:
            def __str__(self):
                return "course-v1:a+b+c"

        make_course("course-v1:a+b+c", enable_proctored_exams=True)
        CourseEnrollment.enroll(ada, Key(), "verified")

        assert api.is_enrollment_valid_for_proctoring(ADA, Key())
