"""The seats of a course, for one learner after the other."""

from __future__ import annotations

import pytest

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentFullError
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EnrollmentEvent,
    get_course_adapter,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import make_course, make_user, make_users
from tests.watching import event_types, nothing_written, raises_without_writes, state_of

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def make_seats(seats, **facts):
    return make_course(max_student_enrollments_allowed=seats, **facts)


def set_seats(course, seats):
    """Change the maximum of a stored course and leave the instance as it is."""
    field = get_course_adapter().max_student_enrollments_allowed
    type(course)._base_manager.filter(pk=course.pk).update(**{field: seats})


def give_role(user, role="staff", **fields):
    fields = fields or {"course_id": COURSE_ID}
    CourseAccessRole.objects.create(user=user, role=role, **fields)


def enrolls(user, mode=None):
    """Enroll a learner and return whether there was a seat."""
    try:
        api.add_enrollment(user.get_username(), COURSE_ID, mode)
    except CourseEnrollmentFullError:
        return False
    return True


class TestSeats:
    @pytest.mark.rule("CAP-01", "CAP-02", "CAP-09")
    @pytest.mark.parametrize(
        ("seats", "expected"),
        [(None, [True] * 3), (0, [False] * 3), (1, [True, False, False])],
    )
    def test_are_as_many_as_the_course_has(self, seats, expected):
        make_seats(seats)

        assert [enrolls(user) for user in make_users(3)] == expected
        assert CourseEnrollment.objects.count() == sum(expected)

    @pytest.mark.rule("CAP-03")
    def test_are_taken_in_every_mode_of_this_course(self):
        make_seats(2, modes=["audit", "verified"])
        make_course("another")
        first, second, third = make_users(3)
        CourseEnrollment.enroll(third, "another")

        assert enrolls(first, "verified")
        assert enrolls(second, "audit")
        assert not enrolls(third)

    @pytest.mark.rule("CAP-03", "CAP-04")
    @pytest.mark.parametrize(
        ("role", "fields", "counts"),
        [
            ("staff", {"course_id": COURSE_ID, "org": "edX"}, False),
            ("instructor", {"course_id": COURSE_ID, "org": "edX"}, False),
            ("limited_staff", {"course_id": COURSE_ID}, True),
            ("beta_testers", {"course_id": COURSE_ID}, True),
            ("staff", {"org": "edX"}, True),
            ("instructor", {"org": "edX"}, True),
            ("staff", {"course_id": "another"}, True),
            ("staff", {"course_id": COURSE_ID.upper()}, True),
            ("Staff", {"course_id": COURSE_ID}, True),
        ],
    )
    def test_are_not_taken_by_staff_of_the_course(self, role, fields, counts):
        make_seats(1)
        member, learner = make_users(2)
        give_role(member, role, **fields)

        assert enrolls(member)
        assert enrolls(learner) is not counts

    @pytest.mark.rule("CAP-04", "CAP-05")
    def test_are_taken_and_needed_by_global_staff(self, ada):
        make_seats(1)

        assert enrolls(make_user("boss", is_staff=True))
        assert not enrolls(make_user("second", is_staff=True))

    @pytest.mark.rule("CAP-05")
    @pytest.mark.parametrize("role", ["staff", "instructor"])
    def test_are_not_needed_by_staff_of_the_course(self, role):
        course = make_seats(1)
        learner, member, back = make_users(3)
        give_role(member, role)
        give_role(back, role)
        row = CourseEnrollment.get_or_create_enrollment(back, COURSE_ID)

        assert enrolls(learner)
        assert enrolls(member)
        row.activate()
        assert state_of(back, course) == ("audit", True)

    @pytest.mark.rule("CAP-06")
    def test_are_free_again_when_a_learner_leaves(self):
        course = make_seats(1)
        first, second = make_users(2)
        enrolls(first)
        CourseEnrollment.unenroll(first, COURSE_ID)

        assert enrolls(second)
        with nothing_written():
            assert not enrolls(first)
        assert state_of(first, course) == ("audit", False)

    def test_are_not_needed_to_be_inactive_and_not_reserved_by_an_invitation(self, ada):
        make_seats(0)
        CourseEnrollmentAllowed.objects.create(email=ada.email, course_id=COURSE_ID)

        with nothing_written():
            assert not enrolls(ada)
        added = api.add_enrollment(ada.get_username(), COURSE_ID, is_active=False)

        assert added["is_active"] is False

    @pytest.mark.rule("CAP-07", "B-14")
    def test_are_kept_by_an_active_learner(self, ada):
        make_seats(1)
        row = EnrollmentsService().enroll(ada, COURSE_ID)

        assert EnrollmentsService().enroll(ada, COURSE_ID) == row

    @pytest.mark.rule("B-15")
    @pytest.mark.parametrize(("before", "after"), [(3, 1), (None, 0)])
    def test_are_those_of_the_course_as_it_is_stored(self, before, after):
        course = make_seats(before)
        first, second, third = make_users(3)
        enrolls(first)
        enrolls(second)
        set_seats(course, after)

        with raises_without_writes(CourseEnrollmentFullError):
            EnrollmentsService().enroll(third, course)

    @pytest.mark.rule("CAP-08")
    @pytest.mark.parametrize(
        "activate",
        [
            lambda user: api.update_enrollment(
                user.get_username(), COURSE_ID, is_active=True
            ),
            lambda user: api.update_enrollment(
                user.get_username(), COURSE_ID, "honor", is_active=True
            ),
            lambda user: api.add_enrollment(
                user.get_username(), COURSE_ID, force_enrollment=True
            ),
            lambda user: EnrollmentsService().enroll(user, COURSE_ID, force=True),
            lambda user: CourseEnrollment.enroll(user, COURSE_ID),
            lambda user: CourseEnrollment.objects.get(user=user).activate(),
            lambda user: CourseEnrollment.objects.get(user=user).update_enrollment(
                mode="honor", is_active=True
            ),
        ],
        ids=[
            "update",
            "update with mode",
            "force",
            "service",
            "model",
            "activate",
            "update_enrollment",
        ],
    )
    def test_are_needed_by_whatever_activates(self, activate):
        course = make_seats(1, modes=["audit", "honor"])
        waiting, sitting = make_users(2)
        CourseEnrollment.get_or_create_enrollment(waiting, COURSE_ID)
        CourseEnrollment.enroll(sitting, COURSE_ID)

        with raises_without_writes(CourseEnrollmentFullError):
            activate(waiting)

        CourseEnrollment.unenroll(sitting, COURSE_ID)
        activate(waiting)
        assert state_of(waiting, course)[1] is True

    def test_are_not_needed_to_change_the_mode(self, ada):
        course = make_seats(1, modes=["audit", "verified"])
        enrolls(ada)
        set_seats(course, 0)

        api.update_enrollment(ada.get_username(), COURSE_ID, "verified")

        assert state_of(ada, course) == ("verified", True)


class TestBulk:
    @pytest.mark.rule("B-15", "CAP-03")
    def test_gives_the_seats_to_the_first_learners_who_are_not_staff(self):
        make_seats(2)
        users = make_users(5)
        give_role(users[1])

        results = api.bulk_enroll(COURSE_ID, [user.get_username() for user in users])

        assert [one["status"] for one in results] == ["created"] * 3 + ["error"] * 2
        assert {one["code"] for one in results[3:]} == {"course_full"}

    def test_ignores_the_seats_over_capacity_and_writes_so(self):
        make_seats(1)
        names = [user.get_username() for user in make_users(3)]

        results = api.bulk_enroll(COURSE_ID, names, over_capacity=True)

        assert {one["status"] for one in results} == {"created"}
        reasons = EnrollmentEvent.objects.values_list("reason", flat=True)
        assert set(reasons) == {"over_capacity"}
        assert event_types() == ["created"] * 3

    def test_is_over_capacity_only_if_that_is_true(self, ada):
        make_seats(0)

        with pytest.raises(CourseEnrollmentFullError):
            EnrollmentsService().enroll(ada, COURSE_ID, over_capacity="no")
