"""What is stored, and the use cases on the model classes (rules MDL, contract §3)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import pre_delete

from django_enrollments import models
from django_enrollments.context import one_call
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentExistsError,
    CourseEnrollmentFullError,
    CourseModeNotFoundError,
    CourseNotFoundError,
    EnrollmentNotAllowed,
    EnrollmentNotFoundError,
    UserNotFoundError,
)
from django_enrollments.models import (
    Course,
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    CourseMode,
    EmailOptIn,
    EnrollmentEvent,
    SentNotification,
    UserRetirementStatus,
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
    make_users,
    username,
)
from tests.watching import event_types, nothing_written, row_of, state_of

pytestmark = pytest.mark.django_db

default_host_only = pytest.mark.skipif(
    not is_default_host(), reason="the other host has a course model of its own"
)


def refuse(action: str, **context: Any) -> None:
    """A filter that vetoes everything."""
    raise EnrollmentNotAllowed("Not today.")


class TestCourseModel:
    def test_contract_3_is_the_one_that_the_setting_names(self, settings: Any) -> None:
        label = get_course_model()._meta.label

        assert label == settings.ENROLLMENTS_COURSE_MODEL

    @pytest.mark.parametrize("label", ["nonsense", "no_such_app.Course"])
    def test_contract_3_a_setting_that_names_none_is_told(
        self, settings: Any, label: str
    ) -> None:
        settings.ENROLLMENTS_COURSE_MODEL = label

        with pytest.raises(ImproperlyConfigured, match="ENROLLMENTS_COURSE_MODEL"):
            get_course_model()

    @pytest.mark.parametrize(
        "path",
        ["no.such.Adapter", "a..b", ".a", "math.pi", "tests.stranger.broken.Adapter"],
    )
    def test_contract_4_an_adapter_that_cannot_be_imported_is_told(
        self, settings: Any, path: str
    ) -> None:
        settings.ENROLLMENTS_COURSE_ADAPTER = path

        with pytest.raises(ImproperlyConfigured, match="ENROLLMENTS_COURSE_ADAPTER"):
            get_course_adapter()

    def test_contract_3_a_swapped_one_leaves_no_table(self) -> None:
        tables = connection.introspection.table_names()

        assert (Course._meta.db_table in tables) is is_default_host()

    @default_host_only
    @pytest.mark.parametrize(
        ("course_id", "org"),
        [
            ("course-v1:edX+DemoX+Demo_Course", "edX"),
            ("edX/DemoX/2014T2", "edX"),
            ("django-101", ""),
            ("a+b", ""),
        ],
    )
    def test_contract_3_the_org_is_taken_from_the_id(
        self, course_id: str, org: str
    ) -> None:
        assert Course.objects.create(id=course_id).org == org

    @default_host_only
    def test_contract_3_an_org_that_is_given_stays(self) -> None:
        course = Course.objects.create(id="edX/DemoX/2014T2", org="Institute")
        course.org = ""
        course.save(update_fields=["display_name"])

        course.refresh_from_db()

        assert course.org == "edX"
        assert str(course) == "edX/DemoX/2014T2"


class TestCourseMode:
    @pytest.mark.rule("MODE-01")
    def test_the_slugs_have_names(self) -> None:
        names = (
            "AUDIT",
            "HONOR",
            "VERIFIED",
            "PROFESSIONAL",
            "NO_ID_PROFESSIONAL",
            "CREDIT",
            "MASTERS",
            "EXECUTIVE_EDUCATION",
        )

        assert [getattr(CourseMode, name) for name in names] == [
            "audit",
            "honor",
            "verified",
            "professional",
            "no-id-professional",
            "credit",
            "masters",
            "executive-education",
        ]

    @pytest.mark.rule("MODE-13")
    def test_the_currency_is_stored_lower_case(self) -> None:
        mode = make_mode(make_course(), currency=" EUR")

        assert mode.currency == "eur"
        assert CourseMode.objects.get(currency="EUR") == mode
        assert str(mode).endswith("audit (0 eur)")

    @pytest.mark.rule("MODE-13")
    def test_course_slug_and_currency_are_unique(self) -> None:
        course = make_course()
        make_mode(course)
        make_mode(course, currency="eur")

        with pytest.raises(IntegrityError), transaction.atomic():
            make_mode(course, currency="USD")

    @pytest.mark.rule("MODE-14")
    @pytest.mark.parametrize("slug", ["professional", "no-id-professional"])
    def test_professional_modes_may_not_expire(self, slug: str) -> None:
        mode = CourseMode(
            course=make_course(),
            mode_slug=slug,
            mode_display_name="Professional",
            expiration_datetime=NOON,
        )

        with pytest.raises(ValidationError) as refusal:
            mode.full_clean()

        assert refusal.value.message_dict == {
            "expiration_datetime": [
                "Professional education modes are not allowed to have "
                "expiration_datetime set."
            ]
        }

    @pytest.mark.rule("MODE-14")
    def test_others_may_expire_and_professional_ones_last(self) -> None:
        course = make_course()

        CourseMode(
            course=course, mode_slug="verified", expiration_datetime=NOON
        ).full_clean()
        CourseMode(course=course, mode_slug="professional").full_clean()

    def test_prices_are_whole_numbers(self) -> None:
        mode = CourseMode(
            course=make_course(), mode_slug="verified", suggested_prices="1,two"
        )

        with pytest.raises(ValidationError):
            mode.full_clean()

    @pytest.mark.rule("MODE-05")
    def test_modes_for_course_leaves_out_credit_unless_asked(self) -> None:
        course = make_course()
        make_modes(course, "audit", "credit", "verified")
        slugs = [
            mode.slug for mode in CourseMode.modes_for_course(course_id_of(course))
        ]
        every = CourseMode.modes_for_course(course_id_of(course), only_selectable=False)

        assert slugs == ["audit", "verified"]
        assert [mode.name for mode in every] == ["Audit", "Credit", "Verified"]

    @pytest.mark.rule("MODE-03")
    def test_modes_for_course_leaves_out_expired_ones_unless_asked(
        self,
    ) -> None:
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON)
        course_id = course_id_of(course)

        with one_call(NOON):
            then = CourseMode.modes_for_course(course_id)
        now = CourseMode.modes_for_course(course_id)
        ever = CourseMode.modes_for_course(course_id, include_expired=True)

        assert [len(then), len(now), len(ever)] == [2, 1, 2]

    @pytest.mark.rule("MODE-04")
    @pytest.mark.parametrize("course_id", ["unknown", "not valid", None])
    def test_modes_for_course_gives_the_default_when_there_are_none(
        self, course_id: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_DEFAULT_MODE = "honor"

        (mode,) = CourseMode.modes_for_course(course_id)

        assert (mode.slug, mode.name, mode.pk) == ("honor", "Honor", None)

    @pytest.mark.rule("MODE-04")
    def test_a_course_of_credit_alone_has_the_default_to_select(self) -> None:
        course = make_course()
        make_mode(course, "credit")

        (mode,) = CourseMode.modes_for_course(course_id_of(course))

        assert mode.slug == "audit"


class TestCourseEnrollment:
    @pytest.mark.rule("MDL-01")
    def test_is_active_in_the_default_mode_unless_told(self, settings: Any) -> None:
        settings.ENROLLMENTS_DEFAULT_MODE = "honor"

        row = CourseEnrollment.objects.create(user=make_user(), course=make_course())

        row.refresh_from_db()
        assert (row.mode, row.is_active) == ("honor", True)
        assert row.created is not None

    @pytest.mark.rule("MDL-01")
    def test_user_and_course_are_unique(self) -> None:
        learner, course = make_user(), make_course()
        CourseEnrollment.objects.create(user=learner, course=course)

        with pytest.raises(IntegrityError), transaction.atomic():
            CourseEnrollment.objects.create(user=learner, course=course)

    @pytest.mark.rule("MDL-01")
    def test_is_ordered_by_user_then_course(self) -> None:
        courses = [make_course(f"course-{number}") for number in range(2)]
        for learner in make_users(2):
            for course in courses:
                CourseEnrollment.enroll(learner, course_id_of(course))

        listed = [
            (row.user_id, row.course_id) for row in CourseEnrollment.objects.all()
        ]

        ordered = CourseEnrollment.objects.order_by("user_id", "course_id")
        assert listed == [(row.user_id, row.course_id) for row in ordered]

    @pytest.mark.rule("MDL-01", "MDL-29")
    @pytest.mark.parametrize("deletion", ["instance", "queryset"])
    def test_survives_its_course_unaltered(self, deletion: str) -> None:
        learner, course = make_user(), make_course()
        row = CourseEnrollment.enroll(learner, course_id_of(course), "honor")
        before = CourseEnrollment.objects.values().get()
        deleted = course if deletion == "instance" else type(course).objects.all()

        deleted.delete()

        assert CourseEnrollment.objects.values().get() == before
        assert EnrollmentEvent.objects.filter(enrollment=row.pk).count() == 1
        with pytest.raises(get_course_model().DoesNotExist):
            _ = CourseEnrollment.objects.get().course

    @pytest.mark.rule("MDL-29")
    @default_host_only
    def test_finds_its_course_again_when_that_is_rebuilt(self) -> None:
        learner, course = make_user(), make_course("rebuilt")
        CourseEnrollment.enroll(learner, "rebuilt")
        course.delete()

        again = make_course("rebuilt")

        assert CourseEnrollment.objects.get().course == again

    def test_goes_with_its_user_and_its_history_stays(self) -> None:
        learner, course = make_user(), make_course()
        CourseEnrollment.enroll(learner, course_id_of(course))

        learner.delete()

        assert not CourseEnrollment.objects.exists()
        assert event_types() == ["created"]

    def test_says_keys_and_no_names(self) -> None:
        learner, course = make_user(), make_course()

        row = CourseEnrollment.enroll(learner, course_id_of(course))

        assert str(row) == f"{learner.pk}: {course.pk} (audit)"
        assert row.username == username("ada")

    def test_attributes_are_unique(self) -> None:
        row = CourseEnrollment.enroll(make_user(), course_id_of(make_course()))
        fields = {"enrollment": row, "namespace": "host", "name": "color"}
        attribute = CourseEnrollmentAttribute.objects.create(**fields, value="red")

        with pytest.raises(IntegrityError), transaction.atomic():
            CourseEnrollmentAttribute.objects.create(**fields, value="blue")
        assert str(attribute) == "host:color"

    @pytest.mark.rule("MDL-15")
    def test_texts_of_attributes_hold_255_characters(self) -> None:
        row = CourseEnrollment.enroll(make_user(), course_id_of(make_course()))
        long = "ü" * 255

        CourseEnrollmentAttribute.objects.create(
            enrollment=row, namespace=long, name=long, value=long
        )

        assert row.attributes.get().value == long

    def test_a_learner_is_told_once_of_a_deadline(self) -> None:
        row = CourseEnrollment.enroll(make_user(), course_id_of(make_course()))
        fields = {
            "enrollment": row,
            "notification_type": "audit_access_expiring_soon",
            "deadline": NOON,
            "sent": NOON,
        }
        sent = SentNotification.objects.create(**fields)

        with pytest.raises(IntegrityError), transaction.atomic():
            SentNotification.objects.create(**fields)
        assert str(sent) == f"audit_access_expiring_soon: {row.pk}"


class TestEnroll:
    @pytest.mark.rule("MDL-02")
    def test_gives_the_row_in_the_courses_default_mode(self) -> None:
        learner, course = make_user(), make_course()
        make_modes(course, "honor", "verified")

        row = CourseEnrollment.enroll(learner, course_id_of(course))

        assert isinstance(row, CourseEnrollment)
        assert state_of(learner, course) == ("honor", True)

    @pytest.mark.rule("MDL-02")
    def test_takes_any_mode_that_a_row_can_hold(self) -> None:
        learner, course = make_user(), make_course()

        CourseEnrollment.enroll(learner, course_id_of(course), "a-mode-of-its-own")

        assert state_of(learner, course) == ("a-mode-of-its-own", True)

    @pytest.mark.rule("MDL-02")
    @pytest.mark.parametrize("mode", ["", "   ", "x" * 101, "\x00", 5, [], "\ud800"])
    def test_a_mode_that_no_row_can_hold_is_told(self, mode: Any) -> None:
        learner, course = make_user(), make_course()

        with nothing_written(), pytest.raises(CourseModeNotFoundError):
            CourseEnrollment.enroll(learner, course_id_of(course), mode)

    @pytest.mark.rule("MDL-03")
    def test_a_filter_is_heard_before_the_window(self, settings: Any) -> None:
        settings.ENROLLMENTS_FILTERS = [refuse]
        course = make_course(enrollment_end=NOON, max_student_enrollments_allowed=0)

        with nothing_written(), pytest.raises(EnrollmentNotAllowed, match="Not today"):
            CourseEnrollment.enroll(
                make_user(), course_id_of(course), check_access=True
            )

    @pytest.mark.rule("MDL-03")
    def test_the_window_is_told_before_the_seats(self) -> None:
        course = make_course(enrollment_end=NOON, max_student_enrollments_allowed=0)

        with nothing_written(), pytest.raises(CourseEnrollmentClosedError):
            CourseEnrollment.enroll(
                make_user(), course_id_of(course), check_access=True
            )

    @pytest.mark.rule("MDL-03")
    def test_an_unknown_course_is_told(self) -> None:
        with nothing_written(), pytest.raises(CourseNotFoundError):
            CourseEnrollment.enroll(make_user(), "unknown", check_access=True)

    @pytest.mark.rule("MDL-03")
    def test_who_may_upgrade_needs_no_open_window_but_a_seat(self) -> None:
        learner = make_user()
        shut = make_course("shut", enrollment_end=NOON)
        full = make_course("full", max_student_enrollments_allowed=0)

        CourseEnrollment.enroll(learner, "shut", check_access=True, can_upgrade=True)

        assert state_of(learner, shut) == ("audit", True)
        with pytest.raises(CourseEnrollmentFullError):
            CourseEnrollment.enroll(
                learner, course_id_of(full), check_access=True, can_upgrade=True
            )

    @pytest.mark.rule("MDL-03")
    def test_who_is_in_is_told(self) -> None:
        learner, course = make_user(), make_course()
        row = CourseEnrollment.enroll(learner, course_id_of(course))

        with nothing_written(), pytest.raises(CourseEnrollmentExistsError) as refusal:
            CourseEnrollment.enroll(
                learner, course_id_of(course), "honor", check_access=True
            )

        assert refusal.value.enrollment == row

    @pytest.mark.rule("MDL-04")
    def test_without_access_checked_the_window_does_not_count(self) -> None:
        learner = make_user()
        course = make_course(enrollment_end=NOON, invitation_only=True)

        CourseEnrollment.enroll(learner, course_id_of(course))

        assert state_of(learner, course) == ("audit", True)

    def test_contract_9_a_seat_is_needed_all_the_same(self) -> None:
        learner = make_user()
        course = make_course(max_student_enrollments_allowed=0)

        with nothing_written(), pytest.raises(CourseEnrollmentFullError):
            CourseEnrollment.enroll(learner, course_id_of(course))
        row = CourseEnrollment.enroll(learner, course_id_of(course), over_capacity=True)

        assert row.events.get().reason == "over_capacity"

    @pytest.mark.rule("MDL-04")
    def test_who_is_in_is_moved_to_the_mode(self) -> None:
        learner, course = make_user(), make_course()
        CourseEnrollment.enroll(learner, course_id_of(course))

        CourseEnrollment.enroll(learner, course_id_of(course), "verified")

        assert state_of(learner, course) == ("verified", True)
        assert event_types() == ["created", "mode_changed"]

    @pytest.mark.rule("MDL-04")
    def test_who_is_in_and_asks_for_no_mode_stays_as_they_are(self) -> None:
        learner, course = make_user(), make_course()
        CourseEnrollment.enroll(learner, course_id_of(course), "verified")

        with nothing_written():
            row = CourseEnrollment.enroll(learner, course_id_of(course))

        assert row.mode == "verified"

    @pytest.mark.rule("MDL-04")
    @default_host_only
    def test_the_course_need_not_exist_where_its_id_is_its_key(self) -> None:
        learner = make_user()

        row = CourseEnrollment.enroll(learner, "announced")

        assert (row.course_id, row.mode, row.is_active) == ("announced", "audit", True)
        assert CourseEnrollment.is_enrolled(learner, "announced")

    @pytest.mark.rule("MDL-04")
    @pytest.mark.skipif(is_default_host(), reason="here the course id is the key")
    def test_the_course_must_exist_where_its_id_is_not_its_key(self) -> None:
        with nothing_written(), pytest.raises(CourseNotFoundError):
            CourseEnrollment.enroll(make_user(), "announced")

    @pytest.mark.rule("DATA-13")
    @pytest.mark.parametrize("course_id", ["", "not valid", "x/", None, [], "\x00"])
    def test_what_is_no_course_id_is_told(self, course_id: Any) -> None:
        with nothing_written(), pytest.raises(CourseNotFoundError):
            CourseEnrollment.enroll(make_user(), course_id)

    @pytest.mark.rule("MDL-05")
    def test_a_filter_may_choose_the_mode(self, settings: Any) -> None:
        learner, course = make_user(), make_course()
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: {"mode": "masters"}]

        CourseEnrollment.enroll(learner, course_id_of(course))

        assert state_of(learner, course) == ("masters", True)

    @pytest.mark.rule("MDL-06", "B-06", "B-20")
    def test_the_row_is_written_once_in_its_final_state(self) -> None:
        learner, course = make_user(), make_course()

        CourseEnrollment.enroll(learner, course_id_of(course), "verified")

        event = EnrollmentEvent.objects.get()
        assert (event.type, event.mode_after, event.active_after) == (
            "created",
            "verified",
            True,
        )

    @pytest.mark.rule("MDL-24")
    def test_a_user_who_is_not_saved_is_saved_first(self) -> None:
        course = make_course()
        model = get_user_model()
        learner = model(**{model.USERNAME_FIELD: username("newcomer")})

        CourseEnrollment.enroll(learner, course_id_of(course))

        assert state_of(model.objects.get(), course) == ("audit", True)

    @pytest.mark.parametrize("user", [AnonymousUser(), None, "ada", 1])
    def test_what_is_no_user_is_told(self, user: Any) -> None:
        course_id = course_id_of(make_course())

        with nothing_written(), pytest.raises(UserNotFoundError):
            CourseEnrollment.enroll(user, course_id)
        with nothing_written(), pytest.raises(UserNotFoundError):
            CourseEnrollment.get_or_create_enrollment(user, course_id)

    def test_the_history_keeps_who_and_why(self) -> None:
        learner, actor = make_users(2)

        row = CourseEnrollment.enroll(
            learner,
            course_id_of(make_course()),
            enterprise_uuid="acme",
            actor=actor,
            reason="by hand",
            source="admin",
        )

        event = row.events.get()
        assert (event.actor_id, event.reason, event.source, event.enterprise_uuid) == (
            actor.pk,
            "by hand",
            "admin",
            "acme",
        )

    @pytest.mark.rule("MDL-28")
    def test_unenroll_then_enroll_takes_the_mode_asked_for(self) -> None:
        learner, course = make_user(), make_course()
        course_id = course_id_of(course)
        CourseEnrollment.enroll(learner, course_id, "verified")
        CourseEnrollment.unenroll(learner, course_id)

        CourseEnrollment.enroll(learner, course_id, "honor")

        assert state_of(learner, course) == ("honor", True)
        CourseEnrollment.unenroll(learner, course_id)
        CourseEnrollment.enroll(learner, course_id)
        assert state_of(learner, course) == ("audit", True)


class TestUnenroll:
    @pytest.mark.rule("MDL-08")
    def test_deactivates_and_keeps_the_mode(self) -> None:
        learner, actor = make_users(2)
        course = make_course()
        CourseEnrollment.enroll(learner, course_id_of(course), "verified")

        CourseEnrollment.unenroll(
            learner, course_id_of(course), actor=actor, reason="asked"
        )

        assert state_of(learner, course) == ("verified", False)
        event = EnrollmentEvent.objects.get(type="deactivated")
        assert (event.actor_id, event.reason) == (actor.pk, "asked")

    @pytest.mark.rule("MDL-08")
    @pytest.mark.parametrize(
        ("course_id", "logged"),
        [("unknown", "unknown"), ("not valid", "None"), ("forged\nline", "None")],
    )
    def test_a_missing_row_is_only_logged(
        self, caplog: pytest.LogCaptureFixture, course_id: str, logged: str
    ) -> None:
        learner = make_user()

        with nothing_written():
            CourseEnrollment.unenroll(learner, course_id)
            CourseEnrollment.unenroll(AnonymousUser(), course_id)
            CourseEnrollment.unenroll(None, course_id)

        assert f"User {learner.pk} was never in course {logged}." in caplog.messages
        assert f"User None was never in course {logged}." in caplog.messages

    @pytest.mark.rule("MDL-08")
    def test_a_veto_keeps_the_row_active(self, settings: Any) -> None:
        learner, course = make_user(), make_course()
        CourseEnrollment.enroll(learner, course_id_of(course))
        settings.ENROLLMENTS_FILTERS = [refuse]

        with nothing_written(), pytest.raises(EnrollmentNotAllowed, match="Not today"):
            CourseEnrollment.unenroll(learner, course_id_of(course))

    @pytest.mark.rule("B-05")
    def test_the_second_time_nothing_changes(self) -> None:
        learner, course = make_user(), make_course()
        CourseEnrollment.enroll(learner, course_id_of(course))
        CourseEnrollment.unenroll(learner, course_id_of(course))

        with nothing_written():
            CourseEnrollment.unenroll(learner, course_id_of(course))


class TestByEmail:
    @pytest.mark.rule("MDL-09")
    def test_enrolls_and_unenrolls_whatever_the_case(self) -> None:
        learner, course = make_user(), make_course()
        course_id = course_id_of(course)

        row = CourseEnrollment.enroll_by_email("Ada@Example.ORG", course_id, "honor")

        assert row is not None
        assert state_of(learner, course) == ("honor", True)
        CourseEnrollment.unenroll_by_email(" ADA@example.org", course_id)
        assert state_of(learner, course) == ("honor", False)

    @pytest.mark.rule("MDL-09")
    @pytest.mark.parametrize(
        ("email", "code"),
        [
            ("nobody@example.org", "user_not_found"),
            *((email, "invalid_email") for email in ("", "\x00", None, 5)),
        ],
    )
    def test_an_unknown_address_is_logged(
        self, caplog: pytest.LogCaptureFixture, email: Any, code: str
    ) -> None:
        course_id = course_id_of(make_course())

        with nothing_written():
            assert CourseEnrollment.enroll_by_email(email, course_id) is None
            CourseEnrollment.unenroll_by_email(email, course_id)

        assert caplog.text.count(code) == 2

    @pytest.mark.rule("MDL-09")
    def test_errors_are_raised_when_not_ignored(self) -> None:
        make_user()
        full = make_course("full", max_student_enrollments_allowed=0)

        with pytest.raises(UserNotFoundError):
            CourseEnrollment.enroll_by_email(
                "nobody@example.org", "full", ignore_errors=False
            )
        with pytest.raises(CourseEnrollmentFullError):
            CourseEnrollment.enroll_by_email(
                "ada@example.org", course_id_of(full), ignore_errors=False
            )
        assert CourseEnrollment.enroll_by_email("ada@example.org", "full") is None


class TestReading:
    @pytest.mark.rule("MDL-10")
    def test_is_enrolled_only_by_an_active_row(self) -> None:
        stays, left, never = make_users(3)
        course_id = course_id_of(make_course())
        for learner in (stays, left):
            CourseEnrollment.enroll(learner, course_id)
        CourseEnrollment.unenroll(left, course_id)

        assert CourseEnrollment.is_enrolled(stays, course_id)
        assert not CourseEnrollment.is_enrolled(left, course_id)
        assert not CourseEnrollment.is_enrolled(never, course_id)
        assert not CourseEnrollment.is_enrolled(AnonymousUser(), course_id)
        assert not CourseEnrollment.is_enrolled(get_user_model()(), course_id)

    @pytest.mark.rule("MDL-10")
    def test_enrollment_mode_for_user(self) -> None:
        stays, left, never = make_users(3)
        course_id = course_id_of(make_course())
        for learner in (stays, left):
            CourseEnrollment.enroll(learner, course_id, "honor")
        CourseEnrollment.unenroll(left, course_id)
        mode_of = CourseEnrollment.enrollment_mode_for_user

        assert mode_of(stays, course_id) == ("honor", True)
        assert mode_of(left, course_id) == ("honor", False)
        assert mode_of(never, course_id) == (None, None)
        assert mode_of(AnonymousUser(), course_id) == (None, None)

    @pytest.mark.rule("MDL-11")
    def test_users_enrolled_in(self) -> None:
        audit, verified, left, elsewhere = make_users(4)
        make_course("here")
        make_course("there")
        CourseEnrollment.enroll(audit, "here")
        CourseEnrollment.enroll(verified, "here", "verified")
        CourseEnrollment.enroll(left, "here", "masters")
        CourseEnrollment.unenroll(left, "here")
        CourseEnrollment.enroll(elsewhere, "there")
        users_in = CourseEnrollment.objects.users_enrolled_in

        assert set(users_in("here")) == {audit, verified}
        assert set(users_in("here", include_inactive=True)) == {audit, verified, left}
        assert set(users_in("here", verified_only=True)) == {verified}
        assert set(users_in("here", include_inactive=True, verified_only=True)) == {
            verified,
            left,
        }
        assert not users_in("unknown").exists()

    @pytest.mark.rule("MDL-12")
    def test_enrollment_counts(self) -> None:
        learners = make_users(4)
        course_id = course_id_of(make_course())
        for learner, mode in zip(
            learners, ("audit", "audit", "verified", "honor"), strict=True
        ):
            CourseEnrollment.enroll(learner, course_id, mode)
        CourseEnrollment.unenroll(learners[3], course_id)

        counts = CourseEnrollment.objects.enrollment_counts(course_id)

        assert dict(counts) == {"audit": 2, "verified": 1, "total": 3}
        assert counts["honor"] == counts["masters"] == 0
        assert CourseEnrollment.objects.enrollment_counts("unknown") == {"total": 0}

    @pytest.mark.rule("MDL-25")
    @pytest.mark.parametrize(
        ("run", "partial"),
        [
            ("course-v1:edX+DemoX+2026", "course-v1:edX+DemoX"),
            ("edX/DemoX/2026", "edX/DemoX"),
        ],
    )
    def test_is_enrolled_by_partial(self, run: str, partial: str) -> None:
        learner, other = make_users(2)
        make_course(run)
        CourseEnrollment.enroll(learner, run)
        in_any_run = CourseEnrollment.is_enrolled_by_partial

        assert in_any_run(learner, partial)
        assert not in_any_run(other, partial)
        assert not in_any_run(AnonymousUser(), partial)
        assert not in_any_run(learner, partial[:-1])
        assert not in_any_run(learner, partial.lower())
        assert not in_any_run(learner, partial.replace("e", "_"))
        assert not in_any_run(learner, "not valid")

    @pytest.mark.rule("MDL-25")
    def test_an_inactive_run_does_not_count(self) -> None:
        learner = make_user()
        make_course("edX/DemoX/2026")
        CourseEnrollment.enroll(learner, "edX/DemoX/2026")
        CourseEnrollment.unenroll(learner, "edX/DemoX/2026")

        assert not CourseEnrollment.is_enrolled_by_partial(learner, "edX/DemoX")


class TestUpdateEnrollment:
    @pytest.fixture
    def row(self) -> CourseEnrollment:
        return CourseEnrollment.enroll(make_user(), course_id_of(make_course()))

    @pytest.mark.rule("MDL-07")
    def test_none_leaves_what_is_there(self, row: CourseEnrollment) -> None:
        row.update_enrollment(mode="honor")
        row.update_enrollment(is_active=False)

        row.refresh_from_db()

        assert (row.mode, row.is_active) == ("honor", False)
        assert event_types() == ["created", "mode_changed", "deactivated"]

    @pytest.mark.rule("MDL-07")
    def test_nothing_is_written_where_nothing_changes(
        self, row: CourseEnrollment
    ) -> None:
        with nothing_written():
            row.update_enrollment()
            row.update_enrollment(mode="audit", is_active=True)

    @pytest.mark.rule("MDL-07")
    def test_the_instance_shows_what_is_stored(self, row: CourseEnrollment) -> None:
        row.update_enrollment(mode="honor", is_active=False, enterprise_uuid="acme")

        stored = row_of(row.user, row.course)
        assert (row.mode, row.is_active, row.modified) == (
            stored.mode,
            stored.is_active,
            stored.modified,
        )
        assert {event.enterprise_uuid for event in row.events.all()} == {"", "acme"}

    @pytest.mark.rule("MDL-07")
    def test_a_stale_instance_overwrites_nothing_unseen(
        self, row: CourseEnrollment
    ) -> None:
        stale = CourseEnrollment.objects.get(pk=row.pk)
        row.update_enrollment(mode="honor")

        stale.update_enrollment(is_active=False)

        stored = row_of(row.user, row.course)
        assert (stored.mode, stored.is_active) == ("honor", False)
        assert (stale.mode, stale.is_active) == ("honor", False)

    @pytest.mark.rule("MDL-23")
    def test_repeated_calls_write_nothing(self, row: CourseEnrollment) -> None:
        row.deactivate()
        row.deactivate()
        row.activate()
        row.activate()
        row.change_mode("honor")
        row.change_mode("honor")

        assert event_types() == ["created", "deactivated", "activated", "mode_changed"]

    @pytest.mark.rule("MDL-23")
    def test_get_or_create_makes_an_inactive_row(self) -> None:
        learner, course = make_user(), make_course()
        make_modes(course, "honor")

        row = CourseEnrollment.get_or_create_enrollment(learner, course_id_of(course))

        assert (row.mode, row.is_active) == ("honor", False)
        assert state_of(learner, course) == ("honor", False)

    @pytest.mark.rule("MDL-23")
    def test_get_or_create_gives_the_row_that_is_there(
        self, row: CourseEnrollment
    ) -> None:
        with nothing_written():
            found = CourseEnrollment.get_or_create_enrollment(
                row.user, course_id_of(row.course)
            )

        assert found == row
        assert found.is_active

    @pytest.mark.rule("MDL-23")
    def test_get_or_create_saves_the_user_first(self) -> None:
        model = get_user_model()
        learner = model(**{model.USERNAME_FIELD: username("newcomer")})

        row = CourseEnrollment.get_or_create_enrollment(
            learner, course_id_of(make_course())
        )

        assert row.user == model.objects.get()

    def test_contract_9_activating_needs_a_seat(self) -> None:
        course = make_course(max_student_enrollments_allowed=0)
        row = CourseEnrollment.get_or_create_enrollment(
            make_user(), course_id_of(course)
        )

        with nothing_written(), pytest.raises(CourseEnrollmentFullError):
            row.activate()
        row.change_mode("honor")

        assert (row.mode, row.is_active) == ("honor", False)

    @pytest.mark.parametrize("mode", ["", "x" * 101, "\x00"])
    def test_a_mode_that_no_row_can_hold_is_told(
        self, row: CourseEnrollment, mode: str
    ) -> None:
        with nothing_written(), pytest.raises(CourseModeNotFoundError):
            row.change_mode(mode)

    @pytest.mark.rule("B-11")
    def test_a_row_of_a_deleted_course_can_change(self, row: CourseEnrollment) -> None:
        course_id = course_id_of(row.course)
        row.course.delete()

        CourseEnrollment.objects.get(pk=row.pk).deactivate()

        assert event_types(course_id=course_id) == ["created", "deactivated"]

    def test_a_veto_keeps_it_as_it_is(
        self, row: CourseEnrollment, settings: Any
    ) -> None:
        settings.ENROLLMENTS_FILTERS = [refuse]

        for change in (row.deactivate, lambda: row.change_mode("honor")):
            with nothing_written(), pytest.raises(EnrollmentNotAllowed):
                change()
        assert (row.mode, row.is_active) == ("audit", True)

    def test_a_row_that_is_gone_is_told(self, row: CourseEnrollment) -> None:
        CourseEnrollment.objects.filter(pk=row.pk).delete()

        with pytest.raises(EnrollmentNotFoundError):
            row.change_mode("honor")

    @pytest.mark.rule("MDL-07")
    def test_an_old_instance_changes_what_is_stored(
        self, row: CourseEnrollment
    ) -> None:
        old = CourseEnrollment.objects.get(pk=row.pk)
        row.deactivate()

        old.activate()

        row.refresh_from_db()
        assert row.is_active

    @pytest.mark.rule("MDL-07")
    def test_an_edited_instance_changes_what_is_stored(
        self, row: CourseEnrollment
    ) -> None:
        row.is_active = False

        row.update_enrollment(is_active=False)

        row.refresh_from_db()
        assert not row.is_active


class TestCourseEnrollmentAllowed:
    @pytest.mark.rule("MDL-14")
    def test_has_these_defaults(self) -> None:
        invitation = CourseEnrollmentAllowed.objects.create(
            email=" Ada@Example.ORG ", course_id="any"
        )

        invitation.refresh_from_db()

        assert invitation.email == "ada@example.org"
        assert invitation.auto_enroll is False
        assert invitation.user is None
        assert invitation.created is not None
        assert "ada" not in str(invitation)

    @pytest.mark.rule("MDL-14", "V1-CEA-12")
    def test_address_and_course_are_unique_whatever_the_case(
        self,
    ) -> None:
        invite = CourseEnrollmentAllowed.objects.create
        invite(email="ada@example.org", course_id="any")

        with pytest.raises(IntegrityError), transaction.atomic():
            invite(email="ADA@example.org", course_id="any")
        invite(email="ada@example.org", course_id="another")

    @pytest.mark.rule("MDL-14")
    def test_usable_by_who_has_the_address_unless_used_by_another(self) -> None:
        ada, bob = make_user("ada"), make_user("bob")
        invite = CourseEnrollmentAllowed.objects.create
        unused = invite(email="ada@example.org", course_id="unused")
        own = invite(email="ada@example.org", course_id="own", user=ada)
        taken = invite(email="ada@example.org", course_id="taken", user=bob)

        assert set(CourseEnrollmentAllowed.for_user(ada)) == {unused, own}
        assert not CourseEnrollmentAllowed.for_user(bob).exists()
        assert unused.valid_for_user(bob)
        assert own.valid_for_user(ada)
        assert not taken.valid_for_user(ada)

    @pytest.mark.rule("MDL-14")
    def test_who_has_no_address_has_no_invitation(self) -> None:
        if not is_default_host():
            pytest.skip("Everybody has an address here.")
        CourseEnrollmentAllowed.objects.create(email="", course_id="any")
        nameless = make_user(email="")

        assert not CourseEnrollmentAllowed.for_user(nameless).exists()

    @pytest.mark.rule("MDL-14", "MDL-27")
    def test_those_unused_in_a_course(self) -> None:
        ada = make_user()
        invite = CourseEnrollmentAllowed.objects.create
        unused = invite(email="new@example.org", course_id="here")
        invite(email="ada@example.org", course_id="here", user=ada)
        invite(email="new@example.org", course_id="there")
        list_unused = CourseEnrollmentAllowed.may_enroll_and_unenrolled

        assert list(list_unused("here")) == [unused]

    @pytest.mark.rule("MDL-27")
    def test_a_used_one_stays_used(self) -> None:
        learner, course = make_user(), make_course()
        course_id = course_id_of(course)
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=course_id
        )
        CourseEnrollment.enroll(learner, course_id, check_access=True)
        CourseEnrollment.unenroll(learner, course_id)
        type(learner).objects.filter(pk=learner.pk).update(email="new@example.org")

        unused = CourseEnrollmentAllowed.may_enroll_and_unenrolled(course_id)

        assert not unused.exists()

    @pytest.mark.rule("MDL-26")
    def test_retiring_deletes_those_of_the_address(self) -> None:
        invite = CourseEnrollmentAllowed.objects.create
        for course_id in ("a", "b"):
            invite(email="ada@example.org", course_id=course_id)
            invite(email="bob@example.org", course_id=course_id)

        assert CourseEnrollmentAllowed.retire("Ada@example.org") is True

        left = CourseEnrollmentAllowed.objects.values_list("email", flat=True)
        assert set(left) == {"bob@example.org"}
        assert CourseEnrollmentAllowed.retire("ada@example.org") is False
        assert CourseEnrollmentAllowed.objects.count() == 2

    @pytest.mark.rule("MDL-26")
    def test_the_address_is_overwritten_just_before(self) -> None:
        seen: list[str] = []

        def remember(instance: CourseEnrollmentAllowed, **kwargs: Any) -> None:
            seen.append(instance.email)

        for course_id in ("a", "b"):
            CourseEnrollmentAllowed.objects.create(
                email="ada@example.org", course_id=course_id
            )
        pre_delete.connect(remember, CourseEnrollmentAllowed)
        try:
            CourseEnrollmentAllowed.retire("ada@example.org")
        finally:
            pre_delete.disconnect(remember, CourseEnrollmentAllowed)

        assert seen == ["redacted-before-delete@safe.com"] * 2

    @pytest.mark.rule("MDL-26")
    def test_the_address_that_overwrites_may_be_invited(self) -> None:
        invite = CourseEnrollmentAllowed.objects.create
        redacted = invite(email="redacted-before-delete@safe.com", course_id="a")
        for course_id in ("a", "b"):
            invite(email="ada@example.org", course_id=course_id)

        assert CourseEnrollmentAllowed.retire("ada@example.org") is True

        assert CourseEnrollmentAllowed.objects.get() == redacted
        assert CourseEnrollmentAllowed.retire(redacted.email) is True

    @pytest.mark.rule("MDL-26")
    @pytest.mark.parametrize("email", ["nobody@example.org", "", "a\x00@example.org"])
    def test_an_address_without_any_is_false(self, email: str) -> None:
        assert CourseEnrollmentAllowed.retire(email) is False

    @pytest.mark.rule("MDL-26")
    def test_a_used_one_goes_too(self) -> None:
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id="any", user=make_user()
        )

        assert CourseEnrollmentAllowed.retire("ada@example.org")
        assert not CourseEnrollmentAllowed.objects.exists()


class TestCourseAccessRole:
    @pytest.mark.rule("MDL-18")
    def test_is_unique_over_the_four(self) -> None:
        learner = make_user()
        grant = CourseAccessRole.objects.create
        fields = {"user": learner, "org": "edX", "course_id": "any", "role": "staff"}
        role = grant(**fields)
        grant(**{**fields, "course_id": ""})
        grant(**{**fields, "org": ""})

        with pytest.raises(IntegrityError), transaction.atomic():
            grant(**fields)
        assert str(role) == "staff of any"

    @pytest.mark.rule("MDL-19")
    def test_user_has_role(self) -> None:
        instructor, staff = make_user("instructor"), make_user("staff")
        CourseAccessRole.objects.create(
            user=instructor, course_id="here", role="instructor"
        )
        CourseAccessRole.objects.create(user=staff, course_id="here", role="staff")
        has = CourseAccessRole.user_has_role

        assert has(staff, "staff", "here")
        assert not has(staff, "staff", "there")
        assert not has(staff, "instructor", "here")
        for implied in ("instructor", "staff", "beta_testers"):
            assert has(instructor, implied, "here")
        assert not has(instructor, "data_researcher", "here")
        assert not has(AnonymousUser(), "staff", "here")

    @pytest.mark.rule("MDL-19")
    def test_global_staff_has_every_role_unless_inactive(self) -> None:
        boss = make_user("boss", is_staff=True)
        former = make_user("former", is_staff=True, is_active=False)
        has = CourseAccessRole.user_has_role

        assert has(boss, "anything", "anywhere")
        assert not has(former, "anything", "anywhere")

    @pytest.mark.rule("MDL-19")
    def test_an_inactive_user_has_none(self) -> None:
        former = make_user("former", is_active=False)
        CourseAccessRole.objects.create(user=former, course_id="here", role="staff")

        assert not CourseAccessRole.user_has_role(former, "staff", "here")


class TestPeople:
    def test_contract_9_a_retirement_outlives_its_user(self) -> None:
        learner = make_user()
        status = UserRetirementStatus.objects.create(
            user=learner, original_username="ada"
        )
        assert str(status) == f"{learner.pk}: pending"

        learner.delete()

        status.refresh_from_db()
        assert (status.user, status.original_username, status.state) == (
            None,
            "ada",
            "pending",
        )

    def test_contract_9_an_opt_in_is_one_per_user_and_org(self) -> None:
        learner = make_user()
        choice = EmailOptIn.objects.create(user=learner, org="edX", opted_in=True)

        with pytest.raises(IntegrityError), transaction.atomic():
            EmailOptIn.objects.create(user=learner, org="edX", opted_in=False)
        assert str(choice) == f"{learner.pk}: edX"

    def test_contract_3_everything_is_importable_by_name(self) -> None:
        names = {
            "AbstractCourse",
            "Course",
            "CourseMode",
            "CourseEnrollment",
            "CourseEnrollmentAttribute",
            "CourseEnrollmentAllowed",
            "CourseAccessRole",
            "EnrollmentEvent",
            "UserRetirementStatus",
            "EmailOptIn",
            "get_course_model",
        }

        assert names <= set(models.__all__)

    def test_contract_3_keys_are_big_integers(self) -> None:
        for model in (CourseEnrollment, CourseMode, EnrollmentEvent, EmailOptIn):
            assert model._meta.pk.get_internal_type() == "BigAutoField"


class TestIsCourseFull:
    @pytest.mark.rule("CAP-01")
    def test_mdl_is_course_full_takes_instances_and_ids(self) -> None:
        unlimited = make_course("unlimited")
        nobody = make_course("nobody", max_student_enrollments_allowed=0)
        one = make_course("one", max_student_enrollments_allowed=1)
        is_full = CourseEnrollment.objects.is_course_full

        assert not is_full(unlimited)
        assert not is_full("unlimited")
        assert is_full(nobody)
        assert is_full("nobody")
        assert not is_full(one)
        CourseEnrollment.enroll(make_user(), course_id_of(one))
        assert is_full(one)
        assert not is_full("unknown")
        assert not is_full(None)

    def test_at_a_moment_long_ago(self) -> None:
        with one_call(NOON - 5000 * DAY):
            row = CourseEnrollment.enroll(make_user(), course_id_of(make_course()))

        row.refresh_from_db()
        assert row.created == NOON - 5000 * DAY
