"""Tables of the shipped retirement and e-mail opt-in backends."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from model_utils import Choices
from model_utils.fields import AutoLastModifiedField
from model_utils.models import TimeStampedModel

from django_enrollments.models.fields import ExactCharField
from django_enrollments.text import MAX_TEXT, MAX_USERNAME


class UserRetirementStatus(TimeStampedModel):
    """
    A user's request to be retired, and its state.

    Contains personal data: the user and the former username. When the user is deleted,
    it stays without the link to the user.
    """

    STATES = Choices(
        ("pending", _("pending")),
        ("in_progress", _("in progress")),
        ("complete", _("complete")),
        ("aborted", _("aborted")),
    )

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="django_enrollments_%(class)s_set",
        verbose_name=_("user"),
    )
    original_username = ExactCharField(
        _("original username"), max_length=MAX_USERNAME, db_index=True
    )
    state = models.CharField(
        _("state"), max_length=32, choices=STATES, default=STATES.pending
    )

    class Meta:
        ordering = ("pk",)
        verbose_name = _("user retirement status")
        verbose_name_plural = _("user retirement statuses")

    def __str__(self) -> str:
        """Return the user's key and the state, because the username is personal."""
        return f"{self.user_id}: {self.state}"


class EmailOptIn(models.Model):
    """
    Whether a user wants e-mail from an organization.

    Contains personal data: the user's choice. Deleted with the user.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="django_enrollments_%(class)s_set",
        # The unique constraint's index begins with the user.
        db_index=False,
        verbose_name=_("user"),
    )
    org = ExactCharField(_("organization"), max_length=MAX_TEXT, blank=True)
    opted_in = models.BooleanField(_("opted in"))
    modified = AutoLastModifiedField(_("modified"))

    class Meta:
        ordering = ("pk",)
        verbose_name = _("e-mail opt-in")
        verbose_name_plural = _("e-mail opt-ins")
        constraints = (
            # Prevents a duplicate when two choices are stored at the same time.
            models.UniqueConstraint(
                fields=("user", "org"), name="django_enrollments_emailoptin_unique"
            ),
        )

    def __str__(self) -> str:
        """Return the user's key and the organization."""
        return f"{self.user_id}: {self.org}"
