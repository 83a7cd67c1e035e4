"""Answers that many calls have: what cannot be done, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
)

from django_enrollments.openapi.shapes import (
    BearerRefusalSerializer,
    CredentialsRefusalSerializer,
    DetailSerializer,
    DeveloperMessageSerializer,
    EnrollmentRefusalSerializer,
    ListCredentialsRefusalSerializer,
    MessageSerializer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The statuses of what is refused before a view is asked, each with what it means and
#: what is said.
_BEFORE: Mapping[int, tuple[str, str]] = {
    400: (
        "The body is no JSON, or no form.",
        "JSON parse error - Expecting value: line 1 column 1 (char 0)",
    ),
    401: (
        "Nobody is logged in, or not by these credentials.",
        "Authentication credentials were not provided.",
    ),
    403: (
        "The requester may not do this, or the CSRF token is missing.",
        "You do not have permission to perform this action.",
    ),
    413: (
        "The request is larger than the site takes.",
        "The request is too large.",
    ),
    415: (
        "The body is neither JSON nor a form.",
        'Unsupported media type "text/plain" in request.',
    ),
    429: (
        "Too many requests; `Retry-After` tells when to come back.",
        "Request was throttled. Expected available in 42 seconds.",
    ),
}

_CREDENTIALS = PolymorphicProxySerializer(
    component_name="enrollment.NotAuthenticated",
    serializers=[CredentialsRefusalSerializer, BearerRefusalSerializer],
    resource_type_field_name=None,
)

#: A body that no parser takes, or a refusal to enroll.
NOT_ENROLLED = PolymorphicProxySerializer(
    component_name="enrollment.NotEnrolled",
    serializers=[EnrollmentRefusalSerializer, DetailSerializer],
    resource_type_field_name=None,
)

#: A body that no parser takes, or a refusal of the API.
NOT_DONE = PolymorphicProxySerializer(
    component_name="enrollment.NotDone",
    serializers=[MessageSerializer, DetailSerializer],
    resource_type_field_name=None,
)

HEADERS: Mapping[int, OpenApiParameter] = {
    401: OpenApiParameter(
        "WWW-Authenticate",
        str,
        OpenApiParameter.HEADER,
        required=True,
        response=[401],
        description="How to authenticate.",
    ),
    429: OpenApiParameter(
        "Retry-After",
        int,
        OpenApiParameter.HEADER,
        response=[429],
        description="Seconds until the next request may come; missing where none may.",
    ),
}


def answer(shape: Any, description: str, **examples: Any) -> OpenApiResponse:
    """
    Describe an answer.

    Args:
        shape: The serializer of the body, or its schema.
        description: When it is given.
        examples: Bodies by what they show; of a list, one element.
    """
    return OpenApiResponse(shape, description, shown(examples))


def shown(values: Mapping[str, Any]) -> list[OpenApiExample]:
    """
    Return examples.

    Args:
        values: Values by what they show.
    """
    return [
        OpenApiExample(name.replace("_", " ").capitalize(), value)
        for name, value in values.items()
    ]


def refusal(description: str, **texts: str) -> OpenApiResponse:
    """
    Describe a refusal of the API.

    Args:
        description: When it is given.
        texts: What is said, by what it shows.
    """
    return answer(MessageSerializer, description, **_bodies("message", texts))


def nothing(description: str) -> OpenApiResponse:
    """
    Describe an answer without any body.

    Args:
        description: When it is given.
    """
    return OpenApiResponse(None, description)


def no_route(also: str = "") -> OpenApiResponse:
    """
    Describe the 404 of a path that no route takes.

    Args:
        also: When else there is a 404.
    """
    description = (
        "The path holds what can be no course id or username; what is shown then is up "
        "to the site."
    )
    return nothing(f"{description} {also}".strip())


def refused_before(*statuses: int) -> dict[int, OpenApiResponse]:
    """
    Describe what Django REST framework refuses by itself.

    Args:
        statuses: HTTP statuses.
    """
    return {
        status: answer(
            _CREDENTIALS if status == 401 else DetailSerializer,
            _BEFORE[status][0],
            refused={"detail": _BEFORE[status][1]},
        )
        for status in statuses
    }


def refused_before_list(*statuses: int) -> dict[int, OpenApiResponse]:
    """
    Describe the same in the words of the list of all enrollments (V1-ERR-04).

    Args:
        statuses: HTTP statuses.
    """
    return {
        status: answer(
            ListCredentialsRefusalSerializer
            if status == 401
            else DeveloperMessageSerializer,
            _BEFORE[status][0],
            refused={"developer_message": _BEFORE[status][1]},
        )
        for status in statuses
    }


def parse_error() -> dict[str, str]:
    """Return the body of the 400 about what no parser takes."""
    return {"detail": _BEFORE[400][1]}


def _bodies(key: str, texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {name: {key: text} for name, text in texts.items()}
