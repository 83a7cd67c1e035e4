"""Users who are deleted while they are enrolled."""

from __future__ import annotations

from functools import partial

import pytest
from django.contrib.auth import get_user_model

from django_enrollments.models import CourseEnrollment, CourseEnrollmentAttribute
from tests.enrolling import enroll_or_change
from tests.factories import course_id_of, make_course, make_user
from tests.http import wish
from tests.processes.calls import (
    delete_user,
    once,
    post_enrollment,
    with_slow_cohorts,
)
from tests.processes.checks import assert_history_folds
from tests.processes.concurrent import at_once, processes

pytestmark = pytest.mark.django_db(transaction=True)

COLOR = {"namespace": "host", "name": "color", "value": "red"}


@pytest.mark.parametrize(
    "extras", [{}, {"enrollment_attributes": [COLOR]}, {"email_opt_in": True}]
)
@pytest.mark.parametrize("by_http", [False, True])
def test_a_user_who_is_deleted_meanwhile_is_not_found(extras, by_http):
    course, ada = make_course(), make_user("ada")
    name, fields = ada.get_username(), {"cohort": "green", **extras}
    if by_http:
        body = wish(course, user=name, **fields)
        enroll = partial(post_enrollment, body, "sesame")
    else:
        enroll = partial(enroll_or_change, name, course_id_of(course), **fields)

    # The user is deleted while the transaction that enrolls is open.
    is_within = processes.Event()
    answer, _ = at_once(
        [
            partial(with_slow_cohorts, is_within, enroll),
            partial(once, is_within, partial(delete_user, ada.pk)),
        ]
    )

    # On some databases, the deletion waits for the transaction or is refused.
    is_there = get_user_model().objects.filter(pk=ada.pk).exists()
    if by_http:
        assert answer.unwrap() == (200 if is_there else 406)
    else:
        assert answer.error is None or answer.error.__name__ == "UserNotFoundError"
        assert answer.error is None or not is_there
    assert CourseEnrollment.objects.exists() == is_there
    if is_there:
        assert_history_folds()
    else:
        assert not CourseEnrollmentAttribute.objects.exists()
