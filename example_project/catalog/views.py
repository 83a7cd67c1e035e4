"""The catalogue, the page of a course, and a learner's own courses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from catalog.actions import mode_name, perform, state_of
from catalog.forms import ActionForm, CatalogForm, Show
from catalog.histories import records_of
from catalog.models import CourseRun
from catalog.offers import full_codes, invited_codes, offered_modes, offers_for
from catalog.reasons import reasons_for, reasons_for_everybody
from catalog.teams import courses_run_by, is_on_a_team
from django_enrollments.permissions import VIEW_ENROLLMENT_DATA, has_perm
from django_enrollments.services import EnrollmentsService

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, HttpResponse

    from catalog.models import CourseRunQuerySet
    from django_enrollments.models import CourseEnrollment

#: Courses on a page of the catalogue, and on a page of a learner.
COURSES_PER_PAGE = 12
OWN_COURSES_PER_PAGE = 20


# The back button must not show the state before an action.
@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the catalogue: search, filters, and a page of courses."""
    now = timezone.now()
    form = CatalogForm(request.GET)
    text, show = form.value("q"), form.value("show")
    runs = _filter(CourseRun.objects.matching(text), show, request.user, now)
    page = Paginator(runs.for_catalogue(at=now), COURSES_PER_PAGE).get_page(
        request.GET.get("page")
    )
    return render(
        request,
        "catalog/home.html",
        {
            "form": form,
            "text": text,
            "show": show,
            "filters": _filters(request.user),
            "page": page,
            "offers": offers_for(request.user, list(page), now),
        },
    )


def _filter(
    runs: CourseRunQuerySet, show: str, user: Any, now: datetime
) -> CourseRunQuerySet:
    match show:
        case Show.OPEN:
            runs = runs.begun(at=now).not_ended(at=now).filter(by_invitation=False)
            return runs.exclude(code__in=full_codes(runs))
        case Show.LATER:
            return runs.opening_later(at=now)
        case Show.FULL:
            runs = runs.not_ended(at=now)
            return runs.filter(code__in=full_codes(runs))
        case Show.INVITATION:
            return runs.filter(by_invitation=True)
        case Show.MINE:
            own = EnrollmentsService().list_by_user(user).active()
            return runs.filter(pk__in=own.order_by().values("course"))
        case Show.TEAM:
            return runs.filter(pk__in=courses_run_by(user).values("pk"))
        case _:
            return runs


def _filters(user: Any) -> list[Show]:
    """Return the filters that make sense for a visitor."""
    hidden = set()
    if not user.is_authenticated:
        hidden.add(Show.MINE)
    if not is_on_a_team(user):
        hidden.add(Show.TEAM)
    return [one for one in Show if one not in hidden]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def course(request: HttpRequest, course_id: str) -> HttpResponse:
    """
    Show a course with one control: enroll, choose or change the mode, leave.

    ``?leave`` asks before a learner leaves. POST redirects to the page, which then has
    the message about the result.

    Args:
        request: The request.
        course_id: The course id, which may contain slashes.
    """
    run = get_object_or_404(CourseRun.objects.select_related("school"), code=course_id)
    if request.method == "POST":
        return _act(request, run)
    now = timezone.now()
    enrollment = _own_enrollment(request.user, run)
    modes = offered_modes(run)
    context: dict[str, Any] = {
        "run": run,
        "now": now,
        "modes": modes,
        "has_prices": any(mode.min_price for mode in modes),
        "enrollment": enrollment,
        "state": state_of(enrollment),
        "is_on_the_team": has_perm(request.user, VIEW_ENROLLMENT_DATA, run),
    }
    if not request.user.is_authenticated:
        seats = EnrollmentsService().seats(run)
        context |= {"seats": seats, "reasons": reasons_for_everybody(run, seats, now)}
    else:
        # The first mode on the page is the one that it proposes.
        mode = None if enrollment and enrollment.is_active else modes[0].mode_slug
        explained = EnrollmentsService().explain(request.user, run, mode)
        refusals = [
            one for one in explained["reasons"] if one["code"] != "already_enrolled"
        ]
        context |= {
            "seats": explained["seats"],
            "reasons": reasons_for(run, refusals, explained["seats"]),
            # A seat can become free at any moment; the other reasons cannot be tried.
            "only_seats": {one["code"] for one in refusals} == {"course_full"},
            "is_invited": run.code in invited_codes(request.user, [run]),
        }
    is_active = enrollment is not None and enrollment.is_active
    context["asks_to_leave"] = is_active and "leave" in request.GET
    # The control then lists the modes, and the page does not repeat them.
    context["chooses_mode"] = (
        request.user.is_authenticated
        and len(modes) > 1
        and (is_active or not context["reasons"])
        and not context["asks_to_leave"]
    )
    if enrollment is not None and is_active:
        context["own_mode"] = mode_name(run, enrollment.mode)
    return render(request, "catalog/course.html", context)


def _act(request: HttpRequest, run: CourseRun) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect_to_login(run.get_absolute_url())
    form = ActionForm(request.POST)
    if form.is_valid():
        enrollment = _own_enrollment(request.user, run)
        perform(request, run, form.cleaned_data, enrollment)
    else:
        messages.error(
            request,
            _("That form was incomplete. Nothing was changed; please try again."),
        )
    return redirect(run)


def _own_enrollment(user: Any, run: CourseRun) -> CourseEnrollment | None:
    return EnrollmentsService().list_by_user(user).in_course(run).first()


@never_cache
@login_required
@require_safe
def my(request: HttpRequest) -> HttpResponse:
    """Show the visitor's own courses, current ones first, with their history."""
    own = EnrollmentsService().list_by_user(request.user)
    # Reordered by state, then newest first.
    ordered = own.order_by("-is_active", "-created", "-pk")
    page = Paginator(ordered, OWN_COURSES_PER_PAGE).get_page(request.GET.get("page"))
    records = records_of(request.user, list(page))
    return render(
        request,
        "catalog/my.html",
        {
            "page": page,
            "current": [one for one in records if one.enrollment.is_active],
            "former": [one for one in records if not one.enrollment.is_active],
        },
    )
