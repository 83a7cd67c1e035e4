"""A user whose name is a number."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class Student(AbstractBaseUser, PermissionsMixin):
    """Somebody with a number of matriculation."""

    USERNAME_FIELD = "number"

    number = models.PositiveIntegerField(unique=True)
    is_staff = models.BooleanField(default=False)

    objects = BaseUserManager()
