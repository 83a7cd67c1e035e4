"""E-mail addresses: normalization, comparison and validation."""

from __future__ import annotations

import re
import unicodedata
from string import ascii_lowercase, ascii_uppercase
from typing import Literal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from django_enrollments.text import MAX_TEXT, is_storable

_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


#: Characters that NFC replaces by ASCII characters; KELVIN SIGN is the only letter.
_BECOMES_ASCII = re.compile("([\u037e\u1fef\u212a])")


def normalize_email(address: str) -> str:
    """
    Return the form in which e-mail addresses are stored and compared (ACC-12).

    It is the result of :func:`fold_email` without surrounding whitespace.
    """
    return fold_email(address.strip())


def fold_email(text: str) -> str:
    """
    Return an address in NFC with ASCII letters in lower case.

    All other characters are kept. None becomes an ASCII character.
    """
    if text.isascii():
        return text.lower()
    # NFC is first: "E" with a combining accent is "É", not "é".
    return _normalized(text, "NFC").translate(_ASCII_LOWER)


def spellings_of_email(address: str) -> set[str]:
    """
    Return the forms of an address to look for in a column of a host.

    The column may have it in NFC, in NFD, or with a trailing space. The caller must
    ignore the case of ASCII letters.
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
    Return an e-mail address in its stored form, or ``None`` if it is not valid.

    An address is valid if Django's ``EmailValidator`` accepts it without surrounding
    whitespace, and if it fits the column (V1-CEA-11).
    """
    if not is_storable(address):
        return None
    email = normalize_email(address)
    if len(email) > MAX_TEXT:
        return None
    try:
        validate_email(email)
    except ValidationError:
        return None
    return email
