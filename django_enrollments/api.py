"""
The Python API of Open edX: takes usernames and course ids, returns dictionaries.

The functions of the rules API-01 to API-21 call the module that
``ENROLLMENTS_DATA_API`` names. ``explain_enrollment``, ``bulk_enroll`` and
``rename_course_id`` do not. All returned dictionaries are valid JSON.
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from django_enrollments import data as default_data
from django_enrollments.conf import conf
from django_enrollments.context import call_context, current_origin, origin_of
from django_enrollments.core import bulk, course_details_cache, eligibility, renaming
from django_enrollments.core.attributes import (
    clean_attributes,
)
from django_enrollments.core.course_info import find_course_info, get_course_info
from django_enrollments.core.invitations import after_commit
from django_enrollments.core.modes import (
    default_slug,
    proctored_modes,
    unavailable_text,
)
from django_enrollments.core.transactions import (
    Conflict,
    conflict_on_integrity_error,
    lazy_transaction,
    retry_on_conflict,
    write_alias,
    write_transaction,
    writing_call,
)
from django_enrollments.errors import (
    CourseModeNotFoundError,
    CourseNotFoundError,
    EnrollmentApiLoadError,
    EnrollmentNotFoundError,
)
from django_enrollments.identifiers import find_course_id, find_stored_course_id
from django_enrollments.importing import (
    DATA_API,
    SettingLoadError,
    load,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseMode,
    get_course_adapter,
)
from django_enrollments.users import get_user

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from datetime import datetime

    from typing_extensions import Unpack

    from django_enrollments.data import DataAPI
    from django_enrollments.payloads import (
        AttributeDict,
        BulkOptions,
        BulkResultDict,
        CourseDict,
        EnrollmentDict,
        ExplanationDict,
        RenamedDict,
    )

logger = logging.getLogger(__name__)

T = TypeVar("T")
EnrollmentT = TypeVar("EnrollmentT", bound="EnrollmentDict | None")


def _data_api() -> DataAPI:
    """
    Import the data layer that is configured now (API-01).

    Raises:
        EnrollmentApiLoadError: ``ENROLLMENTS_DATA_API`` cannot be imported, or lacks a
            function that is called here.
    """
    path = conf.ENROLLMENTS_DATA_API
    if path == default_data.__name__:
        return default_data
    try:
        found: DataAPI = load(DATA_API, path)
    except SettingLoadError as error:
        raise EnrollmentApiLoadError(path) from error
    # The one that is not called here may be missing; the system check reports it.
    called = {*default_data.DATA_FUNCTIONS} - {"get_user_enrollments"}
    if not all(callable(getattr(found, name, None)) for name in called):
        raise EnrollmentApiLoadError(path)
    return found


def get_enrollments(
    username: str,
    include_inactive: bool = False,
    *,
    include_expired: bool = False,
    in_courses: Collection[Any] | None = None,
) -> list[EnrollmentDict]:
    """
    Return a learner's enrollments, oldest first (API-02).

    Args:
        username: The username. An unknown learner has no enrollments.
        include_inactive: Whether to include inactive enrollments.
        include_expired: Whether the courses include expired modes.
        in_courses: Primary keys of courses, to leave out the others; ``None`` for all.
            A replaced data layer ignores it.

    Returns:
        Enrollment dictionaries (V1-SER-01).

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
        EnrollmentNotAllowed: A ``queryset`` filter vetoed.
    """
    data = _data_api()
    options = _expired_too(include_expired)
    if in_courses is not None and data is default_data:
        return default_data.get_course_enrollments(
            username, include_inactive, in_courses=in_courses, **options
        )
    return data.get_course_enrollments(username, include_inactive, **options)


def get_verified_enrollments(
    username: str, include_inactive: bool = False
) -> list[EnrollmentDict]:
    """
    Return a learner's enrollments in verified modes (API-03, MODE-11).

    Args:
        username: The username. An unknown learner has no enrollments.
        include_inactive: Whether to include inactive enrollments.

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
        EnrollmentNotAllowed: A ``queryset`` filter vetoed.
    """
    verified = conf.ENROLLMENTS_VERIFIED_MODES
    enrollments = get_enrollments(username, include_inactive)
    return [one for one in enrollments if one["mode"] in verified]


def get_enrollment(
    username: str, course_id: str, *, include_expired: bool = False
) -> EnrollmentDict | None:
    """
    Return a learner's enrollment in a course, active or not, or ``None`` (API-04).

    Args:
        username: The username.
        course_id: The course id.
        include_expired: Whether the course includes expired modes.

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().get_course_enrollment(
        username, course_id, **_expired_too(include_expired)
    )


