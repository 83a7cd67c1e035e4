"""
System checks of the settings: whatever is misconfigured is told before it is used.

========================== ==========================================================
id                         what is wrong
========================== ==========================================================
django_enrollments.E001    a setting has the wrong type, or a pattern does not compile
django_enrollments.E002    a dotted path cannot be imported
django_enrollments.E003    ``ENROLLMENTS_COURSE_MODEL`` is not installed
django_enrollments.E004    the course adapter maps a name to a missing field
django_enrollments.E005    the adapter's ``course_id`` is not a unique text field
django_enrollments.E006    ``ENROLLMENTS_DATA_API`` lacks a function
django_enrollments.E007    a dotted path names something that cannot do its job
django_enrollments.E008    a class that authenticates needs an extra that is missing
django_enrollments.W001    a setting of this name does not exist
django_enrollments.W002    an API key is blank
django_enrollments.W003    SQLite has ``ATOMIC_REQUESTS`` and begins them as readers
django_enrollments.W004    a mode expires, ``ENROLLMENTS_LEARNING_BASE_URL`` is empty
========================== ==========================================================

Every check is a pure function of the settings, except ``W004``, which reads modes where
databases are checked; ``apps`` registers them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - its name.
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import DatabaseError, connections, router, transaction
from django.db.models import CharField, Field, Model, TextField
from django.db.models.constants import LOOKUP_SEP
from rest_framework.settings import api_settings

from django_enrollments.collaborators import (
    DATA_API,
    FAULTS,
    METHODS,
    import_path,
)
from django_enrollments.conf import SPECS, conf
from django_enrollments.extras import ExtraMissing
from django_enrollments.models import (
    CourseMode,
    get_course_adapter,
    get_course_model,
)

AppConfigs = Sequence[AppConfig] | None

#: What ``ENROLLMENTS_DATA_API`` must offer (contract §5).
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

_AUTHENTICATION = "ENROLLMENTS_AUTHENTICATION_CLASSES"
_API_KEYS = "ENROLLMENTS_API_KEYS"
_LEARNING_BASE_URL = "ENROLLMENTS_LEARNING_BASE_URL"


def check_names(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Report every ``ENROLLMENTS_…`` setting that does not exist (W001)."""
    found: list[CheckMessage] = []
    for name in conf.names_set_by_host():
        if name not in SPECS:
            (nearest,) = get_close_matches(name, SPECS, n=1, cutoff=0)
            message = f"{name} is no setting of django_enrollments and does nothing."
            hint = f"Did you mean {nearest}?"
            found.append(Warning(message, hint=hint, id="django_enrollments.W001"))
    return found


