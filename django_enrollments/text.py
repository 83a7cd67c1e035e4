"""Texts as databases store them: identifiers, names and e-mail addresses."""

from __future__ import annotations

import re
import unicodedata
from string import ascii_lowercase, ascii_uppercase
from typing import Literal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

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
    if text.isascii():
        return text.lower()
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
