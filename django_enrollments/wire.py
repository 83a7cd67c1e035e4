"""How requests are read and how refusals are answered, the same in every view."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar

from django.http import HttpRequest
from rest_framework import status
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rest_framework.renderers import BaseRenderer
    from rest_framework.request import Request

logger = logging.getLogger(__name__)

Body = dict[str, Any]


class RequestTooLarge(APIException):
    """The request is larger than the host's ``DATA_UPLOAD_MAX_…`` settings allow."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request is too large."
    default_code = "too_large"


class Unavailable(APIException):
    """What answering needs cannot be loaded, so the request is refused."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "The request cannot be handled at the moment."
    default_code = "unavailable"


class CarefulJSONParser(JSONParser):
    """Strict JSON of bounded size and depth, whatever else the host's parsers take."""

    strict = True

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """
        Parse a JSON body.

        Args:
            stream: The body.
            media_type: What the client calls it.
            parser_context: What DRF knows of the request.

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
    """Answers in JSON, the one format there is, whatever a client accepts."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """
        Choose the only renderer.

        Args:
            request: The request.
            renderers: The view's renderers.
            format_suffix: Ignored.
        """
        (renderer,) = renderers
        return renderer, str(renderer.media_type)


class Refused(Exception):  # noqa: N818 - an answer, not a failure.
    """
    An answer other than success, raised from wherever it is known.

    Attributes:
        status: HTTP status.
        body: What is sent as JSON; ``None`` sends nothing at all (V1-ERR-02).
    """

    def __init__(self, status: int, body: Body | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def told(value: object) -> str:
    """
    Return a value of a request as text that can be sent back.

    Args:
        value: Whatever JSON can hold, lone surrogates and deep nesting included.
    """
    try:
        text = str(value)
    except RecursionError:
        text = "..."
    return text.encode(errors="replace").decode()


def message(text: str, *values: object) -> Body:
    """
    Return the body of an error (V1-ERR-01).

    Args:
        text: What the client is told, with a ``{}`` for each value.
        values: Values from the request.
    """
    return {"message": text.format(*map(told, values))}


@dataclass(frozen=True)
class Attempt:
    """
    What a request tries; each kind has its own words for what goes wrong.

    Attributes:
        username: The learner.
        course_id: The course id.
        mode: The mode asked for; ``None`` when none was.
        cohort: The cohort asked for; ``None`` when none was.
        no_course: Text where no course has the id.
        failed: Text for every refusal that has none of its own.
    """

    username: object = None
    course_id: object = None
    mode: object = None
    cohort: object = None

    no_course: ClassVar[str] = "No course '{course_id}' found for enrollment"
    failed: ClassVar[str]

    def tell(self, text: str) -> Body:
        """
        Return the body of an error.

        Args:
            text: One of the texts, with the names of attributes in it.
        """
        values = {name: told(value) for name, value in vars(self).items()}
        return {"message": text.format(**values)}


class Enrolling(Attempt):
    """Somebody is to be enrolled, or an enrollment to be changed."""

    failed = (
        "An error occurred while creating the new course enrollment for user "
        "'{username}' in course '{course_id}'"
    )


class Retrieving(Attempt):
    """The enrollment of somebody in a course is to be told."""

    failed = (
        "An error occurred while retrieving enrollments for user "
        "'{username}' in course '{course_id}'"
    )


class Listing(Attempt):
    """The enrollments of somebody are to be listed."""

    failed = "An error occurred while retrieving enrollments for user '{username}'"


class Describing(Attempt):
    """A course is to be described."""

    no_course = "No course found for course ID '{course_id}'"
    failed = "An unexpected error occurred while retrieving course enrollment details."


def _own_text(error: CourseEnrollmentError, _attempt: Attempt) -> Body:
    return message("{}", error)


def _attribute(error: CourseEnrollmentError, _attempt: Attempt) -> Body:
    return {**message("{}", error), "localizedMessage": told(error)}


def _mode(error: CourseEnrollmentError, attempt: Attempt) -> Body:
    text = (
        "The [{mode}] course mode is expired or otherwise unavailable for course run "
        "[{course_id}]."
    )
    return {**attempt.tell(text), "course_details": error.data}


def _no_course(_error: CourseEnrollmentError, attempt: Attempt) -> Body:
    return attempt.tell(attempt.no_course)


def _no_user(_error: CourseEnrollmentError, attempt: Attempt) -> Body:
    return attempt.tell("The user {username} does not exist.")


def _no_cohort(_error: CourseEnrollmentError, attempt: Attempt) -> Body:
    return attempt.tell("An error occured while adding to cohort [{cohort}]")


def _failed(_error: CourseEnrollmentError, attempt: Attempt) -> Body:
    return attempt.tell(attempt.failed)


#: What becomes of each refusal; the first class that fits counts.
ANSWERS: tuple[
    tuple[
        type[CourseEnrollmentError],
        int,
        Callable[[CourseEnrollmentError, Attempt], Body],
    ],
    ...,
] = (
    (EnrollmentNotAllowed, status.HTTP_403_FORBIDDEN, _own_text),
    (UserNotFoundError, status.HTTP_406_NOT_ACCEPTABLE, _no_user),
    (CourseNotFoundError, status.HTTP_400_BAD_REQUEST, _no_course),
    (CourseModeNotFoundError, status.HTTP_400_BAD_REQUEST, _mode),
    (CourseEnrollmentNotUpdatableError, status.HTTP_400_BAD_REQUEST, _own_text),
    (InvalidEnrollmentAttribute, status.HTTP_400_BAD_REQUEST, _attribute),
    (CohortNotFoundError, status.HTTP_400_BAD_REQUEST, _no_cohort),
    (CourseEnrollmentError, status.HTTP_400_BAD_REQUEST, _failed),
)


@contextmanager
def refusing(attempt: Attempt) -> Iterator[None]:
    """
    Turn what the rules raise inside into the answer of ``ANSWERS``.

    Args:
        attempt: What the request tries.

    Raises:
        Refused: The answer.
    """
    try:
        yield
    except CourseEnrollmentError as error:
        _note(error, attempt)
        # The last row takes whatever is left.
        code, body = next(row[1:] for row in ANSWERS if isinstance(error, row[0]))
        raise Refused(code, body(error, attempt)) from error


#: What is more than a no: something is missing or broken.
_FAILURES = (CourseEnrollmentError, CohortNotFoundError, EnrollmentApiLoadError)


def _note(error: CourseEnrollmentError, attempt: Attempt) -> None:
    """Log a refusal, without the name of anybody (AUD-06)."""
    logger.log(
        logging.ERROR if type(error) in _FAILURES else logging.WARNING,
        "%s was refused in course %s: %s",
        type(attempt).__name__,
        attempt.course_id,
        error.code,
        exc_info=error if type(error) in _FAILURES else None,
    )
