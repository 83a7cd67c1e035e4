"""The append-only history of enrollments."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import Case, F, When
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _
from model_utils import Choices

from django_enrollments.datetimes import as_moment
from django_enrollments.models.fields import ExactCharField
from django_enrollments.signals import EventRecord
from django_enrollments.text import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_APPEND_ONLY = "Enrollment events are history: they are added, never changed."


class EnrollmentEventQuerySet(models.QuerySet["EnrollmentEvent"]):
    """Events. Methods that would change stored events raise ``TypeError``."""

    def update(self, **kwargs: Any) -> NoReturn:
        """
        Raise an error: stored events never change.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_APPEND_ONLY)

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """
        Raise an error: stored events never change.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_APPEND_ONLY)

    def bulk_create(
        self,
        objs: Iterable[EnrollmentEvent],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[EnrollmentEvent]:
        """
        Insert events, as Django does, and return them.

        Raises:
            TypeError: ``update_conflicts`` is true.
        """
        if update_conflicts:
            raise TypeError(_APPEND_ONLY)
        return super().bulk_create(objs, batch_size, ignore_conflicts)

    def delete(self) -> NoReturn:
        """
        Raise an error: stored events never change.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_APPEND_ONLY)

    def erase_personal_data(self, user_id: Any) -> int:
        """
        Blank the username and the reason in all events of a learner.

        The events and their ``user_id`` stay, so that statistics remain correct.

        Args:
            user_id: Primary key of the learner.

        Returns:
            The number of events.
        """
        own = self.filter(user_id=user_id)
        return super(EnrollmentEventQuerySet, own).update(username="", reason="")

    def give_positions(self, keys: Sequence[int], *, after: int) -> int:
        """
        Give the positions that follow ``after`` to events that wait for one.

        Only the sequencer calls it, in its transaction.

        Args:
            keys: Primary keys, ascending.

        Returns:
            The number of events that were still waiting, of which there must be as many
            as keys.
        """
        runs: list[When] = []
        first = last = keys[0]
        for place, key in enumerate([*keys[1:], 0], start=1):
            if key != last + 1:
                # The position of the first event of this run is ``place`` minus its
                # length, plus one.
                shift = after + place - last
                runs.append(When(pk__range=(first, last), then=F("pk") + shift))
                first = key
            last = key
        waiting = self.filter(pk__in=keys, position=0)
        positions = Case(*runs, output_field=models.BigIntegerField())
        return super(EnrollmentEventQuerySet, waiting).update(position=positions)

    def adopt(self, keys: Sequence[int]) -> int:
        """
        Let events from before the feed existed wait for a position.

        Returns:
            The number of events that have become part of the feed.
        """
        old = self.filter(pk__in=keys, position=None)
        return super(EnrollmentEventQuerySet, old).update(position=0)


class EnrollmentEvent(models.Model):
    """
    One change of one enrollment, with its actor and reason.

    Contains personal data: the learner's key and username, the actor's key, the reason.
    ``EnrollmentEvent.objects.erase_personal_data(user_id)`` erases it. Events stay when
    the enrollment, the user or the course is deleted, so their keys have no database
    constraints.

    A learner's events in a course, applied in the order of ``pk``, result in the state
    of the enrollment.
    """

    TYPES = Choices(
        ("created", _("created")),
        ("activated", _("activated")),
        ("deactivated", _("deactivated")),
        ("mode_changed", _("mode changed")),
    )

    event_id = models.UUIDField(
        _("event id"), unique=True, default=uuid.uuid4, editable=False
    )
    type = models.CharField(_("type"), max_length=16, choices=TYPES)
    time = models.DateTimeField(_("time"))
    enrollment = models.ForeignKey(
        "django_enrollments.CourseEnrollment",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        # The index on (enrollment, id) covers it.
        db_index=False,
        related_name="events",
        verbose_name=_("enrollment"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        # The index on (user, id) covers it.
        db_index=False,
        related_name="+",
        verbose_name=_("user"),
    )
    # The host's user model decides the length.
    username = models.TextField(_("username"))
    course_id = ExactCharField(_("course id"), max_length=MAX_TEXT)
    mode_before = models.CharField(  # noqa: DJ001 - None means "there was no row".
        _("mode before"), max_length=100, null=True
    )
    mode_after = models.CharField(_("mode after"), max_length=100)
    active_before = models.BooleanField(_("active before"), null=True)
    active_after = models.BooleanField(_("active after"))
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        # Lookups by actor are rare, and an index would slow down each insert.
        db_index=False,
        null=True,
        related_name="+",
        verbose_name=_("actor"),
    )
    source = models.CharField(_("source"), max_length=32)
    reason = models.TextField(_("reason"), blank=True)
    enterprise_uuid = models.CharField(
        _("enterprise customer"), max_length=MAX_TEXT, blank=True
    )
    #: Position in the feed: 0 until the sequencer gives it, ``None`` for events from
    #: before the feed existed.
    position = models.BigIntegerField(
        _("position"), null=True, default=0, db_default=0, editable=False
    )

    objects = EnrollmentEventQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        # Related managers write with the base manager, which must refuse, too.
        base_manager_name = "objects"
        verbose_name = _("enrollment event")
        verbose_name_plural = _("enrollment events")
        indexes = (
            # For the history of an enrollment, in order.
            models.Index(
                fields=("enrollment", "id"), name="enrollments_event_enroll_idx"
            ),
            # For the history of a learner, and erasure.
            models.Index(fields=("user", "id"), name="enrollments_event_user_idx"),
            # For lists of the enrollments that were last changed by one source.
            models.Index(fields=("source", "id"), name="enrollments_event_source_idx"),
            # For the feed: the events without a position, and those that come next.
            models.Index(fields=("position", "id"), name="enrollments_event_pos_idx"),
        )

    def __str__(self) -> str:
        """Return the type, the user's key and the course id."""
        return f"{self.type}: {self.user_id}, {self.course_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """
        Insert a new event.

        Raises:
            TypeError: The event is stored already.
        """
        if not self._state.adding:
            raise TypeError(_APPEND_ONLY)
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """
        Raise an error: stored events never change.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_APPEND_ONLY)

    def as_record(self) -> EventRecord:
        """Return the frozen record that signals send."""
        return EventRecord(
            event_id=self.event_id,
            type=self.type,
            time=as_moment(self.time),
            user_id=self.user_id,
            username=self.username,
            course_id=self.course_id,
            mode_before=self.mode_before,
            mode_after=self.mode_after,
            active_before=self.active_before,
            active_after=self.active_after,
            actor_id=self.actor_id,
            source=self.source,
            reason=self.reason,
            enterprise_uuid=self.enterprise_uuid,
        )


# Without a sender, because subclasses and proxy models send their own class.
@receiver(pre_save, dispatch_uid="django_enrollments.refuse_overwrite")
def refuse_overwrite(
    instance: models.Model, using: str | None = None, **kwargs: Any
) -> None:
    """
    Prevent an event from being saved with the key of a stored event.

    ``loaddata`` does not call ``EnrollmentEvent.save``, but sends this signal.

    Raises:
        TypeError: An event with this key is stored.
    """
    key: Any = instance.pk
    if key is None or not isinstance(instance, EnrollmentEvent):
        return
    stored = EnrollmentEvent.objects.using(using).filter(pk=key)
    if stored.exists():
        raise TypeError(_APPEND_ONLY)
