"""
Every refusal that this app raises: one class each, with a stable ``code``.

``str(error)`` is a message for people, ``error.code`` is for programs and never
changes, ``error.data`` carries what helps to go on. The HTTP layer alone turns them
into statuses. Misconfiguration is Django's ``ImproperlyConfigured`` instead.
"""

from __future__ import annotations

from typing import Any


class CourseEnrollmentError(Exception):
    """
    The base of every refusal; catch it to catch them all (ERRS-01).

    Attributes:
        data: Whatever helps the caller to go on, or ``None``.
    """

    code = "enrollment_error"

    def __init__(self, msg: str, data: Any = None) -> None:
        # Both are positional arguments of Exception so that the error pickles.
        super().__init__(msg, data)
        self.data = data

    def __str__(self) -> str:
        """Return the message alone."""
        return str(self.args[0])


class CourseEnrollmentClosedError(CourseEnrollmentError):
    """
    The learner may not enroll now: window, invitation, or no grant (ACC-14).

    ``api.explain_enrollment()`` tells every reason and when it ends.
    """

    code = "enrollment_closed"


class CourseEnrollmentExistsError(CourseEnrollmentError):
    """
    The learner is in the course already (ERRS-02).

    Attributes:
        enrollment: The existing enrollment as a dictionary (``api``, ``data``) or as
            an instance (model methods).
    """

    code = "already_enrolled"
    enrollment: Any = None

    def __init__(self, message: str, enrollment: Any) -> None:
        super().__init__(message)
        self.args = (message, enrollment)
        self.enrollment = enrollment


class CourseEnrollmentFullError(CourseEnrollmentError):
    """No seat is left in the course (CAP-02)."""

    code = "course_full"


class CourseEnrollmentNotUpdatableError(CourseEnrollmentError):
    """The requested change contradicts the state of the enrollment (V1-ENR-10)."""

    code = "not_updatable"


class CourseModeNotFoundError(CourseEnrollmentError):
    """
    The course does not offer this mode now (MODE-10).

    ``data`` is the course dictionary that lists the modes considered.
    """

    code = "mode_unavailable"


class EnrollmentApiLoadError(CourseEnrollmentError):
    """``ENROLLMENTS_DATA_API`` names no module that can be imported (API-01)."""

    code = "data_api_not_loaded"


class EnrollmentNotFoundError(CourseEnrollmentError):
    """The learner has never been in the course, so nothing can be updated (API-11)."""

    code = "enrollment_not_found"


class InvalidEnrollmentAttribute(CourseEnrollmentError):  # noqa: N818 - contract name
    """An enrollment attribute lacks a part or holds what cannot be stored (DATA-07)."""

    code = "invalid_attribute"


class UserNotFoundError(CourseEnrollmentError):
    """No user has this username or key (DATA-05)."""

    code = "user_not_found"


class CourseNotFoundError(CourseEnrollmentError):
    """No course has this id, or it is not a course id at all (DATA-10, DATA-13)."""

    code = "course_not_found"


class CohortNotFoundError(CourseEnrollmentError):
    """Raised by a host's cohort backend for a name it does not know (V1-SIDE-02)."""

    code = "cohort_not_found"


class EnrollmentNotAllowed(CourseEnrollmentError):  # noqa: N818 - contract name
    """
    A filter or a permission backend vetoed the change.

    Raise it from a filter with a message for the learner; nothing is changed.
    """

    code = "not_allowed"
