"""A user who is deleted while enrolling is one who is not found (contract §9)."""

from __future__ import annotations

from functools import partial

import pytest
from django.contrib.auth import get_user_model

from django_enrollments.models import CourseEnrollment, CourseEnrollmentAttribute
from tests.enrolling import enroll_or_change
from tests.factories import course_id_of, make_course, make_user
from tests.processes.calls import (
    after,
    delete_user,
    post_enrollment,
    with_slow_cohorts,
)
from tests.processes.checks import assert_history_folds
from tests.processes.concurrent import at_once

pytestmark = pytest.mark.django_db(transaction=True)

#: When the user is deleted, while the transaction that enrolls them is open.
DURING = 0.4

COLOR = {"namespace": "host", "name": "color", "value": "red"}
ALONG = pytest.mark.parametrize(
    "along",
    [{}, {"enrollment_attributes": [COLOR]}, {"email_opt_in": True}],
    ids=["nothing", "attributes", "choice"],
)


class TestAUserWhoIsDeletedWhileEnrolling:
    @ALONG
    def test_is_not_found(self, along):
        course, ada = make_course(), make_user("ada")
        enroll = partial(
            enroll_or_change,
            ada.get_username(),
            course_id_of(course),
            cohort="green",
            **along,
        )

        answer, _ = at_once(
            [
                partial(with_slow_cohorts, enroll),
                partial(after, DURING, partial(delete_user, ada.pk)),
            ]
        )

        # Where the database keeps the user for as long as the transaction needs them,
        # it is the deletion that is refused or waits.
        is_there = get_user_model().objects.filter(pk=ada.pk).exists()
        assert answer.error is None or answer.error.__name__ == "UserNotFoundError"
        assert CourseEnrollment.objects.exists() == is_there
        if is_there:
            answer.unwrap()
            assert_history_folds()
        else:
            assert not CourseEnrollmentAttribute.objects.exists()

    @ALONG
    def test_is_a_406_over_http(self, along):
        course, ada = make_course(), make_user("ada")
        body = {
            "user": ada.get_username(),
            "course_details": {"course_id": course_id_of(course)},
            "cohort": "green",
            **along,
        }

        answer, _ = at_once(
            [
                partial(with_slow_cohorts, partial(post_enrollment, body, "sesame")),
                partial(after, DURING, partial(delete_user, ada.pk)),
            ]
        )

        is_there = get_user_model().objects.filter(pk=ada.pk).exists()
        assert answer.unwrap() == (200 if is_there else 406)
