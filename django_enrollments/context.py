"""
The context of a call: its time, origin, database and cached reads.

A call begins at an entry point: a view, ``api``, ``data``, the service or a command.
All code that it runs uses one time, one origin and one read of each course. Rules take
them as arguments. Only code with signatures of the host needs :func:`moment`:
permission backends and a replaced data layer.

Note [Decide on the primary]: a replica may lag. So data that decides a write is read
from the database that is written, ``Call.using``. Code with signatures of the host
calls :func:`read_alias`. Data that is only shown is read as the router decides.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth import get_user_model

from django_enrollments import datetimes
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.identifiers import find_user_key
from django_enrollments.text import is_storable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

T = TypeVar("T")

#: The values of ``source`` that this app writes. Hosts can use others.
SOURCES = (
    "api",
    "service",
    "rest",
    "admin",
    "command",
    "bulk",
    "invitation",
    "retirement",
)

_SOURCE = re.compile(r"[a-z0-9_-]{1,32}")


@dataclass(frozen=True)
class Origin:
    """
    The actor, source and reason of a change.

    Attributes:
        actor_id: Primary key of the acting user; ``None`` for a program.
        source: One of ``SOURCES``, or a host's own.
        reason: Free text, stored in the history.
    """

    actor_id: Any = None
    source: str = "api"
    reason: str = ""


def origin_of(*, actor: Any = None, source: str = "api", reason: str = "") -> Origin:
    """
    Return the origin of a change.

    Args:
        actor: The acting user, as an instance of the user model or a primary key;
            ``None`` or an anonymous user for a program.
        source: One of ``SOURCES``, or a host's own: 1 to 32 lower-case ASCII letters,
            digits, ``-`` and ``_``.
        reason: Free text, stored in the history.

    Raises:
        ValueError: The source has other characters or another length.
        TypeError: The actor is neither a user nor the primary key of one.
        CourseEnrollmentError: The reason cannot be stored.
    """
    if not isinstance(source, str) or not _SOURCE.fullmatch(source):
        raise ValueError(
            f"{source!r} is no source; it takes 1 to 32 lower-case letters, digits, "
            "'-' and '_'."
        )
    if not is_storable(reason):
        raise CourseEnrollmentError("The reason must be a text without NUL characters.")
    return Origin(_actor_key(actor), source, reason)


def _actor_key(actor: Any) -> Any:
    # isinstance() looks through lazy objects such as ``request.user``.
    key = actor.pk if isinstance(actor, get_user_model()) else actor
    if isinstance(key, NoneType) or getattr(key, "is_anonymous", False):
        return None
    # What has a key and is no user would act as the user with the same key.
    found = None if hasattr(key, "pk") else find_user_key(key)
    if found is None:
        raise TypeError("The actor must be a user or the primary key of one.")
    return found


@dataclass(frozen=True)
class Call:
    """
    The time, the database and the cached reads of a call of the public API.

    Attributes:
        at: Aware datetime of the call.
        using: Database alias to read from; ``None`` for the router's choice. See Note
            [Decide on the primary].
        readings: The data that has been read.
    """

    at: datetime
    using: str | None = None
    readings: dict[Any, Any] = field(default_factory=dict)


_call: ContextVar[Call | None] = ContextVar("enrollments_call", default=None)
_origin: ContextVar[Origin | None] = ContextVar("enrollments_origin", default=None)


@contextmanager
def assigned(variable: ContextVar[T], value: T) -> Iterator[T]:
    """Set a context variable inside a block."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)


@contextmanager
def call_context(
    at: datetime | None = None, *, using: str | None = None
) -> Iterator[Call]:
    """
    Use the current call, or begin a new one.

    Args:
        at: Aware datetime of a new call. If it is given, a new call begins; ``None``
            for now.
        using: Database alias to read from in the block; ``None`` for that of the
            current call.
    """
    outer = _call.get()
    if outer is None or at is not None:
        moment = datetimes.as_moment(at) or datetimes.now()
        call = Call(moment, using or (outer.using if outer else None))
    elif using in (None, outer.using):
        yield outer
        return
    else:
        call = Call(outer.at, using, outer.readings)
    with assigned(_call, call):
        yield call


def clear_readings() -> None:
    """Clear the cached reads of the current call."""
    call = _call.get()
    if call is not None:
        call.readings.clear()


def outside_call() -> AbstractContextManager[object]:
    """
    Leave the current call inside a block, for code that begins its own calls.

    Receivers of signals run after the changes of the call, so its time and its cached
    reads do not apply to them.
    """
    return assigned(_call, None)


def read_alias() -> str | None:
    """
    Return the database alias to read from, for ``QuerySet.using()``.

    ``None`` is the router's choice. See Note [Decide on the primary].
    """
    call = _call.get()
    return call.using if call else None


def moment() -> datetime:
    """Return the time of the current call, or the time now."""
    call = _call.get()
    return call.at if call else datetimes.now()


def override_origin(origin: Origin) -> AbstractContextManager[object]:
    """
    Set the origin of all changes inside a block.

    It is for ``api`` functions, which have no argument for the actor.
    """
    return assigned(_origin, origin)


def current_origin() -> Origin:
    """Return the origin that :func:`override_origin` has set, or the default origin."""
    return _origin.get() or Origin()
