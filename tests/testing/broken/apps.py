from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import import_string

from django_enrollments.signals import enrollment_created


class BrokenConfig(AppConfig):
    name = "tests.testing.broken"

    def ready(self) -> None:
        """Connect the receiver that the settings name."""
        if settings.RECEIVER:
            enrollment_created.connect(import_string(settings.RECEIVER))
