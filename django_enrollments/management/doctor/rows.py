"""Whether courses, users and modes that rows name exist, and courses have room."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from django_enrollments.conf import conf
from django_enrollments.context import call_context
from django_enrollments.core.transactions import write_alias
from django_enrollments.course_model import all_courses
from django_enrollments.datetimes import for_database, now
from django_enrollments.management.doctor.findings import (
    ROWS_PER_BATCH,
    Finding,
    Level,
    in_batches,
)
from django_enrollments.management.words import counted
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EmailOptIn,
    EnrollmentEvent,
    get_course_adapter,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.users import find_users_by_email, is_inactive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The age of an unused invitation that is reported.
OLD_INVITATION = timedelta(days=180)


def check_seats() -> Iterator[Finding]:
    """Yield the courses that have more learners than seats."""
    adapter, service = get_course_adapter(), EnrollmentsService()
    for batch in in_batches(adapter.with_related(all_courses(write_alias()))):
        with call_context(using=write_alias()):
            limited = [
                course
                for course in batch
                if adapter.facts(course).max_student_enrollments_allowed is not None
            ]
            found = service.seats_many(limited) if limited else {}
        for course_id, seats in found.items():
            capacity, taken = seats["capacity"], seats["taken"]
            if capacity is not None and taken > capacity:
                learners = counted(taken, "learner has", "learners have")
                text = f"{learners} {counted(capacity, 'seat')}."
                yield Finding("over_capacity", "warning", f"course {course_id}", text)


def check_courses() -> Iterator[Finding]:
    """
    Yield ids that no course has, in roles, invitations, events and enrollments.

    Only roles are a warning: a course may be deleted, or be yet to come.
    """
    named: tuple[tuple[Any, Level, str], ...] = (
        (CourseAccessRole.objects.exclude(course_id=""), "warning", "role"),
        (CourseEnrollmentAllowed.objects.all(), "note", "invitation"),
        (EnrollmentEvent.objects.all(), "note", "event"),
    )
    for rows, level, one in named:
        for course_id, number in _without_course(rows.using(write_alias())):
            text = f"{counted(number, one)} under this id."
            yield Finding(f"{one}_without_course", level, f"course {course_id}", text)
    rows = CourseEnrollment.objects.using(write_alias())
    grouped = rows.values("course").annotate(
        number=Count("pk"), active=Count("pk", filter=Q(is_active=True))
    )
    for batch in in_batches(grouped, "course"):
        keys = [row["course"] for row in batch]
        stored = all_courses(write_alias()).filter(pk__in=keys)
        known = set(stored.values_list("pk", flat=True))
        for row in batch:
            if row["course"] not in known:
                text = f"{counted(row['number'], 'enrollment')}, {row['active']} "
                text += "active, in a course that is deleted."
                subject = f"course {row['course']}"
                yield Finding("enrollment_without_course", "note", subject, text)


def _without_course(rows: QuerySet[Any]) -> Iterator[tuple[str, int]]:
    """Yield the course ids that no course has, and the number of their rows."""
    adapter = get_course_adapter()
    grouped = rows.values("course_id").annotate(number=Count("pk"))
    for batch in in_batches(grouped, "course_id"):
        ids = {row["course_id"] for row in batch}
        courses = adapter.find_courses(ids, write_alias())
        known = {adapter.course_id_of(course) for course in courses}
        for row in batch:
            if row["course_id"] not in known:
                yield row["course_id"], row["number"]


def check_modes() -> Iterator[Finding]:
    """Yield the modes of active enrollments that their course does not have."""
    using = write_alias()
    offered = CourseMode.objects.filter(course=OuterRef("course"))
    rows = CourseEnrollment.objects.using(using).active()
    rows = rows.filter(
        Exists(all_courses().filter(pk=OuterRef("course"))),
        ~Exists(offered.filter(mode_slug=OuterRef("mode"))),
    )
    # A course without modes has the default mode.
    rows = rows.exclude(~Exists(offered), mode=conf.ENROLLMENTS_DEFAULT_MODE)
    grouped = rows.order_by("course", "mode").values_list("course", "mode")
    for key, mode, number in grouped.annotate(Count("pk")).iterator():
        learners = counted(number, "learner is", "learners are")
        text = f"{learners} in mode {mode!r}, which it does not have."
        yield Finding("unknown_mode", "warning", f"course {key}", text)


def check_invitations() -> Iterator[Finding]:
    """Yield unused invitations: old ones, and those whose account was not enrolled."""
    using = write_alias()
    unused = CourseEnrollmentAllowed.objects.using(using).unused()
    for batch in in_batches(unused.filter(auto_enroll=True)):
        accounts = find_users_by_email({one.email for one in batch}, using)
        yield from _not_redeemed(batch, accounts)
    old = unused.filter(created__lt=for_database(now() - OLD_INVITATION))
    if number := old.count():
        subject = counted(number, "invitation")
        text = f"Not used for more than {OLD_INVITATION.days} days."
        yield Finding("unused_invitations", "note", subject, text)


def _not_redeemed(batch: Sequence[Any], accounts: dict[str, Any]) -> Iterator[Finding]:
    using, adapter = write_alias(), get_course_adapter()
    waiting = {}
    for invitation in batch:
        users = [
            user for user in accounts.get(invitation.email, []) if not is_inactive(user)
        ]
        if len(users) == 1:
            waiting[invitation] = users[0]
    if not waiting:
        return
    courses = adapter.find_courses({one.course_id for one in waiting}, using)
    keys = {adapter.course_id_of(course): course.pk for course in courses}
    rows = CourseEnrollment.objects.using(using).filter(
        user__in=[user.pk for user in waiting.values()], course__in=[*keys.values()]
    )
    enrolled = set(rows.values_list("user", "course"))
    for invitation, user in waiting.items():
        key = keys.get(invitation.course_id)
        if key is not None and (user.pk, key) not in enrolled:
            text = f"User {user.pk} has its address and was not enrolled; run "
            text += "redeem_invitations, which tells why."
            subject = f"invitation {invitation.pk}"
            yield Finding("invitation_not_redeemed", "warning", subject, text)


def check_users() -> Iterator[Finding]:
    """
    Yield rows of users that are gone.

    The database prevents them by its foreign keys, unless users are in another database
    or rows were loaded without constraints.
    """
    named: tuple[tuple[Any, str], ...] = (
        (CourseEnrollment, "enrollment"),
        (CourseAccessRole, "role"),
        (EmailOptIn, "e-mail choice"),
        (CourseEnrollmentAllowed, "used invitation"),
    )
    using = write_alias()
    for model, one in named:
        rows = model._base_manager.using(using).exclude(user=None)
        for key, number in _without_user(rows):
            text = f"It is gone, but has {counted(number, one)}."
            delete = partial(_delete, model, key, one)
            yield Finding("missing_user", "error", f"user {key}", text, delete)
    events = EnrollmentEvent.objects.using(using).exclude(username="")
    named_events = sum(number for _, number in _without_user(events))
    if named_events:
        text = "They have the names of users that are deleted; "
        text += "EnrollmentEvent.objects.erase_personal_data(user_id) erases them."
        subject = counted(named_events, "event")
        yield Finding("deleted_user_in_history", "note", subject, text)


def _without_user(rows: QuerySet[Any]) -> Iterator[tuple[Any, int]]:
    """Yield the keys of users that are gone, and the number of their rows."""
    grouped = rows.order_by().values("user").annotate(number=Count("pk"))
    for batch in in_batches(grouped, "user"):
        keys = [row["user"] for row in batch]
        known = set(_users(keys).values_list("pk", flat=True))
        for row in batch:
            if row["user"] not in known:
                yield row["user"], row["number"]


def _users(keys: Sequence[Any]) -> QuerySet[Any]:
    """
    Return the users with some keys.

    A read replica may not have new ones yet, and managers of the host may leave some
    out, but the rows of either must not be deleted.
    """
    model = get_user_model()
    rows: QuerySet[Any] = QuerySet(model, using=router.db_for_write(model))
    return rows.filter(pk__in=keys)


def _delete(model: Any, user_id: Any, one: str) -> str:
    """Delete the rows of a user that is gone, as deleting the user does."""
    if _users([user_id]).exists():
        return ""
    rows = model._base_manager.using(write_alias()).filter(user_id=user_id)
    number = 0
    while batch := list(
        rows.order_by("pk").values_list("pk", flat=True)[:ROWS_PER_BATCH]
    ):
        rows.filter(pk__in=batch).delete()
        number += len(batch)
    return f"Deleted {counted(number, one)}." if number else ""
