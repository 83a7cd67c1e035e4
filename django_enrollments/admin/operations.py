"""
Changes of enrollments by an operator: one from its page, or several from the list.

Each asks for a reason, follows the rules, and has the operator as actor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from django_enrollments.admin.words import course_of, mode_in_words
from django_enrollments.context import origin_of, override_origin
from django_enrollments.errors import (
    CourseEnrollmentError,
    CourseNotFoundError,
    in_words,
)
from django_enrollments.models import CourseEnrollment, CourseMode
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: The number of refusals that are shown one by one.
REFUSALS_SHOWN = 10

#: The number of enrollments that an action changes at most.
ROWS_CHANGED = 1_000


class ExceptionsForm(forms.Form):
    """The fields for the rules to lift."""

    force = forms.BooleanField(
        label=_("Ignore enrollment dates and invitations"),
        required=False,
    )
    over_capacity = forms.BooleanField(
        label=_("Ignore the number of seats"), required=False
    )


class ReasonForm(forms.Form):
    """A form that asks for the reason of a change."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=1_000,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=_("It is stored in the history, with your name."),
    )

    def __init__(self, *args: Any, rows: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = rows


class ModeForm(ReasonForm):
    """A form that asks for a mode, too."""

    mode = forms.ChoiceField(label=_("New mode"))

    field_order = ("mode", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = _offered(self.rows)
        if len(self.rows) == 1:
            names.pop(self.rows[0].mode, None)
        self.fields["mode"].choices = [*names.items()]  # type: ignore[attr-defined]  # a choice field.


class EnrollAgainForm(ExceptionsForm, ReasonForm):
    """A form that asks which rules to lift, too."""


class EnrollOneAgainForm(EnrollAgainForm):
    """The form for one enrollment, which asks for the mode, too."""

    mode = forms.ChoiceField(label=_("Mode"))

    field_order = ("mode", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        (row,) = self.rows
        names = _offered(self.rows)
        self.fields["mode"].choices = [*names.items()]  # type: ignore[attr-defined]  # a choice field.
        if row.mode in names:
            self.fields["mode"].initial = row.mode


def _offered(rows: Iterable[Any]) -> dict[str, str]:
    """Return the names of the modes that the courses of enrollments offer, by slug."""
    names: dict[str, str] = {}
    courses = {row.course_id: course_of(row) for row in rows}
    for course in courses.values():
        if course is not None:
            for mode in CourseMode.modes_for_course(course, only_selectable=False):
                names.setdefault(mode.slug, mode_in_words(mode.slug, [mode]))
    return names


@dataclass(frozen=True)
class Operation:
    """
    A change that an operator can make.

    Attributes:
        name: Name of the action, and part of the URL.
        label: Text of the button.
        description: Text in the list of actions.
        done: Text of the message with the number of changed enrollments.
        form: The form for one enrollment.
        form_for_many: The form for several.
        run: Changes a row with the cleaned data of the form and the operator.
        is_possible: Returns whether a row could be changed.
    """

    name: str
    label: Any
    description: Any
    done: Any
    form: type[ReasonForm]
    form_for_many: type[ReasonForm]
    run: Callable[[CourseEnrollment, dict[str, Any], Any], object]
    is_possible: Callable[[CourseEnrollment], bool]


def _change_mode(row: CourseEnrollment, given: dict[str, Any], actor: Any) -> None:
    EnrollmentsService().change_mode(
        row.user,
        _existing_course(row),
        given["mode"],
        reason=given["reason"],
        actor=actor,
        source="admin",
    )


def _unenroll(row: CourseEnrollment, given: dict[str, Any], actor: Any) -> None:
    origin = origin_of(actor=actor, reason=given["reason"], source="admin")
    with override_origin(origin):
        # Works in deleted courses, too.
        row.update_enrollment(is_active=False)


def _enroll_again(row: CourseEnrollment, given: dict[str, Any], actor: Any) -> None:
    EnrollmentsService().enroll(
        row.user,
        _existing_course(row),
        given.get("mode") or row.mode,
        force=given["force"],
        over_capacity=given["over_capacity"],
        reason=given["reason"],
        actor=actor,
        source="admin",
    )


def _existing_course(row: CourseEnrollment) -> Any:
    """
    Return the course.

    Raises:
        CourseNotFoundError: It is deleted.
    """
    course = course_of(row)
    if course is None:
        raise CourseNotFoundError("The course has been deleted.")
    return course


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            "change_mode",
            _("Change mode"),
            _("Change the mode of selected enrollments"),
            ngettext_lazy(
                "%(count)d mode was changed.", "%(count)d modes were changed.", "count"
            ),
            ModeForm,
            ModeForm,
            _change_mode,
            lambda row: course_of(row) is not None,
        ),
        Operation(
            "unenroll",
            _("Unenroll"),
            _("Unenroll selected learners"),
            ngettext_lazy(
                "%(count)d learner was unenrolled.",
                "%(count)d learners were unenrolled.",
                "count",
            ),
            ReasonForm,
            ReasonForm,
            _unenroll,
            lambda row: row.is_active,
        ),
        Operation(
            "reactivate",
            _("Enroll again"),
            _("Enroll selected learners again, in their mode"),
            ngettext_lazy(
                "%(count)d learner was enrolled again.",
                "%(count)d learners were enrolled again.",
                "count",
            ),
            EnrollOneAgainForm,
            EnrollAgainForm,
            _enroll_again,
            lambda row: not row.is_active and course_of(row) is not None,
        ),
    )
}


