"""Who may enroll."""

from __future__ import annotations

import pytest
from django.utils import timezone

from django_enrollments import api
from django_enrollments.context import call_context
from django_enrollments.errors import CourseEnrollmentClosedError
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
    course_id_of,
    is_default_host,
    make_course,
    make_user,
    username,
)
from tests.watching import nothing_written, raises_without_writes

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
CLOSED = {"enrollment_end": NOON}
INVITATION_ONLY = {"invitation_only": True}


def may_enroll(course_id=COURSE_ID):
    """Enroll the learner ``ada`` and return whether that succeeded."""
    try:
        api.add_enrollment(username("ada"), course_id)
    except CourseEnrollmentClosedError:
        return False
    return True


def invite(email="ada@example.org", course_id=COURSE_ID, **fields):
    return CourseEnrollmentAllowed.objects.create(
        email=email, course_id=course_id, **fields
    )


class TestWindow:
    @pytest.mark.rule("ACC-06", "ACC-07")
    @pytest.mark.parametrize(
        ("start", "end", "is_open"),
        [
            (None, None, True),
            (NOON - HOUR, None, True),
            (NOON, None, False),
            (NOON + HOUR, None, False),
            (None, NOON + HOUR, True),
            (None, NOON, False),
            (None, NOON - HOUR, False),
            (NOON - HOUR, NOON + HOUR, True),
            (NOON + HOUR, NOON - HOUR, False),
        ],
    )
    def test_is_open_strictly_between_its_ends(self, ada, start, end, is_open):
        make_course(enrollment_start=start, enrollment_end=end)

        with call_context(NOON):
            assert may_enroll() is is_open

    @pytest.mark.rule("ACC-08", "ACC-09", "SEED-DIFF-09")
    def test_ignores_the_dates_of_the_course_and_the_style_of_its_id(self, ada):
        make_course("edX/DemoX/2014T2", start=NOON + DAY, end=NOON - DAY)

        with call_context(NOON):
            assert may_enroll("edX/DemoX/2014T2")

    @pytest.mark.rule("ACC-14")
    def test_refuses_without_writing_anything(self, ada):
        make_course(**CLOSED)
        invite("other@example.org")

        with nothing_written():
            assert not may_enroll()

    @pytest.mark.rule("V1-AUTH-13")
    def test_is_open_to_an_inactive_account(self):
        make_user(is_active=False)
        make_course(enrollment_end=timezone.now() + DAY)

        assert may_enroll()

    @pytest.mark.rule("V1-ENR-27")
    def test_counts_for_the_learner_and_not_for_the_actor(self, ada):
        make_course(**CLOSED)

        with pytest.raises(CourseEnrollmentClosedError):
            EnrollmentsService().enroll(
                ada, COURSE_ID, actor=make_user("boss", is_staff=True)
            )


