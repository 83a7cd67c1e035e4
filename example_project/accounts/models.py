"""The user model."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """
    A user: a learner or an operator.

    Contains personal data: username, name, e-mail address and student number.
    """

    # One field for the whole name.
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    name = models.CharField(max_length=150, blank=True)
    student_number = models.PositiveIntegerField(
        null=True,
        blank=True,
        unique=True,
        help_text="The university's number of a student; empty for other users.",
    )

    def get_full_name(self) -> str:
        """Return the name, or the username without one."""
        return self.name or self.get_username()

    def get_short_name(self) -> str:
        """Return the full name, because names have no parts here."""
        return self.get_full_name()
