"""Sends notifications to learners whose mode of a course expires soon."""

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
from django_enrollments.conf import conf
from django_enrollments.core.modes import is_mode_slug
from django_enrollments.core.transactions import write_alias
from django_enrollments.datetimes import for_database, now, to_iso
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
    """``send_expiry_notifications --days N [--mode SLUG]``; safe to run twice."""

    help = (
        "Send a notification to every active learner of a mode that expires within N "
        "days, one for each deadline. The exit status is 1 when a notification could "
        "not be sent; the next run tries again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--days", type=_days, required=True, metavar="N", help="how many days ahead"
        )
        parser.add_argument(
            "--mode",
            metavar="SLUG",
            help="the mode that expires; ENROLLMENTS_DEFAULT_MODE when left out",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Send all notifications that have not been sent.

        Raises:
            CommandError: A notification could not be sent, the notification backend
                cannot be imported, or the mode is no slug.
        """
        mode = options["mode"]
        if mode is None:
            mode = conf.ENROLLMENTS_DEFAULT_MODE
        if not is_mode_slug(mode):
            raise CommandError(f"--mode: {mode!r} is no mode.")
        try:
            get_notification_backend()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        at = now()
        until = at + timedelta(days=options["days"])
        told = failed = 0
        for key, deadline in _find_deadlines(mode, at, until):
            course = _find_course(key)
            if course is None:
                continue
            for enrollment in _find_untold(key, mode, deadline):
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


def _find_deadlines(
    mode: str, at: datetime, until: datetime
) -> list[tuple[Any, datetime]]:
    """
    Return the courses whose mode expires between the two moments, and when.

    A mode may be there in several currencies; the last to expire counts.
    """
    modes = CourseMode.objects.filter(mode_slug=mode).order_by()
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


def _find_untold(key: Any, mode: str, deadline: datetime) -> Iterator[CourseEnrollment]:
    """Return the learners of a mode who have no notification, some at a time."""
    sent = SentNotification._default_manager.filter(
        enrollment=OuterRef("pk"),
        notification_type=AUDIT_ACCESS_EXPIRING_SOON,
        deadline=deadline,
    )
    # A replica may not know yet who has left.
    enrollments = CourseEnrollment.objects.using(write_alias()).active()
    untold = enrollments.of_course_key(key).filter(~Exists(sent), mode=mode)
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
    """Notify a learner, and return whether that worked."""
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
