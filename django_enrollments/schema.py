"""
The OpenAPI description of the REST API, for drf-spectacular (extra ``openapi``).

:mod:`.apps` imports this module where ``drf_spectacular`` is in ``INSTALLED_APPS``.
Texts about operations and responses are the docstrings of the views. Queries and bodies
are from :mod:`.views.inputs` and :mod:`.serializers`, errors from :mod:`.views.errors`.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import uritemplate
from django.conf import settings
from drf_spectacular import extensions
from drf_spectacular.drainage import set_override
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, build_examples_list
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated

from django_enrollments import authentication, errors, serializers, views
from django_enrollments.conf import conf
from django_enrollments.forms import CourseEnrollmentsApiListForm
from django_enrollments.text import MAX_TEXT
from django_enrollments.views import errors as responses
from django_enrollments.views import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rest_framework.serializers import Serializer
    from rest_framework.views import APIView

# Fields and serializers

#: Syntax of Python's regular expressions that JSON Schema does not have.
_ONLY_PYTHON = re.compile(r"\(\?[P#(aiLmsux-]|\\[AZ]|[*+?}]\+")


def _pattern(pattern: str) -> dict[str, str]:
    """Return the keyword for a pattern of the whole text, where JSON Schema has it."""
    return {} if _ONLY_PYTHON.search(pattern) else {"pattern": f"^(?:{pattern})$"}


def course_id_schema() -> dict[str, Any]:
    """Return the schema of a course id, by ``ENROLLMENTS_COURSE_ID_PATTERN``."""
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
    return schema | _pattern(conf.ENROLLMENTS_COURSE_ID_PATTERN)


def username_schema() -> dict[str, Any]:
    """Return the schema of a username, by ``ENROLLMENTS_USERNAME_PATTERN``."""
    return {"type": "string"} | _pattern(conf.ENROLLMENTS_USERNAME_PATTERN)


class CourseIdExtension(extensions.OpenApiSerializerFieldExtension):
    """Describes course ids in bodies by the host's pattern."""

    target_class = inputs.CourseIdField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> Any:
        """Return the schema of a course id."""
        return course_id_schema()


class InvitationExtension(extensions.OpenApiSerializerExtension):
    """Describes invitations: all keys are present, though the model has defaults."""

    target_class = serializers.CourseEnrollmentAllowedSerializer

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> Any:
        """Return the schema of an invitation."""
        schema = super().map_serializer(auto_schema, direction)
        return {**schema, "required": list(schema["properties"])}


for _component, _field in (
    ("PacingType", serializers.PacingTypeField),
    ("RefusalCode", serializers.RefusalCodeField),
    ("BearerErrorCode", serializers.BearerErrorCodeField),
):
    _schema = {"type": "string", "enum": list(_field.words)}
    extend_schema_field(_schema, f"enrollment.{_component}")(_field)
_prices = {"type": "array", "items": {"type": "integer"}}
extend_schema_field({"oneOf": [_prices, {"type": "string", "maxLength": 0}]})(
    serializers.StringListField
)
extend_schema_field(serializers.PacingTypeField)(
    serializers.CourseSerializer.get_pacing_type
)
extend_schema_field(serializers.ModeSerializer(many=True))(
    serializers.CourseSerializer.get_course_modes
)
extend_schema_serializer(many=False)(serializers.EnrollmentPageSerializer)


def _either(component: str, *options: type[Serializer[Any]]) -> Any:
    return PolymorphicProxySerializer(f"enrollment.{component}", options, None)


DETAIL = serializers.DetailSerializer
NOT_DONE = _either("NotDone", serializers.MessageSerializer, DETAIL)
NOT_ENROLLED = _either("NotEnrolled", serializers.EnrollmentRefusalSerializer, DETAIL)
NOT_AUTHENTICATED = _either(
    "NotAuthenticated",
    serializers.CredentialsRefusalSerializer,
    serializers.BearerRefusalSerializer,
)

# Examples: requests to the example project and their responses

COURSE_ID, LEARNER, ADDRESS = "DJANGO-101", "learner", "ada@example.org"
DEMO = {"course_id": COURSE_ID, "username": LEARNER, "mode": "audit", "email": ADDRESS}


