from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import (
    AbstractBaseUser,
    BaseUserManager,
    PermissionsMixin,
)
from django.db import models


class MemberManager(BaseUserManager["Member"]):
    def create_user(
        self, email: str, password: str | None = None, **fields: Any
    ) -> Member:
        member = self.model(email=self.normalize_email(email), **fields)
        member.set_password(password)
        member.save(using=self._db)
        return member

    def create_superuser(
        self, email: str, password: str | None = None, **fields: Any
    ) -> Member:
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, **fields
        )


class Member(AbstractBaseUser, PermissionsMixin):
    """Has no username, no first and no last name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    objects: ClassVar[MemberManager] = MemberManager()

    USERNAME_FIELD = "email"


class Faculty(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Seminar(models.Model):
    """Shares no field name with ``AbstractCourse`` but the primary key's."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.CharField(max_length=255, unique=True)
    title = models.CharField(max_length=200)
    faculty = models.ForeignKey(
        Faculty, on_delete=models.SET_NULL, null=True, blank=True
    )
    registration_opens_at = models.DateTimeField(null=True, blank=True)
    registration_closes_at = models.DateTimeField(null=True, blank=True)
    begins_at = models.DateTimeField(null=True, blank=True)
    finishes_at = models.DateTimeField(null=True, blank=True)
    seats = models.PositiveIntegerField(null=True, blank=True)
    by_invitation = models.BooleanField(default=False)
    proctored = models.BooleanField(default=False)
    proctor = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.title

    def __len__(self) -> int:
        """Count sessions; a seminar that has none yet counts as false."""
        return 0
