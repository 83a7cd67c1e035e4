"""How the REST API learns who is asking."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.settings import api_settings

from django_enrollments.conf import conf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rest_framework.request import Request

logger = logging.getLogger(__name__)


class SessionAuthenticationAllowInactiveUser(SessionAuthentication):
    """
    Django's session, of accounts that are not active yet too (V1-AUTH-13).

    A new learner may thus enroll before confirming an address. Django's own login
    backend drops inactive users from their sessions; a host that wants them uses
    ``AllowAllUsersModelBackend``. CSRF protection holds as it does everywhere in
    Django (V1-AUTH-14).
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """
        Give the user of the session.

        Args:
            request: The request.

        Returns:
            The user and nothing more, or ``None`` when nobody is logged in.

        Raises:
            PermissionDenied: The request would change something, and its CSRF token
                is missing or wrong.
        """
        user = getattr(request._request, "user", None)
        if user is None or not user.is_authenticated:
            return None
        self.enforce_csrf(request)
        return user, None


class ConfiguredClasses:
    """
    The ``authentication_classes`` of a view, as they are configured at each look.

    See ``ENROLLMENTS_AUTHENTICATION_CLASSES``. A view that wants others simply names
    its own.
    """

    def __get__(
        self, view: object, owner: type | None = None
    ) -> Sequence[type[BaseAuthentication]]:
        """Give the classes that are configured now."""
        paths = conf.ENROLLMENTS_AUTHENTICATION_CLASSES
        if paths is None:
            # DRF gives classes where its stubs say dotted paths.
            defaults: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
            return [SessionAuthenticationAllowInactiveUser, *defaults]
        return _import_classes(tuple(paths))


@lru_cache(maxsize=32)
def _import_classes(paths: tuple[str, ...]) -> Sequence[type[BaseAuthentication]]:
    """Import what can be; without the others, only fewer people get in."""
    classes = []
    for path in paths:
        try:
            classes.append(import_string(path))
        except ImportError:
            logger.exception(
                "ENROLLMENTS_AUTHENTICATION_CLASSES names %r, which does not import.",
                path,
            )
    return classes
