"""The configuration of the app."""

from __future__ import annotations

from django.apps import AppConfig


class TeamConfig(AppConfig):
    """The configuration of the app."""

    name = "team"