def check_types(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Report every setting whose value has the wrong type (E001)."""
    found: list[CheckMessage] = []
    for name, spec in SPECS.items():
        value = conf.raw(name)
        if not spec.accepts(value):
            # Keys are secrets, and what checks print ends up in logs.
            kind = type(value).__name__
            shown = f"a {kind} (hidden)" if name == _API_KEYS else repr(value)
            message = f"{name} must be {spec.expected}, not {shown}."
            hint = f"Write {name} = {spec.default!r}, for example."
            found.append(Error(message, hint=hint, id="django_enrollments.E001"))
    return found


def check_paths(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Report dotted paths that do not import (E002) or do not fit (E007)."""
    found: list[CheckMessage] = []
    for name in SPECS:
        for path in _dotted_paths(name):
            try:
                target = import_path(name, path)
            except FAULTS as error:
                message = f"{name} names {path!r}, which cannot be imported: {error}"
                kind = "package.module"
                if name != DATA_API:
                    kind += ".Name"
                hint = f"Write a path like '{kind}' that Python can import here."
                found.append(Error(message, hint=hint, id="django_enrollments.E002"))
            else:
                found += _check_target(name, path, target)
    return found


def check_api_keys(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Report blank API keys, which never match (W002)."""
    if all(key.strip() for key in conf.ENROLLMENTS_API_KEYS):
        return []
    message = f"{_API_KEYS} holds a blank key, which lets nobody in."
    hint = "Remove it; if it comes from the environment, set the variable."
    return [Warning(message, hint=hint, id="django_enrollments.W002")]


def check_databases(
    app_configs: AppConfigs = None, **kwargs: Any
) -> list[CheckMessage]:
    """
    Report SQLite with ``ATOMIC_REQUESTS`` whose transactions begin as readers (W003).

    SQLite refuses to let them write once another connection has written.
    """
    found: list[CheckMessage] = []
    for alias in connections:
        connection = connections[alias]
        settings = connection.settings_dict
        mode = settings["OPTIONS"].get("transaction_mode") or ""
        if (
            connection.vendor == "sqlite"
            and settings["ATOMIC_REQUESTS"]
            and mode.upper() not in {"IMMEDIATE", "EXCLUSIVE"}
        ):
            message = (
                f"The SQLite database {alias!r} has ATOMIC_REQUESTS: a request that "
                "reads before it writes may fail with 'database is locked'."
            )
            hint = 'Set "transaction_mode": "IMMEDIATE" in its OPTIONS.'
            found.append(Warning(message, hint=hint, id="django_enrollments.W003"))
    return found


def check_extras(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """
    Report classes that authenticate and lack their extra (E008).

    Those that Django REST framework uses by default count too: our classes may be
    among them, for the host's own views as well.
    """
    found: list[CheckMessage] = []
    for name, kind in _authentication_classes():
        missing = _missing_extra(kind)
        if missing:
            where = f"{kind.__module__}.{kind.__qualname__}"
            message = f"{name} names {where!r}, which cannot be used: {missing}"
            hint = f"Run {missing.remedy}, or take the class out."
            found.append(Error(message, hint=hint, id="django_enrollments.E008"))
    return found


def check_course_model(
    app_configs: AppConfigs = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report a course model that is not installed (E003)."""
    try:
        get_course_model()
    except ImproperlyConfigured as error:
        hint = "Write 'app_label.ModelName' of a model in INSTALLED_APPS."
        return [Error(str(error), hint=hint, id="django_enrollments.E003")]
    return []


def check_course_adapter(
    app_configs: AppConfigs = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report a mapping that does not fit the course model (E004, E005)."""
    try:
        adapter = get_course_adapter()
        model = get_course_model()
        sources = adapter.sources()
    except Exception:  # noqa: BLE001 - E002, E003 or E007 tells.
        return []
    where = f"{type(adapter).__module__}.{type(adapter).__qualname__}"
    found: list[CheckMessage] = []
    for name, source in sources.items():
        fits = source is None or callable(source) or _find_field(model, source)
        if name != "course_id" and not fits:
            message = f"{where}.{name} is {source!r}, no field of {model.__name__}."
            hint = "Name a field, a path of foreign keys joined by '__', or None."
            found.append(Error(message, hint=hint, id="django_enrollments.E004"))
    if not _is_unique_text(model, sources["course_id"]):
        message = (
            f"{where}.course_id is {sources['course_id']!r}, no unique text field of "
            f"{model.__name__}."
        )
        hint = "Name a CharField or TextField of the model that has unique=True."
        found.append(Error(message, hint=hint, id="django_enrollments.E005"))
    return found


def check_learning_base_url(
    app_configs: AppConfigs = None,
    databases: Collection[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """Report that notifications of expiring modes have no link (W004)."""
    using = router.db_for_read(CourseMode)
    if conf.ENROLLMENTS_LEARNING_BASE_URL or using not in (databases or ()):
        return []
    mode = conf.ENROLLMENTS_DEFAULT_MODE
    modes = CourseMode.objects.using(using).filter(mode_slug=mode)
    try:
        with transaction.atomic(using):
            expires = modes.exclude(expiration_datetime=None).exists()
    except DatabaseError:
        # The tables have not been created yet.
        return []
    if not expires:
        return []
    message = (
        f"{_LEARNING_BASE_URL} is empty, and the mode {mode!r} of a course expires, so "
        "send_expiry_notifications sends mails without a link."
    )
    hint = f"Write {_LEARNING_BASE_URL} = 'https://learn.example.org', for example."
    return [Warning(message, hint=hint, id="django_enrollments.W004")]


#: What ``apps`` registers.
CHECKS: Sequence[Callable[..., list[CheckMessage]]] = (
    check_names,
    check_types,
    check_paths,
    check_api_keys,
    check_databases,
    check_extras,
    check_course_model,
    check_course_adapter,
    check_learning_base_url,
)


def _dotted_paths(name: str) -> Iterator[str]:
    """Give the dotted paths in a setting; none where its type is wrong."""
    value = conf.raw(name)
    if SPECS[name].dotted and SPECS[name].accepts(value):
        for path in value if isinstance(value, list | tuple) else [value]:
            if isinstance(path, str):
                yield path


def _check_target(name: str, path: str, target: Any) -> list[CheckMessage]:
    """Report what a path leads to when it cannot do its job (E006, E007)."""
    if name == DATA_API:
        missing = [one for one in DATA_FUNCTIONS if not _has(target, one)]
        if not missing:
            return []
        message = f"{name} names {path!r}, which lacks {', '.join(missing)}."
        hint = "Define them as in django_enrollments.data, or import them from there."
        return [Error(message, hint=hint, id="django_enrollments.E006")]
    if name in METHODS:
        fault = _fault_of_class(target, METHODS[name])
        if fault is None:
            return []
        message = f"{name} names {path!r}, {fault}."
        hint = f"Name a class with {METHODS[name]}() that needs no arguments to make."
    elif callable(target):
        return []
    else:
        message = f"{name} names {path!r}, which cannot be called."
        hint = "Name a function."
    return [Error(message, hint=hint, id="django_enrollments.E007")]


def _fault_of_class(target: Any, method: str) -> str | None:
    """Tell why a backend cannot be made of this, or ``None`` when it can."""
    if not isinstance(target, type):
        return "which is no class"
    if not _has(target, method):
        return f"a class without {method}()"
    try:
        target()
    except ExtraMissing:
        # E008 tells.
        return None
    except FAULTS as error:
        return f"which cannot be made: {error}"
    return None


def _authentication_classes() -> Iterator[tuple[str, Any]]:
    """Give each class that may authenticate, with the setting that names it."""
    for path in _dotted_paths(_AUTHENTICATION):
        with suppress(*FAULTS):  # E002 tells.
            yield _AUTHENTICATION, import_path(_AUTHENTICATION, path)
    with suppress(Exception):  # Django REST framework tells, when it is used.
        for kind in api_settings.DEFAULT_AUTHENTICATION_CLASSES:
            yield "DEFAULT_AUTHENTICATION_CLASSES of REST_FRAMEWORK", kind


def _missing_extra(kind: Any) -> ExtraMissing | None:
    """Give what making an instance of a class says about an extra, if it does."""
    if not isinstance(kind, type):
        return None
    try:
        kind()
    except ExtraMissing as missing:
        return missing
    except FAULTS:  # E007 tells, or it is none of ours.
        return None
    return None


def _has(target: Any, name: str) -> bool:
    return callable(getattr(target, name, None))


def _find_field(model: type[Model], path: object) -> Field[Any, Any] | None:
    """Give the field at the end of a path that queries can follow, if there is one."""
    field: Any = None
    following: Any = model
    for part in path.split(LOOKUP_SEP) if isinstance(path, str) else ():
        if following is None:
            return None
        try:
            options = following._meta
            field = options.pk if part == "pk" else options.get_field(part)
        except FieldDoesNotExist:
            return None
        if not field.concrete:
            return None
        following = field.related_model
    return field  # type: ignore[no-any-return]  # A field, after at least one part.


def _is_unique_text(model: type[Model], source: object) -> bool:
    """Tell whether a source is one unique text column of the course itself."""
    if not isinstance(source, str) or LOOKUP_SEP in source:
        return False
    field = _find_field(model, source)
    if not isinstance(field, CharField | TextField):
        return False
    constraints = model._meta.total_unique_constraints
    return field.unique or any(one.fields == (field.name,) for one in constraints)
