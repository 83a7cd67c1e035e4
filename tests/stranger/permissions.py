from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied


class Nobody:
    """Grants nothing."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return False


class Everybody:
    """Grants everything to everybody."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return True


class Bouncer:
    """Vetoes everything."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        raise PermissionDenied("Not in these shoes.")


class WordlessBouncer:
    """Vetoes everything and gives no reason."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        raise PermissionDenied


class GuestList:
    """Grants every permission to those on a list, and remembers what it was asked."""

    guests: list[Any] = []
    asked: list[tuple[Any, str, Any]] = []

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        self.asked.append((user, perm, course))
        return user in self.guests


class QuickGuestList(GuestList):
    """The same for many users at once."""

    def grants(self, users: Any, perm: str, course: Any = None) -> set[Any]:
        return {user.pk for user in users if self.has_perm(user, perm, course)}
