from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied


class ObjectPermissions:
    """
    Ties a permission to one object, which must be of the permission's own app.

    Object-permission packages are as strict: asked about an object of another app
    they raise.
    """

    granted: set[tuple[Any, str, Any]] = set()

    def has_perm(self, user: Any, perm: str, obj: Any = None) -> bool:
        if obj is None:
            return False
        app_label, _, codename = perm.partition(".")
        if app_label != obj._meta.app_label:
            raise LookupError(f"{perm} is not about {obj._meta.app_label}.")
        return (user.pk, codename, obj.pk) in self.granted


class Rules:
    """Grants permissions by name, whatever the object."""

    granted: set[tuple[Any, str]] = set()

    def has_perm(self, user: Any, perm: str, obj: Any = None) -> bool:
        return (user.pk, perm) in self.granted


class Broken:
    """Fails at every call."""

    def has_perm(self, user: Any, perm: str, obj: Any = None) -> bool:
        raise RuntimeError("The directory server is down.")


class Denier:
    """Vetoes, so that Django calls no further backend."""

    def has_perm(self, user: Any, perm: str, obj: Any = None) -> bool:
        raise PermissionDenied
