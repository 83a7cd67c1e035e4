"""
The use cases by name: usernames and course ids in, plain dictionaries out.

The functions of the behaviour rules' section API go through the module named by
``ENROLLMENTS_DATA_API``; ``explain_enrollment``, ``bulk_enroll`` and
``rename_course_id`` do not. Every dictionary returned passes ``json.dumps``.
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from django_enrollments import data as default_data
from django_enrollments.conf import conf
from django_enrollments.context import current_origin, one_call, origin_of
from django_enrollments.core import bulk, course_details_cache, eligibility, renaming
from django_enrollments.core.attributes import (
    clean_attributes,
)
from django_enrollments.core.course_info import find_offer, get_offer
from django_enrollments.core.invitations import after_commit
from django_enrollments.core.modes import (
    default_slug,
    proctored_modes,
    unavailable_text,
)
from django_enrollments.core.transactions import (
    conflict_on_integrity_error,
    lazy_transaction,
    until_settled,
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
    CollaboratorNotLoaded,
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

    from django_enrollments.data import DataAPI
    from django_enrollments.payloads import (
        AttributeDict,
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
    try:
        found: DataAPI = load(DATA_API, path)
    except CollaboratorNotLoaded as error:
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
    List a learner's enrollments, oldest first (API-02).

    Args:
        username: What ``user.get_username()`` gives; an unknown one has none.
        include_inactive: Whether those the learner left are listed too.
        include_expired: Whether expired modes are listed in the courses.
        in_courses: Primary keys of the only courses; ``None`` for all. Another data
            layer than ours lists all of them nevertheless.

    Returns:
        Enrollment dictionaries (V1-SER-01).

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
        EnrollmentNotAllowed: A ``queryset`` filter vetoed.
    """
    data = _data_api()
    options = _expired_too(include_expired)
    if in_courses is not None and _is_ours(data):
        return default_data.get_course_enrollments(
            username, include_inactive, in_courses=in_courses, **options
        )
    return data.get_course_enrollments(username, include_inactive, **options)


