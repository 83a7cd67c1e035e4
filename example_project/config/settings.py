"""
Settings of the example project, for your own machine only.

Do not use them on a public server: the key and the demo's passwords are public.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "public, like everything in the example project"
# Django keeps all SQL statements in memory while DEBUG is on. The demo runs about
# 300,000 statements.
DEBUG = os.environ.get("EXAMPLE_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "accounts",  # Before the admin, because its templates replace those of the admin.
    "catalog",
    "demo",
    "team",
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

# The OpenAPI description needs the extra "openapi", which `make demo` installs.
HAS_OPENAPI = bool(find_spec("drf_spectacular"))
if HAS_OPENAPI:
    INSTALLED_APPS += ["drf_spectacular", "drf_spectacular_sidecar"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    # After the sessions and before the common middleware, as Django documents.
    "django.middleware.locale.LocaleMiddleware",
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
                "catalog.context_processors.navigation",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DATABASE") or BASE_DIR / "demo.sqlite3",
        # Enrolling opens its own short transactions.
        "ATOMIC_REQUESTS": False,
        "OPTIONS": {
            # Seconds. The demo writes nearly all the time; other writers wait for it.
            "timeout": 60,
            # SQLite refuses a write after a read if another connection has written in
            # between.
            "transaction_mode": "IMMEDIATE",
            # With a write-ahead log, readers do not wait for the writer. NORMAL keeps
            # the file consistent, but a power failure can lose the last commits.
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
CSRF_FAILURE_VIEW = "catalog.errors.csrf_failure"

LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es", "Español"),
    ("ar", "العربية"),
]
LOCALE_PATHS = [BASE_DIR / "locale"]
# English dates are written as "3 March 2027, 09:00".
FORMAT_MODULE_PATH = ["config.formats"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
# A different name from other projects on this machine, whose session it would replace.
SESSION_COOKIE_NAME = "example_session"

# Mail is printed.
_PRINTED = "django.core.mail.backends.console.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": _PRINTED}}
else:
    EMAIL_BACKEND = _PRINTED

# Errors and warnings are printed, whether DEBUG is on or not.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"terminal": {"class": "logging.StreamHandler", "level": "WARNING"}},
    "loggers": {
        "django": {"handlers": ["terminal"], "level": "INFO", "propagate": False},
        # Its warnings repeat the lines of django.server, some with a traceback.
        "django.request": {"level": "ERROR"},
        # Its warnings repeat errors that callers get.
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
        "TITLE": "Evening School",
        "DESCRIPTION": "Enrollments in courses. To try a call that needs a login, "
        "[log in on the site](/accounts/login/?next=/api/docs/) first.",
        "VERSION": "1",
        # Leave the description's own URL out of the description.
        "SERVE_INCLUDE_SCHEMA": False,
        # The page loads its scripts from this site.
        "SWAGGER_UI_DIST": "SIDECAR",
        "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
        "SWAGGER_UI_SETTINGS": {"deepLinking": True, "displayRequestDuration": True},
    }

# The only settings of django-enrollments in this project.
ENROLLMENTS_COURSE_MODEL = "catalog.CourseRun"
ENROLLMENTS_COURSE_ADAPTER = "catalog.adapters.CourseRunAdapter"
ENROLLMENTS_CONSUMERS: dict[str, dict[str, object]] = {
    "counter": {
        "BACKEND": "django_enrollments.delivery.backends.CallBackend",
        "OPTIONS": {"function": "demo.feed.count"},
    },
}

# The databases in which the consumers of the demo note what they got.
FEED_RECORDS = {"counter": f"{DATABASES['default']['NAME']}-counter"}
FEED_SECRET = "whsec_cHVibGljLCBsaWtlIGV2ZXJ5dGhpbmcgaGVyZQ=="

# Webhooks need the extra "webhooks", which `make demo` installs.
if find_spec("standardwebhooks") and find_spec("requests_hardened"):
    ENROLLMENTS_CONSUMERS["webhook"] = {
        "BACKEND": "django_enrollments.delivery.backends.WebhookBackend",
        "OPTIONS": {
            # The receiver is on this machine; the demo chooses its port.
            "url": f"http://127.0.0.1:{os.environ.get('EXAMPLE_HOOK_PORT', '8790')}/",
            "secrets": [FEED_SECRET],
            "allow_private": True,
        },
        # Threads deliver events of different enrollments at once.
        "CONCURRENCY": 4,
    }
    FEED_RECORDS["webhook"] = f"{DATABASES['default']['NAME']}-webhook"
