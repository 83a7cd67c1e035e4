"""Who may enroll (rules ACC, with the rulings of contract §9)."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from django_enrollments import api
from django_enrollments.context import one_call
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
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def may_enroll(name: str = "ada", course_id: str = COURSE_ID) -> bool:
    """Enroll a learner by the learner's rules, and tell whether that went well."""
    try:
        api.add_enrollment(username(name), course_id)
    except CourseEnrollmentClosedError:
        return False
    return True


def invite(email: str = "ada@example.org", **fields: Any) -> CourseEnrollmentAllowed:
    """Invite an address to the course."""
    fields.setdefault("course_id", COURSE_ID)
    return CourseEnrollmentAllowed.objects.create(email=email, **fields)


class TestOtherSpellings:
    """A course id in other case is another course, whatever the database thinks."""

    @pytest.mark.rule("ACC-01")
    def test_an_invitation_to_one_lets_nobody_in(self) -> None:
        make_course(COURSE_ID, invitation_only=True)
        make_user()
        invite(course_id=COURSE_ID.upper())

        assert not may_enroll()

    @pytest.mark.rule("ACC-12")
    def test_an_address_with_accents_is_another_address(self) -> None:
        make_course(COURSE_ID, invitation_only=True)
        user = make_user(email="ad\u00e1@example.org")
        invite(email="ada@example.org")

        with pytest.raises(CourseEnrollmentClosedError):
            EnrollmentsService().enroll(user, COURSE_ID)

    @pytest.mark.rule("ACC-04")
    def test_a_role_on_one_lets_nobody_in(self) -> None:
        make_course(COURSE_ID, invitation_only=True)
        CourseAccessRole.objects.create(
            user=make_user(), course_id=COURSE_ID.upper(), role="staff"
        )

        assert not may_enroll()


