"""Creates learners and course runs, and replays the registrations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.contrib.auth.hashers import make_password
from django.db import transaction

from accounts.models import User
from catalog.models import CourseRun, School
from django_enrollments.models import EnrollmentEvent
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from demo.oulad import Presentation, Step

#: Calls per transaction. One commit per call would be slow; long transactions would
#: block other writers.
CALLS_PER_COMMIT = 100

#: SQLite has no queue of writers. Without a pause between commits, other writers would
#: rarely succeed.
_PAUSE_SECONDS = 0.002

#: Source in the history.
SOURCE = "command"


class ReplayError(Exception):
    """The database does not contain the beginning of this replay."""


def load_catalog(presentations: Collection[Presentation]) -> None:
    """Create the missing course runs. Registration closes at the end of each."""
    school, _ = School.objects.get_or_create(
        code="OU", defaults={"name": "The Open University"}
    )
    known = set(CourseRun.objects.values_list("code", flat=True))
    CourseRun.objects.bulk_create(
        CourseRun(
            school=school,
            code=one.code,
            title=one.title,
            starts_on=one.starts_on,
            ends_on=one.ends_on,
            registration_closes_on=one.ends_on,
        )
        for one in presentations
        if one.code not in known
    )


def load_learners(students: Collection[int]) -> None:
    """Create the missing learners, who have only a number in the dataset."""
    known = set(
        User.objects.exclude(student_number=None).values_list(
            "student_number", flat=True
        )
    )
    # They never log in, so they share one unusable password.
    password = make_password(None)
    User.objects.bulk_create(
        (
            User(
                username=f"student{number}",
                email=f"student{number}@example.org",
                student_number=number,
                password=password,
            )
            for number in sorted(set(students) - known)
        ),
        batch_size=2000,
    )


def count_replayed(codes: Collection[str]) -> int:
    """Return the number of replayed calls: each has one event in the history."""
    events = EnrollmentEvent.objects.filter(source=SOURCE, course_id__in=codes)
    return events.count()


def replay(
    steps: Sequence[Step],
    *,
    codes: Collection[str],
    progress: Callable[[int], object] = lambda done: None,
) -> int:
    """
    Make all missing calls, in order.

    A replay continues after the last commit, also after an interruption and if two runs
    are active.

    Args:
        steps: All calls of the replay.
        codes: The course runs of the replay.
        progress: Called after each commit with the number of calls made so far.

    Returns:
        The number of calls made by this run.

    Raises:
        ReplayError: The database has more changes than these steps.
    """
    service = EnrollmentsService()
    runs = CourseRun.objects.select_related("school").in_bulk(
        list(codes), field_name="code"
    )
    learners = {
        user.student_number: user for user in User.objects.exclude(student_number=None)
    }
    made = 0
    while True:
        # The transaction begins with the write lock, so the count stays valid.
        with transaction.atomic():
            done = count_replayed(codes)
            if done > len(steps):
                raise ReplayError(
                    f"The history has {done:,} replayed changes and the data only "
                    f"{len(steps):,}."
                )
            batch = steps[done : done + CALLS_PER_COMMIT]
            for step in batch:
                call = service.enroll if step.action == "enroll" else service.unenroll
                call(
                    learners[step.student],
                    runs[step.code],
                    source=SOURCE,
                    reason=step.reason,
                    at=step.at,
                )
        if not batch:
            return made
        made += len(batch)
        progress(done + len(batch))
        time.sleep(_PAUSE_SECONDS)