def _expired_too(include_expired: bool) -> dict[str, bool]:
    # A replaced data layer needs to know the keyword only when it is asked for.
    return {"include_expired": True} if include_expired else {}


@writing_call()
def add_enrollment(
    username: str,
    course_id: str,
    mode: str | None = None,
    is_active: bool = True,
    enrollment_attributes: Sequence[Mapping[str, Any]] | None = None,
    enterprise_uuid: str | None = None,
    force_enrollment: bool = False,
    include_expired: bool = False,
) -> EnrollmentDict:
    """
    Enroll a learner in a course, together with attributes (API-05…09).

    Args:
        username: The username.
        course_id: The course id.
        mode: Mode slug; ``None`` for the default mode (MODE-06).
        is_active: Whether the enrollment is active afterwards.
        enrollment_attributes: Dictionaries with ``namespace``, ``name`` and ``value``
            that replace all attributes; ``None`` keeps them.
        enterprise_uuid: The enterprise customer, if any.
        force_enrollment: Whether to lift the window and invitations.
        include_expired: Whether expired modes are allowed.

    Returns:
        The enrollment dictionary.

    Raises:
        CourseModeNotFoundError: The course does not offer the mode.
        CourseNotFoundError: No course has this id. It is checked before the user.
        UserNotFoundError: No user has this username.
        CourseEnrollmentClosedError: The learner cannot enroll now.
        CourseEnrollmentFullError: The course has no free seat.
        CourseEnrollmentExistsError: The learner is enrolled already; ``enrollment`` is
            the unchanged enrollment.
        EnrollmentNotAllowed: A filter or permission backend vetoed.
        InvalidEnrollmentAttribute: An attribute is incomplete, or cannot be stored.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    data = _data_api()
    if enrollment_attributes is not None:
        clean_attributes(enrollment_attributes)
    if is_active is False:
        kept = _keep_inactive(username, course_id, mode, enrollment_attributes)
        if kept is not None:
            return kept
    slug = _mode_to_enroll_in(username, course_id, mode, is_active, include_expired)
    create = partial(
        data.create_course_enrollment,
        username,
        course_id,
        slug,
        is_active,
        enterprise_uuid,
        force_enrollment=force_enrollment,
    )
    if enrollment_attributes is None:
        return create()
    return _with_attributes(create, username, course_id, enrollment_attributes)


def _keep_inactive(
    username: str,
    course_id: str,
    mode: str | None,
    attributes: Sequence[Mapping[str, Any]] | None,
) -> EnrollmentDict | None:
    """
    Return an inactive enrollment that stays as it is but for attributes (B-05).

    Return ``None`` if there is none in this mode, or its course is deleted.
    """
    data = _data_api()

    def read() -> EnrollmentDict | None:
        found = data.get_course_enrollment(username, course_id)
        if found is None or found["is_active"] or found["course_details"] is None:
            return None
        return found if mode in (None, found["mode"]) else None

    if attributes is None:
        return read()

    def write() -> EnrollmentDict | None:
        if read() is None:
            return None
        data.add_or_update_enrollment_attr(username, course_id, attributes)
        # It may have become active before its row was locked.
        kept = read()
        if kept is None:
            raise Conflict
        return kept

    return write_atomically(write)


def _with_attributes(
    write: Callable[[], EnrollmentT],
    username: str,
    course_id: str,
    attributes: Sequence[Mapping[str, Any]],
) -> EnrollmentT:
    """Write an enrollment and its attributes in one transaction."""

    def write_both() -> EnrollmentT:
        enrollment = write()
        if enrollment is not None:
            _data_api().add_or_update_enrollment_attr(username, course_id, attributes)
        return enrollment

    return write_atomically(write_both)


def _mode_to_enroll_in(
    username: str,
    course_id: str,
    mode: str | None,
    is_active: bool,
    include_expired: bool,
) -> str | None:
    """
    Choose and check the mode of a new enrollment (API-06).

    Raises:
        CourseModeNotFoundError: The course does not offer it, and the learner is not
            in already. An active learner keeps the mode (B-14).
    """
    data = _data_api()
    if mode is not None:
        validate_course_mode(course_id, mode, is_active, include_expired)
        return mode
    info = data.get_course_enrollment_info(course_id, include_expired=False)
    slugs = [one["slug"] for one in info["course_modes"]]
    chosen = default_slug([slug for slug in slugs if slug != CourseMode.CREDIT])
    if chosen not in slugs:
        existing = data.get_course_enrollment(username, course_id)
        if not (existing and existing["is_active"]):
            validate_course_mode(course_id, chosen, is_active, include_expired)
    return chosen


def write_atomically(write: Callable[[], T]) -> T:
    """
    Call a function in one transaction, which its first write begins.

    A conflict rolls it back and calls the function again.

    Args:
        write: Changes an enrollment, and stores more with it.
    """
    using = write_alias()
    # Another data layer may put transactions of its own around a part of it.
    one_transaction = (
        lazy_transaction if _data_api() is default_data else write_transaction
    )

    def attempt(_lock: bool) -> T:
        with conflict_on_integrity_error(), one_transaction(using):
            return write()

    return retry_on_conflict(attempt, using=using)


@writing_call()
def update_enrollment(
    username: str,
    course_id: str,
    mode: str | None = None,
    is_active: bool | None = None,
    enrollment_attributes: Sequence[Mapping[str, Any]] | None = None,
    include_expired: bool = False,
) -> EnrollmentDict:
    """
    Change the mode, the activation or the attributes of an enrollment (API-10…13).

    No permission is checked. An enrollment that becomes active needs a seat.

    Args:
        username: The username.
        course_id: The course id.
        mode: Mode slug; ``None`` keeps the mode.
        is_active: Whether the enrollment is active afterwards; ``None`` keeps it.
        enrollment_attributes: Dictionaries with ``namespace``, ``name`` and ``value``
            that replace all attributes; ``None`` keeps them.
        include_expired: Whether expired modes are allowed.

    Returns:
        The enrollment dictionary.

    Raises:
        CourseModeNotFoundError: The course does not offer the mode.
        CourseNotFoundError: A mode is given, and no course has this id.
        UserNotFoundError: No user has this username.
        EnrollmentNotFoundError: The learner has no enrollment in the course.
        CourseEnrollmentFullError: It would become active, and the course has no free
            seat.
        EnrollmentNotAllowed: A filter vetoed.
        InvalidEnrollmentAttribute: An attribute is incomplete, or cannot be stored.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    data = _data_api()
    # Only what may be a course id is fit for a log line.
    safe_id = find_course_id(course_id)
    logger.info("Starting an enrollment update in course %s.", safe_id)
    if enrollment_attributes is not None:
        clean_attributes(enrollment_attributes)
    if mode is not None:
        validate_course_mode(course_id, mode, is_active, include_expired)
    update = partial(
        data.update_course_enrollment,
        username,
        course_id,
        mode=mode,
        is_active=is_active,
    )
    if enrollment_attributes is None:
        enrollment = update()
    else:
        enrollment = _with_attributes(
            update, username, course_id, enrollment_attributes
        )
    if enrollment is None:
        raise EnrollmentNotFoundError(
            f"Course Enrollment not found for user {username} in course {course_id}"
        )
    logger.info("Finished an enrollment update in course %s.", safe_id)
    return enrollment


