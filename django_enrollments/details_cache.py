"""
Keeps course details for a moment, so that a popular page costs no query (CACHE).

A cache that is broken never fails a call (B-17), a course or mode that is saved shows
at once, and nothing outlives the expiration of a mode it lists (B-18).
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.db import connections, router, transaction

from django_enrollments.conf import conf

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: How long a cache that goes on failing is not logged again, per process.
SILENT_SECONDS = 60

#: When each kind of failure was logged last, by the monotonic clock.
_logged: dict[str, float] = {}


@contextmanager
def sparing_transaction(of: Any) -> Iterator[None]:
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
            if connections[alias].in_atomic_block:
                savepoints.enter_context(transaction.atomic(alias))
        yield


@contextmanager
def _never_failing(done: str) -> Iterator[None]:
    """
    Log what the cache raises in a block, unless it was logged a moment ago.

    While a cache is down, every view of a popular page would write a traceback.
    """
    try:
        with sparing_transaction(cache):
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


def _key(course_id: str, include_expired: bool) -> str:
    # Course ids may be longer than memcached's keys and hold what it refuses.
    name = hashlib.sha256(f"{conf.ENROLLMENTS_DATA_API}:{course_id}".encode())
    return f"django_enrollments:course:{name.hexdigest()}:{int(include_expired)}"


def find_details(course_id: str, include_expired: bool) -> dict[str, Any] | None:
    """
    Give the details kept for a course, or ``None``.

    Args:
        course_id: The course id as text.
        include_expired: Whether expired modes are listed.
    """
    if not conf.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS:
        return None
    details: dict[str, Any] | None = None
    with _never_failing("read from"):
        details = cache.get(_key(course_id, include_expired))
    return details  # noqa: RET504 - It stays None where the cache fails.


def keep_details(
    course_id: str, include_expired: bool, details: dict[str, Any], *, at: datetime
) -> None:
    """
    Keep the details of a course, but not beyond the next expiration of a mode.

    Args:
        course_id: The course id as text.
        include_expired: Whether expired modes are listed.
        details: The course dictionary.
        at: When it was made, aware.
    """
    seconds: float = conf.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS
    for mode in details["course_modes"]:
        expiration = mode.get("expiration_datetime")
        if expiration and not include_expired:
            expires = datetime.fromisoformat(expiration.replace("Z", "+00:00"))
            seconds = min(seconds, (expires - at).total_seconds())
    if seconds < 1:
        return
    with _never_failing("written to"):
        cache.set(_key(course_id, include_expired), details, int(seconds))


def drop_details(course_id: str) -> None:
    """
    Forget the details of a course.

    Args:
        course_id: The course id as text.
    """
    with _never_failing("dropped from"):
        cache.delete_many([_key(course_id, True), _key(course_id, False)])
