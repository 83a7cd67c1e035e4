"""Rows to dictionaries and back (rules DATA, V1-SER, B-04, B-11)."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone

import pytest

from django_enrollments import data
from django_enrollments.context import Origin, attributed, one_call
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentError,
    CourseEnrollmentExistsError,
    CourseEnrollmentFullError,
    CourseNotFoundError,
    EnrollmentNotAllowed,
    InvalidEnrollmentAttribute,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAttribute,
    CourseMode,
    EnrollmentEvent,
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
    make_users,
    username,
)
from tests.watching import event_types, nothing_written, refused, row_of, state_of

pytestmark = pytest.mark.django_db

COLOR = {"namespace": "host", "name": "color", "value": "red"}

only_where_the_key_is_the_id = pytest.mark.skipif(
    not is_default_host(), reason="here a deleted course's id leads nowhere"
)


def refuse(action, **context):
    """A filter that vetoes everything."""
    raise EnrollmentNotAllowed("Not today.")


def show_only_verified(action, **context):
    """A filter that hides everything but verified enrollments from the learner."""
    if action != "queryset":
        return None
    return {"queryset": context["queryset"].filter(mode="verified")}


class TestEnrollmentDictionary:
    @pytest.mark.rule(
        "V1-SER-01",
        "V1-SER-02",
        "V1-SER-03",
        "V1-SER-04",
        "SEED-DIFF-03",
        "SEED-DIFF-04",
    )
    def test_has_these_keys_in_this_order(self):
        make_user()
        course = make_course()

        with one_call(NOON):
            enrollment = data.create_course_enrollment(
                username("ada"), course_id_of(course), "audit", is_active=True
            )

        assert list(enrollment) == [
            "created",
            "mode",
            "is_active",
            "course_details",
            "user",
        ]
        assert enrollment["created"] == "2026-03-04T12:00:00Z"
        assert enrollment["mode"] == "audit"
        assert enrollment["is_active"] is True
        assert enrollment["user"] == username("ada")

    @pytest.mark.rule("V1-SER-02")
    @pytest.mark.parametrize(
        ("at", "text"),
        [
            (NOON.replace(microsecond=120), "2026-03-04T12:00:00.000120Z"),
            (
                datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2))),
                "2026-07-01T12:00:00Z",
            ),
        ],
    )
    def test_created_is_utc_with_microseconds_when_there_are_any(self, at, text):
        make_user()
        course_id = course_id_of(make_course())

        with one_call(at):
            enrollment = data.create_course_enrollment(
                username("ada"), course_id, "audit", is_active=True
            )

        assert enrollment["created"] == text
        assert data.get_course_enrollments(username("ada"))[0]["created"] == text

    @pytest.mark.rule("V1-SER-05")
    def test_the_course_has_these_keys_in_this_order(self):
        details = data.get_course_enrollment_info(course_id_of(make_course()))

        assert list(details) == [
            "course_id",
            "course_name",
            "enrollment_start",
            "enrollment_end",
            "course_start",
            "course_end",
            "invite_only",
            "course_modes",
            "pacing_type",
        ]

    @pytest.mark.rule("V1-SER-06")
    @pytest.mark.parametrize("given", ["given", "derived", "blank"])
    def test_the_name_is_given_or_derived_from_the_run(self, given):
        if not is_default_host():
            pytest.skip("Seminars always have a title.")
        names = {"given": "Demo", "derived": None, "blank": ""}
        course_id = "course-v1:edX+DemoX+Demo_Course_1"
        make_course(course_id, display_name=names[given])

        details = data.get_course_enrollment_info(course_id)

        assert details["course_id"] == course_id
        expected = {"given": "Demo", "derived": "Demo Course 1", "blank": ""}
        assert details["course_name"] == expected[given]

    @pytest.mark.rule("V1-SER-07")
    def test_the_dates_are_iso_texts(self):
        course = make_course(
            enrollment_start=NOON - 2 * DAY,
            enrollment_end=NOON + DAY,
            start=NOON - DAY,
            end=NOON.replace(microsecond=1),
        )

        details = data.get_course_enrollment_info(course_id_of(course))

        assert details["enrollment_start"] == "2026-03-02T12:00:00Z"
        assert details["enrollment_end"] == "2026-03-05T12:00:00Z"
        assert details["course_start"] == "2026-03-03T12:00:00Z"
        assert details["course_end"] == "2026-03-04T12:00:00.000001Z"

    @pytest.mark.rule("V1-SER-08", "V1-CRS-08")
    @pytest.mark.parametrize(
        ("fact", "key"),
        [
            ("enrollment_start", "enrollment_start"),
            ("enrollment_end", "enrollment_end"),
            ("start", "course_start"),
            ("end", "course_end"),
        ],
    )
    def test_each_date_may_be_null(self, fact, key):
        dates = {"enrollment_start", "enrollment_end", "start", "end"} - {fact}
        course = make_course(**dict.fromkeys(dates, NOON))

        details = data.get_course_enrollment_info(course_id_of(course))

        keys = ("enrollment_start", "enrollment_end", "course_start", "course_end")
        assert [name for name in keys if details[name] is None] == [key]

    @pytest.mark.rule("V1-SER-10")
    @pytest.mark.parametrize("invited", [True, False])
    def test_invite_only_is_the_courses_own_flag(self, settings, invited):
        settings.ENROLLMENTS_INVITE_ONLY = True
        course = make_course(invitation_only=invited)

        details = data.get_course_enrollment_info(course_id_of(course))

        assert details["invite_only"] is invited

    @pytest.mark.rule("V1-SER-11")
    def test_pacing_is_one_of_two_texts(self):
        taught = data.get_course_enrollment_info(course_id_of(make_course("taught")))
        alone = data.get_course_enrollment_info(
            course_id_of(make_course("alone", self_paced=True))
        )

        assert taught["pacing_type"] == "Instructor Paced"
        # The other host's courses know no pace of their own.
        expected = "Self Paced" if is_default_host() else "Instructor Paced"
        assert alone["pacing_type"] == expected

    @pytest.mark.rule("V1-SER-12", "V1-SER-13")
    def test_a_mode_has_these_keys_in_this_order(self):
        course = make_course()
        make_mode(
            course,
            "verified",
            mode_display_name="Verified Certificate",
            min_price=49,
            suggested_prices="50,100",
            currency="EUR",
            expiration_datetime=NOON + 3650 * DAY,
            description="With a certificate",
            sku="SKU-1",
            bulk_sku="BULK-1",
        )

        (mode,) = data.get_course_enrollment_info(course_id_of(course))["course_modes"]

        assert list(mode.items()) == [
            ("slug", "verified"),
            ("name", "Verified Certificate"),
            ("min_price", 49),
            ("suggested_prices", [50, 100]),
            ("currency", "eur"),
            ("expiration_datetime", "2036-03-01T12:00:00Z"),
            ("description", "With a certificate"),
            ("sku", "SKU-1"),
            ("bulk_sku", "BULK-1"),
        ]

    @pytest.mark.rule("V1-SER-13")
    def test_what_a_mode_lacks_is_null(self):
        course = make_course()
        make_mode(course)

        (mode,) = data.get_course_enrollment_info(course_id_of(course))["course_modes"]

        lacking = [name for name, value in mode.items() if value is None]
        assert lacking == ["expiration_datetime", "description", "sku", "bulk_sku"]

    @pytest.mark.rule("V1-SER-14")
    @pytest.mark.parametrize(
        ("stored", "shown"),
        [
            ("", ""),
            ("5", [5]),
            ("1,2,3", [1, 2, 3]),
            ("1, 2", [1, 2]),
            ("-5,5", [-5, 5]),
            (",", ""),
            ("--5,x,1.5,²", ""),
        ],
    )
    def test_no_suggested_prices_are_a_blank_text(self, stored, shown):
        course = make_course()
        make_mode(course, suggested_prices=stored)

        (mode,) = data.get_course_enrollment_info(course_id_of(course))["course_modes"]

        assert mode["suggested_prices"] == shown

    @pytest.mark.rule("V1-SER-17")
    def test_expired_modes_are_left_out_and_credit_is_not(self):
        course = make_course()
        make_modes(course, "audit", "credit")
        make_mode(course, "verified", expiration_datetime=NOON)
        make_user()

        enrollment = data.create_course_enrollment(
            username("ada"), course_id_of(course), "audit", is_active=True
        )

        modes = enrollment["course_details"]["course_modes"]
        assert [mode["slug"] for mode in modes] == ["audit", "credit"]

    @pytest.mark.rule("V1-SER-18", "V1-CRS-09")
    @pytest.mark.parametrize("expired", [False, True])
    def test_without_usable_modes_there_is_the_default(self, expired):
        course = make_course()
        if expired:
            make_mode(course, "verified", expiration_datetime=NOON)

        modes = data.get_course_enrollment_info(course_id_of(course))["course_modes"]

        assert modes == [
            {
                "slug": "audit",
                "name": "Audit",
                "min_price": 0,
                "suggested_prices": "",
                "currency": "usd",
                "expiration_datetime": None,
                "description": None,
                "sku": None,
                "bulk_sku": None,
            }
        ]

    @pytest.mark.rule("V1-SER-19")
    @only_where_the_key_is_the_id
    def test_a_deleted_course_is_null(self):
        course = make_course()
        CourseEnrollment.enroll(make_user(), course_id_of(course))
        course_id = course_id_of(course)
        course.delete()

        enrollment = data.get_course_enrollment(username("ada"), course_id)

        assert enrollment is not None
        assert enrollment["course_details"] is None

    @pytest.mark.rule("V1-SER-22")
    def test_many_are_as_each_by_itself(self):
        first, second = make_course("first"), make_course("second")
        make_modes(first, "audit", "verified")
        make_mode(first, "audit", currency="eur")
        make_mode(second, "honor", expiration_datetime=NOON)
        for learner in make_users(3):
            for course in (first, second):
                CourseEnrollment.enroll(learner, course_id_of(course))
        rows = CourseEnrollment.objects.order_by("pk")

        together = data.serialize_enrollments(rows)

        assert len(together) == 6
        assert together == [data.serialize_enrollments([row])[0] for row in rows]
        assert together == data.serialize_enrollments(list(rows))
        assert together == data.serialize_enrollments(
            rows.select_related("user", "course")
        )
        for row, one in zip(rows, together, strict=True):
            course_id = one["course_details"]["course_id"]
            assert one == data.get_course_enrollment(row.username, course_id)
        json.dumps(together)

    @pytest.mark.rule("V1-SER-22")
    def test_each_has_a_course_dictionary_of_its_own(self):
        course = make_course()
        for learner in make_users(2):
            CourseEnrollment.enroll(learner, course_id_of(course))

        first, second = data.serialize_enrollments(CourseEnrollment.objects.all())
        first["course_details"]["course_modes"].clear()

        assert second["course_details"]["course_modes"]


class TestGetCourseEnrollments:
    @pytest.mark.rule("DATA-01", "V1-LIST-02")
    def test_ties_are_stable(self):
        learner = make_user()
        with one_call(NOON):
            for number in range(5):
                CourseEnrollment.enroll(
                    learner, course_id_of(make_course(f"c{number}"))
                )

        listed = data.get_course_enrollments(username("ada"))

        ids = [one["course_details"]["course_id"] for one in listed]
        assert ids == ["c0", "c1", "c2", "c3", "c4"]

    @pytest.mark.rule("DATA-01", "V1-LIST-04")
    @pytest.mark.parametrize("include_inactive", [False, True])
    def test_deleted_courses_are_dropped_with_a_warning(self, caplog, include_inactive):
        learner = make_user()
        kept, deleted = make_course("kept"), make_course("deleted")
        CourseEnrollment.enroll(learner, "kept")
        CourseEnrollment.enroll(learner, "deleted")
        deleted.delete()

        with caplog.at_level(logging.WARNING):
            listed = data.get_course_enrollments(username("ada"), include_inactive)

        assert [one["course_details"]["course_id"] for one in listed] == ["kept"]
        assert "1 enrollments of deleted courses are left out" in caplog.text
        assert course_id_of(kept) == "kept"

    @pytest.mark.rule("DATA-01")
    def test_all_rows_are_listed_when_asked(self):
        make_user()
        for course_id, is_active in (("in", True), ("out", False)):
            make_course(course_id)
            data.create_course_enrollment(
                username("ada"), course_id, "audit", is_active=is_active
            )

        listed = data.get_course_enrollments(username("ada"), include_inactive=True)

        assert [one["is_active"] for one in listed] == [True, False]

    def test_a_filter_narrows_the_learners_own_list(self, settings):
        settings.ENROLLMENTS_FILTERS = [show_only_verified]
        learner = make_user()
        for course_id, mode in (("plain", "audit"), ("paid", "verified")):
            CourseEnrollment.enroll(learner, course_id_of(make_course(course_id)), mode)

        listed = data.get_course_enrollments(username("ada"))

        assert [one["mode"] for one in listed] == ["verified"]

    def test_a_filter_is_not_asked_about_nobody(self, settings):
        settings.ENROLLMENTS_FILTERS = [refuse]

        assert data.get_course_enrollments("nobody") == []


class TestGetCourseEnrollment:
    @pytest.mark.rule("DATA-02")
    def test_gives_the_dictionary_active_or_not(self):
        learner = make_user()
        course_id = course_id_of(make_course())
        CourseEnrollment.enroll(learner, course_id, "honor")
        active = data.get_course_enrollment(username("ada"), course_id)
        CourseEnrollment.unenroll(learner, course_id)

        left = data.get_course_enrollment(username("ada"), course_id)

        assert active is not None
        assert left == {**active, "is_active": False}

    @pytest.mark.rule("DATA-02")
    def test_gives_none_when_there_is_none(self):
        make_user()
        course_id = course_id_of(make_course())

        assert data.get_course_enrollment(username("ada"), course_id) is None
        assert data.get_course_enrollment(username("ada"), "unknown") is None
        assert data.get_course_enrollment("nobody", course_id) is None


class TestGetUserEnrollments:
    @pytest.mark.rule("DATA-03")
    def test_gives_a_queryset_of_active_ones_by_creation(self):
        course = make_course()
        late, early, left = make_users(3)
        for learner, at in ((late, NOON), (early, NOON - DAY), (left, NOON)):
            with one_call(at):
                CourseEnrollment.enroll(learner, course_id_of(course))
        CourseEnrollment.unenroll(left, course_id_of(course))

        enrollments = data.get_user_enrollments(course_id_of(course))

        assert [row.user for row in enrollments.select_related("user")] == [early, late]

    @pytest.mark.rule("DATA-03", "SEED-DIFF-15")
    @pytest.mark.parametrize("course_id", ["no-such-course", "", "not valid", None, []])
    def test_gives_an_empty_queryset_when_there_is_none(self, course_id):
        assert not data.get_user_enrollments(course_id).exists()


class TestCreateCourseEnrollment:
    @pytest.mark.rule("DATA-04")
    def test_does_not_ask_whether_the_mode_is_offered(self):
        learner = make_user()
        course = make_course()
        make_mode(course, "audit")

        data.create_course_enrollment(
            username("ada"), course_id_of(course), "masters", is_active=True
        )

        assert state_of(learner, course) == ("masters", True)

    @pytest.mark.rule("DATA-05")
    def test_an_unknown_user_is_told(self):
        course_id = course_id_of(make_course())

        with refused(UserNotFoundError) as refusal:
            data.create_course_enrollment("nobody", course_id, "audit", is_active=True)

        assert str(refusal.value) == "Not user with username 'nobody' found."

    @pytest.mark.rule("DATA-05")
    def test_an_unknown_course_is_told(self):
        make_user()

        with refused(CourseNotFoundError):
            data.create_course_enrollment(
                username("ada"), "no-such-course", "audit", is_active=True
            )

    @pytest.mark.rule("DATA-05")
    def test_a_closed_course_is_told_unless_forced(self):
        make_user()
        course_id = course_id_of(make_course(enrollment_end=NOON))

        with refused(CourseEnrollmentClosedError):
            data.create_course_enrollment(username("ada"), course_id, "audit", True)
        created = data.create_course_enrollment(
            username("ada"), course_id, "audit", True, force_enrollment=True
        )

        assert created["is_active"]

    @pytest.mark.rule("DATA-05")
    def test_a_full_course_is_told(self):
        make_user()
        course_id = course_id_of(make_course(max_student_enrollments_allowed=0))

        with refused(CourseEnrollmentFullError):
            data.create_course_enrollment(username("ada"), course_id, "audit", True)

    @pytest.mark.rule("DATA-05")
    def test_who_is_in_is_told_with_the_current_state_and_logged(self, caplog):
        learner = make_user()
        course_id = course_id_of(make_course())
        created = data.create_course_enrollment(
            username("ada"), course_id, "honor", True
        )

        with refused(CourseEnrollmentExistsError) as refusal:
            data.create_course_enrollment(username("ada"), course_id, "audit", True)

        assert refusal.value.enrollment == created
        assert f"User {learner.pk} is already enrolled" in caplog.text

    def test_no_word_about_the_activation_means_active(self):
        make_user()
        course_id = course_id_of(make_course())

        created = data.create_course_enrollment(
            username("ada"), course_id, None, is_active=None
        )

        assert (created["mode"], created["is_active"]) == ("audit", True)


class TestUpdateCourseEnrollment:
    @pytest.mark.rule("DATA-06")
    def test_gives_none_without_a_row(self):
        make_user()
        course_id = course_id_of(make_course())

        with nothing_written():
            assert data.update_course_enrollment(username("ada"), course_id) is None
            assert data.update_course_enrollment(username("ada"), "unknown") is None
            assert data.update_course_enrollment(username("ada"), "not valid") is None

    @pytest.mark.rule("DATA-06")
    def test_an_unknown_user_is_told(self):
        with pytest.raises(UserNotFoundError):
            data.update_course_enrollment("nobody", course_id_of(make_course()))

    @pytest.mark.rule("DATA-06")
    def test_gives_the_dictionary_of_what_it_wrote(self):
        learner = make_user()
        course = make_course()
        CourseEnrollment.enroll(learner, course_id_of(course))

        updated = data.update_course_enrollment(
            username("ada"), course_id_of(course), mode="honor", is_active=False
        )

        assert updated == data.get_course_enrollment(
            username("ada"), course_id_of(course)
        )
        assert state_of(learner, course) == ("honor", False)


class TestAttributes:
    @pytest.mark.rule("DATA-07", "V1-ATTR-03")
    def test_writing_replaces_all(self):
        learner = make_user()
        course_id = course_id_of(make_course())
        CourseEnrollment.enroll(learner, course_id)
        first = [COLOR, {**COLOR, "name": "size"}]
        data.add_or_update_enrollment_attr(username("ada"), course_id, first)

        data.add_or_update_enrollment_attr(
            username("ada"), course_id, [{**COLOR, "name": "shape"}]
        )

        names = [
            one["name"]
            for one in data.get_enrollment_attributes(username("ada"), course_id)
        ]
        assert names == ["shape"]

    @pytest.mark.rule("V1-ATTR-03")
    def test_an_empty_list_deletes_all(self):
        learner = make_user()
        course_id = course_id_of(make_course())
        CourseEnrollment.enroll(learner, course_id)
        data.add_or_update_enrollment_attr(username("ada"), course_id, [COLOR])

        data.add_or_update_enrollment_attr(username("ada"), course_id, [])

        assert data.get_enrollment_attributes(username("ada"), course_id) == []

    @pytest.mark.rule("V1-ATTR-03")
    def test_those_of_others_stay(self):
        course_id = course_id_of(make_course())
        for name in ("ada", "bob"):
            CourseEnrollment.enroll(make_user(name), course_id)
            data.add_or_update_enrollment_attr(username(name), course_id, [COLOR])

        data.add_or_update_enrollment_attr(username("bob"), course_id, [])

        assert data.get_enrollment_attributes(username("ada"), course_id) == [COLOR]

    @pytest.mark.rule("DATA-07")
    @pytest.mark.parametrize(
        ("attribute", "part"),
        [
            ({}, "namespace"),
            ({"name": "a", "value": "b"}, "namespace"),
            ({"namespace": "a", "value": "b"}, "name"),
            ({"namespace": "a", "name": "b"}, "value"),
            ({"namespace": "a"}, "name"),
        ],
    )
    def test_the_first_missing_part_is_told(self, attribute, part):
        learner = make_user()
        course_id = course_id_of(make_course())
        CourseEnrollment.enroll(learner, course_id)
        data.add_or_update_enrollment_attr(username("ada"), course_id, [COLOR])

        with refused(InvalidEnrollmentAttribute) as refusal:
            data.add_or_update_enrollment_attr(
                username("ada"), course_id, [COLOR, attribute]
            )

        assert str(refusal.value) == f"'{part}' not in enrollment attribute"
        assert refusal.value.code == "invalid_attribute"

    @pytest.mark.rule("DATA-08", "API-16")
    def test_are_listed_as_written(self):
        learner = make_user()
        course_id = course_id_of(make_course())
        CourseEnrollment.enroll(learner, course_id)
        written = [{**COLOR, "name": name} for name in ("z", "a", "m")]
        data.add_or_update_enrollment_attr(username("ada"), course_id, written)

        assert data.get_enrollment_attributes(username("ada"), course_id) == written

    @pytest.mark.rule("DATA-07", "API-15")
    def test_without_a_row_nothing_happens(self):
        make_user()
        course_id = course_id_of(make_course())

        with nothing_written():
            data.add_or_update_enrollment_attr(username("ada"), course_id, [COLOR])

        assert data.get_enrollment_attributes(username("ada"), course_id) == []

    @pytest.mark.rule("DATA-07", "DATA-08")
    def test_an_unknown_user_is_told(self):
        course_id = course_id_of(make_course())

        with pytest.raises(UserNotFoundError):
            data.add_or_update_enrollment_attr("nobody", course_id, [COLOR])
        with pytest.raises(UserNotFoundError):
            data.get_enrollment_attributes("nobody", course_id)

    def test_writing_them_is_no_event(self):
        learner = make_user()
        course_id = course_id_of(make_course())
        CourseEnrollment.enroll(learner, course_id)

        data.add_or_update_enrollment_attr(username("ada"), course_id, [COLOR])

        assert event_types() == ["created"]


class TestUnenrollUserFromAllCourses:
    @pytest.mark.rule("DATA-09", "V1-UNENR-07", "SEED-DIFF-06")
    def test_gives_the_ids_of_the_courses_left(self):
        learner, other = make_users(2)
        for course_id in ("b", "a", "gone"):
            make_course(course_id)
            CourseEnrollment.enroll(learner, course_id, "verified")
            CourseEnrollment.enroll(other, course_id)
        CourseEnrollment.unenroll(learner, "gone")

        left = data.unenroll_user_from_all_courses(learner.get_username())

        assert left == ["a", "b"]
        rows = CourseEnrollment.objects.filter(user=learner)
        assert {(row.mode, row.is_active) for row in rows} == {("verified", False)}
        assert CourseEnrollment.objects.filter(user=other, is_active=True).count() == 3

    @pytest.mark.rule("V1-UNENR-07")
    def test_the_second_time_there_is_nothing_to_leave(self):
        learner = make_user()
        CourseEnrollment.enroll(learner, course_id_of(make_course()))
        data.unenroll_user_from_all_courses(username("ada"))

        with nothing_written():
            assert data.unenroll_user_from_all_courses(username("ada")) == []

    @pytest.mark.rule("DATA-09")
    def test_an_unknown_user_is_told(self):
        with pytest.raises(UserNotFoundError):
            data.unenroll_user_from_all_courses("nobody")

    @pytest.mark.rule("V1-UNENR-10")
    def test_filters_are_not_asked(self, settings):
        learner = make_user()
        CourseEnrollment.enroll(learner, course_id_of(make_course()))
        settings.ENROLLMENTS_FILTERS = [refuse]

        assert len(data.unenroll_user_from_all_courses(username("ada"))) == 1

    @pytest.mark.rule("V1-UNENR-10")
    def test_only_active_ones_make_events(self):
        learner = make_user()
        for course_id in ("in", "out"):
            make_course(course_id)
            CourseEnrollment.enroll(learner, course_id)
        CourseEnrollment.unenroll(learner, "out")
        before = EnrollmentEvent.objects.count()

        data.unenroll_user_from_all_courses(username("ada"))

        (event,) = EnrollmentEvent.objects.order_by("pk")[before:]
        assert (event.type, event.course_id) == ("deactivated", "in")
        assert event.source == "retirement"

    def test_the_history_keeps_who_retired_them(self):
        learner, worker = make_users(2)
        CourseEnrollment.enroll(learner, course_id_of(make_course()))

        with attributed(Origin(worker.pk, "rest", "asked by mail")):
            data.unenroll_user_from_all_courses(learner.get_username())

        event = EnrollmentEvent.objects.get(type="deactivated")
        assert (event.actor_id, event.source) == (worker.pk, "retirement")
        assert event.reason == "asked by mail"

    @pytest.mark.rule("B-11", "V1-UNENR-11")
    def test_deleted_courses_count(self):
        learner = make_user()
        kept, deleted = make_course("kept"), make_course("deleted")
        for course in (kept, deleted):
            CourseEnrollment.enroll(learner, course_id_of(course))
        deleted.delete()

        left = data.unenroll_user_from_all_courses(username("ada"))

        assert left == ["deleted", "kept"]
        assert not CourseEnrollment.objects.filter(is_active=True).exists()
        event = EnrollmentEvent.objects.filter(type="deactivated", course_id="deleted")
        assert event.count() == 1

    @pytest.mark.rule("B-11")
    def test_a_deleted_course_without_history_goes_by_its_key(self):
        learner = make_user()
        deleted = make_course("deleted")
        key = deleted.pk
        CourseEnrollment.objects.create(user=learner, course=deleted, mode="audit")
        deleted.delete()

        assert data.unenroll_user_from_all_courses(username("ada")) == [str(key)]


class TestGetCourseEnrollmentInfo:
    @pytest.mark.rule("DATA-10")
    def test_expired_modes_are_listed_when_asked(self):
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)

        now = data.get_course_enrollment_info(course_id_of(course))
        ever = data.get_course_enrollment_info(
            course_id_of(course), include_expired=True
        )

        assert len(now["course_modes"]) == 1
        assert len(ever["course_modes"]) == 2
        json.dumps(ever)

    @pytest.mark.rule("DATA-10", "DATA-13")
    @pytest.mark.parametrize("course_id", ["unknown", "not valid", "x/", ""])
    def test_an_unknown_course_is_told(self, course_id):
        with pytest.raises(CourseNotFoundError) as refusal:
            data.get_course_enrollment_info(course_id)

        assert str(refusal.value) == (
            f"Requested enrollment information for unknown course {course_id}"
        )


class TestGetUserRoles:
    @pytest.mark.rule("DATA-11")
    def test_gives_a_set_of_rows(self):
        learner = make_user()
        role = CourseAccessRole.objects.create(user=learner, org="edX", role="staff")

        assert data.get_user_roles(username("ada")) == {role}

    @pytest.mark.rule("DATA-11")
    def test_gives_an_empty_set_when_there_are_none(self):
        make_user()

        assert data.get_user_roles(username("ada")) == set()

    @pytest.mark.rule("DATA-11")
    def test_an_unknown_user_is_told(self):
        with pytest.raises(UserNotFoundError):
            data.get_user_roles("nobody")


class TestSerializeEnrollments:
    @pytest.mark.rule("DATA-12")
    def test_keeps_the_order_of_any_iterable(self):
        learners = make_users(3)
        course = make_course()
        rows = [CourseEnrollment.enroll(one, course_id_of(course)) for one in learners]
        names = [learner.get_username() for learner in learners]

        backwards = data.serialize_enrollments(reversed(rows))
        ordered = data.serialize_enrollments(CourseEnrollment.objects.order_by("-pk"))

        assert [one["user"] for one in backwards] == names[::-1]
        assert ordered == backwards

    @pytest.mark.rule("DATA-12")
    def test_a_queryset_may_be_sliced_or_read_already(self):
        learners = make_users(3)
        course = make_course()
        for one in learners:
            CourseEnrollment.enroll(one, course_id_of(course))
        read = CourseEnrollment.objects.order_by("pk")
        rows = list(read)

        assert len(data.serialize_enrollments(read[:2])) == 2
        assert data.serialize_enrollments(read) == data.serialize_enrollments(rows)

    @pytest.mark.rule("DATA-12")
    def test_expired_modes_are_listed_when_asked(self):
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)
        row = CourseEnrollment.enroll(make_user(), course_id_of(course))

        (now,) = data.serialize_enrollments([row])
        (ever,) = data.serialize_enrollments([row], include_expired=True)

        assert len(now["course_details"]["course_modes"]) == 1
        assert len(ever["course_details"]["course_modes"]) == 2

    @pytest.mark.rule("DATA-12")
    def test_nothing_gives_nothing(self):
        assert data.serialize_enrollments([]) == []
        assert data.serialize_enrollments(CourseEnrollment.objects.none()) == []

    @pytest.mark.rule("API-20")
    def test_an_orphan_with_instances_is_null_too(self):
        course = make_course()
        CourseEnrollment.enroll(make_user(), course_id_of(course))
        course.delete()

        (one,) = data.serialize_enrollments(list(CourseEnrollment.objects.all()))

        assert one["course_details"] is None

    @pytest.mark.rule("MODE-13", "MODE-18")
    def test_modes_come_in_creation_order_one_per_currency(self):
        course = make_course()
        make_modes(course, "verified", "audit")
        make_mode(course, "verified", currency="eur")
        row = CourseEnrollment.enroll(make_user(), course_id_of(course))

        (one,) = data.serialize_enrollments([row])

        modes = one["course_details"]["course_modes"]
        assert [(mode["slug"], mode["currency"]) for mode in modes] == [
            ("verified", "usd"),
            ("audit", "usd"),
            ("verified", "eur"),
        ]
        assert (
            modes
            == data.get_course_enrollment_info(course_id_of(course))["course_modes"]
        )


class TestUsesTheModelsItOwns:
    def test_attributes_go_with_the_enrollment(self):
        learner = make_user()
        course = make_course()
        CourseEnrollment.enroll(learner, course_id_of(course))
        data.add_or_update_enrollment_attr(
            username("ada"), course_id_of(course), [COLOR]
        )

        row_of(learner, course).delete()

        assert not CourseEnrollmentAttribute.objects.exists()
        assert CourseMode.objects.count() == 0

    @pytest.mark.parametrize("value", ["yes", 1, 0, "true", [], {}])
    def test_the_activation_must_be_a_boolean(self, value):
        make_user()
        course_id = course_id_of(make_course())

        text = "is an invalid enrollment activation status"
        with refused(CourseEnrollmentError, match=text):
            data.create_course_enrollment(username("ada"), course_id, "audit", value)
        with refused(CourseEnrollmentError, match=text):
            data.update_course_enrollment(username("ada"), course_id, is_active=value)
