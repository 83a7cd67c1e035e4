"""Fifty learners at once, each a process of its own, for the last ten seats."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import connection

from benchmarks import floor
from benchmarks.dataset import FIRST
from benchmarks.measuring import Goal, Measured, judge, limits
from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentFullError
from django_enrollments.models import Course, CourseEnrollment, CourseMode
from tests.concurrency.crowd import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.dataset import DataSet

LEARNERS = 50
SEATS = 10
TIMES = 5

_COURSE_ID = "course-v1:BenchX+Race+2024"


def race(data: DataSet) -> Measured:
    """
    Let them race five times by the app, and five times by hand.

    Args:
        data: The data in the database.
    """
    names = [data.username(number) for number in range(LEARNERS)]
    ms, floor_ms, faults = [], [], []
    for _ in range(TIMES):
        for enroll, times in ((_by_the_app, ms), (_by_hand, floor_ms)):
            taken, inside, errors = _race_once(enroll, names)
            times.append(taken * 1000)
            if enroll is _by_the_app and (inside != SEATS or errors):
                faults.append(f"{inside} got in, {errors} errors")
    # The slowest of ours counts, the quickest by hand.
    goal = Goal(ms=limits(1500, 1500))
    words, missed = judge(goal, connection.vendor, 0, max(ms), min(floor_ms))
    return Measured(
        f"{LEARNERS} learners at once for {SEATS} seats, slowest of {TIMES}",
        connection.vendor,
        TIMES,
        None,
        None,
        max(ms),
        min(floor_ms),
        f"exactly {SEATS}, {words}",
        None,
        "; ".join([*faults, *([missed] if missed else [])]),
    )


def _race_once(
    enroll: Callable[[str], Any], names: Sequence[str]
) -> tuple[float, int, int]:
    """
    Let them race once, and take all back.

    Returns:
        Seconds from the first start to the last end, how many got in, and how many
        were told anything but that it is full.
    """
    course = Course.objects.create(
        id=_COURSE_ID,
        enrollment_start=FIRST,
        enrollment_end=FIRST + timedelta(days=36_500),
        max_student_enrollments_allowed=SEATS,
    )
    CourseMode.objects.create(course=course, mode_slug=CourseMode.AUDIT)
    try:
        answers = at_once([partial(_timed, enroll, name) for name in names])
        spans = [answer.value for answer in answers if answer.value]
        errors = sum(answer.value is None for answer in answers)
        inside = CourseEnrollment.objects.filter(course=_COURSE_ID, is_active=True)
        taken = max(end for _, end in spans) - min(start for start, _ in spans)
        return taken, inside.count(), errors
    finally:
        with connection.cursor() as cursor:
            for table in (floor.EVENT, floor.ENROLLMENT, floor.MODE):
                cursor.execute(
                    f"DELETE FROM {table} WHERE course_id = %s", [_COURSE_ID]
                )
        course.delete()


def _timed(enroll: Callable[[str], Any], name: str) -> tuple[float, float]:
    start = time.monotonic()
    enroll(name)
    return start, time.monotonic()


def _by_the_app(name: str) -> None:
    try:
        api.add_enrollment(name, _COURSE_ID)
    except CourseEnrollmentFullError:
        return


def _by_hand(name: str) -> None:
    try:
        floor.enroll(name, _COURSE_ID, "audit")
    except floor.Full:
        return
