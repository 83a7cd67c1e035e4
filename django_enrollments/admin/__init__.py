"""The app's models in Django's admin, one module per subject."""

from __future__ import annotations

from django_enrollments.admin.courses import CourseAdmin, CourseModeAdmin
from django_enrollments.admin.enrollments import (
    CourseEnrollmentAdmin,
    CourseEnrollmentAttributeAdmin,
)
from django_enrollments.admin.feed import ConsumerAdmin, SetAsideAdmin
from django_enrollments.admin.history import EnrollmentEventAdmin, SentNotificationAdmin
from django_enrollments.admin.invitations import CourseEnrollmentAllowedAdmin
from django_enrollments.admin.operations import REFUSALS_SHOWN
from django_enrollments.admin.people import (
    CourseAccessRoleAdmin,
    EmailOptInAdmin,
    UserRetirementStatusAdmin,
)

__all__ = [
    "REFUSALS_SHOWN",
    "ConsumerAdmin",
    "CourseAccessRoleAdmin",
    "CourseAdmin",
    "CourseEnrollmentAdmin",
    "CourseEnrollmentAllowedAdmin",
    "CourseEnrollmentAttributeAdmin",
    "CourseModeAdmin",
    "EmailOptInAdmin",
    "EnrollmentEventAdmin",
    "SentNotificationAdmin",
    "SetAsideAdmin",
    "UserRetirementStatusAdmin",
]