def get_course_enrollment_details(
    course_id: str, include_expired: bool = False
) -> CourseDict:
    """
    Return a course and its modes, from a cache (API-14, CACHE).

    Args:
        course_id: The course id.
        include_expired: Whether to include expired modes.

    Returns:
        The course dictionary (V1-SER-05).

    Raises:
        CourseNotFoundError: No course has this id, or the id is not valid.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    include_expired = bool(include_expired)
    read: Callable[[], CourseDict] = partial(
        _data_api().get_course_enrollment_info,
        course_id,
        include_expired=include_expired,
    )
    with call_context() as call:
        text = find_course_id(course_id)
        # What the call has read before may be older than the cache.
        if text is None or call.readings:
            return read()
        return course_details_cache.cached_details(
            text, read, include_expired=include_expired, at=call.at
        )


@writing_call()
def set_enrollment_attributes(
    username: str, course_id: str, attributes: Sequence[Mapping[str, Any]]
) -> None:
    """
    Replace all attributes of an enrollment, if there is one (API-15).

    Args:
        username: The username.
        course_id: The course id.
        attributes: Dictionaries with ``namespace``, ``name`` and ``value``.

    Raises:
        InvalidEnrollmentAttribute: An attribute is incomplete, or cannot be stored.
        UserNotFoundError: No user has this username.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    _data_api().add_or_update_enrollment_attr(username, course_id, attributes)


