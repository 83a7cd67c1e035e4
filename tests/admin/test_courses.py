"""Pages of courses of the shipped model."""

from __future__ import annotations

import pytest

from django_enrollments.models import (
    Course,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService
from tests.admin.pages import make_clerk, shown, url
from tests.factories import is_default_host, make_course, make_mode, make_users

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not is_default_host(), reason="The course is swapped out."),
]

service = EnrollmentsService()


@pytest.fixture
def course(ada):
    course = make_course("django-101", max_student_enrollments_allowed=3)
    make_mode(course, "audit")
    return course


class TestPage:
    def test_shows_the_seats(self, admin_client, course, ada):
        service.enroll(ada, course)

        page = admin_client.get(url(Course, "change", "django-101"))
        Course.objects.update(max_student_enrollments_allowed=None)
        unlimited = admin_client.get(url(Course, "change", "django-101"))

        assert "Seats taken: 1 of 3" in shown(page)
        assert "Seats taken: 1 (no limit)" in shown(unlimited)

    def test_changes_modes_beside_the_course(self, admin_client, course):
        name = "django_enrollments_coursemode_set"
        mode = CourseMode.objects.get()
        data = {
            "org": "edX",
            f"{name}-TOTAL_FORMS": "2",
            f"{name}-INITIAL_FORMS": "1",
            f"{name}-0-id": mode.pk,
            f"{name}-0-course": "django-101",
            f"{name}-0-mode_slug": "audit",
            f"{name}-0-mode_display_name": "Free",
            f"{name}-0-min_price": "0",
            f"{name}-0-currency": "usd",
            f"{name}-1-course": "django-101",
            f"{name}-1-mode_slug": "verified",
            f"{name}-1-min_price": "10",
            f"{name}-1-currency": "eur",
        }

        response = admin_client.post(url(Course, "change", "django-101"), data)

        assert response.status_code == 302, shown(response)
        modes = CourseMode.objects.order_by("pk")
        assert [(one.slug, one.name) for one in modes] == [
            ("audit", "Free"),
            ("verified", ""),
        ]

    def test_shows_the_newest_invitations(self, admin_client, course, ada, monkeypatch):
        monkeypatch.setattr("django_enrollments.admin.courses.INVITATIONS_SHOWN", 2)
        empty = admin_client.get(url(Course, "change", "django-101"))
        for number in range(3):
            CourseEnrollmentAllowed.objects.create(
                email=f"guest{number}@example.org",
                course_id="django-101",
                user=ada if number == 2 else None,
            )

        page = admin_client.get(url(Course, "change", "django-101"))

        assert "Nobody is invited to this course." in shown(empty)
        text = shown(page)
        assert "guest2@example.org Used ada" in text
        assert "guest1@example.org Unused" in text
        assert "guest0@example.org" not in text
        assert "All invitations to this course" in text
        address = url(CourseEnrollmentAllowed, "changelist")
        listed = admin_client.get(address, {"course_id": "django-101"})
        assert listed.context["cl"].result_count == 3

    def test_shows_invitations_to_those_who_may_view_them(self, client, course):
        CourseEnrollmentAllowed.objects.create(
            email="guest@example.org", course_id="django-101"
        )
        client.force_login(make_clerk("view_course"))

        page = client.get(url(Course, "change", "django-101"))

        assert page.status_code == 200
        assert "guest@" not in shown(page)

    def test_of_a_new_course_has_no_seats_and_invitations(self, admin_client):
        page = admin_client.get(url(Course, "add"))

        assert "Seats taken" not in shown(page)
        assert "Invitations to" not in shown(page)


class TestDeletion:
    def test_says_what_becomes_of_enrollments(self, admin_client, course, ada):
        (former,) = make_users(1)
        for user in (ada, former):
            service.enroll(user, course)
        service.unenroll(former, course)
        CourseEnrollmentAllowed.objects.create(
            email="guest@example.org", course_id="django-101"
        )

        asked = admin_client.get(url(Course, "delete", "django-101"))
        admin_client.post(url(Course, "delete", "django-101"), {"post": "yes"})

        text = shown(asked)
        assert "1 active enrollment is kept." in text
        assert "1 former enrollment is kept." in text
        assert "1 unused invitation is kept." in text
        assert "The history is kept." in text
        # It is true.
        assert not Course.objects.exists()
        assert CourseEnrollment.objects.count() == 2
        assert CourseEnrollmentAllowed.objects.count() == 1
        assert EnrollmentEvent.objects.count() == 3

    def test_of_several_says_it_too(self, admin_client, course):
        data = {"action": "delete_selected", "_selected_action": ["django-101"]}

        asked = admin_client.post(url(Course, "changelist"), data)
        admin_client.post(url(Course, "changelist"), {**data, "post": "yes"})

        assert "What becomes of the enrollments" in shown(asked)
        assert not Course.objects.exists()


def test_titles_are_searched_for_words(admin_client, course):
    make_course("art-1", display_name="History of painting")

    found = admin_client.get(url(Course, "changelist"), {"q": "painting"})

    assert found.context["cl"].result_count == 1
