from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied


class GrantsNothing:
    """Grants nothing."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return False


class GrantsEverything:
    """Grants everything."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return True


class Vetoes:
    """Vetoes everything."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        raise PermissionDenied("Vetoed.")


class VetoesWithoutReason:
    """Vetoes everything and gives no reason."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        raise PermissionDenied


class ListedUsers:
    """Grants every permission to the users of a list, and keeps its calls."""

    users: list[Any] = []
    calls: list[tuple[Any, str, Any]] = []

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        self.calls.append((user, perm, course))
        return user in self.users


class ListedUsersAtOnce(ListedUsers):
    """The same for many users at once."""

    def grants(self, users: Any, perm: str, course: Any = None) -> set[Any]:
        return {user.pk for user in users if self.has_perm(user, perm, course)}
