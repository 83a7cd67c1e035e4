"""Courses and their modes."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_comma_separated_integer_list
from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _
from model_utils.models import TimeStampedModel

from django_enrollments.conf import conf
from django_enrollments.course_model import course_id_is_text, get_course_adapter
from django_enrollments.identifiers import find_course_id
from django_enrollments.models.delegates import model_methods
from django_enrollments.models.fields import ExactText, LowercaseCharField
from django_enrollments.text import MAX_TEXT, org_of


class AbstractCourse(TimeStampedModel):
    """
    A course run that learners enroll in. Holds no personal data.

    Extend it to add fields of your own, or keep your own model and write a
    :class:`~django_enrollments.backends.courses.CourseAdapter` for it.
    """

    id = models.CharField(
        _("course id"),
        primary_key=True,
        max_length=MAX_TEXT,
        help_text=_("For example course-v1:edX+DemoX+Demo_Course or django-101."),
    )
    org = models.CharField(
        _("organization"),
        max_length=MAX_TEXT,
        blank=True,
        help_text=_("Taken from the course id when left blank."),
    )
    display_name = models.CharField(  # noqa: DJ001 - None means "derived from the id".
        _("display name"), max_length=MAX_TEXT, null=True, blank=True
    )
    start = models.DateTimeField(_("course start"), null=True, blank=True)
    end = models.DateTimeField(_("course end"), null=True, blank=True)
    enrollment_start = models.DateTimeField(
        _("enrollment opens"), null=True, blank=True
    )
    enrollment_end = models.DateTimeField(_("enrollment closes"), null=True, blank=True)
    invitation_only = models.BooleanField(_("invitation only"), default=False)
    max_student_enrollments_allowed = models.PositiveIntegerField(
        _("seats"),
        null=True,
        blank=True,
        help_text=_("Most active learners, course staff aside; empty is no limit."),
    )
    self_paced = models.BooleanField(_("self-paced"), default=False)
    enable_proctored_exams = models.BooleanField(_("proctored exams"), default=False)
    proctoring_provider = models.CharField(
        _("proctoring provider"), max_length=MAX_TEXT, blank=True
    )

    class Meta:
        abstract = True
        ordering = ("id",)
        verbose_name = _("course")
        verbose_name_plural = _("courses")

    def __str__(self) -> str:
        """Return the course id."""
        return str(self.pk)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; a blank organization is derived from the id."""
        if not self.org:
            self.org = org_of(str(self.pk))
            if self.org and kwargs.get("update_fields"):
                kwargs["update_fields"] = {*kwargs["update_fields"], "org"}
        super().save(*args, **kwargs)


class Course(AbstractCourse):
    """The shipped course model, which ``ENROLLMENTS_COURSE_MODEL`` can replace."""

    class Meta(AbstractCourse.Meta):
        abstract = False
        swappable = "ENROLLMENTS_COURSE_MODEL"


class CourseModeQuerySet(models.QuerySet["CourseMode"]):
    """Filters for modes."""

    def of_course(self, course_id: object) -> CourseModeQuerySet:
        """
        Return the modes of a course, in creation order (MODE-18).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
        """
        text = find_course_id(course_id)
        if text is None:
            return self.none()
        path = f"course__{get_course_adapter().course_id}"
        modes = self.filter(**{path: text})
        if course_id_is_text():
            # A collation may also match similar ids.
            modes = modes.alias(enrollments_course_id=ExactText(F(path))).filter(
                enrollments_course_id=text
            )
        return modes.order_by("pk")


class CourseMode(models.Model):
    """A way to take a course, with its price. Holds no personal data."""

    AUDIT = "audit"
    HONOR = "honor"
    VERIFIED = "verified"
    PROFESSIONAL = "professional"
    NO_ID_PROFESSIONAL = "no-id-professional"
    CREDIT = "credit"
    MASTERS = "masters"
    EXECUTIVE_EDUCATION = "executive-education"

    #: Slugs that may not expire (MODE-14).
    NEVER_EXPIRING = frozenset({PROFESSIONAL, NO_ID_PROFESSIONAL})

    course = models.ForeignKey(
        conf.ENROLLMENTS_COURSE_MODEL,
        on_delete=models.CASCADE,
        related_name="django_enrollments_%(class)s_set",
        # The unique constraint's index begins with the course.
        db_index=False,
        verbose_name=_("course"),
    )
    mode_slug = models.CharField(_("mode"), max_length=100)
    mode_display_name = models.CharField(_("name"), max_length=MAX_TEXT, blank=True)
    min_price = models.PositiveIntegerField(_("minimum price"), default=0)
    suggested_prices = models.CharField(
        _("suggested prices"),
        max_length=MAX_TEXT,
        blank=True,
        default="",
        validators=[validate_comma_separated_integer_list],
        help_text=_("Whole numbers separated by commas."),
    )
    currency = LowercaseCharField(_("currency"), max_length=8, default="usd")
    expiration_datetime = models.DateTimeField(
        _("offered until"), null=True, blank=True
    )
    description = models.TextField(  # noqa: DJ001 - null on the wire (V1-SER-13).
        _("description"), null=True, blank=True
    )
    sku = models.CharField(  # noqa: DJ001 - null on the wire (V1-SER-13).
        _("SKU"), max_length=MAX_TEXT, null=True, blank=True
    )
    bulk_sku = models.CharField(  # noqa: DJ001 - null on the wire (V1-SER-13).
        _("bulk SKU"), max_length=MAX_TEXT, null=True, blank=True
    )

    objects = CourseModeQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        verbose_name = _("course mode")
        verbose_name_plural = _("course modes")
        constraints = (
            # Prevents a duplicate when two operators add a mode at the same time. Also
            # the index for the modes of a course.
            models.UniqueConstraint(
                fields=("course", "mode_slug", "currency"),
                name="django_enrollments_coursemode_unique",
            ),
        )

    def __str__(self) -> str:
        """Return the course key, the slug and the price."""
        return f"{self.course_id}: {self.mode_slug} ({self.min_price} {self.currency})"

    @property
    def slug(self) -> str:
        """The slug, under its name in the API."""
        return self.mode_slug

    @property
    def name(self) -> str:
        """The display name, under its name in the API."""
        return self.mode_display_name

    def clean(self) -> None:
        """
        Validate the expiration (MODE-14).

        Raises:
            ValidationError: A professional mode has an expiration.
        """
        super().clean()
        if self.expiration_datetime and self.mode_slug in self.NEVER_EXPIRING:
            raise ValidationError(
                {
                    "expiration_datetime": _(
                        "Professional education modes are not allowed to have "
                        "expiration_datetime set."
                    )
                }
            )

    @classmethod
    def modes_for_course(
        cls,
        course_id: object,
        include_expired: bool = False,
        only_selectable: bool = True,
    ) -> list[CourseMode]:
        """
        Return the modes of a course, or the default mode (MODE-03…05).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
            include_expired: Whether to include expired modes.
            only_selectable: Whether to leave out credit.

        Returns:
            Instances in creation order. For a course without modes, an unsaved instance
            of the default mode.
        """
        return model_methods.modes_for_course(
            course_id, include_expired, only_selectable
        )
