"""Code of the host around a change: filters before it, side effects along with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from django_enrollments.backends.loading import (
    find_cohort_backend,
    find_enterprise_backend,
    get_email_opt_in_backend,
)
from django_enrollments.conf import conf, refuse_everything
from django_enrollments.core.transactions import host_code
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.importing import SettingLoadError, load

if TYPE_CHECKING:
    from django_enrollments.core.course_info import CourseInfo

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: ``f(action, **context) -> dict | None``
Filter = Callable[..., "dict[str, Any] | None"]


def apply_filters(action: str, **context: Any) -> dict[str, Any]:
    """
    Call the configured filters in order, each with the changes of the ones before.

    Args:
        action: ``enroll``, ``unenroll`` or ``queryset``.
        context: The keyword arguments of the filters (contract §7).

    Returns:
        The context after the last filter.

    Raises:
        EnrollmentNotAllowed: A filter vetoed, or cannot be loaded.
    """
    for path in conf.ENROLLMENTS_FILTERS:
        function = _load_filter(path) if isinstance(path, str) else path
        with host_code():
            changed = function(action, **context)
        if isinstance(changed, dict):
            context.update(changed)
    return context


def _load_filter(path: str) -> Filter:
    """Return a filter; one that cannot be loaded might veto, so it refuses."""
    try:
        found: Filter = load("ENROLLMENTS_FILTERS", path)
    except SettingLoadError:
        logger.exception("A filter cannot be loaded; everything is refused.")
        return refuse_everything
    if isinstance(found, type):
        logger.error("ENROLLMENTS_FILTERS names %r, which is no function.", path)
        return refuse_everything
    return found


@dataclass
class SideEffects:
    """
    Data of a request for the host's backends (V1-SIDE).

    Without a cohort or an enterprise backend, the data for it has no effect.

    Attributes:
        cohort: The learner's cohort; ``None`` for none.
        email_opt_in: Whether the learner wants mail of the course's organization;
            ``None`` keeps the stored choice.
        enterprise_uuid: The enterprise customer of the enrollment, or ``""``.
        linked_enterprise_customer: The customer that the learner is linked to.
        enterprise_course_consent: Whether the learner consents to sharing data with
            the customer; ``None`` is unknown.
    """

    cohort: str | None = None
    email_opt_in: bool | None = None
    enterprise_uuid: str = ""
    linked_enterprise_customer: str | None = None
    enterprise_course_consent: bool | None = None
    _is_recorded: bool = field(default=False, init=False)

    @property
    def must_record_enterprise(self) -> bool:
        """Whether there is something to record with the enterprise backend, once."""
        if self._is_recorded:
            return False
        has_data = (
            bool(self.enterprise_uuid)
            or self.linked_enterprise_customer is not None
            or self.enterprise_course_consent is not None
        )
        return has_data and _loaded(find_enterprise_backend) is not None

    @property
    def must_store(self) -> bool:
        """Whether something is stored in the transaction of the enrollment."""
        has_cohort = (
            self.cohort is not None and _loaded(find_cohort_backend) is not None
        )
        return has_cohort or self.email_opt_in is not None

    def record_enterprise(self, user: Any, info: CourseInfo) -> None:
        """
        Record an enrollment that is about to be written with the enterprise backend.

        Raises:
            CourseEnrollmentError: The backend raised an exception, or cannot be loaded.
        """
        backend = _loaded(find_enterprise_backend)
        if backend is None:
            return
        try:
            with host_code():
                backend.record_enrollment(
                    user,
                    info.course,
                    enterprise_uuid=self.enterprise_uuid,
                    linked_enterprise_customer=self.linked_enterprise_customer,
                    consent=self.enterprise_course_consent,
                )
        except Exception as error:
            raise CourseEnrollmentError(
                "The enterprise customer could not be recorded."
            ) from error
        self._is_recorded = True

    def store(self, user: Any, info: CourseInfo) -> None:
        """
        Add the learner to the cohort and store the e-mail choice (V1-SIDE-11).

        Raises:
            CohortNotFoundError: The course has no such cohort (V1-SIDE-02).
            CourseEnrollmentError: A backend cannot be loaded.
        """
        cohorts = _loaded(find_cohort_backend)
        if cohorts is not None and self.cohort is not None:
            cohorts.add_user(info.course, self.cohort, user)
        if self.email_opt_in is not None:
            opt_ins = _loaded(get_email_opt_in_backend)
            opt_ins.set_opt_in(user, info.facts.org, self.email_opt_in)


def _loaded(find: Callable[[], T]) -> T:
    """Return a backend; one that cannot be loaded might refuse, so it does."""
    try:
        return find()
    except ImproperlyConfigured as error:
        logger.exception("A backend of the enrollment's side effects cannot be loaded.")
        text = _("Enrollment is not possible just now.")
        raise CourseEnrollmentError(text) from error
