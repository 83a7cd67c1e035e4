from __future__ import annotations

import uuid
from decimal import Decimal

from django.contrib.auth.models import AbstractUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from django_enrollments.backends.courses import CourseAdapter


class Department(models.Model):
    code = models.CharField(max_length=3, unique=True)
    dean = models.OneToOneField(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )

    def __str__(self) -> str:
        return self.code


class Account(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    language = models.CharField(max_length=2, choices=[("de", "de"), ("fr", "fr")])


class Person(Account):
    """A user whose row is in two tables."""

    student_number = models.CharField(max_length=8, unique=True)
    department = models.ForeignKey(Department, on_delete=models.PROTECT)
    born_on = models.DateField()
    breaks_at = models.TimeField()
    photo = models.FileField()
    address = models.GenericIPAddressField()
    settings = models.JSONField()
    secret = models.BinaryField()
    height = models.FloatField()
    notice = models.DurationField()
    wants_mail = models.BooleanField()

    REQUIRED_FIELDS = ("email", "student_number")


class Product(models.Model):
    sku = models.SlugField(primary_key=True)
    slug = models.SlugField(unique=True)
    price = models.DecimalField(max_digits=4, decimal_places=2)
    department = models.ForeignKey(Department, on_delete=models.PROTECT)

    def __str__(self) -> str:
        return self.slug


class Run(Product):
    """A course whose id is a field of its parent."""

    title = models.CharField(max_length=100)
    level = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(lambda: 4)]
    )
    homepage = models.URLField()
    contact = models.EmailField()
    seats = models.PositiveSmallIntegerField()
    opens_on = models.DateField()
    ends_at = models.DateTimeField()
    begins_on = models.DateField()
    vat = models.DecimalField(max_digits=4, decimal_places=2, default=Decimal(19))
    is_published = models.BooleanField(default=False)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(begins_on__gte=models.F("opens_on")),
                name="run_opens_before_it_begins",
            ),
        )


class RunAdapter(CourseAdapter):
    course_id = "slug"
    org = "department__code"
    display_name = "title"
    start = enrollment_end = "begins_on"
    end = "ends_at"
    enrollment_start = "opens_on"
    invitation_only = self_paced = enable_proctored_exams = proctoring_provider = None
    max_student_enrollments_allowed = "seats"
