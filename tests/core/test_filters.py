"""The host's own say before a change (contract §7)."""

from __future__ import annotations

from typing import Any

import pytest

from django_enrollments import api, data
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentFullError,
    CourseModeNotFoundError,
    EnrollmentNotAllowed,
)
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    NOON,
    course_id_of,
    make_course,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.watching import event_types, nothing_written, refused, row_of, state_of

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"

#: What :func:`remember` was asked.
asked: list[tuple[str, dict[str, Any]]] = []


def remember(action, **context):
    """A filter that changes nothing."""
    asked.append((action, context))


def refuse(action, **context):
    """A filter that vetoes everything."""
    raise EnrollmentNotAllowed("Not from where you are.")


def refuse_leaving(action, **context):
    """A filter that keeps learners in."""
    if action == "unenroll":
        raise EnrollmentNotAllowed("Stay.")


def grant_scholarship(action, **context):
    """A filter that puts everybody who enrolls into a mode of its own."""
    return {"mode": "scholarship"} if action == "enroll" else None


@pytest.fixture(autouse=True)
def _nothing_asked_yet():
    asked.clear()


@pytest.fixture
def course():
    course = make_course()
    make_modes(course, "audit", "honor", "verified")
    return course


class TestAsked:
    @pytest.fixture(autouse=True)
    def _remembering(self, settings):
        settings.ENROLLMENTS_FILTERS = ["tests.core.test_filters.remember"]

    def test_about_a_new_enrollment(self, course):
        learner = make_user()

        api.add_enrollment(username("ada"), COURSE_ID, "honor")

        ((action, context),) = asked
        assert action == "enroll"
        assert context == {
            "user": learner,
            "course": course,
            "mode": "honor",
            "enrollment": None,
            "source": "api",
        }

    def test_about_one_that_comes_back(self, course):
        learner = make_user()
        api.add_enrollment(username("ada"), COURSE_ID)
        api.update_enrollment(username("ada"), COURSE_ID, is_active=False)
        asked.clear()

        api.add_enrollment(username("ada"), COURSE_ID)

        ((action, context),) = asked
        assert action == "enroll"
        assert context["enrollment"] == row_of(learner, course)

    def test_about_another_mode(self, course):
        make_user()
        api.add_enrollment(username("ada"), COURSE_ID)
        asked.clear()

        api.update_enrollment(username("ada"), COURSE_ID, "verified")

        ((action, context),) = asked
        assert (action, context["mode"]) == ("enroll", "verified")

    def test_about_leaving(self, course):
        learner = make_user()
        api.add_enrollment(username("ada"), COURSE_ID)
        asked.clear()

        api.update_enrollment(username("ada"), COURSE_ID, is_active=False)

        ((action, context),) = asked
        assert action == "unenroll"
        assert set(context) == {"user", "course", "enrollment", "source"}
        assert context["user"] == learner
        assert context["course"] == course

    def test_about_the_learners_own_list(self, course):
        learner = make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)
        asked.clear()

        data.get_course_enrollments(username("ada"))

        ((action, context),) = asked
        assert action == "queryset"
        assert context["user"] == learner
        assert [row.user_id for row in context["queryset"]] == [learner.pk]

    def test_once_per_learner_of_a_bulk(self, course):
        learners = make_users(3)
        names = [user.get_username() for user in learners]

        api.bulk_enroll(COURSE_ID, names, mode="honor")
        api.bulk_enroll(COURSE_ID, names, action="unenroll")

        assert [action for action, _ in asked] == ["enroll"] * 3 + ["unenroll"] * 3
        assert [context["user"] for _, context in asked] == learners * 2
        assert {context["source"] for _, context in asked} == {"bulk"}
        assert all(context["course"] == course for _, context in asked)

    def test_about_explaining(self, course):
        make_user()

        with nothing_written():
            api.explain_enrollment(username("ada"), COURSE_ID, "honor")

        ((action, context),) = asked
        assert (action, context["mode"]) == ("enroll", "honor")

    def test_not_about_what_changes_nothing(self, course):
        learner = make_user()
        CourseEnrollment.enroll(learner, COURSE_ID)
        asked.clear()

        EnrollmentsService().enroll(learner, course)
        api.update_enrollment(username("ada"), COURSE_ID, "audit", is_active=True)

        assert asked == []

    @pytest.mark.rule("V1-UNENR-10")
    def test_not_about_retirement(self, course):
        CourseEnrollment.enroll(make_user(), COURSE_ID)
        asked.clear()

        api.unenroll_user_from_all_courses(username("ada"))

        assert asked == []


