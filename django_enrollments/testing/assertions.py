"""Assertions about enrollments, whose messages describe the state that was found."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseEnrollment
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Iterator


class Refusal:
    """
    The refusal of a block.

    Attributes:
        error: The exception, once the block has ended.
    """

    error: CourseEnrollmentError


def assert_enrolled(user: Any, course: Any, mode: str | None = None) -> None:
    """
    Assert that a user has an active enrollment in a course.

    Args:
        user: The user, or the primary key.
        course: The course, or the course id.
        mode: The mode slug; ``None`` for any mode.

    Raises:
        AssertionError: There is none, or it has another mode.
    """
    __tracebackhide__ = True
    row = _find_row(user, course)
    found = _describe(row)
    if row is None or not row.is_active:
        raise AssertionError(
            f"User {_key(user)} is not enrolled in {course}: {found}. "
            f"{_explain(user, course)}"
        )
    if mode is not None and row.mode != mode:
        raise AssertionError(
            f"User {_key(user)} is not enrolled in {course} in mode {mode!r}: {found}."
        )


def assert_not_enrolled(user: Any, course: Any) -> None:
    """
    Assert that a user has no active enrollment in a course.

    Args:
        user: The user, or the primary key.
        course: The course, or the course id.

    Raises:
        AssertionError: There is one.
    """
    __tracebackhide__ = True
    row = _find_row(user, course)
    if row is not None and row.is_active:
        raise AssertionError(
            f"User {_key(user)} is enrolled in {course}: {_describe(row)}."
        )


@contextmanager
def assert_refused(code: str) -> Iterator[Refusal]:
    """
    Assert that the block is refused with an error of this app.

    Args:
        code: The ``code`` of the error (:mod:`django_enrollments.errors`), such as
            ``course_full``.

    Yields:
        An object whose ``error`` is the exception after the block.

    Raises:
        AssertionError: The block was not refused, or with another code.
    """
    __tracebackhide__ = True
    refusal = Refusal()
    try:
        yield refusal
    except CourseEnrollmentError as error:
        refusal.error = error
        if error.code != code:
            raise AssertionError(
                f"It was refused with {error.code!r} ({error}), not with {code!r}."
            ) from error
        return
    raise AssertionError(f"It was not refused with {code!r}; nothing was raised.")


def _find_row(user: Any, course: Any) -> CourseEnrollment | None:
    rows = CourseEnrollment.objects.in_course(course)
    return rows.filter(user=_key(user)).first()


def _key(user: Any) -> Any:
    return getattr(user, "pk", user)


def _describe(row: CourseEnrollment | None) -> str:
    if row is None:
        return "there is no enrollment"
    state = "active" if row.is_active else "inactive"
    return f"the enrollment is {state}, in mode {row.mode!r}"


def _explain(user: Any, course: Any) -> str:
    try:
        explanation = EnrollmentsService().explain(user, course)
    except CourseEnrollmentError as error:
        return f"Enrolling raises {error.code!r}: {error}"
    if explanation["allowed"]:
        return "The user could enroll now."
    reasons = ", ".join(reason["code"] for reason in explanation["reasons"])
    return f"Enrolling is refused now: {reasons}."
