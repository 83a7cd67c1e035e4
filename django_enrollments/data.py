"""
Rows to plain dictionaries and back; the module behind :mod:`django_enrollments.api`.

``ENROLLMENTS_DATA_API`` may name another module with the functions of contract §5 and
the same signatures (DATA-14). Every dictionary returned passes ``json.dumps``; all
dates in it are ISO 8601 text in UTC, ending in ``Z``.
"""

from __future__ import annotations

import logging
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.db.models import OuterRef, QuerySet, Subquery

from django_enrollments.context import (
    Call,
    current_origin,
    one_call,
    origin_of,
    read_alias,
)
from django_enrollments.core import lifecycle
from django_enrollments.core.attributes import (
    clean_attributes,
    list_attributes,
    replace_attributes,
)
from django_enrollments.core.course_info import (
    CourseOffer,
    find_offer,
    get_offer,
    orphan_offer,
)
from django_enrollments.core.history import clean_enterprise_uuid
from django_enrollments.core.hooks import apply_filters, get_filters
from django_enrollments.core.selectors import enrollment_entry, serialize
from django_enrollments.core.sql import select_instances
from django_enrollments.core.transactions import (
    conflict_on_integrity_error,
    lock_enrollment,
    until_settled,
    write_alias,
    write_transaction,
    writing_call,
)
from django_enrollments.course_model import course_key_is_id
from django_enrollments.errors import CourseEnrollmentError, CourseEnrollmentExistsError
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    EnrollmentEvent,
    get_course_adapter,
    get_course_model,
)
from django_enrollments.users import (
    find_stored_name,
    find_user,
    get_user,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

logger = logging.getLogger(__name__)


def get_course_enrollments(
    username: str,
    include_inactive: bool = False,
    *,
    include_expired: bool = False,
    in_courses: Collection[Any] | None = None,
) -> list[dict[str, Any]]:
    """
    List a learner's enrollments, oldest first, in two queries (DATA-01, V1-LIST).

    Enrollments of deleted courses are left out, with a warning in the log.

    Args:
        username: What ``user.get_username()`` gives; an unknown one has none.
        include_inactive: Whether those the learner left are listed too.
        include_expired: Whether expired modes are listed in the courses.
        in_courses: Primary keys of the only courses; ``None`` for all.

    Returns:
        Enrollment dictionaries (V1-SER-01).

    Raises:
        EnrollmentNotAllowed: A ``queryset`` filter vetoed.
    """
    name = find_stored_name(username)
    if name is None:
        return []
    enrollments = CourseEnrollment.objects.using(read_alias()).of_stored_username(name)
    if not include_inactive:
        enrollments = enrollments.active()
    if in_courses is not None:
        enrollments = enrollments.filter(course__in=in_courses)
    with one_call() as call:
        if get_filters():
            user = find_user(username)
            if user is None:
                return []
            shown = apply_filters("queryset", user=user, queryset=enrollments)
            enrollments = shown["queryset"]
        listed = serialize(
            enrollments.order_by("created", "pk"), call, include_expired=include_expired
        )
        return [
            enrollment
            for enrollment in _without_orphans(listed)
            if enrollment["user"] == str(name)
        ]


def get_course_enrollment(
    username: str, course_id: str, *, include_expired: bool = False
) -> dict[str, Any] | None:
    """
    Return a learner's enrollment in a course, active or not (DATA-02).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        include_expired: Whether expired modes are listed in the course.

    Returns:
        The enrollment dictionary, or ``None`` when there is none.
    """
    name, text = find_stored_name(username), find_course_id(course_id)
    if name is None or text is None:
        return None
    enrollments = CourseEnrollment.objects.using(read_alias()).of_stored_username(name)
    with one_call() as call:
        listed = serialize(
            enrollments.of_course_id(text).order_by(),
            call,
            include_expired=include_expired,
        )
        wanted = (str(name), text)
        for enrollment in listed:
            details = enrollment["course_details"]
            found = details["course_id"] if details else text
            # A case-insensitive collation also finds what merely looks alike.
            if (enrollment["user"], found) == wanted:
                return enrollment
        return None


def get_user_enrollments(course_key: object) -> QuerySet[CourseEnrollment]:
    """
    Return the active enrollments of a course, oldest first (DATA-03).

    Args:
        course_key: The course, its id, or anything whose ``str()`` that is.

    Returns:
        A queryset, empty when there is none.
    """
    rows = CourseEnrollment.objects.using(read_alias())
    enrollments = rows.in_course(course_key).active()
    return enrollments.order_by("created", "pk")


def create_course_enrollment(
    username: str,
    course_id: str,
    mode: str | None,
    is_active: bool | None,
    enterprise_uuid: str | None = None,
    force_enrollment: bool = False,
) -> dict[str, Any]:
    """
    Enroll a learner without asking whether the course offers the mode (DATA-04).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        mode: Mode slug; ``None`` for the default (MODE-06).
        is_active: Whether the learner is in the course afterwards; ``None`` is yes.
        enterprise_uuid: The enterprise customer behind it, if any.
        force_enrollment: Whether window and invitations are lifted.

    Returns:
        The enrollment dictionary.

    Raises:
        UserNotFoundError: No user has this name.
        CourseNotFoundError: No course has this id.
        CourseModeNotFoundError: The mode is no slug that a row can hold.
        CourseEnrollmentExistsError: The learner is in already; ``enrollment`` is the
            enrollment as it is.
        CourseEnrollmentClosedError: The learner may not enroll now.
        CourseEnrollmentFullError: No seat is left.
        EnrollmentNotAllowed: A filter or permission backend vetoed.
        CourseEnrollmentError: An argument has the wrong type.
    """
    is_active = True if is_active is None else _checked_flag(is_active)
    with writing_call() as (call, using):
        user = get_user(username, using)
        offer = get_offer(course_id, call, using)
        (outcome,) = lifecycle.enroll(
            [user],
            offer,
            mode=mode,
            terms=lifecycle.Terms(
                current_origin(),
                call.at,
                using,
                access=not force_enrollment,
                offered_mode=False,
                enterprise_uuid=clean_enterprise_uuid(enterprise_uuid),
            ),
            is_active=is_active,
        )
        try:
            enrollment = outcome.unwrap()
        except CourseEnrollmentExistsError as error:
            error.enrollment.remember_user(user)
            existing = enrollment_data(error.enrollment, offer, call)
            logger.warning(
                "User %s is already enrolled in course %s.", user.pk, offer.course_id
            )
            raise CourseEnrollmentExistsError(str(error), existing) from error
        return enrollment_data(enrollment, offer, call)


def update_course_enrollment(
    username: str,
    course_id: str,
    mode: str | None = None,
    is_active: bool | None = None,
) -> dict[str, Any] | None:
    """
    Change mode or activation of an enrollment (DATA-06).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        mode: Mode slug; ``None`` leaves it.
        is_active: Whether the learner is in the course; ``None`` leaves it.

    Returns:
        The enrollment dictionary, or ``None`` when there is no such enrollment.

    Raises:
        UserNotFoundError: No user has this name.
        CourseModeNotFoundError: The mode is no slug that a row can hold.
        CourseEnrollmentFullError: It would become active and no seat is left.
        EnrollmentNotAllowed: A filter vetoed.
        CourseEnrollmentError: An argument has the wrong type.
    """
    if is_active is not None:
        _checked_flag(is_active)
    with writing_call() as (call, using):
        row = _find_row(username, course_id, using)
        if row is None:
            get_user(username, using)
            return None
        offer = find_offer(course_id, call, using) or orphan_offer(
            row.course_id, find_course_id(course_id) or str(row.course_id)
        )
        row = lifecycle.change(
            row,
            offer,
            mode=mode,
            is_active=is_active,
            terms=lifecycle.Terms(current_origin(), call.at, using),
        )
        return enrollment_data(row, offer, call)


@writing_call()
def add_or_update_enrollment_attr(
    username: str, course_id: str, attributes: Sequence[dict[str, Any]]
) -> None:
    """
    Replace all attributes of an enrollment; nothing happens without one (DATA-07).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        attributes: Dictionaries with ``namespace``, ``name`` and ``value``.

    Raises:
        InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
        UserNotFoundError: No user has this name.
    """
    cleaned = clean_attributes(attributes)
    using = write_alias()

    def attempt(_lock: bool) -> None:
        row = _find_row(username, course_id, using)
        if row is None:
            get_user(username, using)
            return
        with conflict_on_integrity_error(), write_transaction(using):
            lock_enrollment(row, using=using)
            replace_attributes(row, cleaned, using=using)

    until_settled(attempt, using=using)


def get_enrollment_attributes(username: str, course_id: str) -> list[dict[str, str]]:
    """
    List the attributes of an enrollment (DATA-08).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.

    Returns:
        Dictionaries with ``namespace``, ``name`` and ``value``; none without an
        enrollment.

    Raises:
        UserNotFoundError: No user has this name.
    """
    row = _find_row(username, course_id, None)
    if row is None:
        get_user(username)
        return []
    return list_attributes(row.pk)


def unenroll_user_from_all_courses(username: str) -> list[str]:
    """
    Take a learner out of every course, all or none (DATA-09, V1-UNENR-07…11).

    Filters are not asked. Enrollments of deleted courses count.

    Args:
        username: What ``user.get_username()`` gives.

    Returns:
        The ids of the courses left, sorted; only enrollments that were active count.

    Raises:
        UserNotFoundError: No user has this name.
    """
    with writing_call() as (call, using):
        user = get_user(username, using)
        rows, course_ids = _active_rows(user, using)
        for row in rows:
            row.remember_user(user)
        outcomes = lifecycle.deactivate(
            rows,
            course_ids,
            terms=lifecycle.Terms(_retirement_origin(), call.at, using),
        )
        return sorted(
            course_ids[row.course_id]
            for row, outcome in zip(rows, outcomes, strict=True)
            if outcome.status == "deactivated"
        )


def get_course_enrollment_info(
    course_id: str, include_expired: bool = False
) -> dict[str, Any]:
    """
    Return a course as enrolling sees it (DATA-10).

    Args:
        course_id: The course id.
        include_expired: Whether expired modes are listed too.

    Returns:
        The course dictionary (V1-SER-05).

    Raises:
        CourseNotFoundError: No course has this id, or it is no course id.
    """
    with one_call() as call:
        offer = get_offer(course_id, call)
        return offer.as_data(at=call.at, include_expired=bool(include_expired))


def get_user_roles(username: str) -> set[CourseAccessRole]:
    """
    Return all course and organisation roles of a user (DATA-11).

    Args:
        username: What ``user.get_username()`` gives.

    Raises:
        UserNotFoundError: No user has this name.
    """
    user = get_user(username)
    roles = CourseAccessRole.objects.using(read_alias())
    return set(roles.filter(user=user).order_by())


def serialize_enrollments(
    enrollments: Iterable[CourseEnrollment], *, include_expired: bool = False
) -> list[dict[str, Any]]:
    """
    Return enrollments as dictionaries, in their order, in a few queries (DATA-12).

    Args:
        enrollments: A queryset or any iterable of instances; those of deleted courses
            stay, with ``course_details`` of ``None`` (API-20).
        include_expired: Whether expired modes are listed in the courses.
    """
    with one_call() as call:
        return serialize(enrollments, call, include_expired=include_expired)


def enrollment_data(
    enrollment: CourseEnrollment,
    offer: CourseOffer,
    call: Call,
    *,
    include_expired: bool = False,
) -> dict[str, Any]:
    """
    Return one enrollment as a dictionary, from what is loaded already.

    Args:
        enrollment: The row, with its user.
        offer: Its course.
        call: The call under way.
        include_expired: Whether expired modes are listed in the course.
    """
    details = None
    if offer.course is not None:
        details = offer.as_data(at=call.at, include_expired=include_expired)
    return enrollment_entry(
        enrollment.created,
        enrollment.mode,
        enrollment.is_active,
        details,
        enrollment.username,
    )


def _checked_flag(is_active: object) -> bool:
    if not isinstance(is_active, bool):
        raise CourseEnrollmentError(
            f"'{is_active}' is an invalid enrollment activation status."
        )
    return is_active


def _find_row(
    username: object, course_id: object, using: str | None
) -> CourseEnrollment | None:
    """Return a learner's row with its user, in one query."""
    text, name = find_course_id(course_id), find_stored_name(username, using)
    if text is None or name is None:
        return None
    enrollments = CourseEnrollment.objects.using(using or read_alias())
    rows = enrollments.of_stored_username(name).of_course_id(text).order_by()
    # A collation may also find a name that merely looks alike.
    return next(
        (row for row in rows.select_related("user") if row.username == str(name)), None
    )


def _retirement_origin() -> Any:
    origin = current_origin()
    if origin.source == "retirement":
        return origin
    return origin_of(actor=origin.actor_id, source="retirement", reason=origin.reason)


def _active_rows(
    user: Any, using: str
) -> tuple[list[CourseEnrollment], dict[Any, str]]:
    """Return a learner's active rows in order, and the ids of courses by their keys."""
    if course_key_is_id():
        where = {"user": user.pk, "is_active": True}
        rows = select_instances(CourseEnrollment, where, using=using)
        rows.sort(key=attrgetter("pk"))
        return rows, {row.course_id: str(row.course_id) for row in rows}
    # A subquery rather than a join, which would lose those of deleted courses.
    courses = get_course_model()._base_manager.filter(pk=OuterRef("course"))
    course_id = Subquery(courses.values(get_course_adapter().course_id))
    enrollments = CourseEnrollment.objects.using(using).filter(user=user).active()
    enrollments = enrollments.annotate(enrollments_course_id=course_id)
    found: list[Any] = list(enrollments.order_by("pk"))
    course_ids = {
        row.course_id: row.enrollments_course_id
        for row in found
        if row.enrollments_course_id is not None
    }
    orphans = [row for row in found if row.course_id not in course_ids]
    return found, course_ids | _last_known_ids(orphans, using)


def _last_known_ids(orphans: Sequence[CourseEnrollment], using: str) -> dict[Any, str]:
    """Return the ids that deleted courses had, as history tells."""
    ids = {row.course_id: str(row.course_id) for row in orphans}
    if orphans:
        keys = {row.pk: row.course_id for row in orphans}
        events = EnrollmentEvent.objects.using(using).filter(enrollment__in=keys)
        told = events.order_by("pk").values_list("enrollment", "course_id")
        ids.update((keys[enrollment], course_id) for enrollment, course_id in told)
    return ids


def _without_orphans(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = [entry for entry in listed if entry["course_details"] is not None]
    if len(known) < len(listed):
        # V1-LIST-04
        logger.warning(
            "%d enrollments of deleted courses are left out of a list.",
            len(listed) - len(known),
        )
    return known
