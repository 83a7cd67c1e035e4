"""
What the parts of one call have in common: moment, origin, database and readings.

A call starts at an entry point: a view, ``api``, ``data``, the service object or a
command. Everything it leads to shares one reading of the clock, one origin and one
reading of each course. Rules take them as arguments; only code with signatures of the
host (permission backends, a replaced data layer) needs :func:`moment`.

Note [Decide on the primary]: a replica may be behind, so what is read to decide a write
is read where it will be written: from ``Call.using``. Code with signatures of its own
asks :func:`read_alias`. What is only shown is read where the router says.
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
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

T = TypeVar("T")

#: What this app itself writes as the ``source`` of an event; hosts add their own.
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
    Who makes a change, from where and why.

    Attributes:
        actor_id: Primary key of the acting user; ``None`` when a program acts.
        source: One of ``SOURCES``, or a word of the host's own.
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
            ``None`` or an anonymous user when a program acts.
        source: One of ``SOURCES``, or a word of the host's own: 1 to 32 lower-case
            ASCII letters, digits, ``-`` and ``_``.
        reason: Free text, stored in the history.

    Raises:
        ValueError: The source is no such word.
        TypeError: The actor is no user, nor the primary key of one.
        CourseEnrollmentError: The reason is no text that can be stored.
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
    One call from outside.

    Attributes:
        at: The moment of the call, aware.
        using: Database alias from which everything is read; ``None`` lets the router
            choose. See Note [Decide on the primary].
        readings: What has been read for it so far.
    """

    at: datetime
    using: str | None = None
    readings: dict[Any, Any] = field(default_factory=dict)


_call: ContextVar[Call | None] = ContextVar("enrollments_call", default=None)
_origin: ContextVar[Origin | None] = ContextVar("enrollments_origin", default=None)


@contextmanager
def assigned(variable: ContextVar[T], value: T) -> Iterator[T]:
    """Assign a value to a context variable for the length of a block."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)


@contextmanager
def one_call(at: datetime | None = None, *, using: str | None = None) -> Iterator[Call]:
    """
    Join the call that is under way, or begin one.

    Args:
        at: The moment of a call that begins here; the clock is read when ``None``. A
            given moment always begins a call of its own.
        using: Database alias from which everything in the block is read; ``None`` is
            that of the call under way.
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


def forget_readings() -> None:
    """Have the call that is under way read everything again."""
    call = _call.get()
    if call is not None:
        call.readings.clear()


def remember(key: Any, read: Callable[[], T]) -> T:
    """
    Return what the call under way has read before, or read it.

    Args:
        key: The key of the reading.
        read: Reads it.
    """
    call = _call.get()
    if call is None:
        return read()
    if key not in call.readings:
        call.readings[key] = read()
    found: T = call.readings[key]
    return found


def between_calls() -> AbstractContextManager[object]:
    """
    Leave the call that is under way, for code that begins calls of its own.

    Receivers of signals run after the changes of the call, so neither its moment nor
    its readings hold for them.
    """
    return assigned(_call, None)


def read_alias() -> str | None:
    """
    Return the database alias that must be read from, as ``QuerySet.using()`` takes it.

    ``None`` lets the router choose. See Note [Decide on the primary].
    """
    call = _call.get()
    return call.using if call else None


def moment() -> datetime:
    """Return the moment of the call that is under way, or the time now."""
    call = _call.get()
    return call.at if call else datetimes.now()


def attributed(origin: Origin) -> AbstractContextManager[object]:
    """
    Attribute every change in a block to an origin.

    Entry points use it around ``api`` calls, whose signatures have no actor.

    Args:
        origin: The actor, source and reason.
    """
    return assigned(_origin, origin)


def current_origin() -> Origin:
    """Return the origin set by :func:`attributed`; a plain ``api`` one otherwise."""
    return _origin.get() or Origin()
