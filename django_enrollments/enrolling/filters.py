"""The host's own say before a change (contract §7)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from django_enrollments.collaborators import CollaboratorNotLoaded, load
from django_enrollments.conf import conf, refuse_everything
from django_enrollments.enrolling.transactions import unjudged

logger = logging.getLogger(__name__)

#: ``f(action, **context) -> dict | None``
Filter = Callable[..., "dict[str, Any] | None"]


def get_filters() -> Sequence[Filter]:
    """
    Return the configured filters.

    One that cannot be loaded might have vetoed, so a filter that refuses everything
    stands in for it; a system check names it.
    """
    return [
        _load_filter(path) if isinstance(path, str) else path
        for path in conf.ENROLLMENTS_FILTERS
    ]


def _load_filter(path: str) -> Filter:
    try:
        found: Filter = load("ENROLLMENTS_FILTERS", path)
    except CollaboratorNotLoaded:
        logger.exception("A filter cannot be loaded; everything is refused.")
        return refuse_everything
    if isinstance(found, type):
        logger.error("ENROLLMENTS_FILTERS names %r, which is no function.", path)
        return refuse_everything
    return found


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
        with unjudged():
            changed = ask(action, **context)
        if isinstance(changed, dict):
            context.update(changed)
    return context
