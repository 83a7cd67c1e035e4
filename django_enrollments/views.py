"""
The REST API, version 1: who asks, is the request well-formed, how to answer.

Views decide nothing about enrollments; each makes one call into :mod:`.api`, whose
functions are looked up when called (NAM-07). :mod:`.wire` turns refusals into answers.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.exceptions import (
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import DataError
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import ensure_csrf_cookie
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView, set_rollback

from django_enrollments import api
from django_enrollments.authentication import ConfiguredClasses
from django_enrollments.calls import attributed, origin_of
from django_enrollments.conf import conf
from django_enrollments.enrolling.learners import find_user, find_users_by_email
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.keys import find_course_id
from django_enrollments.models import get_course_adapter
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    VIEW_ENROLLMENT_DATA,
    granted_courses,
    has_perm,
)
from django_enrollments.wire import (
    CarefulJSONParser,
    Describing,
    Enrolling,
    JSONOnly,
    Listing,
    Refused,
    RequestTooLarge,
    message,
    refusing,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

logger = logging.getLogger(__name__)

#: No user model has longer names or addresses; no statement needs to carry them.
_LONGEST_NAME = 1_000


class EnrollmentAPIView(APIView):
    """
    What all views share: JSON in, JSON out, and answers that no host setting bends.

    How requests authenticate is the host's choice (V1-AUTH); who is not logged in gets
    a 401 with a challenge, whatever the choice.
    """

    authentication_classes = ConfiguredClasses()
    permission_classes = [IsAuthenticated]
    parser_classes = [CarefulJSONParser, FormParser, MultiPartParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = JSONOnly
    versioning_class = None

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
        request.encoding = "utf-8"
        return super().initialize_request(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """
        Find out who asks.

        Args:
            request: The request.

        Raises:
            AuthenticationFailed: The credentials are none that any user can have.
        """
        try:
            super().perform_authentication(request)
        except (DataError, ValueError) as error:
            # Databases refuse even to look for some texts, NUL for instance.
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
            NotAuthenticated: Nobody is logged in, even if nobody can (V1-AUTH-11).
            PermissionDenied: Whoever is logged in may not (V1-AUTH-12).
        """
        if not (request.user and request.user.is_authenticated):
            raise NotAuthenticated
        super().permission_denied(request, message, code)

    def get_authenticate_header(self, request: Request) -> str:
        """
        Give the challenge of a 401, so that it never becomes a 403 (V1-AUTH-11).

        Args:
            request: The request.
        """
        return super().get_authenticate_header(request) or 'JWT realm="api"'

    def handle_exception(self, exc: Exception) -> Response:
        """
        Answer what was raised.

        Args:
            exc: What was raised.
        """
        if isinstance(exc, RequestDataTooBig | TooManyFieldsSent | TooManyFilesSent):
            exc = RequestTooLarge()
        if isinstance(exc, Refused):
            set_rollback()
            return Response(exc.body, status=exc.status)
        return super().handle_exception(exc)


class Requester:
    """
    Whoever asks, and what the permission backends let them do to others.

    Args:
        request: An authenticated request.
    """

    def __init__(self, request: Request) -> None:
        self.user: Any = request.user
        self.username: str = self.user.get_username()

    @cached_property
    def may_view(self) -> bool:
        """Whether they may read anybody's enrollments."""
        return has_perm(self.user, VIEW_ENROLLMENT_DATA)

    @cached_property
    def may_create(self) -> bool:
        """Whether they may enroll others, in any mode, and with force."""
        return has_perm(self.user, CREATE_ENROLLMENT)

    @cached_property
    def may_deactivate(self) -> bool:
        """Whether they may take others out of courses."""
        return has_perm(self.user, DEACTIVATE_ENROLLMENT)


class EnrollmentCourseDetailView(EnrollmentAPIView):
    """What enrolling needs to know of a course; open to everybody (V1-CRS)."""

    authentication_classes = []
    permission_classes = []

    def get(self, request: Request, course_id: str) -> Response:
        """
        Describe a course.

        Args:
            request: The request; ``?include_expired=`` with any value lists expired
                modes too.
            course_id: The course id.
        """
        with refusing(Describing(course_id=course_id)):
            details = api.get_course_enrollment_details(
                course_id, include_expired=_includes_expired(request)
            )
        return Response(details)


