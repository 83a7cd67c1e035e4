from __future__ import annotations

from django.apps import AppConfig


class OtherHostConfig(AppConfig):
    name = "tests.other_host"
