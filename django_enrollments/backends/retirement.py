"""The shipped retirement backend."""

from __future__ import annotations

from typing import Any

from django_enrollments.context import read_alias
from django_enrollments.identifiers import find_username
from django_enrollments.models import UserRetirementStatus
from django_enrollments.text import is_storable


class ModelBackend:
    """Reads :class:`~django_enrollments.models.UserRetirementStatus`."""

    #: States of an open request (V1-UNENR-08).
    OPEN_STATES = ("pending", "in_progress")

    def find_retiring_user(self, username: str) -> Any | None:
        """
        Return the user with an open request under this username (V1-UNENR-03).

        Args:
            username: The original username, compared exactly, in any normal form.

        Returns:
            The user; ``None`` if there is no open request or no account.
        """
        if not is_storable(username) or not username:
            return None
        names = [username, str(find_username(username) or username)]
        requests = UserRetirementStatus._default_manager.using(read_alias()).filter(
            original_username__in=names,
            state__in=self.OPEN_STATES,
            user__isnull=False,
        )
        found: dict[str, Any] = {}
        for request in requests.select_related("user").order_by("pk"):
            found[request.original_username] = request.user
        # A case-insensitive collation also finds similar names.
        return next((found[name] for name in names if name in found), None)
