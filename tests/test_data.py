"""The default data layer: rows to dictionaries and back."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone

import pytest

from django_enrollments import data
from django_enrollments.context import Origin, call_context, override_origin
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentError,
    CourseEnrollmentExistsError,
    CourseEnrollmentFullError,
    CourseModeNotFoundError,
    CourseNotFoundError,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAttribute,
    EnrollmentEvent,
)
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.watching import (
    event_types,
    nothing_written,
    raises_without_writes,
    row_of,
    state_of,
    veto,
)

pytestmark = pytest.mark.django_db

ADA = username("ada")
COLOR = {"namespace": "host", "name": "color", "value": "red"}
DATES = {
    "enrollment_start": "enrollment_start",
    "enrollment_end": "enrollment_end",
    "start": "course_start",
    "end": "course_end",
}


@pytest.fixture
def course_id(course):
    return course_id_of(course)


def create(course_id, mode="audit", is_active=True, **options):
    """Create an enrollment of the learner ``ada``."""
    return data.create_course_enrollment(ADA, course_id, mode, is_active, **options)


def write_attributes(course_id, *attributes, name=ADA):
    data.add_or_update_enrollment_attr(name, course_id, [*attributes])


def attributes_in(course_id):
    return data.get_enrollment_attributes(ADA, course_id)


class TestEnrollmentDictionary:
    @pytest.mark.rule(
        "V1-SER-01",
        "V1-SER-02",
        "V1-SER-03",
        "V1-SER-04",
        "SEED-DIFF-03",
        "SEED-DIFF-04",
    )
    @pytest.mark.parametrize(
        ("at", "text"),
        [
            (NOON, "2026-03-04T12:00:00Z"),
            (NOON.replace(microsecond=120), "2026-03-04T12:00:00.000120Z"),
            (
                datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2))),
                "2026-07-01T12:00:00Z",
            ),
        ],
    )
    def test_has_these_values_in_this_order(self, ada, course_id, at, text):
        with call_context(at):
            created = create(course_id)

        assert data.get_course_enrollments(ADA) == [created]
        assert list(created.items()) == [
            ("created", text),
            ("mode", "audit"),
            ("is_active", True),
            ("course_details", data.get_course_enrollment_info(course_id)),
            ("user", ADA),
        ]

    @pytest.mark.rule("V1-SER-22")
    def test_shares_no_details_with_another(self, course_id):
        for learner in make_users(2):
            CourseEnrollment.enroll(learner, course_id)

        first, second = data.serialize_enrollments(CourseEnrollment.objects.all())
        first["course_details"]["course_modes"].clear()

        assert second["course_details"]["course_modes"]


class TestGetCourseEnrollmentInfo:
    @pytest.mark.rule("V1-SER-05", "V1-SER-07")
    def test_returns_these_keys_in_this_order_with_dates_as_text(self):
        course = make_course(
            enrollment_start=NOON - 2 * DAY,
            enrollment_end=NOON + DAY,
            start=NOON - DAY,
            end=NOON.replace(microsecond=1),
        )

        details = data.get_course_enrollment_info(course_id_of(course))

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
        assert {key: details[key] for key in DATES.values()} == {
            "enrollment_start": "2026-03-02T12:00:00Z",
            "enrollment_end": "2026-03-05T12:00:00Z",
            "course_start": "2026-03-03T12:00:00Z",
            "course_end": "2026-03-04T12:00:00.000001Z",
        }

    @pytest.mark.rule("V1-SER-08", "V1-CRS-08")
    @pytest.mark.parametrize(("fact", "key"), DATES.items())
    def test_returns_none_for_a_date_that_is_not_set(self, fact, key):
        course = make_course(**dict.fromkeys(DATES.keys() - {fact}, NOON))

        details = data.get_course_enrollment_info(course_id_of(course))

        assert [name for name in DATES.values() if details[name] is None] == [key]

    @pytest.mark.rule("V1-SER-06")
    @pytest.mark.parametrize(
        ("given", "shown"), [("Demo", "Demo"), (None, "Demo Course 1"), ("", "")]
    )
    @pytest.mark.skipif(not is_default_host(), reason="seminars always have a title")
    def test_returns_the_name_given_or_derived_from_the_run(self, given, shown):
        course_id = "course-v1:edX+DemoX+Demo_Course_1"
        make_course(course_id, display_name=given)

        details = data.get_course_enrollment_info(course_id)

        assert (details["course_id"], details["course_name"]) == (course_id, shown)

    @pytest.mark.rule("V1-SER-10", "V1-SER-11")
    @pytest.mark.parametrize("flag", [True, False])
    def test_returns_the_courses_own_flag_and_pace(self, settings, flag):
        settings.ENROLLMENTS_INVITE_ONLY = True
        course_id = course_id_of(make_course(invitation_only=flag, self_paced=flag))

        details = data.get_course_enrollment_info(course_id)

        assert details["invite_only"] is flag
        # Courses of the other host have no pace of their own.
        is_self_paced = flag and is_default_host()
        pace = "Self Paced" if is_self_paced else "Instructor Paced"
        assert details["pacing_type"] == pace

    @pytest.mark.rule("V1-SER-13", "V1-SER-18", "V1-CRS-09")
    @pytest.mark.parametrize(
        "modes", [{}, {"modes": ["audit"]}, {"expired": ["verified"]}]
    )
    def test_returns_a_plain_mode_or_the_default_with_these_values(self, modes):
        course_id = course_id_of(make_course(**modes))

        assert data.get_course_enrollment_info(course_id)["course_modes"] == [
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
    def test_returns_suggested_prices_or_a_blank_text(
        self, course, course_id, stored, shown
    ):
        make_mode(course, suggested_prices=stored)

        (mode,) = data.get_course_enrollment_info(course_id)["course_modes"]

        assert mode["suggested_prices"] == shown

    @pytest.mark.rule("V1-SER-17", "DATA-10", "DATA-12")
    def test_returns_expired_modes_on_request_as_other_functions_do(self, ada):
        course = make_course(modes=["audit", "credit"], expired=["verified"])
        created = create(course_id_of(course))

        def slugs(details):
            return [mode["slug"] for mode in details["course_modes"]]

        assert slugs(created["course_details"]) == ["audit", "credit"]
        for include, expected in (
            (False, ["audit", "credit"]),
            (True, ["audit", "credit", "verified"]),
        ):
            info = data.get_course_enrollment_info(course_id_of(course), include)
            (one,) = data.serialize_enrollments(
                [row_of(ada, course)], include_expired=include
            )
            assert slugs(info) == slugs(one["course_details"]) == expected
            json.dumps(info)

    @pytest.mark.rule("DATA-10", "DATA-13")
    @pytest.mark.parametrize("course_id", ["unknown", "not valid", "x/", ""])
    def test_refuses_an_unknown_course(self, course_id):
        with pytest.raises(CourseNotFoundError) as refusal:
            data.get_course_enrollment_info(course_id)

        assert str(refusal.value) == (
            f"Requested enrollment information for unknown course {course_id}"
        )


class TestGetCourseEnrollments:
    @pytest.mark.rule("DATA-01", "V1-LIST-02")
    def test_keeps_enrollments_of_the_same_moment_in_order(self, ada):
        with call_context(NOON):
            for number in range(5):
                create(course_id_of(make_course(f"c{number}")), is_active=number != 2)

        active = data.get_course_enrollments(ADA)
        every = data.get_course_enrollments(ADA, include_inactive=True)

        ids = [one["course_details"]["course_id"] for one in every]
        assert ids == ["c0", "c1", "c2", "c3", "c4"]
        assert active == [one for one in every if one["is_active"]] != every

    @pytest.mark.rule("DATA-01", "V1-LIST-04")
    @pytest.mark.parametrize("include_inactive", [False, True])
    def test_leaves_out_deleted_courses_with_a_warning(
        self, ada, caplog, include_inactive
    ):
        make_course("kept")
        deleted = make_course("deleted")
        create("kept")
        create("deleted")
        deleted.delete()

        with caplog.at_level(logging.WARNING):
            listed = data.get_course_enrollments(ADA, include_inactive)

        assert [one["course_details"]["course_id"] for one in listed] == ["kept"]
        assert "1 enrollments of deleted courses are left out" in caplog.text

    def test_asks_filters_about_known_users(self, ada, settings):
        def show_only_verified(action, queryset=None, **context):
            if action != "queryset":
                return None
            return {"queryset": queryset.filter(mode="verified")}

        settings.ENROLLMENTS_FILTERS = [show_only_verified]
        for course_id, mode in (("plain", "audit"), ("paid", "verified")):
            create(course_id_of(make_course(course_id)), mode)

        assert [one["mode"] for one in data.get_course_enrollments(ADA)] == ["verified"]
        settings.ENROLLMENTS_FILTERS = [veto]
        assert data.get_course_enrollments("nobody") == []


class TestGetCourseEnrollment:
    @pytest.mark.rule("DATA-02")
    def test_returns_the_enrollment_active_or_not_or_none(self, ada, course_id):
        assert data.get_course_enrollment(ADA, course_id) is None
        active = create(course_id)
        CourseEnrollment.unenroll(ada, course_id)

        assert data.get_course_enrollment(ADA, course_id) == {
            **active,
            "is_active": False,
        }
        assert data.get_course_enrollment(ADA, "unknown") is None
        assert data.get_course_enrollment("nobody", course_id) is None


class TestGetUserEnrollments:
    @pytest.mark.rule("DATA-03")
    def test_returns_a_queryset_of_active_ones_by_creation(self, course_id):
        late, early, left = make_users(3)
        for learner, at in ((late, NOON), (early, NOON - DAY), (left, NOON)):
            with call_context(at):
                CourseEnrollment.enroll(learner, course_id)
        CourseEnrollment.unenroll(left, course_id)

        enrollments = data.get_user_enrollments(course_id)

        assert [row.user for row in enrollments.select_related("user")] == [early, late]

    @pytest.mark.rule("DATA-03", "SEED-DIFF-15")
    @pytest.mark.parametrize("course_id", ["no-such-course", "", "not valid", None, []])
    def test_returns_an_empty_queryset_without_a_course(self, course_id):
        assert not data.get_user_enrollments(course_id).exists()


class TestCreateCourseEnrollment:
    @pytest.mark.rule("DATA-04")
    def test_takes_a_mode_that_is_not_offered(self, ada):
        course = make_course(modes=["audit"])

        create(course_id_of(course), "masters")

        assert state_of(ada, course) == ("masters", True)

    def test_defaults_to_active_in_the_default_mode(self, ada, course_id):
        created = create(course_id, None, None)

        assert (created["mode"], created["is_active"]) == ("audit", True)

    @pytest.mark.rule("DATA-05")
    @pytest.mark.parametrize(
        ("facts", "error"),
        [
            ({"enrollment_end": NOON}, CourseEnrollmentClosedError),
            ({"max_student_enrollments_allowed": 0}, CourseEnrollmentFullError),
        ],
    )
    def test_refuses_a_closed_or_full_course(self, ada, facts, error):
        course_id = course_id_of(make_course(**facts))

        with raises_without_writes(error):
            create(course_id)
        if error is CourseEnrollmentClosedError:
            assert create(course_id, force_enrollment=True)["is_active"]

    @pytest.mark.rule("DATA-05")
    def test_refuses_an_unknown_user_or_course(self, ada, course_id):
        with raises_without_writes(CourseNotFoundError):
            create("no-such-course")
        with raises_without_writes(UserNotFoundError) as refusal:
            data.create_course_enrollment("nobody", course_id, "audit", True)

        assert str(refusal.value) == "Not user with username 'nobody' found."

    @pytest.mark.rule("DATA-05")
    def test_refuses_an_active_learner_and_logs_so(self, ada, course_id, caplog):
        created = create(course_id, "honor")

        with raises_without_writes(CourseEnrollmentExistsError) as refusal:
            create(course_id)

        assert refusal.value.enrollment == created
        assert f"User {ada.pk} is already enrolled" in caplog.text

    @pytest.mark.parametrize("value", ["yes", 1, 0, "true", [], {}])
    def test_refuses_an_activation_that_is_no_boolean(self, ada, course_id, value):
        text = "is an invalid enrollment activation status"

        with raises_without_writes(CourseEnrollmentError, match=text):
            create(course_id, "audit", value)
        with raises_without_writes(CourseEnrollmentError, match=text):
            data.update_course_enrollment(ADA, course_id, is_active=value)


class TestUpdateCourseEnrollment:
    @pytest.mark.parametrize("mode", ["", "x" * 101, 5, ["audit"]])
    @pytest.mark.parametrize("is_active", [None, False])
    def test_refuses_an_invalid_mode(self, ada, course_id, mode, is_active):
        create(course_id)

        with nothing_written(), pytest.raises(CourseModeNotFoundError):
            data.update_course_enrollment(ADA, course_id, mode, is_active)

    @pytest.mark.rule("DATA-06")
    def test_returns_the_enrollment_as_it_is_written(self, ada, course, course_id):
        create(course_id)

        updated = data.update_course_enrollment(ADA, course_id, "honor", False)

        assert updated == data.get_course_enrollment(ADA, course_id)
        assert state_of(ada, course) == ("honor", False)

    @pytest.mark.rule("DATA-06")
    def test_returns_none_without_an_enrollment(self, ada, course_id):
        for given in (course_id, "unknown", "not valid"):
            with nothing_written():
                assert data.update_course_enrollment(ADA, given) is None
        with pytest.raises(UserNotFoundError):
            data.update_course_enrollment("nobody", course_id)


class TestAttributes:
    @pytest.fixture
    def course_id(self, ada, course):
        return course_id_of(CourseEnrollment.enroll(ada, course_id_of(course)).course)

    @pytest.mark.rule("DATA-07", "DATA-08", "API-16", "V1-ATTR-03")
    def test_are_replaced_and_listed_as_written(self, course_id):
        written = [{**COLOR, "name": name} for name in ("z", "a", "m")]
        CourseEnrollment.enroll(make_user("bob"), course_id)
        write_attributes(course_id, COLOR, name=username("bob"))
        write_attributes(course_id, COLOR)

        write_attributes(course_id, *written)
        assert attributes_in(course_id) == written

        write_attributes(course_id)
        assert attributes_in(course_id) == []
        bobs = data.get_enrollment_attributes(username("bob"), course_id)
        assert bobs == [COLOR]
        assert event_types() == ["created", "created"]

    @pytest.mark.rule("DATA-07", "DATA-08", "API-15")
    def test_are_not_written_without_an_enrollment(self, course_id):
        other = course_id_of(make_course("other"))

        with nothing_written():
            write_attributes(other, COLOR)
        assert attributes_in(other) == []
        for call in (
            lambda: write_attributes(course_id, COLOR, name="nobody"),
            lambda: data.get_enrollment_attributes("nobody", course_id),
        ):
            with raises_without_writes(UserNotFoundError):
                call()

    def test_are_deleted_with_the_enrollment(self, ada, course, course_id):
        write_attributes(course_id, COLOR)

        row_of(ada, course).delete()

        assert not CourseEnrollmentAttribute.objects.exists()


class TestUnenrollUserFromAllCourses:
    @pytest.mark.rule("DATA-09", "V1-UNENR-07", "V1-UNENR-10", "SEED-DIFF-06")
    def test_deactivates_active_ones_without_filters(self, settings):
        learner, other = make_users(2)
        for course_id in ("b", "a", "gone"):
            make_course(course_id)
            CourseEnrollment.enroll(learner, course_id, "verified")
            CourseEnrollment.enroll(other, course_id)
        CourseEnrollment.unenroll(learner, "gone")
        before = EnrollmentEvent.objects.count()
        settings.ENROLLMENTS_FILTERS = [veto]

        left = data.unenroll_user_from_all_courses(learner.get_username())

        assert left == ["a", "b"]
        rows = CourseEnrollment.objects.filter(user=learner)
        assert {(row.mode, row.is_active) for row in rows} == {("verified", False)}
        assert CourseEnrollment.objects.filter(user=other, is_active=True).count() == 3
        events = EnrollmentEvent.objects.order_by("pk")[before:]
        assert {event.course_id for event in events} == {"a", "b"}
        assert {(one.type, one.source) for one in events} == {
            ("deactivated", "retirement")
        }
        with nothing_written():
            assert data.unenroll_user_from_all_courses(learner.get_username()) == []

    @pytest.mark.rule("DATA-09")
    def test_refuses_an_unknown_user(self):
        with pytest.raises(UserNotFoundError):
            data.unenroll_user_from_all_courses("nobody")

    def test_writes_the_actor_to_the_history(self, ada, course_id):
        worker = make_user("worker")
        create(course_id)

        with override_origin(Origin(worker.pk, "rest", "asked by mail")):
            data.unenroll_user_from_all_courses(ADA)

        event = EnrollmentEvent.objects.get(type="deactivated")
        assert (event.actor_id, event.source) == (worker.pk, "retirement")
        assert event.reason == "asked by mail"

    @pytest.mark.rule("B-11", "V1-UNENR-11")
    def test_includes_deleted_courses_by_id_or_else_by_key(self, ada):
        courses = [make_course(name) for name in ("deleted", "kept", "unheard")]
        for course in courses[:2]:
            create(course_id_of(course))
        CourseEnrollment.objects.create(user=ada, course=courses[2], mode="audit")
        # Without a history, only the key is known.
        key = str(courses[2].pk)
        courses[0].delete()
        courses[2].delete()

        left = data.unenroll_user_from_all_courses(ADA)

        assert sorted(left) == sorted(["deleted", "kept", key])
        assert not CourseEnrollment.objects.filter(is_active=True).exists()
        assert event_types(course_id="deleted") == ["created", "deactivated"]


class TestGetUserRoles:
    @pytest.mark.rule("DATA-11")
    def test_returns_a_set_of_rows(self, ada):
        assert data.get_user_roles(ADA) == set()
        role = CourseAccessRole.objects.create(user=ada, org="edX", role="staff")

        assert data.get_user_roles(ADA) == {role}
        with pytest.raises(UserNotFoundError):
            data.get_user_roles("nobody")


class TestSerializeEnrollments:
    @pytest.mark.rule("V1-SER-22", "DATA-12")
    def test_returns_for_many_what_it_returns_for_each(self):
        first = make_course("first", modes=["audit", "verified"])
        second = make_course("second", expired=["honor"])
        make_mode(first, "audit", currency="eur")
        for learner in make_users(3):
            for course in (first, second):
                CourseEnrollment.enroll(learner, course_id_of(course))
        rows = CourseEnrollment.objects.order_by("pk")

        together = data.serialize_enrollments(rows)

        assert together == [
            data.get_course_enrollment(row.username, course_id)
            for row, course_id in zip(rows, ("first", "second") * 3, strict=True)
        ]
        assert together == [data.serialize_enrollments([row])[0] for row in rows]
        assert together == data.serialize_enrollments(list(rows))
        assert together == data.serialize_enrollments(rows)
        joined = rows.select_related("user", "course")
        assert together == data.serialize_enrollments(joined)
        backwards = data.serialize_enrollments(reversed(list(rows)))
        assert backwards == together[::-1]
        assert backwards == data.serialize_enrollments(rows.order_by("-pk"))
        assert data.serialize_enrollments(rows.all()[:2]) == together[:2]
        json.dumps(together)

    def test_takes_more_than_a_thousand_instances(self, course):
        users = make_users(1001)
        CourseEnrollment.objects.bulk_create(
            CourseEnrollment(user=user, course=course) for user in users
        )

        rows = [*CourseEnrollment.objects.order_by("pk")]
        serialized = data.serialize_enrollments(rows)

        assert [one["user"] for one in serialized] == [
            user.get_username() for user in users
        ]

    @pytest.mark.rule("DATA-12")
    def test_returns_nothing_for_nothing(self):
        assert data.serialize_enrollments([]) == []
        assert data.serialize_enrollments(CourseEnrollment.objects.none()) == []
