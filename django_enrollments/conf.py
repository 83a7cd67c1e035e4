"""
The settings of the app, each typed and read live.

Only this module reads ``django.conf.settings``; nothing is cached, so
``override_settings`` simply works. ``SPECS`` declares every name once, with its
default and the check that its value must pass; the properties of :class:`Settings`
give the values their types. A value of the wrong type is reported by the system
checks and meanwhile replaced by the *safe* value, which never grants anything that
the host did not clearly grant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from django_enrollments.errors import EnrollmentNotAllowed

PREFIX = "ENROLLMENTS_"

#: No whitespace, comma, question mark or hash; no slash at the end; 1-255 characters.
DEFAULT_COURSE_ID_PATTERN = r"[^\s,?#]{0,254}[^\s,?#/]"

#: The strict three-part form of Open edX, for hosts that want it (V1-URL-10).
OPEN_EDX_COURSE_ID_PATTERN = r"[^/+]+(/|\+)[^/+]+(/|\+)[^/?]+"

#: Word characters, space, ``.``, ``@``, ``_``, ``+`` and ``-`` (V1-URL-09).
DEFAULT_USERNAME_PATTERN = r"[\w .@_+-]+"

#: Slugs that count as verified (MODE-11).
DEFAULT_VERIFIED_MODES = [
    "verified",
    "professional",
    "masters",
    "executive-education",
    "paid-executive-education",
    "paid-bootcamp",
]


def is_text(value: object) -> bool:
    """Return whether ``value`` is a string with something in it."""
    return isinstance(value, str) and bool(value.strip())


def _is_any_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or is_text(value)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list_of(member: Callable[[object], bool]) -> Callable[[object], bool]:
    def is_list(value: object) -> bool:
        return isinstance(value, list | tuple) and all(map(member, value))

    return is_list


def _is_list_of_texts_or_none(value: object) -> bool:
    return value is None or _is_list_of(is_text)(value)


def _is_path_or_callable(value: object) -> bool:
    return is_text(value) or callable(value)


def _is_header_name(value: object) -> bool:
    # It is sent in "Vary", where Django raises for a line break.
    return isinstance(value, str) and bool(
        re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", value, re.A)
    )


def _is_pattern(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_required_attributes(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        is_text(mode) and _is_list_of(is_text)(names) for mode, names in value.items()
    )


def _is_throttle_rates(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        scope in {"user", "staff"}
        and (
            rate is None
            or (isinstance(rate, str) and re.fullmatch(r"\d+/[smhd]\w*", rate))
        )
        for scope, rate in value.items()
    )


def refuse_everything(action: str, **context: Any) -> None:
    """
    Veto: stands in for a filter that cannot be asked because it is misconfigured.

    Args:
        action: What is about to happen.
        context: Ignored.

    Raises:
        EnrollmentNotAllowed: Always; a filter that cannot be called is not skipped.
    """
    raise EnrollmentNotAllowed("Enrollment is not possible at the moment.")


def _is_proctoring_backends(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        is_text(provider)
        and isinstance(options, Mapping)
        and isinstance(options.get("allow_honor_mode", False), bool)
        for provider, options in value.items()
    )


@dataclass(frozen=True)
class Spec:
    """
    What one setting may be.

    Attributes:
        default: The value when the host sets none.
        accepts: Whether a value has the right type.
        expected: The right type, in words, for the system check.
        safe: The value used while the host's has the wrong type; it never widens
            access.
        dotted: Whether the value holds dotted paths that must import.
    """

    default: Any
    accepts: Callable[[object], bool]
    expected: str
    safe: Any
    dotted: bool = False


def _text(default: str) -> Spec:
    return Spec(default, is_text, "a non-empty string", default)


#: Stands in for a path of the wrong type; like any path that cannot be imported, it
#: refuses whatever needs it.
MISCONFIGURED = "django_enrollments.misconfigured"


class _Unmet(dict[str, list[str]]):
    """Requires of every mode what no attribute can be."""

    def __missing__(self, mode: str) -> list[str]:
        return ["ENROLLMENTS_REQUIRED_ATTRIBUTES:misconfigured"]

    def get(self, mode: str, default: Any = None) -> Any:
        return self[mode]


def _dotted(default: str) -> Spec:
    return Spec(default, is_text, "a dotted path", MISCONFIGURED, dotted=True)


def _optional_dotted() -> Spec:
    return Spec(
        None, _is_text_or_none, "a dotted path or None", MISCONFIGURED, dotted=True
    )


def _switch(*, safe: bool) -> Spec:
    return Spec(False, _is_bool, "True or False", safe)


def _texts(default: Sequence[str]) -> Spec:
    return Spec(default, _is_list_of(is_text), "a list of non-empty strings", [])


def _pattern(default: str) -> Spec:
    return Spec(default, _is_pattern, "a regular expression as a string", default)


SPECS: Mapping[str, Spec] = {
    "ENROLLMENTS_COURSE_MODEL": _text("django_enrollments.Course"),
    "ENROLLMENTS_COURSE_ADAPTER": _dotted(
        "django_enrollments.backends.courses.CourseAdapter"
    ),
    "ENROLLMENTS_PERMISSION_BACKENDS": Spec(
        ["django_enrollments.backends.permissions.CourseRoleBackend"],
        _is_list_of(is_text),
        "a list of dotted paths",
        [],
        dotted=True,
    ),
    "ENROLLMENTS_DATA_API": _dotted("django_enrollments.data"),
    "ENROLLMENTS_DEFAULT_MODE": _text("audit"),
    "ENROLLMENTS_SELF_SERVICE_MODES": _texts(["audit", "honor"]),
    "ENROLLMENTS_VERIFIED_MODES": _texts(DEFAULT_VERIFIED_MODES),
    "ENROLLMENTS_PROCTORED_MODES": _texts(
        ["verified", "masters", "professional", "executive-education"]
    ),
    "ENROLLMENTS_REQUIRED_ATTRIBUTES": Spec(
        {"credit": ["credit:provider_id"]},
        _is_required_attributes,
        "a dictionary of mode slugs to lists of 'namespace:name'",
        _Unmet(),
    ),
    "ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS": Spec(
        60, _is_seconds, "a number of seconds, 0 or more", 0
    ),
    "ENROLLMENTS_API_KEYS": Spec(
        [], _is_list_of(_is_any_text), "a list of strings", []
    ),
    "ENROLLMENTS_API_KEY_HEADER": Spec(
        "X-Edx-Api-Key",
        _is_header_name,
        "the name of an HTTP header",
        "X-Edx-Api-Key",
    ),
    "ENROLLMENTS_AUTHENTICATION_CLASSES": Spec(
        None,
        _is_list_of_texts_or_none,
        "a list of dotted paths or None",
        [],
        dotted=True,
    ),
    "ENROLLMENTS_THROTTLE_RATES": Spec(
        {"user": "40/minute", "staff": "120/minute"},
        _is_throttle_rates,
        "a dictionary of scopes to rates such as '40/minute', or None",
        {"user": "40/minute", "staff": "120/minute"},
    ),
    "ENROLLMENTS_COURSE_ID_PATTERN": _pattern(DEFAULT_COURSE_ID_PATTERN),
    "ENROLLMENTS_USERNAME_PATTERN": _pattern(DEFAULT_USERNAME_PATTERN),
    "ENROLLMENTS_INVITE_ONLY": _switch(safe=True),
    "ENROLLMENTS_FILTERS": Spec(
        [],
        _is_list_of(_is_path_or_callable),
        "a list of dotted paths or callables",
        [refuse_everything],
        dotted=True,
    ),
    "ENROLLMENTS_ENABLE_SPECIAL_EXAMS": _switch(safe=False),
    "ENROLLMENTS_PROCTORING_BACKENDS": Spec(
        {},
        _is_proctoring_backends,
        "a dictionary of providers to {'allow_honor_mode': True or False}",
        {},
    ),
    "ENROLLMENTS_SERVICE_REGISTRAR": Spec(
        None, _is_text_or_none, "a dotted path or None", None, dotted=True
    ),
    "ENROLLMENTS_RETIREMENT_SERVICE_USERNAME": Spec(
        None, _is_text_or_none, "a username or None", None
    ),
    "ENROLLMENTS_NOTIFICATION_BACKEND": _dotted(
        "django_enrollments.backends.notifications.EmailBackend"
    ),
    "ENROLLMENTS_RETIREMENT_BACKEND": _dotted(
        "django_enrollments.backends.retirement.ModelBackend"
    ),
    "ENROLLMENTS_EMAIL_OPT_IN_BACKEND": _dotted(
        "django_enrollments.backends.email_opt_in.ModelBackend"
    ),
    "ENROLLMENTS_COHORT_BACKEND": _optional_dotted(),
    "ENROLLMENTS_ENTERPRISE_BACKEND": _optional_dotted(),
    "ENROLLMENTS_LEARNING_BASE_URL": Spec("", _is_any_text, "a URL or ''", ""),
}


class Settings:
    """A lazy, typed view of the ``ENROLLMENTS_*`` settings. Nothing is cached."""

    def raw(self, name: str) -> Any:
        """
        Return what the host wrote, right or wrong, or the default.

        Args:
            name: A key of ``SPECS``.
        """
        return getattr(django_settings, name, SPECS[name].default)

    def names_set_by_host(self) -> list[str]:
        """List every ``ENROLLMENTS_…`` name in the host's settings, known or not."""
        return sorted(name for name in dir(django_settings) if name.startswith(PREFIX))

    def complete_swappable_setting(self) -> None:
        """
        Write the default of ``ENROLLMENTS_COURSE_MODEL`` where the host sets none.

        Django reads the setting of a swappable model by itself, in migrations that
        refer to it, and knows nothing of defaults.

        Raises:
            ImproperlyConfigured: The host's value is no label of a model; Django would
                fail on it before any system check can tell.
        """
        name = "ENROLLMENTS_COURSE_MODEL"
        if not hasattr(django_settings, name):
            setattr(django_settings, name, SPECS[name].default)
        label = getattr(django_settings, name)
        if not (isinstance(label, str) and re.fullmatch(r"\w+\.\w+", label)):
            raise ImproperlyConfigured(
                f"{name} must be 'app_label.ModelName', not {label!r}."
            )

    def _value(self, name: str) -> Any:
        spec = SPECS[name]
        value = getattr(django_settings, name, spec.default)
        return value if spec.accepts(value) else spec.safe

    @property
    def ENROLLMENTS_COURSE_MODEL(self) -> str:
        """The course model, as ``app_label.ModelName`` (``Meta.swappable``)."""
        return cast("str", self._value("ENROLLMENTS_COURSE_MODEL"))

    @property
    def ENROLLMENTS_COURSE_ADAPTER(self) -> str:
        """Dotted path of the class that reads the host's course model."""
        return cast("str", self._value("ENROLLMENTS_COURSE_ADAPTER"))

    @property
    def ENROLLMENTS_PERMISSION_BACKENDS(self) -> Sequence[str]:
        """Dotted paths of the permission backends, asked in order."""
        return cast("Sequence[str]", self._value("ENROLLMENTS_PERMISSION_BACKENDS"))

    @property
    def ENROLLMENTS_DATA_API(self) -> str:
        """Dotted path of the module behind :mod:`django_enrollments.api`."""
        return cast("str", self._value("ENROLLMENTS_DATA_API"))

    @property
    def ENROLLMENTS_DEFAULT_MODE(self) -> str:
        """Slug of the mode that counts when a course has none."""
        return cast("str", self._value("ENROLLMENTS_DEFAULT_MODE"))

    @property
    def ENROLLMENTS_SELF_SERVICE_MODES(self) -> Sequence[str]:
        """Slugs of the modes that a learner may pick for themself."""
        return cast("Sequence[str]", self._value("ENROLLMENTS_SELF_SERVICE_MODES"))

    @property
    def ENROLLMENTS_VERIFIED_MODES(self) -> Sequence[str]:
        """Slugs of the modes that count as verified."""
        return cast("Sequence[str]", self._value("ENROLLMENTS_VERIFIED_MODES"))

    @property
    def ENROLLMENTS_PROCTORED_MODES(self) -> Sequence[str]:
        """Slugs of the modes whose learners may sit proctored exams."""
        return cast("Sequence[str]", self._value("ENROLLMENTS_PROCTORED_MODES"))

    @property
    def ENROLLMENTS_REQUIRED_ATTRIBUTES(self) -> Mapping[str, Sequence[str]]:
        """Attributes that a mode needs, each as ``namespace:name``."""
        return cast(
            "Mapping[str, Sequence[str]]",
            self._value("ENROLLMENTS_REQUIRED_ATTRIBUTES"),
        )

    @property
    def ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS(self) -> int:
        """How long course details stay in the cache, in seconds; 0 is never."""
        return cast("int", self._value("ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS"))

    @property
    def ENROLLMENTS_API_KEYS(self) -> Sequence[str]:
        """Server-to-server keys that are valid now; blank ones never match."""
        return cast("Sequence[str]", self._value("ENROLLMENTS_API_KEYS"))

    @property
    def ENROLLMENTS_API_KEY_HEADER(self) -> str:
        """Name of the HTTP header that carries a key."""
        return cast("str", self._value("ENROLLMENTS_API_KEY_HEADER"))

    @property
    def ENROLLMENTS_AUTHENTICATION_CLASSES(self) -> Sequence[str] | None:
        """Dotted paths of DRF authentication classes; ``None`` is our own choice."""
        return cast(
            "Sequence[str] | None",
            self._value("ENROLLMENTS_AUTHENTICATION_CLASSES"),
        )

    @property
    def ENROLLMENTS_THROTTLE_RATES(self) -> Mapping[str, str | None]:
        """Requests per period for the scopes ``user`` and ``staff``."""
        return cast(
            "Mapping[str, str | None]", self._value("ENROLLMENTS_THROTTLE_RATES")
        )

    @property
    def ENROLLMENTS_COURSE_ID_PATTERN(self) -> str:
        """What a whole course id must match, in URLs, bodies and queries."""
        return cast("str", self._value("ENROLLMENTS_COURSE_ID_PATTERN"))

    @property
    def ENROLLMENTS_USERNAME_PATTERN(self) -> str:
        """What a whole username, normalised, must match in URLs and list filters."""
        return cast("str", self._value("ENROLLMENTS_USERNAME_PATTERN"))

    @property
    def ENROLLMENTS_INVITE_ONLY(self) -> bool:
        """Whether every course is by invitation."""
        return cast("bool", self._value("ENROLLMENTS_INVITE_ONLY"))

    @property
    def ENROLLMENTS_FILTERS(self) -> Sequence[str | Callable[..., Any]]:
        """Callables, or their dotted paths, that run before a change."""
        return cast(
            "Sequence[str | Callable[..., Any]]", self._value("ENROLLMENTS_FILTERS")
        )

    @property
    def ENROLLMENTS_ENABLE_SPECIAL_EXAMS(self) -> bool:
        """Whether proctored exams exist at all in this project."""
        return cast("bool", self._value("ENROLLMENTS_ENABLE_SPECIAL_EXAMS"))

    @property
    def ENROLLMENTS_PROCTORING_BACKENDS(self) -> Mapping[str, Mapping[str, Any]]:
        """Options per proctoring provider: ``{"allow_honor_mode": bool}``."""
        return cast(
            "Mapping[str, Mapping[str, Any]]",
            self._value("ENROLLMENTS_PROCTORING_BACKENDS"),
        )

    @property
    def ENROLLMENTS_SERVICE_REGISTRAR(self) -> str | None:
        """Dotted path of ``f(name, service)``, called once at start-up."""
        return cast("str | None", self._value("ENROLLMENTS_SERVICE_REGISTRAR"))

    @property
    def ENROLLMENTS_RETIREMENT_SERVICE_USERNAME(self) -> str | None:
        """Username of the service user who may retire others."""
        return cast(
            "str | None", self._value("ENROLLMENTS_RETIREMENT_SERVICE_USERNAME")
        )

    @property
    def ENROLLMENTS_NOTIFICATION_BACKEND(self) -> str:
        """Dotted path of the class that delivers notifications."""
        return cast("str", self._value("ENROLLMENTS_NOTIFICATION_BACKEND"))

    @property
    def ENROLLMENTS_RETIREMENT_BACKEND(self) -> str:
        """Dotted path of the class that knows who asked to be retired."""
        return cast("str", self._value("ENROLLMENTS_RETIREMENT_BACKEND"))

    @property
    def ENROLLMENTS_EMAIL_OPT_IN_BACKEND(self) -> str:
        """Dotted path of the class that stores the e-mail choice of a learner."""
        return cast("str", self._value("ENROLLMENTS_EMAIL_OPT_IN_BACKEND"))

    @property
    def ENROLLMENTS_COHORT_BACKEND(self) -> str | None:
        """Dotted path of the class that puts learners into cohorts, if any."""
        return cast("str | None", self._value("ENROLLMENTS_COHORT_BACKEND"))

    @property
    def ENROLLMENTS_ENTERPRISE_BACKEND(self) -> str | None:
        """Dotted path of the class that records enterprise enrollments, if any."""
        return cast("str | None", self._value("ENROLLMENTS_ENTERPRISE_BACKEND"))

    @property
    def ENROLLMENTS_LEARNING_BASE_URL(self) -> str:
        """
        URL below which ``/course/{course_id}/home`` is, without a slash at the end.

        While it is empty, mails have no link.
        """
        return cast("str", self._value("ENROLLMENTS_LEARNING_BASE_URL"))


conf = Settings()
