"""
System checks of the settings, of the course adapter and of migrations.

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
django_enrollments.E009    a swapped model is created after this app's first migration
django_enrollments.E010    migrations of a swapped model and of this app form a circle
django_enrollments.E011    the database refers to another table of courses
django_enrollments.E012    a consumer's backend, filter or options cannot be used
django_enrollments.E013    a consumer's backend needs an extra that is missing
django_enrollments.E014    a webhook has no secret, or no ``https``
django_enrollments.W001    a setting of this name does not exist
django_enrollments.W002    an API key is blank
django_enrollments.W003    SQLite has ``ATOMIC_REQUESTS`` and begins them as readers
django_enrollments.W004    a mode expires, ``ENROLLMENTS_LEARNING_BASE_URL`` is empty
django_enrollments.W005    RabbitMQ is not asked to confirm what a consumer sends
django_enrollments.W006    PostgreSQL hands out ids of events in blocks
========================== ==========================================================

``apps`` registers the checks. Those of migrations read the migration files; only E011,
W004 and W006 query a database, in ``migrate`` and in ``check --database``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - its name.
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router, transaction
from django.db.migrations import CreateModel
from django.db.migrations.exceptions import CircularDependencyError
from django.db.migrations.loader import MigrationLoader
from django.db.models import CharField, Model, TextField
from rest_framework.settings import api_settings

from django_enrollments.conf import SETTINGS, Setting, conf
from django_enrollments.course_model import find_field
from django_enrollments.data import DATA_FUNCTIONS
from django_enrollments.delivery.backends import CeleryBackend, InsecureWebhook
from django_enrollments.delivery.consumers import Declared
from django_enrollments.importing import (
    DATA_API,
    FAULTS,
    ExtraMissing,
    SettingLoadError,
    load,
)
from django_enrollments.models import (
    CourseMode,
    EnrollmentEvent,
    get_course_adapter,
    get_course_model,
)

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.migrations.operations.base import Operation

AppConfigs = Sequence[AppConfig] | None

_APP = "django_enrollments"
_DEFAULT_MODELS = {"auth.User", f"{_APP}.Course"}
_API_KEYS = "ENROLLMENTS_API_KEYS"
_CONSUMERS = "ENROLLMENTS_CONSUMERS"
#: The settings that hold secrets.
_WITH_SECRETS = frozenset({_API_KEYS, _CONSUMERS})
_LEARNING_BASE_URL = "ENROLLMENTS_LEARNING_BASE_URL"


def check_names(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Report every ``ENROLLMENTS_…`` setting that does not exist (W001)."""
    found: list[CheckMessage] = []
    for name in sorted(dir(settings)):
        if name.startswith("ENROLLMENTS_") and name not in SETTINGS:
            (nearest,) = get_close_matches(name, SETTINGS, n=1, cutoff=0)
            message = f"{name} is no setting of django_enrollments and does nothing."
            hint = f"Did you mean {nearest}?"
            found.append(Warning(message, hint=hint, id="django_enrollments.W001"))
    return found


