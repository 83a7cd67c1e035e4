"""What comes with an enrollment comes with each that is made, and no other (B-07)."""

from __future__ import annotations

from functools import partial

import pytest

from django_enrollments import api
from django_enrollments.models import (
    CourseEnrollmentAttribute,
    EmailOptIn,
    EnrollmentEvent,
)
from tests.factories import course_id_of, make_course, make_user, make_users
from tests.processes.checks import assert_history_is_true, seats_taken, tally
from tests.processes.concurrent import SNAPSHOTS, USUAL, at_once, by

pytestmark = pytest.mark.django_db(transaction=True)

ATTRIBUTE = {"namespace": "host", "name": "color", "value": "red"}


class TestEnrollOrUpdate:
    @pytest.mark.rule("CAP-10")
    @by(*USUAL, *SNAPSHOTS)
    def test_notes_the_choice_of_the_5_of_20_who_got_a_seat(self, way):
        course = make_course(max_student_enrollments_allowed=5)
        calls = [
            partial(
                api.enroll_or_update,
                user.get_username(),
                course_id_of(course),
                enrollment_attributes=[ATTRIBUTE],
                email_opt_in=True,
            )
            for user in make_users(20)
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 5, "CourseEnrollmentFullError": 15}
        assert seats_taken(course) == 5
        assert EmailOptIn.objects.count() == 5
        assert CourseEnrollmentAttribute.objects.count() == 5
        assert_history_is_true(answers)

    @pytest.mark.rule("PERF-02")
    @by(*USUAL)
    def test_answers_all_who_enroll_one_learner(self, way):
        course, ada = make_course(), make_user("ada")
        call = partial(
            api.enroll_or_update,
            ada.get_username(),
            course_id_of(course),
            enrollment_attributes=[ATTRIBUTE],
            email_opt_in=True,
        )

        answers = at_once([call] * 10, way)

        assert tally(answers) == {"fine": 10}
        assert EnrollmentEvent.objects.count() == 1
        assert EmailOptIn.objects.count() == 1
        assert_history_is_true(answers)
