"""What actors do, and what gets in their way: importable, so that processes can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection

from django_enrollments import api
from django_enrollments.services import EnrollmentsService
from tests.faults.actors import pause

if TYPE_CHECKING:
    from collections.abc import Callable

#: What is noted about an enrollment; whoever finds a part of it has found a fault.
ATTRIBUTES = [
    {"namespace": "order", "name": f"line{n}", "value": f"{n}"} for n in range(3)
]


def enroll_by_service(user: Any, course_id: str) -> None:
    EnrollmentsService().enroll(user.pk, course_id, attributes=ATTRIBUTES)


def enroll_by_api(user: Any, course_id: str) -> None:
    api.add_enrollment(user.get_username(), course_id)


def enroll_with_attributes(user: Any, course_id: str) -> None:
    api.add_enrollment(user.get_username(), course_id, enrollment_attributes=ATTRIBUTES)


def enroll_with_everything(user: Any, course_id: str) -> None:
    api.enroll_or_update(
        user.get_username(),
        course_id,
        enrollment_attributes=ATTRIBUTES,
        email_opt_in=True,
    )


def enroll_in_bulk(user: Any, course_id: str) -> None:
    """Enroll as a file of one row; raise what the row's result tells."""
    (result,) = api.bulk_enroll(course_id, [user.get_username()])
    if result["status"] == "error":
        raise AssertionError(result["code"])


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
