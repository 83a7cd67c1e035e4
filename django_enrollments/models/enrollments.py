"""Enrollments, their attributes, and notifications that were sent."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Count, Exists, OuterRef
from django.utils.translation import gettext_lazy as _
from model_utils.models import TimeStampedModel

from django_enrollments.conf import conf
from django_enrollments.course_model import (
    course_id_is_text,
    course_key_is_id,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.identifiers import find_course, find_course_id
from django_enrollments.models.delegates import EnrollmentMethods
from django_enrollments.models.fields import ExactCharField, exact_match
from django_enrollments.models.roles import CourseAccessRole
from django_enrollments.text import MAX_TEXT


def default_mode() -> str:
    """Return the default mode."""
    return conf.ENROLLMENTS_DEFAULT_MODE


class CourseEnrollmentQuerySet(models.QuerySet["CourseEnrollment"]):
    """Filters for enrollments."""

    def active(self) -> CourseEnrollmentQuerySet:
        """Return the active enrollments."""
        return self.filter(is_active=True)

    def in_course(self, course_id: object) -> CourseEnrollmentQuerySet:
        """
        Return the enrollments in a course. An invalid id has none.

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
        """
        if isinstance(course_id, get_course_model()):
            is_saved = course_id.pk is not None and not course_id._state.adding
            return self.of_course_key(course_id.pk) if is_saved else self.none()
        text = find_course_id(course_id)
        return self.none() if text is None else self.of_course_id(text)

    def of_course_id(self, course_id: str) -> CourseEnrollmentQuerySet:
        """
        Keep those of one course.

        Args:
            course_id: A valid course id.
        """
        # Where the key is the id, no join is needed and enrollments of a deleted
        # course are found too.
        path = "course_id"
        if not course_key_is_id():
            path = f"course__{get_course_adapter().course_id}"
        # A collation may also find ids that only look alike.
        exactly = [exact_match(path, course_id)] if course_id_is_text() else []
        return self.filter(*exactly, **{path: course_id})

    def of_course_key(self, course_key: Any) -> CourseEnrollmentQuerySet:
        """
        Keep those of one course.

        Args:
            course_key: Primary key of the course.
        """
        # A collation may also find those of a deleted course whose id only looks alike.
        is_text = isinstance(course_key, str)
        exactly = [exact_match("course_id", course_key)] if is_text else []
        return self.filter(*exactly, course=course_key)

    def of_stored_username(self, name: Any) -> CourseEnrollmentQuerySet:
        """
        Keep those of one learner.

        A database that ignores case may return those of a similar name too, so compare
        the name of each.

        Args:
            name: The name as ``identifiers.find_username`` returns it.
        """
        return self.filter(**{f"user__{get_user_model().USERNAME_FIELD}": name})

    def holding_seats(
        self, course_key: Any, course_id: str
    ) -> CourseEnrollmentQuerySet:
        """
        Keep the active ones that take a seat: course staff aside (CAP-03).

        Args:
            course_key: Primary key of the course.
            course_id: The course id as text.
        """
        staff = CourseAccessRole.objects.exempt_from_capacity(course_id)
        return (
            self.of_course_key(course_key)
            .active()
            .filter(~Exists(staff.filter(user_id=OuterRef("user_id"))))
        )

    def is_course_full(self, course: Any) -> bool:
        """
        Return whether a course has no free seat now (CAP-01, CAP-02).

        It is for display only. Enrolling counts the seats under a lock.

        Args:
            course: The course, its id, or anything whose ``str()`` that is; an unknown
                one is not full.
        """
        course = find_course(course)
        if course is None:
            return False
        facts = get_course_adapter().facts(course)
        capacity = facts.max_student_enrollments_allowed
        if capacity is None:
            return False
        return self.holding_seats(course.pk, facts.course_id).count() >= capacity

    def enrollment_counts(self, course_id: object) -> dict[str, int]:
        """
        Return the number of active enrollments in a course, by mode (MDL-12).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.

        Returns:
            Numbers by mode slug and under ``total``; 0 for any other key.
        """
        counts: dict[str, int] = _Counts(
            self.in_course(course_id)
            .active()
            .order_by()
            .values_list("mode")
            .annotate(Count("pk"))
        )
        counts["total"] = sum(counts.values())
        return counts

    def users_enrolled_in(
        self,
        course_id: object,
        include_inactive: bool = False,
        verified_only: bool = False,
    ) -> models.QuerySet[Any]:
        """
        Return the users enrolled in a course (MDL-11).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
            include_inactive: Whether to include inactive enrollments.
            verified_only: Whether to include verified modes only (MODE-11).
        """
        enrollments = self.in_course(course_id)
        if not include_inactive:
            enrollments = enrollments.active()
        if verified_only:
            enrollments = enrollments.filter(mode__in=conf.ENROLLMENTS_VERIFIED_MODES)
        users = get_user_model()._default_manager.all()
        return users.filter(pk__in=enrollments.order_by().values("user"))


class _Counts(dict[str, int]):
    """Numbers by key, 0 by default."""

    def __missing__(self, key: str) -> int:
        return 0


CourseEnrollmentManager = models.Manager.from_queryset(CourseEnrollmentQuerySet)


class CourseEnrollment(EnrollmentMethods, TimeStampedModel):
    """
    An enrollment of a learner in a course.

    Only :mod:`django_enrollments.core.lifecycle` changes it, so that seats, history and
    signals cannot be bypassed. Contains personal data: the user's courses. Deleted with
    the user; its history stays.

    The key of the course has no database constraint. Deleting a course does not change
    its enrollments (MDL-01, MDL-29). Reading ``enrollment.course`` then raises
    ``DoesNotExist``.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="django_enrollments_%(class)s_set",
        # The unique constraint's index begins with the user.
        db_index=False,
        verbose_name=_("user"),
    )
    course = models.ForeignKey(
        conf.ENROLLMENTS_COURSE_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="django_enrollments_%(class)s_set",
        # Both indexes below begin with the course.
        db_index=False,
        verbose_name=_("course"),
    )
    mode = models.CharField(_("mode"), max_length=100, default=default_mode)
    is_active = models.BooleanField(_("active"), default=True)

    objects = CourseEnrollmentManager()

    class Meta:
        ordering = ("user_id", "course_id")
        verbose_name = _("course enrollment")
        verbose_name_plural = _("course enrollments")
        constraints = (
            # Prevents a second enrollment at the same time (B-06). Also the index for
            # the enrollments of a user.
            models.UniqueConstraint(
                fields=("user", "course"),
                name="django_enrollments_courseenrollment_unique",
            ),
        )
        indexes = (
            # For the enrollments in a course, in creation order.
            models.Index(
                fields=("course", "created", "id"),
                name="enrollments_course_created_idx",
            ),
            # For the seat count, which runs under a lock and reads only the index.
            models.Index(
                fields=("course", "is_active", "user"),
                name="enrollments_course_seats_idx",
            ),
            # For the pages of all enrollments, newest first.
            models.Index(fields=("created", "id"), name="enrollments_created_idx"),
        )

    def __str__(self) -> str:
        """Return the keys, because names are personal."""
        return f"{self.user_id}: {self.course_id} ({self.mode})"

    def remember_user(self, user: Any) -> None:
        """
        Keep the learner that is loaded already, so that no query loads them again.

        Assigning would ask the database router, which may know nothing of relations
        between what was read from a replica and what is written to the primary.

        Args:
            user: The learner of this row.
        """
        field: Any = self._meta.get_field("user")
        field.set_cached_value(self, user)

    @property
    def username(self) -> str:
        """The learner's username."""
        return str(self.user.get_username())


