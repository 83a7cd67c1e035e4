"""One address is invited to a course once (V1-CEA-12)."""

from __future__ import annotations

from functools import partial

import pytest

from django_enrollments import datetimes
from django_enrollments.core import invitations
from django_enrollments.models import CourseEnrollmentAllowed
from tests.processes.concurrent import REPEATABLE_READ, USUAL, at_once, by

pytestmark = pytest.mark.django_db(transaction=True)


def invite(email: str) -> bool:
    """Invite an address; tell whether it was not invited before."""
    invitation = invitations.invite(
        email, "django-101", auto_enroll=False, at=datetimes.now()
    )
    return invitation is not None


@pytest.mark.rule("V1-CEA-12")
@by(*USUAL, REPEATABLE_READ)
def test_of_20_equal_invitations_one_is_made_and_nineteen_are_told(way):
    answers = at_once([partial(invite, "ada@example.org")] * 20, way)

    assert [answer.error for answer in answers if answer.error] == []
    assert sorted(answer.value for answer in answers) == [False] * 19 + [True]
    assert CourseEnrollmentAllowed.objects.count() == 1
