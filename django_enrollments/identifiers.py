"""Course ids, usernames and user keys as the models of the host hold them."""

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
    Return the text of a course id, or ``None`` when it is no valid one.

    Anything whose ``str()`` is the id will do (PROC-06, B-16), and a course itself.

    Args:
        course_id: A string, a key object or a saved instance of the course model,
            whose id the adapter reads; no other model instance. Checked against
            ``ENROLLMENTS_COURSE_ID_PATTERN``, and against what the course model's
            field can hold where it holds no text, but numbers or UUIDs.
    """
    text = find_course_id_text(course_id)
    if text is None or course_id_is_text():
        return text
    # No id has two spellings.
    return text if str(_find_value(course_id_field(), text)) == text else None


def find_course_id_text(course_id: object) -> str | None:
    """
    Return the text of a course id, or of its beginning, or ``None`` when it is none.

    Args:
        course_id: As :func:`find_course_id` takes it; checked against the pattern.
    """
    if course_id is None or isinstance(course_id, bytes | list | tuple | dict | set):
        return None
    if isinstance(course_id, models.Model):
        # What a model prints is for people to read; it is not the id.
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
    Return the text of a course id as rows hold it, or ``None`` when it is none.

    Args:
        course_id: As :func:`find_course_id` takes it; a text need not match the pattern
            of today, which the course may be older than.
    """
    if course_id and is_storable(course_id, MAX_TEXT):
        return str(course_id)
    return find_course_id(course_id)


def find_courses(courses: Iterable[object]) -> list[Any | None]:
    """
    Return the host's own courses, ``None`` for each that is unknown, in order.

    Takes one query for all course ids, and none for instances.

    Args:
        courses: Each as :func:`find_course_id` takes it.
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
    """
    Return the host's own course, or ``None`` when it is unknown.

    Args:
        course: As :func:`find_course_id` takes it.
    """
    if not isinstance(course, get_course_model()):
        text = find_course_id(course)
        return None if text is None else get_course_adapter().find_course(text)
    return None if course.pk is None or course._state.adding else course


def is_username(text: str) -> bool:
    """
    Return whether ``text`` may be a username in a URL or a list filter.

    Args:
        text: Checked against ``ENROLLMENTS_USERNAME_PATTERN`` once it is normalised by
            the user model.
    """
    if not is_storable(text):
        return False
    name = get_user_model().normalize_username(text)
    return bool(re.fullmatch(conf.ENROLLMENTS_USERNAME_PATTERN, name))


def find_username(name: object) -> Any | None:
    """
    Return the name of a user as the user model holds it: normalised, or a number.

    Args:
        name: What ``user.get_username()`` returns, or its text, in any normal form.

    Returns:
        The name, whether or not a user has it; ``None`` when it cannot be one.
    """
    model = get_user_model()
    field = model._meta.get_field(model.USERNAME_FIELD)
    if isinstance(field, models.CharField | models.TextField):
        text = model.normalize_username(name) if is_storable(name) else None
        return text or None
    value = _find_value(field, name)
    # No name has two spellings.
    return value if str(value) == str(name) else None


def find_user_key(key: object) -> Any | None:
    """
    Return the primary key of a user as the user model holds it.

    Args:
        key: A key, or its text.

    Returns:
        The key, whether or not a user has it; ``None`` when it cannot be one.
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
