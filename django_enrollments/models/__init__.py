"""The models. Hosts can refer to them and query them."""

from __future__ import annotations

from django_enrollments.course_model import get_course_adapter, get_course_model
from django_enrollments.models.courses import (
    AbstractCourse,
    Course,
    CourseMode,
)
from django_enrollments.models.delivery import Consumer, FeedCounter, SetAside
from django_enrollments.models.enrollments import (
    CourseEnrollment,
    CourseEnrollmentAttribute,
    SentNotification,
)
from django_enrollments.models.events import EnrollmentEvent
from django_enrollments.models.invitations import CourseEnrollmentAllowed
from django_enrollments.models.people import EmailOptIn, UserRetirementStatus
from django_enrollments.models.roles import CourseAccessRole

__all__ = [
    "AbstractCourse",
    "Consumer",
    "Course",
    "CourseAccessRole",
    "CourseEnrollment",
    "CourseEnrollmentAllowed",
    "CourseEnrollmentAttribute",
    "CourseMode",
    "EmailOptIn",
    "EnrollmentEvent",
    "FeedCounter",
    "SentNotification",
    "SetAside",
    "UserRetirementStatus",
    "get_course_adapter",
    "get_course_model",
]
