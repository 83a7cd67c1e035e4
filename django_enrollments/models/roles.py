"""Roles of users on courses and organizations."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_enrollments.identifiers import find_course_id, find_stored_course_id
from django_enrollments.models.fields import ExactCharField
from django_enrollments.permissions import is_global_staff
from django_enrollments.text import MAX_TEXT


class CourseAccessRoleQuerySet(models.QuerySet["CourseAccessRole"]):
    """Filters for roles."""

    def exempt_from_capacity(self, course_id: object) -> CourseAccessRoleQuerySet:
        """
        Return the roles on a course whose users take no seat (CAP-03, CAP-04).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
        """
        roles = self.filter(role__in=CourseAccessRole.CAPACITY_EXEMPT)
        text = find_stored_course_id(course_id)
        return self.none() if text is None else roles.filter(course_id=text)

    def reaching(self, course_id: object, org: str) -> CourseAccessRoleQuerySet:
        """
        Return the roles on a course and on its organization.

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
            org: The course's organization, or ``""``.
        """
        text = find_stored_course_id(course_id)
        if text is None:
            return self.none()
        reach = models.Q(course_id=text)
        if org:
            reach |= models.Q(course_id="", org=org)
        return self.filter(reach)


class CourseAccessRole(models.Model):
    """
    A user's role on a course or an organization.

    Contains personal data: the user's role. Deleted with the user.
    """

    STAFF = "staff"
    INSTRUCTOR = "instructor"
    LIMITED_STAFF = "limited_staff"

    #: Roles of course staff; instructor includes staff (MDL-19, V1-LIST-09).
    COURSE_TEAM = frozenset({STAFF, INSTRUCTOR, LIMITED_STAFF})
    #: Roles of staff on all courses of an organization (ACC-04).
    ORG_TEAM = frozenset({STAFF, INSTRUCTOR})
    #: Roles whose users take no seat (CAP-03).
    CAPACITY_EXEMPT = frozenset({STAFF, INSTRUCTOR})

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="django_enrollments_%(class)s_set",
        # The unique constraint's index begins with the user.
        db_index=False,
        verbose_name=_("user"),
    )
    org = ExactCharField(_("organization"), max_length=MAX_TEXT, blank=True)
    course_id = ExactCharField(
        _("course id"),
        max_length=MAX_TEXT,
        blank=True,
        help_text=_("Blank for a role on all courses of the organization."),
    )
    role = ExactCharField(_("role"), max_length=64)

    objects = CourseAccessRoleQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        verbose_name = _("course access role")
        verbose_name_plural = _("course access roles")
        constraints = (
            # Prevents a duplicate when a role is given twice at the same time. Also the
            # index for the roles of a user.
            models.UniqueConstraint(
                fields=("user", "org", "course_id", "role"),
                name="django_enrollments_courseaccessrole_unique",
            ),
        )
        indexes = (
            # For the seat count.
            models.Index(
                fields=("course_id", "role", "user"), name="enrollments_role_course_idx"
            ),
        )

    def __str__(self) -> str:
        """Return the role, and its course or organization."""
        names = {"role": self.role, "course": self.course_id or self.org}
        return str(_("%(role)s of %(course)s") % names)

    @classmethod
    def user_has_role(cls, user: Any, role: str, course_id: object) -> bool:
        """
        Return whether a user has a role on a course (MDL-19).

        Args:
            user: Inactive users have no role; global staff have all roles.
            role: Role name; ``instructor`` includes ``staff`` and ``beta_testers``.
            course_id: The course, or its id.
        """
        if not user.is_authenticated or not user.is_active:
            return False
        if is_global_staff(user):
            return True
        roles = {role}
        if role in {cls.STAFF, "beta_testers"}:
            roles.add(cls.INSTRUCTOR)
        text = find_course_id(course_id)
        if text is None:
            return False
        held = cls._default_manager.filter(
            user_id=user.pk, course_id=text, role__in=roles
        )
        return held.exists()
