"""Responses to requests that fail: domain errors, malformed and oversized requests."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import (
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import HttpRequest, UnreadablePostError
from django.utils import translation
from rest_framework.exceptions import APIException, ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser

from django_enrollments.errors import (
    CohortNotFoundError,
    CourseEnrollmentError,
    CourseEnrollmentNotUpdatableError,
    CourseModeNotFoundError,
    CourseNotFoundError,
    EnrollmentApiLoadError,
    EnrollmentNotAllowed,
    InvalidEnrollmentAttribute,
    UserNotFoundError,
)
from django_enrollments.importing import SettingLoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from rest_framework.renderers import BaseRenderer
    from rest_framework.request import Request

logger = logging.getLogger(__name__)

Body = dict[str, Any]


class ErrorResponse(Exception):  # noqa: N818 - a response, not a failure.
    """
    A response other than success, raised where it is decided.

    Attributes:
        status: HTTP status.
        body: What is sent as JSON; ``None`` sends an empty body (V1-ERR-02).
    """

    def __init__(self, status: int, body: Body | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def error_with_message(status: int, text: str, *values: object) -> ErrorResponse:
    """Return a refusal with a message, which has a ``{}`` per value (V1-ERR-01)."""
    return ErrorResponse(status, {"message": text.format(*map(safe_text, values))})


def safe_text(value: object) -> str:
    """Return any JSON value as text that can be encoded and sent back."""
    try:
        text = str(value)
    except RecursionError:
        text = "..."
    return text.encode(errors="replace").decode()


class Operation(NamedTuple):
    """
    An operation of the API, with the messages that are its own.

    Attributes:
        name: Its name in the log.
        failed: The message for domain errors without a message in the table.
        no_course: The message for unknown courses.
    """

    name: str
    failed: str
    no_course: str = "No course '{course_id}' found for enrollment"


ENROLLING = Operation(
    "Enrolling",
    "An error occurred while creating the new course enrollment for user "
    "'{username}' in course '{course_id}'",
)
RETRIEVING = Operation(
    "Retrieving",
    "An error occurred while retrieving enrollments for user '{username}' in course "
    "'{course_id}'",
)
LISTING = Operation(
    "Listing", "An error occurred while retrieving enrollments for user '{username}'"
)
DESCRIBING = Operation(
    "Describing",
    "An unexpected error occurred while retrieving course enrollment details.",
    no_course="No course found for course ID '{course_id}'",
)

#: The status and message of each domain error; the first class that matches counts.
#: ``None`` stands for a message of the operation.
ERROR_RESPONSES: tuple[tuple[type[CourseEnrollmentError], int, str | None], ...] = (
    (EnrollmentNotAllowed, 403, "{error}"),
    (UserNotFoundError, 406, "The user {username} does not exist."),
    (CourseNotFoundError, 400, None),
    (
        CourseModeNotFoundError,
        400,
        "The [{mode}] course mode is expired or otherwise unavailable for course run "
        "[{course_id}].",
    ),
    (CourseEnrollmentNotUpdatableError, 400, "{error}"),
    (InvalidEnrollmentAttribute, 400, "{error}"),
    # Clients know the text as it is spelled here.
    (CohortNotFoundError, 400, "An error occured while adding to cohort [{cohort}]"),
    (CourseEnrollmentError, 400, None),
)


def error_response(
    error: CourseEnrollmentError, operation: Operation, **values: object
) -> tuple[int, Body]:
    """
    Return the status and the body of the response to a domain error.

    Args:
        operation: The operation that raised it.
        values: ``username``, ``course_id``, ``mode`` and ``cohort`` of the request, as
            far as the operation has them.
    """
    kind, status, text = next(
        row for row in ERROR_RESPONSES if isinstance(error, row[0])
    )
    if text is None:
        is_unknown = kind is CourseNotFoundError
        text = operation.no_course if is_unknown else operation.failed
    known = dict.fromkeys(("username", "course_id", "mode", "cohort")) | values
    safe = {name: safe_text(value) for name, value in known.items()}
    message = text.format(error=safe_text(error), **safe)
    body: Body = {"message": message}
    if kind is CourseModeNotFoundError:
        body["course_details"] = error.data
    elif kind is InvalidEnrollmentAttribute:
        body["localizedMessage"] = message
    return status, body


#: Errors that mean that something is missing or broken, rather than a refusal.
_FAILURES = (CourseEnrollmentError, CohortNotFoundError, EnrollmentApiLoadError)


@contextmanager
def responding_to_errors(operation: Operation, **values: object) -> Iterator[None]:
    """
    Turn domain errors raised inside into ``ErrorResponse``, and log them (AUD-06).

    Args:
        operation: The operation.
        values: As :func:`error_response` takes them.
    """
    try:
        yield
    except CourseEnrollmentError as error:
        is_failure = type(error) in _FAILURES
        # No names of users in the log.
        logger.log(
            logging.ERROR if is_failure else logging.WARNING,
            "%s was refused in course %s: %s",
            operation.name,
            values.get("course_id"),
            error.code,
            exc_info=error if is_failure else None,
        )
        raise ErrorResponse(*error_response(error, operation, **values)) from error


class RequestTooLarge(APIException):
    """The request is larger than the host's ``DATA_UPLOAD_MAX_…`` settings allow."""

    status_code = 413
    default_detail = "The request is too large."
    default_code = "too_large"


class Unavailable(APIException):
    """A collaborator that the response needs cannot be loaded."""

    status_code = 400
    default_detail = "The request cannot be handled at the moment."
    default_code = "unavailable"


def as_api_exception(error: Exception) -> Exception:
    """Return DRF's counterpart of an error; the error itself where it has none."""
    if isinstance(error, RequestDataTooBig | TooManyFieldsSent | TooManyFilesSent):
        return RequestTooLarge()
    if isinstance(error, UnreadablePostError):
        # The client hung up; a proxy may still read the response.
        return ParseError("The request could not be read.")
    if isinstance(error, SettingLoadError):
        logger.error("A request is refused.", exc_info=error)
        return Unavailable()
    return error


def untranslated() -> AbstractContextManager[None]:
    """Send texts of Django and DRF in English, whatever the requester's language."""
    return translation.override(None)


class StrictJSONParser(JSONParser):
    """Strict JSON of bounded size and depth, whatever else the host's parsers take."""

    strict = True

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """
        Return the value of a JSON body.

        Raises:
            ParseError: It is not JSON, or nested too deeply (V1-ERR-06).
            RequestDataTooBig: It is larger than the host lets Django take.
        """
        if isinstance(stream, HttpRequest):
            # Only a body that is read as a whole is held to that limit.
            stream = BytesIO(stream.body)
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply") from error


class JSONOnly(DefaultContentNegotiation):
    """Negotiation that always answers in JSON, whatever a client accepts."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """Return the view's only renderer."""
        (renderer,) = renderers
        return renderer, str(renderer.media_type)
