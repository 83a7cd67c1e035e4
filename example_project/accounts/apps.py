"""The configuration of the app."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The configuration of the app."""

    name = "accounts"
