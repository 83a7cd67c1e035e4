"""
The authentication classes of the REST API: sessions, JSON web tokens and OAuth 2.

Tokens need the library of an extra, which is imported when such a class is used.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.settings import api_settings

from django_enrollments.conf import conf
from django_enrollments.importing import (
    FAULTS,
    SettingLoadError,
    import_from_extra,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rest_framework.request import Request

logger = logging.getLogger(__name__)

REALM = "api"


class SessionAuthenticationAllowInactiveUser(SessionAuthentication):
    """
    Django's session, also of accounts that are not active (V1-AUTH-13).

    A new learner can so enroll before confirming an address. Django's own login backend
    ends the sessions of inactive users; a host that wants to keep them uses
    ``AllowAllUsersModelBackend``. CSRF protection is Django's (V1-AUTH-14).
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """
        Return the user of the session and ``None``, or ``None`` without a user.

        Raises:
            PermissionDenied: The CSRF token of a ``POST``, ``PUT``, ``PATCH`` or
                ``DELETE`` is missing or wrong.
        """
        user = getattr(request._request, "user", None)
        if user is None or not user.is_authenticated:
            return None
        self.enforce_csrf(request)
        return user, None


class EnrollmentCrossDomainSessionAuth(SessionAuthenticationAllowInactiveUser):
    """
    The same, for pages of other domains (V1-AUTH-02, V1-AUTH-15).

    Django's ``CSRF_TRUSTED_ORIGINS`` lists the domains; their requests need the CSRF
    token like all others. Django's cookie settings and CORS headers decide whether the
    browser sends its cookies and shows the response to the page.
    """


class JwtAuthentication(BaseAuthentication):
    """
    JSON web tokens of djangorestframework-simplejwt (extra ``jwt``).

    They are sent as ``Authorization: JWT …`` or ``Bearer …``, whatever header types the
    host's ``SIMPLE_JWT`` names; all its other settings apply, also to inactive users. A
    bearer token that is no JWT is left to the next class.

    Raises:
        ImproperlyConfigured: The extra is not installed.
    """

    #: The words before a token, in lower case; clients may write them in any case.
    header_types = (b"jwt", b"bearer")

    def __init__(self) -> None:
        jwt = import_from_extra("rest_framework_simplejwt.authentication", "jwt")
        self._tokens = jwt.JWTAuthentication()

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """
        Return the user of the token and the token, or ``None`` without a JWT.

        Raises:
            AuthenticationFailed: The token is malformed, invalid or expired, or names
                no user who may log in.
        """
        kind, *rest = get_authorization_header(request).split() or [b""]
        if kind.lower() not in self.header_types:
            return None
        if kind.lower() == b"bearer" and not (len(rest) == 1 and _is_jwt(rest[0])):
            return None
        if len(rest) != 1:
            raise AuthenticationFailed("The header must hold one token after its type.")
        token = self._tokens.get_validated_token(rest[0])
        settings = import_module("rest_framework_simplejwt.settings").api_settings
        claim = token.get(settings.USER_ID_CLAIM)
        # A field of integers would take True and 1.5 for the key 1.
        if isinstance(claim, bool) or not isinstance(claim, int | str):
            raise AuthenticationFailed("The token names no user.")
        return self._tokens.get_user(token), token

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return f'JWT realm="{REALM}"'


def _is_jwt(token: bytes) -> bool:
    return token.count(b".") == 2


class BearerAuthenticationAllowInactiveUser(BaseAuthentication):
    """
    OAuth 2 access tokens of django-oauth-toolkit (extra ``oauth``).

    Users who are not active can use theirs (V1-AUTH-01). A refusal has an
    ``error_code`` and a ``developer_message`` (V1-AUTH-19).

    Raises:
        ImproperlyConfigured: The extra is not installed, or ``oauth2_provider`` is not
            in ``INSTALLED_APPS``.
    """

    def __init__(self) -> None:
        import_from_extra("oauth2_provider", "oauth")
        if not apps.is_installed("oauth2_provider"):
            raise ImproperlyConfigured(
                f"{type(self).__name__} needs 'oauth2_provider' in INSTALLED_APPS."
            )

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """
        Return the user of the token and the token, or ``None`` without a bearer token.

        Raises:
            AuthenticationFailed: The token is malformed, unknown, expired, or belongs
                to no user.
        """
        kind, *rest = get_authorization_header(request).split() or [b""]
        if kind.lower() != b"bearer":
            return None
        if not rest:
            raise _bearer_failure("token_not_provided", "No token is sent.")
        try:
            (token,) = (part.decode() for part in rest)
        except ValueError as error:
            raise _bearer_failure(
                "token_malformed", "A token is one text without spaces."
            ) from error
        return self._check(token, request)

    def _check(self, token: str, request: Request) -> tuple[Any, Any]:
        settings = import_module("oauth2_provider.settings").oauth2_settings
        # Without the query, which the library would parse and may refuse.
        seen = import_module("oauthlib.common").Request(
            request.build_absolute_uri(request.path), request.method
        )
        if not settings.OAUTH2_VALIDATOR_CLASS().validate_bearer_token(token, [], seen):
            raise self._failure_of(token)
        if seen.user is None:
            raise _bearer_failure("user_is_disabled", "The token belongs to no user.")
        return seen.user, seen.access_token

    def _failure_of(self, token: str) -> AuthenticationFailed:
        known = import_module("oauth2_provider.models").get_access_token_model()
        checksum = sha256(token.encode()).hexdigest()
        stored = known._default_manager.filter(token_checksum=checksum).first()
        if stored and stored.is_expired():
            return _bearer_failure("token_expired", "The token has expired.")
        return _bearer_failure("token_nonexistent", "The token is not valid here.")

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return f'Bearer realm="{REALM}"'


def _bearer_failure(code: str, text: str) -> AuthenticationFailed:
    return AuthenticationFailed({"error_code": code, "developer_message": text})


class ConfiguredClasses:
    """
    A view's ``authentication_classes``, read live from the setting of that name.

    Args:
        session_class: The class before DRF's defaults if the setting is ``None``.
    """

    def __init__(self, session_class: type[BaseAuthentication]) -> None:
        self.session_class = session_class

    def __get__(
        self, view: object, owner: type | None = None
    ) -> Sequence[type[BaseAuthentication]]:
        """Return the configured classes."""
        paths = conf.ENROLLMENTS_AUTHENTICATION_CLASSES
        if paths is None:
            # DRF has classes here, where its stubs declare dotted paths.
            defaults: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
            return [self.session_class, *defaults]
        return _load_classes(paths)


def _load_classes(paths: Iterable[str]) -> Sequence[type[BaseAuthentication]]:
    """Load the classes, except faulty ones, without which fewer requests succeed."""
    classes = []
    for path in paths:
        try:
            classes.append(load("ENROLLMENTS_AUTHENTICATION_CLASSES", path))
        except SettingLoadError:
            logger.exception("A class that authenticates cannot be loaded.")
    return classes


def make_authenticators(
    classes: Iterable[type[BaseAuthentication]],
) -> list[BaseAuthentication]:
    """Return an instance of each class; a class that raises is logged and left out."""
    authenticators = []
    for kind in classes:
        try:
            authenticator = kind()
            if not callable(getattr(authenticator, "authenticate", None)):
                raise TypeError("It has no authenticate().")
            authenticators.append(authenticator)
        except FAULTS:
            logger.exception("%r cannot be used to authenticate requests.", kind)
    return authenticators
