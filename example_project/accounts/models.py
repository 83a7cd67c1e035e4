"""Who can log in."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """
    A person: a learner, or somebody who runs the school.

    Holds personal data: login, name, e-mail address and student number.
    """

    # One name, written as its owner writes it.
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    name = models.CharField(max_length=150, blank=True)
    student_number = models.PositiveIntegerField(
        null=True,
        blank=True,
        unique=True,
        help_text="As the university numbers its students; empty for everybody else.",
    )

    def get_full_name(self) -> str:
        """Return the name, or the login of who gave none."""
        return self.name or self.get_username()

    def get_short_name(self) -> str:
        """Return the same as :meth:`get_full_name`: names have no parts here."""
        return self.get_full_name()
