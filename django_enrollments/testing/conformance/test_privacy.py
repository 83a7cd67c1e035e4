"""Personal data of learners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_enrollments.identifiers import find_course_id
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from django_enrollments.testing.conformance.helpers import (
    client_of,
    events_of,
    expect,
    url_of,
)
from django_enrollments.testing.factories import make_enrollment, make_users
from django_enrollments.testing.recorders import capture_enrollment_signals

if TYPE_CHECKING:
    from django.http import HttpResponse

pytestmark = pytest.mark.django_db(databases="__all__")


def test_a_user_can_be_deleted(learner: Any, course: Any) -> None:
    """
    Deleting a user deletes the enrollments and keeps the history, which can be erased.

    Change: models of this project that refer to ``CourseEnrollment`` or to the user
    with ``on_delete=PROTECT`` prevent it; use ``CASCADE`` or ``SET_NULL``, or delete
    their rows in a receiver of ``pre_delete``.
    """
    with capture_enrollment_signals():
        make_enrollment(learner, course)
    key = learner.pk

    learner.delete()

    rows = CourseEnrollment.objects.filter(user=key)
    expect(not rows.exists(), "The enrollment of a deleted user is still stored.")
    expect(
        EnrollmentEvent.objects.erase_personal_data(key) == 1,
        "The history of a deleted user is not stored.",
    )
    erased = EnrollmentEvent.objects.filter(user_id=key, username="", reason="")
    expect(erased.count() == 1, "The history still has the name of the user.")


def test_other_learners_stay_unknown(learner: Any, course: Any) -> None:
    """
    A learner cannot tell from a response whether another user exists or is enrolled.

    Change: no permission backend may grant ``VIEW_ENROLLMENT_DATA`` to a user without
    a role, and no middleware may add data of the requested user.
    """
    client = client_of(learner)
    users = make_users(2)
    make_enrollment(users[0], course)
    course_id = find_course_id(course)

    def get(user: Any, *, listed: bool) -> tuple[int, bytes]:
        name = user.get_username()
        if listed:
            url, query = url_of("courseenrollments"), {"user": str(name)}
        else:
            arguments = {"username": name, "course_id": course_id}
            url, query = url_of("courseenrollment", **arguments), {}
        response = client.get(url, query, secure=True)
        return response.status_code, response.content

    for listed in (True, False):
        answers = [get(user, listed=listed) for user in users]
        expect(
            answers[0] == answers[1],
            f"The responses about an enrolled and another user differ: {answers}",
        )
    expect(len(events_of(users[0])) == 1, "Reading has changed an enrollment.")


def test_no_cache_stores_personal_responses(learner: Any) -> None:
    """
    Responses that depend on the requester are private, and vary on the credentials.

    Change: a middleware or proxy header replaces ``Cache-Control`` or ``Vary``. With
    ``UpdateCacheMiddleware`` or a middleware of this project, leave responses alone
    that have ``Cache-Control: private``.
    """
    response: HttpResponse = client_of(learner).get(
        url_of("courseenrollments"), secure=True
    )
    control = response.get("Cache-Control", "")
    expect(
        "private" in control and "no-store" in control and "public" not in control,
        f"Cache-Control is {control!r} instead of 'private, no-store'.",
    )
    expect(response.get("Vary"), "The response has no header Vary.")
