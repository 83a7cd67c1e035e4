"""
Request bodies and query strings, as serializers.

The views validate requests with them, and the OpenAPI description is made from them. A
response has the message of the first invalid field, in the order of declaration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.fields import SkipField, empty

from django_enrollments.emails import clean_address
from django_enrollments.identifiers import find_course_id
from django_enrollments.text import MAX_TEXT, is_storable
from django_enrollments.views.errors import ErrorResponse, safe_text, untranslated

if TYPE_CHECKING:
    from rest_framework.request import Request


def body_of(request: Request) -> dict[str, Any]:
    """
    Return the fields of a request's body; a body that is no object has none.

    Raises:
        ParseError: The body is not of the type that its header names.
        UnsupportedMediaType: No parser reads this type.
    """
    with untranslated():
        data = request.data
    return dict(data.items()) if isinstance(data, dict) else {}


def validated(serializer: serializers.BaseSerializer[None]) -> dict[str, Any]:
    """
    Return the values of a serializer; fields that were not sent are missing.

    Raises:
        ErrorResponse: A field is invalid: 400 with the message of the first.
    """
    if not serializer.is_valid():
        raise ErrorResponse(400, {"message": first_error(serializer)})
    values: dict[str, Any] = serializer.validated_data
    return values


def first_error(serializer: serializers.BaseSerializer[None]) -> str:
    """Return the message of the first field that is invalid."""
    errors: Any = serializer.errors
    while not isinstance(errors, str):
        errors = next(iter(errors.values() if isinstance(errors, dict) else errors))
    return str(errors)


# Fields


class _Unvalidated:
    """A field whose values a later step checks, in its own order."""

    def run_validation(self: Any, data: Any = empty) -> Any:
        """Return the value as it was sent, of any type."""
        if data is not empty:
            return data
        if self.required:
            self.fail("required")
        raise SkipField


class UnvalidatedTextField(_Unvalidated, serializers.CharField):
    """A text that a later step checks."""


class UnvalidatedAddressField(_Unvalidated, serializers.EmailField):
    """An address that a later step checks."""


class UnvalidatedListField(_Unvalidated, serializers.ListField):
    """A list that a later step checks: attributes, once the mode is known."""


class PresenceField(serializers.CharField):
    """Whether a parameter has any value but the empty one, "0" and "false" too."""

    def run_validation(self, data: Any = empty) -> bool:
        """Return whether the parameter has a value."""
        return data is not empty and bool(data)


class CourseIdField(serializers.CharField):
    """A course id that matches ``ENROLLMENTS_COURSE_ID_PATTERN``."""

    default_error_messages = {"unknown": "No course '{input}' found for enrollment"}

    def run_validation(self, data: Any = empty) -> str:
        """Return the course id."""
        if data is empty or not data:
            self.fail("required")
        course_id = find_course_id(data) if isinstance(data, str) else None
        if course_id is None:
            self.fail("unknown", input=safe_text(data))
        return course_id


class AddressField(UnvalidatedAddressField):
    """An e-mail address."""

    default_error_messages = {"invalid": "'{input}' is not a valid email address."}

    def run_validation(self, data: Any = empty) -> str:
        """Return the address in the form in which addresses are stored (V1-CEA-11)."""
        address = clean_address(data)
        if address is None:
            self.fail("invalid", input=safe_text(data))
        return address


class StorableTextField(serializers.CharField):
    """A text that a column can hold."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text."""
        if not is_storable(data, MAX_TEXT):
            self.fail("invalid", input=safe_text(data))
        return str(data)


class StrictBooleanField(serializers.BooleanField):
    """A boolean of JSON; neither numbers nor texts are booleans (V1-POST-21)."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the boolean."""
        if not isinstance(data, bool):
            self.fail("invalid", input=safe_text(data))
        return data


class FormBooleanField(StrictBooleanField):
    """A boolean of JSON; in a form (context ``is_form``), one of its usual texts."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the boolean."""
        if self.context["is_form"] and isinstance(data, str):
            text = (data or "false").strip().lower()
            if text in self.TRUE_VALUES | self.FALSE_VALUES:
                return text in self.TRUE_VALUES
        return super().to_internal_value(data)


_OPTIONAL: Any = {"required": False, "allow_null": True}
_OPTIONAL_TEXT = {**_OPTIONAL, "allow_blank": True}


def _text(help_text: str) -> UnvalidatedTextField:
    return UnvalidatedTextField(**_OPTIONAL_TEXT, help_text=help_text)


def _storable(help_text: str, invalid: str) -> StorableTextField:
    return StorableTextField(
        **_OPTIONAL_TEXT,
        trim_whitespace=False,
        max_length=MAX_TEXT,
        help_text=help_text,
        error_messages={"invalid": invalid},
    )


