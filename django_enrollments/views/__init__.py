"""
The REST API, version 1.

A view authenticates and throttles, reads its :mod:`.inputs`, asks the policies, makes
one call into :mod:`.api`, whose functions are looked up when called (NAM-07), and wraps
the result. :mod:`.errors` turns domain errors into responses.
"""

from __future__ import annotations

from django_enrollments.authentication import EnrollmentCrossDomainSessionAuth
from django_enrollments.throttling import EnrollmentUserThrottle
from django_enrollments.views.base import (
    ApiKeyOrAuthenticated,
    ApiKeyPermissionMixIn,
    EnrollmentAPIView,
)
from django_enrollments.views.courses import (
    EnrollmentCourseDetailView,
    EnrollmentEligibilityView,
)
from django_enrollments.views.enrollments import EnrollmentListView, EnrollmentView
from django_enrollments.views.invitations import EnrollmentAllowedView
from django_enrollments.views.listing import CourseEnrollmentsApiListView
from django_enrollments.views.retirement import UnenrollmentView
from django_enrollments.views.roles import EnrollmentUserRolesView

__all__ = [
    "ApiKeyOrAuthenticated",
    "ApiKeyPermissionMixIn",
    "CourseEnrollmentsApiListView",
    "EnrollmentAPIView",
    "EnrollmentAllowedView",
    "EnrollmentCourseDetailView",
    "EnrollmentCrossDomainSessionAuth",
    "EnrollmentEligibilityView",
    "EnrollmentListView",
    "EnrollmentUserRolesView",
    "EnrollmentUserThrottle",
    "EnrollmentView",
    "UnenrollmentView",
]
