"""Decides who may open the pages of this app."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.views.decorators.cache import never_cache

from catalog.models import CourseRun
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    VIEW_ENROLLMENT_DATA,
    has_perm,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    _P = ParamSpec("_P")


def course_team(
    view: Callable[Concatenate[HttpRequest, CourseRun, _P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """
    Open a view to the team of the course in its URL, and pass the course to it.

    Visitors are asked to log in. Other users get the same 403 whether the course exists
    or not; staff, who may see all courses, get a 404 for an unknown one.
    """

    @login_required
    # No copy of a page with personal data stays in the browser. The back button loads
    # the page again and shows the present state.
    @never_cache
    @wraps(view)
    def wrapper(
        request: HttpRequest, course_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        course = (
            CourseRun.objects.select_related("school").filter(code=course_id).first()
        )
        if course is None and is_staff(request):
            raise Http404
        if course is None or not has_perm(request.user, VIEW_ENROLLMENT_DATA, course):
            raise PermissionDenied
        return view(request, course, *args, **kwargs)

    return wrapper


def staff_only(
    view: Callable[Concatenate[HttpRequest, _P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """Open a view to users who may see the enrollments in all courses."""

    @login_required
    @never_cache
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not is_staff(request):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return wrapper


def is_staff(request: HttpRequest) -> bool:
    """Return whether the user may see the enrollments in all courses."""
    return has_perm(request.user, VIEW_ENROLLMENT_DATA)


def can_force(request: HttpRequest) -> bool:
    """Return whether the user may enroll learners while registration is closed."""
    return has_perm(request.user, CREATE_ENROLLMENT)