class TestWindow:
    @pytest.mark.rule("ACC-06", "ACC-07")
    @pytest.mark.parametrize(
        ("start", "end", "open_"),
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
    def test_is_open_strictly_between_its_ends(
        self, start: Any, end: Any, open_: bool
    ) -> None:
        make_user()
        make_course(enrollment_start=start, enrollment_end=end)

        with one_call(NOON):
            assert may_enroll() is open_

    @pytest.mark.rule("ACC-08")
    def test_the_dates_of_the_course_play_no_role(self) -> None:
        make_user()
        make_course(start=NOON + DAY, end=NOON - DAY)

        with one_call(NOON):
            assert may_enroll()

    @pytest.mark.rule("ACC-09", "SEED-DIFF-09")
    def test_old_style_ids_are_ordinary(self) -> None:
        make_user()
        make_course("edX/DemoX/2014T2")

        assert may_enroll(course_id="edX/DemoX/2014T2")

    @pytest.mark.rule("ACC-14")
    def test_a_refusal_leaves_nothing_behind(self) -> None:
        make_user()
        make_course(enrollment_end=NOON)
        invite("somebody@else.org")

        with nothing_written():
            assert not may_enroll()


class TestInvitationOnly:
    @pytest.mark.rule("ACC-05")
    def test_a_course_by_invitation_is_closed(self) -> None:
        make_user()
        make_course(invitation_only=True)

        assert not may_enroll()

    @pytest.mark.rule("ACC-05")
    def test_so_is_every_course_by_the_setting(self, settings: Any) -> None:
        settings.ENROLLMENTS_INVITE_ONLY = True
        make_user()
        make_course()

        assert not may_enroll()

    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize(
        "facts",
        [
            {"invitation_only": True},
            {"enrollment_end": NOON},
            {"enrollment_start": NOON + 36500 * DAY},
        ],
    )
    def test_who_is_invited_may_whatever_window_and_flag(
        self, facts: dict[str, Any]
    ) -> None:
        make_user()
        make_course(**facts)
        invite()

        assert may_enroll()

    @pytest.mark.rule("ACC-01")
    def test_another_course_s_invitation_does_not_help(self) -> None:
        make_user()
        make_course(invitation_only=True)
        invite(course_id="course-v1:edX+DemoX+Another")

        assert not may_enroll()

    @pytest.mark.rule("ACC-12", "B-26")
    def test_the_address_matches_whatever_its_case(self) -> None:
        make_user(email="Ada@Example.ORG")
        make_course(invitation_only=True)
        invite("aDA@example.org")

        added = api.add_enrollment(
            "ada" if is_default_host() else "Ada@Example.ORG", COURSE_ID
        )

        assert added["is_active"]

    @pytest.mark.rule("ACC-12")
    def test_it_is_the_learners_current_address_that_counts(self) -> None:
        learner = make_user()
        make_course(invitation_only=True)
        invite()
        type(learner).objects.filter(pk=learner.pk).update(email="new@example.org")
        learner.refresh_from_db()

        with pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(learner.get_username(), COURSE_ID)

    @pytest.mark.rule("ACC-12")
    @pytest.mark.parametrize("email", ["", " "])
    def test_no_address_is_invited_by_a_blank_one(self, email: str) -> None:
        if not is_default_host():
            pytest.skip("Everybody has an address here.")
        make_user(email=email)
        make_course(invitation_only=True)
        invite("")

        assert not may_enroll()

    @pytest.mark.rule("ACC-10")
    def test_enrolling_uses_the_invitation_up_for_good(self) -> None:
        learner = make_user()
        make_course()
        invitation = invite()

        assert may_enroll()
        CourseEnrollment.unenroll(learner, COURSE_ID)

        invitation.refresh_from_db()
        assert invitation.user == learner

    @pytest.mark.rule("ACC-10")
    def test_an_inactive_enrollment_uses_it_up_too(self) -> None:
        learner = make_user()
        make_course(invitation_only=True)
        invitation = invite()

        api.add_enrollment(username("ada"), COURSE_ID, is_active=False)

        invitation.refresh_from_db()
        assert invitation.user == learner

    @pytest.mark.rule("ACC-10")
    def test_force_uses_it_up_too(self) -> None:
        learner = make_user()
        make_course(invitation_only=True)
        invitation = invite()

        api.add_enrollment(username("ada"), COURSE_ID, force_enrollment=True)

        invitation.refresh_from_db()
        assert invitation.user == learner

    @pytest.mark.rule("ACC-10")
    def test_invitations_of_others_stay_unused(self) -> None:
        make_user()
        make_course()
        other = invite("bob@example.org")
        elsewhere = invite(course_id="elsewhere")

        assert may_enroll()

        for invitation in (other, elsewhere):
            invitation.refresh_from_db()
            assert invitation.user is None

    @pytest.mark.rule("ACC-11")
    def test_who_used_it_may_come_back(self) -> None:
        learner = make_user()
        make_course(invitation_only=True)
        invite()
        assert may_enroll()
        CourseEnrollment.unenroll(learner, COURSE_ID)

        assert may_enroll()

    @pytest.mark.rule("ACC-02", "ACC-11")
    def test_nobody_gets_in_by_it_a_second_time(self) -> None:
        first = make_user()
        make_course(invitation_only=True)
        invite()
        assert may_enroll()
        type(first).objects.filter(pk=first.pk).update(email="moved@example.org")
        second = make_user("second", email="ada@example.org")

        with nothing_written(), pytest.raises(CourseEnrollmentClosedError):
            api.add_enrollment(second.get_username(), COURSE_ID)

    @pytest.mark.rule("ACC-02")
    def test_a_used_one_refuses_nobody_in_a_course_open_to_all(self) -> None:
        make_course()
        invite(user=make_user("bob"))
        make_user()

        assert may_enroll()

    @pytest.mark.rule("ACC-02")
    def test_a_used_one_refuses_no_course_staff(self) -> None:
        staff = make_user()
        make_course(invitation_only=True)
        invite(user=make_user("bob"))
        CourseAccessRole.objects.create(user=staff, course_id=COURSE_ID, role="staff")

        assert may_enroll()


class TestStaffAccess:
    @pytest.mark.rule("ACC-04")
    @pytest.mark.parametrize("role", ["staff", "instructor", "limited_staff"])
    @pytest.mark.parametrize(
        "facts", [{"enrollment_end": NOON}, {"invitation_only": True}]
    )
    def test_the_course_team_may(self, role: str, facts: dict[str, Any]) -> None:
        member = make_user()
        make_course(**facts)
        CourseAccessRole.objects.create(
            user=member, org="edX", course_id=COURSE_ID, role=role
        )

        assert may_enroll()

    @pytest.mark.rule("ACC-04")
    @pytest.mark.parametrize("role", ["staff", "instructor"])
    def test_the_organisations_team_may(self, role: str) -> None:
        member = make_user()
        make_course(enrollment_end=NOON)
        CourseAccessRole.objects.create(user=member, org="edX", role=role)

        assert may_enroll()

    @pytest.mark.rule("ACC-04")
    @pytest.mark.parametrize(
        ("reach", "role"),
        [
            ({"course_id": COURSE_ID}, "beta_testers"),
            ({"course_id": COURSE_ID}, "data_researcher"),
            ({"course_id": COURSE_ID}, "ccx_coach"),
            ({"course_id": "another", "org": "edX"}, "staff"),
            ({"org": "another"}, "staff"),
            ({"org": "edX"}, "limited_staff"),
            ({"org": "edX"}, "beta_testers"),
            ({}, "staff"),
        ],
    )
    def test_no_other_role_does(self, reach: dict[str, str], role: str) -> None:
        member = make_user()
        make_course(enrollment_end=NOON)
        CourseAccessRole.objects.create(user=member, role=role, **reach)

        assert not may_enroll()

    @pytest.mark.rule("ACC-04")
    def test_a_role_without_org_reaches_no_course_without_org(self) -> None:
        member = make_user()
        make_course("django-101", enrollment_end=NOON)
        CourseAccessRole.objects.create(user=member, role="staff")

        assert not may_enroll(course_id="django-101")

    @pytest.mark.rule("ACC-04")
    def test_global_staff_may(self) -> None:
        make_user(is_staff=True)
        make_course(enrollment_end=NOON, invitation_only=True)

        assert may_enroll()

    @pytest.mark.rule("ACC-04")
    def test_a_superuser_is_no_global_staff(self) -> None:
        make_user(is_superuser=True)
        make_course(enrollment_end=NOON)

        assert not may_enroll()

    @pytest.mark.rule("ACC-04", "MDL-19")
    def test_an_inactive_account_holds_no_role(self) -> None:
        former = make_user(is_active=False)
        make_course(enrollment_end=NOON)
        CourseAccessRole.objects.create(user=former, course_id=COURSE_ID, role="staff")

        assert not may_enroll()

    @pytest.mark.rule("V1-AUTH-13")
    def test_an_inactive_account_may_enroll_where_it_is_open(self) -> None:
        make_user(is_active=False)
        make_course(enrollment_end=timezone.now() + DAY)

        assert may_enroll()

    def test_the_org_is_what_the_course_says(self) -> None:
        member = make_user()
        course = make_course("django-101", org="Institute", enrollment_end=NOON)
        CourseAccessRole.objects.create(user=member, org="Institute", role="staff")

        assert may_enroll(course_id=course_id_of(course))


class TestWhoIsAsked:
    @pytest.mark.rule("V1-ENR-27")
    def test_the_target_is_asked_about_and_not_the_caller(self) -> None:
        make_user()
        boss = make_user("boss", is_staff=True)
        make_course(enrollment_end=NOON)

        with pytest.raises(CourseEnrollmentClosedError):
            EnrollmentsService().enroll(
                type(boss).objects.get(email="ada@example.org"), COURSE_ID, actor=boss
            )
