"""Plain Django views that do the floor's work, for a session's user like ours."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import orjson
from django.http import HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie

from benchmarks import floor

if TYPE_CHECKING:
    from django.http import HttpRequest


@ensure_csrf_cookie
def own_enrollments(request: HttpRequest) -> HttpResponse:
    """
    List the enrollments of whoever is logged in, with the cookie that API clients need.

    Args:
        request: The request.
    """
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    listed = floor.list_enrollments(request.user.get_username())
    return HttpResponse(orjson.dumps(listed), content_type="application/json")


def all_enrollments(request: HttpRequest) -> HttpResponse:
    """
    List everybody's enrollments for staff, page by page.

    It can only go on, though it tells where the page before would be.

    Args:
        request: The request, with ``?cursor=``, ``?course_id=`` and ``?username=``.
    """
    if not (request.user.is_authenticated and request.user.is_staff):
        return HttpResponse(status=403)
    given = request.GET
    cursor, usernames = given.get("cursor"), given.get("username")
    before = None
    if cursor:
        moment, _, key = urlsafe_b64decode(cursor).decode().partition(" ")
        before = (datetime.fromisoformat(moment), int(key))
    page, first, last = floor.list_all(
        before=before,
        course_id=given.get("course_id"),
        usernames=usernames.split(",") if usernames else None,
    )
    body = {
        "next": last and _link(request, encode_place(*last)),
        "previous": first and _link(request, f"-{encode_place(*first)}"),
        "results": page,
    }
    return HttpResponse(orjson.dumps(body), content_type="application/json")


def encode_place(created: datetime, key: int) -> str:
    """
    Return a place in the list as a text for the URL of the page that begins there.

    Args:
        created: When the last row before it was made.
        key: The primary key of that row.
    """
    moment = created.replace(tzinfo=timezone.utc)
    return urlsafe_b64encode(f"{moment.isoformat()} {key}".encode()).decode()


def _link(request: HttpRequest, cursor: str) -> str:
    query = urlencode({**request.GET.dict(), "cursor": cursor})
    return f"{request.build_absolute_uri(request.path)}?{query}"
