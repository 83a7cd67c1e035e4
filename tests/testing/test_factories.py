from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.utils import timezone

from django_enrollments.models import (
    CourseEnrollment,
    CourseMode,
    EnrollmentEvent,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.testing import factories
from django_enrollments.testing.factories import (
    FIELD_VALUES,
    make_course,
    make_enrollment,
    make_invitation,
    make_mode,
    make_user,
    make_users,
)
from tests.factories import course_id_of, is_default_host, username

pytestmark = pytest.mark.django_db

service = EnrollmentsService()


def facts_of(course):
    stored = type(course)._default_manager.get(pk=course.pk)
    return get_course_adapter().facts(stored)


class TestMakeUser:
    def test_returns_active_users_with_different_names(self):
        users = make_users(3)

        assert len({user.get_username() for user in users}) == 3
        assert all(user.is_active and user.email for user in users)
        assert get_user_model().objects.count() >= 3

    def test_takes_a_name_or_an_address(self):
        assert make_user("ada").get_username() == username("ada")
        assert make_user("ada@example.com").email == "ada@example.com"
        assert make_user("bob", email="b@example.com").email == "b@example.com"

    def test_hashes_the_password(self):
        assert make_user(password="secret").check_password("secret")
        assert not make_user().has_usable_password()

    def test_takes_fields(self):
        assert make_user(is_staff=True, is_active=False).is_active is False

    def test_uses_the_values_of_fields(self, monkeypatch):
        field = get_user_model()._meta.get_field("email")
        monkeypatch.setitem(FIELD_VALUES, str(field), lambda n: f"{n}@school.test")

        assert make_user().email.endswith("@school.test")


class TestMakeCourse:
    def test_returns_courses_with_different_ids(self):
        ids = {course_id_of(make_course()) for _ in range(3)}

        assert len(ids) == 3

    def test_takes_an_id_and_modes(self):
        course = make_course("django-101", modes=["audit", "honor"])

        assert course_id_of(course) == "django-101"
        assert service.enroll(make_user(), "django-101", "honor").mode == "honor"

    def test_takes_the_names_of_the_adapter(self):
        end = timezone.now() + timedelta(days=3)

        course = make_course(
            max_student_enrollments_allowed=3, enrollment_end=end, org="edX"
        )

        facts = facts_of(course)
        assert facts.max_student_enrollments_allowed == 3
        assert (facts.enrollment_end, facts.org) == (end, "edX")

    def test_reuses_the_object_at_the_end_of_a_path(self):
        first, second = (make_course(org="edX") for _ in range(2))

        assert facts_of(first).org == facts_of(second).org == "edX"

    def test_takes_fields_of_the_model(self):
        name = "self_paced" if is_default_host() else "title"

        assert getattr(make_course(**{name: True}), name) is True

    @pytest.mark.skipif(is_default_host(), reason="Its course has every field.")
    def test_refuses_a_name_without_a_field(self):
        with pytest.raises(ValueError, match="maps no field to 'self_paced'"):
            make_course(self_paced=True)

    @pytest.mark.parametrize("pattern", [r"course-v1:.+", r"[^/]+/[^/]+/\d+"])
    def test_makes_ids_that_match_the_pattern(self, pattern, settings):
        settings.ENROLLMENTS_COURSE_ID_PATTERN = pattern

        course = make_course()

        assert service.enroll(make_user(), course_id_of(course)).is_active

    def test_uses_the_values_of_fields(self, monkeypatch):
        name = get_course_adapter().course_id
        field = get_course_model()._meta.get_field(name)
        monkeypatch.setitem(FIELD_VALUES, str(field), lambda number: f"run-{number}")

        assert course_id_of(make_course()).startswith("run-")


class TestMakeMode:
    def test_returns_the_default_mode(self, settings):
        settings.ENROLLMENTS_DEFAULT_MODE = "free"

        mode = make_mode(make_course(), min_price=3)

        assert isinstance(mode, CourseMode)
        assert (mode.slug, mode.name, mode.min_price) == ("free", "Free", 3)


class TestMakeEnrollment:
    def test_makes_what_is_missing(self):
        row = make_enrollment()

        assert row.is_active
        assert EnrollmentEvent.objects.get().enrollment_id == row.pk

    def test_takes_a_mode_that_the_course_offers(self):
        assert make_enrollment(mode="honor").mode == "honor"

    def test_makes_former_learners(self):
        row = make_enrollment(is_active=False, reason="test")

        assert CourseEnrollment.objects.get(pk=row.pk).is_active is False

    def test_changes_the_mode(self):
        user, course = make_user(), make_course(modes=["audit", "honor"])

        first = make_enrollment(user, course)
        second = make_enrollment(user, course, "honor")

        assert (first.pk, second.mode) == (second.pk, "honor")

    def test_ignores_the_window(self):
        closed = make_course(enrollment_end=timezone.now() - timedelta(days=3))

        assert make_enrollment(course=closed).is_active


class TestMakeInvitation:
    def test_opens_a_course_to_an_address(self):
        course = make_course(invitation_only=True)
        ada = make_user("ada")

        make_invitation(course, ada.email)

        assert service.enroll(ada, course).is_active

    def test_takes_the_id_of_a_course_that_does_not_exist(self):
        invitation = make_invitation("next-year", auto_enroll=True)

        assert (invitation.course_id, invitation.auto_enroll) == ("next-year", True)
        assert make_invitation().email != make_invitation().email


class TestRequiredFields:
    """``tests.testing.inherited`` has fields of the other kinds."""

    def test_names_the_field_without_a_value(self):
        class Strange(type(Group._meta.get_field("name")).__mro__[1]):
            pass

        field = Strange()
        field.name, field.model = "shape", Group

        with pytest.raises(TypeError, match=r"FIELD_VALUES\['auth.Group.shape'\]"):
            factories._value(field, 1)
