"""Who may enroll before having an account, or into a course that is closed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.utils.translation import gettext_lazy as _
from model_utils.fields import AutoCreatedField

from django_enrollments.identifiers import find_course_id
from django_enrollments.models.delegates import model_methods
from django_enrollments.models.fields import ExactCharField, LowercaseCharField
from django_enrollments.text import MAX_TEXT, clean_address
from django_enrollments.users import email_of

#: What overwrites an address just before its invitation is deleted (MDL-26).
REDACTED_EMAIL = "redacted-before-delete@safe.com"


class CourseEnrollmentAllowedQuerySet(models.QuerySet["CourseEnrollmentAllowed"]):
    """Chainable filters that name sets of invitations."""

    def for_email(self, email: str) -> CourseEnrollmentAllowedQuerySet:
        """
        Keep the invitations of one address (ACC-12).

        Args:
            email: An e-mail address in any spelling.
        """
        return self.filter(email=email)

    def unused(self) -> CourseEnrollmentAllowedQuerySet:
        """Keep the unused ones."""
        return self.filter(user=None)

    def usable_by(self, user: Any) -> CourseEnrollmentAllowedQuerySet:
        """
        Keep those for the user's address that are unused or their own (MDL-14).

        Args:
            user: A saved user; one without an address has none.
        """
        email = email_of(user)
        if not email:
            return self.none()
        own = models.Q(user=None) | models.Q(user_id=user.pk)
        return self.filter(own, email=email)


class CourseEnrollmentAllowed(models.Model):
    """
    An invitation: this address may enroll in this course.

    Holds personal data: an e-mail address and, once used, the user. Retired by
    :meth:`retire`, deleted with the user.
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
        # Only carried into the history, which holds the bare key as well.
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
            # Closes the race of two invitations (V1-CEA-12); serves "invitations of
            # an address" and "the invitation of an address to a course".
            models.UniqueConstraint(
                fields=("email", "course_id"),
                name="django_enrollments_courseenrollmentallowed_unique",
            ),
        )

    def __str__(self) -> str:
        """Return the course; the address is personal."""
        return f"{_('Invitation')} {self.pk}: {self.course_id}"

    def clean(self) -> None:
        """
        Check the address (V1-CEA-11).

        Raises:
            ValidationError: It is no e-mail address.
        """
        super().clean()
        if self.email and clean_address(self.email) is None:
            error = ValidationError(validate_email.message, validate_email.code)
            raise ValidationError({"email": error})

    def valid_for_user(self, user: Any) -> bool:
        """
        Return whether the invitation is unused or the user's own (MDL-14).

        Args:
            user: A saved user.
        """
        return self.user_id is None or self.user_id == user.pk

    @classmethod
    def for_user(cls, user: Any) -> CourseEnrollmentAllowedQuerySet:
        """
        Return the invitations that a user may enroll by (MDL-14).

        Args:
            user: A saved user.
        """
        return cls.objects.usable_by(user)

    @classmethod
    def may_enroll_and_unenrolled(
        cls, course_id: object
    ) -> CourseEnrollmentAllowedQuerySet:
        """
        Return the unused invitations to a course (MDL-14, MDL-27).

        Args:
            course_id: The course, its id, or anything whose ``str()`` that is.
        """
        text = find_course_id(course_id)
        unused = cls.objects.unused()
        return unused.none() if text is None else unused.filter(course_id=text)

    @classmethod
    def retire(cls, email: str) -> bool:
        """
        Delete every invitation of an address, overwriting it first (MDL-26).

        The address is overwritten so that no trace stays in pages that a database
        has freed but not cleared.

        Args:
            email: The address of a person who retires.

        Returns:
            Whether there was any.

        Raises:
            CourseEnrollmentError: Conflicts with other changes did not end.
        """
        return model_methods.retire_invitations(email)
