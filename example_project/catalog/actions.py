"""The buttons of the course page: enroll, change the mode, leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.utils.translation import gettext as _

from catalog.forms import ActionForm
from catalog.reasons import Reason, reasons_for
from catalog.refusals import record_refusal
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseEnrollment, CourseMode
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from django.http import HttpRequest

    from catalog.models import CourseRun

#: Source in the history.
SOURCE = "site"


def state_of(enrollment: CourseEnrollment | None) -> str:
    """Return the state of an enrollment as forms carry it, such as ``active:audit``."""
    if enrollment is None:
        return "none"
    return f"{'active' if enrollment.is_active else 'left'}:{enrollment.mode}"


def perform(
    request: HttpRequest,
    run: CourseRun,
    data: dict[str, Any],
    enrollment: CourseEnrollment | None,
) -> None:
    """
    Do what a form of the course page asks for, and add a message about the result.

    A form that is sent twice, or again by the back button, finds its wish fulfilled. A
    form that shows another state than the enrollment has now changes nothing.

    Args:
        request: The request of a logged-in user.
        run: The course run.
        data: The cleaned data of an ``ActionForm``.
        enrollment: The user's enrollment in the course run, if any.
    """
    action, mode = data["action"], data["mode"]
    is_active = enrollment is not None and enrollment.is_active
    names = {"course": run.title, "mode": mode_name(run, mode)}
    if action == ActionForm.LEAVE:
        is_done, done = not is_active, _("You are not enrolled in %(course)s.")
    elif enrollment is not None and is_active and mode in ("", enrollment.mode):
        is_done, done = True, _("You are already enrolled in %(course)s.")
        if action == ActionForm.CHANGE:
            done = _("Nothing to change: you already have “%(mode)s”.")
    else:
        is_done, done = False, ""
    if is_done:
        messages.info(request, done % names)
    elif data["seen"] != state_of(enrollment) or (
        action == ActionForm.CHANGE and not is_active
    ):
        messages.warning(
            request,
            _(
                "That page was out of date: your enrollment has changed since you "
                "opened it. Nothing was changed now. This is the current state."
            ),
        )
    else:
        _call(request, run, action, mode, names)


def _call(
    request: HttpRequest,
    run: CourseRun,
    action: str,
    mode: str,
    names: dict[str, str],
) -> None:
    service = EnrollmentsService()
    user = request.user
    try:
        match action:
            case ActionForm.ENROLL:
                service.enroll(user, run, mode or None, actor=user, source=SOURCE)
                text = _("You are enrolled in %(course)s.")
            case ActionForm.CHANGE:
                service.change_mode(user, run, mode, actor=user, source=SOURCE)
                text = _("You have changed to “%(mode)s”.")
            case _:
                service.unenroll(user, run, actor=user, source=SOURCE)
                text = _("You have left %(course)s. Your seat is free for others.")
    except CourseEnrollmentError as error:
        reasons = _reasons(request, run, mode, error)
        record_refusal(run, [reason.code for reason in reasons])
        texts = " ".join(reason.text for reason in reasons)
        messages.error(
            request, _("Nothing was changed. %(reasons)s") % {"reasons": texts}
        )
    else:
        messages.success(request, text % names)


def _reasons(
    request: HttpRequest, run: CourseRun, mode: str, error: CourseEnrollmentError
) -> list[Reason]:
    """Return every reason of a refusal, or that of the error if it has passed."""
    explained = EnrollmentsService().explain(request.user, run, mode or None)
    refusals = [
        reason
        for reason in explained["reasons"]
        if reason["code"] != "already_enrolled"
    ]
    reasons = reasons_for(run, refusals, explained["seats"])
    return reasons or [Reason(error.code, str(error))]


def mode_name(run: CourseRun, slug: str) -> str:
    """Return the name of a mode for people."""
    modes = CourseMode.objects.of_course(run).filter(mode_slug=slug)
    return next((mode.mode_display_name for mode in modes), "") or slug.capitalize()
