"""The retirement backend that is shipped."""

from __future__ import annotations

from typing import Any

from django_enrollments.calls import read_alias
from django_enrollments.keys import is_storable
from django_enrollments.models import UserRetirementStatus


class ModelBackend:
    """Knows from :class:`~django_enrollments.models.UserRetirementStatus`."""

    #: States of a retirement that is still to be carried out (V1-UNENR-08).
    OPEN_STATES = ("pending", "in_progress")

    def find_retiring_user(self, username: str) -> Any | None:
        """
        Give the user who asked to be retired under this name (V1-UNENR-03).

        Args:
            username: The original username, case and all.

        Returns:
            The user; ``None`` when nobody asked, or it is finished or aborted, or the
            account is gone.
        """
        if not is_storable(username) or not username:
            return None
        requests = UserRetirementStatus._default_manager.using(read_alias()).filter(
            original_username=username, state__in=self.OPEN_STATES, user__isnull=False
        )
        for request in requests.select_related("user").order_by("-pk"):
            # A case-insensitive collation also finds names that merely look alike.
            if request.original_username == username:
                return request.user
        return None
