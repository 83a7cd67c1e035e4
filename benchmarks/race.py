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
from tests.processes.concurrent import PATIENCE_SECONDS, at_once, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.synchronize import Barrier

    from benchmarks.dataset import DataSet

LEARNERS = 50
SEATS = 10
TIMES = 5

_COURSE_ID = "course-v1:BenchX+Race+2024"
_OTHER_ID = "course-v1:BenchX+Before+2024"


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
    goal = Goal(ms=limits(1500, 1500))
    words, missed = judge(goal, connection.vendor, 0, max(ms), max(floor_ms))
    return Measured(
        f"{LEARNERS} learners at once for {SEATS} seats",
        connection.vendor,
        TIMES,
        None,
        None,
        max(ms),
        max(floor_ms),
        f"exactly {SEATS} each of {TIMES} times, slowest {words}",
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
    courses = [_make_course(_COURSE_ID, SEATS), _make_course(_OTHER_ID, None)]
    everybody_is_ready = processes.Barrier(len(names))
    run = partial(_run, enroll, everybody_is_ready)
    try:
        answers = at_once([partial(run, name) for name in names])
        spans = [answer.value for answer in answers if answer.value]
        errors = sum(answer.value is None for answer in answers)
        inside = CourseEnrollment.objects.filter(course=_COURSE_ID, is_active=True)
        taken = max(end for _, end in spans) - min(start for start, _ in spans)
        return taken, inside.count(), errors
    finally:
        for course in courses:
            with connection.cursor() as cursor:
                for table in (floor.EVENT, floor.ENROLLMENT, floor.MODE):
                    cursor.execute(
                        f"DELETE FROM {table} WHERE course_id = %s", [course.pk]
                    )
            course.delete()


def _make_course(course_id: str, seats: int | None) -> Course:
    course = Course.objects.create(
        id=course_id,
        enrollment_start=FIRST,
        enrollment_end=FIRST + timedelta(days=36_500),
        max_student_enrollments_allowed=seats,
    )
    CourseMode.objects.create(course=course, mode_slug=CourseMode.AUDIT)
    return course


def _run(
    enroll: Callable[[str, str], Any], everybody_is_ready: Barrier, name: str
) -> tuple[float, float]:
    """Enroll elsewhere first, as the process of a server will have, and then here."""
    enroll(name, _OTHER_ID)
    everybody_is_ready.wait(PATIENCE_SECONDS)
    start = time.monotonic()
    enroll(name, _COURSE_ID)
    return start, time.monotonic()


def _by_the_app(name: str, course_id: str) -> None:
    try:
        api.add_enrollment(name, course_id)
    except CourseEnrollmentFullError:
        return


def _by_hand(name: str, course_id: str) -> None:
    try:
        floor.enroll(name, course_id, "audit")
    except floor.Full:
        return
