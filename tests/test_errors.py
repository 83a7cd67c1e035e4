"""Every refusal by class and code (rules ERRS, contract §5)."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from django_enrollments import errors
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseEnrollmentExistsError,
)

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


class TestCourseEnrollmentError:
    @pytest.mark.parametrize("name", CODES)
    def test_contract_5_every_class_has_its_code(self, name):
        assert getattr(errors, name).code == CODES[name]

    def test_contract_5_there_are_no_others(self):
        classes = {
            name
            for name, value in vars(errors).items()
            if isinstance(value, type) and issubclass(value, Exception)
        }

        assert classes == set(CODES)
        assert len(set(CODES.values())) == len(CODES)

    @pytest.mark.rule("ERRS-04", "ERRS-05")
    def test_all_are_of_one_family(self):
        for name in CODES:
            assert issubclass(getattr(errors, name), CourseEnrollmentError)

    @pytest.mark.rule("ERRS-01")
    @pytest.mark.parametrize("name", PLAIN)
    def test_says_its_message_and_carries_its_data(self, name):
        error = getattr(errors, name)("Sorry.", {"more": 1})

        assert isinstance(error, CourseEnrollmentError)
        assert str(error) == "Sorry."
        assert error.data == {"more": 1}

    @pytest.mark.rule("ERRS-01")
    @pytest.mark.parametrize("name", PLAIN)
    def test_data_may_be_left_out(self, name):
        assert getattr(errors, name)("Sorry.").data is None

    @pytest.mark.parametrize("name", PLAIN)
    def test_travels_between_processes(self, name):
        error = getattr(errors, name)("Sorry.", {"more": 1})

        pickled = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes.

        for twin in (pickled, copy.copy(error)):
            assert type(twin) is type(error)
            assert (str(twin), twin.data) == ("Sorry.", {"more": 1})


class TestCourseEnrollmentExistsError:
    @pytest.mark.rule("ERRS-02")
    def test_carries_the_enrollment(self):
        error = CourseEnrollmentExistsError("Already there.", {"mode": "audit"})

        assert isinstance(error, CourseEnrollmentError)
        assert str(error) == "Already there."
        assert error.enrollment == {"mode": "audit"}
        assert error.data is None
        assert CourseEnrollmentExistsError.enrollment is None

    def test_travels_between_processes(self):
        error = CourseEnrollmentExistsError("Already there.", {"mode": "audit"})

        twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes.

        assert str(twin) == "Already there."
        assert twin.enrollment == {"mode": "audit"}
        assert twin.data is None
        json.dumps(twin.enrollment)
