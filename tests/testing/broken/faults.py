"""Collaborators of a host, each with one fault."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.http import HttpResponseRedirect

from django_enrollments.backends.courses import CourseAdapter
from django_enrollments.errors import EnrollmentNotAllowed
from django_enrollments.models import CourseEnrollment, CourseMode
from django_enrollments.services import EnrollmentsService
from tests.testing.broken.models import Certificate

service = EnrollmentsService()


class RaisingAdapter(CourseAdapter):
    def start(self, course: Any) -> Any:
        return course.start.date()


class TextAdapter(CourseAdapter):
    def end(self, course: Any) -> Any:
        return "next summer"


class HidingAdapter(CourseAdapter):
    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(end=None)


class ShiftedAdapter(CourseAdapter):
    def facts(self, course: Any) -> Any:
        facts = super().facts(course)
        start = facts.start and facts.start + timedelta(hours=2)
        return replace(facts, display_name=facts.display_name.upper(), start=start)


class CarelessAdapter(CourseAdapter):
    def find_course(self, course_id: str, using: str | None = None) -> Any:
        return self.get_queryset().filter(id__iexact=course_id.strip()).first()


class RepeatingAdapter(CourseAdapter):
    def display_name(self, course: Any) -> str:
        return f"{course.pk}, {CourseMode.objects.filter(course=course).count()} modes"


class RaisingBackend:
    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return bool(user.username and course.pk)


class GenerousBackend:
    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return True


class ClosedBackend:
    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return False


class RepeatingBackend(ClosedBackend):
    """Contradicts itself, too."""

    def grants_on(self, user: Any, perm: str, courses: Any) -> set[Any]:
        return {course.pk for course in courses}

    def grants(self, users: Any, perm: str, course: Any = None) -> set[Any]:
        return {one.pk for one in users if service.is_enrolled(one, course)}


def refuse_modes(action: str, **context: Any) -> None:
    if context.get("mode") == "conformance":
        raise EnrollmentNotAllowed("This mode must be paid.")


def commit(action: str, **context: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("COMMIT")


def announce(action: str, **context: Any) -> None:
    transaction.on_commit(fail)


class LoginMiddleware:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        if not request.user.is_authenticated:
            return HttpResponseRedirect("/login/")
        return self.get_response(request)


class CachingMiddleware(LoginMiddleware):
    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response["Cache-Control"] = "public, max-age=600"
        return response


class ParsingMiddleware(LoginMiddleware):
    def __call__(self, request: Any) -> Any:
        if request.method == "POST":
            json.loads(request.body)
        return self.get_response(request)


def fail(**kwargs: Any) -> None:
    raise ConnectionError("The mail server does not answer.")


def leave(enrollment: Any, **kwargs: Any) -> None:
    service.unenroll(enrollment.user_id, enrollment.course_id)


def write_past_the_service(enrollment: Any, **kwargs: Any) -> None:
    CourseEnrollment.objects.filter(pk=enrollment.pk).update(mode="premium")


def invite_friend(enrollment: Any, **kwargs: Any) -> None:
    friend = type(enrollment.user).objects.create(username=f"of {enrollment.pk}")
    CourseEnrollment.objects.create(user=friend, course_id=enrollment.course_id)


def certify(enrollment: Any, **kwargs: Any) -> None:
    Certificate.objects.create(enrollment=enrollment)
