"""The shipped e-mail opt-in backend."""

from __future__ import annotations

from typing import Any

from django.db import connections, router

from django_enrollments.context import moment
from django_enrollments.datetimes import for_database
from django_enrollments.models import EmailOptIn


class ModelBackend:
    """Writes :class:`~django_enrollments.models.EmailOptIn`."""

    def set_opt_in(self, user: Any, org: str, opted_in: bool) -> None:
        """
        Store whether a learner wants e-mail from an organization (B-09).

        One statement inserts or updates, so simultaneous choices do not conflict.

        Args:
            user: The saved learner.
            org: The organization, ``""`` if the course has none.
            opted_in: The learner's choice.
        """
        using = router.db_for_write(EmailOptIn)
        # MySQL uses any unique key of the table, and accepts no names.
        names_key = connections[using].vendor != "mysql"
        choice = EmailOptIn(
            user_id=user.pk,
            org=org,
            opted_in=opted_in,
            modified=for_database(moment()),
        )
        EmailOptIn._default_manager.using(using).bulk_create(
            [choice],
            update_conflicts=True,
            update_fields=("opted_in", "modified"),
            unique_fields=("user", "org") if names_key else None,
        )
