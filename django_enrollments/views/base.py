"""What all views share: who asks, is the request well-formed, how to answer."""

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
from django_enrollments.permissions import account_of
from django_enrollments.policies import Requester, has_valid_api_key
from django_enrollments.throttling import EnrollmentUserThrottle
from django_enrollments.views.audit import write_audit_line
from django_enrollments.views.errors import (
    CarefulJSONParser,
    JSONOnly,
    Refused,
    as_api_exception,
    untranslated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.request import Request

logger = logging.getLogger(__name__)

#: What credentials raise that no class expected: texts that a database does not even
#: look for, tokens whose claims are of other types, or nested too deeply.
UNREADABLE = (
    ArithmeticError,
    DataError,
    LookupError,
    # No platform has dates of any size.
    OSError,
    RecursionError,
    TypeError,
    ValidationError,
    ValueError,
    # What DRF makes of an AttributeError.
    WrappedAttributeError,
)


class ApiKeyPermissionMixIn:
    """Knows the programs that act by a key of ``ENROLLMENTS_API_KEYS`` (NAM-02)."""

    def has_api_key_permissions(self, request: Request | HttpRequest) -> bool:
        """
        Return whether a request carries a valid key; each that does is logged.

        Args:
            request: The request.
        """
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
        """
        Return whether a request may go on.

        Args:
            request: The request.
            view: The view that is asked.
        """
        is_known = account_of(request.user).is_authenticated
        # Asked of those who are logged in too, for what their key does is logged.
        return self.has_api_key_permissions(request) or bool(is_known)


class IsGlobalStaff(BasePermission):
    """
    Grants access to users who may read, or change, the data of every learner.

    An API key is not enough (V1-AUTH-05, V1-AUTH-07).
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """
        Return whether the user has the permission that the method needs.

        Args:
            request: An authenticated request.
            view: The view.
        """
        user = Requester(request.user)
        if request.method in {"POST", "PUT", "PATCH", "DELETE"}:
            return user.can_enroll_others
        return user.can_view_others


class CanRetireUser(BasePermission):
    """Grants access to users who may retire users (V1-AUTH-18)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """
        Return whether the user may unenroll a user from all courses.

        Args:
            request: An authenticated request.
            view: The view.
        """
        return Requester(request.user).can_retire_users


class EnrollmentAPIView(ApiKeyPermissionMixIn, APIView):
    """
    What all views share: JSON in, JSON out, and answers that no host setting bends.

    DRF's own texts are said as they are written, in English, for clients read them;
    what hosts say by their filters keeps the language of the request.

    How requests authenticate is the host's choice (V1-AUTH); who is not logged in gets
    a 401 with a challenge, whatever the choice.
    """

    authentication_classes = ConfiguredClasses(SessionAuthenticationAllowInactiveUser)
    permission_classes = [IsAuthenticated]
    throttle_classes = [EnrollmentUserThrottle]
    parser_classes = [CarefulJSONParser, FormParser, MultiPartParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = JSONOnly
    versioning_class = None

    @property
    def is_personal(self) -> bool:
        """Whether answers depend on the requester."""
        return True

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """
        Return the view function, which runs outside ``ATOMIC_REQUESTS``.

        Args:
            initkwargs: As Django takes them.
        """
        return non_atomic(super().as_view(**initkwargs))

    def initialize_request(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Request:
        """
        Wrap Django's request.

        Args:
            request: Django's request.
            args: As DRF gives them.
            kwargs: As DRF gives them.
        """
        # JSON and forms are UTF-8; a charset that a client makes up means nothing.
        # Django looks at the query too. That it is too long is told by whoever reads
        # it, as all other refusals are.
        with suppress(TooManyFieldsSent):
            request.encoding = "utf-8"
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """
        Find out who asks, and whether they may, now.

        Args:
            request: The request.
            args: As DRF gives them.
            kwargs: As DRF gives them.
        """
        with untranslated():
            super().initial(request, *args, **kwargs)

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """
        Return the answer, with headers that keep personal ones out of shared caches.

        How many requests are left differs by caller, whatever the view.

        Args:
            request: The request.
            response: The answer of the view.
            args: As DRF gives them.
            kwargs: As DRF gives them.
        """
        response = super().finalize_response(request, response, *args, **kwargs)
        if self.is_personal or response.status_code == Throttled.status_code:
            response["Cache-Control"] = "private, no-store"
            looked_at = ("Authorization", "Cookie", conf.ENROLLMENTS_API_KEY_HEADER)
            patch_vary_headers(response, looked_at)
        return response

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> NoReturn:
        """
        Refuse a method that the view does not have.

        Args:
            request: The request.
            args: As DRF gives them.
            kwargs: As DRF gives them.

        Raises:
            MethodNotAllowed: Always.
        """
        with untranslated():
            raise MethodNotAllowed(request.method or "")

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return the authenticators; one that cannot be made authenticates nothing."""
        return make_authenticators(self.authentication_classes)

    def perform_authentication(self, request: Request) -> None:
        """
        Authenticate a request; what is no account of this site becomes anonymous.

        Args:
            request: The request.

        Raises:
            AuthenticationFailed: The credentials are none that any user can have.
        """
        try:
            request.user = account_of(request.user)
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

        Args:
            request: The request.
            message: As DRF gives it.
            code: As DRF gives it.

        Raises:
            NotAuthenticated: No user is logged in, even if none can (V1-AUTH-11).
            PermissionDenied: The user who is logged in may not (V1-AUTH-12).
        """
        if not (request.user and request.user.is_authenticated):
            raise NotAuthenticated
        super().permission_denied(request, message, code)

    def get_authenticate_header(self, request: Request) -> str:
        """
        Return the challenge of a 401, so that it never becomes a 403 (V1-AUTH-11).

        Args:
            request: The request.
        """
        return super().get_authenticate_header(request) or 'JWT realm="api"'

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Return DRF's own handler: clients do not know the errors of a host's."""
        return exception_handler

    def handle_exception(self, exc: Exception) -> Response:
        """Return the response to an exception."""
        if isinstance(exc, Refused):
            return Response(exc.body, status=exc.status)
        with untranslated():
            return super().handle_exception(as_api_exception(exc))


def requester_of(request: Request) -> Requester:
    """
    Return the requester, in a view that accepts API keys.

    Args:
        request: An authenticated request.
    """
    return Requester(request.user, has_api_key=has_valid_api_key(request.headers))
