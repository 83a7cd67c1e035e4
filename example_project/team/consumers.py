"""The consumers of the event feed, for the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import ngettext, pgettext

from django_enrollments import delivery


@dataclass(frozen=True)
class ConsumerLine:
    """
    A row of the table of consumers.

    Attributes:
        name: The name in the settings.
        state: The state in words.
        tone: The class of its badge.
        lag: Number of events that are still to come.
        waiting: How long the first of them has waited; empty without any.
        retrying: Number of events that will be tried again.
        dead: Number of events that were given up.
        error: The last error, or empty.
    """

    name: str
    state: str
    tone: str
    lag: int
    waiting: str
    retrying: int
    dead: int
    error: str


def list_consumers() -> list[ConsumerLine]:
    """Return the consumers of the settings, each with its lag."""
    if not getattr(settings, "ENROLLMENTS_CONSUMERS", None):
        return []
    states = {
        "new": (pgettext("consumer", "New"), "info"),
        "active": (pgettext("consumer", "Active"), "ok"),
        "paused": (pgettext("consumer", "Paused"), "warn"),
        "down": (pgettext("consumer", "Down"), "bad"),
    }
    lines = []
    for one in delivery.status():
        state, tone = states.get(one["state"], (one["state"], ""))
        # Events without a position come after those with one.
        lag = one["lag"] + one["unsequenced"]
        lines.append(
            ConsumerLine(
                one["name"],
                state,
                tone,
                lag,
                _wait(one["oldest_age_seconds"]) if lag else "",
                one["retrying"],
                one["dead"],
                one["last_error"],
            )
        )
    return lines


def _wait(seconds: int) -> str:
    if seconds < 60:
        text = ngettext("%(number)s second", "%(number)s seconds", seconds)
        return text % {"number": seconds}
    now = timezone.now()
    return timesince(now - timedelta(seconds=seconds), now)
