"""What all views share: authentication, permissions, headers, errors."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.exceptions import TooManyFieldsSent, ValidationError
from django.db import DataError
from django.http import UnreadablePostError
from django.utils.cache import patch_vary_headers
from rest_framework.exceptions import (
    AuthenticationFailed,
    MethodNotAllowed,
    NotAuthenticated,
    Throttled,
)
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import WrappedAttributeError
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from django_enrollments.authentication import (
    ConfiguredClasses,
    SessionAuthenticationAllowInactiveUser,
    make_authenticators,
)
from django_enrollments.conf import conf
from django_enrollments.core.transactions import non_atomic
from django_enrollments.permissions import user_or_anonymous
from django_enrollments.policies import Requester, has_valid_api_key
from django_enrollments.throttling import EnrollmentUserThrottle
from django_enrollments.views.audit import write_audit_line
from django_enrollments.views.errors import (
    ErrorResponse,
    JSONOnly,
    StrictJSONParser,
    as_api_exception,
    untranslated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.request import Request

logger = logging.getLogger(__name__)

#: Errors of credentials that no authentication class expects: texts that a database
#: cannot look up, tokens whose claims are of other types or nested too deeply.
UNREADABLE = (
    ArithmeticError,
    DataError,
    LookupError,
    # Dates that the platform does not have.
    OSError,
    RecursionError,
    TypeError,
    ValidationError,
    ValueError,
    # DRF wraps an AttributeError.
    WrappedAttributeError,
)


class ApiKeyPermissionMixIn:
    """Recognizes programs by a key of ``ENROLLMENTS_API_KEYS`` (NAM-02)."""

    def has_api_key_permissions(self, request: Request | HttpRequest) -> bool:
        """Return whether a request has a valid key, and log it if so."""
        granted = has_valid_api_key(request.headers)
        if granted:
            write_audit_line(
                "ApiKeyHeaderPermission used",
                path=request.path,
                ip=request.META.get("REMOTE_ADDR"),
            )
        return granted


class ApiKeyOrAuthenticated(ApiKeyPermissionMixIn, BasePermission):
    """Grants access to logged-in users and valid API keys (V1-AUTH-06)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the requester is logged in or has a valid key."""
        is_known = user_or_anonymous(request.user).is_authenticated
        # Evaluated for users who are logged in too: the use of a key is logged.
        return self.has_api_key_permissions(request) or bool(is_known)


class IsGlobalStaff(BasePermission):
    """
    Grants access to users who may read, or change, the data of every learner.

    An API key is not enough (V1-AUTH-05, V1-AUTH-07).
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the user has the permission that the method needs."""
        user = Requester(request.user)
        if request.method in {"POST", "PUT", "PATCH", "DELETE"}:
            return user.can_enroll_others
        return user.can_view_others


class CanRetireUser(BasePermission):
    """Grants access to users who may retire users (V1-AUTH-18)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the user may unenroll a user from all courses."""
        return Requester(request.user).can_retire_users


class EnrollmentAPIView(ApiKeyPermissionMixIn, APIView):
    """
    The base of all views: JSON in and out, whatever the host's settings of DRF are.

    DRF's own messages are in English, because clients read them; messages of a host's
    filters are in the language of the request.

    The host chooses how requests authenticate (V1-AUTH). A requester who is not logged
    in gets a 401 with a challenge, whatever the choice.
    """

    authentication_classes = ConfiguredClasses(SessionAuthenticationAllowInactiveUser)
    permission_classes = [IsAuthenticated]
    throttle_classes = [EnrollmentUserThrottle]
    parser_classes = [StrictJSONParser, FormParser, MultiPartParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = JSONOnly
    versioning_class = None

    @property
    def is_personal(self) -> bool:
        """Whether responses depend on the requester."""
        return True

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view function, which runs outside ``ATOMIC_REQUESTS``."""
        return non_atomic(super().as_view(**initkwargs))

    def initialize_request(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Request:
        """Return DRF's request."""
        # JSON and forms are UTF-8, whatever charset the header names. Django parses the
        # query as well; a query that is too long is refused when the view reads it.
        with suppress(TooManyFieldsSent):
            request.encoding = "utf-8"
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, check permissions and throttle."""
        with untranslated():
            super().initial(request, *args, **kwargs)

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Return the response; personal ones must not be stored by shared caches."""
        response = super().finalize_response(request, response, *args, **kwargs)
        # A throttled response depends on the requester in every view.
        if self.is_personal or response.status_code == Throttled.status_code:
            response["Cache-Control"] = "private, no-store"
            looked_at = ("Authorization", "Cookie", conf.ENROLLMENTS_API_KEY_HEADER)
            patch_vary_headers(response, looked_at)
        return response

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> NoReturn:
        """Raise ``MethodNotAllowed``, with its message in English."""
        with untranslated():
            raise MethodNotAllowed(request.method or "")

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return the authenticators, without those that cannot be instantiated."""
        return make_authenticators(self.authentication_classes)

    def perform_authentication(self, request: Request) -> None:
        """
        Authenticate a request; users that are not accounts of this site are anonymous.

        Raises:
            AuthenticationFailed: The credentials cannot belong to any user.
        """
        try:
            request.user = user_or_anonymous(request.user)
        except UnreadablePostError:
            raise
        except UNREADABLE as error:
            logger.warning("Credentials could not be looked up.", exc_info=True)
            raise AuthenticationFailed from error

    def permission_denied(
        self, request: Request, message: str | None = None, code: str | None = None
    ) -> NoReturn:
        """
        Refuse a request.

        Raises:
            NotAuthenticated: The requester is not logged in (V1-AUTH-11).
            PermissionDenied: The user is logged in, without permission (V1-AUTH-12).
        """
        if not (request.user and request.user.is_authenticated):
            raise NotAuthenticated
        super().permission_denied(request, message, code)

    def get_authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401; without one, DRF sends 403 (V1-AUTH-11)."""
        return super().get_authenticate_header(request) or 'JWT realm="api"'

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Return DRF's own handler: a host's may send errors of another shape."""
        return exception_handler

    def handle_exception(self, exc: Exception) -> Response:
        """Return the response to an exception."""
        if isinstance(exc, ErrorResponse):
            return Response(exc.body, status=exc.status)
        with untranslated():
            return super().handle_exception(as_api_exception(exc))


def requester_of(request: Request) -> Requester:
    """Return the requester of an authenticated request, in a view that accepts keys."""
    return Requester(request.user, has_api_key=has_valid_api_key(request.headers))
