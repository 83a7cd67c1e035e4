"""What a course id, a username or any other text from outside must look like."""

from __future__ import annotations

import re
import unicodedata
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Any, Literal

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models

from django_enrollments.conf import conf
from django_enrollments.swapped import (
    course_id_field,
    course_id_is_text,
    get_course_adapter,
    get_course_model,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

#: ``course-v1:org+number+run`` or ``org/number/run``.
_THREE_PARTS = re.compile(r"(?:[^:/+]+:)?([^/+]+)[/+]([^/+]+)[/+]([^/?]+)")

_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

#: What NFC and NFD replace by one ASCII character: the only letter is KELVIN SIGN.
_BECOMES_ASCII = re.compile("([\u037e\u1fef\u212a])")

#: What fits a text column everywhere; the longest that MariaDB can index whole.
MAX_TEXT = 255

#: The longest username that can be retired; MariaDB indexes up to 768 characters.
MAX_USERNAME = 500


def is_storable(text: object, max_length: int | None = None) -> bool:
    """
    Return whether every database stores ``text`` as it is.

    PostgreSQL refuses NUL, no driver encodes a lone surrogate, and a column has its
    length.

    Args:
        text: Anything.
        max_length: The most characters allowed; ``None`` for no limit.
    """
    if not isinstance(text, str) or "\x00" in text:
        return False
    if max_length is not None and len(text) > max_length:
        return False
    return text.isascii() or not any(
        "\ud800" <= character <= "\udfff" for character in text
    )


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
    return find_courses([course])[0]


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


def org_of(course_id: str) -> str:
    """
    Return the organisation that a course id names, ``""`` when it names none.

    Args:
        course_id: A course id in any form.
    """
    match = _THREE_PARTS.fullmatch(course_id)
    return match[1] if match else ""


def run_of(course_id: str) -> str:
    """
    Return the run that a course id names, or the whole id when it names none.

    Args:
        course_id: A course id in any form.
    """
    match = _THREE_PARTS.fullmatch(course_id)
    return match[3] if match else course_id


def normalize_email(address: str) -> str:
    """
    Return the form in which e-mail addresses are stored and compared (ACC-12).

    Surrounding whitespace is off, and the rest as :func:`fold_email` returns it.

    Args:
        address: An address in any spelling.
    """
    return fold_email(address.strip())


def fold_email(text: str) -> str:
    """
    Return an address in NFC with ASCII letters in lower case.

    All other characters stay as they are, and none becomes an ASCII character.

    Args:
        text: An address in any spelling, with the whitespace around it.
    """
    # Not the other way round: "E" with an accent is "É", which is not "é".
    return _normalized(text, "NFC").translate(_ASCII_LOWER)


def spellings_of_email(address: str) -> set[str]:
    """
    Return the texts by which to look for an address in a column of a host.

    A host's field may hold it in NFC, in NFD, or with a space at the end, which
    copying leaves there. Their ASCII letters are to be compared without case.

    Args:
        address: An address in any spelling.
    """
    bare = address.strip()
    both = {_normalized(bare, "NFC"), _normalized(bare, "NFD")}
    return {address, bare, f"{bare} ", *both}


def _normalized(text: str, form: Literal["NFC", "NFD"]) -> str:
    if text.isascii():
        return text
    parts = _BECOMES_ASCII.split(text)
    # Odd ones are those that it splits by.
    parts[::2] = [unicodedata.normalize(form, part) for part in parts[::2]]
    return "".join(parts)


def clean_address(address: object) -> str | None:
    """
    Return an e-mail address in its stored form, or ``None`` where it is invalid.

    Args:
        address: Anything; valid is what Django's ``EmailValidator`` accepts once
            surrounding whitespace is off, as far as a column holds it (V1-CEA-11).
    """
    if not isinstance(address, str) or not is_storable(address):
        return None
    email = normalize_email(address)
    if len(email) > MAX_TEXT:
        return None
    try:
        validate_email(email)
    except ValidationError:
        return None
    return email
