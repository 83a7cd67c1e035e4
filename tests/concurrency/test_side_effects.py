"""What comes with an enrollment comes with each that is made, and no other (B-07)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from django_enrollments.models import (
    CourseEnrollmentAttribute,
    EmailOptIn,
    EnrollmentEvent,
)
from tests.concurrency.crowd import at_once
from tests.concurrency.evidence import assert_history_is_true, seats_taken, tally
from tests.concurrency.ways import SNAPSHOTS, USUAL, by
from tests.enrolling import enroll_or_change
from tests.factories import course_id_of, make_course, make_user, make_users

if TYPE_CHECKING:
    from tests.concurrency.crowd import Way

pytestmark = pytest.mark.django_db(transaction=True)

ATTRIBUTE = {"namespace": "host", "name": "color", "value": "red"}


class TestEnrollOrUpdate:
    @pytest.mark.rule("CAP-10")
    @by(*USUAL, *SNAPSHOTS)
    def test_notes_the_choice_of_the_5_of_20_who_got_a_seat(self, way: Way):
        course = make_course(max_student_enrollments_allowed=5)
        calls = [
            partial(
                enroll_or_change,
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
    def test_answers_all_who_enroll_one_learner(self, way: Way):
        course, ada = make_course(), make_user("ada")
        call = partial(
            enroll_or_change,
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