def get_enrollment_attributes(username: str, course_id: str) -> list[AttributeDict]:
    """
    Return the attributes of an enrollment (API-16).

    Returns:
        Dictionaries with ``namespace``, ``name`` and ``value``; an empty list without
        an enrollment.

    Raises:
        UserNotFoundError: No user has this username.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().get_enrollment_attributes(username, course_id)


def validate_course_mode(
    course_id: str,
    mode: str,
    is_active: bool | None = None,
    include_expired: bool = False,
) -> None:
    """
    Raise an error if a course does not offer a mode (API-17, MODE-08…10).

    Args:
        course_id: The course id.
        mode: Mode slug.
        is_active: ``False`` to unenroll, which is allowed in an expired mode.
        include_expired: Whether expired modes are allowed.

    Raises:
        CourseModeNotFoundError: The course does not offer the mode. ``data`` is the
            course dictionary, with the modes that it offers.
        CourseNotFoundError: No course has this id, or the id is not valid.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    with call_context():
        info = _data_api().get_course_enrollment_info(
            course_id, include_expired=bool(include_expired) or is_active is False
        )
    offered = [one["slug"] for one in info["course_modes"]]
    if mode not in offered:
        text = unavailable_text(mode, info["course_id"], offered)
        raise CourseModeNotFoundError(text, info)


@writing_call()
def unenroll_user_from_all_courses(username: str) -> list[str]:
    """
    Unenroll a learner from all courses, or from none if anything fails (API-18).

    Returns:
        The organizations of the courses, sorted, without duplicates.

    Raises:
        UserNotFoundError: No user has this username.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    left = unenroll_user_and_list_courses(username)
    return sorted(set(get_course_adapter().orgs_of(left)))


@writing_call()
def unenroll_user_and_list_courses(username: str) -> list[str]:
    """
    Unenroll a learner from all courses, and return the course ids, sorted.

    Raises:
        UserNotFoundError: No user has this username.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().unenroll_user_from_all_courses(username)


def get_user_roles(username: str) -> set[CourseAccessRole]:
    """
    Return all roles of a user on courses and organizations (API-19).

    Raises:
        UserNotFoundError: No user has this username.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().get_user_roles(username)


def serialize_enrollments(
    enrollments: Iterable[CourseEnrollment],
) -> list[EnrollmentDict]:
    """
    Return enrollments as dictionaries, including those of deleted courses (API-20).

    Args:
        enrollments: A queryset, or an iterable of instances. A queryset is read here,
            even if it has been evaluated; a list of its rows is not read again.

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().serialize_enrollments(enrollments)