def get_verified_enrollments(
    username: str, include_inactive: bool = False
) -> list[EnrollmentDict]:
    """
    List a learner's enrollments in verified modes (API-03, MODE-11).

    Args:
        username: What ``user.get_username()`` gives; an unknown one has none.
        include_inactive: Whether those the learner left are listed too.

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
    Return a learner's enrollment in a course, active or not (API-04).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        include_expired: Whether expired modes are listed in the course.

    Returns:
        The enrollment dictionary, or ``None`` when there is none.

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().get_course_enrollment(
        username, course_id, **_expired_too(include_expired)
    )


def _is_ours(data: object) -> bool:
    return data is default_data


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
    Enroll a learner in a course, with attributes or not at all (API-05…09).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        mode: Mode slug; ``None`` for the default (MODE-06).
        is_active: Whether the learner is in the course afterwards.
        enrollment_attributes: Dictionaries with ``namespace``, ``name`` and ``value``
            that replace all attributes; ``None`` touches none.
        enterprise_uuid: The enterprise customer behind it, if any.
        force_enrollment: Whether window and invitations are lifted.
        include_expired: Whether expired modes count as offered.

    Returns:
        The enrollment dictionary.

    Raises:
        CourseModeNotFoundError: The course does not offer the mode now.
        CourseNotFoundError: No course has this id; told before anything of the user.
        UserNotFoundError: No user has this name.
        CourseEnrollmentClosedError: The learner may not enroll now.
        CourseEnrollmentFullError: No seat is left.
        CourseEnrollmentExistsError: The learner is in already; ``enrollment`` is the
            enrollment as it is.
        EnrollmentNotAllowed: A filter or permission backend vetoed.
        InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    data = _data_api()
    if enrollment_attributes is not None:
        clean_attributes(enrollment_attributes)
    with one_call():
        if is_active is False:
            # Asked to be inactive, an inactive one stays as it is (B-05).
            existing = data.get_course_enrollment(username, course_id)
            if (
                existing
                and not existing["is_active"]
                and mode in (None, existing["mode"])
            ):
                if enrollment_attributes is not None:
                    data.add_or_update_enrollment_attr(
                        username, course_id, enrollment_attributes
                    )
                return existing
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
        return _with_attributes(create, username, course_id, enrollment_attributes)


def _with_attributes(
    write: Callable[[], EnrollmentT],
    username: str,
    course_id: str,
    attributes: Sequence[Mapping[str, Any]] | None,
) -> EnrollmentT:
    """Write an enrollment and, if given, its attributes, in one transaction."""
    if attributes is None:
        return write()

    def write_both() -> EnrollmentT:
        enrollment = write()
        if enrollment is not None:
            _data_api().add_or_update_enrollment_attr(username, course_id, attributes)
        return enrollment

    return write_as_a_whole(write_both)


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
            in already; for who is, no mode at all is as good as any (B-14).
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


def write_as_a_whole(write: Callable[[], T]) -> T:
    """
    Call a function in one transaction, which its first write begins.

    A conflict rolls it back and calls the function again.

    Args:
        write: Changes an enrollment, and stores more with it.
    """
    using = write_alias()
    # Another data layer may put transactions of its own around a part of it.
    one_transaction = lazy_transaction if _is_ours(_data_api()) else write_transaction

    def attempt(_lock: bool) -> T:
        with conflict_on_integrity_error(), one_transaction(using):
            return write()

    return until_settled(attempt, using=using)


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
    Change mode, activation or attributes of an enrollment (API-10…13).

    Asks for no access; whatever becomes active needs a seat.

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        mode: Mode slug; ``None`` leaves it.
        is_active: Whether the learner is in the course; ``None`` leaves it.
        enrollment_attributes: Dictionaries with ``namespace``, ``name`` and ``value``
            that replace all attributes; ``None`` touches none.
        include_expired: Whether expired modes count as offered.

    Returns:
        The enrollment dictionary.

    Raises:
        CourseModeNotFoundError: The course does not offer the mode now.
        CourseNotFoundError: A mode was given and no course has this id.
        UserNotFoundError: No user has this name.
        EnrollmentNotFoundError: The learner has never been in the course.
        CourseEnrollmentFullError: It would become active and no seat is left.
        EnrollmentNotAllowed: A filter vetoed.
        InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    data = _data_api()
    # Only what may be a course id is fit for a log line.
    told = find_course_id(course_id)
    logger.info("Starting an enrollment update in course %s.", told)
    if enrollment_attributes is not None:
        clean_attributes(enrollment_attributes)
    with one_call():
        if mode is not None:
            validate_course_mode(course_id, mode, is_active, include_expired)

        update = partial(
            data.update_course_enrollment,
            username,
            course_id,
            mode=mode,
            is_active=is_active,
        )
        enrollment = _with_attributes(
            update, username, course_id, enrollment_attributes
        )
        if enrollment is None:
            raise EnrollmentNotFoundError(
                f"Course Enrollment not found for user {username} in course {course_id}"
            )
    logger.info("Finished an enrollment update in course %s.", told)
    return enrollment


def get_course_enrollment_details(
    course_id: str, include_expired: bool = False
) -> CourseDict:
    """
    Return a course as enrolling sees it, from a short-lived cache (API-14, CACHE).

    Args:
        course_id: The course id.
        include_expired: Whether expired modes are listed too.

    Returns:
        The course dictionary (V1-SER-05).

    Raises:
        CourseNotFoundError: No course has this id, or it is no course id.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    include_expired = bool(include_expired)
    read: Callable[[], CourseDict] = partial(
        _data_api().get_course_enrollment_info,
        course_id,
        include_expired=include_expired,
    )
    with one_call() as call:
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
    Replace all attributes of an enrollment; nothing happens without one (API-15).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        attributes: Dictionaries with ``namespace``, ``name`` and ``value``.

    Raises:
        InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
        UserNotFoundError: No user has this name.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    _data_api().add_or_update_enrollment_attr(username, course_id, attributes)