def _mode(slug: str, name: str, min_price: int) -> dict[str, Any]:
    unset = dict.fromkeys(("expiration_datetime", "description", "sku", "bulk_sku"))
    mode = {"slug": slug, "name": name, "min_price": min_price, "currency": "usd"}
    return {**mode, "suggested_prices": "", **unset}


COURSE = {
    "course_id": COURSE_ID,
    "course_name": "Django for teachers",
    "enrollment_start": None,
    "enrollment_end": None,
    "course_start": None,
    "course_end": None,
    "invite_only": False,
    "course_modes": [_mode("audit", "Audit", 0), _mode("verified", "Verified", 49)],
    "pacing_type": "Instructor Paced",
}
CREATED = {"created": "2026-11-24T23:08:41.052955Z"}
LISTED = {**CREATED, "mode": "audit", "is_active": True, "user": LEARNER}
NEXT = "https://school.example/api/enrollment/v1/enrollments?cursor=bi4xNzk1NTYxNzE3"
PAGE = {"next": NEXT, "previous": None, "results": [{**LISTED, "course_id": COURSE_ID}]}
SEATS = {"capacity": 30, "taken": 0, "left": 30}
ELIGIBLE = {"allowed": True, "reasons": [], "seats": SEATS, "mode": "audit"}
FULL = {"code": "course_full", "message": "This course is full.", "changes_at": None}
NO_SEATS = {"capacity": 30, "taken": 30, "left": 0}
ROLE = {"org": "Evening School", "course_id": COURSE_ID, "role": "beta_testers"}
TO_INVITE = {"email": ADDRESS, "course_id": COURSE_ID}
TO_ENROLL = {"course_details": {"course_id": COURSE_ID}}
TO_DEACTIVATE = {**TO_ENROLL, "user": LEARNER, "is_active": False}
ATTRIBUTE = {"namespace": "order", "name": "number", "value": "EDX-1001"}
PAID = {"mode": "verified", "enrollment_attributes": [ATTRIBUTE]}
TO_ENROLL_ANOTHER = {**TO_ENROLL, **PAID, "user": LEARNER, "is_active": True}

#: Examples of bodies, by their serializers and names.
EXAMPLES: Mapping[type[Serializer[Any]], Mapping[str, Any]] = {
    serializers.CourseSerializer: {"course": COURSE},
    serializers.CourseEnrollmentSerializer: {
        "enrolled": {**LISTED, "course_details": COURSE}
    },
    serializers.EnrollmentPageSerializer: {"page": PAGE},
    serializers.EligibilitySerializer: {
        "allowed": ELIGIBLE,
        "refused": {**ELIGIBLE, "allowed": False, "reasons": [FULL], "seats": NO_SEATS},
    },
    serializers.RolesSerializer: {
        "roles": {"roles": [{**ROLE, "course_id": None}, ROLE], "is_staff": False}
    },
    serializers.CourseEnrollmentAllowedSerializer: {
        "invited": {**TO_INVITE, "auto_enroll": False, **CREATED, "user": None}
    },
    inputs.EnrollmentRequestSerializer: {
        "enroll": TO_ENROLL,
        "enroll_another_learner": TO_ENROLL_ANOTHER,
        "deactivate": TO_DEACTIVATE,
    },
    inputs.InvitationRequestSerializer: {"invite": TO_INVITE},
    inputs.WithdrawalRequestSerializer: {"withdraw": TO_INVITE},
    inputs.RetirementRequestSerializer: {"retire": {"username": LEARNER}},
}


def shown(examples: Mapping[str, Any]) -> list[OpenApiExample]:
    """Return examples by their names, which are in snake case."""
    return [
        OpenApiExample(name.replace("_", " ").capitalize(), value)
        for name, value in examples.items()
    ]


# Responses

#: The errors of Django REST framework, by status: their meaning and text.
DRF_ERRORS = {
    400: (
        "The body is not JSON, or not a form.",
        "JSON parse error - Expecting value: line 1 column 1 (char 0)",
    ),
    401: (
        "The requester is not logged in, or the credentials are invalid.",
        "Authentication credentials were not provided.",
    ),
    403: (
        "The requester may not do this, or the CSRF token is missing.",
        "You do not have permission to perform this action.",
    ),
    413: ("The request is larger than the site accepts.", "The request is too large."),
    415: (
        "The body is neither JSON nor a form.",
        'Unsupported media type "text/plain" in request.',
    ),
    429: (
        "Too many requests; `Retry-After` says when the next is accepted.",
        "Request was throttled. Expected available in 42 seconds.",
    ),
}

