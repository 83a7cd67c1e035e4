"""Enrollments as a CSV file, streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from defusedcsv import csv  # type: ignore[import-untyped]
from django.contrib.auth import get_user_model
from django.http import StreamingHttpResponse
from django.utils import timezone

from django_enrollments.admin.words import course_of, usernames_of
from django_enrollments.datetimes import to_iso
from django_enrollments.models import get_course_adapter
from django_enrollments.policies import can_view_rows
from django_enrollments.users import email_field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

#: Rows that are read at once.
ROWS_PER_BATCH = 1_000

COLUMNS = (
    "username",
    "email",
    "course",
    "mode",
    "is_active",
    "created",
    "modified",
    "last_source",
    "last_actor",
    "last_reason",
)


class _Echo:
    """A file whose ``write`` returns the text."""

    def write(self, text: str) -> str:
        return text


def export(rows: QuerySet[Any], user: Any) -> StreamingHttpResponse:
    """
    Return a response with a CSV file. No cell of it is a formula in a spreadsheet.

    Args:
        rows: Enrollments as ``CourseEnrollmentAdmin.get_queryset`` reads them.
        user: The operator. Addresses are left out if they may not view users.
    """
    response = StreamingHttpResponse(
        _lines(rows, shows_email=can_view_rows(user, get_user_model())),
        content_type="text/csv; charset=utf-8",
    )
    name = f"enrollments-{timezone.now():%Y-%m-%d}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _lines(rows: QuerySet[Any], *, shows_email: bool) -> Iterator[str]:
    writer = csv.writer(_Echo())
    address = email_field() if shows_email else None
    columns = [name for name in COLUMNS if name != "email" or address]
    yield writer.writerow(columns)
    last = None
    batch: list[Any] = []
    # In the order of keys, so that each batch begins where the one before ended, in a
    # statement of its own; a cursor would need a transaction or the memory.
    rows = rows.order_by("pk")
    while last is None or len(batch) == ROWS_PER_BATCH:
        following = rows if last is None else rows.filter(pk__gt=last)
        batch = list(following[:ROWS_PER_BATCH])
        names = usernames_of(
            event.actor_id for row in batch for event in row.last_events
        )
        for row in batch:
            yield writer.writerow(_cells(row, address, names))
        last = batch[-1].pk if batch else 0


def _cells(row: Any, address: str | None, names: dict[Any, str]) -> list[Any]:
    event = row.last_events[0] if row.last_events else None
    course = course_of(row)
    if course is not None:
        course_id = get_course_adapter().course_id_of(course)
    else:
        course_id = event.course_id if event else str(row.course_id)
    actor = event.actor_id if event else None
    return [
        str(row.user.get_username()),
        *([getattr(row.user, address) or ""] if address else []),
        course_id,
        row.mode,
        str(row.is_active).lower(),
        to_iso(row.created),
        to_iso(row.modified),
        event.source if event else "",
        "" if actor is None else names.get(actor, actor),
        event.reason if event else "",
    ]
