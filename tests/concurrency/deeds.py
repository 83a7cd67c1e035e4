"""What the processes of a crowd do, where it is more than one call of the package."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction
from django.db.models import Manager
from django.test import Client, override_settings

from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import (
    CourseEnrollment,
    get_course_adapter,
    get_course_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet


def in_turn(calls: Sequence[Callable[[], Any]]) -> list[str]:
    """Make calls one after the other; give the codes of refusals, else ``"fine"``."""
    told = []
    for call in calls:
        try:
            call()
        except CourseEnrollmentError as refusal:
            told.append(refusal.code)
        else:
            told.append("fine")
    return told


def set_capacity(course_key: Any, capacity: int) -> int:
    """
    Set the capacity of a course as a host's own form would.

    Returns:
        How many were in the course when nobody could come in.
    """
    path = get_course_adapter().max_student_enrollments_allowed
    courses = get_course_model()._base_manager.filter(pk=course_key)
    active = CourseEnrollment.objects.active().filter(course=course_key)
    while True:
        try:
            with transaction.atomic():
                courses.update(**{path: capacity})
                return active.count()
        except OperationalError:
            if connection.in_atomic_block:
                raise


def is_course_locked(key: Any) -> bool:
    """Return whether somebody holds the row of a course."""
    return _is_locked(get_course_model()._base_manager.filter(pk=key))


def is_enrollment_locked(key: Any) -> bool:
    """Return whether somebody holds the row of an enrollment."""
    return _is_locked(CourseEnrollment.objects.filter(pk=key))


def _is_locked(rows: QuerySet[Any]) -> bool:
    try:
        with transaction.atomic():
            list(rows.select_for_update(nowait=True).values_list("pk"))
    except OperationalError:
        return True
    return False


def without_waiting(call: Callable[[], Any]) -> Any:
    """Make a call that fails where it would have to wait long for a lock."""
    statement = {
        "postgresql": "SET lock_timeout = '1s'",
        "mysql": "SET innodb_lock_wait_timeout = 1",
        "sqlite": "PRAGMA busy_timeout = 1000",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return call()


def remake_course(course: Any, *, seats: int, in_one_transaction: bool) -> None:
    """
    Delete a course, hold its row for a second, and insert it again.

    Args:
        course: The saved course.
        seats: The capacity of the new course.
        in_one_transaction: Whether the course is inserted again before the deletion
            is committed.
    """
    model = get_course_model()
    fields = {
        field.attname: getattr(course, field.attname)
        for field in model._meta.concrete_fields
    }
    fields[get_course_adapter().max_student_enrollments_allowed] = seats

    def insert() -> None:
        model(**fields).save(force_insert=True)

    with transaction.atomic():
        model._base_manager.filter(pk=course.pk).delete()
        if in_one_transaction:
            insert()
        time.sleep(1)
    if not in_one_transaction:
        insert()


def reload_courses(*, seats: int) -> None:
    """Empty the table of courses and insert the same rows with other seats."""
    model = get_course_model()
    courses = list(model._base_manager.all())
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")
        path = get_course_adapter().max_student_enrollments_allowed
        for course in courses:
            setattr(course, path, seats)
        model._base_manager.bulk_create(courses)
        time.sleep(1)


def after(seconds: float, call: Callable[[], Any]) -> Any:
    """Wait, then make a call."""
    time.sleep(seconds)
    return call()


class SlowCohorts:
    """A cohort backend that takes its time within the transaction."""

    def add_user(self, course: Any, cohort_name: str, user: Any) -> None:
        time.sleep(1)


def be_slow(action: str, **context: Any) -> None:
    """Take time to decide on an enrollment, as a filter of a host."""
    time.sleep(1)


def with_slow_filter(call: Callable[[], Any]) -> Any:
    """Make a call in a process of a host whose filter is slow."""
    with override_settings(ENROLLMENTS_FILTERS=[f"{__name__}.{be_slow.__name__}"]):
        return call()


def with_slow_cohorts(call: Callable[[], Any]) -> Any:
    """Make a call in a process of a host whose cohort backend is slow."""
    path = f"{__name__}.{SlowCohorts.__name__}"
    with override_settings(ENROLLMENTS_COHORT_BACKEND=path):
        return call()


def delete_user(key: Any) -> None:
    """Delete a user and all that goes with them."""
    get_user_model().objects.get(pk=key).delete()


def post_enrollment(body: dict[str, Any], key: str) -> int:
    """Return the status of a POST of a program with an API key."""
    with override_settings(ENROLLMENTS_API_KEYS=[key], ALLOWED_HOSTS=["*"]):
        response = Client(raise_request_exception=False).post(
            "/api/enrollment/v1/enrollment",
            body,
            "application/json",
            headers={"X-Edx-Api-Key": key},
        )
    return response.status_code


def with_hiding_base_manager(call: Callable[[], Any]) -> Any:
    """Make a call in a process whose course model's base manager returns no row."""

    class Hiding(Manager[Any]):
        def get_queryset(self) -> QuerySet[Any]:
            rows = super().get_queryset()
            return rows.filter(**{get_course_adapter().course_id: "hidden"})

    manager = Hiding()
    manager.model = get_course_model()
    get_course_model()._meta.__dict__["base_manager"] = manager
    return call()
