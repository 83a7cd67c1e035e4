"""
Caches course details for a short time, so that a popular page costs no query (CACHE).

A cache that is broken never fails a call (B-17), a course or mode that is saved shows
at once, and no entry outlives the expiration of a mode it lists (B-18).

Note [Versions]: an entry is valid only while the version is the one from before its
details were read. Saving or deleting a course or mode deletes the version, and the next
reading sets a new one. So details that were read before a save are ignored even if they
are stored after it. One version serves all courses: it needs no entry per course, and
no query for the course of a mode or the previous id of a course.

Note [Transactions]: the cache is not used within a transaction. What is read there may
be rolled back, or older than a version; and what was stored by others lacks what the
transaction has saved.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.core.cache import cache
from django.db import connections, router, transaction
from django.db.models import Manager
from django.utils import timezone
from django.utils.translation import get_language

from django_enrollments.backends.courses import CourseAdapter
from django_enrollments.conf import conf
from django_enrollments.context import call_context, read_alias
from django_enrollments.core.transactions import is_in_transaction
from django_enrollments.models import get_course_adapter, get_course_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django_enrollments.payloads import CourseDict

logger = logging.getLogger(__name__)

#: The interval between log records of a failing cache, per process.
SILENT_SECONDS = 60

#: When each kind of failure was logged last, by the monotonic clock.
_logged: dict[str, float] = {}

#: The key of the version; see Note [Versions].
_VERSION = "django_enrollments:details:version"


@contextmanager
def savepoint_for_cache(of: Any) -> Iterator[None]:
    """
    Keep a cache that is a table from ruining the transaction that a request is in.

    On PostgreSQL nothing can be done in a transaction after a statement that failed,
    even if the error is caught; a savepoint keeps what was before (B-17).

    Args:
        of: The cache that is used inside.
    """
    model = getattr(of, "cache_model_class", None)
    aliases = {router.db_for_read(model), router.db_for_write(model)} if model else ()
    with ExitStack() as savepoints:
        for alias in aliases:
            if is_in_transaction(connections[alias]):
                savepoints.enter_context(transaction.atomic(alias))
        yield


@contextmanager
def _never_failing(done: str) -> Iterator[None]:
    """
    Log what the cache raises in a block, unless it was logged a moment ago.

    While a cache is down, every view of a popular page would write a traceback.
    """
    try:
        with savepoint_for_cache(cache):
            yield
    except Exception:
        now = time.monotonic()
        if now - _logged.get(done, -math.inf) >= SILENT_SECONDS:
            _logged[done] = now
            logger.exception(
                "Course details could not be %s the cache. If that goes on, it is "
                "logged again in %d seconds.",
                done,
                SILENT_SECONDS,
            )


def cached_details(
    course_id: str,
    read: Callable[[], CourseDict],
    *,
    include_expired: bool,
    at: datetime,
) -> CourseDict:
    """
    Return the details of a course from the cache, or read and store them.

    Args:
        read: Returns the course dictionary; called where the cache has none.
        include_expired: Whether expired modes are listed.
        at: The moment for which it is read, aware.

    Raises:
        CourseEnrollmentError: As ``read`` does.
    """
    using = read_alias() or router.db_for_read(get_course_model())
    if not _is_usable(using):
        return read()
    key = _key(using, course_id, include_expired)
    version = stored_version = None
    details: CourseDict | None = None
    with _never_failing("read from"):
        found = cache.get_many([_VERSION, key])
        version = found.get(_VERSION) or cache.get_or_set(_VERSION, uuid4().hex, None)
        stored_version, details = found.get(key, (None, None))
    if details is not None and stored_version == version:
        return details
    with call_context(using=using):
        details = read()
    seconds = _lifetime(details, include_expired=include_expired, at=at)
    # Without a version, reading from the cache has failed.
    if version and seconds >= 1:
        with _never_failing("written to"):
            cache.set(key, (version, details), int(seconds))
    return details


def _is_usable(using: str) -> bool:
    """Return whether details that are read from a database may be cached."""
    return (
        conf.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS > 0
        and not is_in_transaction(connections[using])
        and not may_be_personal()
    )


def may_be_personal() -> bool:
    """
    Return whether the details of a course may depend on the requester.

    An adapter or a manager that narrows the courses may do so by the requester.

    Raises:
        SettingLoadError: The adapter cannot be loaded.
    """
    return not (
        _is_inherited(get_course_adapter(), CourseAdapter)
        and _is_inherited(get_course_model()._default_manager, Manager)
    )


def _is_inherited(instance: Any, base: type[Any]) -> bool:
    return getattr(type(instance), "get_queryset", None) is base.get_queryset


def _key(using: str, course_id: str, include_expired: bool) -> str:
    parts = (
        using,
        # An adapter may translate a name, or make a date a moment.
        get_language(),
        timezone.get_current_timezone_name(),
        conf.ENROLLMENTS_DATA_API,
        course_id,
        include_expired,
    )
    # Course ids may be longer than memcached's keys and hold what it refuses.
    name = hashlib.sha256(repr(parts).encode())
    return f"django_enrollments:details:{name.hexdigest()}"


def _lifetime(details: CourseDict, *, include_expired: bool, at: datetime) -> float:
    """Return the seconds until details expire, at the latest with one of the modes."""
    seconds: float = conf.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS
    for mode in details["course_modes"]:
        expiration = mode.get("expiration_datetime")
        if expiration and not include_expired:
            expires = datetime.fromisoformat(expiration.replace("Z", "+00:00"))
            seconds = min(seconds, (expires - at).total_seconds())
    return seconds


def invalidate_details() -> None:
    """Drop the details of all courses; see Note [Versions]."""
    with _never_failing("dropped from"):
        cache.delete(_VERSION)
