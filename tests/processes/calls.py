"""Calls that processes make: functions that can be imported, and so be pickled."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error, OperationalError, connection, transaction
from django.db.models import Manager
from django.test import Client, override_settings

from django_enrollments import api, data
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import (
    CourseEnrollment,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.enrolling import enroll_or_change
from tests.factories import course_id_of, make_users
from tests.http import ENROLLMENT, wish
from tests.processes.concurrent import PATIENCE_SECONDS
from tests.processes.controlled import pause, pausing_after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.synchronize import Event

    from django.db.models import QuerySet

#: Seconds for which others are kept waiting; the results do not depend on it.
MOMENT = 0.5


def own_list(writer: object = 0) -> list[dict[str, str]]:
    """Return a list of attributes with the writer in each of them."""
    return [
        {"namespace": "order", "name": f"line{n}", "value": f"{writer}"}
        for n in range(3)
    ]


ATTRIBUTES = own_list()


def add_calls(course, users: int | Sequence[Any], **options) -> list[Any]:
    """Return one call of ``add_enrollment()`` for each of some users, or new ones."""
    if isinstance(users, int):
        users = make_users(users)
    names = [user.get_username() for user in users]
    course_id = course_id_of(course)
    return [partial(api.add_enrollment, name, course_id, **options) for name in names]


def enroll_by_service(user, course_id: str):
    EnrollmentsService().enroll(user.pk, course_id, attributes=ATTRIBUTES)


def enroll_by_api(user, course_id: str):
    api.add_enrollment(user.get_username(), course_id)


def enroll_with_attributes(user, course_id: str):
    api.add_enrollment(user.get_username(), course_id, enrollment_attributes=ATTRIBUTES)


def enroll_with_everything(user, course_id: str):
    enroll_or_change(
        user.get_username(),
        course_id,
        enrollment_attributes=ATTRIBUTES,
        email_opt_in=True,
    )


def enroll_in_bulk(user, course_id: str):
    """Enroll by a bulk of one row; raise its error."""
    (result,) = api.bulk_enroll(course_id, [user.get_username()])
    if result["status"] == "error":
        raise CourseEnrollmentError(result["message"])


#: Every function that enrolls, with what it may write besides.
ENROLLING = [
    enroll_by_service,
    enroll_by_api,
    enroll_with_attributes,
    enroll_with_everything,
    enroll_in_bulk,
]


def pausing_filter(action: str, **context):
    """Pause before learners are enrolled, as a filter."""
    if action == "enroll":
        pause()


def with_pausing_filter(call: Callable[[], Any]):
    """Make a call with a filter that pauses."""
    settings.ENROLLMENTS_FILTERS = [pausing_filter]
    return call()


def with_pause_in_first_filter(call: Callable[[], Any]):
    """Make a call with a filter that pauses the first time, whatever the action."""
    pauses = [pause]

    def pause_once(action: str, **context):
        while pauses:
            pauses.pop()()

    settings.ENROLLMENTS_FILTERS = [pause_once]
    return call()


def with_pause_before_attributes(call: Callable[[], Any]):
    """Make a call that pauses before it sets attributes."""
    write = data.add_or_update_enrollment_attr

    def pause_and_write(*arguments):
        pause()
        write(*arguments)

    data.add_or_update_enrollment_attr = pause_and_write
    return call()


#: How many calls are made before the pause.
CALLS_BEFORE_PAUSE = 5


def make_random_calls(seed: int, names: Sequence[str], course_ids: Sequence[str]):
    """
    Make random calls for a few learners and courses, without an end.

    Pauses once, after a few calls.
    """
    random = Random(seed)  # noqa: S311 - Repeatable rather than secret.
    users = get_user_model().objects.in_bulk(
        names, field_name=get_user_model().USERNAME_FIELD
    )
    service = EnrollmentsService()
    for number in count():
        if number == CALLS_BEFORE_PAUSE:
            pause()
        name, course_id = random.choice(names), random.choice(course_ids)
        attributes = own_list(random.getrandbits(32))
        call = random.choice(
            [
                partial(
                    enroll_or_change,
                    name,
                    course_id,
                    enrollment_attributes=attributes,
                    email_opt_in=True,
                ),
                partial(
                    service.enroll,
                    users[name].pk,
                    course_id,
                    "verified",
                    attributes=attributes,
                ),
                partial(
                    api.update_enrollment,
                    name,
                    course_id,
                    mode=random.choice(["audit", "verified"]),
                    is_active=random.choice([True, False]),
                    enrollment_attributes=attributes,
                ),
                partial(service.unenroll, users[name].pk, course_id),
                partial(api.set_enrollment_attributes, name, course_id, attributes),
                partial(api.unenroll_user_from_all_courses, name),
                partial(api.bulk_enroll, course_id, random.sample(names, 6)),
                partial(
                    api.bulk_enroll,
                    course_id,
                    random.sample(names, 3),
                    action="unenroll",
                ),
            ]
        )
        with suppress(CourseEnrollmentError):
            call()


def call_after_cuts(call: Callable[[], Any], others: Sequence[Callable[[], Any]]):
    """
    Make a call that pauses after its first statement, then one that does after its
    second, and so on, until one comes to its end without a pause.

    Args:
        call: The call, which is repeated while it fails.
        others: Calls that are made in between, with a new connection.

    Returns:
        The classes of the errors in which the calls ended.
    """
    failures = []
    for number, other in enumerate(others, start=1):
        try:
            pausing_after(number, call)
        except (CourseEnrollmentError, Error) as error:
            failures.append(type(error))
        else:
            break
        # What Django does between two requests.
        connection.close_if_unusable_or_obsolete()
        other()
    return failures


def post_everything(cookies: dict[str, str], course_id: str) -> int:
    """Enroll by HTTP with these cookies; return the status of the response."""
    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client(raise_request_exception=False)
    client.cookies.load(cookies)
    body = wish(course_id, enrollment_attributes=ATTRIBUTES, email_opt_in=True)
    return client.post(ENROLLMENT, body, content_type="application/json").status_code


def with_small_files(size: int, call: Callable[[], Any]):
    """Make a call that cannot write beyond so many bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        return call()
    finally:
        connection.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def in_turn(calls: Sequence[Callable[[], Any]]) -> list[str]:
    """Make calls in order; return the codes of refusals, ``"fine"`` for the others."""
    codes = []
    for call in calls:
        try:
            call()
        except CourseEnrollmentError as refusal:
            codes.append(refusal.code)
        else:
            codes.append("fine")
    return codes


