"""Schools and course runs. These models do not depend on django-enrollments."""

from __future__ import annotations

from django.db import models


class School(models.Model):
    """A school. Contains no personal data."""

    code = models.SlugField(unique=True)
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        """Return the name."""
        return self.name


class CourseRun(models.Model):
    """A course in one term. Contains no personal data."""

    school = models.ForeignKey(School, on_delete=models.PROTECT, related_name="runs")
    code = models.CharField(
        max_length=50, unique=True, help_text="Course and term, such as AAA-2013J."
    )
    title = models.CharField(max_length=200)
    starts_on = models.DateField(null=True, blank=True)
    ends_on = models.DateField(null=True, blank=True)
    registration_opens_on = models.DateField(
        null=True, blank=True, help_text="Empty: registration has always been open."
    )
    registration_closes_on = models.DateField(
        null=True,
        blank=True,
        help_text="The first day with closed registration.",
    )
    seats = models.PositiveIntegerField(
        null=True, blank=True, help_text="Empty: no limit."
    )

    class Meta:
        ordering = ("code",)

    def __str__(self) -> str:
        """Return the code and the title."""
        return f"{self.code}: {self.title}"