class TestVeto:
    @pytest.fixture(autouse=True)
    def _refusing(self, settings, course):
        CourseEnrollment.enroll(make_user("inside"), COURSE_ID)
        make_user()
        settings.ENROLLMENTS_FILTERS = [refuse]

    def test_nothing_changes_and_the_message_is_the_filters(self, course):
        name = username("inside")
        for request in (
            lambda: api.add_enrollment(username("ada"), COURSE_ID),
            lambda: api.update_enrollment(name, COURSE_ID, "honor"),
            lambda: api.update_enrollment(name, COURSE_ID, is_active=False),
            lambda: EnrollmentsService().change_mode(
                row_of_inside(course).user, course, "honor"
            ),
            lambda: api.get_enrollments(name),
        ):
            with (
                nothing_written(),
                pytest.raises(
                    EnrollmentNotAllowed, match=r"^Not from where you are\.$"
                ) as refusal,
            ):
                request()
            assert refusal.value.code == "not_allowed"

    def test_force_does_not_lift_it(self):
        with refused(EnrollmentNotAllowed):
            api.add_enrollment(username("ada"), COURSE_ID, force_enrollment=True)

    def test_explaining_hears_it(self):
        told = api.explain_enrollment(username("ada"), COURSE_ID)

        assert told["allowed"] is False
        assert told["reasons"] == [
            {
                "code": "not_allowed",
                "message": "Not from where you are.",
                "changes_at": None,
            }
        ]

    def test_a_bulk_row_tells_it_and_the_others_go_on(self, settings):
        def refuse_ada(action, **context):
            if context["user"].get_username() == username("ada"):
                raise EnrollmentNotAllowed("Not Ada.")

        settings.ENROLLMENTS_FILTERS = [refuse_ada]
        make_user("bob")

        results = api.bulk_enroll(COURSE_ID, [username("ada"), username("bob")])

        assert [one["status"] for one in results] == ["error", "created"]
        assert (results[0]["code"], results[0]["message"]) == (
            "not_allowed",
            "Not Ada.",
        )

    def test_a_bulk_row_that_may_not_leave_stays(self, settings):
        settings.ENROLLMENTS_FILTERS = [refuse_leaving]

        (result,) = api.bulk_enroll(COURSE_ID, [username("inside")], action="unenroll")

        assert (result["status"], result["message"]) == ("error", "Stay.")
        assert event_types() == ["created"]

    def test_mode_window_and_seats_are_told_in_this_order(self, settings):
        shut = make_course(
            "shut", enrollment_end=NOON, max_student_enrollments_allowed=0
        )

        with pytest.raises(CourseModeNotFoundError):
            EnrollmentsService().enroll(make_user("bob"), shut, "verified")
        with pytest.raises(EnrollmentNotAllowed):
            EnrollmentsService().enroll(make_user("eve"), shut)
        settings.ENROLLMENTS_FILTERS = []
        with pytest.raises(CourseEnrollmentClosedError):
            EnrollmentsService().enroll(make_user("kim"), shut)
        with pytest.raises(CourseEnrollmentFullError):
            EnrollmentsService().enroll(make_user("lee"), shut, force=True)


class TestChangedContext:
    @pytest.mark.rule("MDL-05")
    def test_the_mode_may_be_one_that_the_course_does_not_offer(self, settings, course):
        settings.ENROLLMENTS_FILTERS = [grant_scholarship]
        learner = make_user()

        added = api.add_enrollment(username("ada"), COURSE_ID)

        assert added["mode"] == "scholarship"
        assert state_of(learner, course) == ("scholarship", True)
        assert EnrollmentEvent.objects.get().mode_after == "scholarship"

    def test_explaining_tells_the_mode_that_it_would_be(self, settings, course):
        settings.ENROLLMENTS_FILTERS = [grant_scholarship]
        make_user()

        told = api.explain_enrollment(username("ada"), COURSE_ID)

        assert (told["allowed"], told["mode"]) == (True, "scholarship")

    @pytest.mark.parametrize("mode", ["", "x" * 101, None, 5, "\x00"])
    def test_a_mode_that_no_row_can_hold_is_told(self, settings, course, mode):
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: {"mode": mode}]
        make_user()

        with refused(CourseModeNotFoundError):
            api.add_enrollment(username("ada"), COURSE_ID)
        told = api.explain_enrollment(username("ada"), COURSE_ID)
        assert [one["code"] for one in told["reasons"]] == ["mode_unavailable"]

    def test_turning_a_change_back_leaves_nothing_to_do(self, settings, course):
        make_user()
        api.add_enrollment(username("ada"), COURSE_ID)
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: {"mode": "audit"}]

        with nothing_written():
            updated = api.update_enrollment(username("ada"), COURSE_ID, "verified")

        assert updated["mode"] == "audit"

    def test_each_filter_sees_what_the_one_before_made_of_it(self, settings, course):
        settings.ENROLLMENTS_FILTERS = [grant_scholarship, remember]
        make_user()

        api.add_enrollment(username("ada"), COURSE_ID)

        assert asked[0][1]["mode"] == "scholarship"

    def test_the_learners_list_may_be_narrowed(self, settings, course):
        make_user()
        api.add_enrollment(username("ada"), COURSE_ID)
        settings.ENROLLMENTS_FILTERS = [
            lambda action, **context: {"queryset": context["queryset"].none()}
        ]

        assert api.get_enrollments(username("ada")) == []
        assert api.get_enrollment(username("ada"), COURSE_ID) is not None


class TestMisconfigured:
    @pytest.mark.parametrize(
        "filters",
        [
            "tests.core.test_filters.remember",
            ["no.such.filter"],
            ["tests.stranger.broken.veto"],
            ["tests.stranger"],
            ["collections.OrderedDict"],
            ["a..b"],
            [".a"],
            [5],
            {"a": 1},
            [""],
        ],
    )
    def test_a_filter_that_cannot_be_asked_refuses(self, settings, filters, course):
        settings.ENROLLMENTS_FILTERS = filters
        make_user()

        with refused(EnrollmentNotAllowed):
            api.add_enrollment(username("ada"), course_id_of(course))
        assert asked == []

    def test_a_filter_that_raises_anything_else_is_heard(self, settings, course):
        def fail(action, **context):
            raise ZeroDivisionError

        settings.ENROLLMENTS_FILTERS = [fail]
        make_user()

        with refused(ZeroDivisionError):
            api.add_enrollment(username("ada"), COURSE_ID)


def row_of_inside(course):
    return CourseEnrollment.objects.get(course=course)
