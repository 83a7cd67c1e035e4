"""
The use cases on the model classes themselves, as hosts write them.

The only part of the ground that calls upward: the contract puts ``enroll()`` and its
kin on :class:`~django_enrollments.models.CourseEnrollment`, and the rules live in
``core``, which needs the models. So each function imports what it calls.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from django_enrollments.context import (
    Origin,
    current_origin,
    one_call,
    origin_of,
    read_alias,
)
from django_enrollments.errors import (
    CourseEnrollmentError,
    EnrollmentNotFoundError,
    UserNotFoundError,
)
from django_enrollments.identifiers import find_course_id, find_course_id_text
from django_enrollments.text import is_storable

if TYPE_CHECKING:
    from django_enrollments.context import Call
    from django_enrollments.core.course_info import CourseOffer
    from django_enrollments.models.courses import CourseMode
    from django_enrollments.models.enrollments import CourseEnrollment

logger = logging.getLogger(__name__)


def modes_for_course(
    course_id: object, include_expired: bool, only_selectable: bool
) -> list[CourseMode]:
    """
    List the modes of a course as ``CourseMode.modes_for_course`` describes it.

    Args:
        course_id: The course, its id, or anything whose ``str()`` that is.
        include_expired: Whether modes past their expiration count.
        only_selectable: Whether to leave out credit.
    """
    from django_enrollments.core.modes import default_mode
    from django_enrollments.datetimes import as_moment
    from django_enrollments.models.courses import CourseMode

    stored = CourseMode.objects.using(read_alias()).of_course(course_id)
    with one_call() as call:
        usable = [
            mode
            for mode in stored
            if include_expired
            or (expires := as_moment(mode.expiration_datetime)) is None
            or expires >= call.at
        ]
    if only_selectable:
        usable = [mode for mode in usable if mode.mode_slug != CourseMode.CREDIT]
    if usable:
        return usable
    default = default_mode()
    return [CourseMode(mode_slug=default.slug, mode_display_name=default.name)]


def retire_invitations(email: str) -> bool:
    """
    Delete invitations as ``CourseEnrollmentAllowed.retire`` describes it.

    Args:
        email: The address of a person who retires.

    Raises:
        CourseEnrollmentError: Conflicts with other changes did not end.
    """
    from django_enrollments.core.transactions import (
        begin_writing,
        until_settled,
        write_transaction,
    )
    from django_enrollments.models.invitations import (
        REDACTED_EMAIL,
        CourseEnrollmentAllowed,
    )

    if not is_storable(email):
        return False
    using = begin_writing()
    stored = CourseEnrollmentAllowed.objects.using(using).order_by("pk")

    def attempt(_lock: bool) -> bool:
        with write_transaction(using):
            keys = list(stored.for_email(email).values_list("pk", flat=True))
            # One by one: for many keys, MariaDB may read and lock the whole table.
            for key in keys:
                invitation = stored.filter(pk=key)
                # Address and course are unique together; no course id has a space.
                invitation.update(email=REDACTED_EMAIL, course_id=f"redacted {key}")
                invitation.delete()
        return bool(keys)

    return until_settled(attempt, using=using)


class EnrollmentShortcuts:
    """Methods of ``CourseEnrollment``; each that changes ends in ``lifecycle``."""

    @classmethod
    def enroll(
        cls,
        user: Any,
        course_id: object,
        mode: str | None = None,
        check_access: bool = False,
        can_upgrade: bool = False,
        enterprise_uuid: str | None = None,
        *,
        over_capacity: bool = False,
        actor: Any = None,
        reason: str = "",
        source: str | None = None,
    ) -> CourseEnrollment:
        """
        Enroll a user (MDL-02…04, MDL-24).

        Args:
            user: The learner; one that is not saved yet is saved first.
            course_id: The course id; without ``check_access`` the course need not
                exist, where its id is its key.
            mode: Mode slug, offered or not; ``None`` for the default (MODE-06).
            check_access: Whether the learner's rules apply. Without it, a learner who
                is in already is moved to ``mode``.
            can_upgrade: Whether a closed course is open to this learner.
            enterprise_uuid: The enterprise customer behind it, if any.
            over_capacity: Whether seats are lifted; the reason tells so when none is
                given. Without it a seat is needed, ``check_access`` or not.
            actor: The acting user, as an instance or primary key.
            reason: Free text, stored in the history.
            source: One of :data:`django_enrollments.context.SOURCES`, or another word.

        Returns:
            The enrollment.

        Raises:
            UserNotFoundError: The user is anonymous.
            CourseNotFoundError: There is no such course.
            CourseModeNotFoundError: The mode is no slug that a row can hold.
            CourseEnrollmentClosedError: The learner may not enroll now.
            CourseEnrollmentFullError: No seat is left.
            CourseEnrollmentExistsError: With ``check_access``, the learner is in.
            EnrollmentNotAllowed: A filter or permission backend vetoed.
            TypeError: The actor is no user, nor the primary key of one.
        """
        from django_enrollments.core import lifecycle
        from django_enrollments.core.history import clean_enterprise_uuid
        from django_enrollments.core.transactions import begin_writing

        using = begin_writing()
        if not isinstance(user, get_user_model()):
            raise UserNotFoundError("Only a saved user can be enrolled.")
        if user._state.adding:
            user.save()
        origin = _origin(actor, reason, source)
        with one_call() as call:
            offer = _offer_or_stand_in(course_id, call, using, must_exist=check_access)
            (outcome,) = lifecycle.enroll(
                [user],
                offer,
                mode=mode,
                terms=lifecycle.Terms(
                    origin,
                    call.at,
                    using,
                    access=check_access and not can_upgrade,
                    offered_mode=False,
                    seats=over_capacity is not True,
                    if_active="refuse" if check_access else "change_mode",
                    enterprise_uuid=clean_enterprise_uuid(enterprise_uuid),
                ),
            )
        return outcome.unwrap()

    @classmethod
    def unenroll(
        cls,
        user: Any,
        course_id: object,
        skip_refund: bool = False,
        *,
        actor: Any = None,
        reason: str = "",
        source: str | None = None,
    ) -> None:
        """
        Take a user out of a course; one who was never in is only logged (MDL-08).

        Args:
            user: The learner.
            course_id: The course id.
            skip_refund: Whether receivers are to skip the refund.
            actor: The acting user, as an instance or primary key.
            reason: Free text, stored in the history.
            source: One of :data:`django_enrollments.context.SOURCES`, or another word.

        Raises:
            EnrollmentNotAllowed: A filter vetoed; the user is still in.
            TypeError: The actor is no user, nor the primary key of one.
        """
        from django_enrollments.core.transactions import begin_writing

        origin = _origin(actor, reason, source)
        row = _find_row(user, course_id, begin_writing())
        if row is None:
            who, where = getattr(user, "pk", None), find_course_id(course_id)
            logger.warning("User %s was never in course %s.", who, where)
            return
        _change_row(
            row,
            is_active=False,
            skip_refund=skip_refund,
            origin=origin,
        )

    @classmethod
    def enroll_by_email(
        cls,
        email: str,
        course_id: object,
        mode: str | None = None,
        ignore_errors: bool = True,
    ) -> CourseEnrollment | None:
        """
        Enroll the user with an e-mail address, without asking for access (MDL-09).

        Args:
            email: The address, in any spelling.
            course_id: The course id.
            mode: Mode slug; ``None`` for the default (MODE-06).
            ignore_errors: Whether what goes wrong is only logged.

        Returns:
            The enrollment; ``None`` when something was logged.

        Raises:
            CourseEnrollmentError: Something went wrong and is not to be ignored.
        """
        try:
            return cls.enroll(_user_by_email(email), course_id, mode)
        except CourseEnrollmentError as error:
            if not ignore_errors:
                raise
            where = find_course_id(course_id)
            logger.warning("Not enrolled in course %s: %s.", where, error.code)
            return None

    @classmethod
    def unenroll_by_email(cls, email: str, course_id: object) -> None:
        """
        Take the user with an e-mail address out; an unknown one is logged (MDL-09).

        Args:
            email: The address, in any spelling.
            course_id: The course id.

        Raises:
            EnrollmentNotAllowed: A filter vetoed; the user is still in.
            CourseEnrollmentError: Several users have the address; the code is
                ``ambiguous_email``.
        """
        try:
            user = _user_by_email(email)
        except UserNotFoundError as error:
            where = find_course_id(course_id)
            logger.warning("Not unenrolled from course %s: %s.", where, error.code)
            return
        cls.unenroll(user, course_id)

    @classmethod
    def get_or_create_enrollment(cls, user: Any, course_id: object) -> CourseEnrollment:
        """
        Return a user's row, making an inactive one in the default mode (MDL-23).

        Args:
            user: The learner; one that is not saved yet is saved first.
            course_id: The course id.

        Raises:
            UserNotFoundError: The user is anonymous.
            CourseNotFoundError: There is no such course.
            EnrollmentNotAllowed: A filter vetoed.
        """
        from django_enrollments.core import lifecycle
        from django_enrollments.core.transactions import begin_writing

        using = begin_writing()
        if not isinstance(user, get_user_model()):
            raise UserNotFoundError("Only a saved user can be enrolled.")
        if user._state.adding:
            user.save()
        with one_call() as call:
            offer = _offer_or_stand_in(course_id, call, using, must_exist=False)
            (outcome,) = lifecycle.enroll(
                [user],
                offer,
                mode=None,
                terms=lifecycle.Terms(
                    current_origin(),
                    call.at,
                    using,
                    access=False,
                    offered_mode=False,
                    if_active="keep",
                ),
                is_active=False,
            )
        return outcome.unwrap()

    @classmethod
    def is_enrolled(cls, user: Any, course_id: object) -> bool:
        """
        Return whether a user is in a course now (MDL-10).

        Args:
            user: A user; an anonymous one is in no course.
            course_id: The course, its id, or anything whose ``str()`` that is.
        """
        row = _find_row(user, course_id)
        return row is not None and row.is_active

    @classmethod
    def is_enrolled_by_partial(cls, user: Any, course_id_partial: object) -> bool:
        """
        Return whether a user is in any run of a course (MDL-25).

        Args:
            user: A user; an anonymous one is in no course.
            course_id_partial: A course id without its run, such as
                ``course-v1:edX+DemoX`` or ``edX/DemoX``.
        """
        from django_enrollments.course_model import get_course_adapter
        from django_enrollments.models.enrollments import CourseEnrollment

        partial = find_course_id_text(course_id_partial)
        if partial is None or not getattr(user, "is_authenticated", False):
            return False
        start = f"{partial}{'+' if '+' in partial else '/'}"
        path = f"course__{get_course_adapter().course_id}"
        rows = CourseEnrollment.objects.using(read_alias())
        active = rows.active().filter(user=user.pk)
        runs = active.filter(**{f"{path}__startswith": start})
        # SQLite ignores case there.
        return any(run.startswith(start) for run in runs.values_list(path, flat=True))

    @classmethod
    def enrollment_mode_for_user(
        cls, user: Any, course_id: object
    ) -> tuple[str, bool] | tuple[None, None]:
        """
        Return mode and activation of a user's enrollment (MDL-10).

        Args:
            user: A user; an anonymous one is in no course.
            course_id: The course, its id, or anything whose ``str()`` that is.

        Returns:
            ``(mode, is_active)``, or ``(None, None)`` when there is none.
        """
        row = _find_row(user, course_id)
        return (row.mode, row.is_active) if row else (None, None)

    def update_enrollment(
        self,
        mode: str | None = None,
        is_active: bool | None = None,
        skip_refund: bool = False,
        enterprise_uuid: str | None = None,
    ) -> None:
        """
        Change mode or activation; nothing is written where nothing changes (MDL-07).

        Args:
            mode: Mode slug, offered or not; ``None`` leaves it.
            is_active: Whether it is active afterwards; ``None`` leaves it.
            skip_refund: Whether receivers are to skip the refund.
            enterprise_uuid: The enterprise customer behind it, if any.

        Raises:
            CourseModeNotFoundError: The mode is no slug that a row can hold.
            CourseEnrollmentFullError: It would become active and no seat is left.
            EnrollmentNotAllowed: A filter vetoed.
            EnrollmentNotFoundError: It has been deleted meanwhile.
        """
        self._change(
            mode=mode,
            is_active=is_active,
            skip_refund=skip_refund,
            enterprise_uuid=enterprise_uuid,
            origin=current_origin(),
        )

    def activate(self) -> None:
        """
        Make the enrollment active; nothing happens when it is (MDL-23).

        Raises:
            CourseEnrollmentFullError: No seat is left.
            EnrollmentNotAllowed: A filter vetoed.
        """
        self.update_enrollment(is_active=True)

    def deactivate(self) -> None:
        """
        Make the enrollment inactive; nothing happens when it is (MDL-23).

        Raises:
            EnrollmentNotAllowed: A filter vetoed.
        """
        self.update_enrollment(is_active=False)

    def change_mode(self, mode: str) -> None:
        """
        Change the mode; nothing happens when it is this one already (MDL-23).

        Args:
            mode: Mode slug, offered or not.

        Raises:
            CourseModeNotFoundError: The mode is no slug that a row can hold.
            EnrollmentNotAllowed: A filter vetoed.
        """
        self.update_enrollment(mode=mode)

    def _change(self: Any, **wanted: Any) -> None:
        from django_enrollments.core.transactions import begin_writing

        # The instance may be old, or have been edited.
        row = _change_row(_read_again(self, begin_writing()), **wanted)
        for name in ("mode", "is_active", "modified"):
            setattr(self, name, getattr(row, name))


def _change_row(
    row: CourseEnrollment,
    *,
    origin: Origin,
    mode: str | None = None,
    is_active: bool | None = None,
    skip_refund: bool = False,
    enterprise_uuid: str | None = None,
) -> CourseEnrollment:
    from django_enrollments.core import lifecycle
    from django_enrollments.core.history import clean_enterprise_uuid
    from django_enrollments.core.transactions import write_alias

    using = write_alias()
    with one_call() as call:
        return lifecycle.change(
            row,
            _offer_of(row, call, using),
            mode=mode,
            is_active=is_active,
            terms=lifecycle.Terms(
                origin,
                call.at,
                using,
                enterprise_uuid=clean_enterprise_uuid(enterprise_uuid),
                skip_refund=skip_refund,
            ),
        )


def _read_again(enrollment: CourseEnrollment, using: str) -> CourseEnrollment:
    """
    Return a row as it is stored now, with its user.

    Raises:
        EnrollmentNotFoundError: It has been deleted, or was never saved.
    """
    from django_enrollments.models.enrollments import CourseEnrollment

    rows = CourseEnrollment.objects.using(using).select_related("user")
    row = rows.filter(pk=enrollment.pk).first()
    if row is None:
        raise EnrollmentNotFoundError("The enrollment is not stored.")
    return row


def _origin(actor: Any, reason: str, source: str | None) -> Origin:
    """Make an origin of what was said, and of the current one for the rest."""
    current = current_origin()
    said = origin_of(actor=actor, reason=reason, source=source or current.source)
    return Origin(
        current.actor_id if actor is None else said.actor_id,
        said.source,
        said.reason or current.reason,
    )


def _user_by_email(email: str) -> Any:
    from django_enrollments.core.transactions import begin_writing
    from django_enrollments.users import (
        choose_user,
        find_users_by_email,
    )

    return choose_user(email, find_users_by_email([email], begin_writing()))


def _find_row(
    user: Any, course_id: object, using: str | None = None
) -> CourseEnrollment | None:
    from django_enrollments.models.enrollments import CourseEnrollment

    if not isinstance(user, get_user_model()) or user.pk is None:
        return None
    rows = CourseEnrollment.objects.using(using or read_alias())
    row = rows.filter(user=user.pk).in_course(course_id).first()
    if row is not None:
        row.remember_user(user)
    return row


def _offer_or_stand_in(
    course_id: object, call: Call, using: str, *, must_exist: bool
) -> CourseOffer:
    """
    Return the course, or a stand-in for one that need not exist (MDL-04).

    Raises:
        CourseNotFoundError: There is none and it must exist, or its key is not its id.
    """
    from django_enrollments.core.course_info import (
        find_offer,
        get_offer,
        orphan_offer,
    )
    from django_enrollments.course_model import course_key_is_id

    offer = find_offer(course_id, call, using)
    if offer is not None:
        return offer
    text = find_course_id(course_id)
    if text is None or must_exist or not course_key_is_id():
        return get_offer(course_id, call, using)
    return orphan_offer(text, text)


def _offer_of(row: CourseEnrollment, call: Call, using: str) -> CourseOffer:
    """Return the course of a row, or a stand-in for a deleted one."""
    from django_enrollments.core.course_info import find_offer_by_key, orphan_offer
    from django_enrollments.models.events import EnrollmentEvent

    offer = find_offer_by_key(row.course_id, call, using)
    if offer is not None:
        return offer
    told = EnrollmentEvent.objects.using(using).filter(enrollment=row.pk)
    last = told.order_by("-pk").values_list("course_id", flat=True).first()
    return orphan_offer(row.course_id, last or str(row.course_id))
