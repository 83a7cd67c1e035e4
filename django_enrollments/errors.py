"""
The errors of this app, with a stable ``code`` each.

``str(error)`` is a message for people. ``error.code`` is for programs and never
changes. Only the views turn errors into HTTP statuses. Misconfiguration raises Django's
``ImproperlyConfigured`` instead.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

_SENTENCES = {
    "user_not_found": _("There is no account with this name."),
    "invalid_email": _("This is not an e-mail address."),
    "ambiguous_email": _(
        "Several accounts have this e-mail address. Use the username."
    ),
    "mode_unavailable": _("The course does not offer this mode."),
    "course_not_found": _("There is no such course."),
}


def in_words(code: str | None, message: str) -> str:
    """
    Return an error as a sentence in the current language, for pages.

    Args:
        code: The code of an error, or of a result of ``bulk_enroll``.
        message: Its message, which is returned for other codes than those of unknown
            users, courses and modes, and of addresses.
    """
    return str(_SENTENCES.get(code or "", message))


class CourseEnrollmentError(Exception):
    """
    The base class of all errors of this app (ERRS-01).

    Attributes:
        data: Data about the error, or ``None``.
    """

    code = "enrollment_error"

    def __init__(self, msg: str, data: Any = None) -> None:
        # The arguments are positional, so that the error can be pickled.
        super().__init__(msg, data)
        self.data = data

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0])


class CourseEnrollmentClosedError(CourseEnrollmentError):
    """
    The learner cannot enroll now: window, invitation, or no permission (ACC-14).

    ``api.explain_enrollment()`` returns all reasons, and when each ends.
    """

    code = "enrollment_closed"


class CourseEnrollmentExistsError(CourseEnrollmentError):
    """
    The learner is enrolled already (ERRS-02).

    Attributes:
        enrollment: The existing enrollment, as a dictionary (``api``, ``data``) or an
            instance (model methods).
    """

    code = "already_enrolled"
    enrollment: Any = None

    def __init__(self, message: str, enrollment: Any) -> None:
        super().__init__(message)
        self.args = (message, enrollment)
        self.enrollment = enrollment


class CourseEnrollmentFullError(CourseEnrollmentError):
    """The course has no free seat (CAP-02)."""

    code = "course_full"


class CourseEnrollmentNotUpdatableError(CourseEnrollmentError):
    """The requested change contradicts the state of the enrollment (V1-ENR-10)."""

    code = "not_updatable"


class CourseModeNotFoundError(CourseEnrollmentError):
    """
    The course does not offer the mode (MODE-10).

    ``data`` is the dictionary of the course, with the modes that it offers.
    """

    code = "mode_unavailable"


class EnrollmentApiLoadError(CourseEnrollmentError):
    """The module that ``ENROLLMENTS_DATA_API`` names cannot be imported (API-01)."""

    code = "data_api_not_loaded"


class EnrollmentNotFoundError(CourseEnrollmentError):
    """The learner has no enrollment in the course (API-11)."""

    code = "enrollment_not_found"


class InvalidEnrollmentAttribute(CourseEnrollmentError):  # noqa: N818 - contract name
    """An attribute is incomplete, or cannot be stored (DATA-07)."""

    code = "invalid_attribute"


class UserNotFoundError(CourseEnrollmentError):
    """No user has this username or key (DATA-05)."""

    code = "user_not_found"


class CourseNotFoundError(CourseEnrollmentError):
    """No course has this id, or the id is not valid (DATA-10, DATA-13)."""

    code = "course_not_found"


class CohortNotFoundError(CourseEnrollmentError):
    """Raised by a host's cohort backend for an unknown cohort (V1-SIDE-02)."""

    code = "cohort_not_found"


class EnrollmentNotAllowed(CourseEnrollmentError):  # noqa: N818 - contract name
    """
    A filter or a permission backend vetoed, or the requester may not choose the mode.

    Raise it from a filter with a message for the learner; nothing is changed.
    """

    code = "not_allowed"