#: The headers of responses, by status.
HEADERS = {
    401: OpenApiParameter(
        "WWW-Authenticate",
        location=OpenApiParameter.HEADER,
        required=True,
        response=[401],
        description="How to authenticate.",
    ),
    429: OpenApiParameter(
        "Retry-After",
        int,
        OpenApiParameter.HEADER,
        response=[429],
        description="Seconds until the next request is accepted; missing if none is.",
    ),
}


def _success(serializer: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return a serializer with its examples; those of a list are one element each."""
    kind = getattr(serializer, "child", serializer)
    return serializer, EXAMPLES[kind if isinstance(kind, type) else type(kind)]


def _refusal(
    operation: Any = None,
    *raised: errors.CourseEnrollmentError,
    shape: Any = serializers.MessageSerializer,
    **messages: Any,
) -> tuple[Any, Mapping[str, Any]]:
    """Return a serializer with examples: domain errors, then messages or bodies."""
    values = {"username": LEARNER, "course_id": COURSE_ID, "mode": "honor"}
    bodies: dict[str, Any] = {}
    for error in raised:
        _, body = responses.error_response(error, operation, **values, cohort="Red")
        bodies[error.code] = body
    for name, text in messages.items():
        bodies[name] = {"message": text} if isinstance(text, str) else text
    return shape, bodies


NO_COURSE = _refusal(responses.DESCRIBING, errors.CourseNotFoundError(""))
NO_ADDRESS = "'ada' is not a valid email address."
NO_JSON = {"detail": DRF_ERRORS[400][1]}
NO_TOKEN = {"detail": "CSRF Failed: CSRF token missing."}
INVITATION = f"An enrollment allowed with email {ADDRESS} and course {COURSE_ID}"
NO_USERNAME = "Username not specified."
NO_REQUEST = "No retirement request status for username."
NOT_UNENROLLED = "An error occurred while unenrolling the user."
FAULT = {"developer_message": "'a b' is not a valid course id."}

#: Bodies of responses, by operation and status: a serializer or schema, and examples.
#: Responses that only the view's docstring names have none; those of Django REST
#: framework are added.
RESPONSES: Mapping[str, Mapping[int, tuple[Any, Mapping[str, Any]]]] = {
    "describe_course": {200: _success(serializers.CourseSerializer), 400: NO_COURSE},
    "explain_enrollment": {
        200: _success(serializers.EligibilitySerializer),
        400: NO_COURSE,
    },
    "get_enrollment": {
        200: _success(serializers.CourseEnrollmentSerializer),
        400: _refusal(responses.RETRIEVING, errors.CourseEnrollmentError("")),
    },
    "list_enrollments": {
        200: _success(serializers.CourseEnrollmentSerializer(many=True)),
        400: _refusal(responses.LISTING, errors.CourseEnrollmentError("")),
        403: _refusal(responses.LISTING, errors.EnrollmentNotAllowed("Not today.")),
    },
    "enroll": {
        200: _success(serializers.CourseEnrollmentSerializer),
        400: _refusal(
            responses.ENROLLING,
            errors.CourseNotFoundError(""),
            errors.CourseModeNotFoundError("", COURSE),
            errors.InvalidEnrollmentAttribute("'value' not in enrollment attribute"),
            errors.CohortNotFoundError(""),
            errors.CourseEnrollmentFullError(""),
            shape=NOT_ENROLLED,
            invalid_address=NO_ADDRESS,
            no_json=NO_JSON,
        ),
        403: _refusal(
            responses.ENROLLING,
            errors.EnrollmentNotAllowed("Not today."),
            shape=NOT_DONE,
            mode_not_for_learners="User does not have permission to create enrollment "
            "with mode [verified].",
            no_token=NO_TOKEN,
        ),
        406: _refusal(
            responses.ENROLLING,
            errors.UserNotFoundError(""),
            no_address=f"The user with the email address {ADDRESS} does not exist.",
        ),
        409: _refusal(several=f"Several users have the email address {ADDRESS}."),
    },
    "list_all_enrollments": {
        200: _success(serializers.EnrollmentPageSerializer),
        400: (
            serializers.FieldErrorsSerializer,
            {"malformed": {"field_errors": {"course_id": FAULT}}},
        ),
        404: (
            serializers.DeveloperMessageSerializer,
            {"cursor": {"developer_message": "Invalid cursor"}},
        ),
    },
    "list_roles": {
        200: _success(serializers.RolesSerializer),
        # Clients know the text without the closing quote.
        400: _refusal(
            refused=f"An error occurred while retrieving roles for user '{LEARNER}"
        ),
    },
    "list_invitations": {
        200: _success(serializers.CourseEnrollmentAllowedSerializer(many=True)),
    },
    "invite": {
        201: _success(serializers.CourseEnrollmentAllowedSerializer),
        400: _refusal(
            shape=NOT_DONE,
            missing="Please provide a value for 'email' and 'course_id' in the request "
            "data.",
            invalid_address=NO_ADDRESS,
            no_json=NO_JSON,
        ),
        409: _refusal(exists=f"{INVITATION} already exists."),
    },
    "withdraw_invitation": {
        400: _refusal(shape=NOT_DONE, invalid_address=NO_ADDRESS, no_json=NO_JSON),
        # Clients know the text as it is spelled here.
        404: _refusal(unknown=f"{INVITATION} doesn't exists."),
    },
    "unenroll_user_from_all_courses": {
        200: ({"type": "array", "items": {"type": "string"}}, {"left": [COURSE_ID]}),
        404: (OpenApiTypes.STR, {"missing": NO_USERNAME, "no_request": NO_REQUEST}),
        500: (OpenApiTypes.STR, {"failed": NOT_UNENROLLED}),
    },
}

# Operations

ENROLLMENTS, COURSES, ROLES = "Enrollments", "Enrollment courses", "Enrollment roles"
INVITATIONS, RETIREMENT = "Enrollment invitations", "Enrollment retirement"

#: Their groups and names; client generators make functions of the names.
OPERATIONS: Mapping[type[APIView], tuple[str, Mapping[str, str]]] = {
    views.EnrollmentView: (ENROLLMENTS, {"GET": "get_enrollment"}),
    views.EnrollmentListView: (
        ENROLLMENTS,
        {"GET": "list_enrollments", "POST": "enroll"},
    ),
    views.CourseEnrollmentsApiListView: (ENROLLMENTS, {"GET": "list_all_enrollments"}),
    views.EnrollmentEligibilityView: (COURSES, {"GET": "explain_enrollment"}),
    views.EnrollmentCourseDetailView: (COURSES, {"GET": "describe_course"}),
    views.EnrollmentUserRolesView: (ROLES, {"GET": "list_roles"}),
    views.EnrollmentAllowedView: (
        INVITATIONS,
        {"GET": "list_invitations", "POST": "invite", "DELETE": "withdraw_invitation"},
    ),
    views.UnenrollmentView: (RETIREMENT, {"POST": "unenroll_user_from_all_courses"}),
}
#: The serializers of query strings (GET) and bodies (other methods).
INPUTS: Mapping[str, type[Serializer[None]]] = {
    "describe_course": inputs.CourseQuerySerializer,
    "explain_enrollment": inputs.EligibilityQuerySerializer,
    "get_enrollment": inputs.CourseQuerySerializer,
    "list_enrollments": inputs.LearnerQuerySerializer,
    "list_roles": inputs.RolesQuerySerializer,
    "list_invitations": inputs.InvitationsQuerySerializer,
    "enroll": inputs.EnrollmentRequestSerializer,
    "invite": inputs.InvitationRequestSerializer,
    "withdraw_invitation": inputs.WithdrawalRequestSerializer,
    "unenroll_user_from_all_courses": inputs.RetirementRequestSerializer,
}


def parameter(
    name: str, description: Any, schema: Any = str, example: Any = None, **options: Any
) -> OpenApiParameter:
    """Return a parameter, of the query unless a location is given."""
    example = example or DEMO.get(name)
    examples = shown({"demo": example} if example else {})
    return OpenApiParameter(
        name, schema, description=description, examples=examples, **options
    )


def filter_parameters() -> Iterator[OpenApiParameter]:
    """Yield the filters of the list of all enrollments."""
    form, text = CourseEnrollmentsApiListForm, {"type": "string"}
    filters = form.base_fields
    yield parameter("course_id", filters["course_id"].help_text, course_id_schema())
    for name, item, example in (
        ("course_ids", text, "django"),
        ("username", username_schema(), LEARNER),
        ("email", text, ADDRESS),
    ):
        schema = {"type": "array", "items": item, "maxItems": form.MAX_INPUT_COUNT}
        options = {"style": "form", "explode": False}
        yield parameter(name, filters[name].help_text, schema, [example], **options)


def described_view(view: type[APIView]) -> type[APIView]:
    """Return the view of ``OPERATIONS`` that a view is, or is derived from."""
    return next((base for base in view.__mro__ if base in OPERATIONS), view)


class OperationSchema(AutoSchema):
    """Describes a method of a view by its docstring and the tables of this module."""

    @property
    def _described(self) -> type[APIView]:
        return described_view(type(self.view))

    @property
    def _name(self) -> str:
        return OPERATIONS[self._described][1][self.method]

    def _docstring(self) -> tuple[str, str, dict[int, str]]:
        """Return the summary, the description and the meanings of responses."""
        text = inspect.getdoc(getattr(self._described, self.method.lower())) or ""
        text, _, section = text.partition("Responses:\n")
        summary, _, description = text.partition("\n\n")
        meanings = re.findall(r"^ {4}(\d{3}): (.+(?:\n {8}.+)*)", section, re.MULTILINE)
        return (
            " ".join(summary.split()).rstrip("."),
            " ".join(description.split()),
            {int(status): " ".join(meaning.split()) for status, meaning in meanings},
        )

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the description, with what drf-spectacular has no argument for."""
        operation = super().get_operation(*args, **kwargs)
        if operation and self._name == "get_enrollment":
            operation["responses"]["200"]["x-may-be-empty"] = True
        if operation and self.method == "DELETE":
            body = INPUTS[self._name]
            schema = self.resolve_serializer(body, "request").ref
            examples = build_examples_list(shown(EXAMPLES[body]))
            media_type = {"schema": schema, "examples": examples}
            content = dict.fromkeys(self.map_parsers(), media_type)
            operation["requestBody"] = {"content": content, "required": True}
        return operation

    def get_operation_id(self) -> str:
        """Return the name; an enrollment has two paths."""
        is_own = "username" not in uritemplate.variables(self.path)
        is_own &= self._name == "get_enrollment"
        return "get_own_enrollment" if is_own else self._name

    def get_tags(self) -> list[str]:
        """Return the group."""
        return [OPERATIONS[self._described][0]]

    def get_summary(self) -> str:
        """Return the first paragraph of the method's docstring."""
        return self._docstring()[0]

    def get_description(self) -> str:  # type: ignore[override]  # As its parent does.
        """Return the rest of the docstring."""
        return self._docstring()[1]

    def get_override_parameters(self) -> list[Any]:
        """Return the parameters, and the headers of responses."""
        known = {
            "course_id": ("The course id.", course_id_schema()),
            "username": ("The learner's username.", username_schema()),
        }
        query = INPUTS.get(self._name) if self.method in SAFE_METHODS else None
        fields = query().fields.items() if query else ()
        path = uritemplate.variables(self.path)
        return [
            *(parameter(one, *known[one], location="path") for one in path),
            *(parameter(name, field.help_text) for name, field in fields),
            *(filter_parameters() if self._name == "list_all_enrollments" else ()),
            *(
                HEADERS[status]
                for status in self.get_response_serializers()
                if status in HEADERS
            ),
        ]

    def get_request_serializer(self) -> Any:
        """Return the body, by media type."""
        body = INPUTS[self._name]
        request = OpenApiRequest(body, examples=shown(EXAMPLES[body]))
        # Forms are parsed, and cannot express the course (V1-POST-30).
        is_json = self._name == "enroll"
        types = ["application/json"] if is_json else self.map_parsers()
        return dict.fromkeys(types, request)

    def get_response_serializers(self) -> Any:
        """Return the responses, by status."""
        described = self._drf_errors()
        for status, meaning in self._docstring()[2].items():
            shape, examples = RESPONSES[self._name].get(status, (None, {}))
            described[status] = OpenApiResponse(shape, meaning, shown(examples))
        return dict(sorted(described.items()))

    def _drf_errors(self) -> dict[int, OpenApiResponse]:
        """Return the errors of Django REST framework that this operation can have."""
        permissions = set(self.view.permission_classes)
        is_open = permissions <= {views.ApiKeyOrAuthenticated, IsAuthenticated}
        writes = self.method not in SAFE_METHODS
        statuses = {
            400: writes,
            401: bool(permissions),
            403: writes or not is_open,
            413: True,
            415: writes,
            429: bool(self.view.throttle_classes),
        }
        shape: Any = DETAIL
        key, shape_401 = "detail", NOT_AUTHENTICATED
        if self._name == "list_all_enrollments":
            key, shape = "developer_message", serializers.DeveloperMessageSerializer
            shape_401 = serializers.ListCredentialsRefusalSerializer
        return {
            status: OpenApiResponse(
                shape_401 if status == 401 else shape,
                DRF_ERRORS[status][0],
                shown({"refused": {key: DRF_ERRORS[status][1]}}),
            )
            for status, is_possible in statuses.items()
            if is_possible
        }

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """Return the name of a component, with a prefix that other apps do not have."""
        return f"enrollment.{super().get_serializer_name(serializer, direction)}"

    def get_auth(self) -> list[dict[str, Any]]:
        """Return each way to authenticate; an empty one where none is needed."""
        if not self.view.permission_classes:
            return [{}]
        ways: list[dict[str, Any]] = []
        for way in super().get_auth():
            if "cookieAuth" in way and self.method not in SAFE_METHODS:
                way = {**way, **self._csrf_token()}
            if way not in ways:
                ways.append(way)
        if views.ApiKeyOrAuthenticated in self.view.permission_classes:
            text = "A key that the site has issued to a program."
            header = conf.ENROLLMENTS_API_KEY_HEADER
            ways.append(self._header("enrollmentApiKey", header, text))
        return ways

    def _csrf_token(self) -> dict[str, Any]:
        """Return the requirement of Django's session to change something."""
        header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-")
        cookie = settings.CSRF_COOKIE_NAME
        text = (
            f"Django's CSRF token, from the cookie `{cookie}`; goes with the session."
        )
        return self._header("csrfToken", header, text)

    def _header(self, name: str, header: str, text: str) -> dict[str, Any]:
        """Add a scheme that no authentication class has, and return its requirement."""
        kind = ResolvedComponent.SECURITY_SCHEMA
        scheme = {"type": "apiKey", "in": "header", "name": header, "description": text}
        self.registry.register_on_missing(ResolvedComponent(name, kind, scheme, name))
        return {name: []}


class EnrollmentViewExtension(extensions.OpenApiViewExtension):
    """Describes the views of the API, but for a host's view that has more methods."""

    target_class = "django_enrollments.views.EnrollmentAPIView"
    match_subclasses = True

    def view_replacement(self) -> type[APIView]:
        """Return the view with a schema of this module."""
        view: type[APIView] = self.target
        known = {"OPTIONS", *OPERATIONS.get(described_view(view), ("", ()))[1]}
        if set(view().allowed_methods) - known:
            return view
        return type(view.__name__, (view,), {"schema": OperationSchema()})


# Authentication


class SessionScheme(extensions.OpenApiAuthenticationExtension):
    """Django's session, by the name that drf-spectacular gives to it."""

    target_class = authentication.SessionAuthenticationAllowInactiveUser
    match_subclasses = True
    name = "cookieAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the cookie."""
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


# It is one cookie whichever class reads it, Django REST framework's own included.
set_override(SessionScheme.target_class, "suppress_collision_warning", True)


class JwtScheme(extensions.OpenApiAuthenticationExtension):
    """JSON web tokens of the extra ``jwt``."""

    target_class = authentication.JwtAuthentication
    match_subclasses = True
    name = "enrollmentJwt"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the form of the header."""
        text = "`Authorization: JWT …` is accepted as well as `Bearer …`."
        scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        return {**scheme, "description": text}


class BearerScheme(extensions.OpenApiAuthenticationExtension):
    """OAuth 2 access tokens of the extra ``oauth``."""

    target_class = authentication.BearerAuthenticationAllowInactiveUser
    match_subclasses = True
    name = "enrollmentOAuth2"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the form of the header."""
        text = "An OAuth 2 access token."
        return {"type": "http", "scheme": "bearer", "description": text}
