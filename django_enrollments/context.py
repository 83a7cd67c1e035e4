"""
What one call from outside has in common: its moment, its origin, what it has read.

A call starts at a door, in ``api``, ``data`` or the service object. Everything it
leads to shares one clock reading, one answer to "who did this, from where and why",
and one reading of each course. Rules take ``at`` and ``origin`` as arguments; only
code whose signature belongs to hosts (permission backends, a replaced data layer)
needs :func:`moment`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from django_enrollments import datetimes
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.identifiers import find_user_key
from django_enrollments.text import is_storable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

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
        at: When it happens.
        readings: What has been read for it so far.
    """

    at: datetime
    readings: dict[Any, Any] = field(default_factory=dict)


_call: ContextVar[Call | None] = ContextVar("enrollments_call", default=None)
_origin: ContextVar[Origin | None] = ContextVar("enrollments_origin", default=None)
_read_alias: ContextVar[str | None] = ContextVar("enrollments_read_alias", default=None)


@contextmanager
def one_call(at: datetime | None = None) -> Iterator[Call]:
    """
    Join the call that is under way, or begin one now.

    Args:
        at: The moment of a call that begins here; the clock is read when ``None``. A
            given moment always begins a call of its own.
    """
    call = _call.get()
    if call is not None and at is None:
        yield call
        return
    token = _call.set(Call(datetimes.as_moment(at) or datetimes.now()))
    try:
        yield _call.get()  # type: ignore[misc]  # It has just been set.
    finally:
        _call.reset(token)


def forget_readings() -> None:
    """Have the call that is under way read everything again."""
    call = _call.get()
    if call is not None:
        call.readings.clear()


@contextmanager
def between_calls() -> Iterator[None]:
    """
    Leave the call that is under way, for code that begins calls of its own.

    Receivers of signals act after the call's changes, so neither its moment nor what
    it has read holds for them.
    """
    token, read_token = _call.set(None), _read_alias.set(None)
    try:
        yield
    finally:
        _read_alias.reset(read_token)
        _call.reset(token)


@contextmanager
def reading_from(using: str) -> Iterator[None]:
    """
    Read everything from one database, whatever the router says.

    Note [Decide on the primary]: a replica may be behind, so what is read to decide a
    write is read where it will be written. Whoever decides says so here, for code with
    signatures of its own is asked as well: permission backends, filters, a replaced
    data layer. What is only shown goes by the router.

    Args:
        using: Database alias.
    """
    token = _read_alias.set(using)
    try:
        yield
    finally:
        _read_alias.reset(token)


def read_alias() -> str | None:
    """
    Return the database alias that a reading must come from, if it must from one.

    Returns:
        An alias as ``QuerySet.using()`` takes it, where ``None`` lets the router
        choose. See Note [Decide on the primary].
    """
    return _read_alias.get()


def moment() -> datetime:
    """Return the moment of the call that is under way, or the time now."""
    call = _call.get()
    return call.at if call else datetimes.now()


@contextmanager
def attributed(origin: Origin) -> Iterator[None]:
    """
    Attribute every change made inside to ``origin``.

    Doors use it around ``api`` calls, whose signatures know nothing of actors.

    Args:
        origin: Who, from where and why.
    """
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def current_origin() -> Origin:
    """Return the origin set by :func:`attributed`; a plain ``api`` one otherwise."""
    return _origin.get() or Origin()
