"""Schools and course runs. These models do not depend on django-enrollments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Case, Q, Value, When
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from datetime import datetime


class School(models.Model):
    """A school. Contains no personal data."""

    code = models.SlugField(_("code"), unique=True)
    name = models.CharField(_("name"), max_length=200)

    class Meta:
        ordering = ("name",)
        verbose_name = _("school")
        verbose_name_plural = _("schools")

    def __str__(self) -> str:
        """Return the name."""
        return self.name


class CourseRunQuerySet(models.QuerySet["CourseRun"]):
    """Filters that name states of a course run at a moment."""

    def begun(self, *, at: datetime) -> CourseRunQuerySet:
        """Keep those whose registration has opened."""
        opened = Q(registration_opens_at=None) | Q(registration_opens_at__lt=at)
        return self.filter(opened)

    def not_ended(self, *, at: datetime) -> CourseRunQuerySet:
        """Keep those whose registration has not closed: its last day counts."""
        today = timezone.localdate(at)
        return self.filter(
            Q(registration_closes_on=None) | Q(registration_closes_on__gte=today)
        )

    def opening_later(self, *, at: datetime) -> CourseRunQuerySet:
        """Keep those whose registration opens in the future."""
        return self.not_ended(at=at).filter(registration_opens_at__gte=at)

    def matching(self, text: str) -> CourseRunQuerySet:
        """Keep those with each word of a text in the title, the code or the school."""
        found = self
        for word in text.split():
            found = found.filter(
                Q(title__icontains=word)
                | Q(code__icontains=word)
                | Q(school__name__icontains=word)
            )
        return found

    def for_catalogue(self, *, at: datetime) -> CourseRunQuerySet:
        """Put those whose registration has ended last, each group by title."""
        ended = Q(registration_closes_on__lt=timezone.localdate(at))
        rank = Case(When(ended, then=Value(1)), default=Value(0))
        return self.select_related("school").order_by(rank, "title", "code")


class CourseRun(models.Model):
    """A course in one term. Contains no personal data."""

    school = models.ForeignKey(
        School,
        on_delete=models.PROTECT,
        related_name="runs",
        verbose_name=_("school"),
    )
    code = models.CharField(
        _("code"),
        max_length=50,
        unique=True,
        help_text=_("Course and term, such as AAA-2013J."),
    )
    title = models.CharField(_("title"), max_length=200)
    summary = models.TextField(_("summary"), blank=True)
    starts_on = models.DateField(_("first day"), null=True, blank=True)
    ends_on = models.DateField(_("last day"), null=True, blank=True)
    registration_opens_at = models.DateTimeField(
        _("registration opens"),
        null=True,
        blank=True,
        help_text=_("Empty: registration has always been open."),
    )
    registration_closes_on = models.DateField(
        _("registration closes"),
        null=True,
        blank=True,
        help_text=_("The last day of registration. Empty: it does not close."),
    )
    by_invitation = models.BooleanField(
        _("by invitation"),
        default=False,
        help_text=_("Only invited learners can enroll."),
    )
    seats = models.PositiveIntegerField(
        _("seats"), null=True, blank=True, help_text=_("Empty: no limit.")
    )

    objects = CourseRunQuerySet.as_manager()

    class Meta:
        ordering = ("code",)
        verbose_name = _("course run")
        verbose_name_plural = _("course runs")

    def __str__(self) -> str:
        """Return the code and the title."""
        return f"{self.code}: {self.title}"

    def get_absolute_url(self) -> str:
        """Return the path of the page of the course."""
        return reverse("course", args=[self.code])

    @property
    def has_started(self) -> bool:
        """Whether the first day is over."""
        return self.starts_on is not None and self.starts_on < timezone.localdate()

    def opens_later(self, at: datetime) -> bool:
        """Return whether registration has not opened yet."""
        return self.registration_opens_at is not None and (
            self.registration_opens_at >= at
        )

    def has_closed(self, at: datetime) -> bool:
        """Return whether the last day of registration is over."""
        return self.registration_closes_on is not None and (
            self.registration_closes_on < timezone.localdate(at)
        )


class RefusedAttempt(models.Model):
    """
    An attempt to enroll that was refused, for the school's statistics.

    Contains no personal data: it does not say who tried.
    """

    course = models.ForeignKey(
        CourseRun,
        on_delete=models.CASCADE,
        related_name="refused_attempts",
        verbose_name=_("course run"),
    )
    code = models.CharField(
        _("reason"),
        max_length=32,
        help_text=_("A code of EnrollmentsService.explain, such as course_full."),
    )
    time = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        ordering = ("-time", "-pk")
        verbose_name = _("refused attempt")
        verbose_name_plural = _("refused attempts")
        indexes = (
            # For counting the reasons in a period.
            models.Index(fields=("time", "code"), name="catalog_refused_time_code"),
        )

    def __str__(self) -> str:
        """Return the reason and the course's key."""
        return f"{self.code}: {self.course_id}"
