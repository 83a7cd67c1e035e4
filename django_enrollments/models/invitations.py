"""Invitations of e-mail addresses to courses."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.utils.translation import gettext_lazy as _
from model_utils.fields import AutoCreatedField

from django_enrollments.emails import clean_address
from django_enrollments.identifiers import find_course_id
from django_enrollments.models.delegates import model_methods
from django_enrollments.models.fields import ExactCharField, LowercaseCharField
from django_enrollments.text import MAX_TEXT
from django_enrollments.users import email_of

#: Replaces the address of an invitation before it is deleted (MDL-26).
REDACTED_EMAIL = "redacted-before-delete@safe.com"


class CourseEnrollmentAllowedQuerySet(models.QuerySet["CourseEnrollmentAllowed"]):
    """Filters for invitations."""

    def for_email(self, email: str) -> CourseEnrollmentAllowedQuerySet:
        """Return the invitations of an address in any spelling (ACC-12)."""
        return self.filter(email=email)

    def unused(self) -> CourseEnrollmentAllowedQuerySet:
        """Return the unused invitations."""
        return self.filter(user=None)

    def usable_by(self, user: Any) -> CourseEnrollmentAllowedQuerySet:
        """
        Return the invitations of the user's address that the user can use (MDL-14).

        These are the unused ones, and the ones that this user has used.
        """
        email = email_of(user)
        if not email:
            return self.none()
        own = models.Q(user=None) | models.Q(user_id=user.pk)
        return self.filter(own, email=email)


class CourseEnrollmentAllowed(models.Model):
    """
    An invitation: the user with this address can enroll in this course.

    Contains personal data: an e-mail address and, once used, the user. :meth:`retire`
    deletes it. A used invitation is deleted with the user.
    """

    email = LowercaseCharField(_("e-mail address"), max_length=MAX_TEXT)
    course_id = ExactCharField(
        _("course id"),
        max_length=MAX_TEXT,
        help_text=_("The course may not exist yet."),
    )
    auto_enroll = models.BooleanField(
        _("enroll at once"),
        default=False,
        help_text=_("Enroll as soon as an account with this address appears."),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="django_enrollments_%(class)s_set",
        verbose_name=_("user"),
        help_text=_("Who enrolled by it; empty until then."),
    )
    mode = models.CharField(
        _("mode"),
        max_length=100,
        blank=True,
        help_text=_("What to enroll in; the course's default mode when left blank."),
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        # Only copied to the history, which stores the key in the same way.
        db_index=False,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("actor"),
        help_text=_("Who invited, for the history."),
    )
    reason = models.TextField(
        _("reason"), blank=True, help_text=_("Why, for the history.")
    )
    created = AutoCreatedField(_("created"))

    objects = CourseEnrollmentAllowedQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = (
            # Prevents a second invitation at the same time (V1-CEA-12). Also the index
            # for the invitations of an address.
            models.UniqueConstraint(
                fields=("email", "course_id"),
                name="django_enrollments_courseenrollmentallowed_unique",
            ),
        )

    def __str__(self) -> str:
        """Return the course id, because the address is personal."""
        names = {"number": self.pk, "course": self.course_id}
        return str(_("Invitation %(number)s: %(course)s") % names)

    def clean(self) -> None:
        """
        Validate the address (V1-CEA-11).

        Raises:
            ValidationError: The address is not valid.
        """
        super().clean()
        if self.email and clean_address(self.email) is None:
            error = ValidationError(validate_email.message, validate_email.code)
            raise ValidationError({"email": error})

    def valid_for_user(self, user: Any) -> bool:
        """Return whether the invitation is unused, or used by this user (MDL-14)."""
        return self.user_id is None or self.user_id == user.pk

    @classmethod
    def for_user(cls, user: Any) -> CourseEnrollmentAllowedQuerySet:
        """Return the invitations that a user can use (MDL-14)."""
        return cls.objects.usable_by(user)

    @classmethod
    def may_enroll_and_unenrolled(
        cls, course_id: object
    ) -> CourseEnrollmentAllowedQuerySet:
        """
        Return the unused invitations to a course (MDL-14, MDL-27).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
        """
        text = find_course_id(course_id)
        unused = cls.objects.unused()
        return unused.none() if text is None else unused.filter(course_id=text)

    @classmethod
    def retire(cls, email: str) -> bool:
        """
        Overwrite and delete the invitations of an address (MDL-26).

        The address is overwritten because databases do not clear deleted rows at once.

        Args:
            email: An e-mail address in any spelling.

        Returns:
            Whether there were any.

        Raises:
            CourseEnrollmentError: There were too many conflicts.
        """
        return model_methods.retire_invitations(email)
