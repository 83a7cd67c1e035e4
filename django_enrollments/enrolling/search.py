"""Finding enrollments of anybody in any course."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db.models import Case, Exists, OuterRef, Q, Value, When
from django.db.models.functions import Lower

from django_enrollments.enrolling.learners import email_field, find_users_by_name
from django_enrollments.keys import MAX_TEXT, is_storable, normalize_email
from django_enrollments.models import (
    CourseEnrollment,
    get_course_adapter,
    get_course_model,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from django_enrollments.models.enrollments import CourseEnrollmentQuerySet


def search_enrollments(
    *,
    course_id: str | None = None,
    course_id_parts: Collection[str] | None = None,
    usernames: Collection[str] | None = None,
    emails: Collection[str] | None = None,
) -> CourseEnrollmentQuerySet:
    """
    Give the enrollments, active or not, that meet every condition (V1-ADM-03…08).

    Those of deleted courses are left out (V1-ADM-22).

    Args:
        course_id: The id of their course; ``None`` is any.
        course_id_parts: Texts of which the id of their course contains one, whatever
            its case; ``None`` is any course, an empty collection none.
        usernames: Names of which their learner has one, case and all; ``None`` is any
            learner, an empty collection nobody.
        emails: Addresses of which their learner has one, whatever its case; ``None``
            is any learner, an empty collection nobody.
    """
    enrollments = CourseEnrollment.objects.all()
    if course_id is not None:
        enrollments = enrollments.in_course(course_id)
    if course_id_parts is None:
        enrollments = _in_courses_that_exist(enrollments)
    else:
        enrollments = _in_courses_with(enrollments, course_id_parts)
    if usernames is not None:
        # By their keys, for a collation also finds names that merely look alike.
        users = find_users_by_name(usernames).values()
        enrollments = enrollments.filter(user__in=[user.pk for user in users])
    if emails is not None:
        enrollments = _of_emails(enrollments, emails)
    return enrollments


def _in_courses_that_exist(
    enrollments: CourseEnrollmentQuerySet,
) -> CourseEnrollmentQuerySet:
    courses = get_course_model()._base_manager.filter(pk=OuterRef("course"))
    exists = When(Exists(courses.order_by()), then=Value(True))
    # As a bare condition, MariaDB would begin with the courses, read all enrollments
    # and sort them, where a page needs a hundred.
    return enrollments.filter(Case(exists, default=Value(False)))


def _in_courses_with(
    enrollments: CourseEnrollmentQuerySet, parts: Collection[str]
) -> CourseEnrollmentQuerySet:
    path = f"{get_course_adapter().course_id}__icontains"
    # No id contains a longer text, and SQLite fails at much longer ones.
    possible = [part for part in parts if part and is_storable(part, MAX_TEXT)]
    if not possible:
        return enrollments.none()
    wanted = reduce(or_, (Q(**{path: part}) for part in possible))
    courses = get_course_model()._base_manager.filter(wanted).order_by()
    return enrollments.filter(course__in=courses.values("pk"))


def _of_emails(
    enrollments: CourseEnrollmentQuerySet, emails: Collection[str]
) -> CourseEnrollmentQuerySet:
    field = email_field()
    wanted = {normalize_email(email) for email in emails if is_storable(email)} - {""}
    if field is None or not wanted:
        return enrollments.none()
    users = get_user_model()._default_manager.order_by()
    users = users.alias(enrollments_email=Lower(field))
    found = users.filter(enrollments_email__in=wanted)
    return enrollments.filter(user__in=found.values("pk"))
