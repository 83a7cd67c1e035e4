"""The methods of the model classes that enroll and read."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser

from django_enrollments.context import call_context
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
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
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

enroll = CourseEnrollment.enroll
unenroll = CourseEnrollment.unenroll
get_or_create = CourseEnrollment.get_or_create_enrollment


@pytest.fixture
def course_id(course):
    return course_id_of(course)


@pytest.fixture
def row(ada, course_id):
    return enroll(ada, course_id)


class TestEnroll:
    @pytest.mark.rule("MDL-02")
    def test_returns_the_row_in_the_courses_default_mode(self, ada):
        course = make_course(modes=["honor", "verified"])

        row = enroll(ada, course_id_of(course))

        assert isinstance(row, CourseEnrollment)
        assert state_of(ada, course) == ("honor", True)

    @pytest.mark.rule("MDL-02")
    def test_takes_any_mode_that_a_row_can_hold(self, ada, course, course_id):
        enroll(ada, course_id, "a-mode-of-its-own")

        assert state_of(ada, course) == ("a-mode-of-its-own", True)

    @pytest.mark.rule("MDL-02")
    @pytest.mark.parametrize("mode", ["", "   ", "x" * 101, "\x00", 5, [], "\ud800"])
    def test_refuses_a_mode_that_no_row_can_hold(self, ada, course_id, mode):
        with raises_without_writes(CourseModeNotFoundError):
            enroll(ada, course_id, mode)
        row = enroll(ada, course_id)
        with raises_without_writes(CourseModeNotFoundError):
            row.change_mode(mode)

    @pytest.mark.rule("MDL-03")
    def test_checks_filters_then_the_window_then_the_seats(self, ada, settings):
        course_id = course_id_of(
            make_course(enrollment_end=NOON, max_student_enrollments_allowed=0)
        )

        with raises_without_writes(CourseEnrollmentClosedError):
            enroll(ada, course_id, check_access=True)
        settings.ENROLLMENTS_FILTERS = [veto]
        with raises_without_writes(EnrollmentNotAllowed, match="Not today"):
            enroll(ada, course_id, check_access=True)

    @pytest.mark.rule("MDL-03")
    def test_lets_a_learner_upgrade_after_the_window_into_a_seat(self, ada):
        shut = make_course("shut", enrollment_end=NOON)
        make_course("full", max_student_enrollments_allowed=0)

        enroll(ada, "shut", check_access=True, can_upgrade=True)

        assert state_of(ada, shut) == ("audit", True)
        with raises_without_writes(CourseEnrollmentFullError):
            enroll(ada, "full", check_access=True, can_upgrade=True)

    @pytest.mark.rule("MDL-03")
    def test_refuses_an_active_learner_when_access_is_checked(self, row, course_id):
        with raises_without_writes(CourseEnrollmentExistsError) as refusal:
            enroll(row.user, course_id, "honor", check_access=True)

        assert refusal.value.enrollment == row

    @pytest.mark.rule("MDL-04")
    def test_ignores_the_window_when_access_is_not_checked(self, ada):
        course = make_course(enrollment_end=NOON, invitation_only=True)

        enroll(ada, course_id_of(course))

        assert state_of(ada, course) == ("audit", True)

    def test_needs_a_seat_unless_over_capacity(self, ada):
        course_id = course_id_of(make_course(max_student_enrollments_allowed=0))

        with raises_without_writes(CourseEnrollmentFullError):
            enroll(ada, course_id)
        row = enroll(ada, course_id, over_capacity=True)

        assert row.events.get().reason == "over_capacity"

    @pytest.mark.rule("MDL-04")
    def test_changes_the_mode_of_an_active_learner_if_it_is_given(self, row, course_id):
        again = enroll(row.user, course_id, "verified")
        kept = enroll(row.user, course_id)

        assert again.mode == kept.mode == "verified"
        assert event_types() == ["created", "mode_changed"]

    @pytest.mark.rule("MDL-04")
    @pytest.mark.skipif(not is_default_host(), reason="here the course id is no key")
    def test_takes_a_course_that_does_not_exist_where_its_id_is_its_key(self, ada):
        row = enroll(ada, "announced")

        assert (row.course_id, row.mode, row.is_active) == ("announced", "audit", True)
        assert CourseEnrollment.is_enrolled(ada, "announced")

    @pytest.mark.rule("MDL-04", "MDL-03")
    def test_refuses_a_course_that_does_not_exist_otherwise(self, ada):
        with raises_without_writes(CourseNotFoundError):
            enroll(ada, "announced", check_access=is_default_host())

    @pytest.mark.rule("DATA-13")
    @pytest.mark.parametrize("course_id", ["", "not valid", "x/", None, [], "\x00"])
    def test_refuses_invalid_course_ids(self, ada, course_id):
        with raises_without_writes(CourseNotFoundError):
            enroll(ada, course_id)

    @pytest.mark.rule("MDL-05", "MDL-06", "B-06", "B-20")
    def test_writes_the_row_once_in_the_mode_of_a_filter(
        self, settings, ada, course, course_id
    ):
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: {"mode": "masters"}]

        enroll(ada, course_id)

        assert state_of(ada, course) == ("masters", True)
        event = EnrollmentEvent.objects.get()
        assert (event.type, event.mode_after, event.active_after) == (
            "created",
            "masters",
            True,
        )

    @pytest.mark.rule("MDL-24", "MDL-23")
    @pytest.mark.parametrize("method", [enroll, get_or_create])
    def test_saves_a_new_user_first(self, course_id, method):
        model = get_user_model()
        learner = model(**{model.USERNAME_FIELD: username("newcomer")})

        row = method(learner, course_id)

        assert row.user == model.objects.get()

    @pytest.mark.parametrize("user", [AnonymousUser(), None, "ada", 1])
    @pytest.mark.parametrize("method", [enroll, get_or_create])
    def test_refuses_objects_that_are_no_users(self, course_id, method, user):
        with raises_without_writes(UserNotFoundError):
            method(user, course_id)

    def test_writes_actor_reason_source_and_moment_to_the_history(self, course_id):
        learner, actor = make_users(2)
        given = {"enterprise_uuid": "acme", "reason": "by hand", "source": "admin"}

        with call_context(NOON - 5000 * DAY):
            row = enroll(learner, course_id, actor=actor, **given)

        event = row.events.get()
        assert event.actor_id == actor.pk
        assert {name: getattr(event, name) for name in given} == given
        row.refresh_from_db()
        assert row.created == event.time == NOON - 5000 * DAY

    @pytest.mark.rule("MDL-28")
    def test_enrolls_again_in_the_mode_given_or_the_default(self, ada, course_id):
        for asked, mode in (
            ("verified", "verified"),
            ("honor", "honor"),
            (None, "audit"),
        ):
            assert enroll(ada, course_id, asked).mode == mode
            unenroll(ada, course_id)


class TestUnenroll:
    @pytest.mark.rule("MDL-08", "B-05")
    def test_deactivates_once_and_keeps_the_mode(self, course, course_id):
        learner, actor = make_users(2)
        enroll(learner, course_id, "verified")

        unenroll(learner, course_id, actor=actor, reason="asked")

        assert state_of(learner, course) == ("verified", False)
        event = EnrollmentEvent.objects.get(type="deactivated")
        assert (event.actor_id, event.reason) == (actor.pk, "asked")
        with nothing_written():
            unenroll(learner, course_id)

    @pytest.mark.rule("MDL-08")
    @pytest.mark.parametrize(
        ("course_id", "logged"),
        [("unknown", "unknown"), ("not valid", "None"), ("forged\nline", "None")],
    )
    def test_only_logs_that_there_is_no_row(self, caplog, ada, course_id, logged):
        for user in (ada, AnonymousUser(), None):
            with nothing_written():
                unenroll(user, course_id)

        assert f"User {ada.pk} was never in course {logged}." in caplog.messages
        assert f"User None was never in course {logged}." in caplog.messages


class TestByEmail:
    @pytest.mark.rule("MDL-09")
    def test_enrolls_and_unenrolls_in_any_case(self, ada, course, course_id):
        CourseEnrollment.enroll_by_email("Ada@Example.ORG", course_id, "honor")
        assert state_of(ada, course) == ("honor", True)

        CourseEnrollment.unenroll_by_email(" ADA@example.org", course_id)
        assert state_of(ada, course) == ("honor", False)

    @pytest.mark.rule("MDL-09")
    @pytest.mark.parametrize(
        ("email", "code"),
        [
            ("nobody@example.org", "user_not_found"),
            *((email, "invalid_email") for email in ("", "\x00", None, 5)),
        ],
    )
    def test_logs_an_unknown_address(self, caplog, course_id, email, code):
        with nothing_written():
            assert CourseEnrollment.enroll_by_email(email, course_id) is None
            CourseEnrollment.unenroll_by_email(email, course_id)

        assert caplog.text.count(code) == 2

    @pytest.mark.rule("MDL-09")
    @pytest.mark.parametrize(
        ("name", "error"),
        [("nobody", UserNotFoundError), ("ada", CourseEnrollmentFullError)],
    )
    def test_raises_errors_unless_they_are_ignored(self, ada, name, error):
        make_course("full", max_student_enrollments_allowed=0)
        email = f"{name}@example.org"

        with raises_without_writes(error):
            CourseEnrollment.enroll_by_email(email, "full", ignore_errors=False)
        assert CourseEnrollment.enroll_by_email(email, "full") is None


class TestReading:
    @pytest.mark.rule("MDL-10")
    def test_finds_the_state_of_a_learner(self, course_id):
        stays, left, never = make_users(3)
        for learner in (stays, left):
            enroll(learner, course_id, "honor")
        unenroll(left, course_id)

        for user, state in (
            (stays, ("honor", True)),
            (left, ("honor", False)),
            (never, (None, None)),
            (AnonymousUser(), (None, None)),
            (get_user_model()(), (None, None)),
        ):
            assert CourseEnrollment.enrollment_mode_for_user(user, course_id) == state
            assert CourseEnrollment.is_enrolled(user, course_id) is bool(state[1])

    @pytest.mark.rule("MDL-11", "MDL-12")
    def test_finds_and_counts_the_users_of_a_course(self):
        audit, verified, left, elsewhere = make_users(4)
        for course_id in ("here", "there"):
            make_course(course_id)
        enroll(audit, "here")
        enroll(verified, "here", "verified")
        enroll(left, "here", "masters")
        enroll(elsewhere, "there")
        unenroll(left, "here")
        users_in = CourseEnrollment.objects.users_enrolled_in
        counts = CourseEnrollment.objects.enrollment_counts("here")

        assert set(users_in("here")) == {audit, verified}
        assert set(users_in("here", include_inactive=True)) == {audit, verified, left}
        assert set(users_in("here", verified_only=True)) == {verified}
        assert set(users_in("here", True, True)) == {verified, left}
        assert not users_in("unknown").exists()
        assert dict(counts) == {"audit": 1, "verified": 1, "total": 2}
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
    def test_finds_an_active_enrollment_in_any_run(self, run, partial):
        learner, other = make_users(2)
        make_course(run)
        enroll(learner, run)
        in_any_run = CourseEnrollment.is_enrolled_by_partial

        assert in_any_run(learner, partial)
        assert not in_any_run(other, partial)
        assert not in_any_run(AnonymousUser(), partial)
        for wrong in (
            partial[:-1],
            partial.lower(),
            partial.replace("e", "_"),
            "not valid",
        ):
            assert not in_any_run(learner, wrong)
        unenroll(learner, run)
        assert not in_any_run(learner, partial)

    @pytest.mark.rule("CAP-01")
    def test_finds_whether_a_course_is_full(self, ada):
        is_full = CourseEnrollment.objects.is_course_full
        make_course("unlimited")
        make_course("empty", max_student_enrollments_allowed=0)
        one = make_course("one", max_student_enrollments_allowed=1)

        assert is_full("empty")
        for open_ in ("unlimited", one, "one", "unknown", None):
            assert not is_full(open_)
        enroll(ada, "one")
        assert is_full(one)
        assert is_full("one")


class TestUpdateEnrollment:
    @pytest.mark.rule("MDL-07")
    def test_changes_only_given_fields(self, row):
        row.update_enrollment(mode="honor")
        row.update_enrollment(is_active=False)

        row.refresh_from_db()

        assert (row.mode, row.is_active) == ("honor", False)
        assert event_types() == ["created", "mode_changed", "deactivated"]

    @pytest.mark.rule("MDL-07", "MDL-23")
    def test_writes_nothing_where_nothing_changes(self, row):
        with nothing_written():
            row.update_enrollment()
            row.update_enrollment(mode="audit", is_active=True)
            row.activate()
            row.change_mode("audit")
        row.deactivate()
        with nothing_written():
            row.deactivate()

    @pytest.mark.rule("MDL-07")
    def test_leaves_the_instance_as_it_is_stored(self, row):
        row.update_enrollment(mode="honor", is_active=False, enterprise_uuid="acme")

        stored = row_of(row.user, row.course)
        for name in ("mode", "is_active", "modified"):
            assert getattr(row, name) == getattr(stored, name)
        assert {event.enterprise_uuid for event in row.events.all()} == {"", "acme"}

    @pytest.mark.rule("MDL-07")
    def test_changes_the_stored_row_of_a_stale_instance(self, row):
        stale = CourseEnrollment.objects.get(pk=row.pk)
        row.update_enrollment(mode="honor")

        stale.update_enrollment(is_active=False)
        assert (stale.mode, stale.is_active) == ("honor", False)
        assert state_of(row.user, row.course) == ("honor", False)

        # It still shows an active row.
        row.activate()
        assert state_of(row.user, row.course) == ("honor", True)
        row.is_active = False
        row.update_enrollment(is_active=False)
        assert state_of(row.user, row.course) == ("honor", False)

    @pytest.mark.rule("MDL-23")
    def test_activates_a_row_that_get_or_create_made_inactive(self, ada):
        course = make_course(modes=["honor"])

        row = get_or_create(ada, course_id_of(course))
        assert (row.mode, row.is_active) == state_of(ada, course) == ("honor", False)
        row.activate()
        with nothing_written():
            found = get_or_create(ada, course_id_of(course))

        assert found == row
        assert found.is_active
        assert event_types() == ["created", "activated"]

    def test_needs_a_seat_to_activate_and_none_to_change_the_mode(self, ada):
        course = make_course(max_student_enrollments_allowed=0)
        row = get_or_create(ada, course_id_of(course))

        with raises_without_writes(CourseEnrollmentFullError):
            row.activate()
        row.change_mode("honor")

        assert (row.mode, row.is_active) == ("honor", False)

    @pytest.mark.rule("B-11")
    def test_changes_a_row_of_a_deleted_course(self, row, course, course_id):
        course.delete()

        CourseEnrollment.objects.get(pk=row.pk).deactivate()

        assert event_types(course_id=course_id) == ["created", "deactivated"]

    @pytest.mark.rule("MDL-08")
    def test_is_refused_by_a_filter(self, row, course_id, settings):
        settings.ENROLLMENTS_FILTERS = [veto]

        for change in (
            row.deactivate,
            lambda: row.change_mode("honor"),
            lambda: unenroll(row.user, course_id),
        ):
            with raises_without_writes(EnrollmentNotAllowed, match="Not today"):
                change()
        assert (row.mode, row.is_active) == ("audit", True)

    def test_refuses_a_row_that_is_gone(self, row):
        CourseEnrollment.objects.filter(pk=row.pk).delete()

        with pytest.raises(EnrollmentNotFoundError):
            row.change_mode("honor")
