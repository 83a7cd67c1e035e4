"""The one object that host code holds."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Literal, overload

from django.contrib.auth import get_user_model
from django.db.models import Case, Q, Value, When

from django_enrollments.context import Call, one_call, origin_of, read_alias
from django_enrollments.core import bulk, eligibility, lifecycle
from django_enrollments.core.attributes import (
    clean_attributes,
    replace_attributes,
)
from django_enrollments.core.course_info import (
    CourseOffer,
    find_offer,
    get_offer,
    get_offers,
    orphan_offer,
)
from django_enrollments.core.history import clean_enterprise_uuid
from django_enrollments.core.modes import proctored_modes
from django_enrollments.core.selectors import searchable
from django_enrollments.core.transactions import (
    conflict_on_integrity_error,
    lock_enrollment,
    until_settled,
    write_alias,
    write_transaction,
    writing_call,
)
from django_enrollments.errors import EnrollmentNotFoundError, UserNotFoundError
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAttribute
from django_enrollments.text import is_storable
from django_enrollments.users import email_field, get_user_by_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from django_enrollments.context import Origin
    from django_enrollments.core.changes import Change
    from django_enrollments.models.enrollments import CourseEnrollmentQuerySet
    from django_enrollments.payloads import (
        AttributeDict,
        BulkResultDict,
        ExplanationDict,
    )

#: How many courses are read at once.
COURSES_PER_BATCH = 500


class EnrollmentsService:
    """
    Enrollments for host code: users and courses in, instances out.

    Users are instances or primary keys, courses instances or course ids. Every change
    takes ``actor``, ``reason`` and ``source`` for the history, and ``at`` for imports
    of what happened earlier. Stateless; make as many as you like.
    """

    def get_active_enrollments_by_course(
        self, course_id: object
    ) -> CourseEnrollmentQuerySet:
        """
        Return the active enrollments of a course (SVC-01).

        Args:
            course_id: The course, its id, or anything whose ``str()`` that is.

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
            course_id: The course, its id, or anything whose ``str()`` that is.
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
        Return the enrollments whose learners may sit proctored exams (SVC-04…08).

        Args:
            course_id: The course, its id, or anything whose ``str()`` that is.
            text_search: Part of a username or e-mail address, in any case.

        Returns:
            A queryset with users, by user, evaluated in one query; ``None`` when the
            course is unknown or has no proctored exams.
        """
        with one_call() as call:
            offer = find_offer(course_id, call)
        if offer is None or not offer.facts.enable_proctored_exams:
            return None
        rows = CourseEnrollment.objects.using(read_alias()).of_course_key(offer.key)
        enrollments = rows.active().filter(mode__in=proctored_modes(offer.facts))
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
        Enroll a learner by the learner's rules; one already in stays as they are.

        Args:
            user: The learner.
            course: The course.
            mode: Mode slug; ``None`` for the default (MODE-06).
            force: Whether window and invitations are lifted.
            over_capacity: Whether seats are; the reason tells so when none is given.
            attributes: Dictionaries with ``namespace``, ``name`` and ``value``.
            enterprise_uuid: The enterprise customer behind it, if any.
            actor: The acting user, as an instance or primary key.
            reason: Free text, stored in the history.
            source: One of :data:`django_enrollments.context.SOURCES`, or another word.
            at: When, aware; the clock is read when ``None``.

        Returns:
            The enrollment, new, re-activated or as it was.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course.
            CourseModeNotFoundError: The course does not offer the mode now.
            CourseEnrollmentClosedError: The learner may not enroll now.
            CourseEnrollmentFullError: No seat is left.
            EnrollmentNotAllowed: A filter or permission backend vetoed.
            InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
            TypeError: The actor is no user, nor the primary key of one.
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
        Bring a learner into the state that a program knows they should be in.

        Afterwards the learner is active, in ``mode`` and with ``attributes`` where
        those are given, whatever was before. Calling it again changes and records
        nothing. It refuses as :meth:`enroll` does (contract §5).

        Args:
            user: The learner.
            course: The course.
            mode: Mode slug; ``None`` keeps that of an active learner, and is the
                default for all others (MODE-06).
            attributes: Dictionaries with ``namespace``, ``name`` and ``value``, which
                replace those of the enrollment; ``None`` leaves them.
            force: Whether window and invitations are lifted.
            over_capacity: Whether seats are; the reason is ``over_capacity`` when none
                is given.
            enterprise_uuid: The enterprise customer behind it, if any.
            actor: The acting user, as an instance or primary key.
            reason: Free text, stored in the history.
            source: One of :data:`django_enrollments.context.SOURCES`, or another word.
            at: When, aware; the clock is read when ``None``.

        Returns:
            The enrollment, active.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course.
            CourseModeNotFoundError: The course does not offer the mode now.
            CourseEnrollmentClosedError: The learner may not enroll now.
            CourseEnrollmentFullError: No seat is left.
            EnrollmentNotAllowed: A filter or permission backend vetoed.
            InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
            TypeError: The actor is no user, nor the primary key of one.
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

        return until_settled(attempt, using=using)

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
        Take a learner out of a course; one already out stays as they are.

        Args:
            user: The learner.
            course: The course; a deleted one by its id, where the id is its key.
            skip_refund: Whether receivers are to skip the refund.
            actor: The acting user, as an instance or primary key.
            reason: Free text, stored in the history.
            source: One of :data:`django_enrollments.context.SOURCES`, or another word.
            at: When, aware; the clock is read when ``None``.

        Returns:
            The enrollment, inactive.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course, nor an enrollment in it.
            EnrollmentNotFoundError: The learner has never been in the course.
            EnrollmentNotAllowed: A filter vetoed.
            TypeError: The actor is no user, nor the primary key of one.
        """
        origin = origin_of(actor=actor, source=source, reason=reason)
        with writing_call(at) as (call, using):
            row, offer = _get_row(user, course, call, using)
            (outcome,) = lifecycle.deactivate(
                [row],
                {row.course_id: offer.course_id},
                terms=lifecycle.Terms(origin, call.at, using, skip_refund=skip_refund),
                course=offer.course,
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
        Move an enrollment, active or not, to another mode of its course.

        Args:
            user: The learner.
            course: The course.
            mode: Mode slug.
            include_expired: Whether expired modes count as offered.
            actor: The acting user, as an instance or primary key.
            reason: Free text, stored in the history.
            source: One of :data:`django_enrollments.context.SOURCES`, or another word.
            at: When, aware; the clock is read when ``None``.

        Returns:
            The enrollment in its new mode.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course.
            CourseModeNotFoundError: The course does not offer the mode now.
            EnrollmentNotFoundError: The learner has never been in the course.
            EnrollmentNotAllowed: A filter vetoed.
            TypeError: The actor is no user, nor the primary key of one.
        """
        origin = origin_of(actor=actor, source=source, reason=reason)
        with writing_call(at) as (call, using):
            offer = get_offer(course, call, using)
            refusal = eligibility.judge_mode(
                mode, offer, at=call.at, include_expired=include_expired
            )
            if refusal:
                raise refusal.error
            row, offer = _get_row(user, offer.course, call, using, offer)
            return lifecycle.change(
                row,
                offer,
                mode=mode,
                is_active=None,
                terms=lifecycle.Terms(origin, call.at, using),
            )

    def is_enrolled(self, user: Any, course: Any) -> bool:
        """
        Return whether a user is in a course now.

        Args:
            user: The user; an anonymous one is in no course.
            course: The course; an unknown one has no learners.
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
        self,
        course: Any,
        users: Iterable[Any],
        mode: str | None = ...,
        *,
        stream: Literal[True],
        action: str = ...,
        force: bool = ...,
        over_capacity: bool = ...,
        skip_refund: bool = ...,
        actor: Any = ...,
        reason: str = ...,
        source: str = ...,
        at: datetime | None = ...,
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
        Enroll or unenroll many users, as :func:`django_enrollments.api.bulk_enroll`.

        Args:
            course: The course.
            users: The learners, read as the batches need them.
            mode: Mode slug for all; ``None`` for the default.
            stream: Whether to work through a batch only when its first result is
                asked for, and keep nothing.
            action: ``enroll`` or ``unenroll``.
            force: Whether window and invitations are lifted.
            over_capacity: Whether seats are.
            skip_refund: Whether receivers are to skip the refunds.
            actor: The acting user, as an instance or primary key.
            reason: Free text, stored in the history.
            source: One of :data:`django_enrollments.context.SOURCES`, or another word.
            at: When, aware; the clock is read when ``None``, in a stream for each
                batch.

        Returns:
            One result per user, in order; ``identifier`` is the username of an
            instance, or the key as given.

        Raises:
            CourseNotFoundError: There is no such course.
            CourseModeNotFoundError: The course does not offer the mode now.
            CourseEnrollmentError: The action is unknown.
            TypeError: The users are one string rather than a list,
                or the actor is no user, nor the primary key of one.
            django.db.Error: As :func:`django_enrollments.api.bulk_enroll` raises it.
        """
        if isinstance(users, str | bytes):
            raise TypeError("users is a list; wrap a single one in [ ].")
        rows = (bulk.Row(user, "key") for user in users)
        terms = bulk.BulkTerms(
            course=course,
            action=action,
            mode=mode,
            force=force,
            over_capacity=over_capacity,
            skip_refund=skip_refund,
            origin=origin_of(actor=actor, source=source, reason=reason),
        )
        if stream:
            return bulk.run(rows, terms, at=at)
        return bulk.run_all(rows, terms, at=at)

    def explain(
        self, user: Any, course: Any, mode: str | None = None
    ) -> ExplanationDict:
        """
        Return whether a user may enroll, as ``api.explain_enrollment``.

        Args:
            user: The user.
            course: The course.
            mode: Mode slug asked for; ``None`` for the default (MODE-06).

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: There is no such course.
        """
        with one_call() as call:
            offer = get_offer(course, call)
            learner = get_user_by_key(user)
            return eligibility.explain(
                learner, offer, mode=mode, call=call, source="service"
            )

    def explain_many(
        self, user: Any, courses: Iterable[Any], mode: str | None = None
    ) -> dict[str, ExplanationDict]:
        """
        Return what :meth:`explain` returns for each of many courses (contract §5).

        Takes as many statements for 500 courses as for one, those of filters and of
        permission backends of the host aside.

        Args:
            user: The user.
            courses: The courses, instances and course ids in any mixture.
            mode: Mode slug asked for in each; ``None`` for the default (MODE-06).

        Returns:
            A dictionary by course id, in the order of the courses, each once.

        Raises:
            UserNotFoundError: There is no such user.
            CourseNotFoundError: One of the courses does not exist; nothing is returned
                about the others.
            TypeError: The courses are one string rather than a list.
        """
        if isinstance(courses, str | bytes):
            raise TypeError("courses is a list; wrap a single one in [ ].")
        given = list(courses)
        explained: dict[str, ExplanationDict] = {}
        with one_call() as call:
            batches = [
                get_offers(given[start : start + COURSES_PER_BATCH], call)
                for start in range(0, len(given), COURSES_PER_BATCH)
            ]
            learner = get_user_by_key(user)
            for offers in batches:
                explained |= eligibility.explain_many(
                    learner, offers, mode=mode, call=call, source="service"
                )
        return explained


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
        offer = get_offer(course, call, using)
        learner = get_user_by_key(user, using)
        (outcome,) = lifecycle.enroll(
            [learner],
            offer,
            mode=mode,
            terms=lifecycle.Terms(
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
    user: Any, course: Any, call: Call, using: str, offer: CourseOffer | None = None
) -> tuple[CourseEnrollment, CourseOffer]:
    """
    Return a learner's row in a course with its user, and the course.

    Raises:
        UserNotFoundError: There is no such user.
        CourseNotFoundError: There is no such course, nor an enrollment in it.
        EnrollmentNotFoundError: The learner has never been in the course.
    """
    offer = offer or find_offer(course, call, using)
    learner = get_user_by_key(user, using)
    rows = CourseEnrollment.objects.using(using).filter(user=learner.pk)
    if offer is not None:
        row = rows.of_course_key(offer.key).first()
    else:
        row = rows.in_course(course).first()
    if row is None and offer is None:
        get_offer(course, call, using)
    if row is None:
        raise EnrollmentNotFoundError("The learner has never been in the course.")
    row.remember_user(learner)
    text = find_course_id(course) or str(row.course_id)
    return row, offer or orphan_offer(row.course_id, text)