class EnrollmentListView(EnrollmentAPIView):
    """Lists enrollments (V1-LIST); enrolls, re-enrolls and changes them (V1-POST)."""

    @method_decorator(ensure_csrf_cookie)
    def get(self, request: Request) -> Response:
        """
        List the active enrollments of the requester, or of ``?user=``.

        Of others, a requester sees those in courses where they are on the team, and
        nothing tells whether there are more.

        Args:
            request: The request; ``?include_expired=`` with any value lists expired
                modes too.
        """
        requester = Requester(request)
        username = request.query_params.get("user", requester.username)
        include_expired = _includes_expired(request)
        if username != requester.username and not requester.may_view:
            return Response(_listed_for_team(requester, username, include_expired))
        with refusing(Listing(username)):
            listed = api.get_enrollments(username, include_expired=include_expired)
        return Response(listed)

    def post(self, request: Request) -> Response:
        """
        Enroll somebody, or change their enrollment.

        Checks run in the order of V1-POST-01; the first that refuses answers.

        Args:
            request: The request, with the wish as a JSON object.
        """
        requester = Requester(request)
        body = request.data if isinstance(request.data, dict) else {}
        course_id = _course_id_of(body)
        learner = _learner_of(body, requester)
        mode = _mode_of(body, requester)
        if learner != requester.username and not _exists(learner):
            raise _refused(406, "The user {} does not exist.", learner)
        is_active = _flag_of(
            body, "is_active", "'{}' is an invalid enrollment activation status."
        )
        force = _flag_of(
            body, "force_enrollment", "'{}' is an invalid force enrollment status."
        )
        with (
            refusing(Enrolling(learner, course_id, mode)),
            attributed(origin_of(actor=requester.user, source="rest")),
        ):
            enrollment = api.enroll_or_update(
                learner,
                course_id,
                mode=mode,
                is_active=is_active,
                enrollment_attributes=body.get("enrollment_attributes"),
                force_enrollment=force is True and requester.may_create,
                may_enroll=learner == requester.username or requester.may_create,
                may_change=requester.may_create,
                may_deactivate=requester.may_deactivate,
            )
        return Response(enrollment)


def _refused(code: int, text: str, *values: object) -> Refused:
    return Refused(code, message(text, *values))


def _includes_expired(request: Request) -> bool:
    # Any value but an empty one, "0" and "false" included (V1-CRS-02).
    return bool(request.query_params.get("include_expired"))


def _listed_for_team(
    requester: Requester, username: str, include_expired: bool
) -> list[dict[str, Any]]:
    """List what somebody on course teams may see of a learner (V1-LIST-06…12)."""
    try:
        listed = api.get_enrollments(username, include_expired=include_expired)
    except CourseEnrollmentError:
        # A refusal would tell that there is somebody to refuse.
        return []
    if not listed:
        return []
    adapter = get_course_adapter()
    wanted = {one["course_details"]["course_id"] for one in listed}
    courses = adapter.get_queryset().filter(**{f"{adapter.course_id}__in": wanted})
    granted = granted_courses(requester.user, VIEW_ENROLLMENT_DATA, courses)
    visible = {adapter.course_id_of(course) for course in granted}
    return [one for one in listed if one["course_details"]["course_id"] in visible]


def _course_id_of(body: Mapping[str, Any]) -> str:
    """Give the course id of a request (V1-POST-02…04)."""
    details = body.get("course_details")
    given = details.get("course_id") if isinstance(details, dict) else None
    if not given:
        raise _refused(400, "Course ID must be specified to create a new enrollment.")
    course_id = find_course_id(given) if isinstance(given, str) else None
    if course_id is None:
        raise _refused(400, "No course '{}' found for enrollment", given)
    return course_id


def _learner_of(body: Mapping[str, Any], requester: Requester) -> Any:
    """
    Give the name of who is to be enrolled; of others, it need not exist yet.

    Nothing tells whoever may not act for others if a user or an address exists
    (V1-POST-06…12, V1-POST-32).
    """
    user, email = body.get("user"), body.get("email")
    has_user, has_email = user not in (None, ""), email not in (None, "")
    if user == requester.username or not (has_user or has_email):
        return requester.username
    may_act = requester.may_create or (
        requester.may_deactivate and body.get("is_active") is False
    )
    if not may_act:
        raise Refused(404)
    return user if has_user else _name_of_address(email)


def _name_of_address(email: object) -> str:
    if isinstance(email, str) and len(email) <= _LONGEST_NAME:
        found = [
            user for users in find_users_by_email([email]).values() for user in users
        ]
    else:
        found = []
    if not found:
        raise _refused(406, "The user with the email address {} does not exist.", email)
    if len(found) > 1:
        raise _refused(409, "Several users have the email address {}.", email)
    name: str = found[0].get_username()
    return name


def _mode_of(body: Mapping[str, Any], requester: Requester) -> Any:
    """Give the mode of a request; not everybody may pick any (V1-POST-15…18)."""
    mode = body.get("mode")
    if isinstance(mode, list | dict):
        mode = told(mode)
    picks_own = mode is None or mode in conf.ENROLLMENTS_SELF_SERVICE_MODES
    if not picks_own and not requester.may_create:
        raise _refused(
            403,
            "User does not have permission to create enrollment with mode [{}].",
            mode,
        )
    return mode


def _exists(username: object) -> bool:
    return (
        isinstance(username, str)
        and len(username) <= _LONGEST_NAME
        and find_user(username) is not None
    )


def _flag_of(body: Mapping[str, Any], name: str, text: str) -> bool | None:
    """Give a flag of a request; only JSON's own booleans are ones (V1-POST-19…21)."""
    flag = body.get(name)
    if flag is not None and not isinstance(flag, bool):
        raise _refused(400, text, flag)
    return flag
