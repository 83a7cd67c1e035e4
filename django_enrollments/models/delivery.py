"""The state of the event feed and of its consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Min
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from model_utils import Choices

from django_enrollments.models.fields import ExactCharField

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

#: Length of the name of a consumer.
MAX_NAME = 64
#: Length of a user's key as text, a colon and a course id.
MAX_PARTITION = 512
#: Length of the stored text of an error.
MAX_ERROR = 500


class FeedCounter(models.Model):
    """
    The last position in the feed, in one row, which the sequencer locks.

    Attributes:
        ONLY: The key of the row.
    """

    ONLY = 1

    last = models.BigIntegerField(_("last position"))

    class Meta:
        verbose_name = _("feed counter")
        verbose_name_plural = _("feed counters")

    def __str__(self) -> str:
        """Return the last position."""
        return str(self.last)


class Consumer(models.Model):
    """
    The progress of one consumer of the setting ``ENROLLMENTS_CONSUMERS``.

    Only :mod:`django_enrollments.delivery` changes it.
    """

    STATES = Choices(
        ("active", _("active")), ("paused", _("paused")), ("down", _("down"))
    )

    name = ExactCharField(_("name"), max_length=MAX_NAME, primary_key=True)
    #: The last position that was delivered, skipped or set aside.
    position = models.BigIntegerField(_("position"))
    state = models.CharField(
        _("state"), max_length=8, choices=STATES, default=STATES.active
    )
    #: Failures of the consumer as a whole since the last success.
    failures = models.PositiveIntegerField(_("failures"), default=0)
    #: Events that were set aside since the last success.
    set_aside_in_a_row = models.PositiveIntegerField(_("set aside in a row"), default=0)
    #: When a consumer that is down is tried again.
    retry_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=MAX_ERROR, blank=True)
    progressed_at = models.DateTimeField(_("last progress"), null=True, blank=True)
    created = models.DateTimeField(_("created"), default=timezone.now)
    #: The worker that delivers to it, and until when, by the clock of the database.
    lease_token = models.CharField(_("lease"), max_length=32, blank=True)
    lease_until = models.DateTimeField(_("leased until"), null=True, blank=True)

    class Meta:
        ordering = ("name",)
        verbose_name = _("consumer")
        verbose_name_plural = _("consumers")

    def __str__(self) -> str:
        """Return the name."""
        return str(self.name)


class SetAsideQuerySet(models.QuerySet["SetAside"]):
    """Events that are set aside."""

    def open(self) -> SetAsideQuerySet:
        """Return those that are still to be delivered, which hold back later events."""
        return self.exclude(state=SetAside.STATES.dead)

    def start_next(self, partitions: Iterable[str], at: datetime) -> None:
        """
        Let the first open event of each of some enrollments be tried at a time.

        One that is retried already keeps its time.
        """
        first = self.open().filter(partition__in=set(partitions)).order_by()
        heads = list(first.values("partition").annotate(head=Min("position")))
        self.filter(
            position__in=[one["head"] for one in heads], state=SetAside.STATES.waiting
        ).update(state=SetAside.STATES.retrying, retry_at=at)


class SetAside(models.Model):
    """
    An event that a consumer did not get when its turn came, or gets once more.

    Only :mod:`django_enrollments.delivery` changes it.
    """

    STATES = Choices(
        ("retrying", _("retrying")), ("waiting", _("waiting")), ("dead", _("dead"))
    )

    consumer = models.ForeignKey(
        Consumer,
        on_delete=models.CASCADE,
        # The unique constraint covers it.
        db_index=False,
        related_name="set_aside",
        verbose_name=_("consumer"),
    )
    position = models.BigIntegerField(_("position"))
    #: The enrollment, as in ``Message.partition``.
    partition = ExactCharField(_("enrollment"), max_length=MAX_PARTITION)
    state = models.CharField(_("state"), max_length=8, choices=STATES)
    #: Failed attempts.
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    retry_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=MAX_ERROR, blank=True)

    objects = SetAsideQuerySet.as_manager()

    class Meta:
        ordering = ("consumer", "position")
        verbose_name = _("event set aside")
        verbose_name_plural = _("events set aside")
        constraints = (
            models.UniqueConstraint(
                fields=("consumer", "position"), name="enrollments_setaside_unique"
            ),
        )
        indexes = (
            # For the events that wait behind others of their enrollment.
            models.Index(
                fields=("consumer", "partition", "position"),
                name="enrollments_setaside_part_idx",
            ),
            # For those that are due.
            models.Index(
                fields=("consumer", "state", "retry_at"),
                name="enrollments_setaside_due_idx",
            ),
        )

    def __str__(self) -> str:
        """Return the consumer, the position and the state."""
        return f"{self.consumer_id}, {self.position}: {self.state}"
