"""Decisions on an enrollment that is changed meanwhile are made again."""

from __future__ import annotations

from functools import partial

import pytest

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentExistsError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAttribute
from django_enrollments.services import EnrollmentsService
from tests.factories import course_id_of, make_course, make_modes, make_user
from tests.processes.calls import (
    ATTRIBUTES,
    post_enrollment,
    with_pause_before_attributes,
    with_pause_in_first_filter,
)
from tests.processes.checks import assert_history_folds
from tests.processes.concurrent import at_once
from tests.processes.controlled import paused

pytestmark = pytest.mark.django_db(transaction=True)


class TestTwoRequests:
    @pytest.mark.parametrize(
        ("before", "slow", "quick", "statuses", "after_both"),
        [
            pytest.param(
                ("verified", True),
                {"mode": "verified", "is_active": False},
                {"mode": "honor"},
                (400, 200),
                ("honor", True),
                id="leave and change",
            ),
            pytest.param(
                ("verified", True),
                {"mode": "honor"},
                {"mode": "verified", "is_active": False},
                (200, 200),
                ("honor", False),
                id="change and leave",
            ),
            pytest.param(
                ("verified", False),
                {"mode": "verified", "is_active": True},
                {"mode": "honor", "is_active": True},
                (200, 200),
                ("verified", True),
                id="join twice",
            ),
            pytest.param(
                None,
                {"mode": "verified"},
                {"mode": "honor"},
                (200, 200),
                ("verified", True),
                id="enroll twice",
            ),
            pytest.param(
                None,
                {"mode": "verified", "is_active": False},
                {"mode": "honor"},
                (400, 200),
                ("honor", True),
                id="enroll inactive and active",
            ),
        ],
    )
    def test_end_as_if_made_one_after_the_other(
        self, before, slow, quick, statuses, after_both
    ):
        course, ada = make_course(), make_user("ada")
        make_modes(course, "verified", "honor")
        if before:
            mode, is_active = before
            enrollment = EnrollmentsService().enroll(ada, course, mode, force=True)
            enrollment.update_enrollment(is_active=is_active)
        about = {
            "user": ada.get_username(),
            "course_details": {"course_id": course_id_of(course)},
        }

        slow_request, quick_request = (
            partial(post_enrollment, {**about, **fields}, "sesame")
            for fields in (slow, quick)
        )

        # The quick request is made while the slow one is decided.
        with paused(partial(with_pause_in_first_filter, slow_request)) as process:
            (quick_answer,) = at_once([quick_request])
            process.go_on()
            answers = [process.answer(), quick_answer]

        assert tuple(answer.unwrap() for answer in answers) == statuses
        row = CourseEnrollment.objects.get()
        assert (row.mode, row.is_active) == after_both
        assert_history_folds()


class TestAttributes:
    @pytest.mark.rule("B-05")
    def test_are_not_set_where_an_inactive_learner_comes_back(self):
        course, ada = make_course(), make_user("ada")
        service = EnrollmentsService()
        service.enroll(ada, course)
        service.unenroll(ada, course)
        call = partial(
            api.add_enrollment,
            ada.get_username(),
            course_id_of(course),
            is_active=False,
            enrollment_attributes=ATTRIBUTES,
        )

        with paused(partial(with_pause_before_attributes, call)) as process:
            service.enroll(ada, course)
            process.go_on()
            answer = process.answer()

        assert answer.error is CourseEnrollmentExistsError
        assert CourseEnrollment.objects.get().is_active
        assert not CourseEnrollmentAttribute.objects.exists()
