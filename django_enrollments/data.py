"""
The default data layer behind :mod:`django_enrollments.api`.

``ENROLLMENTS_DATA_API`` may name another module that satisfies :class:`DataAPI`
(DATA-14). Usernames are what ``user.get_username()`` returns. Every dictionary returned
passes ``json.dumps``; see :mod:`django_enrollments.payloads`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from django_enrollments.conf import conf
from django_enrollments.context import Call, call_context, current_origin, read_alias
from django_enrollments.core import lifecycle
from django_enrollments.core.attributes import (
    clean_attributes,
    list_attributes,
    replace_attributes,
)
from django_enrollments.core.course_info import (
    deleted_course_info,
    enrollment_as_data,
    find_course_info,
    get_course_info,
)
from django_enrollments.core.history import clean_enterprise_uuid
from django_enrollments.core.hooks import apply_filters
from django_enrollments.core.selectors import list_active_rows, serialize
from django_enrollments.core.transactions import (
    conflict_on_integrity_error,
    lock_enrollment,
    retry_on_conflict,
    write_alias,
    write_transaction,
    writing_call,
)
from django_enrollments.course_model import course_key_is_id
from django_enrollments.errors import CourseEnrollmentError, CourseEnrollmentExistsError
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import CourseAccessRole, CourseEnrollment
from django_enrollments.users import find_stored_name, find_user, get_user

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from django.db.models import QuerySet

    from django_enrollments.core.course_info import CourseInfo
    from django_enrollments.payloads import AttributeDict, CourseDict, EnrollmentDict

logger = logging.getLogger(__name__)


class DataAPI(Protocol):
    """
    The functions of the module that ``ENROLLMENTS_DATA_API`` names (DATA-14).

    This module is the default; its functions document arguments, results and errors.
    The functions that return enrollments get ``include_expired`` only when it is true.
    """

    def get_course_enrollments(
        self,
        username: str,
        include_inactive: bool = ...,
        *,
        include_expired: bool = ...,
    ) -> list[EnrollmentDict]: ...
    def get_course_enrollment(
        self, username: str, course_id: str, *, include_expired: bool = False
    ) -> EnrollmentDict | None: ...
    def get_user_enrollments(
        self, course_key: object
    ) -> QuerySet[CourseEnrollment]: ...
    def create_course_enrollment(
        self,
        username: str,
        course_id: str,
        mode: str | None,
        is_active: bool | None,
        enterprise_uuid: str | None = None,
        force_enrollment: bool = False,
    ) -> EnrollmentDict: ...
    def update_course_enrollment(
        self,
        username: str,
        course_id: str,
        mode: str | None = None,
        is_active: bool | None = None,
    ) -> EnrollmentDict | None: ...
    def add_or_update_enrollment_attr(
        self, username: str, course_id: str, attributes: Sequence[Mapping[str, Any]]
    ) -> None: ...
    def get_enrollment_attributes(
        self, username: str, course_id: str
    ) -> list[AttributeDict]: ...
    def unenroll_user_from_all_courses(self, username: str) -> list[str]: ...
    def get_course_enrollment_info(
        self, course_id: str, include_expired: bool = False
    ) -> CourseDict: ...
    def get_user_roles(self, username: str) -> set[CourseAccessRole]: ...
    def serialize_enrollments(
        self, enrollments: Iterable[CourseEnrollment]
    ) -> list[EnrollmentDict]: ...


DATA_FUNCTIONS = tuple(name for name in vars(DataAPI) if not name.startswith("_"))


def get_course_enrollments(
    username: str,
    include_inactive: bool = False,
    *,
    include_expired: bool = False,
    in_courses: Collection[Any] | None = None,
) -> list[EnrollmentDict]:
    """
    Return a learner's enrollments, oldest first, in two queries (DATA-01, V1-LIST).

    An unknown learner has none. Enrollments of deleted courses are left out, with a
    warning in the log. ``in_courses`` holds the primary keys of the only courses.

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
    with call_context() as call:
        if conf.ENROLLMENTS_FILTERS:
            user = find_user(username)
            if user is None:
                return []
            shown = apply_filters("queryset", user=user, queryset=enrollments)
            enrollments = shown["queryset"]
        listed = serialize(
            enrollments.order_by("created", "pk"), call, include_expired=include_expired
        )
    # A collation may also find names that merely look alike.
    own = [one for one in listed if one["user"] == str(name)]
    known = [one for one in own if one["course_details"] is not None]
    if len(known) < len(own):
        # V1-LIST-04
        logger.warning(
            "%d enrollments of deleted courses are left out of a list.",
            len(own) - len(known),
        )
    return known


