from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=20, unique=True)

    def __str__(self) -> str:
        return self.code


class Person(AbstractBaseUser, PermissionsMixin):
    """A user whose key is a text, and who must be activated."""

    login = models.CharField(max_length=12, primary_key=True)
    mail = models.EmailField(unique=True)
    country = models.ForeignKey(
        Country, on_delete=models.CASCADE, limit_choices_to={"name__contains": "name"}
    )
    mentor = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True)
    kind = models.CharField(max_length=5, choices={"Group": {"a": "A"}, "b": "B"})
    phone = models.CharField(max_length=3, unique=True)
    amount = models.DecimalField(max_digits=3, decimal_places=2)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=False)

    objects = BaseUserManager()

    USERNAME_FIELD = "login"
    EMAIL_FIELD = "mail"
    REQUIRED_FIELDS = ("mail",)
