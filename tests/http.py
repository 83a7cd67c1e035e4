"""Requests to the API, and what they are answered with."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_enrollments.models import CourseEnrollment
from tests.factories import course_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.http import HttpResponse

ROOT = "/api/enrollment/v1/"
ENROLLMENT = f"{ROOT}enrollment"

#: Lets users who are not active log in and stay so.
ALLOW_INACTIVE = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]

#: An id that is valid and that no test gives to a course.
NOWHERE = "course-v1:edX+Nowhere+2020"


def client_of(user=None, **options) -> Client:
    """Return a client in which ``user`` is logged in, if one is given."""
    client = Client(**options)
    if user is not None:
        client.force_login(user)
    return client


def get(user, path: str = "enrollment", /, **query: str) -> HttpResponse:
    """Make a GET request as ``user``, or without a login."""
    return client_of(user).get(f"{ROOT}{path}", query)


def wish(course, /, **fields) -> dict[str, Any]:
    """Return the body of a request to enroll; the course may be an id."""
    course_id = course if isinstance(course, str) else course_id_of(course)
    return {"course_details": {"course_id": course_id}, **fields}


def post(user, body, /, **extra) -> HttpResponse:
    """Send a body to the endpoint that enrolls, as ``user`` or without a login."""
    return send(user, "POST", "enrollment", body, **extra)


def ask(user, course, /, **fields) -> HttpResponse:
    """Request an enrollment as ``user``."""
    return post(user, wish(course, **fields))


def put(user, course, mode: str = "audit", *, is_active: bool = True):
    """Enroll a learner in a course without any check."""
    enrollment = CourseEnrollment.enroll(user, course_id_of(course), mode)
    if not is_active:
        enrollment.unenroll(user, course_id_of(course))


def send(user, method: str, path: str, body=b"", /, **extra) -> HttpResponse:
    """Make a request as ``user``, without a login if that is ``None``; bytes as is."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra.setdefault("content_type", "application/json")
    # The method post() would encode bytes anew in the charset that the type names.
    return client_of(user).generic(method, f"{ROOT}{path}", data, **extra)


def headers_of(response: HttpResponse) -> dict[str, str]:
    """Return the headers but for the time."""
    return {name: value for name, value in response.items() if name != "Date"}


def all_of(response: HttpResponse) -> tuple[Any, ...]:
    """Return status, body and headers of a response, to compare it with others."""
    return response.status_code, response.content, *headers_of(response).items()


def assert_refused(response: HttpResponse, code: int, message: str):
    """Assert that a response has this status, and a message as its whole body."""
    assert (response.status_code, response.json()) == (code, {"message": message})


def assert_hidden(response: HttpResponse):
    """Assert that a response is a 404 without a body."""
    assert (response.status_code, response.content) == (404, b"")
    assert response["Content-Length"] == "0"
    assert "Content-Type" not in response


def list_statements(captured: Iterable[dict[str, str]]) -> list[str]:
    """Return captured SQL, without savepoints and the write lock of SQLite."""
    control = re.compile(r'SAVEPOINT|RELEASE|ROLLBACK|UPDATE .* WHERE "id" = 0$')
    return [query["sql"] for query in captured if not control.match(query["sql"])]


def count_statements(request: Callable[[], HttpResponse]) -> tuple[HttpResponse, int]:
    """Make a request; return its response and the number of its statements."""
    with CaptureQueriesContext(connection) as captured:
        response = request()
    return response, len(list_statements(captured))


def iso(moment: datetime) -> str:
    """Return the text of a moment on the wire."""
    text = moment.astimezone(timezone.utc).isoformat()
    return text.replace("+00:00", "Z")
