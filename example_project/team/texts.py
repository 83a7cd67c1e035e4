"""Sentences about results and refusals, for a course team."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from catalog.reasons import reasons_for
from django_enrollments.errors import in_words

if TYPE_CHECKING:
    from catalog.models import CourseRun
    from django_enrollments.payloads import ExplanationDict


def error_text(code: str | None, message: str) -> str:
    """
    Return an error of the service as a sentence.

    Args:
        code: The code of the error.
        message: The message of the error, for codes without a sentence.
    """
    sentences = {
        "enrollment_closed": _("Registration is not open for this learner."),
        "course_full": _("All seats are taken."),
        "enrollment_not_found": _("This learner was never in the course."),
    }
    return sentences.get(code or "") or in_words(code, message)


def refusal_text(course: CourseRun, explained: ExplanationDict) -> str:
    """
    Return all reasons that refuse a learner, as sentences.

    Args:
        course: The course.
        explained: The result of ``EnrollmentsService.explain``.
    """
    own = {
        "invitation_only": _(
            "The course is by invitation, and this learner is not invited."
        ),
        "mode_unavailable": in_words("mode_unavailable", ""),
    }
    reasons = reasons_for(course, explained["reasons"], explained["seats"])
    return " ".join(own.get(reason.code, reason.text) for reason in reasons)


def result_text(status: str, name: str, mode: str) -> str:
    """
    Return the result of enrolling as a sentence.

    Args:
        status: A status of ``bulk_enroll``.
        name: The name or address of the learner.
        mode: The name of the mode.
    """
    sentences = {
        "created": _("%(name)s is enrolled now."),
        "reactivated": _("%(name)s is enrolled again."),
        "mode_changed": _("%(name)s was enrolled already. The mode is %(mode)s now."),
        "unchanged": _("%(name)s is enrolled or invited already. Nothing was changed."),
        "invited": _(
            "There is no account with the address %(name)s. It is invited: the learner "
            "is enrolled as soon as the account exists."
        ),
        "deactivated": _("%(name)s is not enrolled any more."),
        "uninvited": _("The invitation of %(name)s is taken back."),
    }
    return sentences[status] % {"name": name, "mode": mode}
