"""Forms of the catalogue and the course page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import models
from django.utils.translation import gettext_lazy as _


class Show(models.TextChoices):
    """The filters of the catalogue."""

    ALL = "", _("All")
    OPEN = "open", _("Open now")
    LATER = "later", _("Opens later")
    FULL = "full", _("Full")
    INVITATION = "invitation", _("By invitation")
    MINE = "mine", _("Mine")
    TEAM = "team", _("My team")


class CatalogForm(forms.Form):
    """The search of the catalogue. Anything unknown counts as empty."""

    q = forms.CharField(
        label=_("Search courses"),
        required=False,
        max_length=100,
        strip=True,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    show = forms.ChoiceField(choices=Show.choices, required=False)

    def value(self, name: str) -> str:
        """Return a valid value, or ``""``."""
        self.is_valid()
        cleaned: dict[str, Any] = self.cleaned_data
        return str(cleaned.get(name, ""))


class ActionForm(forms.Form):
    """
    A button of the course page.

    ``seen`` is the state that the page showed. A form that was open while the
    enrollment changed elsewhere must not change it again.
    """

    ENROLL, CHANGE, LEAVE = "enroll", "change", "leave"

    action = forms.ChoiceField(choices=[(one, one) for one in (ENROLL, CHANGE, LEAVE)])
    seen = forms.CharField(max_length=120)
    mode = forms.CharField(max_length=100, required=False)

    def clean(self) -> dict[str, Any]:
        """
        Return the cleaned data.

        Raises:
            ValidationError: A change names no mode.
        """
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("action") == self.CHANGE and not cleaned.get("mode"):
            required = self.fields["mode"].error_messages["required"]
            raise forms.ValidationError(required, code="required")
        return cleaned
