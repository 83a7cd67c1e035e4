"""
Functions for ``ENROLLMENTS_WAKE``, which start a pass of deliveries in a task queue.

A lost wake-up only delays events until the next pass, so schedule one every minute.
The tasks exist where the library is installed.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from django.core.exceptions import ImproperlyConfigured

from django_enrollments.delivery import work
from django_enrollments.delivery.backends import import_tasks
from django_enrollments.importing import ExtraMissing, import_from_extra

logger = logging.getLogger(__name__)

#: The longest duration of one pass; the next one continues.
PASS_SECONDS = 60

with suppress(ExtraMissing):

    @import_from_extra("celery", "celery").shared_task(  # type: ignore[untyped-decorator]  # Celery is not typed.
        name="django_enrollments.deliver",
        ignore_result=True,
        # A wake-up that waited longer than the interval of passes is of no use.
        expires=60,
    )
    def deliver_in_celery(what: str = "") -> None:
        """Deliver all that is due (a task of Celery)."""
        work(PASS_SECONDS)


# TASKS may be wrong, which its own system check reports.
with suppress(ImproperlyConfigured):

    @import_tasks().task  # type: ignore[untyped-decorator]  # as above.
    def deliver_in_task(what: str = "") -> None:
        """Deliver all that is due (a task of ``django.tasks``)."""
        work(PASS_SECONDS)


_executor: ThreadPoolExecutor
_waiting: Future[None] | None


def _forget() -> None:
    """Begin with a new thread; a process that was forked does not have the old one."""
    global _executor, _waiting
    _executor, _waiting = ThreadPoolExecutor(1, "enrollments-wake"), None


_forget()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def celery(what: str) -> None:
    """Send a wake-up to Celery's broker, from a thread, so that no caller waits."""
    global _waiting
    app = import_from_extra("celery", "celery").current_app
    if app.conf.task_always_eager:
        _send(what)
    # One that has not begun is sent after this commit, too.
    elif _waiting is None or _waiting.running() or _waiting.done():
        _waiting = _executor.submit(_send, what)


def _send(what: str) -> None:
    try:
        deliver_in_celery.apply_async((what,), retry=False)
    except Exception as error:  # noqa: BLE001 - the next pass delivers anyway.
        logger.warning("Celery could not be woken: %s.", type(error).__name__)


def tasks(what: str) -> None:
    """
    Enqueue a wake-up in ``django.tasks``, or ``django_tasks`` on Django 5.2.

    Do not use it with ``ImmediateBackend``, which delivers before the caller goes on.
    """
    import_tasks()
    deliver_in_task.enqueue(what)
