"""
Import of the classes, functions and modules that settings name by dotted paths.

An object that cannot be loaded is refused in this call and loaded again in the next;
only instances are kept. See decision 0009, "A filter or permission backend that cannot
be loaded refuses".
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module, invalidate_caches
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_enrollments.conf import SETTINGS, conf

if TYPE_CHECKING:
    from types import ModuleType

#: The setting that names a module; all others name something in one.
DATA_API = "ENROLLMENTS_DATA_API"

#: The exceptions that host code may raise when it is imported or called; a script that
#: is imported by mistake exits.
FAULTS = (Exception, SystemExit)


class SettingLoadError(ImproperlyConfigured):
    """
    A setting names by a dotted path something that cannot be used.

    Attributes:
        found: The object at the path; ``None`` where the import failed.
    """

    def __init__(self, setting: str, path: str, fault: object, found: Any) -> None:
        super().__init__(f"{setting} names {path!r}, which cannot be loaded: {fault!r}")
        self.found = found


def load(setting: str, path: str, *, instantiate: bool = False) -> Any:
    """
    Return the class, function or module that a setting names, or an instance of it.

    Args:
        path: Dotted path, the setting's value or a part of it.
        instantiate: Whether to return a new instance of the class at the path.

    Raises:
        SettingLoadError: It cannot be imported, called or instantiated, or the
            instance lacks the method of the setting.
    """
    found = None
    try:
        if setting == DATA_API:
            return import_module(path)
        found = import_string(path)
        if not callable(found):
            raise TypeError("It cannot be called.")
        if not instantiate:
            return found
        instance, method = found(), SETTINGS[setting].method
        if not callable(getattr(instance, method or "", None)):
            raise TypeError(f"It has no {method}().")
        return instance
    except FAULTS as error:
        # Python remembers which files a directory had.
        invalidate_caches()
        raise SettingLoadError(setting, path, error, found) from error


@lru_cache(maxsize=64)
def load_instance(setting: str, path: str) -> Any:
    """
    Return an instance of the class that a setting names, the same in each call.

    Raises:
        SettingLoadError: As :func:`load` does; the next call tries again.
    """
    return load(setting, path, instantiate=True)


def load_backend(setting: str) -> Any:
    """
    Return the instance for a setting that holds one path; ``None`` without a path.

    Raises:
        SettingLoadError: As :func:`load` does; the next call tries again.
    """
    path = getattr(conf, setting)
    return None if path is None else load_instance(setting, path)


class ExtraMissing(ImproperlyConfigured):
    """
    A class is used whose extra is not installed.

    Attributes:
        remedy: The command that installs it.
    """

    def __init__(self, library: str, extra: str) -> None:
        self.remedy = f'pip install "django-enrollments[{extra}]"'
        super().__init__(f"{library} is missing; install it with: {self.remedy}")


def import_from_extra(module: str, extra: str) -> ModuleType:
    """
    Import a module of the library that an extra installs.

    Raises:
        ExtraMissing: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ExtraMissing(module.partition(".")[0], extra) from error
