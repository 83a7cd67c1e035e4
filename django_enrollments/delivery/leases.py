"""The right to deliver to a consumer, which one worker has at a time (D-10)."""

from __future__ import annotations

import time
from datetime import timedelta
from threading import Lock
from typing import Any

from django.db.models import Q

from django_enrollments.core.transactions import write_alias
from django_enrollments.datetimes import for_database, now
from django_enrollments.delivery.database import DatabaseNow, short_transaction
from django_enrollments.models import Consumer

#: Duration of a lease.
LEASE = timedelta(seconds=60)

#: A lease that was renewed longer ago is renewed before the next call of a consumer.
RENEW_SECONDS = 5.0


class LeaseLost(Exception):  # noqa: N818 - an event, not an error for callers.
    """The lease has expired and was claimed, or was ended by pausing or replaying."""


class Lease:
    """
    The lease of one consumer; threads may share it.

    Args:
        token: That of the worker, which may claim its own lease again after it has lost
            the connection.
    """

    def __init__(self, name: str, token: str) -> None:
        self._rows = Consumer.objects.using(write_alias()).filter(pk=name)
        self._own = self._rows.filter(lease_token=token)
        self._token = token
        self._renewed = 0.0
        self._lock = Lock()

    def claim(self) -> Consumer | None:
        """Return the consumer if it is free and not paused or down, else ``None``."""
        is_ready = Q(state=Consumer.STATES.active) | Q(
            state=Consumer.STATES.down, retry_at__lte=for_database(now())
        )
        is_free = Q(lease_until=None) | Q(lease_until__lt=DatabaseNow())
        is_free |= Q(lease_token=self._token)
        rows = self._rows.filter(is_ready, is_free)
        if not rows.exists():
            return None
        self._renewed = time.monotonic()
        with short_transaction(self._rows.db):
            is_ours = rows.update(
                lease_token=self._token, lease_until=DatabaseNow() + LEASE
            )
        return self._own.first() if is_ours else None

    def save(self, **values: Any) -> None:
        """
        Renew the lease, and write values to the consumer, in a transaction.

        Raises:
            LeaseLost: Another worker has it; nothing is written.
        """
        began = time.monotonic()
        if not self._own.update(lease_until=DatabaseNow() + LEASE, **values):
            raise LeaseLost
        self._renewed = began

    def keep(self) -> None:
        """Renew the lease if it was renewed some seconds ago, as :meth:`save` does."""
        with self._lock:
            if time.monotonic() - self._renewed > RENEW_SECONDS:
                with short_transaction(self._rows.db):
                    self.save()

    def release(self) -> None:
        """Give the lease back if it still is our own."""
        with short_transaction(self._rows.db):
            self._own.update(lease_token="", lease_until=None)
