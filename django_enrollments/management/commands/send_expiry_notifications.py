"""Notify learners whose mode of a course expires soon."""

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
from django_enrollments.management.words import counted
from django_enrollments.models import (
    CourseEnrollment,
    CourseMode,
    SentNotification,
    get_course_adapter,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: Number of enrollments per query.
ROWS_PER_QUERY = 500

#: A hundred years, which does not overflow.
MOST_DAYS = 36_500


def _days(text: str) -> int:
    """
    Return the number of days.

    Raises:
        ArgumentTypeError: The text is not a number, or is out of range.
    """
    if text.isdecimal() and 1 <= int(text) <= MOST_DAYS:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_DAYS}")


class Command(BaseCommand):
    """
    ``send_expiry_notifications --days N [--mode SLUG]``.

    Running it again sends nothing twice.
    """

    help = (
        "Send a notification to each active learner whose mode expires within N days, "
        "once per deadline. The exit status is 1 if a notification could not be sent; "
        "the next run tries again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--days", type=_days, required=True, metavar="N", help="number of days"
        )
        parser.add_argument(
            "--mode",
            metavar="SLUG",
            help="the mode that expires; by default ENROLLMENTS_DEFAULT_MODE",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Send the notifications that have not been sent yet.

        Raises:
            CommandError: A notification could not be sent, the notification backend
                cannot be imported, or the mode is not a slug.
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
        sent = failed = 0
        for key, deadline in _find_deadlines(mode, at, until):
            course = _find_course(key)
            if course is None:
                continue
            for enrollment in _find_recipients(key, mode, deadline):
                claim = _claim(enrollment, deadline, at)
                if claim is None:
                    continue
                if _send(enrollment, course, deadline):
                    sent += 1
                else:
                    claim.delete()
                    failed += 1
        self.stdout.write(f"{sent} sent, {failed} failed")
        if failed:
            text = counted(failed, "notification")
            raise CommandError(f"{text} could not be sent.")


def _find_deadlines(
    mode: str, at: datetime, until: datetime
) -> list[tuple[Any, datetime]]:
    """
    Return the keys of courses whose mode expires in a period, with the deadlines.

    A mode can be offered in several currencies; the latest expiration counts.
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
    return adapter.with_related(adapter.get_queryset()).filter(pk=key).first()


def _find_recipients(
    key: Any, mode: str, deadline: datetime
) -> Iterator[CourseEnrollment]:
    """Yield the enrollments in a mode that have no notification yet."""
    sent = SentNotification._default_manager.filter(
        enrollment=OuterRef("pk"),
        notification_type=AUDIT_ACCESS_EXPIRING_SOON,
        deadline=deadline,
    )
    # A replica may still have enrollments that are inactive by now.
    enrollments = CourseEnrollment.objects.using(write_alias()).active()
    recipients = enrollments.of_course_key(key).filter(~Exists(sent), mode=mode)
    recipients = recipients.select_related("user")
    last = 0
    while chunk := list(recipients.filter(pk__gt=last).order_by("pk")[:ROWS_PER_QUERY]):
        # is_active may be a property, so it is not part of the query.
        yield from (row for row in chunk if getattr(row.user, "is_active", True))
        last = chunk[-1].pk


def _claim(
    enrollment: CourseEnrollment, deadline: datetime, at: datetime
) -> SentNotification | None:
    """Record a notification; return ``None`` if another run has recorded it."""
    try:
        claim, is_ours = SentNotification._default_manager.get_or_create(
            enrollment=enrollment,
            notification_type=AUDIT_ACCESS_EXPIRING_SOON,
            deadline=deadline,
            defaults={"sent": for_database(at)},
        )
    except IntegrityError:
        # The enrollment has been deleted, with its user.
        return None
    return claim if is_ours else None


def _send(enrollment: CourseEnrollment, course: Any, deadline: datetime) -> bool:
    """Notify a learner, and return whether that succeeded."""
    sender = EnrollmentNotificationSender(course, enrollment.user_id, to_iso(deadline))
    try:
        sender.send_audit_access_expiring_soon_notification()
    except Exception as error:  # noqa: BLE001 - backends raise anything.
        # The text of the error may contain an address.
        logger.error(
            "No notification was sent to user %s: %s.",
            enrollment.user_id,
            type(error).__name__,
        )
        return False
    return True
