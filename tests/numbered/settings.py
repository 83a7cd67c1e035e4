"""The default host with users that have numbers for names, in memory."""

from __future__ import annotations

from tests import settings as default

SECRET_KEY = default.SECRET_KEY
USE_TZ = True
ROOT_URLCONF = "tests.numbered.urls"
DEFAULT_AUTO_FIELD = default.DEFAULT_AUTO_FIELD
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "django_enrollments",
    "tests.numbered",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
AUTH_USER_MODEL = "numbered.Student"
MIGRATION_MODULES = {"numbered": None}
PASSWORD_HASHERS = default.PASSWORD_HASHERS
ALLOWED_HOSTS = ["testserver"]
