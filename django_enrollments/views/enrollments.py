"""Enrollments: one, those of a learner, and enrolling."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.utils.decorators import method_decorator
from django.views.decorators.csrf import ensure_csrf_cookie
from rest_framework.response import Response

from django_enrollments import api
from django_enrollments.authentication import (
    ConfiguredClasses,
    EnrollmentCrossDomainSessionAuth,
)
from django_enrollments.context import origin_of, override_origin
from django_enrollments.core.transactions import writing_call
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.identifiers import find_course_id
from django_enrollments.models import get_course_adapter
from django_enrollments.text import MAX_TEXT, MAX_USERNAME, is_storable
from django_enrollments.users import choose_user, find_user, find_users_by_email
from django_enrollments.views.audit import write_audit_line
from django_enrollments.views.base import (
    ApiKeyOrAuthenticated,
    EnrollmentAPIView,
    requester_of,
)
from django_enrollments.views.enrolling import EnrollmentRequest, enroll_or_change
from django_enrollments.views.errors import (
    ENROLLING,
    LISTING,
    RETRIEVING,
    ErrorResponse,
    error_with_message,
    responding_to_errors,
    safe_text,
)
from django_enrollments.views.inputs import (
    CourseQuerySerializer,
    EnrollmentChangeSerializer,
    EnrollmentTargetSerializer,
    LearnerQuerySerializer,
    body_of,
    validated,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from django.db.models import QuerySet
    from rest_framework.request import Request

    from django_enrollments.payloads import EnrollmentDict
    from django_enrollments.policies import Requester


class EnrollmentView(EnrollmentAPIView):
    """One enrollment, of the requester or, for global staff, of anybody (V1-GET)."""

    permission_classes = [ApiKeyOrAuthenticated]

    @method_decorator(ensure_csrf_cookie)
    def get(
        self, request: Request, course_id: str, username: str | None = None
    ) -> Response:
        """
        Return an enrollment, of the requester where the path names no learner.

        Active or not. Only staff and programs with an API key see that of others. The
        response sets the cookie with the CSRF token.

        Responses:
            200: The enrollment. **An empty body when there is none.**
            400: The data layer refused.
            404: The path has no valid course id or username; the site decides the
                body. Or the requester may not see the enrollments of this learner: an
                empty body, whether or not the learner exists.
        """
        requester = requester_of(request)
        if username is None or requester.is_named(username):
            username = requester.username
        elif not requester.can_view_others:
            # The same response whether or not the learner exists (V1-GET-02).
            raise ErrorResponse(404)
        query = validated(CourseQuerySerializer(data=request.query_params))
        with responding_to_errors(RETRIEVING, username=username, course_id=course_id):
            enrollment = api.get_enrollment(
                username, course_id, include_expired=query["include_expired"]
            )
        return Response(enrollment)


class EnrollmentListView(EnrollmentAPIView):
    """Lists enrollments (V1-LIST); enrolls, re-enrolls and changes them (V1-POST)."""

    authentication_classes = ConfiguredClasses(EnrollmentCrossDomainSessionAuth)
    permission_classes = [ApiKeyOrAuthenticated]

    @method_decorator(ensure_csrf_cookie)
    def get(self, request: Request) -> Response:
        """
        List a learner's active enrollments, oldest first.

        Staff and programs with an API key see those of others; members of a course
        team see those in their courses. Everybody else gets an empty list, whether or
        not there is such a user. The response sets the cookie with the CSRF token.

        Responses:
            200: The enrollments, possibly none.
            400: The data layer refused.
            403: A filter of the site vetoed.
        """
        requester = requester_of(request)
        query = validated(LearnerQuerySerializer(data=request.query_params))
        username = query.get("user", requester.username)
        include_expired = query["include_expired"]
        if requester.is_named(username):
            username = requester.username
        elif not requester.can_view_others:
            return Response(_listed_for_team(requester, username, include_expired))
        with responding_to_errors(LISTING, username=username):
            listed = api.get_enrollments(username, include_expired=include_expired)
        return Response(listed)

    @writing_call()
    def post(self, request: Request) -> Response:
        """
        Enroll a learner, or change an enrollment.

        A learner can enroll and come back; the same request twice has the same
        response. Leaving and changing the mode are for staff and programs with an API
        key, who may also act for others. A learner who asks for either gets the
        enrollment as it is.

        Responses:
            200: The enrollment afterwards: new, changed, or as it was.
            400: The request is malformed, the course is unknown, the address is
                invalid, the mode is not on offer, or enrolling was refused.
            403: The requester may not choose this mode, a filter or the site's
                permissions vetoed, or the CSRF token is missing.
            404: The requester may not act for others, whether or not there is such a
                user or address.
            406: No user has this name or address.
            409: Several active users have this address, or several inactive ones and no
                active one.
        """
        # Checks run in the order of V1-POST-01; the first that refuses responds.
        requester = requester_of(request)
        body = body_of(request)
        target = validated(EnrollmentTargetSerializer(data=body))
        course_id = target["course_details"]["course_id"]
        learner = _learner_of(body, requester)
        mode = _mode_of(body, requester)
        user = _user_of(learner, requester)
        if user is None:
            raise error_with_message(406, "The user {} does not exist.", learner)
        with _audited(requester, user, course_id, body) as seen:
            change = validated(EnrollmentChangeSerializer(data=body))
            is_forced = change.pop("force_enrollment", None) and requester.can_force
            with (
                responding_to_errors(
                    ENROLLING,
                    username=learner,
                    course_id=course_id,
                    mode=mode,
                    cohort=change.get("cohort"),
                ),
                override_origin(origin_of(actor=requester.user, source="rest")),
            ):
                wanted = EnrollmentRequest(
                    requester,
                    user,
                    learner,
                    course_id,
                    mode,
                    force_enrollment=bool(is_forced),
                    **change,
                )
                enrollment = enroll_or_change(wanted)
            seen.update(enrollment)
        return Response(enrollment)


@contextmanager
def _audited(
    requester: Requester, user: Any, course_id: str, body: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """
    Log the request of a program with an API key, whatever its outcome (AUD-01…05).

    Yields:
        A dictionary for the resulting enrollment; if it stays empty, it is read.
    """
    seen: dict[str, Any] = {}
    try:
        yield seen
    finally:
        if requester.has_api_key:
            with suppress(Exception):
                actual = seen or api.get_enrollment(user.get_username(), course_id)
                write_audit_line(
                    "enrollment_change_requested",
                    course_id=course_id,
                    requested_mode=safe_text(body.get("mode"))[:MAX_TEXT],
                    actual_mode=actual and actual["mode"],
                    requested_activation=safe_text(body.get("is_active"))[:MAX_TEXT],
                    actual_activation=actual and actual["is_active"],
                    user_id=user.pk,
                )


def _listed_for_team(
    requester: Requester, username: str, include_expired: bool
) -> list[EnrollmentDict]:
    """
    Return the enrollments of a learner that a course team may see (V1-LIST-06…12).

    Only visible enrollments are read, as far as the permission backends can list
    courses: the response time would otherwise disclose the number of others.
    """
    visible_ids = requester.visible_course_ids()
    visible = None if visible_ids is None else _ids_by_key(visible_ids)
    if visible == {}:
        return []
    try:
        listed = api.get_enrollments(
            username, include_expired=include_expired, in_courses=visible
        )
    except CourseEnrollmentError:
        # A refusal would disclose that the learner exists.
        return []
    of_courses = [
        (details["course_id"], one)
        for one in listed
        if (details := one["course_details"])
    ]
    if visible is None:
        ids = {course_id for course_id, _ in of_courses}
        courses = requester.visible_courses(_courses_of(ids))
        id_of = get_course_adapter().course_id_of
        visible = {course.pk: id_of(course) for course in courses}
    shown = {*visible.values()}
    return [one for course_id, one in of_courses if course_id in shown]


def _ids_by_key(course_ids: Iterable[str]) -> dict[Any, str]:
    """Return the courses that have these ids to the letter, by primary key."""
    # A role may have a text that is no course id.
    wanted = {text for text in course_ids if find_course_id(text)}
    if not wanted:
        return {}
    courses = _courses_of(wanted).values_list("pk", get_course_adapter().course_id)
    return {key: str(text) for key, text in courses if str(text) in wanted}


def _courses_of(course_ids: Collection[str]) -> QuerySet[Any]:
    adapter = get_course_adapter()
    return adapter.get_queryset().filter(**{f"{adapter.course_id}__in": course_ids})


def _learner_of(body: Mapping[str, Any], requester: Requester) -> Any:
    """
    Return the name of the learner, who need not exist (V1-POST-06…12).

    Requesters who may not act for others cannot find out whether a user or an address
    exists (V1-POST-32).
    """
    user, email = body.get("user"), body.get("email")
    has_user, has_email = user not in (None, ""), email not in (None, "")
    if requester.is_named(user) or not (has_user or has_email):
        return requester.username
    if not requester.can_act_for_others(is_active=body.get("is_active")):
        raise ErrorResponse(404)
    return user if has_user else _name_of_address(email)


#: The responses for an address without exactly one user, by the code of the error.
_NO_USER = {
    "invalid_email": (400, "'{}' is not a valid email address."),
    "user_not_found": (406, "The user with the email address {} does not exist."),
    "ambiguous_email": (409, "Several users have the email address {}."),
}


def _name_of_address(email: object) -> str:
    """Return the name of the user with an address."""
    try:
        user = choose_user(email, find_users_by_email([email]))
    except CourseEnrollmentError as error:
        code, text = _NO_USER[error.code]
        raise error_with_message(code, text, email) from error
    return str(user.get_username())


def _mode_of(body: Mapping[str, Any], requester: Requester) -> Any:
    """Return the mode, which the requester may choose (V1-POST-15…18)."""
    mode = body.get("mode")
    if isinstance(mode, list | dict):
        mode = safe_text(mode)
    # The permission to deactivate does not depend on the mode.
    if not requester.can_choose_mode(mode) and not requester.can_act_for_others(
        is_active=body.get("is_active")
    ):
        raise error_with_message(
            403,
            "User does not have permission to create enrollment with mode [{}].",
            mode,
        )
    return mode


def _user_of(learner: object, requester: Requester) -> Any | None:
    """Return the learner, or ``None`` if there is no such user (V1-POST-13)."""
    if learner == requester.username and requester.user.is_authenticated:
        return requester.user
    return find_user(learner) if is_storable(learner, MAX_USERNAME) else None
