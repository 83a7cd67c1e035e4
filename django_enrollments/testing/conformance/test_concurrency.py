"""Calls at the same time, on the project's database."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.db import router, transaction

from django_enrollments.errors import CourseEnrollmentFullError
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import CourseEnrollment
from django_enrollments.testing.conformance.helpers import (
    at_once,
    client_of,
    commits,
    course_with_seats,
    events_of,
    expect,
    expect_history_folds,
    url_of,
)
from django_enrollments.testing.factories import make_course, make_user, make_users

if TYPE_CHECKING:
    from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db(databases="__all__")

SEATS = 3
#: Learners for whom no seat is left.
MORE = 7


class Undo(Exception):  # noqa: N818 - It is no error.
    """Rolls a transaction back."""


@commits
def test_seats_are_given_once(service: EnrollmentsService) -> None:
    """
    Ten learners request three seats at the same time: three get one.

    Change: if there are database errors, give waiting writers more time: the option
    ``timeout`` of SQLite, ``lock_timeout`` of PostgreSQL, ``innodb_lock_wait_timeout``
    of MariaDB (docs/how-to/databases.md). If too many learners are enrolled, code of
    this project writes enrollments without the service, or the method of the course
    adapter for the seats returns different numbers.
    """
    course, seats = course_with_seats(SEATS)
    users = make_users(seats + MORE)

    outcomes = at_once([partial(service.enroll, one, course) for one in users])

    if not any(isinstance(one, CourseEnrollment) for one in outcomes):
        # The project's permission backends admit no learner without a role.
        force = partial(service.enroll, force=True)
        outcomes = at_once([partial(force, one, course) for one in users])
    _expect_seats_given(course, seats, outcomes)
    for user in users:
        expect_history_folds(user)


@commits
def test_a_learner_is_enrolled_once(service: EnrollmentsService) -> None:
    """
    Six requests to enroll one learner result in one enrollment, event and no error.

    Change: as in ``test_seats_are_given_once``. A filter that raises another exception
    than ``EnrollmentNotAllowed`` for a learner who is enrolled already fails here, too.
    """
    user, course = make_user(), make_course()

    outcomes = at_once([partial(service.enroll, user, course, force=True)] * 6)

    errors = [repr(one) for one in outcomes if isinstance(one, Exception)]
    expect(not errors, f"{len(errors)} of 6 calls raised: {errors[:1]}")
    expect(len({one.pk for one in outcomes}) == 1, "There are several enrollments.")
    types = [event.type for event in events_of(user)]
    expect(types == ["created"], f"The history has {types} instead of one event.")


@commits
def test_a_rolled_back_change_leaves_nothing(service: EnrollmentsService) -> None:
    """
    An enrollment in a transaction that is rolled back leaves no row and no event.

    Change: no filter or backend of this project may end the transaction, as ``COMMIT``
    and changes of tables on MariaDB do. The database router must send all models of
    this app, the user model and the course model to one database.
    """
    user, course = make_user(), make_course()

    def fail() -> None:
        with transaction.atomic(using=router.db_for_write(CourseEnrollment)):
            service.enroll(user, course, force=True)
            raise Undo

    with pytest.raises(Undo):
        fail()

    expect(not service.is_enrolled(user, course), "The enrollment is still stored.")
    expect(not events_of(user), "The event is still stored.")


@commits
def test_seats_are_given_once_over_http(service: EnrollmentsService) -> None:
    """
    Five learners request two seats by HTTP at the same time: two get one.

    Change: as in ``test_seats_are_given_once``. A response with status 500 is an error
    of a middleware, filter or backend of this project, or of a database that is locked
    too long: with SQLite and ``ATOMIC_REQUESTS``, set
    ``"transaction_mode": "IMMEDIATE"`` (docs/how-to/databases.md).
    """
    url = url_of("courseenrollments")
    course, seats = course_with_seats(2)
    users = make_users(seats + 3)
    if not service.explain(users[0], course)["allowed"]:
        pytest.skip("The permission backends admit no learner without a role.")
    body = {"course_details": {"course_id": find_course_id(course)}}

    def post(user: Any) -> int:
        client = client_of()
        client.force_authenticate(user)
        client.raise_request_exception = False
        return int(client.post(url, body, format="json", secure=True).status_code)

    outcomes = at_once([partial(post, user) for user in users])

    expected = [200] * seats + [400] * 3
    expect(
        sorted(outcomes, key=str) == expected,
        f"The responses are {outcomes}; expected are {seats} times 200, 3 times 400.",
    )
    taken = CourseEnrollment.objects.in_course(course).active().count()
    expect(taken == seats, f"{taken} learners are enrolled in {seats} seats.")


def _expect_seats_given(course: Any, seats: int, outcomes: list[Any]) -> None:
    other = [
        repr(one)
        for one in outcomes
        if not isinstance(one, CourseEnrollment | CourseEnrollmentFullError)
    ]
    expect(not other, f"{len(other)} of {len(outcomes)} calls raised: {other[:1]}")
    taken = CourseEnrollment.objects.in_course(course).active().count()
    expect(taken == seats, f"{taken} learners are enrolled in {seats} seats.")
