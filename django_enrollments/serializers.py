"""
Serializers of the REST API's data (V1-SER), for the OpenAPI description and for hosts.

Docstrings and help texts of serializers are the texts of the OpenAPI description.

They serialize instances one by one. The views send the result of :mod:`.data` instead,
which is equal and needs fewer queries for a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework import serializers

from django_enrollments.backends.courses import CourseFacts
from django_enrollments.core.modes import as_prices
from django_enrollments.datetimes import to_iso
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    get_course_adapter,
    get_course_model,
)

if TYPE_CHECKING:
    from datetime import date


class MomentField(serializers.DateTimeField):
    """A date or datetime as ISO 8601 text in UTC, whatever the host's settings."""

    def to_representation(self, value: date) -> str | None:  # type: ignore[override]  # Dates too.
        """Return the text."""
        return to_iso(value)


class StringListField(serializers.CharField):
    """Integers that are stored as comma-separated text."""

    def field_to_native(self, obj: Any, field_name: str) -> list[int]:
        """Return the integers of an attribute, such as one of a mode (V1-SER-15)."""
        return list(as_prices(getattr(obj, field_name) or "") or ())  # type: ignore[arg-type]  # Numbers, or nothing.

    def to_representation(self, value: str) -> Any:
        """Return a list of integers, or ``""`` if there are none."""
        return as_prices(value)


class ModeSerializer(serializers.Serializer[CourseMode]):
    """A way to take a course."""

    slug = serializers.CharField(max_length=100)
    name = serializers.CharField(max_length=255)
    min_price = serializers.IntegerField()
    suggested_prices = StringListField(
        max_length=255, help_text="Whole numbers; an empty text when there are none."
    )
    currency = serializers.CharField(max_length=8)
    expiration_datetime = MomentField(
        allow_null=True, help_text="When it is no longer on offer."
    )
    description = serializers.CharField(allow_null=True)
    sku = serializers.CharField(allow_null=True)
    bulk_sku = serializers.CharField(allow_null=True)


class CourseSerializer(serializers.Serializer[Any]):
    """A course with its modes."""

    course_id = serializers.CharField()
    course_name = serializers.CharField(source="display_name")
    enrollment_start = MomentField(allow_null=True, help_text="Null: at once.")
    enrollment_end = MomentField(allow_null=True, help_text="Null: never.")
    course_start = MomentField(
        source="start", allow_null=True, help_text="Null: when it was made."
    )
    course_end = MomentField(source="end", allow_null=True, help_text="Null: never.")
    invite_only = serializers.BooleanField(source="invitation_only")
    course_modes = serializers.SerializerMethodField(
        help_text="The modes on offer, or the default one."
    )
    pacing_type = serializers.SerializerMethodField()

    class Meta:
        ref_name = "enrollment.Course"

    def __init__(
        self, *args: Any, include_expired: bool = False, **kwargs: Any
    ) -> None:
        """Take ``include_expired``, whether to include expired modes (V1-SER-05)."""
        self.include_expired = include_expired
        super().__init__(*args, **kwargs)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Return a course as a dictionary."""
        return super().to_representation(_facts(instance))

    def get_course_modes(self, obj: Any) -> list[dict[str, Any]]:
        """Return the modes, including credit (V1-SER-17, V1-SER-18)."""
        modes = CourseMode.modes_for_course(
            _facts(obj).course_id,
            include_expired=self.include_expired,
            only_selectable=False,
        )
        serialize = ModeSerializer().to_representation
        return [serialize(mode) for mode in modes]

    def get_pacing_type(self, obj: Any) -> str:
        """Return the pacing type (V1-SER-11)."""
        return "Self Paced" if _facts(obj).self_paced else "Instructor Paced"


def _facts(course: Any) -> CourseFacts:
    if isinstance(course, CourseFacts):
        return course
    return get_course_adapter().facts(course)


class CourseEnrollmentSerializer(serializers.ModelSerializer[CourseEnrollment]):
    """A learner's enrollment in a course."""

    created = MomentField(
        read_only=True, help_text="When it was made; coming back does not change it."
    )
    course_details = CourseSerializer(
        source="course",
        read_only=True,
        allow_null=True,
        help_text="Null: the course has been deleted.",
    )
    user = serializers.SerializerMethodField(
        "get_username", help_text="The learner's username."
    )

    class Meta:
        model = CourseEnrollment
        fields: ClassVar[tuple[str, ...]] = (
            "created",
            "mode",
            "is_active",
            "course_details",
            "user",
        )
        read_only_fields = ("mode", "is_active")
        lookup_field = "username"

    def get_username(self, model: CourseEnrollment) -> str:
        """Return the learner's username."""
        return model.username


