"""
The settings of the app, each typed, declared once and read live.

Only this module reads ``ENROLLMENTS_*`` from Django's settings, at each access, so
``override_settings`` simply works. System checks report a value of the wrong type;
meanwhile the *safe* value replaces it, which never widens access.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from django.conf import settings as django_settings

from django_enrollments.errors import EnrollmentNotAllowed

T = TypeVar("T")
Check = Callable[[object], bool]

#: No whitespace, comma, question mark or hash; no slash at the end; 1-255 characters.
DEFAULT_COURSE_ID_PATTERN = r"[^\s,?#]{0,254}[^\s,?#/]"

#: The strict three-part form of Open edX, for hosts that want it (V1-URL-10).
OPEN_EDX_COURSE_ID_PATTERN = r"[^/+]+(/|\+)[^/+]+(/|\+)[^/?]+"

#: Word characters, space, ``.``, ``@``, ``_``, ``+`` and ``-`` (V1-URL-09).
DEFAULT_USERNAME_PATTERN = r"[\w .@_+-]+"

#: Replaces a dotted path of the wrong type; like any path that cannot be imported, it
#: refuses what needs it.
MISCONFIGURED = "django_enrollments.misconfigured"


class Setting(Generic[T]):
    """
    One setting; as an attribute of :data:`conf`, its value now.

    Attributes:
        default: The value where the host sets none.
        is_valid: Returns whether a value has the right type.
        expected: The right type in words, for the system check and the documentation.
        safe: The value while the host's has the wrong type; the default when not given.
        method: The method of a class that the value names by a dotted path, ``""``
            for a function or module; ``None`` for a value without dotted paths.
    """

    def __init__(
        self,
        default: T,
        is_valid: Check,
        expected: str,
        *,
        safe: T | None = None,
        method: str | None = None,
    ) -> None:
        self.default, self.is_valid, self.expected = default, is_valid, expected
        self.safe: T = default if safe is None else safe
        self.method = method
        self.name = ""
        self._validated: object = default

    def __set_name__(self, owner: type[Settings], name: str) -> None:
        self.name = name

    @property
    def raw(self) -> Any:
        """The host's value, right or wrong, or the default."""
        return getattr(django_settings, self.name, self.default)

    @overload
    def __get__(self, instance: None, owner: type[Settings]) -> Setting[T]: ...
    @overload
    def __get__(self, instance: Settings, owner: type[Settings]) -> T: ...
    def __get__(self, instance: Settings | None, owner: type[Settings]) -> Any:
        if instance is None:
            return self
        value = getattr(django_settings, self.name, self.default)
        if value is self._validated:
            return value
        if not self.is_valid(value):
            return self.safe
        # Lists and dictionaries may change in place, so they are validated each time.
        if isinstance(value, str | int | tuple):
            self._validated = value
        return value


