"""
Make users, courses, modes, enrollments and invitations for tests, in any project.

Required fields of the project's models get a value by their type. A number in these
values differs at each call, so that unique fields stay unique.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from django_enrollments.conf import conf
from django_enrollments.course_model import (
    course_id_field,
    find_field,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.datetimes import as_moment, for_database, now
from django_enrollments.identifiers import find_course_id, find_course_id_text
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.users import email_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: Functions that return the value of a field, by ``str(field)``, such as
#: ``accounts.User.student_number``. Each takes a number that differs at each call.
#: Add the fields for which the factories, or the model's default, have no good value.
FIELD_VALUES: dict[str, Callable[[int], Any]] = {}

_numbers = count(1)

#: Forms of course ids; the first that matches the pattern in the settings is used.
_COURSE_IDS = ("course-{}", "course-v1:School+Course+{}", "School/Course/{}")

#: Values of required fields of a course, by the names that adapters map, so that new
#: courses are open and have seats. If several names map one field, the last applies.
_OPEN_COURSE: Mapping[str, Callable[[], Any]] = {
    "start": lambda: now() - timedelta(days=365),
    "end": lambda: now() + timedelta(days=60),
    "enrollment_start": lambda: now() - timedelta(days=365),
    "enrollment_end": lambda: now() + timedelta(days=30),
    "max_student_enrollments_allowed": lambda: 1000,
}

#: The value of a required field, by its class; the first match applies.
_VALUES: Mapping[type[models.Field[Any, Any]], Callable[[int], Any]] = {
    models.UUIDField: lambda number: uuid.uuid4(),
    models.BooleanField: lambda number: False,
    models.IntegerField: lambda number: number,
    models.FloatField: float,
    models.DurationField: lambda number: timedelta(days=number),
    models.DateTimeField: lambda number: for_database(now()),
    models.DateField: lambda number: timezone.localtime(now()).date(),
    models.TimeField: lambda number: timezone.localtime(now()).time(),
    models.EmailField: lambda number: f"test-{number}@example.org",
    models.URLField: lambda number: f"https://example.org/{number}",
    models.GenericIPAddressField: lambda number: f"192.0.2.{number % 256}",
    models.JSONField: lambda number: {},
    models.BinaryField: lambda number: b"test",
    models.FileField: lambda number: f"test-{number}",
}


def make_user(name: object = None, **fields: Any) -> Any:
    """
    Return a new, active user.

    Args:
        name: The username, or the part of an address before ``@`` if the usernames are
            e-mail addresses; ``None`` for a new one.
        fields: Fields of the user model. ``password`` is hashed; without one, the
            password is unusable.

    Raises:
        TypeError: A required field has a type without a known value. See
            :data:`FIELD_VALUES`.
    """
    model = get_user_model()
    number = next(_numbers)
    password = fields.pop("password", None)
    text = f"learner-{number}" if name is None else str(name)
    given: dict[str, Any] = {}
    login: Any = model._meta.get_field(model.USERNAME_FIELD)
    address = email_field()
    if address and (name is not None or _is_open(find_field(model, address))):
        given[address] = text if "@" in text else f"{text}@example.org"
    if login.name != address and name is not None:
        given[login.name] = login.to_python(name)
    elif login.name != address and _is_open(login):
        given[login.name] = text
    if any(field.name == "is_active" for field in model._meta.concrete_fields):
        given["is_active"] = True
    user = model(**_with_required(model, given | fields, number))
    user.set_password(password)
    user.save()
    return user


def make_users(count: int) -> list[Any]:
    """Return so many new, active users."""
    return [make_user() for _ in range(count)]


def make_course(
    course_id: object = None, *, modes: Iterable[str] = (), **values: Any
) -> Any:
    """
    Return a new course, which is open and has seats unless the values say otherwise.

    Args:
        course_id: The course id, in the field that the adapter names; ``None`` for a
            new one.
        modes: Slugs of modes that the course offers.
        values: Values by the names that course adapters map, such as
            ``enrollment_end`` and ``max_student_enrollments_allowed``, or by the names
            of other fields of the course model.

    Raises:
        ValueError: The adapter maps no field to a name.
        TypeError: As in :func:`make_user`.
    """
    model, adapter = get_course_model(), get_course_adapter()
    number = next(_numbers)
    sources, paths = adapter.sources(), adapter.paths()
    fields = {field.name: field for field in model._meta.concrete_fields}
    if course_id is None and _is_open(course_id_field()):
        course_id = _new_course_id(number)
    if course_id is not None:
        values["course_id"] = course_id
    given = {
        paths[name]: _as_stored(fields[paths[name]], value())
        for name, value in _OPEN_COURSE.items()
        if _needs_value(fields.get(paths.get(name, "")))
    }
    for name, value in values.items():
        path = paths.get(name, name)
        if "__" in path:
            key, _, rest = path.partition("__")
            given[key] = _make_related(fields[key].related_model, rest, value)
        elif name in sources and name not in paths and name not in fields:
            raise ValueError(f"The course adapter maps no field to {name!r}.")
        else:
            given[path] = _as_stored(fields.get(path), value)
    course = model(**_with_required(model, given, number))
    course.save()
    for slug in modes:
        make_mode(course, slug)
    return course


def make_mode(course: Any, slug: str | None = None, **fields: Any) -> CourseMode:
    """
    Return a new mode of a course.

    Args:
        course: An instance of the course model.
        slug: The slug; ``None`` for the default mode.
        fields: Fields of :class:`~django_enrollments.models.CourseMode`.
    """
    slug = conf.ENROLLMENTS_DEFAULT_MODE if slug is None else slug
    fields.setdefault("mode_display_name", slug.capitalize())
    return CourseMode.objects.create(course=course, mode_slug=slug, **fields)


def make_enrollment(
    user: Any = None,
    course: Any = None,
    mode: str | None = None,
    *,
    is_active: bool = True,
    **options: Any,
) -> CourseEnrollment:
    """
    Return the enrollment of a learner, made by the service, with its history.

    The enrollment window and invitations do not apply; seats, modes and filters do.

    Args:
        user: The learner; ``None`` for a new one.
        course: The course; ``None`` for a new one, which offers the mode.
        mode: Mode slug; ``None`` for the default mode.
        is_active: Whether the learner stays in the course.
        options: Options of
            :meth:`~django_enrollments.services.EnrollmentsService.ensure_enrolled`.

    Raises:
        CourseEnrollmentError: As in ``ensure_enrolled``.
    """
    service = EnrollmentsService()
    user = make_user() if user is None else user
    if course is None:
        course = make_course(modes=[] if mode is None else [mode])
    options.setdefault("force", True)
    enrollment = service.ensure_enrolled(user, course, mode, **options)
    return enrollment if is_active else service.unenroll(user, course)


def make_invitation(
    course: Any = None, email: str | None = None, **fields: Any
) -> CourseEnrollmentAllowed:
    """
    Return a new invitation.

    Args:
        course: The course, or its id, whether it exists or not; ``None`` for a new
            course.
        email: The address; ``None`` for a new one without an account.
        fields: Fields of :class:`~django_enrollments.models.CourseEnrollmentAllowed`,
            such as ``auto_enroll`` and ``mode``.
    """
    course = make_course() if course is None else course
    return CourseEnrollmentAllowed.objects.create(
        course_id=str(find_course_id(course)),
        email=f"guest-{next(_numbers)}@example.org" if email is None else email,
        **fields,
    )


def _new_course_id(number: int) -> str:
    ids = [text.format(number) for text in _COURSE_IDS]
    return next((text for text in ids if find_course_id_text(text)), ids[0])


def _make(model: Any, **given: Any) -> Any:
    if model is get_user_model():
        return make_user(**given)
    if model is get_course_model():
        return make_course(**given)
    instance = model(**_with_required(model, given, next(_numbers)))
    instance.save()
    return instance


def _make_related(model: Any, path: str, value: Any) -> Any:
    """Return the object at which a path through foreign keys has a value."""
    found = model._default_manager.filter(**{path: value}).first()
    if found is not None:
        return found
    key, _, rest = path.partition("__")
    if rest:
        value = _make_related(model._meta.get_field(key).related_model, rest, value)
    return _make(model, **{key: value})


def _with_required(model: Any, given: dict[str, Any], number: int) -> dict[str, Any]:
    """Add the values of required fields that are not given."""
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.name in given or field.attname in given:
            continue
        if str(field) in FIELD_VALUES:
            values[field.name] = FIELD_VALUES[str(field)](number)
        elif _is_required(field):
            values[field.name] = _value(field, number)
    return values | given


def _is_required(field: models.Field[Any, Any]) -> bool:
    """Return whether a row cannot be saved without a value for this field."""
    if isinstance(field, models.AutoField) or field.null:
        return False
    if getattr(field, "generated", False):
        return False
    parent: Any = field.related_model
    if field.one_to_one and issubclass(field.model, parent):
        # Django makes the row of the parent.
        return False
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return False
    has_value = field.has_default() and (not field.unique or callable(field.default))
    if has_value or field.db_default is not models.NOT_PROVIDED:
        return False
    return field.unique or not (field.blank and field.empty_strings_allowed)


def _needs_value(field: models.Field[Any, Any] | None) -> bool:
    """Return whether a field is required, and :data:`FIELD_VALUES` has no value."""
    return field is not None and _is_required(field) and str(field) not in FIELD_VALUES


def _value(field: models.Field[Any, Any], number: int) -> Any:
    if isinstance(field, models.ForeignKey):
        return _related(field)
    choices = [key for key in _choices(field) if key not in (None, "")]
    if choices:
        return choices[number % len(choices) if field.unique else 0]
    if isinstance(field, models.DecimalField):
        digits = (field.max_digits or 9) - (field.decimal_places or 0)
        return Decimal(_within_limits(field, number % 10**digits))
    for kind, value in _VALUES.items():
        if isinstance(field, kind):
            return _within_limits(field, value(number))
    if isinstance(field, models.CharField | models.TextField):
        text, length = f"{field.name}-{number}", field.max_length
        return text if length is None or len(text) <= length else f"{number}"[-length:]
    raise TypeError(
        f"The factories know no value for {field}. Write "
        f"factories.FIELD_VALUES[{str(field)!r}] = lambda number: ... in conftest.py."
    )


def _choices(field: models.Field[Any, Any]) -> Iterator[Any]:
    for key, value in field.choices or ():
        if isinstance(value, list | tuple):  # A group.
            yield from (key for key, _ in value)
        else:
            yield key


def _within_limits(field: models.Field[Any, Any], value: Any) -> Any:
    """Return the value, or the limit of a validator that it exceeds."""
    for validator in field.validators:
        if isinstance(validator, MinValueValidator | MaxValueValidator):
            limit = validator.limit_value
            limit = limit() if callable(limit) else limit
            if validator.compare(value, limit):
                value = limit
    return value


def _related(field: models.ForeignKey[Any, Any]) -> Any:
    """Return an object for a foreign key: an existing one unless it must be unique."""
    model: Any = field.related_model
    if not field.unique:
        allowed = field.get_limit_choices_to()
        existing = model._default_manager.complex_filter(allowed).first()
        if existing is not None:
            return existing
    return _make(model)


def _is_open(field: models.Field[Any, Any] | None) -> bool:
    """Return whether a field takes any text, and :data:`FIELD_VALUES` has no value."""
    is_text = isinstance(field, models.CharField | models.TextField)
    return is_text and str(field) not in FIELD_VALUES


def _as_stored(field: models.Field[Any, Any] | None, value: Any) -> Any:
    """Return a datetime as a field stores it: as a date, or without a time zone."""
    if not isinstance(value, datetime):
        return value
    moment = as_moment(value)
    if isinstance(field, models.DateTimeField):
        return for_database(moment)
    is_date = isinstance(field, models.DateField)
    return timezone.localtime(moment).date() if is_date else value
