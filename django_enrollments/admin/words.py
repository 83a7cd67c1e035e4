"""Courses, modes, states, sources and people in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_enrollments.conf import conf
from django_enrollments.course_model import all_courses
from django_enrollments.models import CourseMode, EnrollmentEvent, get_course_adapter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from django_enrollments.models import CourseEnrollment

#: The accessor of the modes of a course.
MODES = "django_enrollments_coursemode_set"

#: The sources of this app (``context.SOURCES``); those of hosts are shown as they are.
SOURCE_LABELS = {
    "admin": _("Admin"),
    "api": _("Python code"),
    "bulk": _("File or list"),
    "command": _("Command"),
    "invitation": _("Invitation"),
    "rest": _("REST API"),
    "retirement": _("Retirement"),
    "service": _("Service"),
}

#: The number of events whose sources are offered; all would be too many to read.
EVENTS_READ = 1_000

#: The codes of modes that Open edX knows.
MODE_LABELS = {
    "audit": _("Audit"),
    "honor": _("Honor"),
    "verified": _("Verified"),
    "professional": _("Professional"),
    "no-id-professional": _("Professional without ID verification"),
    "credit": _("Credit"),
    "masters": _("Masters"),
    "executive-education": _("Executive education"),
}


def mode_in_words(slug: str, modes: Iterable[Any] = ()) -> str:
    """
    Return the name of a mode.

    Args:
        slug: The slug.
        modes: Modes of the course, which may name it.
    """
    for mode in modes:
        if mode.mode_slug == slug and mode.mode_display_name:
            return str(mode.mode_display_name)
    if slug in MODE_LABELS:
        return str(MODE_LABELS[slug])
    return slug.replace("-", " ").replace("_", " ").capitalize()


def mode_choices(chosen: str | None = None) -> list[tuple[str, str]]:
    """
    Return the modes of all courses, by name, as choices of a field.

    Args:
        chosen: A slug that is chosen, although no course may have it.
    """
    slugs = CourseMode.objects.order_by().values_list("mode_slug", flat=True)
    found = {*slugs.distinct(), conf.ENROLLMENTS_DEFAULT_MODE, chosen}
    pairs = [(slug, mode_in_words(slug)) for slug in found if slug]
    return sorted(pairs, key=lambda pair: pair[1])


def source_in_words(source: str) -> str:
    """Return the name of a source."""
    return str(SOURCE_LABELS.get(source, source))


def source_choices(chosen: str | None = None) -> list[tuple[str, str]]:
    """
    Return the sources of this app, and those of the last events, as choices of a field.

    Args:
        chosen: A source that is chosen, although none of these events may have it.
    """
    last = EnrollmentEvent.objects.order_by("-pk").values_list("source", flat=True)
    found = {*SOURCE_LABELS, *last[:EVENTS_READ], chosen}
    pairs = [(source, source_in_words(source)) for source in found if source]
    return sorted(pairs, key=lambda pair: pair[1])


def state_in_words(is_active: bool) -> str:
    """Return the name of a state."""
    return gettext("Enrolled") if is_active else gettext("Left")


def courses_in_words() -> QuerySet[Any]:
    """Return all courses with what :func:`course_in_words` reads, for a prefetch."""
    return get_course_adapter().with_related(all_courses())


def course_of(row: CourseEnrollment) -> Any | None:
    """Return the course of an enrollment; ``None`` if it is deleted."""
    try:
        return row.course
    except ObjectDoesNotExist:
        return None


def course_in_words(course: Any) -> str:
    """Return the name and the id of a course."""
    facts = get_course_adapter().facts(course)
    if facts.display_name in {"", facts.course_id}:
        return facts.course_id
    return gettext("%(name)s (%(id)s)") % {
        "name": facts.display_name,
        "id": facts.course_id,
    }


def usernames_of(keys: Iterable[Any]) -> dict[Any, str]:
    """Return the usernames of users that exist, by primary key, in one query."""
    wanted = {key for key in keys if key is not None}
    if not wanted:
        return {}
    users = get_user_model()._base_manager.in_bulk(wanted)
    return {key: str(user.get_username()) for key, user in users.items()}


def actor_in_words(key: Any, names: dict[Any, str]) -> str:
    """
    Return the name of an actor.

    Args:
        key: Primary key; ``None`` for a program.
        names: The result of :func:`usernames_of`.
    """
    if key is None:
        return gettext("Program")
    return names.get(key) or gettext("Deleted user %(key)s") % {"key": key}
