"""Course ids, usernames and user keys, in the form of the host's models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models

from django_enrollments.conf import conf
from django_enrollments.course_model import (
    course_id_field,
    course_id_is_text,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.text import MAX_TEXT, is_storable

if TYPE_CHECKING:
    from collections.abc import Iterable


def find_course_id(course_id: object) -> str | None:
    """
    Return the text of a valid course id, or ``None``.

    Args:
        course_id: A string, a saved course, or an object whose ``str()`` is the id
            (PROC-06, B-16). An instance of another model is not valid. The id must
            match ``ENROLLMENTS_COURSE_ID_PATTERN``. If the course model's field is not
            a text field, it must also be a value of that field.
    """
    text = find_course_id_text(course_id)
    if text is None or course_id_is_text():
        return text
    # A course id has one spelling.
    return text if str(_find_value(course_id_field(), text)) == text else None


def find_course_id_text(course_id: object) -> str | None:
    """Return the text of a course id that matches the pattern, or ``None``."""
    if course_id is None or isinstance(course_id, bytes | list | tuple | dict | set):
        return None
    if isinstance(course_id, models.Model):
        # The str() of another model is not a course id.
        is_course = isinstance(course_id, get_course_model())
        if not is_course or course_id.pk is None or course_id._state.adding:
            return None
        course_id = get_course_adapter().course_id_of(course_id)
    text = str(course_id)
    if not is_storable(text, MAX_TEXT) or not text.isprintable():
        return None
    return text if re.fullmatch(conf.ENROLLMENTS_COURSE_ID_PATTERN, text) else None


def find_stored_course_id(course_id: object) -> str | None:
    """
    Return the text of a stored course id, or ``None``.

    Text need not match the current pattern, because the course may be older.
    """
    if course_id and is_storable(course_id, MAX_TEXT):
        return str(course_id)
    return find_course_id(course_id)


def find_courses(courses: Iterable[object]) -> list[Any | None]:
    """
    Return the courses in order, with ``None`` for each unknown course.

    It makes one query for all course ids, and none for instances.
    """
    model = get_course_model()
    adapter = get_course_adapter()
    given = list(courses)
    texts = [
        None if isinstance(course, model) else find_course_id(course)
        for course in given
    ]
    wanted = {text for text in texts if text is not None}
    found = adapter.find_courses(wanted) if wanted else []
    by_text = {adapter.course_id_of(course): course for course in found}
    return [
        (None if course.pk is None or course._state.adding else course)
        if isinstance(course, model)
        else by_text.get(text or "")
        for course, text in zip(given, texts, strict=True)
    ]


def find_course(course: object) -> Any | None:
    """Return the course, or ``None`` if it is unknown."""
    if not isinstance(course, get_course_model()):
        text = find_course_id(course)
        return None if text is None else get_course_adapter().find_course(text)
    return None if course.pk is None or course._state.adding else course


def is_username(text: str) -> bool:
    """
    Return whether ``text`` can be a username in a URL or a list filter.

    It must match ``ENROLLMENTS_USERNAME_PATTERN`` after the user model has normalized
    it.
    """
    if not is_storable(text):
        return False
    name = get_user_model().normalize_username(text)
    return bool(re.fullmatch(conf.ENROLLMENTS_USERNAME_PATTERN, name))


def find_username(name: object) -> Any | None:
    """
    Return a username in the form of the user model: normalized text, or a number.

    Returns:
        The username, whether or not a user has it; ``None`` if it is not a valid value.
    """
    model = get_user_model()
    field = model._meta.get_field(model.USERNAME_FIELD)
    if isinstance(field, models.CharField | models.TextField):
        text = model.normalize_username(name) if is_storable(name) else None
        return text or None
    value = _find_value(field, name)
    # A username has one spelling.
    return value if str(value) == str(name) else None


def find_user_key(key: object) -> Any | None:
    """
    Return the primary key of a user in the form of the user model.

    Returns:
        The key, whether or not a user has it; ``None`` if it is not a valid value.
    """
    return _find_value(get_user_model()._meta.pk, key)


def _find_value(field: Any, given: object) -> Any | None:
    if given is None or isinstance(given, bool | float | bytes):
        return None
    if isinstance(given, str) and not is_storable(given):
        return None
    try:
        value = field.to_python(given)
        # An integer that no column holds is an error of the database's otherwise.
        field.run_validators(value)
    except (ValidationError, TypeError, ValueError, OverflowError):
        return None
    return value
