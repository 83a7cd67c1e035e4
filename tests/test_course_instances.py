"""A course where a course id is meant, in both hosts (contract §5)."""

from __future__ import annotations

import pytest
from django.urls import NoReverseMatch, reverse

from django_enrollments import api, data
from django_enrollments.enrollments_notifications import EnrollmentNotificationSender
from django_enrollments.errors import CourseNotFoundError
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.signals import notification_requested
from tests.factories import course_id_of, make_course, make_modes, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def course():
    course = make_course(
        "course-v1:edX+DemoX+One",
        display_name="A title",
        max_student_enrollments_allowed=1,
        enable_proctored_exams=True,
    )
    make_modes(course, "verified", "honor")
    return course


@pytest.fixture
def ada(course):
    user = make_user("ada")
    CourseEnrollment.enroll(user, course, "verified")
    return user


class TestTheCourseItself:
    def test_is_read_by_the_shortcuts(self, ada, course):
        assert CourseEnrollment.is_enrolled(ada, course)
        mode = CourseEnrollment.enrollment_mode_for_user(ada, course)
        assert mode == ("verified", True)
        assert CourseEnrollment.get_or_create_enrollment(ada, course).mode == "verified"
        CourseEnrollment.unenroll(ada, course)
        assert not CourseEnrollment.is_enrolled(ada, course)

    def test_is_read_by_the_manager(self, ada, course):
        manager = CourseEnrollment.objects
        assert manager.is_course_full(course)
        assert manager.enrollment_counts(course) == {"total": 1, "verified": 1}
        assert list(manager.users_enrolled_in(course)) == [ada]

    def test_is_read_by_modes_and_invitations(self, course):
        modes = CourseMode.modes_for_course(course)
        assert [mode.slug for mode in modes] == ["verified", "honor"]
        invitation = CourseEnrollmentAllowed.objects.create(
            email="bob@example.org", course_id=course_id_of(course)
        )
        unused = CourseEnrollmentAllowed.may_enroll_and_unenrolled(course)
        assert list(unused) == [invitation]

    def test_is_read_by_roles(self, course):
        user = make_user("tea")
        CourseAccessRole.objects.create(
            user=user, role="staff", course_id=course_id_of(course)
        )
        assert CourseAccessRole.user_has_role(user, "staff", course)

    def test_is_read_by_the_api(self, ada, course, settings):
        settings.ENROLLMENTS_ENABLE_SPECIAL_EXAMS = True
        name, text = ada.get_username(), course_id_of(course)
        assert api.get_enrollment(name, course) == api.get_enrollment(name, text)
        details = api.get_course_enrollment_details(course)
        assert details["course_id"] == text
        assert api.is_enrollment_valid_for_proctoring(name, course)
        assert not api.explain_enrollment(name, course)["allowed"]
        changed = api.update_enrollment(name, course, mode="honor")
        assert changed["mode"] == "honor"
        assert data.get_course_enrollment_info(course)["course_id"] == text
        assert list(data.get_user_enrollments(course)) == list(
            data.get_user_enrollments(text)
        )
        (row,) = api.bulk_enroll(course, [name], action="unenroll")
        assert row["status"] == "deactivated"

    def test_is_read_by_the_service(self, ada, course):
        service = EnrollmentsService()
        rows = service.get_active_enrollments_by_course(course)
        assert [row.user_id for row in rows] == [ada.pk]
        assert service.get_active_enrollments_by_course_and_user(course, ada.pk)
        assert service.get_enrollments_can_take_proctored_exams(course)

    def test_is_read_by_urls(self, ada, course):
        for name in ("details", "eligibility", ""):
            route = f"django_enrollments:courseenrollment{name}"
            by_id = reverse(route, args=[course_id_of(course)])

            assert reverse(route, args=[course]) == by_id
            for stranger in (ada, get_course_model()(pk=course.pk)):
                with pytest.raises(NoReverseMatch):
                    reverse(route, args=[stranger])

    def test_counts_as_unknown_until_it_is_saved(self, ada, course):
        unsaved = get_course_model()(pk=course.pk)
        assert not CourseEnrollment.is_enrolled(ada, unsaved)
        assert CourseEnrollment.objects.enrollment_counts(unsaved) == {"total": 0}
        with pytest.raises(CourseNotFoundError):
            api.get_course_enrollment_details(unsaved)

    def test_is_never_a_model_instance_of_another_kind(self, course, monkeypatch):
        monkeypatch.setattr(CourseMode, "__str__", lambda _: course_id_of(course))
        mode = CourseMode.objects.first()

        assert CourseEnrollment.objects.enrollment_counts(mode) == {"total": 0}


class TestNotifications:
    @pytest.mark.parametrize("name", ["instance", "id"])
    def test_take_a_course_or_its_id(self, ada, course, name):
        sent = []

        def keep(sender, notification_data, **kwargs):
            sent.append(notification_data)

        given = course if name == "instance" else course_id_of(course)
        notification_requested.connect(keep)
        try:
            sender = EnrollmentNotificationSender(given, ada.pk, "2026-03-04")
            sender.send_audit_access_expiring_soon_notification()
        finally:
            notification_requested.disconnect(keep)
        assert [one.course_key for one in sent] == [course_id_of(course)]
