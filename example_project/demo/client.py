"""An HTTP client of the running site, made with the standard library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.showcase import Login

_API = "/api/enrollment/v1"
_SECONDS = 30


class ClientError(Exception):
    """The site returned an unexpected response."""


@dataclass(frozen=True)
class Exchange:
    """
    A request and its response.

    Attributes:
        request: Method, path and body.
        status: HTTP status.
        answer: The decoded JSON body of the response.
    """

    request: str
    status: int
    answer: Any


class Client:
    """An HTTP client with cookies and CSRF tokens, for the site at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._cookies = CookieJar()
        # The site is on this machine, so no proxy is used.
        self._opener = build_opener(
            ProxyHandler({}), HTTPCookieProcessor(self._cookies)
        )

    def log_in(self, login: Login) -> None:
        """
        Log in with the form.

        Raises:
            ClientError: The login failed.
        """
        self._open("/accounts/login/")
        fields = {"username": login.username, "password": login.password}
        self._post_form("/accounts/login/", fields)
        if not any("session" in cookie.name for cookie in self._cookies):
            raise ClientError(f"{login.username} could not log in.")

    def log_out(self) -> None:
        """End the session."""
        self._post_form("/accounts/logout/", {})

    def get(self, path: str) -> Exchange:
        """Send a GET request to a path below the API's prefix."""
        return self._exchange("GET", path)

    def post(self, path: str, data: object) -> Exchange:
        """Send data as JSON to a path below the API's prefix."""
        return self._exchange("POST", path, json.dumps(data))

    def _exchange(self, method: str, path: str, body: str | None = None) -> Exchange:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers |= {
                "Content-Type": "application/json",
                "X-CSRFToken": self._csrf_token(),
            }
        status, answer = self._open(
            _API + path, method=method, headers=headers, body=body
        )
        sent = f"{method} {_API}{path}" + (f" {body}" if body else "")
        try:
            return Exchange(sent, status, json.loads(answer))
        except ValueError as error:
            raise ClientError(
                f"The response to {sent} is not JSON: {status}."
            ) from error

    def _post_form(self, path: str, fields: dict[str, str]) -> None:
        token = {"csrfmiddlewaretoken": self._csrf_token()}
        self._open(path, method="POST", body=urlencode(fields | token))

    def _csrf_token(self) -> str:
        tokens = [c.value for c in self._cookies if c.name == "csrftoken"]
        return tokens[0] or "" if tokens else ""

    def _open(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: str | None = None,
    ) -> tuple[int, str]:
        request = Request(  # noqa: S310 - the URL of this site.
            self._url + path,
            data=None if body is None else body.encode(),
            headers=headers or {},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (URLError, TimeoutError) as error:
            raise ClientError(f"{method} {path}: {error}") from error


def enroll(url: str, login: Login, course_id: str) -> Iterator[Exchange]:
    """
    Read a course, enroll in it, and list the enrollments.

    Args:
        url: URL of the site.
        login: The learner.
        course_id: A course in which the learner can enroll.

    Yields:
        The three requests with their responses.

    Raises:
        ClientError: A response was unexpected.
    """
    client = Client(url)
    client.log_in(login)
    course = client.get(f"/course/{quote(course_id)}")
    yield course
    _expect(course, lambda answer: answer["course_id"] == course_id)
    body = {"course_details": {"course_id": course_id}}
    enrolled = client.post("/enrollment", body)
    yield enrolled
    _expect(enrolled, lambda answer: _is_active_in(answer, login, course_id))
    listed = client.get("/enrollment")
    yield listed
    _expect(listed, lambda answer: enrolled.answer in answer)
    client.log_out()


def _is_active_in(answer: Any, login: Login, course_id: str) -> bool:
    return (
        answer["user"] == login.username
        and answer["is_active"] is True
        and answer["course_details"]["course_id"] == course_id
    )


def _expect(exchange: Exchange, is_right: Callable[[Any], bool]) -> None:
    try:
        if exchange.status == HTTPStatus.OK and is_right(exchange.answer):
            return
    except (LookupError, TypeError):
        # The response has another structure.
        pass
    raise ClientError(f"{exchange.request}: the response is unexpected.")
