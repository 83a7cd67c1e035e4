"""The parameters of calls, in their paths and queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiParameter

from django_enrollments.forms import CourseEnrollmentsApiListForm
from django_enrollments.openapi import examples
from django_enrollments.openapi.answers import shown
from django_enrollments.openapi.patterns import course_id_schema, username_schema
from django_enrollments.paginators import CourseEnrollmentsApiListPagination

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def path_parameters(names: Iterable[str]) -> list[OpenApiParameter]:
    """
    Describe the parameters of a path, by the host's patterns as they are.

    Args:
        names: Their names.
    """
    known = {
        "course_id": (course_id_schema, "The course id.", examples.COURSE_ID),
        "username": (username_schema, "The learner's username.", examples.LEARNER),
    }
    return [
        OpenApiParameter(
            name,
            known[name][0](),
            OpenApiParameter.PATH,
            description=known[name][1],
            examples=shown({"demo": known[name][2]}),
        )
        for name in names
        if name in known
    ]


def query(
    name: str, description: str, example: Any = None, schema: Any = str, **kwargs: Any
) -> OpenApiParameter:
    """
    Describe a parameter of the query.

    Args:
        name: Its name.
        description: What it does.
        example: A value of it.
        schema: Its schema, or its type.
        kwargs: What else drf-spectacular takes.
    """
    given = {} if example is None else {"demo": example}
    return OpenApiParameter(
        name, schema, description=description, examples=shown(given), **kwargs
    )


def _texts(
    name: str, description: str, example: str, item: dict[str, Any]
) -> OpenApiParameter:
    """Describe a parameter that holds texts separated by commas."""
    schema = {
        "type": "array",
        "items": item,
        "maxItems": CourseEnrollmentsApiListForm.MAX_INPUT_COUNT,
    }
    return query(name, description, [example], schema, style="form", explode=False)


def include_expired() -> OpenApiParameter:
    """Describe what asks for modes that have expired."""
    return query(
        "include_expired",
        "Any value but the empty one lists modes that have expired, too.",
    )


def list_filters() -> Sequence[OpenApiParameter]:
    """Describe what narrows the list of all enrollments down, and its pages."""
    paginator = CourseEnrollmentsApiListPagination
    size = {"type": "integer", "minimum": 1, "maximum": paginator.max_page_size}
    return (
        query(
            "course_id",
            "Keeps those in exactly this course.",
            examples.COURSE_ID,
            course_id_schema(),
        ),
        _texts(
            "course_ids",
            "Keeps those in courses whose id contains one of these texts, whatever its "
            "case.",
            "django",
            {"type": "string"},
        ),
        _texts(
            "username",
            "Keeps those of exactly these learners.",
            examples.LEARNER,
            username_schema(),
        ),
        _texts(
            "email",
            "Keeps those of learners with one of these addresses, whatever its case.",
            examples.ADDRESS,
            {"type": "string"},
        ),
        query(
            paginator.cursor_query_param,
            "Where another page ended; taken from `next` and `previous`.",
        ),
        query(
            paginator.page_size_query_param,
            "How many there are on one page.",
            2,
            size,
            default=paginator.page_size,
        ),
        query(
            paginator.page_query_param, "Accepted, and does nothing.", deprecated=True
        ),
    )
