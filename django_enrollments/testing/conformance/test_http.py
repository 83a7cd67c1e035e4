"""The REST API, if the project has mounted it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_enrollments.identifiers import find_course_id
from django_enrollments.testing.assertions import assert_not_enrolled
from django_enrollments.testing.conformance.helpers import (
    client_of,
    expect,
    make_staff,
    url_of,
)
from django_enrollments.testing.factories import make_enrollment, make_user

if TYPE_CHECKING:
    from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db(databases="__all__")


def test_an_anonymous_request_is_a_401(course: Any) -> None:
    """
    A request without a login gets status 401 and a ``WWW-Authenticate`` header.

    Change: a middleware that redirects to a login page must leave the URLs of the REST
    API alone.
    """
    response = client_of().get(url_of("courseenrollments"), secure=True)

    expect(
        response.status_code == 401,
        f"The status is {response.status_code}, not 401. "
        f"Location: {response.get('Location', 'none')}.",
    )
    expect(response.get("WWW-Authenticate"), "WWW-Authenticate is missing.")


def test_a_learner_enrolls_and_lists(
    service: EnrollmentsService, learner: Any, course: Any
) -> None:
    """
    A learner enrolls, and the list has the enrollment.

    Change: if the status is 403 or a redirect, a middleware refuses the request. If it
    is 500, the traceback is that of a middleware, filter or backend of this project.
    """
    url, client = url_of("courseenrollments"), client_of(learner)
    course_id = find_course_id(course)
    body = {"course_details": {"course_id": course_id}}
    allowed = service.explain(learner, course)["allowed"]

    response = client.post(url, body, format="json", secure=True)

    expected = 200 if allowed else 400
    expect(
        response.status_code in {expected, 403 if not allowed else expected},
        f"The status is {response.status_code}, not {expected}: "
        f"{response.content[:300]!r}",
    )
    if not allowed:
        make_enrollment(learner, course)
    listed = client.get(url, secure=True)
    expect(listed.status_code == 200, f"The status is {listed.status_code}, not 200.")
    ids = [one["course_details"]["course_id"] for one in listed.json()]
    expect(ids == [course_id], f"The list has {ids}, not {[course_id]}.")


def test_a_learner_cannot_act_for_others(learner: Any, course: Any) -> None:
    """
    A learner cannot enroll or unenroll another user.

    Change: a permission backend grants ``CREATE_ENROLLMENT`` or
    ``DEACTIVATE_ENROLLMENT`` to every user. Grant them to staff only.
    """
    url, client, other = url_of("courseenrollments"), client_of(learner), make_user()
    body = {
        "course_details": {"course_id": find_course_id(course)},
        "user": other.get_username(),
    }

    response = client.post(url, body, format="json", secure=True)

    expect(
        400 <= response.status_code < 500,
        f"The status is {response.status_code}, not 4xx.",
    )
    assert_not_enrolled(other, course)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"course_details": 1}', b"\xff", b'{"course_id": []}']
)
def test_a_wrong_body_is_a_4xx(body: bytes, learner: Any) -> None:
    """
    A body that is not valid gets a 4xx status.

    Change: a middleware of this project reads the body and raises. Let it leave the
    body to the view.
    """
    client = client_of(learner)
    client.raise_request_exception = False

    response = client.post(
        url_of("courseenrollments"),
        body,
        content_type="application/json",
        secure=True,
    )

    expect(
        400 <= response.status_code < 500,
        f"The status for {body!r} is {response.status_code}, not 4xx.",
    )


def test_staff_reads_the_list(course: Any) -> None:
    """
    A user whom the permission backends let read all enrollments gets the list.

    Change: the status 500 is an error of a permission backend or serializer of this
    project.
    """
    staff = make_staff()
    make_enrollment(course=course)

    response = client_of(staff).get(
        url_of("courseenrollmentsapilist"),
        {"course_id": str(find_course_id(course))},
        secure=True,
    )

    expect(
        response.status_code in {200, 403},
        f"The status is {response.status_code}: {response.content[:300]!r}",
    )
