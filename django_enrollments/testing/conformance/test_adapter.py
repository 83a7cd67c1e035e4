"""The course adapter and the course model of the project."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import models
from django.utils import timezone

from django_enrollments import api
from django_enrollments.backends.courses import CourseFacts
from django_enrollments.conf import conf
from django_enrollments.course_model import (
    course_id_is_text,
    find_field,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.datetimes import now
from django_enrollments.identifiers import find_course_id_text
from django_enrollments.testing.assertions import assert_refused
from django_enrollments.testing.conformance.helpers import adapter_name, expect
from django_enrollments.testing.factories import make_course, make_enrollment

if TYPE_CHECKING:
    from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db(databases="__all__")

MOMENTS = ("start", "end", "enrollment_start", "enrollment_end")

#: A value for each name that is not a moment.
VALUES: dict[str, Any] = {
    "org": "conformance",
    "display_name": "Conformance",
    "invitation_only": True,
    "max_student_enrollments_allowed": 7,
    "self_paced": True,
    "enable_proctored_exams": True,
    "proctoring_provider": "conformance",
}


def test_a_new_course_is_known(course: Any) -> None:
    """
    A course with default values is found by its id, to the letter.

    Change: if ``get_queryset`` of the adapter hides it, let the kit make visible
    courses with ``factories.FIELD_VALUES`` in conftest.py, such as
    ``{"catalog.Seminar.is_published": lambda number: True}``. If the id does not match,
    change ``ENROLLMENTS_COURSE_ID_PATTERN`` or the ids
    (docs/how-to/custom-course.md).
    """
    adapter = get_course_adapter()
    course_id = adapter.course_id_of(course)
    expect(
        find_course_id_text(course_id) == course_id,
        f"The course id {course_id!r} does not match "
        f"{conf.ENROLLMENTS_COURSE_ID_PATTERN!r}.",
    )
    found = adapter.find_course(course_id)
    expect(
        found == course,
        f"{adapter_name()}.find_course({course_id!r}) returns {found!r}.",
    )
    found = adapter.find_course_by_key(course.pk)
    expect(
        found == course,
        f"{adapter_name()}.find_course_by_key({course.pk!r}) returns {found!r}.",
    )


def test_a_similar_id_is_unknown(
    service: EnrollmentsService, learner: Any, course: Any
) -> None:
    """
    A course id in another case, or with a space, is another course id.

    Change: ``find_course`` of the adapter must compare the id that it has read with the
    requested one, because collations ignore case; call the method of ``CourseAdapter``.
    """
    course_id = get_course_adapter().course_id_of(course)
    if not course_id_is_text():
        pytest.skip("The course id is not a text.")
    for similar in (course_id.swapcase(), f"{course_id} ", f"{course_id}x"):
        if similar != course_id:
            with assert_refused("course_not_found"):
                service.explain(learner, similar)


def test_every_value_has_its_type(course: Any) -> None:
    """
    The adapter returns values of the right types for a course with default values.

    Change: correct the attribute or method of the adapter that is named. A method must
    return a value for every course, also for one whose optional fields are empty.
    """
    adapter = get_course_adapter()
    values: dict[str, Any] = {}
    for name, source in adapter.sources().items():
        if callable(source):
            try:
                values[name] = source(course)
            except Exception as error:  # noqa: BLE001 - Reported.
                pytest.fail(
                    f"{adapter_name()}.{name}() raises {error!r} for a new course.",
                    pytrace=False,
                )
    try:
        facts = adapter.facts(course)
    except Exception as error:  # noqa: BLE001 - Reported.
        pytest.fail(
            f"The values of {adapter_name()} have wrong types ({error!r}): {values}.",
            pytrace=False,
        )
    for field in fields(CourseFacts):
        value = getattr(facts, field.name)
        if field.name in MOMENTS and value is not None:
            is_aware = isinstance(value, datetime) and timezone.is_aware(value)
            expect(
                is_aware,
                f"{adapter_name()}.{field.name} must be a datetime or date, but is "
                f"{value!r}.",
            )
    seats = facts.max_student_enrollments_allowed
    expect(
        seats is None or seats >= 0,
        f"{adapter_name()}.max_student_enrollments_allowed is {seats}.",
    )


def test_the_same_value_is_read_in_every_way(learner: Any, course: Any) -> None:
    """
    A list shows the values that the adapter returns for an instance.

    Change: a path of the adapter and a method of the same name must not differ. If the
    adapter overrides ``facts``, override ``facts_from`` instead.
    """
    adapter = get_course_adapter()
    make_enrollment(learner, course)
    facts = adapter.facts(_reload(course))

    listed = api.get_enrollments(learner.get_username())
    shown = [
        (details["course_id"], details["course_name"])
        for details in (one["course_details"] for one in listed)
        if details is not None
    ]

    expected = [(facts.course_id, facts.display_name)]
    expect(
        shown == expected,
        f"The list shows {shown}, but the adapter returns {expected}.",
    )


@pytest.mark.parametrize("name", VALUES)
def test_a_stored_value_is_returned(name: str) -> None:
    """
    The adapter returns a value that was stored in the field to which it maps the name.

    Change: ``save()`` of the course model or a receiver changes the value, or the
    adapter overrides ``facts`` or ``facts_from``. Correct the one that is wrong.
    """
    adapter = get_course_adapter()
    path = adapter.paths().get(name)
    if path is None:
        pytest.skip(f"The course adapter maps {name} to no field.")
    value = VALUES[name]
    course = make_course(**{name: value})

    found = getattr(adapter.facts(_reload(course)), name)

    expect(
        found == value,
        f"{value!r} was stored as {path!r}, but {adapter_name()} returns {found!r} as "
        f"{name}.",
    )


@pytest.mark.parametrize("name", MOMENTS)
def test_a_stored_moment_is_returned(name: str) -> None:
    """
    A moment is returned as it was stored; a date without a time belongs to one day.

    A start begins at 00:00, and an end lasts through its day, in the current time zone.

    Change: as in ``test_a_stored_value_is_returned``. With ``USE_TZ = False``,
    ``TIME_ZONE`` must be the time zone of the stored values.
    """
    adapter = get_course_adapter()
    path = adapter.paths().get(name)
    if path is None:
        pytest.skip(f"The course adapter maps {name} to no field.")
    moment = now().replace(microsecond=0) + timedelta(days=3)
    is_moment = isinstance(_field_of(path), models.DateTimeField)
    values: dict[str, Any] = {name: moment}
    course = make_course(**values)

    found = getattr(adapter.facts(_reload(course)), name)

    if is_moment:
        expect(
            found == moment,
            f"{moment} was stored as {path!r}, but {adapter_name()} returns {found}.",
        )
        return
    day = timezone.localtime(moment).date()
    first = timezone.localtime(found) if found else None
    last = timezone.localtime(found - timedelta(microseconds=1)) if found else None
    shown = last if name.endswith("end") else first
    expect(
        shown is not None and shown.date() == day,
        f"{day} was stored as {path!r}, but {adapter_name()} returns {found}.",
    )


def _field_of(path: str) -> Any:
    model: Any = get_course_model()
    return find_field(model, path)


def _reload(course: Any) -> Any:
    return get_course_adapter().find_course_by_key(course.pk)
