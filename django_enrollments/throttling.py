"""
The throttle of the REST API (V1-THR).

Note [Counting by numbers]: the moments of a caller's last requests are one entry of the
cache, so the window slides, and the moment of the next request is known to the second.
A request within the limit claims the next number by ``cache.add()``, which gives each
number to one request, and only then writes the entry. Parallel requests whose number is
taken read the claims that are newer than the entry and continue from there, so no
request waits for another, and a process that dies in between blocks none. Claims last
only as long as it may take to write an entry: one per request for a whole minute would
push other entries out of a small cache.

A counter per minute by ``cache.incr()`` would be simpler, and would allow twice the
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
from django_enrollments.core.course_details_cache import savepoint_for_cache
from django_enrollments.permissions import user_or_anonymous
from django_enrollments.policies import has_valid_api_key, throttle_scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

#: Life of a claimed number; longer than any process takes to write its entry.
CLAIM_SECONDS = 30

#: Most tries for a number that can neither be claimed nor found.
MOST_TRIES = 20

#: Most claims in one read.
MOST_CLAIMS = 100

#: Longest pause before the second try; the pause grows with each try.
PAUSE_SECONDS = 0.005


class EnrollmentUserThrottle(UserRateThrottle):
    """
    Limits the requests of a user, or of an address if no user is logged in.

    All views share one counter, which is not that of other APIs of the project (B-02);
    staff have a counter of their own. Requests with an API key are not counted. Rates
    are read from ``ENROLLMENTS_THROTTLE_RATES`` at each request. If the cache fails, no
    request is throttled.
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
        """Return the key of the requester's counter (V1-THR-05, V1-THR-06)."""
        user = user_or_anonymous(request.user)
        if user.is_authenticated:
            # Two databases may each have a user with this key.
            ident = f"user {user.pk} of {user._state.db}"
        else:
            ident = f"address {self.get_ident(request)}"
        # An address comes from a header and may hold characters that no key may have.
        hashed = sha256(ident.encode(errors="surrogatepass")).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": hashed}

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count a request within the limit; return false for others (V1-THR-04)."""
        self.scope = throttle_scope(request.user)
        limit, seconds = self.parse_rate(self.get_rate())
        if limit is None or seconds is None or has_valid_api_key(request.headers):
            return True
        self.limit, self.duration = limit, seconds
        self.key = self.get_cache_key(request, view)
        try:
            with savepoint_for_cache(self.cache), _in_file_order(self.cache, self.key):
                return self._count()
        except Exception:
            logger.exception("Requests cannot be counted; the cache fails.")
            return True

    def _count(self) -> bool:
        """Count a request within the limit; see Note [Counting by numbers]."""
        self.now = self.timer()
        # Without an entry, begin with a number that was never claimed.
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
        # Some caches hide that their server is down.
        raise ConnectionError("The cache neither stores a number nor has it.")

    def _claim(self, number: int) -> str:
        return f"{self.key}_{number}"

    def _claims_after(self, number: int) -> list[float]:
        """Return the moments of the claims that follow a number without a gap."""
        steps = range(1, min(self.limit, MOST_CLAIMS) + 1)
        claims = [self._claim(number + step) for step in steps]
        known = self.cache.get_many(claims)
        return [known[claim] for claim in takewhile(known.__contains__, claims)]

    def wait(self) -> float | None:
        """Return the seconds until the next request is allowed (V1-THR-07)."""
        if not self.limit:
            return None
        # Newest first; the rate may have been lowered since they were counted.
        oldest: float = self.history[self.limit - 1]
        return self.duration - (self.now - oldest)


@contextmanager
def _in_file_order(cache: Any, key: str) -> Iterator[None]:
    """Lock a file-based cache, whose ``add()`` is not atomic, for one request."""
    directory = getattr(cache, "_dir", None)
    if directory is None:
        yield
        return
    os.makedirs(directory, mode=0o700, exist_ok=True)
    # At most 256 files serve all requesters; the cache neither counts nor deletes them.
    name = f"enrollments_throttle_{sha256(key.encode()).hexdigest()[:2]}.lock"
    with open(os.path.join(directory, name), "ab") as file:
        locks.lock(file, locks.LOCK_EX)
        try:
            yield
        finally:
            locks.unlock(file)
