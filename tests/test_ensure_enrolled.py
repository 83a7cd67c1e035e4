"""``ensure_enrolled``, for programs that know the state they want (contract §5)."""

from __future__ import annotations

import pytest

from django_enrollments.errors import (
    CourseEnrollmentClosedError,
    CourseEnrollmentFullError,
    CourseModeNotFoundError,
    InvalidEnrollmentAttribute,
)
from django_enrollments.models import CourseEnrollmentAttribute
from django_enrollments.services import EnrollmentsService
from tests.factories import make_course, make_user
from tests.watching import event_types, nothing_written, refused

pytestmark = pytest.mark.django_db

PAID = [{"namespace": "order", "name": "number", "value": "17"}]
service = EnrollmentsService()


def attributes_of(enrollment):
    rows = CourseEnrollmentAttribute.objects.filter(enrollment=enrollment)
    return list(rows.order_by("pk").values("namespace", "name", "value"))


@pytest.fixture
def course():
    return make_course(modes=["audit", "verified"])


class TestTheState:
    @pytest.mark.parametrize("before", ["nowhere", "audit", "verified", "left"])
    def test_is_the_same_whatever_was_before(self, ada, course, before):
        if before in {"audit", "verified"}:
            service.enroll(ada, course, before)
        if before == "left":
            service.enroll(ada, course)
            service.unenroll(ada, course)

        row = service.ensure_enrolled(ada, course, "verified", attributes=PAID)

        row.refresh_from_db()
        assert (row.mode, row.is_active, attributes_of(row)) == ("verified", True, PAID)
        with nothing_written():
            service.ensure_enrolled(ada, course, "verified", attributes=PAID)

    def test_keeps_the_mode_where_none_is_given(self, ada, course):
        service.enroll(ada, course, "verified", attributes=PAID)
        with nothing_written():
            row = service.ensure_enrolled(ada, course)
        assert (row.mode, attributes_of(row)) == ("verified", PAID)

    def test_has_no_attributes_where_none_are_wanted(self, ada, course):
        service.enroll(ada, course, attributes=PAID)
        row = service.ensure_enrolled(ada, course, attributes=[])
        assert attributes_of(row) == []
        assert event_types() == ["created"]


class TestRefusals:
    def test_are_those_of_enroll(self):
        closed = make_course("course-v1:edX+One+1", invitation_only=True)
        full = make_course("course-v1:edX+Two+1", max_student_enrollments_allowed=0)
        ada = make_user()
        with refused(CourseEnrollmentClosedError):
            service.ensure_enrolled(ada, closed)
        with refused(CourseEnrollmentFullError):
            service.ensure_enrolled(ada, full)
        assert service.ensure_enrolled(ada, closed, force=True).is_active
        assert service.ensure_enrolled(ada, full, over_capacity=True).is_active

    def test_leave_mode_and_attributes(self, ada, course):
        row = service.enroll(ada, course, "audit")
        with refused(CourseModeNotFoundError):
            service.ensure_enrolled(ada, course, "honor", attributes=PAID)
        with refused(InvalidEnrollmentAttribute):
            service.ensure_enrolled(ada, course, "verified", attributes=[{}])
        assert attributes_of(row) == []
