"""The history of every enrollment, appended to and never changed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _
from model_utils import Choices

from django_enrollments.datetimes import as_moment
from django_enrollments.models.fields import ExactCharField
from django_enrollments.signals import EventRecord
from django_enrollments.text import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_APPEND_ONLY = "Enrollment events are history: they are added, never changed."


class EnrollmentEventQuerySet(models.QuerySet["EnrollmentEvent"]):
    """Events in bulk; what would change history is refused."""

    def update(self, **kwargs: Any) -> NoReturn:
        """
        Refuse.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_APPEND_ONLY)

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """
        Refuse.

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
        Add events; refuse to write over those that are there.

        Args:
            objs: As Django takes them, like the rest.
            batch_size: How many go into one statement.
            ignore_conflicts: Whether to leave out what is stored already.
            update_conflicts: Refused.
            update_fields: Means nothing without ``update_conflicts``.
            unique_fields: Means nothing without ``update_conflicts``.

        Returns:
            The events.

        Raises:
            TypeError: Conflicts are to be updated.
        """
        if update_conflicts:
            raise TypeError(_APPEND_ONLY)
        return super().bulk_create(objs, batch_size, ignore_conflicts)

    def delete(self) -> NoReturn:
        """
        Refuse.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_APPEND_ONLY)

    def erase_personal_data(self, user_id: Any) -> int:
        """
        Blank the name of a learner, and every reason, in their events.

        The events stay, so that counts and states remain true; ``user_id`` stays as
        a pseudonym that means nothing once the user is deleted.

        Args:
            user_id: Primary key of the learner.

        Returns:
            How many events were blanked.
        """
        own = self.filter(user_id=user_id)
        return super(EnrollmentEventQuerySet, own).update(username="", reason="")


class EnrollmentEvent(models.Model):
    """
    One change of one enrollment, with who made it and why.

    Holds personal data: the learner's key and name, the actor's key. Erased by
    ``EnrollmentEvent.objects.erase_personal_data(user_id)``; the rows outlive
    enrollment, user and course, which is why no key is a database constraint.

    Folding a learner's events of a course by ``pk`` gives the enrollment's state.
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
    # Whatever length the host's user model allows.
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
        # Look-ups by actor are rare; an index would slow down each insert.
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

    objects = EnrollmentEventQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        # Related managers write by the base manager, which must refuse as well.
        base_manager_name = "objects"
        verbose_name = _("enrollment event")
        verbose_name_plural = _("enrollment events")
        indexes = (
            # Serves "the history of this enrollment", in order.
            models.Index(
                fields=("enrollment", "id"), name="enrollments_event_enroll_idx"
            ),
            # Serves "the history of this learner" and erasure.
            models.Index(fields=("user", "id"), name="enrollments_event_user_idx"),
        )

    def __str__(self) -> str:
        """Return type, user key and course."""
        return f"{self.type}: {self.user_id}, {self.course_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """
        Save a new event; refuse an old one.

        Raises:
            TypeError: The event is stored already.
        """
        if not self._state.adding:
            raise TypeError(_APPEND_ONLY)
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """
        Refuse.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_APPEND_ONLY)

    def as_record(self) -> EventRecord:
        """Return the frozen record that signals carry."""
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


# Without a sender: the sender of a subclass or a proxy model is that class.
@receiver(pre_save, dispatch_uid="django_enrollments.refuse_overwrite")
def refuse_overwrite(
    instance: models.Model, using: str | None = None, **kwargs: Any
) -> None:
    """
    Refuse to save an event under the key of a stored one.

    ``loaddata`` saves past ``EnrollmentEvent.save``, and sends this signal.

    Raises:
        TypeError: An event with this key is stored.
    """
    key: Any = instance.pk
    if key is None or not isinstance(instance, EnrollmentEvent):
        return
    stored = EnrollmentEvent.objects.using(using).filter(pk=key)
    if stored.exists():
        raise TypeError(_APPEND_ONLY)