class TestInvitation:
    @pytest.mark.rule("ACC-05")
    @pytest.mark.parametrize("by_setting", [True, False])
    def test_is_required_by_the_course_or_the_setting(self, settings, ada, by_setting):
        settings.ENROLLMENTS_INVITE_ONLY = by_setting
        make_course(invitation_only=not by_setting)

        assert not may_enroll()

    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize(
        "facts", [INVITATION_ONLY, CLOSED, {"enrollment_start": NOON + 36500 * DAY}]
    )
    def test_lifts_the_flag_and_the_window(self, ada, facts):
        make_course(**facts)
        invite()

        assert may_enroll()

    @pytest.mark.rule("ACC-01", "ACC-12")
    @pytest.mark.parametrize(
        "fields",
        [
            {"course_id": "course-v1:edX+DemoX+Another"},
            {"course_id": COURSE_ID.upper()},
            {"email": "ad\u00e1@example.org"},
            {"email": "former@example.org"},
        ],
    )
    def test_is_for_one_course_and_the_current_address(self, ada, fields):
        make_course(**INVITATION_ONLY)
        invite(**fields)

        assert not may_enroll()

    @pytest.mark.rule("ACC-12", "B-26")
    def test_matches_the_address_in_any_case(self):
        user = make_user(email="Ada@Example.ORG")
        make_course(**INVITATION_ONLY)
        invite("aDA@example.org")

        assert api.add_enrollment(user.get_username(), COURSE_ID)["is_active"]

    @pytest.mark.rule("ACC-12")
    def test_does_not_follow_a_user_to_another_address(self, ada):
        make_course(**INVITATION_ONLY)
        invite()
        type(ada).objects.filter(pk=ada.pk).update(email="new@example.org")
        ada.refresh_from_db()

        with pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(ada.get_username(), COURSE_ID)

    @pytest.mark.rule("ACC-12")
    @pytest.mark.parametrize("email", ["", " "])
    @pytest.mark.skipif(not is_default_host(), reason="here all users have addresses")
    def test_of_a_blank_address_is_for_no_user(self, email):
        make_user(email=email)
        make_course(**INVITATION_ONLY)
        invite("")

        assert not may_enroll()

    @pytest.mark.rule("ACC-10")
    @pytest.mark.parametrize("options", [{}, {"is_active": False}])
    @pytest.mark.parametrize("force", [False, True])
    def test_is_used_by_every_enrollment_and_stays_so(self, ada, options, force):
        make_course(**INVITATION_ONLY)
        invitation = invite()
        others = [invite("bob@example.org"), invite(course_id="elsewhere")]

        api.add_enrollment(
            username("ada"), COURSE_ID, force_enrollment=force, **options
        )
        CourseEnrollment.unenroll(ada, COURSE_ID)

        invitation.refresh_from_db()
        assert invitation.user == ada
        for other in others:
            other.refresh_from_db()
            assert other.user is None

    @pytest.mark.rule("ACC-02", "ACC-11")
    def test_is_good_for_the_learner_who_used_it_and_no_other(self, ada):
        make_course(**INVITATION_ONLY)
        invite()
        assert may_enroll()
        CourseEnrollment.unenroll(ada, COURSE_ID)
        assert may_enroll()
        type(ada).objects.filter(pk=ada.pk).update(email="moved@example.org")
        second = make_user("second", email="ada@example.org")

        with raises_without_writes(CourseEnrollmentClosedError):
            api.add_enrollment(second.get_username(), COURSE_ID)

    @pytest.mark.rule("ACC-02")
    @pytest.mark.parametrize("role", [None, "staff"])
    def test_of_another_user_refuses_no_learner_who_needs_none(self, ada, role):
        make_course(invitation_only=bool(role))
        invite(user=make_user("bob"))
        if role:
            CourseAccessRole.objects.create(user=ada, course_id=COURSE_ID, role=role)

        assert may_enroll()


class TestStaffAccess:
    @pytest.mark.rule("ACC-04", "MDL-19")
    @pytest.mark.parametrize("facts", [CLOSED, INVITATION_ONLY])
    @pytest.mark.parametrize(
        ("reach", "role", "expected"),
        [
            ({"course_id": COURSE_ID, "org": "edX"}, "staff", True),
            ({"course_id": COURSE_ID, "org": "edX"}, "instructor", True),
            ({"course_id": COURSE_ID, "org": "edX"}, "limited_staff", True),
            ({"org": "edX"}, "staff", True),
            ({"org": "edX"}, "instructor", True),
            ({"org": "edX"}, "limited_staff", False),
            ({"org": "edX"}, "beta_testers", False),
            ({"course_id": COURSE_ID}, "beta_testers", False),
            ({"course_id": COURSE_ID}, "data_researcher", False),
            ({"course_id": COURSE_ID}, "ccx_coach", False),
            ({"course_id": COURSE_ID.upper()}, "staff", False),
            ({"course_id": "another", "org": "edX"}, "staff", False),
            ({"org": "another"}, "staff", False),
            ({}, "staff", False),
        ],
    )
    def test_is_that_of_the_course_or_the_org(self, ada, facts, reach, role, expected):
        make_course(**facts)
        CourseAccessRole.objects.create(user=ada, role=role, **reach)

        assert may_enroll() is expected

    @pytest.mark.rule("ACC-04")
    def test_goes_by_the_org_that_the_course_has(self, ada):
        course = make_course("django-101", org="Institute", **CLOSED)
        make_course("without-org", **CLOSED)
        CourseAccessRole.objects.create(user=ada, org="Institute", role="staff")
        CourseAccessRole.objects.create(user=ada, role="staff")

        assert may_enroll(course_id_of(course))
        assert not may_enroll("without-org")

    @pytest.mark.rule("ACC-04", "MDL-19")
    @pytest.mark.parametrize(
        ("fields", "role", "expected"),
        [
            ({"is_staff": True}, None, True),
            ({"is_superuser": True}, None, False),
            ({"is_active": False}, "staff", False),
        ],
    )
    def test_is_had_by_global_staff_and_no_inactive_account(
        self, fields, role, expected
    ):
        user = make_user(**fields)
        make_course(**CLOSED, **INVITATION_ONLY)
        if role:
            CourseAccessRole.objects.create(user=user, course_id=COURSE_ID, role=role)

        assert may_enroll() is expected
