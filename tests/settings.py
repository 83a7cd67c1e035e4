"""The default host: Django's own user and the shipped course model."""

from __future__ import annotations

import os
from importlib.util import find_spec

from tests.databases import database

# Long enough for libraries of tokens, which warn of shorter ones.
SECRET_KEY = "only for tests, and longer than thirty-two bytes"
USE_TZ = True
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": database(os.environ.get("ENROLLMENTS_TEST_DATABASE") or "sqlite"),
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "guardian",
    "rest_framework",
    # Where the extras are installed; their tests are skipped elsewhere.
    *(["oauth2_provider"] if find_spec("oauth2_provider") else []),
    *(["drf_spectacular"] if find_spec("drf_spectacular") else []),
    "django_enrollments",
    "tests.flushing",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Only tests of object permissions name its backend, and no anonymous user has a row.
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
ANONYMOUS_USER_NAME = None

# Quick rather than safe.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Django 6.1 warns of sending mail without it; older releases pass it over.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
