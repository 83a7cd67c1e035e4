"""The service, for host code."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Literal, overload

from django.contrib.auth import get_user_model
from django.db.models import Case, Q, Value, When

from django_enrollments.context import Call, call_context, origin_of, read_alias
from django_enrollments.core import bulk, eligibility, lifecycle
from django_enrollments.core.attributes import (
    clean_attributes,
    replace_attributes,
)
from django_enrollments.core.course_info import (
    CourseInfo,
    deleted_course_info,
    find_course_info,
    get_course_info,
    get_course_infos,
)
from django_enrollments.core.history import clean_enterprise_uuid
from django_enrollments.core.modes import proctored_modes
from django_enrollments.core.seats import read_seats, read_seats_of_many
from django_enrollments.core.transactions import (
    conflict_on_integrity_error,
    lock_enrollment,
    retry_on_conflict,
    write_alias,
    write_transaction,
    writing_call,
)
from django_enrollments.errors import EnrollmentNotFoundError, UserNotFoundError
from django_enrollments.identifiers import (
    find_course_id,
    find_stored_course_id,
    find_user_key,
)
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    EnrollmentEvent,
)
from django_enrollments.models.fields import searchable
from django_enrollments.text import is_storable
from django_enrollments.users import email_field, get_user_by_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet
    from typing_extensions import Unpack

    from django_enrollments.context import Origin
    from django_enrollments.core.changes import Change
    from django_enrollments.models.enrollments import CourseEnrollmentQuerySet
    from django_enrollments.models.invitations import CourseEnrollmentAllowedQuerySet
    from django_enrollments.payloads import (
        AttributeDict,
        BulkOptions,
        BulkResultDict,
        ExplanationDict,
        SeatsDict,
    )

#: The most courses in one query.
COURSES_PER_BATCH = 1_000


class EnrollmentsService:
    """
    The enrollments, for host code: takes and returns instances.

    Users are instances or primary keys; courses are instances or course ids. A service
    has no state. All changes take four keyword arguments for the history:

    - ``actor``: the acting user, as an instance or primary key; ``None`` for a program.
    - ``reason``: free text.
    - ``source``: one of :data:`django_enrollments.context.SOURCES`, or a host's own.
    - ``at``: the aware datetime of the change, for imports; ``None`` for now.
    """

    def get_active_enrollments_by_course(
        self, course_id: object
    ) -> CourseEnrollmentQuerySet:
        """
        Return the active enrollments of a course (SVC-01).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.

        Returns:
            A queryset; empty for an unknown course.
        """
        rows = CourseEnrollment.objects.using(read_alias())
        return rows.in_course(course_id).active()

    def get_active_enrollments_by_course_and_user(
        self, course_id: object, user_id: Any
    ) -> CourseEnrollment | None:
        """
        Return a user's active enrollment in a course, or ``None`` (SVC-02).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
            user_id: Primary key of the user.

        Raises:
            AssertionError: No user has this key (SVC-03).
        """
        try:
            user = get_user_by_key(user_id)
        except UserNotFoundError as error:
            raise AssertionError(str(error)) from error
        active = self.get_active_enrollments_by_course(course_id)
        return active.filter(user=user).first()

    def get_enrollments_can_take_proctored_exams(
        self, course_id: object, text_search: str | None = None
    ) -> CourseEnrollmentQuerySet | None:
        """
        Return the enrollments whose learners can take proctored exams (SVC-04…08).

        Args:
            course_id: The course, its id, or an object whose ``str()`` is the id.
            text_search: Part of a username or e-mail address, in any case.

        Returns:
            A queryset with users, ordered by user, evaluated in one query; ``None`` if
            the course is unknown or has no proctored exams.
        """
        with call_context() as call:
            info = find_course_info(course_id, call)
        if info is None or not info.facts.enable_proctored_exams:
            return None
        rows = CourseEnrollment.objects.using(read_alias()).of_course_key(info.key)
        enrollments = rows.active().filter(mode__in=proctored_modes(info.facts))
        if text_search:
            enrollments = _search(enrollments, text_search)
        return enrollments.select_related("user").order_by("user_id", "course_id")

    def enroll(
        self,
        user: Any,
        course: Any,
        mode: str | None = None,
        *,
        force: bool = False,
        over_capacity: bool = False,
        attributes: Sequence[Mapping[str, Any]] | None = None,
        enterprise_uuid: str | None = None,
        actor: Any = None,
        reason: str = "",
        source: str = "service",
        at: datetime | None = None,
    ) -> CourseEnrollment:
        """
        Enroll a learner. An enrolled learner is not changed.

        Args:
            user: The learner.
            course: The course.
            mode: Mode slug; ``None`` for the default mode (MODE-06).
            force: Whether to lift the window and invitations.
            over_capacity: Whether to lift the number of seats. The reason is
                ``over_capacity`` if none is given.
            attributes: Dictionaries with ``namespace``, ``name`` and ``value``.
            enterprise_uuid: The enterprise customer, if any.

        Returns:
            The new, reactivated or unchanged enrollment.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course.
            CourseModeNotFoundError: The course does not offer the mode.
            CourseEnrollmentClosedError: The learner cannot enroll now.
            CourseEnrollmentFullError: The course has no free seat.
            EnrollmentNotAllowed: A filter or permission backend vetoed.
            InvalidEnrollmentAttribute: An attribute is incomplete, or cannot be stored.
            TypeError: The actor is neither a user nor the primary key of one.
        """
        outcome = _enroll(
            user,
            course,
            mode,
            if_active="keep",
            force=force,
            over_capacity=over_capacity,
            attributes=attributes,
            enterprise_uuid=enterprise_uuid,
            origin=origin_of(actor=actor, source=source, reason=reason),
            at=at,
        )
        return outcome.unwrap()

    @writing_call()
    def ensure_enrolled(
        self,
        user: Any,
        course: Any,
        mode: str | None = None,
        *,
        attributes: Sequence[Mapping[str, Any]] | None = None,
        force: bool = False,
        over_capacity: bool = False,
        enterprise_uuid: str | None = None,
        actor: Any = None,
        reason: str = "",
        source: str = "service",
        at: datetime | None = None,
    ) -> CourseEnrollment:
        """
        Create or change an enrollment so that it has the given state.

        Afterwards it is active, with ``mode`` and ``attributes`` if they are given.
        Another call with the same arguments changes nothing. The rules are those of
        :meth:`enroll` (contract §5).

        Args:
            mode: Mode slug; ``None`` keeps the mode of an active enrollment, and is the
                default mode otherwise (MODE-06).
            attributes: Dictionaries with ``namespace``, ``name`` and ``value`` that
                replace all attributes; ``None`` keeps them.

        The other arguments are those of :meth:`enroll`.

        Returns:
            The active enrollment.

        Raises:
            CourseEnrollmentError: As :meth:`enroll` raises.
            TypeError: The actor is neither a user nor the primary key of one.
        """
        using = write_alias()

        def attempt(_lock: bool) -> CourseEnrollment:
            outcome = _enroll(
                user,
                course,
                mode,
                if_active="change_mode",
                force=force,
                over_capacity=over_capacity,
                attributes=attributes,
                enterprise_uuid=enterprise_uuid,
                origin=origin_of(actor=actor, source=source, reason=reason),
                at=at,
            )
            enrollment = outcome.unwrap()
            if attributes is not None and outcome.status == "unchanged":
                _bring_attributes(enrollment, clean_attributes(attributes), using)
            return enrollment

        return retry_on_conflict(attempt, using=using)

    def unenroll(
        self,
        user: Any,
        course: Any,
        *,
        skip_refund: bool = False,
        actor: Any = None,
        reason: str = "",
        source: str = "service",
        at: datetime | None = None,
    ) -> CourseEnrollment:
        """
        Unenroll a learner. An inactive enrollment is not changed.

        Args:
            user: The learner.
            course: The course. For a deleted course, its id, if the id is the primary
                key.
            skip_refund: Whether receivers should skip the refund.

        Returns:
            The inactive enrollment.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course, and no enrollment in it.
            EnrollmentNotFoundError: The learner has no enrollment in the course.
            EnrollmentNotAllowed: A filter vetoed.
            TypeError: The actor is neither a user nor the primary key of one.
        """
        origin = origin_of(actor=actor, source=source, reason=reason)
        with writing_call(at) as (call, using):
            row, info = _get_row(user, course, call, using)
            (outcome,) = lifecycle.deactivate(
                [row],
                {row.course_id: info.course_id},
                options=lifecycle.ChangeOptions(
                    origin, call.at, using, skip_refund=skip_refund
                ),
                course=info.course,
            )
        return outcome.unwrap()

    def change_mode(
        self,
        user: Any,
        course: Any,
        mode: str,
        *,
        include_expired: bool = False,
        actor: Any = None,
        reason: str = "",
        source: str = "service",
        at: datetime | None = None,
    ) -> CourseEnrollment:
        """
        Change the mode of an enrollment, active or not.

        Args:
            user: The learner.
            course: The course.
            mode: Mode slug.
            include_expired: Whether expired modes are allowed.

        Returns:
            The enrollment in its new mode.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course.
            CourseModeNotFoundError: The course does not offer the mode.
            EnrollmentNotFoundError: The learner has no enrollment in the course.
            EnrollmentNotAllowed: A filter vetoed.
            TypeError: The actor is neither a user nor the primary key of one.
        """
        origin = origin_of(actor=actor, source=source, reason=reason)
        with writing_call(at) as (call, using):
            info = get_course_info(course, call, using)
            refusal = eligibility.refuse_mode(
                mode, info, at=call.at, include_expired=include_expired
            )
            if refusal:
                raise refusal.error
            row, info = _get_row(user, info.course, call, using, info)
            return lifecycle.change(
                row,
                info,
                mode=mode,
                is_active=None,
                options=lifecycle.ChangeOptions(origin, call.at, using),
            )

    def is_enrolled(self, user: Any, course: Any) -> bool:
        """
        Return whether a user has an active enrollment in a course.

        It is false for an anonymous user and for an unknown course.
        """
        enrollments = CourseEnrollment.objects.using(read_alias()).in_course(course)
        try:
            learner = get_user_by_key(user)
        except UserNotFoundError:
            return False
        return enrollments.active().filter(user=learner.pk).exists()

    @overload
    def bulk_enroll(
        self,
        course: Any,
        users: Iterable[Any],
        mode: str | None = ...,
        *,
        stream: Literal[False] = ...,
        action: str = ...,
        **options: Unpack[BulkOptions],
    ) -> list[BulkResultDict]: ...

    @overload
    def bulk_enroll(
        self,
        course: Any,
        users: Iterable[Any],
        mode: str | None = ...,
        *,
        stream: Literal[True],
        action: str = ...,
        **options: Unpack[BulkOptions],
    ) -> Iterator[BulkResultDict]: ...

    def bulk_enroll(
        self,
        course: Any,
        users: Iterable[Any],
        mode: str | None = None,
        *,
        stream: bool = False,
        action: str = "enroll",
        force: bool = False,
        over_capacity: bool = False,
        skip_refund: bool = False,
        actor: Any = None,
        reason: str = "",
        source: str = "bulk",
        at: datetime | None = None,
    ) -> list[BulkResultDict] | Iterator[BulkResultDict]:
        """
        Enroll or unenroll many users, like :func:`django_enrollments.api.bulk_enroll`.

        Args:
            course: The course.
            users: The learners, read batch by batch.
            mode: Mode slug for all learners; ``None`` for the default mode.
            stream: Whether to return an iterator that processes a batch when its first
                result is requested, and keeps no results.
            action: ``enroll`` or ``unenroll``.
            force: Whether to lift the window and invitations.
            over_capacity: Whether to lift the number of seats.
            skip_refund: Whether receivers should skip the refunds.
            at: Aware datetime of the changes; ``None`` for now, in a stream the time of
                each batch.

        Returns:
            One result per user, in order. ``identifier`` is the username of an
            instance, or the given key.

        Raises:
            CourseNotFoundError: There is no such course.
            CourseModeNotFoundError: The course does not offer the mode.
            CourseEnrollmentError: The action is unknown.
            TypeError: The users are a string instead of a list, or the actor is neither
                a user nor the primary key of one.
            django.db.Error: As in :func:`django_enrollments.api.bulk_enroll`.
        """
        if isinstance(users, str | bytes):
            raise TypeError("users is a list; wrap a single one in [ ].")
        rows = (bulk.Row(user, "key") for user in users)
        request = bulk.BulkRequest(
            course=course,
            action=action,
            mode=mode,
            force=force,
            over_capacity=over_capacity,
            skip_refund=skip_refund,
            origin=origin_of(actor=actor, source=source, reason=reason),
        )
        if stream:
            return bulk.run(rows, request, at=at)
        return bulk.run_all(rows, request, at=at)

    def explain(
        self, user: Any, course: Any, mode: str | None = None
    ) -> ExplanationDict:
        """
        Return whether a user can enroll, like ``api.explain_enrollment``.

        Args:
            user: The user.
            course: The course.
            mode: Mode slug; ``None`` for the default mode (MODE-06).

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course.
        """
        with call_context() as call:
            info = get_course_info(course, call)
            learner = get_user_by_key(user)
            return eligibility.explain(
                learner, info, mode=mode, call=call, source="service"
            )

    def explain_many(
        self, user: Any, courses: Iterable[Any], mode: str | None = None
    ) -> dict[str, ExplanationDict]:
        """
        Return the result of :meth:`explain` for each of many courses (contract §5).

        The number of statements is the same for 1 and for 1,000 courses, not counting
        those of the host's filters and permission backends.

        Args:
            user: The user.
            courses: Courses, as instances or course ids.
            mode: Mode slug; ``None`` for the default mode (MODE-06).

        Returns:
            A dictionary by course id, in the order of the courses.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: One of the courses does not exist.
            TypeError: The courses are a string instead of a list.
        """
        explained: dict[str, ExplanationDict] = {}
        with call_context() as call:
            batches = [*_batches_of_courses(courses, call)]
            learner = get_user_by_key(user)
            for infos in batches:
                explained |= eligibility.explain_many(
                    learner, infos, mode=mode, call=call, source="service"
                )
        return explained

    def seats(self, course: Any) -> SeatsDict:
        """
        Return the seats of a course, in two queries.

        They are the ``seats`` of :meth:`explain`: course staff take none (CAP-03). The
        numbers are for display. Enrolling counts the seats again, under a lock.

        Args:
            course: The course.

        Raises:
            CourseNotFoundError: There is no such course.
        """
        with call_context() as call:
            return read_seats(get_course_info(course, call)).as_data()

    def seats_many(self, courses: Iterable[Any]) -> dict[str, SeatsDict]:
        """
        Return the seats of many courses, as :meth:`seats` does for one.

        The number of queries is the same for 1 and for 1,000 courses: at most five.

        Args:
            courses: Courses, as instances or course ids.

        Returns:
            A dictionary by course id, in the order of the courses.

        Raises:
            CourseNotFoundError: One of the courses does not exist.
            TypeError: The courses are a string instead of a list.
        """
        seats: dict[str, SeatsDict] = {}
        with call_context() as call:
            for infos in _batches_of_courses(courses, call):
                by_key, _ = read_seats_of_many(infos)
                seats |= {one.course_id: by_key[one.key].as_data() for one in infos}
        return seats

    def roster(
        self, course: Any, *, search: str | None = None
    ) -> CourseEnrollmentQuerySet:
        """
        Return the enrollments in a course, active or not, with their users.

        A page of them is one query, usernames included. Filter, sort and slice the
        queryset as you like.

        Args:
            course: The course.
            search: Part of a username or e-mail address, in any case (SVC-06).

        Returns:
            A queryset, ordered by user; empty for an unknown course.
        """
        rows = CourseEnrollment.objects.using(read_alias()).in_course(course)
        if search:
            rows = _search(rows, search)
        return rows.select_related("user").order_by("user_id", "course_id")

    def list_by_user(self, user: Any) -> CourseEnrollmentQuerySet:
        """
        Return a user's enrollments, active or not, with their courses.

        A page of them is two queries, one for the enrollments and one for the courses.
        Enrollments in deleted courses are included. Reading their ``course`` raises
        ``DoesNotExist``, without a query. Django 5.2 on SQLite reads at most 900
        courses at once: for more, use ``iterator(chunk_size=500)``.

        Args:
            user: The user.

        Returns:
            A queryset, newest first; empty for an unknown or an anonymous user.
        """
        rows = CourseEnrollment.objects.using(read_alias()).filter(user=_key_of(user))
        # The inner join of select_related() leaves out deleted courses.
        return rows.prefetch_related("course").order_by("-created", "-pk")

    def history(
        self, user: Any = None, course: Any = None
    ) -> QuerySet[EnrollmentEvent]:
        """
        Return the events of a user, of a course, or of a user in a course.

        A page of them is one query, actors included. Events of deleted users and
        courses are included. There is an index by user and none by course: without a
        user, the query reads the table from its end until the page is full.

        Args:
            user: The user; the primary key of a deleted user.
            course: The course; the course id of a deleted course. Events keep the
                course id that the course had at the time.

        Returns:
            A queryset, newest first. ``event.actor`` is ``None`` for a program and for
            a deleted user.

        Raises:
            TypeError: Neither a user nor a course is given.
        """
        if user is None and course is None:
            raise TypeError("history() takes a user, a course, or both.")
        events = EnrollmentEvent.objects.using(read_alias())
        if user is not None:
            events = events.filter(user=_key_of(user))
        if course is not None:
            events = events.filter(course_id=find_stored_course_id(course))
        return events.select_related("actor").order_by("-pk")

    def open_invitations(self, course: Any) -> CourseEnrollmentAllowedQuerySet:
        """
        Return the invitations to a course that are not used yet.

        Args:
            course: The course, or the id of a course that does not exist yet.

        Returns:
            A queryset, oldest first.
        """
        invitations = CourseEnrollmentAllowed.may_enroll_and_unenrolled(course)
        return invitations.using(read_alias()).order_by("pk")


def _key_of(user: Any) -> Any | None:
    """Return the primary key of a user, from an instance or a key, or ``None``."""
    if isinstance(user, get_user_model()):
        return user.pk
    return find_user_key(user)


def _batches_of_courses(
    courses: Iterable[Any], call: Call
) -> Iterator[list[CourseInfo]]:
    """
    Return courses in batches.

    Raises:
        CourseNotFoundError: One of the courses does not exist.
        TypeError: The courses are a string instead of a list.
    """
    if isinstance(courses, str | bytes):
        raise TypeError("courses is a list; wrap a single one in [ ].")
    given = list(courses)
    for start in range(0, len(given), COURSES_PER_BATCH):
        yield get_course_infos(given[start : start + COURSES_PER_BATCH], call)


def _enroll(
    user: Any,
    course: Any,
    mode: str | None,
    *,
    if_active: Literal["keep", "change_mode"],
    force: bool,
    over_capacity: bool,
    attributes: Sequence[Mapping[str, Any]] | None,
    enterprise_uuid: str | None,
    origin: Origin,
    at: datetime | None,
) -> Change:
    """
    Enroll a learner by the learner's rules.

    Raises:
        UserNotFoundError: There is no such user.
        CourseNotFoundError: There is no such course.
        InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
    """
    cleaned = None if attributes is None else clean_attributes(attributes)
    with writing_call(at) as (call, using):
        info = get_course_info(course, call, using)
        learner = get_user_by_key(user, using)
        (outcome,) = lifecycle.enroll(
            [learner],
            info,
            mode=mode,
            options=lifecycle.ChangeOptions(
                origin,
                call.at,
                using,
                access=force is not True,
                seats=over_capacity is not True,
                if_active=if_active,
                enterprise_uuid=clean_enterprise_uuid(enterprise_uuid),
                attributes=cleaned,
            ),
        )
    return outcome


def _bring_attributes(
    enrollment: CourseEnrollment, wanted: Sequence[AttributeDict], using: str
) -> None:
    """
    Replace the attributes of an enrollment unless they are the wanted ones.

    Raises:
        Conflict: The enrollment has been deleted meanwhile.
    """
    with conflict_on_integrity_error(), write_transaction(using):
        lock_enrollment(enrollment, using=using)
        stored = CourseEnrollmentAttribute._default_manager.using(using)
        rows = stored.filter(enrollment=enrollment).order_by("pk")
        if list(rows.values("namespace", "name", "value")) != list(wanted):
            replace_attributes(enrollment, wanted, using=using)


def _search(
    enrollments: CourseEnrollmentQuerySet, text: str
) -> CourseEnrollmentQuerySet:
    """Keep those whose username or e-mail address contains a text (SVC-06)."""
    if not is_storable(text):
        return enrollments.none()
    users = get_user_model()
    columns = {
        f"enrollments_searched_{name}": searchable(users, name, "user__")
        for name in (users.USERNAME_FIELD, email_field())
        if name
    }
    enrollments = enrollments.alias(**columns)
    found = reduce(or_, (Q(**{f"{name}__icontains": text}) for name in columns))
    # As a bare condition on the join, PostgreSQL would look through all users before it
    # looks at the course.
    return enrollments.filter(Case(When(found, then=Value(True)), default=Value(False)))


def _get_row(
    user: Any,
    course: Any,
    call: Call,
    using: str,
    info: CourseInfo | None = None,
) -> tuple[CourseEnrollment, CourseInfo]:
    """
    Return a learner's row in a course with its user, and the course.

    Raises:
        UserNotFoundError: There is no such user.
        CourseNotFoundError: There is no such course, nor an enrollment in it.
        EnrollmentNotFoundError: The learner has never been in the course.
    """
    info = info or find_course_info(course, call, using)
    learner = get_user_by_key(user, using)
    rows = CourseEnrollment.objects.using(using).filter(user=learner.pk)
    if info is not None:
        row = rows.of_course_key(info.key).first()
    else:
        row = rows.in_course(course).first()
    if row is None and info is None:
        get_course_info(course, call, using)
    if row is None:
        raise EnrollmentNotFoundError("The learner has never been in the course.")
    row.remember_user(learner)
    text = find_course_id(course) or str(row.course_id)
    return row, info or deleted_course_info(row.course_id, text)
