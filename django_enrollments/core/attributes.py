"""The attributes of an enrollment, always written as one list (V1-ATTR, B-23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django_enrollments.conf import conf
from django_enrollments.context import read_alias
from django_enrollments.errors import InvalidEnrollmentAttribute
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAttribute
from django_enrollments.payloads import AttributeDict
from django_enrollments.text import MAX_TEXT, is_storable

_PARTS = ("namespace", "name", "value")


def clean_attributes(attributes: object) -> list[AttributeDict]:
    """
    Return a list of attributes as stored, without duplicates; the last one wins.

    Args:
        attributes: Mappings with ``namespace``, ``name`` and ``value``, each a number
            or text of at most 255 characters.

    Raises:
        InvalidEnrollmentAttribute: It is not a list, or an entry is incomplete or
            cannot be stored (DATA-07, V1-ATTR-08, V1-ATTR-09).
    """
    if not isinstance(attributes, list | tuple):
        raise InvalidEnrollmentAttribute("Enrollment attributes must be a list.")
    cleaned: dict[tuple[str, str], AttributeDict] = {}
    for attribute in attributes:
        entry = attribute if isinstance(attribute, Mapping) else {}
        for part in _PARTS:
            if entry.get(part) is None:
                raise InvalidEnrollmentAttribute(
                    f"'{part}' not in enrollment attribute"
                )
        namespace, name, value = (_clean_part(part, entry[part]) for part in _PARTS)
        cleaned[namespace, name] = AttributeDict(
            namespace=namespace, name=name, value=value
        )
    return list(cleaned.values())


def _clean_part(part: str, value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not is_storable(value, MAX_TEXT):
        raise InvalidEnrollmentAttribute(
            f"'{part}' of an enrollment attribute must be a text of at most "
            f"{MAX_TEXT} characters"
        )
    if part != "value" and not value.strip():
        raise InvalidEnrollmentAttribute(
            f"'{part}' of an enrollment attribute must not be blank"
        )
    return value


def replace_attributes(
    enrollment: CourseEnrollment, attributes: Sequence[AttributeDict], *, using: str
) -> None:
    """
    Replace all attributes of an enrollment (V1-ATTR-03).

    The transaction must hold a lock on the enrollment's row, so that two lists are
    written one after the other. ``attributes`` is the result of
    :func:`clean_attributes`.
    """
    manager = CourseEnrollmentAttribute._default_manager.using(using)
    manager.filter(enrollment=enrollment).delete()
    manager.bulk_create(
        CourseEnrollmentAttribute(enrollment=enrollment, **attribute)
        for attribute in attributes
    )


def list_attributes(enrollment_key: Any) -> list[AttributeDict]:
    """Return the attributes of an enrollment in the order of writing."""
    attributes = CourseEnrollmentAttribute._default_manager.using(read_alias())
    rows = attributes.filter(enrollment=enrollment_key)
    return [
        AttributeDict(namespace=namespace, name=name, value=value)
        for namespace, name, value in rows.order_by("pk").values_list(*_PARTS)
    ]


def missing_attributes(mode: str, attributes: Sequence[AttributeDict]) -> list[str]:
    """
    Return the attributes that a mode requires and the list lacks (V1-ATTR-04).

    Returns:
        Names as ``namespace:name``, in the order of the setting.
    """
    given = {f"{entry['namespace']}:{entry['name']}" for entry in attributes}
    required = conf.ENROLLMENTS_REQUIRED_ATTRIBUTES.get(mode, ())
    return [name for name in required if name not in given]
