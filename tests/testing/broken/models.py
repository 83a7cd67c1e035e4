from __future__ import annotations

from django.db import models


class Certificate(models.Model):
    """Prevents an enrollment from being deleted."""

    enrollment = models.ForeignKey(
        "django_enrollments.CourseEnrollment", on_delete=models.PROTECT
    )

    def __str__(self) -> str:
        return f"{self.pk}"