def run(
    operation: Operation, rows: Iterable[Any], given: dict[str, Any], actor: Any
) -> tuple[int, list[tuple[Any, str]]]:
    """
    Change enrollments one by one; those that are refused do not stop the others.

    Returns:
        The number of changed enrollments, and the refused ones with the reason.
    """
    changed = 0
    refused: list[tuple[Any, str]] = []
    for row in rows:
        before = (row.mode, row.is_active)
        try:
            operation.run(row, given, actor)
        except CourseEnrollmentError as refusal:
            is_shown = len(refused) < REFUSALS_SHOWN
            text = explain(operation, row, given) if is_shown else ""
            text = text or in_words(refusal.code, str(refusal))
            refused.append((row, text))
        else:
            after = CourseEnrollment.objects.filter(pk=row.pk)
            changed += before not in after.values_list("mode", "is_active")
    return changed, refused


def explain(operation: Operation, row: CourseEnrollment, given: dict[str, Any]) -> str:
    """
    Return all reasons for which a learner cannot be enrolled again, as text.

    Returns:
        ``""`` for another operation, or without a reason that the form does not lift.
    """
    if operation.name != "reactivate" or course_of(row) is None:
        return ""
    lifted = {"already_enrolled"}
    if given.get("force"):
        lifted |= {"enrollment_not_started", "enrollment_ended", "invitation_only"}
    if given.get("over_capacity"):
        lifted.add("course_full")
    mode = given.get("mode") or row.mode
    explained = EnrollmentsService().explain(row.user, row.course, mode)
    return " ".join(
        _in_words(reason["message"], reason["changes_at"])
        for reason in explained["reasons"]
        if reason["code"] not in lifted
    )


def _in_words(message: str, changes_at: str | None) -> str:
    moment = parse_datetime(changes_at) if changes_at else None
    if moment is None:
        return message
    return gettext("%(message)s (until %(moment)s)") % {
        "message": message,
        "moment": date_format(localtime(moment), "DATETIME_FORMAT"),
    }


def summary(operation: Operation, changed: int) -> str:
    """Return the message about changed enrollments."""
    return str(operation.done % {"count": changed})


def too_many() -> str:
    """Return the message about a selection that is too large."""
    text = ngettext(
        "At most %(limit)d enrollment can be changed at once. Import a file to change "
        "more.",
        "At most %(limit)d enrollments can be changed at once. Import a file to change "
        "more.",
        ROWS_CHANGED,
    )
    return text % {"limit": ROWS_CHANGED}
