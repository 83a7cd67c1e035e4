"""The host's own say before a change (contract §7)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from django.utils.module_loading import import_string

from django_enrollments.conf import conf, refuse_everything

logger = logging.getLogger(__name__)

#: ``f(action, **context) -> dict | None``
Filter = Callable[..., "dict[str, Any] | None"]


def get_filters() -> Sequence[Filter]:
    """
    Give the configured filters.

    One that cannot be imported might have vetoed, so a filter that refuses everything
    stands in for it; the system check ``django_enrollments.E002`` names it.
    """
    return [
        _import_filter(path) if isinstance(path, str) else path
        for path in conf.ENROLLMENTS_FILTERS
    ]


@lru_cache(maxsize=64)
def _import_filter(path: str) -> Filter:
    try:
        found: Filter = import_string(path)
        if callable(found) and not isinstance(found, type):
            return found
        logger.error("ENROLLMENTS_FILTERS names %r, which is no function.", path)
    except Exception:
        # Whatever a module does while it is imported, its veto has not been heard.
        logger.exception(
            "ENROLLMENTS_FILTERS names %r, which cannot be imported.", path
        )
    return refuse_everything


def apply_filters(action: str, **context: Any) -> dict[str, Any]:
    """
    Let every filter see, change or veto what is about to happen.

    Args:
        action: ``enroll``, ``unenroll`` or ``queryset``.
        context: What the filters are shown; each sees the changes of the ones before.

    Returns:
        The context after the last filter.

    Raises:
        EnrollmentNotAllowed: A filter vetoed; nothing is changed.
    """
    for ask in get_filters():
        changed = ask(action, **context)
        if isinstance(changed, dict):
            context.update(changed)
    return context
