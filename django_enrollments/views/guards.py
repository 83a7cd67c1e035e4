"""Who is let in to the views that are not for every learner."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rest_framework.permissions import BasePermission

from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
    has_perm,
)

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class IsGlobalStaff(BasePermission):
    """
    Lets in whom the permission backends let read, or change, what is anybody's.

    An API key opens nothing here; it is no user (V1-AUTH-05, V1-AUTH-07).
    """

    #: Methods that change something for others; all the rest reads.
    changing: ClassVar[frozenset[str]] = frozenset({"POST", "PUT", "PATCH", "DELETE"})

    def has_permission(self, request: Request, view: APIView) -> bool:
        """
        Return whether the requester may do what the method does.

        Args:
            request: An authenticated request.
            view: The view that is asked.
        """
        changes = request.method in self.changing
        perm = CREATE_ENROLLMENT if changes else VIEW_ENROLLMENT_DATA
        return has_perm(request.user, perm)


class CanRetireUser(BasePermission):
    """Lets in whom the permission backends let retire users (V1-AUTH-18)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """
        Return whether the requester may take somebody out of all courses.

        Args:
            request: An authenticated request.
            view: The view that is asked.
        """
        return has_perm(request.user, RETIRE_USER)
