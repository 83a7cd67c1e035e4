"""The enrollments of a learner with their histories, in words."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from django_enrollments.models import CourseMode
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from catalog.models import CourseRun
    from django_enrollments.models import CourseEnrollment, EnrollmentEvent

#: Reasons that the app itself writes.
_REASONS = {"over_capacity": gettext_lazy("in addition to the regular seats")}


@dataclass(frozen=True)
class Entry:
    """
    A line of a history.

    Attributes:
        time: When it happened.
        what: What happened, as a sentence.
        actor: Who did it, as the end of the sentence "by …".
        reason: The reason, perhaps empty.
    """

    time: datetime
    what: str
    actor: str
    reason: str


@dataclass(frozen=True)
class Record:
    """
    An enrollment of a learner.

    Attributes:
        enrollment: The enrollment.
        run: Its course run; ``None`` if that was deleted.
        course_id: The course id, also of a deleted course run.
        mode: The name of the mode.
        entries: The history, newest first.
    """

    enrollment: CourseEnrollment
    run: CourseRun | None
    course_id: str
    mode: str
    entries: Sequence[Entry]


def records_of(user: Any, enrollments: Sequence[CourseEnrollment]) -> list[Record]:
    """
    Return enrollments with their histories, in a constant number of statements.

    Args:
        user: The learner.
        enrollments: Some enrollments of the learner, with their courses.
    """
    events: dict[Any, list[EnrollmentEvent]] = defaultdict(list)
    history = EnrollmentsService().history(user=user)
    for event in history.filter(enrollment__in=enrollments):
        events[event.enrollment_id].append(event)
    names = _mode_names(enrollments)
    return [
        _record(user, enrollment, events[enrollment.pk], names)
        for enrollment in enrollments
    ]


def _record(
    user: Any,
    enrollment: CourseEnrollment,
    events: Sequence[EnrollmentEvent],
    names: Mapping[tuple[Any, str], str],
) -> Record:
    def name_of(slug: str | None) -> str:
        return (
            names.get((enrollment.course_id, slug or "")) or (slug or "").capitalize()
        )

    try:
        run = enrollment.course
    except ObjectDoesNotExist:
        run = None
    return Record(
        enrollment,
        run,
        course_id=run.code if run else next((one.course_id for one in events), ""),
        mode=name_of(enrollment.mode),
        entries=[
            Entry(
                event.time,
                event_text(
                    event, name_of(event.mode_before), name_of(event.mode_after)
                ),
                _actor(event, user),
                str(_REASONS.get(event.reason, event.reason)),
            )
            for event in events
        ],
    )


def event_text(event: EnrollmentEvent, before: str, after: str) -> str:
    """
    Return what happened, in a sentence.

    Args:
        event: The event.
        before: The name of the mode before it.
        after: The name of the mode after it.
    """
    match event.type:
        case "created" if event.active_after:
            text = _("Enrolled: %(after)s")
        case "created":
            text = _("Registered without a seat: %(after)s")
        case "activated":
            text = _("Enrolled again: %(after)s")
        case "mode_changed":
            text = _("Changed from “%(before)s” to “%(after)s”")
        case _:
            text = _("Left the course")
    return text % {"before": before, "after": after}


def _actor(event: EnrollmentEvent, user: Any) -> str:
    if event.actor_id == user.pk:
        return pgettext("by whom", "you")
    if event.actor is None:
        return pgettext("by whom", "the school")
    return str(event.actor.get_full_name())


def _mode_names(enrollments: Sequence[CourseEnrollment]) -> dict[tuple[Any, str], str]:
    """Return the names of modes by course and slug."""
    modes = CourseMode.objects.filter(
        course__in={enrollment.course_id for enrollment in enrollments}
    )
    return {(one.course_id, one.mode_slug): one.mode_display_name for one in modes}
