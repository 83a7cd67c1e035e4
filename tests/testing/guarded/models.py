from __future__ import annotations

from django.db import models

from django_enrollments.models import AbstractCourse


class Seminar(AbstractCourse):
    class Meta(AbstractCourse.Meta):
        permissions = (
            ("enroll_in_course", "Can enroll"),
            ("view_enrollment_data", "Can read the enrollments"),
        )

    teacher = models.CharField(max_length=100)
