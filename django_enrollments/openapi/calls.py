"""Every call of the REST API: what it takes, and each answer that it can give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from drf_spectacular.types import OpenApiTypes

from django_enrollments.openapi import examples
from django_enrollments.openapi.answers import (
    NOT_DONE,
    NOT_ENROLLED,
    answer,
    no_route,
    nothing,
    parse_error,
    refusal,
    refused_before,
    refused_before_list,
    shown,
)
from django_enrollments.openapi.parameters import (
    include_expired,
    list_filters,
    query,
)
from django_enrollments.openapi.shapes import (
    DeveloperMessageSerializer,
    EligibilitySerializer,
    EnrollmentPageSerializer,
    EnrollmentRequestSerializer,
    FieldErrorsSerializer,
    InvitationRequestSerializer,
    RetirementRequestSerializer,
    RolesSerializer,
    WithdrawalRequestSerializer,
)
from django_enrollments.serializers import (
    CourseEnrollmentAllowedSerializer,
    CourseEnrollmentSerializer,
    CourseSerializer,
)
from django_enrollments.views import (
    CourseEnrollmentsApiListView,
    EnrollmentAllowedView,
    EnrollmentCourseDetailView,
    EnrollmentEligibilityView,
    EnrollmentListView,
    EnrollmentUserRolesView,
    EnrollmentView,
    UnenrollmentView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drf_spectacular.utils import (
        OpenApiExample,
        OpenApiParameter,
        OpenApiResponse,
    )
    from rest_framework.serializers import Serializer
    from rest_framework.views import APIView

JSON = "application/json"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True)
class Call:
    """
    One call.

    Attributes:
        operation_id: Its name, which clients make functions of.
        tag: The group that it belongs to.
        summary: What it does, in a line.
        description: What else there is to know.
        answers: What it answers, by status.
        parameters: Gives the parameters of the query, which settings may shape.
        body: The serializer that describes the body, if there is one.
        bodies: Examples of the body by what they show.
        media_types: What the body may come as.
        may_be_empty: Whether a 200 comes without a body when there is nothing to tell,
            which OpenAPI has no word for.
    """

    operation_id: str
    tag: str
    summary: str
    description: str
    answers: Mapping[int, OpenApiResponse]
    parameters: Callable[[], Sequence[OpenApiParameter]] = tuple
    body: type[Serializer[None]] | None = None
    bodies: Mapping[str, Any] | None = None
    media_types: Sequence[str] = (JSON, *FORMS)
    may_be_empty: bool = False

    @property
    def body_examples(self) -> list[OpenApiExample]:
        """The examples of the body."""
        return shown(self.bodies or {})


_NO_COURSE = "No course found for course ID 'NOWHERE'"

_ENROLLMENTS = "Enrollments"
_COURSES = "Enrollment courses"
_ROLES = "Enrollment roles"
_INVITATIONS = "Enrollment invitations"
_RETIREMENT = "Enrollment retirement"

#: An enrollment has two URLs.
ENROLLMENT = Call(
    "get_enrollment",
    _ENROLLMENTS,
    "Get a learner's enrollment in a course",
    "Active or not. Only staff and programs with an API key see that of others. The "
    "answer sets the cookie with the CSRF token.",
    {
        200: answer(
            CourseEnrollmentSerializer,
            "The enrollment. **Without any body when there is none.**",
            enrolled=examples.ENROLLMENT,
        ),
        400: refusal(
            "The data layer refused.",
            refused=(
                "An error occurred while retrieving enrollments for user 'learner' in "
                "course 'DJANGO-101'"
            ),
        ),
        404: no_route(
            "Or, without a body: it is somebody else's, or would be. Whether there is "
            "one, or such a user, is not told."
        ),
        **refused_before(401, 413, 429),
    },
    lambda: [include_expired()],
    may_be_empty=True,
)
OWN_ENROLLMENT = replace(
    ENROLLMENT,
    operation_id="get_own_enrollment",
    summary="Get one's own enrollment in a course",
    description="Active or not. The answer sets the cookie with the CSRF token.",
)

CALLS: Mapping[type[APIView], Mapping[str, Call]] = {
    EnrollmentView: {"GET": ENROLLMENT},
    EnrollmentListView: {
        "GET": Call(
            "list_enrollments",
            _ENROLLMENTS,
            "List a learner's active enrollments",
            "Oldest first. Others are seen by staff and programs with an API key; "
            "members of a course team see those in their courses. Everybody else gets "
            "an empty list, whether or not there is such a user. The answer sets the "
            "cookie with the CSRF token.",
            {
                200: answer(
                    CourseEnrollmentSerializer(many=True),
                    "The enrollments, possibly none.",
                    enrolled=examples.ENROLLMENT,
                ),
                400: refusal(
                    "The data layer refused.",
                    refused=(
                        "An error occurred while retrieving enrollments for user "
                        "'learner'"
                    ),
                ),
                403: refusal("A filter of the site vetoed.", vetoed="Not today."),
                **refused_before(401, 413, 429),
            },
            lambda: [
                query("user", "Username of the learner; the requester without it."),
                include_expired(),
            ],
        ),
        "POST": Call(
            "enroll",
            _ENROLLMENTS,
            "Enroll a learner, or change an enrollment",
            "A learner can enroll and come back; asking twice gives the same answer. "
            "Leaving and changing the mode are for staff and programs with an API key, "
            "who may also act for others. A learner who asks for either gets the "
            "enrollment as it is.",
            {
                200: answer(
                    CourseEnrollmentSerializer,
                    "The enrollment afterwards: new, changed, or as it was.",
                    enrolled=examples.ENROLLMENT,
                ),
                400: answer(
                    NOT_ENROLLED,
                    "The request is malformed, the course is unknown, the address is "
                    "invalid, the mode is not on offer, or enrolling was refused.",
                    no_course={
                        "message": "No course 'NOWHERE' found for enrollment",
                    },
                    invalid_address={
                        "message": "'nobody@' is not a valid email address.",
                    },
                    mode_not_on_offer={
                        "message": (
                            "The [honor] course mode is expired or otherwise "
                            "unavailable for course run [DJANGO-101]."
                        ),
                        "course_details": examples.COURSE,
                    },
                    malformed_attribute={
                        "message": "'value' not in enrollment attribute",
                        "localizedMessage": "'value' not in enrollment attribute",
                    },
                    closed_or_full={
                        "message": (
                            "An error occurred while creating the new course "
                            "enrollment for user 'learner' in course 'POTTERY-1'"
                        ),
                    },
                    no_json=parse_error(),
                ),
                403: answer(
                    NOT_DONE,
                    "The requester may not pick this mode, a filter or the site's "
                    "permissions vetoed, or the CSRF token is missing.",
                    mode_not_for_learners={
                        "message": (
                            "User does not have permission to create enrollment with "
                            "mode [verified]."
                        ),
                    },
                    no_token={"detail": "CSRF Failed: CSRF token missing."},
                ),
                404: nothing(
                    "The requester may not act for others. Whether there is such a "
                    "user or address is not told."
                ),
                406: refusal(
                    "No user has this name or address.",
                    no_user="The user nobody does not exist.",
                    no_address=(
                        "The user with the email address nobody@example.org does not "
                        "exist."
                    ),
                ),
                409: refusal(
                    "Several active users have this address, or several inactive ones "
                    "and no active one.",
                    several=f"Several users have the email address {examples.ADDRESS}.",
                ),
                **refused_before(401, 413, 415, 429),
            },
            body=EnrollmentRequestSerializer,
            bodies={
                "enroll": examples.TO_ENROLL,
                "enroll_somebody_else": examples.TO_ENROLL_OTHERS,
                "deactivate": examples.TO_DEACTIVATE,
            },
            # Forms are parsed, and cannot hold the course (V1-POST-30).
            media_types=(JSON,),
        ),
    },
    CourseEnrollmentsApiListView: {
        "GET": Call(
            "list_all_enrollments",
            _ENROLLMENTS,
            "List everybody's enrollments",
            "For staff: active or not, newest first, page by page. An API key does not "
            "open it. Parameters narrow each other down; an empty one is none. The "
            "slash at the end of the path may be left out.",
            {
                200: answer(EnrollmentPageSerializer, "A page.", page=examples.PAGE),
                400: answer(
                    FieldErrorsSerializer,
                    "Filters are malformed; each one that is, is told.",
                    malformed={
                        "field_errors": {
                            "course_id": {
                                "developer_message": "'a b' is not a valid course id."
                            }
                        }
                    },
                ),
                404: answer(
                    DeveloperMessageSerializer,
                    "The cursor is none of this list's.",
                    cursor={"developer_message": "Invalid cursor"},
                ),
                **refused_before_list(401, 403, 413, 429),
            },
            list_filters,
        ),
    },
    EnrollmentEligibilityView: {
        "GET": Call(
            "explain_enrollment",
            _COURSES,
            "Tell whether the requester may enroll in a course",
            "Runs the rules that enrolling would run, and lists every one that "
            "refuses. Nothing is written.",
            {
                200: answer(
                    EligibilitySerializer,
                    "An explanation, whether it allows or not.",
                    allowed=examples.ELIGIBLE,
                    refused=examples.NOT_ELIGIBLE,
                ),
                400: refusal("No course has this id.", no_course=_NO_COURSE),
                404: no_route(),
                **refused_before(401, 413, 429),
            },
            lambda: [query("mode", "Mode slug; the default without it.", "audit")],
        ),
    },
    EnrollmentCourseDetailView: {
        "GET": Call(
            "describe_course",
            _COURSES,
            "Get a course with its modes",
            "Open to everybody, logged in or not.",
            {
                200: answer(CourseSerializer, "The course.", course=examples.COURSE),
                400: refusal("No course has this id.", no_course=_NO_COURSE),
                404: no_route(),
                **refused_before(413, 429),
            },
            lambda: [include_expired()],
        ),
    },
    UnenrollmentView: {
        "POST": Call(
            "leave_all_courses",
            _RETIREMENT,
            "Take somebody who asked to be retired out of all courses",
            "Out of every course, or of none if anything fails. For whoever may retire "
            "users. It is never throttled.",
            {
                200: answer(
                    {"type": "array", "items": {"type": "string"}},
                    "The ids of the courses left.",
                    left=[examples.COURSE_ID],
                ),
                204: nothing("There were none to leave."),
                404: answer(
                    OpenApiTypes.STR,
                    "`username` is missing, or nobody with an open request had this "
                    "name.",
                    missing="Username not specified.",
                    no_request="No retirement request status for username.",
                ),
                500: answer(
                    OpenApiTypes.STR,
                    "Something failed, and nothing has changed.",
                    failed="An error occurred while unenrolling the user.",
                ),
                **refused_before(400, 401, 403, 413, 415),
            },
            body=RetirementRequestSerializer,
            bodies={"retire": examples.TO_RETIRE},
        ),
    },
    EnrollmentUserRolesView: {
        "GET": Call(
            "list_roles",
            _ROLES,
            "List one's own course and organization roles",
            "Sorted, each once. A role on a whole organization has no course.",
            {
                200: answer(
                    RolesSerializer, "The roles, possibly none.", roles=examples.ROLES
                ),
                400: refusal(
                    "They could not be read.",
                    # Clients know the text without the quote that is missing.
                    refused=(
                        "An error occurred while retrieving roles for user 'learner"
                    ),
                ),
                **refused_before(401, 413, 429),
            },
            lambda: [
                query(
                    "course_id",
                    "Keeps the roles on exactly this course.",
                    examples.COURSE_ID,
                )
            ],
        ),
    },
    EnrollmentAllowedView: {
        "GET": Call(
            "list_invitations",
            _INVITATIONS,
            "List the invitations of an address",
            "For staff. Used ones too, whatever the case of the address.",
            {
                200: answer(
                    CourseEnrollmentAllowedSerializer(many=True),
                    "The invitations, possibly none.",
                    invited=examples.INVITATION,
                ),
                **refused_before(401, 403, 413, 429),
            },
            lambda: [
                query(
                    "email",
                    "The address; the requester's own without it.",
                    examples.ADDRESS,
                )
            ],
        ),
        "POST": Call(
            "invite",
            _INVITATIONS,
            "Invite an address to a course",
            "For staff. The course need not exist yet.",
            {
                201: answer(
                    CourseEnrollmentAllowedSerializer,
                    "The invitation.",
                    invited=examples.INVITATION,
                ),
                400: answer(
                    NOT_DONE,
                    "Address or course id are missing or can be none, `auto_enroll` is "
                    "no boolean, or the body is malformed.",
                    missing={
                        "message": (
                            "Please provide a value for 'email' and 'course_id' in the "
                            "request data."
                        )
                    },
                    no_address={"message": "'ada' is not a valid email address."},
                    no_json=parse_error(),
                ),
                409: refusal(
                    "It is there already, and stays as it is.",
                    there=(
                        f"An enrollment allowed with email {examples.ADDRESS} and "
                        "course DJANGO-101 already exists."
                    ),
                ),
                **refused_before(401, 403, 413, 415, 429),
            },
            body=InvitationRequestSerializer,
            bodies={"invite": examples.TO_INVITE},
        ),
        "DELETE": Call(
            "withdraw_invitation",
            _INVITATIONS,
            "Take an invitation back",
            "For staff. Who has enrolled by it stays enrolled.",
            {
                204: nothing("It is gone."),
                400: answer(
                    NOT_DONE,
                    "Address or course id are missing or can be none, or the body is "
                    "malformed.",
                    no_address={"message": "'ada' is not a valid email address."},
                    no_json=parse_error(),
                ),
                404: refusal(
                    "There was none.",
                    # The grammar is what clients know.
                    none=(
                        f"An enrollment allowed with email {examples.ADDRESS} and "
                        "course DJANGO-101 doesn't exists."
                    ),
                ),
                **refused_before(401, 403, 413, 415, 429),
            },
            body=WithdrawalRequestSerializer,
            bodies={"withdraw": examples.TO_INVITE},
        ),
    },
}