def set_capacity(course_key, capacity: int) -> int:
    """
    Set the capacity of a course without the app, as a form of the host does.

    Returns:
        The number of active enrollments at that moment.
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


def is_course_locked(key) -> bool:
    """Return whether the row of a course is locked."""
    return _is_locked(get_course_model()._base_manager.filter(pk=key))


def is_enrollment_locked(key) -> bool:
    """Return whether the row of an enrollment is locked."""
    return _is_locked(CourseEnrollment.objects.filter(pk=key))


def _is_locked(rows: QuerySet[Any]) -> bool:
    try:
        with transaction.atomic():
            list(rows.select_for_update(nowait=True).values_list("pk"))
    except OperationalError:
        return True
    return False


def without_waiting(call: Callable[[], Any], seconds: int = 1):
    """Make a call that fails if it would wait longer for a lock."""
    statement = {
        "postgresql": f"SET lock_timeout = '{seconds}s'",
        "mysql": f"SET innodb_lock_wait_timeout = {seconds}",
        "sqlite": f"PRAGMA busy_timeout = {seconds * 1000}",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return call()


def recreate_course(course, *, is_gone: Event, seats: int, in_one_transaction: bool):
    """
    Delete a course, keep its row locked for a moment, and insert it again.

    Args:
        course: The saved course.
        is_gone: Set once the row is deleted, before the commit.
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

    def insert():
        model(**fields).save(force_insert=True)

    with transaction.atomic():
        model._base_manager.filter(pk=course.pk).delete()
        if in_one_transaction:
            insert()
        is_gone.set()
        time.sleep(MOMENT)
    if not in_one_transaction:
        insert()


def reload_courses(*, is_gone: Event, seats: int):
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
        is_gone.set()
        time.sleep(MOMENT)


def once(event: Event, call: Callable[[], Any]):
    """Wait until an event is set, then make a call."""
    assert event.wait(PATIENCE_SECONDS)
    return call()


class SlowCohorts:
    """A cohort backend that takes a moment in the transaction."""

    is_called: Event

    def add_user(self, course, cohort_name: str, user):
        self.is_called.set()
        time.sleep(MOMENT)


def be_slow(action: str, **context):
    """Take a moment, as a filter."""
    time.sleep(MOMENT)


def with_slow_filter(call: Callable[[], Any]):
    """Make a call with a filter that takes a moment."""
    with override_settings(ENROLLMENTS_FILTERS=[f"{__name__}.{be_slow.__name__}"]):
        return call()


def with_slow_cohorts(is_called: Event, call: Callable[[], Any]):
    """Make a call with a cohort backend that sets an event and takes a moment."""
    SlowCohorts.is_called = is_called
    path = f"{__name__}.{SlowCohorts.__name__}"
    with override_settings(ENROLLMENTS_COHORT_BACKEND=path):
        return call()


def delete_user(key):
    """Delete a user, with what is deleted by cascade."""
    get_user_model().objects.get(pk=key).delete()


def post_enrollment(body: dict[str, Any], key: str) -> int:
    """Enroll by HTTP with an API key; return the status."""
    with override_settings(ENROLLMENTS_API_KEYS=[key], ALLOWED_HOSTS=["*"]):
        response = Client(raise_request_exception=False).post(
            "/api/enrollment/v1/enrollment",
            body,
            "application/json",
            headers={"X-Edx-Api-Key": key},
        )
    return response.status_code


def with_hiding_base_manager(call: Callable[[], Any]):
    """Make a call where the base manager of the course model returns no row."""

    class Hiding(Manager[Any]):
        def get_queryset(self) -> QuerySet[Any]:
            rows = super().get_queryset()
            return rows.filter(**{get_course_adapter().course_id: "hidden"})

    manager = Hiding()
    manager.model = get_course_model()
    get_course_model()._meta.__dict__["base_manager"] = manager
    return call()
