"""
How often the REST API may be asked (V1-THR).

Note [Counting under a lock]: the times of a caller's last requests stand in one entry
of the cache, so the window slides and tells to the second when the next request may
come. Reading and writing that entry are two steps, between which a parallel request
would be lost; they are taken under a lock that ``cache.add()`` gives to one caller at
a time. A counter per minute would need no lock, and would let through twice the rate
where two minutes meet.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from rest_framework.throttling import UserRateThrottle

from django_enrollments.api_keys import has_valid_key
from django_enrollments.conf import conf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

#: How long a lock outlives who died with it.
LOCK_SECONDS = 2

#: Longest wait for a lock; a request then goes on without.
WAIT_SECONDS = 1

#: Longest pause between two tries for the lock.
PAUSE_SECONDS = 0.005


class EnrollmentUserThrottle(UserRateThrottle):
    """
    Counts the requests of a user, or of an address where nobody is logged in.

    All views share one counter, which other APIs of the project neither see nor fill
    (B-02); staff have their own. Who carries an API key is not counted. Rates are
    read from ``ENROLLMENTS_THROTTLE_RATES`` at each request, and a cache that fails
    lets everybody pass.
    """

    #: Rates of scopes that the setting does not name.
    THROTTLE_RATES = {"user": "40/minute", "staff": "120/minute"}
    cache_format = "enrollments_throttle_%(scope)s_%(ident)s"
    limit: int
    duration: int

    def get_rate(self) -> str | None:
        """Give the rate of this scope, ``None`` for none (V1-THR-11)."""
        scope = str(self.scope)
        rates = {**self.THROTTLE_RATES, **conf.ENROLLMENTS_THROTTLE_RATES}
        return rates.get(scope)

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """
        Give the key of the caller's counter (V1-THR-05, V1-THR-06).

        Args:
            request: The request.
            view: The view that is asked.
        """
        user: Any = request.user
        if user and user.is_authenticated:
            ident = f"user {user.pk}"
        else:
            ident = f"address {self.get_ident(request)}"
        # Addresses come from headers, and no cache takes any text as a key.
        hashed = sha256(ident.encode(errors="surrogatepass")).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": hashed}

    def allow_request(self, request: Request, view: APIView) -> bool:
        """
        Count a request, if there is room for it.

        Args:
            request: The request, authenticated and permitted (V1-THR-08).
            view: The view that is asked.

        Returns:
            Whether it may pass; if not, it was not counted.
        """
        self.scope = "staff" if _is_staff(request.user) else "user"
        limit, seconds = self.parse_rate(self.get_rate())
        if limit is None or seconds is None or has_valid_key(request):
            return True
        self.limit, self.duration = limit, seconds
        self.key = self.get_cache_key(request, view)
        try:
            with self._lock():
                return self._count()
        except Exception:
            logger.exception("Requests cannot be counted; the cache fails.")
            return True

    def _count(self) -> bool:
        self.now = self.timer()
        oldest = self.now - self.duration
        history = self.cache.get(self.key, [])
        self.history = [moment for moment in history if moment > oldest]
        if len(self.history) >= self.limit:
            return self.throttle_failure()
        return self.throttle_success()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep parallel requests out; see Note [Counting under a lock]."""
        key = f"{self.key}_lock"
        give_up = time.monotonic() + WAIT_SECONDS
        while not (is_ours := self.cache.add(key, 1, LOCK_SECONDS)):
            if time.monotonic() > give_up:
                break
            time.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311 - not a secret.
        try:
            yield
        finally:
            if is_ours:
                self.cache.delete(key)

    def wait(self) -> float | None:
        """Give the seconds until the next request may come (V1-THR-07)."""
        if not self.limit:
            return None
        # Newest first; the rate may have been lowered since they were counted.
        oldest: float = self.history[self.limit - 1]
        return self.duration - (self.now - oldest)


def _is_staff(user: Any) -> bool:
    """Tell whether a user has the rate of staff (V1-THR-02)."""
    return bool(
        user
        and user.is_authenticated
        and (getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))
    )
