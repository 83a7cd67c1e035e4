"""The app's configuration: receivers, checks and the service registrar."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.apps import apps as django_apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_delete, post_save
from django.utils.translation import gettext_lazy as _

from django_enrollments.conf import SETTINGS, conf
from django_enrollments.importing import SettingLoadError, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model

logger = logging.getLogger(__name__)


class EnrollmentsConfig(AppConfig):
    """The configuration of the app."""

    name = "django_enrollments"
    label = "django_enrollments"
    verbose_name = _("Enrollments")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Set the default of the swappable setting before any model is loaded."""
        super().__init__(*args, **kwargs)
        complete_swappable_setting()

    def ready(self) -> None:
        """Connect receivers; register the checks, the service (SVC-09) and tasks."""
        connect_receivers()
        register_checks()
        register_service()
        register_wake()
        describe_api()


def complete_swappable_setting() -> None:
    """
    Write the default of ``ENROLLMENTS_COURSE_MODEL`` where the host sets none.

    Django reads the setting of a swappable model itself, and has no default for it.

    Raises:
        ImproperlyConfigured: The value is no label of a model; Django would fail on it
            before any system check runs.
    """
    setting = SETTINGS["ENROLLMENTS_COURSE_MODEL"]
    label = setting.raw
    if not (isinstance(label, str) and re.fullmatch(r"\w+\.\w+", label)):
        raise ImproperlyConfigured(
            f"{setting.name} must be 'app_label.ModelName', not {label!r}."
        )
    if not hasattr(settings, setting.name):
        setattr(settings, setting.name, label)


def connect_receivers() -> None:
    """Connect the receivers for users (ACC-13), courses and modes (B-18)."""
    from django_enrollments import receivers
    from django_enrollments.models import CourseMode, get_course_model

    for user_model in _family(get_user_model()):
        post_save.connect(
            receivers.enroll_invited,
            sender=user_model,
            dispatch_uid="django_enrollments.enroll_invited",
        )
    sources: list[type[Model]] = [CourseMode]
    # The system check django_enrollments.E003 reports a model that is not installed.
    with suppress(ImproperlyConfigured):
        sources += _family(get_course_model())
    for model in sources:
        for signal in (post_save, post_delete):
            signal.connect(
                receivers.invalidate_course_details,
                sender=model,
                dispatch_uid="django_enrollments.forget_details",
            )


def _family(model: type[Model]) -> Iterator[type[Model]]:
    """Return a model with its proxies and children, which send their own signals."""
    return (one for one in django_apps.get_models() if issubclass(one, model))


def register_checks() -> None:
    """Register the system checks."""
    from django_enrollments.checks import CHECKS, DATABASE_CHECKS

    for check in CHECKS:
        register(check, "django_enrollments")
    for check in DATABASE_CHECKS:
        # Since Django 6.1, other tags also run on all databases.
        register(check, Tags.database)


def register_service() -> None:
    """Pass the service to the host's registrar, if there are special exams."""
    path = conf.ENROLLMENTS_SERVICE_REGISTRAR
    if path is None or not conf.ENROLLMENTS_ENABLE_SPECIAL_EXAMS:
        return
    try:
        registrar = load("ENROLLMENTS_SERVICE_REGISTRAR", path)
    except SettingLoadError:
        # A system check reports it.
        logger.exception("The service cannot be registered.")
        return
    from django_enrollments.services import EnrollmentsService

    registrar("enrollments", EnrollmentsService())


def register_wake() -> None:
    """Import the function of ``ENROLLMENTS_WAKE``, and with it the tasks it starts."""
    path = conf.ENROLLMENTS_WAKE
    if path is not None:
        # A system check reports what cannot be imported.
        with suppress(SettingLoadError):
            load("ENROLLMENTS_WAKE", path)


def describe_api() -> None:
    """Register the OpenAPI description if drf-spectacular is installed."""
    if django_apps.is_installed("drf_spectacular"):
        import_module("django_enrollments.schema")