def get_course_enrollment(
    username: str, course_id: str, *, include_expired: bool = False
) -> EnrollmentDict | None:
    """Return a learner's enrollment, active or not, or ``None`` (DATA-02)."""
    name, text = find_stored_name(username), find_course_id(course_id)
    if name is None or text is None:
        return None
    rows = CourseEnrollment.objects.using(read_alias()).of_stored_username(name)
    rows = rows.of_course_id(text).order_by()
    with call_context() as call:
        for enrollment in serialize(rows, call, include_expired=include_expired):
            course = enrollment["course_details"]
            # A collation may also find names and ids that merely look alike.
            is_course = course is None or course["course_id"] == text
            if is_course and enrollment["user"] == str(name):
                return enrollment
    return None


def get_user_enrollments(course_key: object) -> QuerySet[CourseEnrollment]:
    """
    Return the active enrollments of a course, oldest first (DATA-03).

    A key is the course, its id, or an object whose ``str()`` is its id.
    """
    rows = CourseEnrollment.objects.using(read_alias()).in_course(course_key)
    return rows.active().order_by("created", "pk")


def create_course_enrollment(
    username: str,
    course_id: str,
    mode: str | None,
    is_active: bool | None,
    enterprise_uuid: str | None = None,
    force_enrollment: bool = False,
) -> EnrollmentDict:
    """
    Enroll a learner, in a mode that the course need not offer (DATA-04).

    A mode of ``None`` is the default (MODE-06); ``is_active`` of ``None`` is true.
    ``force_enrollment`` lifts window and invitations.

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
    _check_flag(is_active)
    with writing_call() as (call, using):
        user = get_user(username, using)
        info = get_course_info(course_id, call, using)
        (outcome,) = lifecycle.enroll(
            [user],
            info,
            mode=mode,
            options=lifecycle.ChangeOptions(
                current_origin(),
                call.at,
                using,
                access=not force_enrollment,
                offered_mode=False,
                enterprise_uuid=clean_enterprise_uuid(enterprise_uuid),
            ),
            is_active=is_active is not False,
        )
        try:
            return _as_dict(outcome.unwrap(), info, call)
        except CourseEnrollmentExistsError as error:
            error.enrollment.remember_user(user)
            existing = _as_dict(error.enrollment, info, call)
            logger.warning(
                "User %s is already enrolled in course %s.",
                user.pk,
                info.course_id,
            )
            raise CourseEnrollmentExistsError(str(error), existing) from error


def update_course_enrollment(
    username: str,
    course_id: str,
    mode: str | None = None,
    is_active: bool | None = None,
) -> EnrollmentDict | None:
    """
    Change mode or activation of an enrollment; ``None`` leaves either (DATA-06).

    Return ``None`` where there is no such enrollment.

    Raises:
        UserNotFoundError: No user has this name.
        CourseModeNotFoundError: The mode is no slug that a row can hold.
        CourseEnrollmentFullError: It would become active and no seat is left.
        EnrollmentNotAllowed: A filter vetoed.
        CourseEnrollmentError: An argument has the wrong type.
    """
    _check_flag(is_active)
    with writing_call() as (call, using):
        row = _find_row(username, course_id, using)
        if row is None:
            return None
        info = find_course_info(course_id, call, using) or deleted_course_info(
            row.course_id, find_course_id(course_id) or str(row.course_id)
        )
        row = lifecycle.change(
            row,
            info,
            mode=mode,
            is_active=is_active,
            options=lifecycle.ChangeOptions(current_origin(), call.at, using),
        )
        return _as_dict(row, info, call)


@writing_call()
def add_or_update_enrollment_attr(
    username: str, course_id: str, attributes: Sequence[Mapping[str, Any]]
) -> None:
    """
    Replace all attributes of an enrollment; nothing happens without one (DATA-07).

    Raises:
        InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
        UserNotFoundError: No user has this name.
    """
    cleaned = clean_attributes(attributes)
    using = write_alias()

    def attempt(_lock: bool) -> None:
        row = _find_row(username, course_id, using)
        if row is not None:
            with conflict_on_integrity_error(), write_transaction(using):
                lock_enrollment(row, using=using)
                replace_attributes(row, cleaned, using=using)

    retry_on_conflict(attempt, using=using)


def get_enrollment_attributes(username: str, course_id: str) -> list[AttributeDict]:
    """
    Return the attributes of an enrollment; none without an enrollment (DATA-08).

    Raises:
        UserNotFoundError: No user has this name.
    """
    row = _find_row(username, course_id, None)
    return [] if row is None else list_attributes(row.pk)


def unenroll_user_from_all_courses(username: str) -> list[str]:
    """
    Unenroll a learner from every course, all or none (DATA-09, V1-UNENR-07…11).

    Return the sorted ids of the courses, deleted ones too. Filters are not asked.

    Raises:
        UserNotFoundError: No user has this name.
    """
    origin = replace(current_origin(), source="retirement")
    with writing_call() as (call, using):
        user = get_user(username, using)
        rows, course_ids = list_active_rows(user, using)
        outcomes = lifecycle.deactivate(
            rows, course_ids, options=lifecycle.ChangeOptions(origin, call.at, using)
        )
    return sorted(
        course_ids[row.course_id]
        for row, outcome in zip(rows, outcomes, strict=True)
        if outcome.status == "deactivated"
    )


def get_course_enrollment_info(
    course_id: str, include_expired: bool = False
) -> CourseDict:
    """
    Return a course with its modes, expired ones too where asked (DATA-10).

    Raises:
        CourseNotFoundError: No course has this id, or it is no course id.
    """
    with call_context() as call:
        info = get_course_info(course_id, call)
        return info.as_data(at=call.at, include_expired=bool(include_expired))


def get_user_roles(username: str) -> set[CourseAccessRole]:
    """
    Return all course and organization roles of a user (DATA-11).

    Raises:
        UserNotFoundError: No user has this name.
    """
    roles = CourseAccessRole.objects.using(read_alias())
    return set(roles.filter(user=get_user(username)).order_by())


def serialize_enrollments(
    enrollments: Iterable[CourseEnrollment], *, include_expired: bool = False
) -> list[EnrollmentDict]:
    """
    Return enrollments as dictionaries, in their order, in a few queries (DATA-12).

    Those of deleted courses stay, with ``course_details`` of ``None`` (API-20).
    """
    with call_context() as call:
        return serialize(enrollments, call, include_expired=include_expired)


def _as_dict(row: CourseEnrollment, info: CourseInfo, call: Call) -> EnrollmentDict:
    """Return an enrollment as a dictionary, from what has been read already."""
    course = None if info.course is None else info.as_data(at=call.at)
    name = str(row.user.get_username())
    return enrollment_as_data(row.created, row.mode, row.is_active, course, name)


def _check_flag(is_active: object) -> None:
    if is_active is not None and not isinstance(is_active, bool):
        text = f"'{is_active}' is an invalid enrollment activation status."
        raise CourseEnrollmentError(text)


def _find_row(
    username: object, course_id: object, using: str | None
) -> CourseEnrollment | None:
    """
    Return a learner's row with its user, in one query where there is one.

    Raises:
        UserNotFoundError: There is none, nor a user of this name.
    """
    text, name = find_course_id(course_id), find_stored_name(username, using)
    if text is not None and name is not None:
        own = CourseEnrollment.objects.using(using or read_alias()).order_by()
        own = own.of_stored_username(name).select_related("user")
        if course_key_is_id():
            # To compare ids here is quicker than to the letter in the database.
            rows = [
                one for one in own.filter(course=text) if str(one.course_id) == text
            ]
        else:
            rows = list(own.of_course_id(text))
        for row in rows:
            # A collation may also find a name that merely looks alike.
            if row.username == str(name):
                return row
    get_user(username, using)
    return None