def is_enrollment_valid_for_proctoring(username: str, course_id: object) -> bool:
    """
    Return whether a learner can take proctored exams of a course (API-21, PROC).

    Args:
        username: The username.
        course_id: The course, its id, or an object whose ``str()`` is the id.

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    if not conf.ENROLLMENTS_ENABLE_SPECIAL_EXAMS:
        return False
    with call_context() as call:
        text = find_course_id(course_id)
        enrollment = None if text is None else get_enrollment(username, text)
        if enrollment is None or not enrollment["is_active"]:
            return False
        info = find_course_info(course_id, call)
        if info is None or not info.facts.enable_proctored_exams:
            return False
        return enrollment["mode"] in proctored_modes(info.facts)


def explain_enrollment(
    username: str, course_id: str, mode: str | None = None
) -> ExplanationDict:
    """
    Return whether a learner can enroll, with all reasons for a refusal.

    It evaluates the same rules as enrolling, filters included, and writes nothing.

    Args:
        username: The username.
        course_id: The course id.
        mode: Mode slug; ``None`` for the default mode (MODE-06).

    Returns:
        ``{"allowed": bool, "reasons": [{"code", "message", "changes_at"}], "seats":
        {"capacity", "taken", "left"}, "mode"}``. ``changes_at`` is the time at which a
        refusal ends by itself, as ISO 8601 text, or ``None``.

    Raises:
        CourseNotFoundError: No course has this id, or the id is not valid.
        UserNotFoundError: No user has this username.
    """
    with call_context() as call:
        info = get_course_info(course_id, call)
        user = get_user(username)
        source = current_origin().source
        return eligibility.explain(user, info, mode=mode, call=call, source=source)


@overload
def bulk_enroll(
    course_id: object,
    usernames: Iterable[str] = ...,
    emails: Iterable[str] = ...,
    mode: str | None = ...,
    action: str = ...,
    *,
    stream: Literal[False] = ...,
    **options: Unpack[BulkOptions],
) -> list[BulkResultDict]: ...


@overload
def bulk_enroll(
    course_id: object,
    usernames: Iterable[str] = ...,
    emails: Iterable[str] = ...,
    mode: str | None = ...,
    action: str = ...,
    *,
    stream: Literal[True],
    **options: Unpack[BulkOptions],
) -> Iterator[BulkResultDict]: ...


def bulk_enroll(
    course_id: object,
    usernames: Iterable[str] = (),
    emails: Iterable[str] = (),
    mode: str | None = None,
    action: str = "enroll",
    *,
    stream: bool = False,
    force: bool = False,
    over_capacity: bool = False,
    skip_refund: bool = False,
    actor: Any = None,
    reason: str = "",
    source: str = "bulk",
    at: datetime | None = None,
) -> list[BulkResultDict] | Iterator[BulkResultDict]:
    """
    Enroll or unenroll many learners in one course, in batches.

    A row that fails does not stop the others. Rules, history and signals are those of
    single enrollments. Each batch is committed. The number of queries depends on the
    number of batches.

    Args:
        course_id: The course id.
        usernames: Usernames, read batch by batch.
        emails: E-mail addresses, read batch by batch. An address without an account is
            invited, and enrolled once the account exists.
        mode: Mode slug for all learners; ``None`` for the default mode. A given mode
            also changes the mode of enrolled learners.
        action: ``enroll`` or ``unenroll``.
        stream: Whether to return an iterator instead of a list. It processes a batch
            when the first result of that batch is requested, and keeps no results.
        force: Whether to lift the window and invitations.
        over_capacity: Whether to lift the number of seats.
        skip_refund: Whether receivers should skip the refunds.
        actor: The acting user, as an instance or primary key.
        reason: Free text, stored in the history.
        source: One of :data:`django_enrollments.context.SOURCES`, or a host's own.
        at: Aware datetime of the changes; ``None`` for now, in a stream the time of
            each batch.

    Returns:
        One result per row, in order, usernames first: ``{"identifier", "status",
        "code", "message"}``. The statuses are ``created``, ``reactivated``,
        ``mode_changed``, ``unchanged``, ``deactivated``, ``invited``, ``uninvited`` and
        ``error``. A row also is an error if the database or a filter of the host fails.

    Raises:
        CourseNotFoundError: No course has this id, or the id is not valid. All errors
            but the last are raised before any row is read, also in a stream.
        CourseModeNotFoundError: The course does not offer the mode.
        CourseEnrollmentError: The action is unknown.
        TypeError: The usernames or addresses are a string instead of a list, or the
            actor is neither a user nor the primary key of one.
        django.db.Error: The database failed before any row was read, or ended the
            caller's transaction.
    """
    if isinstance(usernames, str | bytes) or isinstance(emails, str | bytes):
        raise TypeError("usernames and emails are lists; wrap a single one in [ ].")
    rows = chain(
        (bulk.Row(username, "username") for username in usernames),
        (bulk.Row(email, "email") for email in emails),
    )
    request = bulk.BulkRequest(
        course=course_id,
        action=action,
        mode=mode,
        force=force,
        over_capacity=over_capacity,
        skip_refund=skip_refund,
        origin=origin_of(actor=actor, source=source, reason=reason),
    )
    return (
        bulk.run(rows, request, at=at) if stream else bulk.run_all(rows, request, at=at)
    )


def rename_course_id(old: object, new: object) -> RenamedDict:
    """
    Move roles and invitations to the new id of a course (contract §5).

    Call it before or after you change the field that the course adapter maps to
    ``course_id``, in the same transaction. If a user has a role under both ids, one
    role is kept. If an address has two invitations, one is kept: the used one, else the
    one with ``auto_enroll``, else the one for the new id. Roles on an organization and
    the history do not change. Enrollments and modes refer to the primary key of the
    course. Another call changes nothing.

    Args:
        old: The stored old course id. Text need not match
            ``ENROLLMENTS_COURSE_ID_PATTERN``.
        new: The course, or its new id. It need not exist.

    Returns:
        ``{"roles": int, "invitations": int}``, the numbers of rows with the old id.

    Raises:
        CourseNotFoundError: One of the ids is not valid.
        CourseEnrollmentError: There were too many conflicts.
    """
    old_id, new_id = find_stored_course_id(old), find_course_id(new)
    if old_id is None:
        raise CourseNotFoundError(f"{old!r} is no course id.")
    if new_id is None:
        raise CourseNotFoundError(f"{new!r} is no course id.")
    if old_id == new_id:
        return {"roles": 0, "invitations": 0}
    with writing_call() as (_, using):
        moved = renaming.rename_course_id(old_id, new_id, using=using)
    after_commit(course_details_cache.invalidate_details, using=using)
    return moved
