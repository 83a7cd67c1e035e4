"""
How often the REST API may be asked (V1-THR).

Note [Counting by numbers]: the times of a caller's last requests stand in one entry of
the cache, so the window slides and tells to the second when the next request may come.
A request that finds room in it claims the next number by ``cache.add()``, which gives
each number to one request, and only then writes the entry. Parallel requests whose
number is gone read the claims that are younger than the entry and go on from there, so
nothing waits for anything, and what dies in between holds nobody up. Claims last no
longer than it may take to write an entry: one per request for a whole minute would push
out of a small cache what others keep there.

A counter per minute would do with ``cache.incr()``, and would let through twice the
rate where two minutes meet.
"""

from __future__ import annotations

import logging
import os
import random
import time
from contextlib import contextmanager
from hashlib import sha256
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from django.core.files import locks
from rest_framework.throttling import UserRateThrottle

from django_enrollments.conf import conf
from django_enrollments.core.course_details_cache import sparing_transaction
from django_enrollments.permissions import account_of
from django_enrollments.policies import has_valid_api_key, throttle_scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

#: How long a claimed number is known; longer than any process takes to go on.
CLAIM_SECONDS = 30

#: Most tries for a number that is neither given nor anybody's.
MOST_TRIES = 20

#: Most claims that are read at once.
MOST_CLAIMS = 100

#: Longest pause before the next try, after the first one in vain.
PAUSE_SECONDS = 0.005


class EnrollmentUserThrottle(UserRateThrottle):
    """
    Counts the requests of a user, or of an address where no user is logged in.

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
        """Return the rate of this scope, ``None`` for none (V1-THR-11)."""
        scope = str(self.scope)
        rates = {**self.THROTTLE_RATES, **conf.ENROLLMENTS_THROTTLE_RATES}
        return rates.get(scope)

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """
        Return the key of the caller's counter (V1-THR-05, V1-THR-06).

        Args:
            request: The request.
            view: The view that is asked.
        """
        user = account_of(request.user)
        if user.is_authenticated:
            # Two databases may each have a user with this key.
            alias = getattr(getattr(user, "_state", None), "db", None)
            ident = f"user {user.pk} of {alias}"
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
        self.scope = throttle_scope(request.user)
        limit, seconds = self.parse_rate(self.get_rate())
        if limit is None or seconds is None or has_valid_api_key(request.headers):
            return True
        self.limit, self.duration = limit, seconds
        self.key = self.get_cache_key(request, view)
        try:
            with sparing_transaction(self.cache), _in_file_order(self.cache, self.key):
                return self._count()
        except Exception:
            logger.exception("Requests cannot be counted; the cache fails.")
            return True

    def _count(self) -> bool:
        """Count a request, if there is room; see Note [Counting by numbers]."""
        self.now = self.timer()
        # Where nothing is known, no number is given that was given before.
        first = int(self.now // self.duration) * 1_000_000
        number, history = self.cache.get(self.key) or (first, [])
        tries = 0
        while tries < MOST_TRIES:
            oldest = self.now - self.duration
            self.history = sorted(
                (moment for moment in history if moment > oldest), reverse=True
            )
            if len(self.history) >= self.limit:
                return self.throttle_failure()
            if self.cache.add(self._claim(number + 1), self.now, CLAIM_SECONDS):
                history = [self.now, *self.history]
                seconds = self.duration + CLAIM_SECONDS
                self.cache.set(self.key, (number + 1, history), seconds)
                return True
            later = self._claims_after(number)
            tries = 0 if later else tries + 1
            number, history = number + len(later), [*later, *self.history]
            longest = PAUSE_SECONDS * (tries or 1)
            time.sleep(random.uniform(0, longest))  # noqa: S311 - not a secret.
        # Some caches hide that their server is gone.
        raise ConnectionError("The cache neither takes a number nor has it.")

    def _claim(self, number: int) -> str:
        return f"{self.key}_{number}"

    def _claims_after(self, number: int) -> list[float]:
        """Return the moments of the claims that follow a number without a gap."""
        steps = range(1, min(self.limit, MOST_CLAIMS) + 1)
        claims = [self._claim(number + step) for step in steps]
        known = self.cache.get_many(claims)
        return [known[claim] for claim in takewhile(known.__contains__, claims)]

    def wait(self) -> float | None:
        """Return the seconds until the next request may come (V1-THR-07)."""
        if not self.limit:
            return None
        # Newest first; the rate may have been lowered since they were counted.
        oldest: float = self.history[self.limit - 1]
        return self.duration - (self.now - oldest)


@contextmanager
def _in_file_order(cache: Any, key: str) -> Iterator[None]:
    """Let one request at a time use a file-based cache, whose add() is two steps."""
    directory = getattr(cache, "_dir", None)
    if directory is None:
        yield
        return
    os.makedirs(directory, mode=0o700, exist_ok=True)
    # A few files do for all callers; they are not the cache's, and stay.
    name = f"enrollments_throttle_{sha256(key.encode()).hexdigest()[:2]}.lock"
    with open(os.path.join(directory, name), "ab") as file:
        locks.lock(file, locks.LOCK_EX)
        try:
            yield
        finally:
            locks.unlock(file)