def check_types(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Report every setting whose value has the wrong type (E001)."""
    found: list[CheckMessage] = []
    for name, setting in SETTINGS.items():
        value = setting.raw
        if not setting.is_valid(value):
            # Logs contain the output of checks.
            kind = type(value).__name__
            shown = f"a {kind} (hidden)" if name in _WITH_SECRETS else repr(value)
            message = f"{name} must be {setting.expected}, not {shown}."
            hint = f"Write {name} = {setting.default!r}, for example."
            found.append(Error(message, hint=hint, id="django_enrollments.E001"))
    return found


def check_paths(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Report dotted paths to missing (E002) or unusable objects (E006, E007)."""
    found: list[CheckMessage] = []
    for setting in SETTINGS.values():
        for path in _dotted_paths(setting):
            try:
                target = load(setting.name, path, instantiate=bool(setting.method))
            except SettingLoadError as error:
                # E008 reports a missing extra.
                if not isinstance(error.__cause__, ExtraMissing):
                    found.append(_report(setting, error))
            else:
                if setting.name == DATA_API:
                    found += _check_data_api(path, target)
    return found


def check_api_keys(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Report blank API keys, which never match (W002)."""
    if all(key.strip() for key in conf.ENROLLMENTS_API_KEYS):
        return []
    message = f"{_API_KEYS} holds a blank key, which is never valid."
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
        database = settings.DATABASES[alias]
        mode = database["OPTIONS"].get("transaction_mode") or ""
        if (
            connection.vendor == "sqlite"
            and database["ATOMIC_REQUESTS"]
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
    Report authentication classes whose extra is missing (E008).

    The defaults of Django REST framework count too: our classes may be among them, for
    the host's own views as well.
    """
    found: list[CheckMessage] = []
    for name, kind in _authentication_classes():
        try:
            kind()
        except ExtraMissing as missing:
            path = f"{kind.__module__}.{kind.__qualname__}"
            message = f"{name} names {path!r}, which cannot be used: {missing}"
            hint = f"Run {missing.remedy}, or remove the class."
            found.append(Error(message, hint=hint, id="django_enrollments.E008"))
        except FAULTS:  # E007 reports it, or it is not ours.
            continue
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
        model: type[Model] = get_course_model()
        sources = adapter.sources()
    except Exception:  # noqa: BLE001 - E002, E003 or E007 reports it.
        return []
    where = f"{type(adapter).__module__}.{type(adapter).__qualname__}"
    found: list[CheckMessage] = []
    for name, source in sources.items():
        is_field = isinstance(source, str) and find_field(model, source)
        if name != "course_id" and not (is_field or source is None or callable(source)):
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


def check_consumers(
    app_configs: AppConfigs = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report consumers that cannot be delivered to (E012, E013, E014, W005)."""
    found: list[CheckMessage] = []
    for name in conf.ENROLLMENTS_CONSUMERS:
        where = f"The consumer {name!r} of {_CONSUMERS}"
        try:
            backend = Declared(name).backend
        except ExtraMissing as missing:
            message = f"{where} cannot be used: {missing}"
            hint = f"Run {missing.remedy}."
            found.append(Error(message, hint=hint, id="django_enrollments.E013"))
        except InsecureWebhook as error:
            message = f"{where} is not secure: {error}"
            hint = "Use https and secrets; or, in your own network, allow_private."
            found.append(Error(message, hint=hint, id="django_enrollments.E014"))
        except FAULTS as error:
            message = f"{where} cannot be used: {error}"
            hint = "Correct the dotted paths, and the keys of OPTIONS."
            found.append(Error(message, hint=hint, id="django_enrollments.E012"))
        else:
            if isinstance(backend, CeleryBackend) and not backend.is_confirmed():
                message = (
                    f"{where} sends to a broker that is not asked to confirm, so "
                    "events can be lost."
                )
                hint = 'Add "confirm_publish": True to broker_transport_options.'
                found.append(Warning(message, hint=hint, id="django_enrollments.W005"))
    return found


def check_event_ids(
    app_configs: AppConfigs = None,
    databases: Collection[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """Report a sequence of PostgreSQL whose ids are not in the order of time (W006)."""
    using = router.db_for_write(EnrollmentEvent)
    connection = connections[using]
    if connection.vendor != "postgresql" or using not in (databases or ()):
        return []
    try:
        with transaction.atomic(using), connection.cursor() as cursor:
            cursor.execute(
                "SELECT seqrelid::regclass::text, seqcache FROM pg_sequence "
                "WHERE seqrelid = "
                "pg_get_serial_sequence(format('%%I', %s), 'id')::regclass",
                [EnrollmentEvent._meta.db_table],
            )
            row = cursor.fetchone()
    except DatabaseError:
        # The tables have not been created yet.
        return []
    if row is None or row[1] <= 1:
        return []
    message = (
        f"Each connection takes {row[1]} ids at once from the sequence {row[0]}, so "
        "the ids of an enrollment's events are not in the order of its changes."
    )
    hint = f"Run ALTER SEQUENCE {row[0]} CACHE 1."
    return [Warning(message, hint=hint, id="django_enrollments.W006")]


def check_migrations(
    app_configs: AppConfigs = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report migrations that cannot run on an empty database (E009, E010)."""
    labels = {
        "AUTH_USER_MODEL": settings.AUTH_USER_MODEL,
        "ENROLLMENTS_COURSE_MODEL": conf.ENROLLMENTS_COURSE_MODEL,
    }
    if _DEFAULT_MODELS.issuperset(labels.values()):
        return []
    try:
        graph = MigrationLoader(None).graph
    except CircularDependencyError as error:
        if f"{_APP}." not in str(error):
            return []
        message = f"These migrations depend on each other: {error}."
        hint = (
            "Create the model that a setting names in a migration that refers to no "
            f"model of {_APP}; put foreign keys to such models into a later one."
        )
        return [Error(message, hint=hint, id="django_enrollments.E010")]
    except Exception:  # noqa: BLE001 - "migrate" reports what else is wrong with them.
        return []
    # As "migrate" orders them.
    plan = dict.fromkeys(
        key for leaf in graph.leaf_nodes() for key in graph.forwards_plan(leaf)
    )
    before = set(takewhile(lambda key: key[0] != _APP, plan))
    found: list[CheckMessage] = []
    for name, label in labels.items():
        for app_label, migration in plan.keys() - before:
            if app_label != _APP and any(
                _creates(operation, app_label, label.lower())
                for operation in graph.nodes[app_label, migration].operations
            ):
                message = (
                    f"{name} names a model that {app_label}.{migration} creates, and "
                    f"{_APP}.0001_initial runs before that."
                )
                hint = f'Add run_before = [("{_APP}", "0001_initial")] to {migration}.'
                found.append(Error(message, hint=hint, id="django_enrollments.E009"))
    return found


def check_course_tables(
    app_configs: AppConfigs = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """Report databases made for another course model (E011)."""
    try:
        model = get_course_model()
    except ImproperlyConfigured:  # E003 reports it.
        return []
    # A table may be named with its schema.
    wanted = model._meta.db_table.rpartition('"."')[2].strip('"')
    found: list[CheckMessage] = []
    for alias in databases or ():
        if not router.allow_migrate_model(alias, CourseMode):
            continue
        table = _referenced_table(connections[alias])
        if table in {None, wanted} or _is_pending(connections[alias], model):
            continue
        message = (
            f"In the database {alias!r}, courses are rows of the table {table!r}, but "
            f"ENROLLMENTS_COURSE_MODEL names {model._meta.label!r}, whose table is "
            f"{wanted!r}."
        )
        hint = (
            "Restore the setting, and move the enrollments as the how-to page 'Change "
            "the course model later' describes."
        )
        found.append(Error(message, hint=hint, id="django_enrollments.E011"))
    return found


#: The checks that ``apps`` registers.
CHECKS: Sequence[Callable[..., list[CheckMessage]]] = (
    check_names,
    check_types,
    check_paths,
    check_api_keys,
    check_databases,
    check_extras,
    check_course_model,
    check_course_adapter,
    check_consumers,
    check_migrations,
)

#: The checks of databases that ``apps`` registers.
DATABASE_CHECKS: Sequence[Callable[..., list[CheckMessage]]] = (
    check_course_tables,
    check_learning_base_url,
    check_event_ids,
)


def _dotted_paths(setting: Setting[Any]) -> Iterator[str]:
    """Yield the dotted paths in a setting; none where its type is wrong."""
    value = setting.raw
    if setting.method is not None and setting.is_valid(value):
        for path in value if isinstance(value, list | tuple) else [value]:
            if isinstance(path, str):
                yield path


def _report(setting: Setting[Any], error: SettingLoadError) -> CheckMessage:
    if error.found is None:
        kind = "package.module" + ("" if setting.name == DATA_API else ".Name")
        hint = f"Write a path like '{kind}' that Python can import here."
        return Error(str(error), hint=hint, id="django_enrollments.E002")
    hint = "Name a function."
    if setting.method:
        hint = f"Name a class with {setting.method}() that takes no arguments."
    return Error(str(error), hint=hint, id="django_enrollments.E007")


def _check_data_api(path: str, module: Any) -> list[CheckMessage]:
    missing = [
        one for one in DATA_FUNCTIONS if not callable(getattr(module, one, None))
    ]
    if not missing:
        return []
    message = f"{DATA_API} names {path!r}, which lacks {', '.join(missing)}."
    hint = "Define them as in django_enrollments.data, or import them from there."
    return [Error(message, hint=hint, id="django_enrollments.E006")]


def _authentication_classes() -> Iterator[tuple[str, Any]]:
    """Yield each authentication class, with the setting that names it."""
    setting = SETTINGS["ENROLLMENTS_AUTHENTICATION_CLASSES"]
    for path in _dotted_paths(setting):
        with suppress(SettingLoadError):  # E002 reports it.
            yield setting.name, load(setting.name, path)
    with suppress(Exception):  # Django REST framework raises, when it is used.
        for kind in api_settings.DEFAULT_AUTHENTICATION_CLASSES:
            yield "DEFAULT_AUTHENTICATION_CLASSES of REST_FRAMEWORK", kind


def _creates(operation: Operation, app_label: str, label: str) -> bool:
    """Return whether an operation creates the model with this lower-case label."""
    # Where a model moves between apps, only the state's operations create it.
    operations = (operation, *getattr(operation, "state_operations", ()))
    return any(
        isinstance(one, CreateModel) and f"{app_label}.{one.name_lower}" == label
        for one in operations
    )


def _referenced_table(connection: BaseDatabaseWrapper) -> str | None:
    """Return the table that course modes refer to; ``None`` where there is none."""
    meta = CourseMode._meta
    with connection.cursor() as cursor:
        relations = connection.introspection.get_relations(cursor, meta.db_table)
    # Column and table; from Django 6.1 on, something more.
    relation = relations.get(meta.get_field("course").column)
    return relation and relation[1]


def _is_pending(connection: BaseDatabaseWrapper, model: type[Model]) -> bool:
    """Return whether a migration of a model's app, which may rename it, is due."""
    try:
        loader = MigrationLoader(connection)
    except Exception:  # noqa: BLE001 - E010 or "migrate" reports what is wrong.
        return True
    return any(
        app_label == model._meta.app_label
        for app_label, _ in loader.graph.nodes.keys() - loader.applied_migrations.keys()
    )


def _is_unique_text(model: type[Model], source: object) -> bool:
    """Return whether a source is one unique text column of the course itself."""
    if not isinstance(source, str) or "__" in source:
        return False
    field = find_field(model, source)
    if not isinstance(field, CharField | TextField):
        return False
    constraints = model._meta.total_unique_constraints
    return field.unique or any(one.fields == (field.name,) for one in constraints)
