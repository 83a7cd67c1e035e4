"""Where the app is put together: receivers, checks and the service registrar."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig

from django_enrollments.conf import conf


class EnrollmentsConfig(AppConfig):
    """The app as Django knows it."""

    name = "django_enrollments"
    label = "django_enrollments"
    verbose_name = "Enrollments"
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the swappable setting exist before any model is loaded."""
        super().__init__(*args, **kwargs)
        conf.complete_swappable_setting()
