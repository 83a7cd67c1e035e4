"""
The backends that settings name: a protocol and a function that returns it for each.

Instances are kept by dotted path, so a changed setting counts at once. Without a path
in the setting there is no backend and nothing happens. Each function raises
``importing.CollaboratorNotLoaded``, an ``ImproperlyConfigured``,
where the backend cannot be loaded; the next call tries again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django_enrollments.importing import load_backend

if TYPE_CHECKING:
    from django_enrollments.backends.notifications import NotificationData


class NotificationBackend(Protocol):
    """The class that ``ENROLLMENTS_NOTIFICATION_BACKEND`` names."""

    def send(self, notification_data: NotificationData) -> None:
        """
        Send a notification to its users.

        Never called within a transaction of this app, so it may use a network. It
        raises any exception when a user could not be notified.

        Args:
            notification_data: The recipients and the message; also a mapping.
        """


class RetirementBackend(Protocol):
    """The class that ``ENROLLMENTS_RETIREMENT_BACKEND`` names."""

    def find_retiring_user(self, username: str) -> Any | None:
        """
        Return the user who asked to be retired under this name, or ``None``.

        Args:
            username: The name at the time of the request, with its case.
        """


class EmailOptInBackend(Protocol):
    """The class that ``ENROLLMENTS_EMAIL_OPT_IN_BACKEND`` names."""

    def set_opt_in(self, user: Any, org: str, opted_in: bool) -> None:
        """
        Store whether a learner wants mail from an organisation.

        Called within the transaction of the enrollment; it may not use a network.

        Args:
            user: The learner, saved.
            org: The organisation of the course, ``""`` when it has none.
            opted_in: The learner's choice.
        """


class CohortBackend(Protocol):
    """The class that ``ENROLLMENTS_COHORT_BACKEND`` names."""

    def add_user(self, course: Any, cohort_name: str, user: Any) -> None:
        """
        Add a learner to a cohort of a course; a member stays in it.

        Called within the transaction of the enrollment; it may not use a network.

        Args:
            course: The host's own course object.
            cohort_name: The name of the cohort.
            user: The learner, saved.

        Raises:
            CohortNotFoundError: The course has no such cohort; nothing is kept.
        """


class EnterpriseBackend(Protocol):
    """The class that ``ENROLLMENTS_ENTERPRISE_BACKEND`` names."""

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
    """Return the backend that delivers notifications."""
    backend: NotificationBackend = load_backend("ENROLLMENTS_NOTIFICATION_BACKEND")
    return backend


def get_retirement_backend() -> RetirementBackend:
    """Return the backend that finds users who asked to be retired."""
    backend: RetirementBackend = load_backend("ENROLLMENTS_RETIREMENT_BACKEND")
    return backend


def get_email_opt_in_backend() -> EmailOptInBackend:
    """Return the backend that stores choices about e-mail."""
    backend: EmailOptInBackend = load_backend("ENROLLMENTS_EMAIL_OPT_IN_BACKEND")
    return backend


def find_cohort_backend() -> CohortBackend | None:
    """Return the backend of cohorts, ``None`` without one."""
    backend: CohortBackend | None = load_backend("ENROLLMENTS_COHORT_BACKEND")
    return backend


def find_enterprise_backend() -> EnterpriseBackend | None:
    """Return the backend of enterprise customers, ``None`` without one."""
    backend: EnterpriseBackend | None = load_backend("ENROLLMENTS_ENTERPRISE_BACKEND")
    return backend
