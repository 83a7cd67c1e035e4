"""
Gives the backends that the settings name, and says what each of them must offer.

Instances are kept by dotted path, so a changed setting is heard at once. A backend
that is ``None`` is inert: its finder gives ``None`` and nothing happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from django_enrollments.collaborators import load_instance
from django_enrollments.conf import conf

if TYPE_CHECKING:
    from django_enrollments.backends.notifications import NotificationData


class NotificationBackend(Protocol):
    """What ``ENROLLMENTS_NOTIFICATION_BACKEND`` names."""

    def send(self, notification_data: NotificationData) -> None:
        """
        Send a notification to its users.

        Never called within a transaction of this app, so it may use a network; it
        raises when somebody could not be told.

        Args:
            notification_data: Whom to tell what; also readable as a mapping.
        """


class RetirementBackend(Protocol):
    """What ``ENROLLMENTS_RETIREMENT_BACKEND`` names."""

    def find_retiring_user(self, username: str) -> Any | None:
        """
        Return the user who asked to be retired under this name, or ``None``.

        Args:
            username: The name they had when they asked, case and all.
        """


class EmailOptInBackend(Protocol):
    """What ``ENROLLMENTS_EMAIL_OPT_IN_BACKEND`` names."""

    def set_opt_in(self, user: Any, org: str, opted_in: bool) -> None:
        """
        Note whether a learner wants mail from an organisation.

        Called within the transaction of the enrollment; it may not use a network.

        Args:
            user: The learner, saved.
            org: The organisation of the course, ``""`` when it has none.
            opted_in: The learner's choice.
        """


class CohortBackend(Protocol):
    """What ``ENROLLMENTS_COHORT_BACKEND`` names."""

    def add_user(self, course: Any, cohort_name: str, user: Any) -> None:
        """
        Put a learner into a cohort of a course; nothing happens when they are in it.

        Called within the transaction of the enrollment; it may not use a network.

        Args:
            course: The host's own course object.
            cohort_name: The name of the cohort.
            user: The learner, saved.

        Raises:
            CohortNotFoundError: The course has no such cohort; nothing is kept.
        """


class EnterpriseBackend(Protocol):
    """What ``ENROLLMENTS_ENTERPRISE_BACKEND`` names."""

    def record_enrollment(
        self,
        user: Any,
        course: Any,
        *,
        enterprise_uuid: str,
        linked_enterprise_customer: str | None,
        consent: bool | None,
    ) -> None:
        """
        Record that an enterprise customer is behind an enrollment.

        Called before the transaction of the enrollment begins, so it may use a
        network. Whatever it raises refuses the enrollment.

        Args:
            user: The learner, saved.
            course: The host's own course object.
            enterprise_uuid: The enterprise customer, or ``""``.
            linked_enterprise_customer: The customer that the learner is linked to.
            consent: Whether the learner consents to sharing data; ``None`` is unsaid.
        """


def get_notification_backend() -> NotificationBackend:
    """
    Return the backend that delivers notifications.

    Raises:
        CollaboratorNotLoaded: It cannot be loaded; an ``ImproperlyConfigured``.
    """
    path = conf.ENROLLMENTS_NOTIFICATION_BACKEND
    found = load_instance("ENROLLMENTS_NOTIFICATION_BACKEND", path)
    return cast("NotificationBackend", found)


def get_retirement_backend() -> RetirementBackend:
    """
    Return the backend that knows who asked to be retired.

    Raises:
        CollaboratorNotLoaded: It cannot be loaded; an ``ImproperlyConfigured``.
    """
    path = conf.ENROLLMENTS_RETIREMENT_BACKEND
    found = load_instance("ENROLLMENTS_RETIREMENT_BACKEND", path)
    return cast("RetirementBackend", found)


def get_email_opt_in_backend() -> EmailOptInBackend:
    """
    Return the backend that stores a learner's e-mail choice.

    Raises:
        CollaboratorNotLoaded: It cannot be loaded; an ``ImproperlyConfigured``.
    """
    path = conf.ENROLLMENTS_EMAIL_OPT_IN_BACKEND
    found = load_instance("ENROLLMENTS_EMAIL_OPT_IN_BACKEND", path)
    return cast("EmailOptInBackend", found)


def find_cohort_backend() -> CohortBackend | None:
    """
    Return the backend that knows cohorts, or ``None`` when the host has none.

    Raises:
        CollaboratorNotLoaded: It cannot be loaded; an ``ImproperlyConfigured``.
    """
    path = conf.ENROLLMENTS_COHORT_BACKEND
    if path is None:
        return None
    return cast("CohortBackend", load_instance("ENROLLMENTS_COHORT_BACKEND", path))


def find_enterprise_backend() -> EnterpriseBackend | None:
    """
    Return the backend that records enterprise enrollments, or ``None`` without one.

    Raises:
        CollaboratorNotLoaded: It cannot be loaded; an ``ImproperlyConfigured``.
    """
    path = conf.ENROLLMENTS_ENTERPRISE_BACKEND
    if path is None:
        return None
    return cast(
        "EnterpriseBackend", load_instance("ENROLLMENTS_ENTERPRISE_BACKEND", path)
    )
