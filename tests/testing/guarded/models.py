from __future__ import annotations

from django.db import models
from guardian.shortcuts import assign_perm

from django_enrollments.models import AbstractCourse
from django_enrollments.permissions import ENROLL_IN_COURSE


class Seminar(AbstractCourse):
    class Meta(AbstractCourse.Meta):
        permissions = (
            ("enroll_in_course", "Can enroll"),
            ("view_enrollment_data", "Can read the enrollments"),
        )

    teacher = models.CharField(max_length=100)


def allow(user: object, seminar: Seminar) -> None:
    """Let a user enroll in a seminar."""
    assign_perm(ENROLL_IN_COURSE.partition(".")[2], user, seminar)
