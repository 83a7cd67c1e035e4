"""Puts people and course runs in place, and replays what they did."""

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

#: How many calls are committed together: a commit each would make the disk the measure
#: of everything, and too many would keep others from writing for too long.
CALLS_PER_COMMIT = 100

#: SQLite does not queue those who wait to write; without a breath between commits they
#: would rarely come in.
_BREATH_SECONDS = 0.002

#: Where the history says that the replayed changes come from.
SOURCE = "command"


class ReplayError(Exception):
    """What the database holds is not the beginning of this replay."""


def load_catalog(presentations: Collection[Presentation]) -> None:
    """
    Add the course runs that are missing.

    Args:
        presentations: What becomes a course run. Nobody can join one that is over.
    """
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
    """
    Add the learners who are missing; the dataset knows of them only their numbers.

    Args:
        students: Their numbers.
    """
    known = set(
        User.objects.exclude(student_number=None).values_list(
            "student_number", flat=True
        )
    )
    # Nobody logs in as them, so one unusable password does for all.
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
    """
    Count the calls that have been replayed: each left one event in the history.

    Args:
        codes: The course runs of the replay.
    """
    events = EnrollmentEvent.objects.filter(source=SOURCE, course_id__in=codes)
    return events.count()


def replay(
    steps: Sequence[Step],
    *,
    codes: Collection[str],
    progress: Callable[[int], object] = lambda done: None,
) -> int:
    """
    Make every call that has not been made yet, in order.

    A replay that was interrupted goes on where its last commit left it, and of two at
    once each continues where the other's last commit left it.

    Args:
        steps: All calls of the replay.
        codes: The course runs of the replay.
        progress: Told how many calls have been made, after every commit.

    Returns:
        How many calls were made now.

    Raises:
        ReplayError: The database holds more than these steps make.
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
        # The transaction begins as the only writer, so what it counts stays true.
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
        time.sleep(_BREATH_SECONDS)
