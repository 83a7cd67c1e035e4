"""Enrolls and changes enrollments as ``POST enrollment`` does, without HTTP."""

from __future__ import annotations

from typing import Any

from django_enrollments.policies import Requester
from django_enrollments.views import enrolling


def program() -> Requester:
    """Return a program with an API key."""
    return Requester(None, has_api_key=True)


def enroll_or_change(
    name: Any, course_id: str, /, *, by: Requester | None = None, **wanted: Any
) -> dict[str, Any]:
    """Do what a requester wants; by default, what learners may do to their own."""
    requester = by or Requester(None)
    # Compared with the requester and not used otherwise.
    learner = None if by else requester.user
    request = enrolling.EnrollmentRequest(requester, learner, name, course_id, **wanted)
    return enrolling.enroll_or_change(request)
