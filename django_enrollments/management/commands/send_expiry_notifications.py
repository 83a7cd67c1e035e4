"""Tells learners that the course they audit can soon be audited no more."""

from __future__ import annotations

import logging
from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError
from django.db.models import Count, Exists, Max, OuterRef, Q

from django_enrollments.backends.loading import get_notification_backend
from django_enrollments.enrolling.transactions import write_alias
from django_enrollments.enrollments_notifications import (
    AUDIT_ACCESS_EXPIRING_SOON,
    EnrollmentNotificationSender,
)
from django_enrollments.models import (
    CourseEnrollment,
    CourseMode,
    SentNotification,
    get_course_adapter,
)
from django_enrollments.moments import for_database, now, to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: How many enrollments are read at once.
ROWS_PER_QUERY = 500

#: A hundred years; every deadline there will be, and no overflow.
MOST_DAYS = 36_500


def _days(text: str) -> int:
    """
    Read a number of days.

    Raises:
        ArgumentTypeError: It is none, or out of range.
    """
    if text.isdecimal() and 1 <= int(text) <= MOST_DAYS:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_DAYS}")


class Command(BaseCommand):
    """``send_expiry_notifications --days N``; each learner is told once."""

    help = (
        "Tell every learner whose course can be audited for at most N days more. "
        "Nobody is told twice of one deadline. The exit status is 1 when somebody "
        "could not be told; the next run tries again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--days", type=_days, required=True, metavar="N", help="how many days ahead"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Tell everybody who has not been told.

        Raises:
            CommandError: Somebody could not be told.
        """
        try:
            get_notification_backend()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        at = now()
        until = at + timedelta(days=options["days"])
        told = failed = 0
        for key, deadline in _find_deadlines(at, until):
            course = _find_course(key)
            if course is None:
                continue
            for enrollment in _find_untold(key, deadline):
                claim = _claim(enrollment, deadline, at)
                if claim is None:
                    continue
                if _tell(enrollment, course, deadline):
                    told += 1
                else:
                    claim.delete()
                    failed += 1
        self.stdout.write(f"{told} told, {failed} failed")
        if failed:
            raise CommandError(f"{failed} learners could not be told.")


def _find_deadlines(at: datetime, until: datetime) -> list[tuple[Any, datetime]]:
    """
    Give the courses that can be audited until a moment between the two.

    A mode may be there in several currencies; the last to expire counts.
    """
    modes = CourseMode.objects.filter(mode_slug=CourseMode.AUDIT).order_by()
    courses = modes.values("course").annotate(
        deadline=Max("expiration_datetime"),
        endless=Count("pk", filter=Q(expiration_datetime=None)),
    )
    expiring = courses.filter(
        endless=0, deadline__gte=for_database(at), deadline__lte=for_database(until)
    )
    return list(expiring.order_by("course").values_list("course", "deadline"))


def _find_course(key: Any) -> Any | None:
    adapter = get_course_adapter()
    courses = adapter.get_queryset()
    related = adapter.related()
    if related:
        courses = courses.select_related(*related)
    return courses.filter(pk=key).first()


def _find_untold(key: Any, deadline: datetime) -> Iterator[CourseEnrollment]:
    """Give those who audit a course and have not been told, some at a time."""
    sent = SentNotification._default_manager.filter(
        enrollment=OuterRef("pk"),
        notification_type=AUDIT_ACCESS_EXPIRING_SOON,
        deadline=deadline,
    )
    # A replica may not know yet who has left.
    enrollments = CourseEnrollment.objects.using(write_alias()).active()
    untold = enrollments.filter(~Exists(sent), course=key, mode=CourseMode.AUDIT)
    untold = untold.select_related("user")
    last = 0
    while chunk := list(untold.filter(pk__gt=last).order_by("pk")[:ROWS_PER_QUERY]):
        # A disabled account gets no mail; it may be a property, which no query knows.
        yield from (row for row in chunk if getattr(row.user, "is_active", True))
        last = chunk[-1].pk


def _claim(
    enrollment: CourseEnrollment, deadline: datetime, at: datetime
) -> SentNotification | None:
    """Note that a learner is being told, or give ``None`` when another run did so."""
    try:
        claim, is_ours = SentNotification._default_manager.get_or_create(
            enrollment=enrollment,
            notification_type=AUDIT_ACCESS_EXPIRING_SOON,
            deadline=deadline,
            defaults={"sent": for_database(at)},
        )
    except IntegrityError:
        # The enrollment has just gone, with its learner.
        return None
    return claim if is_ours else None


def _tell(enrollment: CourseEnrollment, course: Any, deadline: datetime) -> bool:
    """Tell a learner, and tell whether that worked."""
    sender = EnrollmentNotificationSender(course, enrollment.user_id, to_iso(deadline))
    try:
        sender.send_audit_access_expiring_soon_notification()
    except Exception as error:  # noqa: BLE001 - whatever a backend raises.
        # Its text may hold an address.
        logger.error(
            "User %s was not told: %s.", enrollment.user_id, type(error).__name__
        )
        return False
    return True
