"""The filters with which a host decides before a change."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.db import transaction

from django_enrollments import api, data
from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentFullError,
    CourseModeNotFoundError,
    EnrollmentNotAllowed,
)
from django_enrollments.models import CourseEnrollment, EmailOptIn, EnrollmentEvent
from django_enrollments.services import EnrollmentsService
from tests.factories import NOON, make_course, make_user, make_users, username
from tests.watching import (
    event_types,
    nothing_written,
    raises_without_writes,
    state_of,
    veto,
)

pytestmark = pytest.mark.django_db

ADA = username("ada")
COURSE_ID = "course-v1:edX+DemoX+Demo_Course"

service = EnrollmentsService()

#: The calls of :func:`remember`.
calls: list[tuple[str, dict[str, Any]]] = []


def remember(action, **context):
    """A filter that changes nothing."""
    calls.append((action, context))


def grant_scholarship(action, **context):
    """A filter that enrolls every learner in a mode of its own."""
    return {"mode": "scholarship"} if action == "enroll" else None


def enroll_bob_and_roll_back(action, *, user, **context):
    """A filter with a transaction that it rolls back."""
    if user.get_username() == ADA:
        with suppress(ZeroDivisionError), transaction.atomic():
            EmailOptIn.objects.create(
                user=user, org="edX", opted_in=True, modified=NOON
            )
            api.add_enrollment(username("bob"), "course-v1:edX+Other+R")
            raise ZeroDivisionError


@pytest.fixture(autouse=True)
def course(ada):
    calls.clear()
    return make_course(modes=["audit", "honor", "verified"])


def add(*args, **options):
    return api.add_enrollment(ADA, COURSE_ID, *args, **options)


def change(*args, **options):
    return api.update_enrollment(ADA, COURSE_ID, *args, **options)


class TestCall:
    @pytest.fixture(autouse=True)
    def _remembering(self, settings, course):
        settings.ENROLLMENTS_FILTERS = ["tests.core.test_filters.remember"]

    def test_is_made_for_each_change_of_an_enrollment(self, ada, course):
        for request, action, mode in (
            (lambda: add("honor"), "enroll", "honor"),
            (lambda: change("verified"), "enroll", "verified"),
            (lambda: change(is_active=False), "unenroll", None),
            (lambda: add(), "enroll", "audit"),
        ):
            calls.clear()
            row = CourseEnrollment.objects.first()
            expected = {"user": ada, "course": course, "enrollment": row}
            if mode:
                expected["mode"] = mode

            request()

            assert calls == [(action, {**expected, "source": "api"})]

    def test_is_made_for_the_learners_own_list(self, ada):
        CourseEnrollment.enroll(ada, COURSE_ID)
        calls.clear()

        data.get_course_enrollments(ADA)

        ((action, context),) = calls
        assert (action, context["user"]) == ("queryset", ada)
        assert [row.user_id for row in context["queryset"]] == [ada.pk]

    def test_is_made_once_for_each_learner_of_a_bulk(self):
        learners = make_users(3)
        names = [user.get_username() for user in learners]

        api.bulk_enroll(COURSE_ID, names, mode="honor")
        api.bulk_enroll(COURSE_ID, names, action="unenroll")

        assert [action for action, _ in calls] == ["enroll"] * 3 + ["unenroll"] * 3
        assert [context["user"] for _, context in calls] == learners * 2
        assert {context["source"] for _, context in calls} == {"bulk"}

    def test_is_made_to_explain(self):
        with nothing_written():
            api.explain_enrollment(ADA, COURSE_ID, "honor")

        ((action, context),) = calls
        assert (action, context["mode"]) == ("enroll", "honor")

    @pytest.mark.rule("V1-UNENR-10")
    def test_is_not_made_where_nothing_changes_or_for_retirement(self, ada, course):
        CourseEnrollment.enroll(ada, COURSE_ID)
        calls.clear()

        service.enroll(ada, course)
        change("audit", is_active=True)
        api.unenroll_user_from_all_courses(ADA)

        assert calls == []


class TestVeto:
    @pytest.fixture(autouse=True)
    def _refusing(self, settings, course):
        CourseEnrollment.enroll(make_user("inside"), COURSE_ID)
        settings.ENROLLMENTS_FILTERS = [veto]

    @pytest.mark.parametrize(
        "request_",
        [
            lambda: add(),
            lambda: add(force_enrollment=True),
            lambda: api.update_enrollment(username("inside"), COURSE_ID, "honor"),
            lambda: api.update_enrollment(
                username("inside"), COURSE_ID, is_active=False
            ),
            lambda: service.change_mode(
                CourseEnrollment.objects.get().user, COURSE_ID, "honor"
            ),
            lambda: api.get_enrollments(username("inside")),
        ],
    )
    def test_refuses_with_the_message_of_the_filter(self, request_):
        with raises_without_writes(
            EnrollmentNotAllowed, match=r"^Not today\.$"
        ) as refusal:
            request_()

        assert refusal.value.code == "not_allowed"

    def test_is_a_reason_when_explained(self):
        explained = api.explain_enrollment(ADA, COURSE_ID)

        reason = {"code": "not_allowed", "message": "Not today.", "changes_at": None}
        assert explained["allowed"] is False
        assert explained["reasons"] == [reason]

    @pytest.mark.parametrize("action", ["enroll", "unenroll"])
    def test_is_an_error_of_one_row_of_a_bulk(self, ada, settings, action):
        def refuse_ada(action, user, **context):
            if user == ada:
                veto(action)

        settings.ENROLLMENTS_FILTERS = []
        make_user("bob")
        if action == "unenroll":
            api.bulk_enroll(COURSE_ID, [ADA, username("bob")])
        settings.ENROLLMENTS_FILTERS = [refuse_ada]
        before = len(event_types())

        results = api.bulk_enroll(COURSE_ID, [ADA, username("bob")], action=action)

        done = {"enroll": "created", "unenroll": "deactivated"}[action]
        assert [one["status"] for one in results] == ["error", done]
        assert results[0]["code"] == "not_allowed"
        assert results[0]["message"] == "Not today."
        assert event_types()[before:] == [done]

    def test_comes_after_the_mode_and_before_window_and_seats(self, ada, settings):
        shut = make_course(
            "shut", enrollment_end=NOON, max_student_enrollments_allowed=0
        )

        with pytest.raises(CourseModeNotFoundError):
            service.enroll(ada, shut, "verified")
        with pytest.raises(EnrollmentNotAllowed):
            service.enroll(ada, shut)
        settings.ENROLLMENTS_FILTERS = []
        with pytest.raises(CourseEnrollmentClosedError):
            service.enroll(ada, shut)
        with pytest.raises(CourseEnrollmentFullError):
            service.enroll(ada, shut, force=True)


class TestChangedContext:
    @pytest.mark.rule("MDL-05")
    def test_may_have_a_mode_that_the_course_does_not_offer(
        self, ada, settings, course
    ):
        settings.ENROLLMENTS_FILTERS = [grant_scholarship, remember]

        explained = api.explain_enrollment(ADA, COURSE_ID)
        added = add()

        assert (explained["allowed"], explained["mode"]) == (True, "scholarship")
        assert added["mode"] == "scholarship"
        assert state_of(ada, course) == ("scholarship", True)
        assert EnrollmentEvent.objects.get().mode_after == "scholarship"
        # The second filter gets what the first has returned.
        assert {context["mode"] for _, context in calls} == {"scholarship"}

    @pytest.mark.parametrize("mode", ["", "x" * 101, None, 5, "\x00"])
    def test_is_refused_with_a_mode_that_no_row_can_hold(self, settings, mode):
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: {"mode": mode}]

        with raises_without_writes(CourseModeNotFoundError):
            add()
        explained = api.explain_enrollment(ADA, COURSE_ID)
        assert [one["code"] for one in explained["reasons"]] == ["mode_unavailable"]

    def test_may_leave_nothing_to_change(self, settings):
        add()
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: {"mode": "audit"}]

        with nothing_written():
            assert change("verified")["mode"] == "audit"

    def test_may_narrow_the_learners_list(self, settings):
        add()
        settings.ENROLLMENTS_FILTERS = [
            lambda action, **context: {"queryset": context["queryset"].none()}
        ]

        assert api.get_enrollments(ADA) == []
        assert api.get_enrollment(ADA, COURSE_ID) is not None


class TestFailure:
    @pytest.mark.parametrize(
        "filters",
        [
            "tests.core.test_filters.remember",
            ["no.such.filter"],
            ["tests.swapped.broken.veto"],
            ["tests.swapped"],
            ["collections.OrderedDict"],
            ["a..b"],
            [".a"],
            [5],
            {"a": 1},
            [""],
        ],
    )
    def test_to_import_a_filter_refuses(self, settings, filters):
        settings.ENROLLMENTS_FILTERS = filters

        with raises_without_writes(EnrollmentNotAllowed):
            add()
        assert calls == []

    def test_of_any_other_kind_is_raised(self, settings):
        def fail(action, **context):
            raise ZeroDivisionError

        settings.ENROLLMENTS_FILTERS = [fail]

        with raises_without_writes(ZeroDivisionError):
            add()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attributes", [None, []])
def test_transactions_of_filters_are_their_own(settings, attributes):
    make_user("bob")
    make_course("course-v1:edX+Other+R")
    settings.ENROLLMENTS_FILTERS = [f"{__name__}.enroll_bob_and_roll_back"]

    add(enrollment_attributes=attributes)

    (enrollment,) = CourseEnrollment.objects.all()
    assert enrollment.username == ADA
    assert not EmailOptIn.objects.exists()
