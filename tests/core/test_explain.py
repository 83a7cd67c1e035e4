"""Whether a learner may enroll, and every reason why not (contract §5)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import translation

from django_enrollments import api
from django_enrollments.context import one_call
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseNotFoundError,
    EnrollmentNotAllowed,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
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
    make_users,
    username,
)
from tests.watching import listening, nothing_written

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def refuse(action: str, **context: Any) -> None:
    """A filter that vetoes everything."""
    raise EnrollmentNotAllowed("Not today.")


def explain(mode: str | None = None) -> dict[str, Any]:
    """Explain Ada's chances at noon, and see that explaining writes nothing."""
    with nothing_written(), listening() as heard, one_call(NOON):
        told = api.explain_enrollment(username("ada"), COURSE_ID, mode)
    assert heard == []
    json.dumps(told)
    return told


def codes(told: Mapping[str, Any]) -> list[str]:
    return [reason["code"] for reason in told["reasons"]]


class TestExplainEnrollment:
    def test_an_open_course_is_allowed(self) -> None:
        make_user()
        make_course()

        assert explain() == {
            "allowed": True,
            "reasons": [],
            "seats": {"capacity": None, "taken": 0, "left": None},
            "mode": "audit",
        }

    def test_a_course_not_open_yet_tells_when_it_will_be(self) -> None:
        make_user()
        make_course(enrollment_start=NOON + DAY)

        (reason,) = explain()["reasons"]

        assert reason["code"] == "enrollment_not_started"
        assert reason["changes_at"] == "2026-03-05T12:00:00Z"
        assert COURSE_ID in reason["message"]

    def test_a_course_that_has_closed_stays_so(self) -> None:
        make_user()
        make_course(enrollment_end=NOON)

        (reason,) = explain()["reasons"]

        assert (reason["code"], reason["changes_at"]) == ("enrollment_ended", None)

    @pytest.mark.rule("ACC-07")
    def test_the_moment_of_opening_is_not_open(self) -> None:
        make_user()
        make_course(enrollment_start=NOON)

        assert codes(explain()) == ["enrollment_not_started"]

    @pytest.mark.parametrize("by_setting", [True, False])
    def test_a_course_by_invitation(self, settings: Any, by_setting: bool) -> None:
        settings.ENROLLMENTS_INVITE_ONLY = by_setting
        make_user()
        make_course(invitation_only=not by_setting)

        assert codes(explain()) == ["invitation_only"]

    def test_a_full_course_shows_its_seats(self) -> None:
        make_user()
        make_course(max_student_enrollments_allowed=2)
        for learner in make_users(2):
            CourseEnrollment.enroll(learner, COURSE_ID)

        told = explain()

        assert codes(told) == ["course_full"]
        assert told["seats"] == {"capacity": 2, "taken": 2, "left": 0}

    def test_seats_are_never_fewer_than_none(self) -> None:
        make_user()
        make_course(max_student_enrollments_allowed=1)
        for learner in make_users(3):
            CourseEnrollment.enroll(learner, COURSE_ID, over_capacity=True)

        assert explain()["seats"] == {"capacity": 1, "taken": 3, "left": 0}

    @pytest.mark.rule("CAP-05")
    def test_a_full_course_refuses_no_course_staff(self) -> None:
        member = make_user()
        make_course(max_student_enrollments_allowed=0)
        CourseAccessRole.objects.create(user=member, course_id=COURSE_ID, role="staff")

        assert explain()["allowed"]

    def test_a_mode_that_is_not_offered(self) -> None:
        make_user()
        course = make_course()
        make_modes(course, "audit", "honor")

        told = explain("verified")

        assert codes(told) == ["mode_unavailable"]
        assert told["mode"] == "verified"
        assert "Available modes were: audit, honor" in told["reasons"][0]["message"]

    @pytest.mark.rule("MODE-06")
    def test_the_mode_is_the_default_when_none_is_named(self) -> None:
        make_user()
        make_modes(make_course(), "honor", "verified")

        assert explain()["mode"] == "honor"
        assert explain("verified")["mode"] == "verified"

    @pytest.mark.rule("MODE-07")
    def test_a_default_that_is_not_offered(self) -> None:
        make_user()
        make_mode(make_course(), "professional")

        told = explain()

        assert (codes(told), told["mode"]) == (["mode_unavailable"], "audit")

    def test_every_rule_that_refuses_is_told_and_not_only_the_first(
        self, settings: Any
    ) -> None:
        settings.ENROLLMENTS_FILTERS = [refuse]
        make_user()
        make_course(
            enrollment_start=NOON + HOUR,
            enrollment_end=NOON - HOUR,
            invitation_only=True,
            max_student_enrollments_allowed=0,
        )

        told = explain("verified")

        assert codes(told) == [
            "mode_unavailable",
            "not_allowed",
            "enrollment_not_started",
            "enrollment_ended",
            "invitation_only",
            "course_full",
        ]
        assert told["reasons"][1]["message"] == "Not today."
        ends = [reason["changes_at"] for reason in told["reasons"]]
        assert ends == [None, None, "2026-03-04T13:00:00Z", None, None, None]

    @pytest.mark.rule("ACC-01")
    def test_an_invitation_opens_the_door(self) -> None:
        make_user()
        make_course(invitation_only=True, enrollment_end=NOON)
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=COURSE_ID
        )

        assert explain()["allowed"]

    def test_who_is_in_is_told_so_and_nothing_else(self) -> None:
        learner = make_user()
        make_course(
            enrollment_end=NOON - DAY,
            invitation_only=True,
            max_student_enrollments_allowed=1,
        )
        CourseEnrollment.enroll(learner, COURSE_ID, "verified")

        told = explain()

        assert codes(told) == ["already_enrolled"]
        assert (told["allowed"], told["mode"]) == (False, "verified")

    @pytest.mark.rule("V1-ENR-31")
    def test_who_is_in_may_still_ask_for_a_mode_that_is_not_there(
        self,
    ) -> None:
        make_modes(make_course(), "audit", "honor")
        CourseEnrollment.enroll(make_user(), COURSE_ID)

        assert codes(explain("verified")) == ["mode_unavailable", "already_enrolled"]
        assert codes(explain("honor")) == ["already_enrolled"]

    def test_who_has_left_is_told_like_anybody_else(self) -> None:
        learner = make_user()
        make_course()
        CourseEnrollment.enroll(learner, COURSE_ID, "verified")
        CourseEnrollment.unenroll(learner, COURSE_ID)

        told = explain()

        assert (told["allowed"], told["mode"]) == (True, "audit")

    def test_what_is_unknown_is_told_the_course_first(self) -> None:
        with pytest.raises(CourseNotFoundError):
            api.explain_enrollment("nobody", "unknown")
        make_course()
        with pytest.raises(UserNotFoundError):
            api.explain_enrollment("nobody", COURSE_ID)

    def test_messages_are_in_the_language_of_the_reader(self) -> None:
        make_user()
        make_course(enrollment_end=NOON)

        with translation.override("de"):
            (reason,) = explain()["reasons"]

        assert reason["message"]

    @pytest.mark.parametrize("mode", [5, [], {}, "x" * 200, "", "\x00", True, object()])
    def test_a_mode_that_is_none_at_all_is_one_reason(self, mode: Any) -> None:
        make_user()
        make_course()

        with nothing_written():
            told = api.explain_enrollment(username("ada"), COURSE_ID, mode)

        assert codes(told) == ["mode_unavailable"]
        json.dumps(told)