class CourseEnrollmentAttribute(models.Model):
    """
    Data of the host about an enrollment: ``namespace:name = value``.

    The host decides whether it is personal. Deleted with the enrollment.
    """

    enrollment = models.ForeignKey(
        CourseEnrollment,
        on_delete=models.CASCADE,
        related_name="attributes",
        # The unique constraint's index begins with the enrollment.
        db_index=False,
        verbose_name=_("enrollment"),
    )
    namespace = ExactCharField(_("namespace"), max_length=MAX_TEXT)
    name = ExactCharField(_("name"), max_length=MAX_TEXT)
    value = models.CharField(_("value"), max_length=MAX_TEXT, blank=True)

    class Meta:
        ordering = ("pk",)
        verbose_name = _("enrollment attribute")
        verbose_name_plural = _("enrollment attributes")
        constraints = (
            # Prevents duplicates when two lists are written at the same time (B-23).
            # Also the index for the attributes of an enrollment.
            models.UniqueConstraint(
                fields=("enrollment", "namespace", "name"),
                name="django_enrollments_attribute_unique",
            ),
        )

    def __str__(self) -> str:
        """Return namespace and name, because the value may be personal."""
        return f"{self.namespace}:{self.name}"


class SentNotification(models.Model):
    """
    A notification of a deadline that was sent to a learner.

    Contains personal data only through the enrollment. Deleted with it.
    """

    enrollment = models.ForeignKey(
        CourseEnrollment,
        on_delete=models.CASCADE,
        related_name="sent_notifications",
        # The unique constraint's index begins with the enrollment.
        db_index=False,
        verbose_name=_("enrollment"),
    )
    notification_type = models.CharField(_("type"), max_length=100)
    deadline = models.DateTimeField(_("deadline"))
    sent = models.DateTimeField(_("sent"))

    class Meta:
        ordering = ("pk",)
        verbose_name = _("sent notification")
        verbose_name_plural = _("sent notifications")
        constraints = (
            # Prevents a second notification by a simultaneous run of the command.
            models.UniqueConstraint(
                fields=("enrollment", "notification_type", "deadline"),
                name="django_enrollments_sentnotification_unique",
            ),
        )

    def __str__(self) -> str:
        """Return the type and the key of the enrollment."""
        return f"{self.notification_type}: {self.enrollment_id}"
