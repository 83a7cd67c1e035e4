"""
How callers say who they are, of all ways those that the host has configured.

The classes come from the views, which look at ``ENROLLMENTS_AUTHENTICATION_CLASSES``
each time; drf-spectacular looks up the scheme of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from drf_spectacular.drainage import set_override
from drf_spectacular.extensions import OpenApiAuthenticationExtension

from django_enrollments.authentication import (
    BearerAuthenticationAllowInactiveUser,
    JwtAuthentication,
    SessionAuthenticationAllowInactiveUser,
)
from django_enrollments.conf import conf

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

#: The name that drf-spectacular itself gives to Django's session.
SESSION = "cookieAuth"
CSRF = "csrfToken"
API_KEY = "enrollmentApiKey"


# It is one cookie whichever class reads it, Django REST framework's own included.
set_override(SessionAuthenticationAllowInactiveUser, "suppress_collision_warning", True)


class SessionScheme(OpenApiAuthenticationExtension):
    """Django's session; what it needs besides to change something, the view tells."""

    target_class = SessionAuthenticationAllowInactiveUser
    match_subclasses = True
    name = SESSION

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """
        Return the cookie.

        Args:
            auto_schema: The call that is described.
        """
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class JwtScheme(OpenApiAuthenticationExtension):
    """JSON web tokens of the extra ``jwt``."""

    target_class = JwtAuthentication
    match_subclasses = True
    name = "enrollmentJwt"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """
        Return the form of the header.

        Args:
            auto_schema: The call that is described.
        """
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "`Authorization: JWT …` will do as well as `Bearer …`.",
        }


class BearerScheme(OpenApiAuthenticationExtension):
    """OAuth 2 access tokens of the extra ``oauth``."""

    target_class = BearerAuthenticationAllowInactiveUser
    match_subclasses = True
    name = "enrollmentOAuth2"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """
        Return the form of the header.

        Args:
            auto_schema: The call that is described.
        """
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An OAuth 2 access token.",
        }


def csrf_definition() -> dict[str, Any]:
    """Return the header that Django wants besides the session to change something."""
    header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-")
    return {
        "type": "apiKey",
        "in": "header",
        "name": header,
        "description": (
            f"Django's CSRF token, as the cookie `{settings.CSRF_COOKIE_NAME}` holds "
            "it; goes with the session."
        ),
    }


def api_key_definition() -> dict[str, Any]:
    """Return the header that programs send instead of being logged in."""
    return {
        "type": "apiKey",
        "in": "header",
        "name": conf.ENROLLMENTS_API_KEY_HEADER,
        "description": "A key that the site has given to a program.",
    }
