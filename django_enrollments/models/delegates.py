"""
Methods of ``CourseEnrollment`` that the contract names; ``core`` has their bodies.

See decision 0007, "Methods on the model are the one import that goes up".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_enrollments.core import model_methods as model_methods
    from django_enrollments.models.enrollments import CourseEnrollment
else:

    class _LazyModule:
        """Imports the bodies when one is called; they need the models."""

        def __getattr__(self, name: str) -> Any:
            from django_enrollments.core import model_methods

            return getattr(model_methods, name)

    model_methods = _LazyModule()


class EnrollmentMethods:
    """The methods; what becomes of an enrollment is decided in ``core.lifecycle``."""

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
        Enroll a user and return the enrollment (MDL-02…04, MDL-24).

        Args:
            user: The learner; one that is not saved yet is saved first.
            course_id: The course id; without ``check_access`` the course need not
                exist, where its id is its key.
            mode: Mode slug, offered or not; ``None`` for the default (MODE-06).
            check_access: Whether the learner's rules apply. Without it, an active
                enrollment changes to ``mode``.
            can_upgrade: Whether a closed course is open to this learner.
            enterprise_uuid: The enterprise customer, if any.
            over_capacity: Whether no seat is needed, ``check_access`` or not; recorded
                as the reason when none is given.
            actor: The acting user, as an instance or primary key.
            reason: Free text, stored in the history.
            source: One of :data:`django_enrollments.context.SOURCES`, or another word.

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
        return model_methods.enroll(
            user,
            course_id,
            mode,
            check_access,
            can_upgrade,
            enterprise_uuid,
            over_capacity=over_capacity,
            actor=actor,
            reason=reason,
            source=source,
        )

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
        Unenroll a user; without an enrollment, only a warning is logged (MDL-08).

        Raises:
            EnrollmentNotAllowed: A filter vetoed.
            TypeError: The actor is no user, nor the primary key of one.
        """
        model_methods.unenroll(
            user, course_id, skip_refund, actor=actor, reason=reason, source=source
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
        Enroll the user with an e-mail address, without a check of access (MDL-09).

        Return ``None`` when an error was logged instead of raised.

        Raises:
            CourseEnrollmentError: Without ``ignore_errors``, as :meth:`enroll` does.
        """
        return model_methods.enroll_by_email(email, course_id, mode, ignore_errors)

    @classmethod
    def unenroll_by_email(cls, email: str, course_id: object) -> None:
        """
        Unenroll the user with an e-mail address; an unknown one is logged (MDL-09).

        Raises:
            EnrollmentNotAllowed: A filter vetoed.
            CourseEnrollmentError: Several users have the address (``ambiguous_email``).
        """
        model_methods.unenroll_by_email(email, course_id)

    @classmethod
    def get_or_create_enrollment(cls, user: Any, course_id: object) -> CourseEnrollment:
        """
        Return a user's enrollment; create an inactive one in the default mode (MDL-23).

        Raises:
            UserNotFoundError: The user is anonymous.
            CourseNotFoundError: There is no such course, and its id is not its key.
            EnrollmentNotAllowed: A filter vetoed.
        """
        return model_methods.get_or_create_enrollment(user, course_id)

    @classmethod
    def is_enrolled(cls, user: Any, course_id: object) -> bool:
        """Return whether a user has an active enrollment in a course (MDL-10)."""
        return model_methods.is_enrolled(user, course_id)

    @classmethod
    def is_enrolled_by_partial(cls, user: Any, course_id_partial: object) -> bool:
        """
        Return whether a user has an active enrollment in any run of a course (MDL-25).

        A partial id has no run, such as ``course-v1:edX+DemoX`` or ``edX/DemoX``.
        """
        return model_methods.is_enrolled_by_partial(user, course_id_partial)

    @classmethod
    def enrollment_mode_for_user(
        cls, user: Any, course_id: object
    ) -> tuple[str, bool] | tuple[None, None]:
        """Return ``(mode, is_active)``, or ``(None, None)`` without one (MDL-10)."""
        return model_methods.enrollment_mode_for_user(user, course_id)

    def update_enrollment(
        self,
        mode: str | None = None,
        is_active: bool | None = None,
        skip_refund: bool = False,
        enterprise_uuid: str | None = None,
    ) -> None:
        """
        Change mode or activation; ``None`` leaves a value as it is (MDL-07).

        Raises:
            CourseModeNotFoundError: The mode is no slug that a row can hold.
            CourseEnrollmentFullError: It would become active and no seat is left.
            EnrollmentNotAllowed: A filter vetoed.
            EnrollmentNotFoundError: It has been deleted meanwhile.
        """
        model_methods.update_enrollment(
            self, mode, is_active, skip_refund, enterprise_uuid
        )

    def activate(self) -> None:
        """Make it active, as :meth:`update_enrollment` does (MDL-23)."""
        self.update_enrollment(is_active=True)

    def deactivate(self) -> None:
        """Make it inactive, as :meth:`update_enrollment` does (MDL-23)."""
        self.update_enrollment(is_active=False)

    def change_mode(self, mode: str) -> None:
        """Change its mode, as :meth:`update_enrollment` does (MDL-23)."""
        self.update_enrollment(mode=mode)
