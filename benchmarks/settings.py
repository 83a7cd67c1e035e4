"""
The host that is measured: Django's own user, the shipped course model, no extras.

Nothing is tuned for the app. Where a connection can ask for it, as the tests' does, the
database does not wait for the disk at a commit: both sides would, which flatters every
ratio.
"""

from __future__ import annotations

import os

from tests.databases import database

SECRET_KEY = "only for benchmarks"
USE_TZ = True
ROOT_URLCONF = "benchmarks.urls"
ALLOWED_HOSTS = ["testserver"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": {
        **database(os.environ["ENROLLMENTS_BENCHMARK_DATABASE"]),
        # Connecting anew for every request would flatter every ratio as well.
        "CONN_MAX_AGE": None,
    },
}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "django_enrollments",
]

# What `startproject` writes, messages aside, for both sides.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# A session that costs both sides next to nothing.
SESSION_ENGINE = "django.contrib.sessions.backends.cache"

# Whoever measures asks more often than 40 times a minute.
ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}
