"""
The shape of what no serializer of the API declares: bodies, and answers that are plain.

They only describe. The views read bodies and write answers by themselves.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from django_enrollments.serializers import (
    CourseEnrollmentsApiListSerializer,
    CourseSerializer,
)
from django_enrollments.text import MAX_TEXT


class CourseIdField(serializers.CharField):
    """A course id, by whatever pattern the host has."""


class WordField(serializers.CharField):
    """
    One of a few words.

    Args:
        component: Name of the component that lists the words.
        words: The words.
    """

    def __init__(self, *, component: str, words: tuple[str, ...]) -> None:
        self.component = component
        self.words = words
        super().__init__()


def _optional_text(text: str, **limits: Any) -> serializers.CharField:
    return serializers.CharField(
        required=False, allow_null=True, allow_blank=True, help_text=text, **limits
    )


def _optional_flag(text: str) -> serializers.BooleanField:
    return serializers.BooleanField(required=False, allow_null=True, help_text=text)


# What is sent.


class WantedCourseSerializer(serializers.Serializer[None]):
    """The course that somebody is to be enrolled in."""

    course_id = CourseIdField()


class AttributeSerializer(serializers.Serializer[None]):
    """What a host notes about an enrollment."""

    namespace = serializers.CharField(max_length=MAX_TEXT, min_length=1)
    name = serializers.CharField(max_length=MAX_TEXT, min_length=1)
    value = serializers.CharField(max_length=MAX_TEXT, allow_blank=True)


class EnrollmentRequestSerializer(serializers.Serializer[None]):
    """Who is to be enrolled, where and how. Null is as good as no field."""

    course_details = WantedCourseSerializer()
    user = _optional_text(
        "The learner's username; the requester without it. Others: staff."
    )
    email = _optional_text("The learner's address, where there is no `user`; staff.")
    mode = _optional_text(
        "Mode slug; the default without it. Learners may pick only some."
    )
    is_active = _optional_flag("Whether the learner is in the course afterwards.")
    enrollment_attributes = AttributeSerializer(
        many=True,
        required=False,
        allow_null=True,
        help_text="Replaces all attributes of the enrollment.",
    )
    force_enrollment = _optional_flag(
        "Lifts the enrollment window and invitations, and counts expired modes; not "
        "seats. Staff who are logged in."
    )
    cohort = _optional_text(
        "The cohort that the learner is put into.", max_length=MAX_TEXT
    )
    email_opt_in = _optional_flag(
        "Whether the learner wants mail of the course's organization."
    )
    enterprise_uuid = _optional_text(
        "The enterprise customer behind it, noted in the history.", max_length=MAX_TEXT
    )
    linked_enterprise_customer = _optional_text(
        "The enterprise customer that the learner is linked to.", max_length=MAX_TEXT
    )
    enterprise_course_consent = _optional_flag(
        "Whether the learner consents to sharing data with the customer."
    )


class WithdrawalRequestSerializer(serializers.Serializer[None]):
    """Which invitation is meant."""

    email = serializers.EmailField(max_length=MAX_TEXT)
    course_id = CourseIdField(help_text="The course need not exist yet.")


class InvitationRequestSerializer(WithdrawalRequestSerializer):
    """Who is invited to which course."""

    auto_enroll = serializers.BooleanField(
        required=False,
        help_text="Whether to enroll the address as soon as it has an account.",
    )


class RetirementRequestSerializer(serializers.Serializer[None]):
    """Who asked to be retired."""

    username = serializers.CharField(help_text="The name they had when they asked.")


# What is answered.


class RefusalReasonSerializer(serializers.Serializer[None]):
    """A rule that refuses a learner."""

    code = WordField(
        component="enrollment.RefusalCode",
        words=(
            "already_enrolled",
            "enrollment_not_started",
            "enrollment_ended",
            "invitation_only",
            "course_full",
            "mode_unavailable",
            "not_allowed",
        ),
    )
    message = serializers.CharField()
    changes_at = serializers.DateTimeField(
        allow_null=True, help_text="When the refusal ends by itself, if it does."
    )


class SeatsSerializer(serializers.Serializer[None]):
    """The seats of a course; null where they are not limited."""

    capacity = serializers.IntegerField(allow_null=True)
    taken = serializers.IntegerField()
    left = serializers.IntegerField(allow_null=True)


class EligibilitySerializer(serializers.Serializer[None]):
    """Whether a learner may enroll, and every reason why not."""

    allowed = serializers.BooleanField()
    reasons = RefusalReasonSerializer(many=True)
    seats = SeatsSerializer()
    mode = serializers.CharField()


class RoleSerializer(serializers.Serializer[None]):
    """A role on a course, or on a whole organization, which has no course."""

    org = serializers.CharField()
    course_id = serializers.CharField(allow_null=True)
    role = serializers.CharField()


class RolesSerializer(serializers.Serializer[None]):
    """The roles of the requester, sorted, each once."""

    roles = RoleSerializer(many=True)
    is_staff = serializers.BooleanField()


@extend_schema_serializer(many=False)
class EnrollmentPageSerializer(serializers.Serializer[None]):
    """One page of the list of all enrollments."""

    next = serializers.URLField(allow_null=True, help_text="The page of older ones.")
    previous = serializers.URLField(
        allow_null=True, help_text="The page of newer ones."
    )
    results = CourseEnrollmentsApiListSerializer(many=True)


# What is answered to what cannot be done.


class MessageSerializer(serializers.Serializer[None]):
    """A refusal of the API."""

    message = serializers.CharField()


class EnrollmentRefusalSerializer(MessageSerializer):
    """A refusal to enroll, with what helps to do better."""

    course_details = CourseSerializer(
        required=False, help_text="Where a mode is not on offer: what is."
    )
    localizedMessage = serializers.CharField(  # noqa: N815 - clients know the name.
        required=False, help_text="Where an attribute is malformed: the message again."
    )


class DetailSerializer(serializers.Serializer[None]):
    """A refusal of Django REST framework."""

    detail = serializers.CharField()


class CredentialsRefusalSerializer(DetailSerializer):
    """Nobody is logged in, or not by these credentials."""

    code = serializers.CharField(
        required=False, help_text="What is wrong with a JSON web token."
    )
    messages = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()), required=False
    )


class BearerRefusalSerializer(serializers.Serializer[None]):
    """An OAuth 2 access token does not count."""

    error_code = WordField(
        component="enrollment.BearerErrorCode",
        words=(
            "token_not_provided",
            "token_malformed",
            "token_nonexistent",
            "token_expired",
            "user_is_disabled",
        ),
    )
    developer_message = serializers.CharField()


class DeveloperMessageSerializer(serializers.Serializer[None]):
    """An error of the list of all enrollments."""

    developer_message = serializers.CharField()


class ListCredentialsRefusalSerializer(DeveloperMessageSerializer):
    """Nobody is logged in, or not by these credentials."""

    error_code = serializers.CharField(
        required=False, help_text="What is wrong with an OAuth 2 access token."
    )


class FilterFaultsSerializer(serializers.Serializer[None]):
    """What is wrong with each filter."""

    course_id = DeveloperMessageSerializer(required=False)
    course_ids = DeveloperMessageSerializer(required=False)
    email = DeveloperMessageSerializer(required=False)
    username = DeveloperMessageSerializer(required=False)


class FieldErrorsSerializer(serializers.Serializer[None]):
    """The filters of the list of all enrollments that are malformed."""

    field_errors = FilterFaultsSerializer()
