"""Speaks HTTP to the API as a client would."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from django.test import Client

from django_enrollments.models import CourseEnrollment
from tests.factories import course_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpResponse

ROOT = "/api/enrollment/v1/"
ENROLLMENT = f"{ROOT}enrollment"

#: Lets users who are not active log in and stay so.
ALLOW_INACTIVE = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]

#: An id that is valid and that no test gives to a course.
NOWHERE = "course-v1:edX+Nowhere+2020"


def client_of(user: Any = None, **options: Any) -> Client:
    """Return a browser in which ``user`` is logged in, or nobody is."""
    client = Client(**options)
    if user is not None:
        client.force_login(user)
    return client


def get(user: Any, path: str = "enrollment", /, **query: str) -> HttpResponse:
    """Ask for something as ``user``, or as nobody."""
    return client_of(user).get(f"{ROOT}{path}", query)


def wish(course: Any, /, **fields: Any) -> dict[str, Any]:
    """Return the body that asks for an enrollment; the course may be an id."""
    course_id = course if isinstance(course, str) else course_id_of(course)
    return {"course_details": {"course_id": course_id}, **fields}


def post(user: Any, body: Any, /, **extra: Any) -> HttpResponse:
    """Send a body as ``user``, or as nobody: as it is if it is bytes, else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra.setdefault("content_type", "application/json")
    # The method post() would encode bytes anew in the charset that the type names.
    return client_of(user).generic("POST", ENROLLMENT, data, **extra)


def ask(user: Any, course: Any, /, **fields: Any) -> HttpResponse:
    """Ask for an enrollment as ``user``."""
    return post(user, wish(course, **fields))


def put(user: Any, course: Any, mode: str = "audit", *, is_active: bool = True) -> None:
    """Put a learner into a course, past all rules."""
    enrollment = CourseEnrollment.enroll(user, course_id_of(course), mode)
    if not is_active:
        enrollment.unenroll(user, course_id_of(course))


def headers_of(response: HttpResponse) -> dict[str, str]:
    """Return the headers that do not tell the time."""
    return {name: value for name, value in response.items() if name != "Date"}


def iso(moment: datetime) -> str:
    """Return the text of a moment on the wire."""
    text = moment.astimezone(timezone.utc).isoformat()
    return text.replace("+00:00", "Z")


def list_statements(captured: Iterable[dict[str, str]]) -> list[str]:
    """Return captured SQL, without savepoints and the write lock of SQLite."""
    control = re.compile(r'SAVEPOINT|RELEASE|ROLLBACK|UPDATE .* WHERE "id" = 0$')
    return [query["sql"] for query in captured if not control.match(query["sql"])]
