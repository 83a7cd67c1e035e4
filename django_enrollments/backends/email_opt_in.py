"""The e-mail opt-in backend that is shipped."""

from __future__ import annotations

from typing import Any

from django.db import connections, router

from django_enrollments.context import moment
from django_enrollments.datetimes import for_database
from django_enrollments.models import EmailOptIn


class ModelBackend:
    """Stores choices in :class:`~django_enrollments.models.EmailOptIn`."""

    def set_opt_in(self, user: Any, org: str, opted_in: bool) -> None:
        """
        Note whether a learner wants mail from an organisation (B-09).

        One statement inserts or updates, so two choices at once leave one of them.

        Args:
            user: The learner, saved.
            org: The organisation, ``""`` when the course has none.
            opted_in: The learner's choice; the last one counts.
        """
        using = router.db_for_write(EmailOptIn)
        # MySQL takes any unique key of the table and must not be told which.
        names_key = connections[using].features.supports_update_conflicts_with_target
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
