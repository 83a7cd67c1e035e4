"""Room in a course (rules CAP, B-14, B-15, contract §10), one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from tests.factories import (
    course_id_of,
    make_course,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.watching import event_types, nothing_written, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def has_room(user: Any) -> bool:
    """Enroll a learner and tell whether there was a seat."""
    try:
        api.add_enrollment(user.get_username(), COURSE_ID)
    except CourseEnrollmentFullError:
        return False
    return True


class TestSeats:
    @pytest.mark.rule("CAP-01")
    def test_no_maximum_is_never_full(self) -> None:
        make_course()

        assert all(has_room(user) for user in make_users(3))

    @pytest.mark.rule("CAP-01")
    def test_a_maximum_of_0_is_always_full(self) -> None:
        make_course(max_student_enrollments_allowed=0)

        with nothing_written():
            assert not has_room(make_user())

    @pytest.mark.rule("CAP-02", "CAP-09")
    def test_the_second_of_one_is_refused_and_leaves_no_row(self) -> None:
        make_course(max_student_enrollments_allowed=1)
        first, second = make_users(2)

        assert has_room(first)
        with nothing_written():
            assert not has_room(second)

    @pytest.mark.rule("CAP-03")
    def test_every_mode_takes_a_seat(self) -> None:
        course = make_course(max_student_enrollments_allowed=2)
        make_modes(course, "audit", "verified")
        first, second, third = make_users(3)
        api.add_enrollment(first.get_username(), COURSE_ID, "verified")
        api.add_enrollment(second.get_username(), COURSE_ID, "audit")

        assert not has_room(third)

    @pytest.mark.rule("CAP-03")
    def test_other_courses_do_not_count(self) -> None:
        make_course(max_student_enrollments_allowed=1)
        learner, other = make_users(2)
        CourseEnrollment.enroll(other, course_id_of(make_course("another")))

        assert has_room(learner)

    @pytest.mark.rule("CAP-03")
    @pytest.mark.parametrize("role", ["staff", "instructor"])
    def test_course_staff_is_outside_the_count(self, role: str) -> None:
        make_course(max_student_enrollments_allowed=1)
        member, learner = make_users(2)
        CourseAccessRole.objects.create(
            user=member, org="edX", course_id=COURSE_ID, role=role
        )

        assert has_room(member)
        assert has_room(learner)

    @pytest.mark.rule("CAP-04")
    @pytest.mark.parametrize(
        "fields",
        [
            {"course_id": COURSE_ID, "role": "limited_staff"},
            {"course_id": COURSE_ID, "role": "beta_testers"},
            {"org": "edX", "role": "staff"},
            {"org": "edX", "role": "instructor"},
            {"course_id": "another", "role": "staff"},
        ],
    )
    def test_other_roles_do_count(self, fields: dict[str, str]) -> None:
        make_course(max_student_enrollments_allowed=1)
        member, learner = make_users(2)
        CourseAccessRole.objects.create(user=member, **fields)

        assert has_room(member)
        assert not has_room(learner)

    @pytest.mark.rule("CAP-04")
    def test_global_staff_counts(self) -> None:
        make_course(max_student_enrollments_allowed=1)

        assert has_room(make_user("boss", is_staff=True))
        assert not has_room(make_user())

    @pytest.mark.rule("CAP-03")
    @pytest.mark.parametrize(
        "fields",
        [
            {"course_id": COURSE_ID.upper(), "role": "staff"},
            {"course_id": COURSE_ID, "role": "Staff"},
        ],
    )
    def test_a_role_that_merely_looks_alike_does_count(
        self, fields: dict[str, str]
    ) -> None:
        make_course(max_student_enrollments_allowed=1)
        ada = make_user("ada")
        CourseAccessRole.objects.create(user=ada, **fields)

        assert has_room(ada)
        assert not has_room(make_user("bob"))

    @pytest.mark.rule("CAP-05")
    @pytest.mark.parametrize("role", ["staff", "instructor"])
    def test_a_full_course_refuses_no_course_staff(self, role: str) -> None:
        make_course(max_student_enrollments_allowed=1)
        learner, member, late = make_users(3)
        CourseAccessRole.objects.create(user=member, course_id=COURSE_ID, role=role)

        assert has_room(learner)
        assert has_room(member)
        assert not has_room(late)

    @pytest.mark.rule("CAP-05")
    def test_global_staff_is_refused(self) -> None:
        make_course(max_student_enrollments_allowed=0)

        assert not has_room(make_user(is_staff=True))

    @pytest.mark.rule("CAP-06")
    def test_who_leaves_frees_the_seat(self) -> None:
        make_course(max_student_enrollments_allowed=1)
        first, second = make_users(2)
        has_room(first)
        CourseEnrollment.unenroll(first, COURSE_ID)

        assert has_room(second)

    @pytest.mark.rule("CAP-06")
    def test_coming_back_needs_a_free_seat(self) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        first, second = make_users(2)
        has_room(first)
        CourseEnrollment.unenroll(first, COURSE_ID)
        has_room(second)

        with nothing_written():
            assert not has_room(first)

        assert state_of(first, course) == ("audit", False)

    def test_an_inactive_enrollment_needs_no_seat(self) -> None:
        make_course(max_student_enrollments_allowed=0)
        make_user()

        added = api.add_enrollment(username("ada"), COURSE_ID, is_active=False)

        assert added["is_active"] is False

    def test_an_invitation_is_no_seat(self) -> None:
        make_course(max_student_enrollments_allowed=0)
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=COURSE_ID
        )

        with nothing_written():
            assert not has_room(make_user())

    @pytest.mark.rule("CAP-07", "B-14")
    def test_who_is_in_is_never_told_that_it_is_full(self) -> None:
        make_course(max_student_enrollments_allowed=1)
        learner = make_user()
        row = EnrollmentsService().enroll(learner, COURSE_ID)

        assert EnrollmentsService().enroll(learner, COURSE_ID) == row

    @pytest.mark.rule("B-15")
    def test_a_maximum_lowered_below_what_is_taken_refuses(self) -> None:
        course = make_course(max_student_enrollments_allowed=3)
        first, second, third = make_users(3)
        has_room(first)
        has_room(second)
        _set_seats(course, 1)

        assert not has_room(third)

    @pytest.mark.rule("B-15")
    def test_an_instance_read_before_there_was_a_maximum_does_not_help(
        self,
    ) -> None:
        course = make_course()
        same = type(course)._base_manager.get(pk=course.pk)
        field = get_course_adapter().max_student_enrollments_allowed
        type(course)._base_manager.filter(pk=course.pk).update(**{field: 0})

        with pytest.raises(CourseEnrollmentFullError):
            EnrollmentsService().enroll(make_user(), same)


class TestWhateverMakesActive:
    """Contract §9 over CAP-08: each way in needs a seat."""

    @pytest.mark.rule("CAP-08")
    @pytest.mark.parametrize(
        "activate",
        [
            pytest.param(
                lambda user: api.update_enrollment(
                    user.get_username(), COURSE_ID, is_active=True
                ),
                id="update",
            ),
            pytest.param(
                lambda user: api.update_enrollment(
                    user.get_username(), COURSE_ID, "honor", is_active=True
                ),
                id="update with mode",
            ),
            pytest.param(
                lambda user: api.add_enrollment(
                    user.get_username(), COURSE_ID, force_enrollment=True
                ),
                id="force",
            ),
            pytest.param(
                lambda user: EnrollmentsService().enroll(user, COURSE_ID, force=True),
                id="service",
            ),
            pytest.param(
                lambda user: CourseEnrollment.enroll(user, COURSE_ID), id="model"
            ),
            pytest.param(
                lambda user: CourseEnrollment.objects.get(user=user).activate(),
                id="activate",
            ),
            pytest.param(
                lambda user: CourseEnrollment.objects.get(user=user).update_enrollment(
                    mode="honor", is_active=True
                ),
                id="update_enrollment",
            ),
        ],
    )
    def test_needs_a_seat(self, activate: Callable[[Any], Any]) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        make_modes(course, "audit", "honor")
        waiting, sitting = make_users(2)
        CourseEnrollment.get_or_create_enrollment(waiting, COURSE_ID)
        CourseEnrollment.enroll(sitting, COURSE_ID)

        with nothing_written(), pytest.raises(CourseEnrollmentFullError):
            activate(waiting)

        CourseEnrollment.unenroll(sitting, COURSE_ID)
        activate(waiting)
        assert state_of(waiting, course)[1] is True

    def test_changing_the_mode_needs_none(self) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        make_modes(course, "audit", "verified")
        learner = make_user()
        has_room(learner)
        _set_seats(course, 0)

        api.update_enrollment(username("ada"), COURSE_ID, "verified")

        assert state_of(learner, course) == ("verified", True)

    @pytest.mark.rule("CAP-05")
    def test_course_staff_needs_none_to_come_back(self) -> None:
        course = make_course(max_student_enrollments_allowed=0)
        member = make_user()
        CourseAccessRole.objects.create(user=member, course_id=COURSE_ID, role="staff")
        row = CourseEnrollment.get_or_create_enrollment(member, COURSE_ID)

        row.activate()

        assert state_of(member, course) == ("audit", True)


class TestBulk:
    @pytest.mark.rule("B-15")
    def test_the_first_rows_get_the_seats(self) -> None:
        make_course(max_student_enrollments_allowed=2)
        names = [user.get_username() for user in make_users(4)]

        results = api.bulk_enroll(COURSE_ID, names)

        assert [one["status"] for one in results] == [
            "created",
            "created",
            "error",
            "error",
        ]
        assert {one["code"] for one in results[2:]} == {"course_full"}

    @pytest.mark.rule("CAP-03")
    def test_staff_among_them_takes_no_seat(self) -> None:
        make_course(max_student_enrollments_allowed=1)
        first, member, last = make_users(3)
        CourseAccessRole.objects.create(user=member, course_id=COURSE_ID, role="staff")
        names = [user.get_username() for user in (first, member, last)]

        results = api.bulk_enroll(COURSE_ID, names)

        assert [one["code"] for one in results] == [None, None, "course_full"]

    def test_over_capacity_is_true_or_lifts_nothing(self) -> None:
        make_course(max_student_enrollments_allowed=0)

        with pytest.raises(CourseEnrollmentFullError):
            EnrollmentsService().enroll(
                make_user(),
                COURSE_ID,
                over_capacity="no",  # type: ignore[arg-type]
            )

    def test_over_capacity_lifts_the_seats_and_says_so(self) -> None:
        make_course(max_student_enrollments_allowed=1)
        names = [user.get_username() for user in make_users(3)]

        results = api.bulk_enroll(COURSE_ID, names, over_capacity=True)

        assert {one["status"] for one in results} == {"created"}
        reasons = EnrollmentEvent.objects.values_list("reason", flat=True)
        assert set(reasons) == {"over_capacity"}
        assert event_types() == ["created"] * 3


def _set_seats(course: Any, seats: int) -> None:
    fields = {field.name for field in course._meta.concrete_fields}
    name = "seats" if "seats" in fields else "max_student_enrollments_allowed"
    type(course).objects.filter(pk=course.pk).update(**{name: seats})
