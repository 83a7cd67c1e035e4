"""The courses that a visitor runs, by the permissions of django-enrollments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.models import CourseRun
from django_enrollments.permissions import (
    VIEW_ENROLLMENT_DATA,
    granted_course_ids,
    has_perm,
)

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet


def courses_run_by(user: AbstractBaseUser | AnonymousUser) -> QuerySet[CourseRun]:
    """Return the course runs whose enrollments a visitor may see: all for staff."""
    if has_perm(user, VIEW_ENROLLMENT_DATA):
        return CourseRun.objects.all()
    return CourseRun.objects.filter(code__in=_granted(user))


def is_on_a_team(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether a visitor may see the enrollments of a course."""
    return has_perm(user, VIEW_ENROLLMENT_DATA) or bool(_granted(user))


def _granted(user: AbstractBaseUser | AnonymousUser) -> set[str]:
    if not user.is_authenticated:
        return set()
    return granted_course_ids(user, VIEW_ENROLLMENT_DATA) or set()
