"""What actors do, and what gets in their way: importable, so that processes can."""

from __future__ import annotations

import resource
from contextlib import suppress
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error, connection
from django.test import Client

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.services import EnrollmentsService
from tests.enrolling import enroll_or_change
from tests.faults.actors import pause, pausing_after
from tests.http import ENROLLMENT, wish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def own_list(writer: object = 0) -> list[dict[str, str]]:
    """Return a list of attributes of which every entry tells who wrote it."""
    return [
        {"namespace": "order", "name": f"line{n}", "value": f"{writer}"}
        for n in range(3)
    ]


ATTRIBUTES = own_list()


def enroll_by_service(user: Any, course_id: str) -> None:
    EnrollmentsService().enroll(user.pk, course_id, attributes=ATTRIBUTES)


def enroll_by_api(user: Any, course_id: str) -> None:
    api.add_enrollment(user.get_username(), course_id)


def enroll_with_attributes(user: Any, course_id: str) -> None:
    api.add_enrollment(user.get_username(), course_id, enrollment_attributes=ATTRIBUTES)


def enroll_with_everything(user: Any, course_id: str) -> None:
    enroll_or_change(
        user.get_username(),
        course_id,
        enrollment_attributes=ATTRIBUTES,
        email_opt_in=True,
    )


def enroll_in_bulk(user: Any, course_id: str) -> None:
    """Enroll as a file of one row; raise what the row's result tells."""
    (result,) = api.bulk_enroll(course_id, [user.get_username()])
    if result["status"] == "error":
        raise CourseEnrollmentError(result["message"])


#: Every way in that decides and writes, with whatever may come along.
DOORS = [
    enroll_by_service,
    enroll_by_api,
    enroll_with_attributes,
    enroll_with_everything,
    enroll_in_bulk,
]


def pausing_filter(action: str, **context: Any) -> None:
    """Take as long as the test wants to, about learners who enroll."""
    if action == "enroll":
        pause()


def asking_a_slow_filter(call: Callable[[], Any]) -> Any:
    """Make a call about which a filter is asked that pauses."""
    settings.ENROLLMENTS_FILTERS = [pausing_filter]
    return call()


#: How much a rampage has certainly done.
DEEDS_BEFORE_PAUSE = 5


def rampage(seed: int, names: Sequence[str], course_ids: Sequence[str]) -> None:
    """
    Do this and that with a few learners and courses, without an end.

    Pauses once, when it has done a little.
    """
    random = Random(seed)  # noqa: S311 - Repeatable rather than secret.
    users = get_user_model().objects.in_bulk(
        names, field_name=get_user_model().USERNAME_FIELD
    )
    service = EnrollmentsService()
    for number in count():
        if number == DEEDS_BEFORE_PAUSE:
            pause()
        name, course_id = random.choice(names), random.choice(course_ids)
        attributes = own_list(random.getrandbits(32))
        deed = random.choice(
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
            deed()


def soon(call: Callable[[], Any]) -> Any:
    """Make a call that fails where it would wait for a lock that nobody gives back."""
    statement = {
        "postgresql": "SET lock_timeout = '20s'",
        "mysql": "SET innodb_lock_wait_timeout = 20",
        "sqlite": "PRAGMA busy_timeout = 20000",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return call()


def call_after_cuts(
    call: Callable[[], Any], others: Sequence[Callable[[], Any]]
) -> Any:
    """
    Make a call that pauses after its first statement, then one that does after its
    second, and so on, until one comes to its end without a pause.

    Args:
        call: What is done again and again while it fails.
        others: What is done in between, by a fresh connection.

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
    """Enroll as a browser with these cookies does; give the status of the answer."""
    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client(raise_request_exception=False)
    client.cookies.load(cookies)
    body = wish(course_id, enrollment_attributes=ATTRIBUTES, email_opt_in=True)
    return client.post(ENROLLMENT, body, content_type="application/json").status_code


def with_small_files(size: int, call: Callable[[], Any]) -> Any:
    """Make a call that can write nothing beyond so many bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        return call()
    finally:
        connection.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