def _flag(help_text: str, invalid: str) -> StrictBooleanField:
    messages: Any = {"invalid": invalid}
    return StrictBooleanField(**_OPTIONAL, help_text=help_text, error_messages=messages)


def _parameter(help_text: str) -> UnvalidatedTextField:
    return UnvalidatedTextField(required=False, allow_blank=True, help_text=help_text)


# Request bodies

_NO_COURSE_ID = "Course ID must be specified to create a new enrollment."
_NO_CUSTOMER = "'{input}' is an invalid enterprise customer."


class WantedCourseSerializer(serializers.Serializer[None]):
    """The course to enroll in."""

    course_id = CourseIdField(error_messages={"required": _NO_COURSE_ID})


class AttributeSerializer(serializers.Serializer[None]):
    """An attribute that the site stores with an enrollment."""

    namespace = serializers.CharField(max_length=MAX_TEXT, min_length=1)
    name = serializers.CharField(max_length=MAX_TEXT, min_length=1)
    value = serializers.CharField(max_length=MAX_TEXT, allow_blank=True)


class EnrollmentTargetSerializer(serializers.Serializer[None]):
    """The learner, course and mode, which are checked first (V1-POST-01…04)."""

    course_details = WantedCourseSerializer(
        error_messages=dict.fromkeys(("required", "null", "invalid"), _NO_COURSE_ID)
    )
    user = _text("The learner's username; the requester without it. Others: staff.")
    email = _text("The learner's address, where there is no `user`; staff.")
    mode = _text("Mode slug; the default without it. Learners may pick only some.")


class EnrollmentChangeSerializer(serializers.Serializer[None]):
    """The wanted state, which is checked once the learner is known (V1-POST-19…21)."""

    is_active = _flag(
        "Whether the learner is in the course afterwards.",
        "'{input}' is an invalid enrollment activation status.",
    )
    enrollment_attributes = UnvalidatedListField(
        **_OPTIONAL,
        child=AttributeSerializer(),
        help_text="Replaces all attributes of the enrollment.",
    )
    force_enrollment = _flag(
        "Lifts the enrollment window and invitations, and counts expired modes; not "
        "seats. Staff who are logged in.",
        "'{input}' is an invalid force enrollment status.",
    )
    cohort = _storable(
        "The cohort that the learner is put into.",
        # Clients know the text as it is spelled here.
        "An error occured while adding to cohort [{input}]",
    )
    email_opt_in = _flag(
        "Whether the learner wants mail of the course's organization.",
        "'{input}' is an invalid email opt-in status.",
    )
    enterprise_uuid = _storable(
        "The enterprise customer behind it, noted in the history.", _NO_CUSTOMER
    )
    linked_enterprise_customer = _storable(
        "The enterprise customer that the learner is linked to.", _NO_CUSTOMER
    )
    enterprise_course_consent = _flag(
        "Whether the learner consents to sharing data with the customer.",
        "'{input}' is an invalid enterprise consent status.",
    )


class EnrollmentRequestSerializer(
    EnrollmentTargetSerializer, EnrollmentChangeSerializer
):
    """The learner, the course and the wanted state. A null field counts as missing."""


class WithdrawalRequestSerializer(serializers.Serializer[None]):
    """An invitation, by its address and course."""

    email = UnvalidatedAddressField(max_length=MAX_TEXT)
    course_id = CourseIdField(help_text="The course need not exist yet.")


class InvitationRequestSerializer(WithdrawalRequestSerializer):
    """A new invitation."""

    email = AddressField(max_length=MAX_TEXT)
    auto_enroll = FormBooleanField(
        **_OPTIONAL,
        help_text="Whether to enroll the address as soon as it has an account.",
        error_messages={"invalid": "'{input}' is an invalid auto enroll status."},
    )


class RetirementRequestSerializer(serializers.Serializer[None]):
    """The user who is retired."""

    username = UnvalidatedTextField(
        help_text="The user's name when retirement was requested.",
        error_messages={"required": "Username not specified."},
    )


# Query strings


class CourseQuerySerializer(serializers.Serializer[None]):
    """The query of a course, and of an enrollment with its course (V1-CRS-02)."""

    include_expired = PresenceField(
        required=False,
        allow_blank=True,
        help_text="Any value but the empty one lists modes that have expired, too.",
    )


class LearnerQuerySerializer(CourseQuerySerializer):
    """The query of a learner's enrollments."""

    user = _parameter("Username of the learner; the requester without it.")


class EligibilityQuerySerializer(serializers.Serializer[None]):
    """The query of an explanation."""

    mode = _parameter("Mode slug; the default without it.")


class RolesQuerySerializer(serializers.Serializer[None]):
    """The query of the requester's roles."""

    course_id = _parameter("Keeps the roles on exactly this course.")


class InvitationsQuerySerializer(serializers.Serializer[None]):
    """The query of invitations."""

    email = _parameter("The address; the requester's own without it.")