class CourseEnrollmentsApiListSerializer(CourseEnrollmentSerializer):
    """A learner's enrollment, with the course id only."""

    course_details = None  # type: ignore[assignment]  # DRF removes an inherited field in this way.
    course_id = serializers.SerializerMethodField(help_text="The course id.")

    class Meta(CourseEnrollmentSerializer.Meta):
        fields = ("created", "mode", "is_active", "user", "course_id")

    def get_course_id(self, obj: CourseEnrollment) -> str:
        """Return the course id, or the key of a deleted course."""
        try:
            course = obj.course
        except get_course_model().DoesNotExist:
            return str(obj.course_id)
        return get_course_adapter().course_id_of(course)


class CourseEnrollmentAllowedSerializer(
    serializers.ModelSerializer[CourseEnrollmentAllowed]
):
    """An invitation."""

    created = MomentField(read_only=True)

    class Meta:
        model = CourseEnrollmentAllowed
        fields = ("email", "course_id", "auto_enroll", "created", "user")
        extra_kwargs = {
            "user": {"help_text": "The key of the user who has enrolled by it."}
        }
        lookup_field = "user"


class WordField(serializers.CharField):
    """
    One of a few words.

    Attributes:
        words: The words.
    """

    words: tuple[str, ...] = ()


class PacingTypeField(WordField):
    """The pacing of a course (V1-SER-11)."""

    words = ("Self Paced", "Instructor Paced")


class RefusalCodeField(WordField):
    """The code of a rule that refuses a learner."""

    words = (
        "already_enrolled",
        "enrollment_not_started",
        "enrollment_ended",
        "invitation_only",
        "course_full",
        "mode_unavailable",
        "not_allowed",
    )


class RefusalReasonSerializer(serializers.Serializer[None]):
    """A rule that refuses a learner."""

    code = RefusalCodeField()
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
    """The roles of the requester, sorted, without duplicates."""

    roles = RoleSerializer(many=True)
    is_staff = serializers.BooleanField()


class EnrollmentPageSerializer(serializers.Serializer[None]):
    """One page of the list of all enrollments."""

    next = serializers.URLField(allow_null=True, help_text="The page of older ones.")
    previous = serializers.URLField(
        allow_null=True, help_text="The page of newer ones."
    )
    results = CourseEnrollmentsApiListSerializer(many=True)


# Bodies of errors (V1-ERR)


class MessageSerializer(serializers.Serializer[None]):
    """An error of the API."""

    message = serializers.CharField()


class EnrollmentRefusalSerializer(MessageSerializer):
    """A refusal to enroll."""

    course_details = CourseSerializer(
        required=False, help_text="Where a mode is not on offer: the modes that are."
    )
    localizedMessage = serializers.CharField(  # noqa: N815 - clients know the name.
        required=False, help_text="Where an attribute is malformed: the message again."
    )


class DetailSerializer(serializers.Serializer[None]):
    """An error of Django REST framework."""

    detail = serializers.CharField()


class CredentialsRefusalSerializer(DetailSerializer):
    """The requester is not logged in, or the credentials are invalid."""

    code = serializers.CharField(
        required=False, help_text="The fault of a JSON web token."
    )
    messages = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()), required=False
    )


class BearerErrorCodeField(WordField):
    """The fault of an OAuth 2 access token (V1-AUTH-19)."""

    words = (
        "token_not_provided",
        "token_malformed",
        "token_nonexistent",
        "token_expired",
        "user_is_disabled",
    )


class BearerRefusalSerializer(serializers.Serializer[None]):
    """The OAuth 2 access token is invalid."""

    error_code = BearerErrorCodeField()
    developer_message = serializers.CharField()


class DeveloperMessageSerializer(serializers.Serializer[None]):
    """An error of the list of all enrollments."""

    developer_message = serializers.CharField()


class ListCredentialsRefusalSerializer(DeveloperMessageSerializer):
    """The requester is not logged in, or the credentials are invalid."""

    error_code = serializers.CharField(
        required=False, help_text="The fault of an OAuth 2 access token."
    )


class FilterFaultsSerializer(serializers.Serializer[None]):
    """The faults of the filters, by their names."""

    course_id = DeveloperMessageSerializer(required=False)
    course_ids = DeveloperMessageSerializer(required=False)
    email = DeveloperMessageSerializer(required=False)
    username = DeveloperMessageSerializer(required=False)


class FieldErrorsSerializer(serializers.Serializer[None]):
    """The malformed filters of the list of all enrollments."""

    field_errors = FilterFaultsSerializer()
