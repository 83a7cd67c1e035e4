"""
Settings of the example project, for a person's own machine only.

Nothing here may serve strangers: the key is public, and so are the demo's passwords.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "public, like everything in the example project"
# Off even here: Django keeps a log of every statement while it is on, and the demo
# makes some 300,000 of them.
DEBUG = os.environ.get("EXAMPLE_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "accounts",  # Before the admin, whose login pages it replaces.
    "catalog",
    "demo",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "django_enrollments",
]

# The description of the API, where the extra "openapi" is installed, as `make demo`
# does; all the rest works without it.
HAS_OPENAPI = bool(find_spec("drf_spectacular"))
if HAS_OPENAPI:
    INSTALLED_APPS += ["drf_spectacular", "drf_spectacular_sidecar"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

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

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DATABASE") or BASE_DIR / "demo.sqlite3",
        # Each enrollment opens the short transactions it needs by itself.
        "ATOMIC_REQUESTS": False,
        "OPTIONS": {
            # Seconds. While the demo replays it writes nearly all the time, and whoever
            # else wants to write has to wait for a gap.
            "timeout": 60,
            # Transactions here are for writing; one that begins as a reader could not
            # become a writer after somebody else has written.
            "transaction_mode": "IMMEDIATE",
            # Readers need not wait for the writer. With a write-ahead log, NORMAL
            # keeps the file whole whatever happens; at worst the last commits are
            # missing after a power failure.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
# Another name than other projects on this machine use, which would log one out there.
SESSION_COOKIE_NAME = "example_session"

# What would be sent is printed.
_PRINTED = "django.core.mail.backends.console.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": _PRINTED}}
else:
    EMAIL_BACKEND = _PRINTED

# Errors and warnings go to the terminal, whether DEBUG is on or not.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"terminal": {"class": "logging.StreamHandler", "level": "WARNING"}},
    "loggers": {
        "django": {"handlers": ["terminal"], "level": "INFO", "propagate": False},
        # It warns of what callers are told anyway.
        "django_enrollments": {"handlers": ["terminal"], "level": "ERROR"},
        "django.server": {
            "handlers": ["terminal"],
            "level": "WARNING",
            "propagate": False,
        },
    },
}

if HAS_OPENAPI:
    REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
    SPECTACULAR_SETTINGS = {
        "TITLE": "Course catalog",
        "DESCRIPTION": "Who is in which course run.",
        "VERSION": "1",
        # It describes the API, not itself.
        "SERVE_INCLUDE_SCHEMA": False,
        # Its page comes with everything it needs, from this very site.
        "SWAGGER_UI_DIST": "SIDECAR",
        "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
        "SWAGGER_UI_SETTINGS": {"deepLinking": True, "displayRequestDuration": True},
    }

# All that enrollments need to know of this host.
ENROLLMENTS_COURSE_MODEL = "catalog.CourseRun"
ENROLLMENTS_COURSE_ADAPTER = "catalog.adapters.CourseRunAdapter"
