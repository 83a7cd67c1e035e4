"""Whether a learner may enroll, and every reason against it."""

from __future__ import annotations

import json

import pytest
from django.utils import translation
from django.utils.translation import get_language

from django_enrollments import api
from django_enrollments.context import call_context
from django_enrollments.core import eligibility
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseModeNotFoundError,
    CourseNotFoundError,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
)
from django_enrollments.services import EnrollmentsService
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

service = EnrollmentsService()

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def explain(mode=None):
    """Explain at noon whether ``ada`` may enroll; that writes and sends nothing."""
    with nothing_written(), listening() as heard, call_context(NOON):
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
        ("facts", "code", "changes_at", "message"),
        [
            (
                {"enrollment_start": NOON + DAY},
                "enrollment_not_started",
                "2026-03-05T12:00:00Z",
                "Enrollment in this course has not started yet.",
            ),
            (
                {"enrollment_start": NOON},
                "enrollment_not_started",
                "2026-03-04T12:00:00Z",
                "Enrollment in this course has not started yet.",
            ),
            (
                {"enrollment_end": NOON},
                "enrollment_ended",
                None,
                "Enrollment in this course has ended.",
            ),
            (
                {"invitation_only": True},
                "invitation_only",
                None,
                "Enrollment in this course is by invitation only.",
            ),
            (
                {"max_student_enrollments_allowed": 0},
                "course_full",
                None,
                "This course is full.",
            ),
        ],
    )
    def test_has_a_reason_for_the_learner(self, facts, code, changes_at, message):
        make_course(**facts)

        (reason,) = explain()["reasons"]

        assert reason == {"code": code, "message": message, "changes_at": changes_at}

    def test_has_reasons_in_the_language_of_the_moment(self, ada, monkeypatch):
        course = make_course(
            enrollment_start=NOON + DAY,
            enrollment_end=NOON - DAY,
            invitation_only=True,
            max_student_enrollments_allowed=0,
        )
        monkeypatch.setattr(eligibility, "_", lambda text: f"{get_language()}: {text}")

        with translation.override("de"):
            explained = explain("verified")
            CourseEnrollment.enroll(ada, COURSE_ID, over_capacity=True)
            enrolled = service.explain_many(ada, [course])[COURSE_ID]

        messages = [one["message"] for one in explained["reasons"]]
        assert len(messages) == 5
        messages += [one["message"] for one in enrolled["reasons"]]
        assert all(message.startswith("de: ") for message in messages), messages
        assert messages[-1] == "de: You are already enrolled in this course."

    def test_has_a_reason_without_any_permission(self, settings):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = []
        make_course()

        (reason,) = explain()["reasons"]

        assert reason["code"] == "not_allowed"
        assert reason["message"] == "This course is not open to this account."

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
        modes = ", ".join(one.capitalize() for one in offered)
        for reason in explained["reasons"]:
            assert reason["message"] == (
                f"This course does not offer the mode “{mode}”. It offers: {modes}."
            )

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

            with call_context(NOON):
                refusal = refusal_of(mode)
            first = explained["reasons"][:1]
            assert len(first) == (0 if refusal is None else 1)
            assert explained["allowed"] is (refusal is None)
            for reason in first:
                is_mode = isinstance(refusal, CourseModeNotFoundError)
                # The text of the error is fixed by MODE-10.
                assert is_mode is (reason["code"] == "mode_unavailable")
                assert is_mode or reason["message"] == str(refusal)
            CourseEnrollment.objects.all().delete()


def refusal_of(mode):
    """Enroll ``ada`` and return the refusal, if there is one."""
    try:
        api.add_enrollment(username("ada"), COURSE_ID, mode)
    except CourseEnrollmentError as error:
        return error
    return None
