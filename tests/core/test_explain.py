"""Whether a learner may enroll, and every reason against it."""

from __future__ import annotations

import json

import pytest
from django.utils import translation

from django_enrollments import api
from django_enrollments.context import one_call
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseNotFoundError,
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
    make_course,
    make_mode,
    make_users,
    username,
)
from tests.watching import listening, nothing_written, veto

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def explain(mode=None):
    """Explain at noon whether ``ada`` may enroll; that writes and sends nothing."""
    with nothing_written(), listening() as heard, one_call(NOON):
        explained = api.explain_enrollment(username("ada"), COURSE_ID, mode)
    assert heard == []
    json.dumps(explained)
    return explained


def codes(explained):
    return [reason["code"] for reason in explained["reasons"]]


@pytest.mark.usefixtures("ada")
class TestExplainEnrollment:
    def test_allows_an_open_course(self):
        make_course()

        assert explain() == {
            "allowed": True,
            "reasons": [],
            "seats": {"capacity": None, "taken": 0, "left": None},
            "mode": "audit",
        }

    @pytest.mark.rule("ACC-07")
    @pytest.mark.parametrize(
        ("facts", "code", "changes_at"),
        [
            (
                {"enrollment_start": NOON + DAY},
                "enrollment_not_started",
                "2026-03-05T12:00:00Z",
            ),
            (
                {"enrollment_start": NOON},
                "enrollment_not_started",
                "2026-03-04T12:00:00Z",
            ),
            ({"enrollment_end": NOON}, "enrollment_ended", None),
            ({"invitation_only": True}, "invitation_only", None),
        ],
    )
    def test_has_a_reason_in_the_language_of_the_reader(self, facts, code, changes_at):
        make_course(**facts)

        (reason,) = explain()["reasons"]
        with translation.override("de"):
            assert explain()["reasons"][0]["message"]

        assert (reason["code"], reason["changes_at"]) == (code, changes_at)
        assert COURSE_ID in reason["message"]

    def test_goes_by_the_setting_for_invitations(self, settings):
        settings.ENROLLMENTS_INVITE_ONLY = True
        make_course()

        assert codes(explain()) == ["invitation_only"]

    @pytest.mark.parametrize(("capacity", "taken"), [(2, 2), (1, 3)])
    def test_shows_the_seats_of_a_full_course(self, capacity, taken):
        make_course(max_student_enrollments_allowed=capacity)
        for learner in make_users(taken):
            CourseEnrollment.enroll(learner, COURSE_ID, over_capacity=True)

        explained = explain()

        assert codes(explained) == ["course_full"]
        assert explained["seats"] == {"capacity": capacity, "taken": taken, "left": 0}

    @pytest.mark.rule("CAP-05")
    def test_allows_staff_in_a_full_course(self, ada):
        make_course(max_student_enrollments_allowed=0)
        CourseAccessRole.objects.create(user=ada, course_id=COURSE_ID, role="staff")

        assert explain()["allowed"]

    @pytest.mark.rule("MODE-06", "MODE-07")
    @pytest.mark.parametrize(
        ("offered", "asked", "mode", "expected"),
        [
            (["audit", "honor"], "verified", "verified", ["mode_unavailable"]),
            (["professional"], None, "audit", ["mode_unavailable"]),
            (["honor", "verified"], None, "honor", []),
            (["honor", "verified"], "verified", "verified", []),
        ],
    )
    def test_has_the_mode_asked_for_or_the_default(
        self, offered, asked, mode, expected
    ):
        make_course(modes=offered)

        explained = explain(asked)

        assert (codes(explained), explained["mode"]) == (expected, mode)
        for reason in explained["reasons"]:
            modes = ", ".join(offered)
            assert f"Available modes were: {modes}" in reason["message"]

    @pytest.mark.parametrize("mode", [5, [], {}, "x" * 200, "", "\x00", True, object()])
    def test_has_one_reason_against_invalid_modes(self, mode):
        make_course()

        assert codes(explain(mode)) == ["mode_unavailable"]

    def test_has_every_reason_in_order(self, settings):
        settings.ENROLLMENTS_FILTERS = [veto]
        make_course(
            enrollment_start=NOON + HOUR,
            enrollment_end=NOON - HOUR,
            invitation_only=True,
            max_student_enrollments_allowed=0,
        )

        explained = explain("verified")

        assert codes(explained) == [
            "mode_unavailable",
            "not_allowed",
            "enrollment_not_started",
            "enrollment_ended",
            "invitation_only",
            "course_full",
        ]
        assert explained["reasons"][1]["message"] == "Not today."
        ends = [reason["changes_at"] for reason in explained["reasons"]]
        assert ends == [None, None, "2026-03-04T13:00:00Z", None, None, None]

    @pytest.mark.rule("ACC-01")
    def test_allows_an_invited_learner(self, ada):
        make_course(invitation_only=True, enrollment_end=NOON)
        CourseEnrollmentAllowed.objects.create(email=ada.email, course_id=COURSE_ID)

        assert explain()["allowed"]

    @pytest.mark.rule("V1-ENR-31")
    def test_has_only_the_mode_against_an_active_learner(self, ada):
        make_course(
            enrollment_end=NOON - DAY,
            invitation_only=True,
            max_student_enrollments_allowed=1,
            modes=["audit", "honor"],
        )
        CourseEnrollment.enroll(ada, COURSE_ID, "honor")

        explained = explain()

        assert codes(explained) == codes(explain("audit")) == ["already_enrolled"]
        assert (explained["allowed"], explained["mode"]) == (False, "honor")
        assert codes(explain("verified")) == ["mode_unavailable", "already_enrolled"]

    def test_treats_a_learner_who_has_left_like_any_other(self, ada):
        make_course()
        CourseEnrollment.enroll(ada, COURSE_ID, "verified")
        CourseEnrollment.unenroll(ada, COURSE_ID)

        explained = explain()

        assert (explained["allowed"], explained["mode"]) == (True, "audit")

    def test_looks_for_the_course_then_the_user(self):
        with pytest.raises(CourseNotFoundError):
            api.explain_enrollment("nobody", "unknown")
        make_course()
        with pytest.raises(UserNotFoundError):
            api.explain_enrollment("nobody", COURSE_ID)

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
    @pytest.mark.parametrize("role", [None, "staff", "beta_testers"])
    def test_agrees_with_enrolling(self, ada, facts, role):
        course = make_course(**facts, modes=["audit"])
        make_mode(course, "verified", expiration_datetime=NOON - DAY)
        if role:
            CourseAccessRole.objects.create(user=ada, course_id=COURSE_ID, role=role)

        for mode in ("verified", "masters", "audit", None):
            explained = explain(mode)

            with one_call(NOON):
                refusal = refusal_of(mode)
            first = [reason["message"] for reason in explained["reasons"]][:1]
            assert first == ([str(refusal)] if refusal else [])
            assert explained["allowed"] is (refusal is None)
            CourseEnrollment.objects.all().delete()


def refusal_of(mode):
    """Enroll ``ada`` and return the refusal, if there is one."""
    try:
        api.add_enrollment(username("ada"), COURSE_ID, mode)
    except CourseEnrollmentError as error:
        return error
    return None
