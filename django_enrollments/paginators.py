"""Pages of the list of all enrollments (V1-ADM)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.db.models import Q
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination

from django_enrollments.datetimes import as_moment, for_database

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request
    from rest_framework.views import APIView

QuerySetT = TypeVar("QuerySetT", bound="QuerySet[Any, Any]")

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)

_NEWEST_FIRST = ("-created", "-id")

#: Largest value of the primary key's column.
_GREATEST_KEY = 2**63 - 1

#: Years that all databases support, in every time zone.
_YEARS = range(1001, 9999)


@dataclass(frozen=True)
class Position:
    """
    A position in the list of all rows, newest first, and a direction.

    Attributes:
        created: Aware creation time of the row at this position.
        key: Primary key of the row; decides the order of rows with equal times.
        to_newer: Whether the page has newer rows instead of older ones.
    """

    created: datetime
    key: int
    to_newer: bool = False

    def encode(self) -> str:
        """Return the position as an opaque text."""
        letter = "p" if self.to_newer else "n"
        moment = (self.created - _EPOCH) // _MICROSECOND
        text = f"{letter}.{moment}.{self.key}".encode()
        return urlsafe_b64encode(text).decode().rstrip("=")

    @classmethod
    def decode(cls, cursor: str) -> Position:
        """
        Return the position that :meth:`encode` wrote.

        Raises:
            ValueError: The text is not an encoded position.
        """
        padding = "=" * (-len(cursor) % 4)
        text = urlsafe_b64decode(cursor.encode("ascii") + padding.encode()).decode()
        match = re.fullmatch(r"([np])\.(-?[0-9]{1,19})\.(-?[0-9]{1,19})", text)
        if match is None:
            raise ValueError(cursor)
        try:
            created = _EPOCH + int(match[2]) * _MICROSECOND
        except OverflowError as error:
            raise ValueError(cursor) from error
        key = int(match[3])
        if created.year not in _YEARS or abs(key) > _GREATEST_KEY:
            raise ValueError(cursor)
        return cls(created, key, to_newer=match[1] == "p")

    def reversed(self) -> Position:
        """Return the position of the opposite page, which begins with this row."""
        step = 1 if self.to_newer else -1
        key = max(-_GREATEST_KEY, min(self.key + step, _GREATEST_KEY))
        return Position(self.created, key, to_newer=not self.to_newer)


def _arrange(rows: QuerySetT, position: Position | None) -> QuerySetT:
    """Return the rows in order, starting at a position; ``None`` is the newest row."""
    if position is None:
        return rows.order_by(*_NEWEST_FIRST)
    created, key = for_database(position.created), position.key
    # Both conditions together are one range of the index on both columns.
    if position.to_newer:
        after = Q(created__gt=created) | Q(pk__gt=key)
        return rows.filter(Q(created__gte=created) & after).order_by("created", "id")
    after = Q(created__lt=created) | Q(pk__lt=key)
    return rows.filter(Q(created__lte=created) & after).order_by(*_NEWEST_FIRST)


class CourseEnrollmentsApiListPagination(CursorPagination):
    """
    Pages of the list of all enrollments, newest first (UTIL-03, V1-ADM-16…21).

    Rows are ordered by creation time and key, and a cursor contains both. No row is
    skipped or repeated if rows have equal times or are added (B-13), and each page
    takes the same time.
    """

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 100
    #: Accepted without effect (V1-ADM-18).
    page_query_param = "page"
    ordering = _NEWEST_FIRST
    invalid_cursor_message = "Invalid cursor"

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        """
        Return the rows of a page.

        Args:
            queryset: Instances, or tuples that begin with ``created`` and the primary
                key.
            request: The request, with ``?cursor=`` and ``?page_size=``.
            view: The view.

        Raises:
            NotFound: The cursor is not valid.
        """
        self.request = request
        position = self._find_position(request)
        to_newer = position is not None and position.to_newer
        size = self.get_page_size(request) or self.page_size
        found = list(_arrange(queryset, position)[: size + 1])
        page, has_more = found[:size], len(found) > size
        if to_newer:
            page.reverse()
        # An empty page links back to the page that it was reached from.
        newer = older = position and position.reversed()
        if page:
            newer = _position_of(page[0], to_newer=True)
            older = _position_of(page[-1], to_newer=False)
        has_newer = has_more if to_newer else position is not None
        has_older = to_newer or has_more
        self.newer = newer if has_newer else None
        self.older = older if has_older else None
        return page

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Return the parameters of pages, as OpenAPI has them."""
        cursor = "A page, from the links `next` and `previous`."
        size = {"type": "integer", "minimum": 1, "maximum": self.max_page_size}
        parameters: list[dict[str, Any]] = [
            {"name": self.cursor_query_param, "description": cursor},
            {
                "name": self.page_size_query_param,
                "description": "Rows per page.",
                "schema": {**size, "default": self.page_size},
            },
            {
                "name": self.page_query_param,
                "description": "Accepted, without effect.",
                "deprecated": True,
            },
        ]
        given = {"in": "query", "schema": {"type": "string"}}
        return [{**given, **one} for one in parameters]

    def get_next_link(self) -> str | None:
        """Return the URL of the page with older rows, or ``None``."""
        return self._link(self.older)

    def get_previous_link(self) -> str | None:
        """Return the URL of the page with newer rows, or ``None``."""
        return self._link(self.newer)

    def _link(self, position: Position | None) -> str | None:
        """Return the URL of this request with another cursor."""
        if position is None:
            return None
        # Servers decode the query string as Latin-1, so it is encoded again.
        query = dict(self.request.query_params.lists())
        query[self.cursor_query_param] = [position.encode()]
        here = urlsplit(self.request.build_absolute_uri())
        there = here._replace(query=urlencode(sorted(query.items()), doseq=True))
        return urlunsplit(there)

    def _find_position(self, request: Request) -> Position | None:
        cursor = request.query_params.get(self.cursor_query_param)
        if not cursor:
            return None
        try:
            return Position.decode(cursor)
        except ValueError as error:
            raise NotFound(self.invalid_cursor_message) from error


def _position_of(row: Any, *, to_newer: bool) -> Position:
    created, key = row[:2] if isinstance(row, tuple) else (row.created, row.pk)
    moment: Any = as_moment(created)
    return Position(moment, key, to_newer=to_newer)