class TestAgreesWithEnrolling:
    """The very rules that enrolling runs: what is explained is what happens."""

    @pytest.mark.parametrize(
        "facts",
        [
            {},
            {"enrollment_start": NOON + HOUR},
            {"enrollment_start": NOON - HOUR},
            {"enrollment_end": NOON - HOUR},
            {"invitation_only": True},
            {"max_student_enrollments_allowed": 0},
            {"max_student_enrollments_allowed": 1},
            {"max_student_enrollments_allowed": 0, "enrollment_end": NOON},
        ],
    )
    @pytest.mark.parametrize("mode", [None, "audit", "verified", "masters"])
    @pytest.mark.parametrize("role", [None, "staff", "beta_testers"])
    def test_the_first_reason_is_what_enrolling_raises(
        self, facts: dict[str, Any], mode: str | None, role: str | None
    ) -> None:
        learner = make_user()
        course = make_course(**facts)
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=NOON - DAY)
        if role:
            CourseAccessRole.objects.create(
                user=learner, course_id=course_id_of(course), role=role
            )

        told = explain(mode)

        with one_call(NOON):
            refusal = refusal_of(mode)
        first = [reason["message"] for reason in told["reasons"]][:1]
        assert first == ([str(refusal)] if refusal else [])
        assert told["allowed"] is (refusal is None)


def refusal_of(mode: str | None) -> CourseEnrollmentError | None:
    """Enroll Ada and give the refusal, if there is one."""
    try:
        api.add_enrollment(username("ada"), COURSE_ID, mode)
    except CourseEnrollmentError as error:
        return error
    return None
