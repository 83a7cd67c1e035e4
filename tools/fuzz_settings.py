"""The example project as `tools.fuzz_api` asks it: quick, and nobody has to wait."""

from __future__ import annotations

from config.settings import *  # noqa: F403 - it differs only in what follows.
from config.settings import LOGGING

from tools.fuzz_api import API_KEY

ENROLLMENTS_API_KEYS = [API_KEY]
ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}

# Each request logs in anew.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# What callers do wrong is the point; what the site does wrong is told.
for _logger in ("django", "django.server"):
    LOGGING["loggers"][_logger]["level"] = "ERROR"
