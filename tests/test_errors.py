"""The classes of errors and their codes."""

from __future__ import annotations

import copy
import pickle

import pytest
from django.utils.translation import override

from django_enrollments import errors
from django_enrollments.errors import CourseEnrollmentError, CourseEnrollmentExistsError

CODES = {
    "CourseEnrollmentError": "enrollment_error",
    "CourseEnrollmentClosedError": "enrollment_closed",
    "CourseEnrollmentExistsError": "already_enrolled",
    "CourseEnrollmentFullError": "course_full",
    "CourseEnrollmentNotUpdatableError": "not_updatable",
    "CourseModeNotFoundError": "mode_unavailable",
    "EnrollmentApiLoadError": "data_api_not_loaded",
    "EnrollmentNotFoundError": "enrollment_not_found",
    "InvalidEnrollmentAttribute": "invalid_attribute",
    "UserNotFoundError": "user_not_found",
    "CourseNotFoundError": "course_not_found",
    "CohortNotFoundError": "cohort_not_found",
    "EnrollmentNotAllowed": "not_allowed",
}

PLAIN = sorted(CODES.keys() - {"CourseEnrollmentExistsError"})


def copies(error):
    """Return an error after a way between processes, and after a copy."""
    pickled = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes.
    return pickled, copy.copy(error)


def test_there_are_these_classes_with_these_codes():
    classes = {
        name: value.code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }

    assert classes == CODES
    assert len({*CODES.values()}) == len(CODES)


@pytest.mark.rule("ERRS-01", "ERRS-04", "ERRS-05")
@pytest.mark.parametrize("name", PLAIN)
def test_every_class_has_a_message_and_data(name):
    error = getattr(errors, name)("Sorry.", {"more": 1})

    assert isinstance(error, CourseEnrollmentError)
    assert getattr(errors, name)("Sorry.").data is None
    for one in (error, *copies(error)):
        assert type(one) is type(error)
        assert (str(one), one.data) == ("Sorry.", {"more": 1})


@pytest.mark.rule("ERRS-02", "ERRS-04")
def test_an_enrollment_that_exists_is_on_the_error():
    error = CourseEnrollmentExistsError("Already there.", {"mode": "audit"})

    assert isinstance(error, CourseEnrollmentError)
    assert CourseEnrollmentExistsError.enrollment is None
    for one in (error, *copies(error)):
        assert str(one) == "Already there."
        assert one.enrollment == {"mode": "audit"}
        assert one.data is None


def test_a_code_in_words_is_a_sentence_in_the_language():
    with override("de"):
        known = errors.in_words("invalid_email", "Not an address: 'x'.")
        unknown = errors.in_words("course_full", "This course is full.")
        without_code = errors.in_words(None, "Something.")

    assert known == "Das ist keine E-Mail-Adresse."
    assert unknown == "This course is full."
    assert without_code == "Something."
