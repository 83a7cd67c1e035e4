"""What else comes with an enrollment that somebody asked for (V1-SIDE)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from django_enrollments.backends.loading import (
    find_cohort_backend,
    find_enterprise_backend,
    get_email_opt_in_backend,
)
from django_enrollments.conf import conf, refuse_everything
from django_enrollments.core.transactions import unjudged
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.importing import CollaboratorNotLoaded, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_enrollments.core.course_info import CourseOffer


logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class SideEffects:
    """
    What is to happen along with an enrollment, in the hands of the host's backends.

    Without a cohort or an enterprise backend, what is meant for it does nothing.

    Attributes:
        cohort: The cohort that the learner is put into; ``None`` for none.
        email_opt_in: Whether the learner wants mail of the course's organisation;
            ``None`` leaves what they chose before.
        enterprise_uuid: The enterprise customer behind the enrollment, or ``""``.
        linked_enterprise_customer: The customer that the learner is linked to.
        enterprise_course_consent: Whether the learner consents to sharing data with
            the customer; ``None`` is unsaid.
    """

    cohort: str | None = None
    email_opt_in: bool | None = None
    enterprise_uuid: str = ""
    linked_enterprise_customer: str | None = None
    enterprise_course_consent: bool | None = None
    _is_told: bool = field(default=False, init=False)

    @property
    def tells_enterprise(self) -> bool:
        """Whether the enterprise backend has something to record, once."""
        if self._is_told:
            return False
        has_something = (
            bool(self.enterprise_uuid)
            or self.linked_enterprise_customer is not None
            or self.enterprise_course_consent is not None
        )
        return has_something and _loaded(find_enterprise_backend) is not None

    @property
    def is_stored(self) -> bool:
        """Whether something is stored in the transaction of the enrollment."""
        has_cohort = (
            self.cohort is not None and _loaded(find_cohort_backend) is not None
        )
        return has_cohort or self.email_opt_in is not None

    def tell_enterprise(self, user: Any, offer: CourseOffer) -> None:
        """
        Have the enterprise backend record an enrollment that is about to be made.

        Args:
            user: The learner, saved.
            offer: The course.

        Raises:
            CourseEnrollmentError: The backend raised, whatever it was.
        """
        backend = _loaded(find_enterprise_backend)
        if backend is None:
            return
        try:
            backend.record_enrollment(
                user,
                offer.course,
                enterprise_uuid=self.enterprise_uuid,
                linked_enterprise_customer=self.linked_enterprise_customer,
                consent=self.enterprise_course_consent,
            )
        except Exception as error:
            raise CourseEnrollmentError(
                "The enterprise customer could not be recorded."
            ) from error
        self._is_told = True

    def store(self, user: Any, offer: CourseOffer) -> None:
        """
        Put the learner into the cohort and note their e-mail choice (V1-SIDE-11).

        Args:
            user: The learner, saved.
            offer: The course.

        Raises:
            CohortNotFoundError: The course has no such cohort (V1-SIDE-02).
        """
        cohorts = _loaded(find_cohort_backend)
        if cohorts is not None and self.cohort is not None:
            cohorts.add_user(offer.course, self.cohort, user)
        if self.email_opt_in is not None:
            opt_ins = _loaded(get_email_opt_in_backend)
            opt_ins.set_opt_in(user, offer.facts.org, self.email_opt_in)


def _loaded(find: Callable[[], T]) -> T:
    """
    Load a backend; one that cannot be loaded might have refused, so it does.

    Raises:
        CourseEnrollmentError: It cannot be loaded; a system check tells why.
    """
    try:
        return find()
    except ImproperlyConfigured as error:
        logger.exception("A backend of the enrollment's side effects cannot be loaded.")
        raise CourseEnrollmentError("Enrollment is not possible just now.") from error


#: ``f(action, **context) -> dict | None``
Filter = Callable[..., "dict[str, Any] | None"]


def get_filters() -> Sequence[Filter]:
    """
    Return the configured filters.

    One that cannot be loaded might have vetoed, so a filter that refuses everything
    stands in for it; a system check names it.
    """
    return [
        _load_filter(path) if isinstance(path, str) else path
        for path in conf.ENROLLMENTS_FILTERS
    ]


def _load_filter(path: str) -> Filter:
    try:
        found: Filter = load("ENROLLMENTS_FILTERS", path)
    except CollaboratorNotLoaded:
        logger.exception("A filter cannot be loaded; everything is refused.")
        return refuse_everything
    if isinstance(found, type):
        logger.error("ENROLLMENTS_FILTERS names %r, which is no function.", path)
        return refuse_everything
    return found


def apply_filters(action: str, **context: Any) -> dict[str, Any]:
    """
    Let every filter see, change or veto what is about to happen.

    Args:
        action: ``enroll``, ``unenroll`` or ``queryset``.
        context: What the filters are shown; each sees the changes of the ones before.

    Returns:
        The context after the last filter.

    Raises:
        EnrollmentNotAllowed: A filter vetoed; nothing is changed.
    """
    for ask in get_filters():
        with unjudged():
            changed = ask(action, **context)
        if isinstance(changed, dict):
            context.update(changed)
    return context