def get_enrollment_attributes(username: str, course_id: str) -> list[AttributeDict]:
    """
    List the attributes of an enrollment (API-16).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.

    Returns:
        Dictionaries with ``namespace``, ``name`` and ``value``; none without an
        enrollment.

    Raises:
        UserNotFoundError: No user has this name.
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
    Check that a course offers a mode now (API-17, MODE-08…10).

    Args:
        course_id: The course id.
        mode: Mode slug.
        is_active: ``False`` when the learner is to leave, for which an expired mode
            will do.
        include_expired: Whether expired modes count anyway.

    Raises:
        CourseModeNotFoundError: It does not; ``data`` is the course dictionary with
            the modes considered.
        CourseNotFoundError: No course has this id, or it is no course id.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    with one_call():
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
    Take a learner out of every course, all or none (API-18).

    Args:
        username: What ``user.get_username()`` gives.

    Returns:
        The organisations of the courses left, sorted, each once.

    Raises:
        UserNotFoundError: No user has this name.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    left = leave_all_courses(username)
    return sorted(set(get_course_adapter().orgs_of(left)))


@writing_call()
def leave_all_courses(username: str) -> list[str]:
    """
    Do what :func:`unenroll_user_from_all_courses` does, and give the courses.

    Args:
        username: What ``user.get_username()`` gives.

    Returns:
        The ids of the courses left, sorted.

    Raises:
        UserNotFoundError: No user has this name.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().unenroll_user_from_all_courses(username)


def get_user_roles(username: str) -> set[CourseAccessRole]:
    """
    Return all course and organisation roles of a user (API-19).

    Args:
        username: What ``user.get_username()`` gives.

    Raises:
        UserNotFoundError: No user has this name.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().get_user_roles(username)


def serialize_enrollments(
    enrollments: Iterable[CourseEnrollment],
) -> list[EnrollmentDict]:
    """
    Return enrollments as :func:`get_enrollments` does, deleted courses too (API-20).

    Args:
        enrollments: A queryset or any iterable of instances.

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    return _data_api().serialize_enrollments(enrollments)


