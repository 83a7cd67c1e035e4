"""Talks to the running site as any program would, with what Python brings."""

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
    """The site did not answer as it should."""


@dataclass(frozen=True)
class Exchange:
    """
    A request and its answer.

    Attributes:
        request: Method, path and body.
        status: HTTP status.
        answer: The body as JSON.
    """

    request: str
    status: int
    answer: Any


class Client:
    """
    A browser without a window: it keeps cookies, and knows of CSRF.

    Args:
        url: Where the site is.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._cookies = CookieJar()
        # The site is on this machine, whatever proxies there are.
        self._opener = build_opener(
            ProxyHandler({}), HTTPCookieProcessor(self._cookies)
        )

    def log_in(self, login: Login) -> None:
        """
        Log in by the form, as a person does.

        Args:
            login: As whom.

        Raises:
            ClientError: The site did not let them in.
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
        """
        Ask for a path of the API.

        Args:
            path: Below the API's prefix.
        """
        return self._exchange("GET", path)

    def post(self, path: str, data: object) -> Exchange:
        """
        Send JSON to a path of the API.

        Args:
            path: Below the API's prefix.
            data: What to send.
        """
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
        said = f"{method} {_API}{path}" + (f" {body}" if body else "")
        try:
            return Exchange(said, status, json.loads(answer))
        except ValueError as error:
            raise ClientError(f"{said} was not answered in JSON: {status}.") from error

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
        request = Request(  # noqa: S310 - the address is this site's own.
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
    Look at a course, enroll in it, and look at the enrollments.

    Args:
        url: Where the site is.
        login: The learner.
        course_id: A course that lets them in.

    Yields:
        The three calls.

    Raises:
        ClientError: An answer was not what it should be.
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
        # It is not even of the right form.
        pass
    raise ClientError(f"{exchange.request} was not answered as it should be.")