def is_text(value: object) -> bool:
    """Return whether ``value`` is a string that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def _is(kind: type) -> Check:
    return lambda value: isinstance(value, kind)


def _or_none(is_valid: Check) -> Check:
    return lambda value: value is None or is_valid(value)


def _list_of(is_valid: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(is_valid, value))


def _dict_of(is_valid_key: Check, is_valid: Check) -> Check:
    return lambda value: (
        isinstance(value, Mapping)
        and all(is_valid_key(key) and is_valid(one) for key, one in value.items())
    )


def _matches(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))


def _is_pattern(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except (re.error, OverflowError, RecursionError):
        return False


def _is_seconds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_proctoring_options(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(
        value.get("allow_honor_mode", False), bool
    )


_CONSUMER: Mapping[str, Check] = {
    "BACKEND": is_text,
    "OPTIONS": _dict_of(_is(str), lambda value: True),
    "TYPES": _or_none(_list_of(_matches("created|activated|deactivated|mode_changed"))),
    "FILTER": _or_none(lambda value: is_text(value) or callable(value)),
    "PERSONAL": _is(bool),
    "CONCURRENCY": lambda value: _is_seconds(value) and value != 0,
}


def _is_consumer(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and "BACKEND" in value
        and all(key in _CONSUMER and _CONSUMER[key](one) for key, one in value.items())
    )


def refuse_everything(action: str, **context: Any) -> None:
    """Raise :exc:`.EnrollmentNotAllowed`; replaces a filter that is misconfigured."""
    raise EnrollmentNotAllowed("Enrollment is not possible at the moment.")


class _Unmet(dict[str, Sequence[str]]):
    """Requires an attribute of every mode that no enrollment can have."""

    def get(self, mode: str, default: Any = None) -> Any:
        return ["ENROLLMENTS_REQUIRED_ATTRIBUTES:misconfigured"]


def _text(default: str) -> Setting[str]:
    return Setting(default, is_text, "a non-empty string")


def _texts(default: Sequence[str]) -> Setting[Sequence[str]]:
    return Setting(default, _list_of(is_text), "a list of non-empty strings", safe=[])


def _pattern(default: str) -> Setting[str]:
    return Setting(default, _is_pattern, "a regular expression as a string")


def _path(default: str, method: str = "") -> Setting[str]:
    return Setting(default, is_text, "a dotted path", safe=MISCONFIGURED, method=method)


def _optional_path(method: str = "", safe: str | None = None) -> Setting[str | None]:
    expected = "a dotted path or None"
    return Setting(None, _or_none(is_text), expected, safe=safe, method=method)


class Settings:
    """The settings. Read them from :data:`conf`."""

    #: The course model, as ``app_label.ModelName`` (``Meta.swappable``).
    ENROLLMENTS_COURSE_MODEL = _text("django_enrollments.Course")
    #: Dotted path of the class that reads the host's course model.
    ENROLLMENTS_COURSE_ADAPTER = _path(
        "django_enrollments.backends.courses.CourseAdapter", "sources"
    )
    #: Dotted paths of the permission backends, in the order in which they are asked.
    ENROLLMENTS_PERMISSION_BACKENDS: Setting[Sequence[str]] = Setting(
        ["django_enrollments.backends.permissions.CourseRoleBackend"],
        _list_of(is_text),
        "a list of dotted paths",
        safe=[],
        method="has_perm",
    )
    #: Dotted path of the module behind :mod:`django_enrollments.api`.
    ENROLLMENTS_DATA_API = _path("django_enrollments.data")
    #: Slug of the mode of a course that has none.
    ENROLLMENTS_DEFAULT_MODE = _text("audit")
    #: Slugs of the modes that learners may choose for themselves.
    ENROLLMENTS_SELF_SERVICE_MODES = _texts(["audit", "honor"])
    #: Slugs of the modes that count as verified (MODE-11).
    ENROLLMENTS_VERIFIED_MODES = _texts(
        [
            "verified",
            "professional",
            "masters",
            "executive-education",
            "paid-executive-education",
            "paid-bootcamp",
        ]
    )
    #: Slugs of the modes whose learners may sit proctored exams.
    ENROLLMENTS_PROCTORED_MODES = _texts(
        ["verified", "masters", "professional", "executive-education"]
    )
    #: Attributes that a mode requires, each as ``namespace:name``.
    ENROLLMENTS_REQUIRED_ATTRIBUTES: Setting[Mapping[str, Sequence[str]]] = Setting(
        {"credit": ["credit:provider_id"]},
        _dict_of(is_text, _list_of(is_text)),
        "a dictionary of mode slugs to lists of 'namespace:name'",
        safe=_Unmet(),
    )
    #: How long course details stay in the cache, in seconds; 0 is never.
    ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = Setting(
        60, _is_seconds, "a number of seconds, 0 or more", safe=0
    )
    #: Keys for requests from server to server; blank ones never match.
    ENROLLMENTS_API_KEYS: Setting[Sequence[str]] = Setting(
        [], _list_of(_is(str)), "a list of strings"
    )
    #: Name of the HTTP header that carries a key.
    ENROLLMENTS_API_KEY_HEADER = Setting(
        "X-Edx-Api-Key",
        # It is sent in "Vary", where Django raises for a line break.
        _matches(r"[a-zA-Z0-9_!#$%&'*+.^`|~-]+"),
        "the name of an HTTP header",
    )
    #: Dotted paths of authentication classes of Django REST framework; ``None`` for
    #: session authentication and the framework's own defaults.
    ENROLLMENTS_AUTHENTICATION_CLASSES: Setting[Sequence[str] | None] = Setting(
        None,
        _or_none(_list_of(is_text)),
        "a list of dotted paths or None",
        safe=[],
        method="authenticate",
    )
    #: Requests per period for the scopes ``user`` and ``staff``.
    ENROLLMENTS_THROTTLE_RATES: Setting[Mapping[str, str | None]] = Setting(
        {"user": "40/minute", "staff": "120/minute"},
        _dict_of(_matches("user|staff"), _or_none(_matches(r"\d+/[smhd]\w*"))),
        "a dictionary of scopes to rates such as '40/minute', or None",
    )
    #: Pattern of a whole course id in URLs, bodies and queries.
    ENROLLMENTS_COURSE_ID_PATTERN = _pattern(DEFAULT_COURSE_ID_PATTERN)
    #: Pattern of a whole username, normalized, in URLs and list filters.
    ENROLLMENTS_USERNAME_PATTERN = _pattern(DEFAULT_USERNAME_PATTERN)
    #: Whether every course is by invitation.
    ENROLLMENTS_INVITE_ONLY = Setting(False, _is(bool), "True or False", safe=True)
    #: Callables, or their dotted paths, that run before a change.
    ENROLLMENTS_FILTERS: Setting[Sequence[str | Callable[..., Any]]] = Setting(
        [],
        _list_of(lambda value: is_text(value) or callable(value)),
        "a list of dotted paths or callables",
        safe=[refuse_everything],
        method="",
    )
    #: Whether proctored exams exist at all in this project.
    ENROLLMENTS_ENABLE_SPECIAL_EXAMS = Setting(False, _is(bool), "True or False")
    #: Options per proctoring provider: ``{"allow_honor_mode": bool}``.
    ENROLLMENTS_PROCTORING_BACKENDS: Setting[Mapping[str, Mapping[str, Any]]] = Setting(
        {},
        _dict_of(is_text, _is_proctoring_options),
        "a dictionary of providers to {'allow_honor_mode': True or False}",
    )
    #: Dotted path of ``f(name, service)``, called once at start-up.
    ENROLLMENTS_SERVICE_REGISTRAR = _optional_path()
    #: Username of the service user who may retire others.
    ENROLLMENTS_RETIREMENT_SERVICE_USERNAME: Setting[str | None] = Setting(
        None, _or_none(is_text), "a username or None"
    )
    #: Dotted path of the class that delivers notifications.
    ENROLLMENTS_NOTIFICATION_BACKEND = _path(
        "django_enrollments.backends.notifications.EmailBackend", "send"
    )
    #: Dotted path of the class that finds users who asked to be retired.
    ENROLLMENTS_RETIREMENT_BACKEND = _path(
        "django_enrollments.backends.retirement.ModelBackend", "find_retiring_user"
    )
    #: Dotted path of the class that stores a learner's choice about e-mail.
    ENROLLMENTS_EMAIL_OPT_IN_BACKEND = _path(
        "django_enrollments.backends.email_opt_in.ModelBackend", "set_opt_in"
    )
    #: Dotted path of the class that adds learners to cohorts, if any.
    ENROLLMENTS_COHORT_BACKEND = _optional_path("add_user", MISCONFIGURED)
    #: Dotted path of the class that records enterprise enrollments, if any.
    ENROLLMENTS_ENTERPRISE_BACKEND = _optional_path("record_enrollment", MISCONFIGURED)
    #: URL below which ``/course/{course_id}/home`` is, without a slash at the end;
    #: while it is empty, mails have no link.
    ENROLLMENTS_LEARNING_BASE_URL = Setting("", _is(str), "a URL or ''")
    #: The consumers of the event feed by name. Each has a ``BACKEND``, the dotted path
    #: of a class; ``OPTIONS`` for it; ``TYPES`` of events, ``None`` for all; a
    #: ``FILTER``, a callable or its dotted path that returns whether a message is
    #: delivered; ``PERSONAL``, whether messages have usernames and reasons; and
    #: ``CONCURRENCY``, the number of threads.
    ENROLLMENTS_CONSUMERS: Setting[Mapping[str, Mapping[str, Any]]] = Setting(
        {},
        _dict_of(_matches(r"[A-Za-z0-9_.-]{1,64}"), _is_consumer),
        "a dictionary of names to {'BACKEND': a dotted path, 'OPTIONS': {}, 'TYPES': "
        "None or a list, 'FILTER': None or a dotted path, 'PERSONAL': True or False, "
        "'CONCURRENCY': a number}",
    )
    #: The ``source`` of CloudEvents: a URI that names this project.
    ENROLLMENTS_EVENT_SOURCE = _text("/enrollments")
    #: Dotted path of ``f(what: str)``, called after each commit with events while there
    #: are consumers, to start a worker; without it, workers poll.
    ENROLLMENTS_WAKE = _optional_path()


#: The values of the settings now.
conf = Settings()

#: Every setting by its name.
SETTINGS: Mapping[str, Setting[Any]] = {
    name: setting
    for name, setting in vars(Settings).items()
    if isinstance(setting, Setting)
}
