"""
Import of the classes, functions and modules that the settings name by dotted paths.

What cannot be loaded is refused at this call and tried again at the next; only
instances that could be made are kept. See the decision "A filter or permission backend
that cannot be loaded refuses".
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module, invalidate_caches
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The setting that names a module; all others name something in one.
DATA_API = "ENROLLMENTS_DATA_API"

#: The functions of that module (contract §5).
DATA_FUNCTIONS = (
    "get_course_enrollments",
    "get_course_enrollment",
    "get_user_enrollments",
    "create_course_enrollment",
    "update_course_enrollment",
    "add_or_update_enrollment_attr",
    "get_enrollment_attributes",
    "unenroll_user_from_all_courses",
    "get_course_enrollment_info",
    "get_user_roles",
    "serialize_enrollments",
)

#: The method that a class needs, by the setting that names it.
METHODS = {
    "ENROLLMENTS_COURSE_ADAPTER": "sources",
    "ENROLLMENTS_PERMISSION_BACKENDS": "has_perm",
    "ENROLLMENTS_AUTHENTICATION_CLASSES": "authenticate",
    "ENROLLMENTS_NOTIFICATION_BACKEND": "send",
    "ENROLLMENTS_RETIREMENT_BACKEND": "find_retiring_user",
    "ENROLLMENTS_EMAIL_OPT_IN_BACKEND": "set_opt_in",
    "ENROLLMENTS_COHORT_BACKEND": "add_user",
    "ENROLLMENTS_ENTERPRISE_BACKEND": "record_enrollment",
}

#: What host code may raise while it is imported or called; a script that is imported by
#: mistake exits.
FAULTS = (Exception, SystemExit)


class CollaboratorNotLoaded(ImproperlyConfigured):
    """What a setting names by a dotted path cannot be used."""


def import_path(setting: str, path: str) -> Any:
    """
    Import what a setting names, whatever it is.

    Args:
        setting: Name of the setting.
        path: Dotted path.

    Raises:
        Exception: What the import raised, or ``SystemExit``.
    """
    return import_module(path) if setting == DATA_API else import_string(path)


def load(setting: str, path: str) -> Any:
    """
    Import a class, function or module, and check that it is one.

    Args:
        setting: Name of the setting.
        path: Dotted path.

    Raises:
        CollaboratorNotLoaded: It cannot be imported, or lacks what it is used for.
    """
    with _loading(setting, path):
        found = import_path(setting, path)
        if setting != DATA_API and not callable(found):
            raise TypeError("It cannot be called.")
        return found


@lru_cache(maxsize=64)
def load_instance(setting: str, path: str) -> Any:
    """
    Return an instance of a class, the same at each call.

    Args:
        setting: Name of the setting, a key of ``METHODS``.
        path: Dotted path.

    Raises:
        CollaboratorNotLoaded: The class cannot be imported, or no instance can be made,
            or it lacks its method. The next call tries again.
    """
    kind = load(setting, path)
    with _loading(setting, path):
        instance = kind()
        if not callable(getattr(instance, METHODS[setting], None)):
            raise TypeError(f"It has no {METHODS[setting]}().")
        return instance


@contextmanager
def _loading(setting: str, path: str) -> Iterator[None]:
    try:
        yield
    except FAULTS as error:
        # Python remembers which files a directory had.
        invalidate_caches()
        raise CollaboratorNotLoaded(
            f"{setting} names {path!r}, which cannot be loaded: {error!r}"
        ) from error