def is_enrollment_valid_for_proctoring(username: str, course_id: object) -> bool:
    """
    Return whether a learner may sit proctored exams of a course (API-21, PROC).

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course, its id, or anything whose ``str()`` that is.

    Raises:
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    if not conf.ENROLLMENTS_ENABLE_SPECIAL_EXAMS:
        return False
    with one_call() as call:
        text = find_course_id(course_id)
        enrollment = None if text is None else get_enrollment(username, text)
        if enrollment is None or not enrollment["is_active"]:
            return False
        offer = find_offer(course_id, call)
        if offer is None or not offer.facts.enable_proctored_exams:
            return False
        return enrollment["mode"] in proctored_modes(offer.facts)


def explain_enrollment(
    username: str, course_id: str, mode: str | None = None
) -> ExplanationDict:
    """
    Return whether a learner may enroll, and every reason why not.

    Runs the very rules that enrolling runs, filters included, and writes nothing.

    Args:
        username: What ``user.get_username()`` gives.
        course_id: The course id.
        mode: Mode slug asked for; ``None`` for the default (MODE-06).

    Returns:
        ``{"allowed": bool, "reasons": [{"code", "message", "changes_at"}], "seats":
        {"capacity", "taken", "left"}, "mode"}``; ``changes_at`` is when a refusal ends
        by itself, as ISO 8601 text, or ``None``.

    Raises:
        CourseNotFoundError: No course has this id, or it is no course id.
        UserNotFoundError: No user has this name.
    """
    with one_call() as call:
        offer = get_offer(course_id, call)
        user = get_user(username)
        source = current_origin().source
        return eligibility.explain(user, offer, mode=mode, call=call, source=source)


@overload
def bulk_enroll(
    course_id: object,
    usernames: Iterable[str] = ...,
    emails: Iterable[str] = ...,
    mode: str | None = ...,
    action: str = ...,
    *,
    stream: Literal[False] = ...,
    force: bool = ...,
    over_capacity: bool = ...,
    skip_refund: bool = ...,
    actor: Any = ...,
    reason: str = ...,
    source: str = ...,
    at: datetime | None = ...,
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
    force: bool = ...,
    over_capacity: bool = ...,
    skip_refund: bool = ...,
    actor: Any = ...,
    reason: str = ...,
    source: str = ...,
    at: datetime | None = ...,
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
    Enroll or unenroll many learners in one course, batch by batch.

    A bad row never stops a good one; queries grow with the batches, not with the rows;
    rules, history and signals are those of enrolling one by one. Each batch is
    committed by itself.

    Args:
        course_id: The course id.
        usernames: Names of learners, read as the batches need them.
        emails: Addresses of learners, likewise; one without an account is invited, and
            enrolled when the account appears.
        mode: Mode slug for all; ``None`` for the default. An explicit mode changes
            that of learners who are in already.
        action: ``enroll`` or ``unenroll``.
        stream: Whether to give the results one by one instead of all in a list. Then a
            batch is worked through when its first result is asked for, so nothing
            happens before, nothing is kept for long, and whoever stops asking has
            whole batches done and none of the rest.
        force: Whether window and invitations are lifted.
        over_capacity: Whether seats are.
        skip_refund: Whether receivers are to skip the refunds.
        actor: The acting user, as an instance or primary key.
        reason: Free text, stored in the history.
        source: One of :data:`django_enrollments.context.SOURCES`, or the host's word.
        at: When, aware; the clock is read when ``None``, in a stream for each batch.

    Returns:
        One result per row, usernames first, in order: ``{"identifier", "status",
        "code", "message"}`` with the statuses ``created``, ``reactivated``,
        ``mode_changed``, ``unchanged``, ``deactivated``, ``invited``, ``uninvited``
        and ``error``. Rows at which something failed unexpectedly, be it the database
        or a filter of the host's, are errors too.

    Raises:
        CourseNotFoundError: No course has this id, or it is no course id; like
            everything but the last before any row is read, in a stream as well.
        CourseModeNotFoundError: The course does not offer the mode now.
        CourseEnrollmentError: The action is unknown.
        TypeError: Names or addresses are one string rather than a list,
            or the actor is no user, nor the primary key of one.
        django.db.Error: The database failed in a transaction of the caller's that is
            of no more use; or before any row was read.
    """
    if isinstance(usernames, str | bytes) or isinstance(emails, str | bytes):
        raise TypeError("usernames and emails are lists; wrap a single one in [ ].")
    rows = chain(
        (bulk.Row(username, "username") for username in usernames),
        (bulk.Row(email, "email") for email in emails),
    )
    terms = bulk.BulkTerms(
        course=course_id,
        action=action,
        mode=mode,
        force=force,
        over_capacity=over_capacity,
        skip_refund=skip_refund,
        origin=origin_of(actor=actor, source=source, reason=reason),
    )
    return bulk.run(rows, terms, at=at) if stream else bulk.run_all(rows, terms, at=at)


def rename_course_id(old: object, new: object) -> RenamedDict:
    """
    Move roles and invitations to the new id of a course (contract §5).

    For hosts that change what the course adapter reads as ``course_id``, before or
    after the change, best within the same transaction. A role that its holder has
    under the new id as well is merged. Of two invitations of one address a used one is
    kept, else one with ``auto_enroll``, else the one to the new id. Roles on an
    organization stay as they are, and so does the history, which holds the id of its
    time. Enrollments and modes refer to the primary key of the course and are not
    touched. Calling it again changes nothing.

    Args:
        old: The course id until now, as it is stored; a text need not match
            ``ENROLLMENTS_COURSE_ID_PATTERN``.
        new: The course, or its id from now on. It need not exist.

    Returns:
        ``{"roles": int, "invitations": int}``: how many of them held the old id.

    Raises:
        CourseNotFoundError: One of the two is no course id.
        CourseEnrollmentError: Concurrent changes did not end.
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
    after_commit(course_details_cache.drop_details, using=using)
    return moved
