"""
The protocols of the backends that settings name, and functions that load them.

Instances are cached by dotted path, so a changed setting applies at once. Each function
raises ``importing.SettingLoadError``, an ``ImproperlyConfigured``, if the backend
cannot be loaded. The next call tries again.
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

        It is not called inside a transaction of this app, so it can use the network.
        Raise any exception if a user could not be notified.

        Args:
            notification_data: The recipients and the message; also a mapping.
        """


class RetirementBackend(Protocol):
    """The class that ``ENROLLMENTS_RETIREMENT_BACKEND`` names."""

    def find_retiring_user(self, username: str) -> Any | None:
        """
        Return the user with an open retirement request, or ``None``.

        Args:
            username: The username at the time of the request, compared exactly.
        """


class EmailOptInBackend(Protocol):
    """The class that ``ENROLLMENTS_EMAIL_OPT_IN_BACKEND`` names."""

    def set_opt_in(self, user: Any, org: str, opted_in: bool) -> None:
        """
        Store whether a learner wants e-mail from an organization.

        It is called inside the transaction of the enrollment, so it must not use the
        network.

        Args:
            user: The saved learner.
            org: The organization of the course, or ``""``.
            opted_in: The learner's choice.
        """


class CohortBackend(Protocol):
    """The class that ``ENROLLMENTS_COHORT_BACKEND`` names."""

    def add_user(self, course: Any, cohort_name: str, user: Any) -> None:
        """
        Add a learner to a cohort of a course. A member stays a member.

        It is called inside the transaction of the enrollment, so it must not use the
        network.

        Args:
            cohort_name: The name of the cohort.
            user: The saved learner.

        Raises:
            CohortNotFoundError: The course has no such cohort. Nothing is stored.
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
        Record the enterprise customer of an enrollment.

        It is called before the transaction of the enrollment, so it can use the
        network. Any exception refuses the enrollment.

        Args:
            user: The saved learner.
            enterprise_uuid: The enterprise customer, or ``""``.
            linked_enterprise_customer: The customer that the learner is linked to.
            consent: Whether the learner agrees to share data; ``None`` if not given.
        """


def get_notification_backend() -> NotificationBackend:
    """Return the backend that delivers notifications."""
    backend: NotificationBackend = load_backend("ENROLLMENTS_NOTIFICATION_BACKEND")
    return backend


def get_retirement_backend() -> RetirementBackend:
    """Return the backend that finds users who are being retired."""
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
