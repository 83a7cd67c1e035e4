"""The configured course model and its adapter."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.apps import apps as django_apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models import CharField, QuerySet, TextField

from django_enrollments.conf import conf
from django_enrollments.importing import load_instance

if TYPE_CHECKING:
    from django.db.models import Field, Model

    from django_enrollments.backends.courses import CourseAdapter


def get_course_model() -> type[Any]:
    """
    Return the class that ``ENROLLMENTS_COURSE_MODEL`` names.

    Raises:
        ImproperlyConfigured: The model is not installed.
    """
    label = conf.ENROLLMENTS_COURSE_MODEL
    try:
        return django_apps.get_model(label, require_ready=False)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"ENROLLMENTS_COURSE_MODEL must be 'app_label.ModelName', not {label!r}."
        ) from error
    except LookupError as error:
        raise ImproperlyConfigured(
            f"ENROLLMENTS_COURSE_MODEL names {label!r}, which is not installed."
        ) from error


def all_courses(using: str | None = None) -> QuerySet[Any]:
    """Return all rows of the course model, also those that the host's managers hide."""
    return QuerySet(get_course_model(), using=using)


def get_course_adapter() -> CourseAdapter:
    """
    Return the adapter that ``ENROLLMENTS_COURSE_ADAPTER`` names.

    Raises:
        ImproperlyConfigured: The adapter cannot be loaded.
    """
    path = conf.ENROLLMENTS_COURSE_ADAPTER
    adapter: CourseAdapter = load_instance("ENROLLMENTS_COURSE_ADAPTER", path)
    return adapter


def course_key_is_id() -> bool:
    """Return whether the course id is the primary key of the course model."""
    key = get_course_model()._meta.pk.name
    return get_course_adapter().course_id in {"pk", key}


def course_id_field() -> Field[Any, Any] | None:
    """Return the field of the course id, or ``None``."""
    model: Any = get_course_model()
    return find_field(model, get_course_adapter().course_id)


def course_id_is_text() -> bool:
    """Return whether the course id is a text field."""
    field = course_id_field()
    return field is None or isinstance(field, CharField | TextField)


@lru_cache(maxsize=256)
def find_field(model: type[Model], path: str) -> Field[Any, Any] | None:
    """Return the field at the end of a ``__`` path, or ``None``."""
    *keys, last = path.split("__")
    for key in keys:
        field = _concrete_field(model, key)
        related = field and field.related_model
        if not isinstance(related, type):
            return None
        model = related
    return _concrete_field(model, last)


def _concrete_field(model: type[Model], name: str) -> Field[Any, Any] | None:
    if name == "pk":
        return model._meta.pk
    fields = model._meta.concrete_fields
    return next((one for one in fields if name in {one.name, one.attname}), None)
