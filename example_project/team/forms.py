"""Forms of course teams."""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django_enrollments.models.enrollments import CourseEnrollmentQuerySet

STATES = [
    ("active", pgettext_lazy("enrollments", "Active")),
    ("former", pgettext_lazy("enrollments", "Former")),
    ("all", pgettext_lazy("enrollments", "All")),
]


class PlainForm(forms.Form):
    """A form without colons after its labels."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""


class ReasonForm(PlainForm):
    """A reason, for the history."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        help_text=_("Shown in the learner's history."),
    )


class ModeForm(ReasonForm):
    """A mode and a reason."""

    field_order: Sequence[str] = ("mode", "reason")
    mode = forms.ChoiceField(label=_("Mode"))

    def __init__(self, *args: Any, modes: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["mode"]
        field.choices = list(modes.items())


class EnrollForm(ModeForm):
    """The learner to enroll."""

    field_order: Sequence[str] = ("learner", "mode", "reason", "force")
    learner = forms.CharField(
        label=_("Username or e-mail address"),
        max_length=254,
        help_text=_("An address without an account is invited."),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "dir": "auto"}
        ),
    )
    force = forms.BooleanField(
        label=_("Enroll although registration is closed or by invitation"),
        required=False,
    )

    def __init__(self, *args: Any, can_force: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not can_force:
            del self.fields["force"]


class RosterForm(PlainForm):
    """The search and the filters of the roster."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=254,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Username or e-mail address")}
        ),
    )
    mode = forms.ChoiceField(label=_("Mode"), required=False)
    state = forms.ChoiceField(label=_("State"), choices=STATES, required=False)
    since = forms.DateField(
        label=_("Enrolled since"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
    )

    def __init__(self, *args: Any, modes: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["mode"]
        field.choices = [("", _("All modes")), *modes.items()]

    def apply(self, rows: CourseEnrollmentQuerySet) -> CourseEnrollmentQuerySet:
        """Return the enrollments with these filters; without a state, active ones."""
        self.full_clean()
        given = self.cleaned_data
        if given.get("mode"):
            rows = rows.filter(mode=given["mode"])
        if given.get("since"):
            # Not created__date, which no index can answer.
            midnight = datetime.combine(given["since"], time.min)
            rows = rows.filter(created__gte=timezone.make_aware(midnight))
        state = given.get("state") or "active"
        if state != "all":
            rows = rows.filter(is_active=state == "active")
        return rows

    @property
    def search(self) -> str:
        """The text of the search; empty if it is invalid."""
        self.full_clean()
        return str(self.cleaned_data.get("q", ""))

    @property
    def is_narrowed(self) -> bool:
        """Whether filters other than the initial ones are given."""
        given = self.cleaned_data
        return any(given.get(name) for name in ("q", "mode", "since")) or given.get(
            "state"
        ) not in {None, "", "active"}


class ImportForm(ReasonForm):
    """A CSV file."""

    field_order: Sequence[str] = ("file", "reason", "force")
    file = forms.FileField(
        label=_("CSV file"),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
    )
    force = forms.BooleanField(
        label=_("Enroll although registration is closed or by invitation"),
        required=False,
    )

    def __init__(self, *args: Any, can_force: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not can_force:
            del self.fields["force"]
