"""Lives in the host: ``python -m tests.numbered`` fails where something does."""

from __future__ import annotations

import json
from typing import Any

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from django_enrollments import api
from django_enrollments.models import Course, CourseMode, EnrollmentEvent
from django_enrollments.services import EnrollmentsService

ROOT = "/api/enrollment/v1/"
COURSE_ID = "django-101"


def ask(user: Any, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask as somebody, by POST where there is a body."""
    client = Client()
    client.force_login(user)
    if body is None:
        response = client.get(ROOT + path)
    else:
        response = client.post(ROOT + path, json.dumps(body), "application/json")
    return response.status_code, response.json() if response.content else None


def main() -> None:
    """Do it all once."""
    call_command("migrate", verbosity=0, run_syncdb=True)
    call_command("check", fail_level="WARNING")
    course = Course.objects.create(id=COURSE_ID, display_name="Django")
    CourseMode.objects.create(course=course, mode_slug="audit", mode_display_name="A")
    students = get_user_model().objects
    ada, bea = (students.create(number=number) for number in (123, 7))
    staff = students.create(number=9, is_staff=True)
    wish = {"course_details": {"course_id": COURSE_ID}}

    assert ask(ada, "enrollment", wish)[1]["user"] == "123"
    assert ask(staff, "enrollment", {**wish, "user": "7"})[1]["user"] == "7"
    assert [one["user"] for one in ask(ada, "enrollment")[1]] == ["123"]
    assert ask(ada, f"enrollment/123,{COURSE_ID}")[1]["user"] == "123"
    assert ask(ada, f"course/{COURSE_ID}/eligibility")[1]["allowed"] is False
    assert ask(ada, "roles/")[0] == 200
    found = ask(staff, "enrollments?username=123")[1]["results"]
    assert [one["user"] for one in found] == ["123"]
    everyone = ask(staff, "enrollments")[1]["results"]
    assert {one["user"] for one in everyone} == {"123", "7"}

    for nobody in ("abc", "0123", "99999999999999999999999", "-1"):
        assert ask(staff, f"enrollments?username={nobody}")[1]["results"] == []
        assert ask(staff, f"enrollment?user={nobody}") == (200, [])
        assert ask(staff, f"enrollment/{nobody},{COURSE_ID}") == (200, None)
        assert ask(staff, "enrollment", {**wish, "user": nobody})[0] == 406
        assert ask(ada, f"enrollment?user={nobody}") == (200, [])

    for name in (123, "123"):
        assert api.get_enrollment(name, COURSE_ID)["user"] == "123"
        assert len(api.get_enrollments(name)) == 1
        left = api.update_enrollment(name, COURSE_ID, is_active=False)
        assert left["is_active"] is False
        assert api.add_enrollment(name, COURSE_ID)["is_active"] is True

    EnrollmentsService().unenroll(bea, COURSE_ID)
    results = api.bulk_enroll(COURSE_ID, ["7", 123, "x"])
    told = [(one["identifier"], one["status"]) for one in results]
    assert told == [("7", "reactivated"), (123, "unchanged"), ("x", "error")], told
    assert {*EnrollmentEvent.objects.values_list("username", flat=True)} == {"123", "7"}


if __name__ == "__main__":
    main()
