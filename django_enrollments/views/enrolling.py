"""What ``POST enrollment`` does: enroll a learner, or change their enrollment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from django_enrollments import api
from django_enrollments.conf import conf
from django_enrollments.context import call_context, clear_readings
from django_enrollments.core.attributes import clean_attributes, missing_attributes
from django_enrollments.core.course_info import get_course_info
from django_enrollments.core.history import clean_enterprise_uuid
from django_enrollments.core.hooks import SideEffects
from django_enrollments.core.transactions import (
    expected_state,
    no_expected_state,
    retry_on_conflict,
    write_alias,
    write_transaction,
    writing_call,
)
from django_enrollments.errors import (
    CourseEnrollmentExistsError,
    CourseEnrollmentNotUpdatableError,
    EnrollmentNotAllowed,
    EnrollmentNotFoundError,
)
from django_enrollments.users import get_user

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django_enrollments.payloads import EnrollmentDict as Enrollment
    from django_enrollments.policies import Requester

#: Refusals that force lifts; a veto has the code of a permission that was not granted.
_LIFTED_BY_FORCE = frozenset(
    {"enrollment_not_started", "enrollment_ended", "invitation_only", "not_allowed"}
)


@dataclass(frozen=True)
class EnrollmentRequest:
    """
    The state that a requester wants an enrollment to be in.

    Attributes:
        requester: The requester, with their permissions.
        user: The learner.
        username: The learner's name as the request spells it.
        course_id: The course id.
        mode: Mode slug; ``None`` for the default, or for that of the enrollment.
        is_active: Whether the learner is in the course afterwards; ``None`` means true
            when enrolling, and no change otherwise.
        enrollment_attributes: Dictionaries with ``namespace``, ``name`` and ``value``
            that replace all attributes; ``None`` changes none.
        force_enrollment: Whether enrolling lifts window and invitations and counts
            expired modes as offered; the requester may do that (V1-FORCE).
        cohort: The cohort that the learner is put into; ``None`` for none.
        email_opt_in: Whether the learner wants mail of the course's organization;
            ``None`` leaves the stored choice.
        enterprise_uuid: The enterprise customer behind the enrollment, if any.
        linked_enterprise_customer: The customer that the learner is linked to, if any.
        enterprise_course_consent: Whether the learner consents to sharing data with
            the customer; ``None`` is unknown.
    """

    requester: Requester
    user: Any
    username: str
    course_id: str
    mode: str | None = None
    is_active: bool | None = None
    enrollment_attributes: Sequence[Mapping[str, Any]] | None = None
    force_enrollment: bool = False
    cohort: str | None = None
    email_opt_in: bool | None = None
    enterprise_uuid: str | None = None
    linked_enterprise_customer: str | None = None
    enterprise_course_consent: bool | None = None

    @cached_property
    def effects(self) -> SideEffects:
        """The side effects of the request; they remember what has been called."""
        linked = clean_enterprise_uuid(self.linked_enterprise_customer)
        return SideEffects(
            cohort=self.cohort,
            email_opt_in=self.email_opt_in,
            enterprise_uuid=clean_enterprise_uuid(self.enterprise_uuid),
            linked_enterprise_customer=linked or None,
            enterprise_course_consent=self.enterprise_course_consent,
        )

    def moves(self, existing: Enrollment) -> bool:
        """Return whether another mode is requested."""
        return self.mode not in (None, existing["mode"])

    def leaves(self, existing: Enrollment) -> bool:
        """Return whether an active enrollment is requested to be inactive."""
        return bool(existing["is_active"]) and self.is_active is False

    def joins(self, existing: Enrollment) -> bool:
        """Return whether an inactive enrollment is requested to be active."""
        return not existing["is_active"] and self.is_active is True

    def keeps(self, existing: Enrollment) -> bool:
        """Return whether enrolling leaves the enrollment as it is (B-05, B-14)."""
        stays_inactive = self.is_active is False and not self.moves(existing)
        return bool(existing["is_active"]) or stays_inactive


@writing_call()
def enroll_or_change(wanted: EnrollmentRequest) -> Enrollment:
    """
    Bring an enrollment into the requested state, as far as the requester may (V1-ENR).

    A learner can only enroll. A requester with more permissions changes the mode or
    activation of an existing enrollment without a check of access. An active learner
    with nothing to change keeps the enrollment as it is (B-05, B-14), and nothing else
    is stored.

    Attributes, cohort and e-mail choice are stored with the enrollment or not at all
    (B-07). The enterprise backend is called before, because it may use a network, and
    only after every rule that can refuse the enrollment has been evaluated.

    Returns:
        The enrollment dictionary.

    Raises:
        CourseEnrollmentNotUpdatableError: It would be deactivated in a mode that it
            does not have (V1-ENR-10), or changed to one whose required attributes the
            list lacks (V1-ATTR-05).
        CourseModeNotFoundError: The course does not offer the mode now.
        CourseNotFoundError: No course has this id.
        UserNotFoundError: No user has this name.
        EnrollmentNotFoundError: The requester may only deactivate, and there is no
            enrollment.
        CourseEnrollmentClosedError: The learner may not enroll now.
        CourseEnrollmentFullError: No seat is left.
        EnrollmentNotAllowed: A filter or permission backend vetoed, or the learner
            would be enrolled in a mode that the requester may not choose.
        InvalidEnrollmentAttribute: An attribute lacks a part, or cannot be stored.
        CohortNotFoundError: The course has no such cohort.
        CourseEnrollmentError: The enterprise backend failed.
        EnrollmentApiLoadError: The data layer cannot be imported.
    """
    requester, effects = wanted.requester, wanted.effects
    can_change = requester.can_enroll_others or requester.can_deactivate_others

    def attempt(_lock: bool) -> Enrollment:
        existing = None
        if can_change or effects.must_store or effects.must_record_enterprise:
            existing = api.get_enrollment(wanted.username, wanted.course_id)
        if not can_change:
            return _enroll(wanted, existing)
        with expected_state(wanted.username, wanted.course_id, existing):
            # Enrolling raises why an enrollment in a deleted course stays.
            if existing is None or existing["course_details"] is None:
                return _enroll(wanted, existing)
            return _change(wanted, existing)

    return retry_on_conflict(attempt, using=write_alias())


def _change(wanted: EnrollmentRequest, existing: Enrollment) -> Enrollment:
    """Change an enrollment, or enroll where there is nothing to change."""
    moves, leaves = wanted.moves(existing), wanted.leaves(existing)
    if moves and leaves:
        raise CourseEnrollmentNotUpdatableError(
            f"Enrollment mode mismatch: active mode={existing['mode']}, "
            f"requested mode={wanted.mode}. Won't deactivate."
        )
    requester = wanted.requester
    if leaves:
        is_allowed = requester.can_deactivate_others
    else:
        is_allowed = requester.can_enroll_others and (moves or wanted.joins(existing))
    if not is_allowed:
        return _enroll(wanted, existing)
    _check_required_attributes(wanted)
    # Expired modes count as offered for programs (V1-ENR-18).
    include_expired = requester.has_api_key
    if wanted.effects.must_record_enterprise and not leaves:
        _validate_mode(wanted, include_expired)
        _record_enterprise(wanted)
    return _with_effects(
        partial(
            api.update_enrollment,
            wanted.username,
            wanted.course_id,
            mode=wanted.mode,
            is_active=wanted.is_active,
            enrollment_attributes=wanted.enrollment_attributes,
            include_expired=include_expired,
        ),
        wanted,
        existing,
    )


def _enroll(wanted: EnrollmentRequest, existing: Enrollment | None) -> Enrollment:
    """Enroll the learner, or return the enrollment of a learner who is in already."""
    requester, attributes = wanted.requester, wanted.enrollment_attributes
    if not requester.can_enroll(wanted.user):
        if existing:
            return existing
        raise EnrollmentNotFoundError(
            f"Course Enrollment not found for user {wanted.username} "
            f"in course {wanted.course_id}"
        )
    is_kept = existing is not None and wanted.keeps(existing)
    # Staying in a mode needs no permission to choose it.
    if not (is_kept or requester.can_choose_mode(wanted.mode)):
        raise EnrollmentNotAllowed(
            "User does not have permission to create enrollment with mode "
            f"[{wanted.mode}]."
        )
    if wanted.effects.must_record_enterprise and not is_kept:
        if attributes is not None:
            clean_attributes(attributes)
        _validate_mode(wanted, wanted.force_enrollment)
        if _is_possible(wanted):
            _record_enterprise(wanted)
    try:
        return _with_effects(
            partial(
                api.add_enrollment,
                wanted.username,
                wanted.course_id,
                mode=wanted.mode,
                is_active=wanted.is_active is not False,
                enrollment_attributes=attributes,
                enterprise_uuid=wanted.effects.enterprise_uuid,
                force_enrollment=wanted.force_enrollment,
                include_expired=wanted.force_enrollment,
            ),
            wanted,
            existing,
        )
    except CourseEnrollmentExistsError as error:
        kept: Enrollment = error.enrollment
        return kept


def _is_possible(wanted: EnrollmentRequest) -> bool:
    """Return whether no rule that applies to the request refuses the enrollment."""
    # A requested mode has been validated, with the expired ones where they count.
    lifted = {"mode_unavailable"} if wanted.mode is not None else set()
    if wanted.force_enrollment:
        lifted |= _LIFTED_BY_FORCE | {"mode_unavailable"}
    if wanted.is_active is False:
        lifted.add("course_full")
    explained = api.explain_enrollment(wanted.username, wanted.course_id, wanted.mode)
    return lifted.issuperset(reason["code"] for reason in explained["reasons"])


def _validate_mode(wanted: EnrollmentRequest, include_expired: bool) -> None:
    """Raise ``CourseModeNotFoundError`` for a requested mode that is not offered."""
    if wanted.mode is not None:
        api.validate_course_mode(
            wanted.course_id, wanted.mode, wanted.is_active, include_expired
        )


def _record_enterprise(wanted: EnrollmentRequest) -> None:
    with call_context() as call:
        info = get_course_info(wanted.course_id, call)
        wanted.effects.record_enterprise(get_user(wanted.username), info)
    # A network may be slow: seats and dates are read again.
    clear_readings()


def _with_effects(
    write: Callable[[], Enrollment],
    wanted: EnrollmentRequest,
    existing: Enrollment | None,
) -> Enrollment:
    """Call ``write`` and, if it changed the enrollment, store the side effects."""
    effects = wanted.effects
    if not effects.must_store:
        return write()

    def write_all() -> Enrollment:
        enrollment = write()
        if (
            existing is None
            or existing["mode"] != enrollment["mode"]
            or existing["is_active"] != enrollment["is_active"]
        ):
            with (
                writing_call() as (call, using),
                write_transaction(using),
                no_expected_state(),
            ):
                info = get_course_info(wanted.course_id, call, using)
                effects.store(get_user(wanted.username, using), info)
        return enrollment

    return api.write_atomically(write_all)


def _check_required_attributes(wanted: EnrollmentRequest) -> None:
    """Raise an error for a list without the attributes of the mode (V1-ATTR-05)."""
    mode, attributes = wanted.mode, wanted.enrollment_attributes
    if mode is None or not attributes:
        return
    if missing_attributes(mode, clean_attributes(attributes)):
        required = list(conf.ENROLLMENTS_REQUIRED_ATTRIBUTES.get(mode, ()))
        raise CourseEnrollmentNotUpdatableError(
            f"Missing enrollment attributes: requested mode={mode} "
            f"required attributes={required}"
        )
