"""Makes users, courses and modes of whichever host the tests run under."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.contrib.auth import get_user_model

from django_enrollments.models import CourseMode, get_course_model

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The moment "now" for tests that pass one in.
NOON = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

#: Fields of the other host's course, by the names that adapters map.
_SEMINAR_FIELDS = {
    "display_name": "title",
    "start": "begins_at",
    "end": "finishes_at",
    "enrollment_start": "registration_opens_at",
    "enrollment_end": "registration_closes_at",
    "invitation_only": "by_invitation",
    "max_student_enrollments_allowed": "seats",
    "enable_proctored_exams": "proctored",
    "proctoring_provider": "proctor",
}


def is_default_host() -> bool:
    """Return whether the shipped course model is in use."""
    return settings.ENROLLMENTS_COURSE_MODEL == "django_enrollments.Course"


def username(name: str) -> str:
    """Return the result of ``get_username()`` of ``make_user(name)`` in this host."""
    return name if is_default_host() else f"{name}@example.org"


def send_mail_by(settings: Any, path: str) -> None:
    """Choose the mail backend, by the setting that the Django under test knows."""
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": path}}
    else:
        settings.EMAIL_BACKEND = path


def make_user(name: str = "ada", **fields: Any) -> Any:
    """
    Make a user who is called ``username(name)`` and has an e-mail address.

    The address is ``{name}@example.org`` unless ``email`` is given; the other host's
    users log in by it, so there it is the username too.
    """
    model = get_user_model()
    password = fields.pop("password", None)
    fields.setdefault("email", f"{name}@example.org")
    if is_default_host():
        fields["username"] = name
    user = model(**fields)
    user.set_password(password) if password else user.set_unusable_password()
    user.save()
    return user


def make_users(count: int, prefix: str = "learner") -> list[Any]:
    """Make many users in one statement, called ``username(f"{prefix}{n}")``."""
    model = get_user_model()
    users = []
    for number in range(count):
        fields = {"email": f"{prefix}{number}@example.org", "password": "!"}
        if is_default_host():
            fields["username"] = f"{prefix}{number}"
        users.append(model(**fields))
    return list(model.objects.bulk_create(users))


def make_course(
    course_id: str = "course-v1:edX+DemoX+Demo_Course",
    *,
    modes: Iterable[str] = (),
    expired: Iterable[str] = (),
    **facts: Any,
) -> Any:
    """
    Make a course.

    Args:
        course_id: The id, in whichever field the host has it.
        modes: Slugs of plain modes that the course offers.
        expired: Slugs of modes that expired at ``NOON``.
        facts: Fields, by the names that adapters map, as far as the host has them.
    """
    course = _make_bare_course(course_id, facts)
    make_modes(course, *modes)
    for slug in expired:
        make_mode(course, slug, expiration_datetime=NOON)
    return course


def _make_bare_course(course_id: str, facts: dict[str, Any]) -> Any:
    model = get_course_model()
    if is_default_host():
        return model.objects.create(id=course_id, **facts)
    from tests.other_host.models import Faculty

    fields = {
        _SEMINAR_FIELDS[name]: value
        for name, value in facts.items()
        if name in _SEMINAR_FIELDS
    }
    if facts.get("org"):
        fields["faculty"] = Faculty.objects.get_or_create(name=facts["org"])[0]
    fields.setdefault("title", course_id)
    return model.objects.create(slug=course_id, **fields)


def make_mode(course: Any, slug: str = "audit", **fields: Any) -> CourseMode:
    """Make a mode of a course, named like its slug."""
    fields.setdefault("mode_display_name", slug.capitalize())
    return CourseMode.objects.create(course=course, mode_slug=slug, **fields)


def make_modes(course: Any, *slugs: str) -> list[CourseMode]:
    """Make plain modes of a course."""
    return [make_mode(course, slug) for slug in slugs]


def course_id_of(course: Any) -> str:
    """Return the course id as text, whichever field holds it."""
    return str(course.id if is_default_host() else course.slug)


def close(course: Any) -> None:
    """Let the enrollment window of a stored course end in the past."""
    name = "enrollment_end" if is_default_host() else "registration_closes_at"
    type(course).objects.filter(pk=course.pk).update(**{name: NOON - DAY})
