"""
Serializers of the REST API's data (V1-SER), for the OpenAPI description and for hosts.

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
    """A way to take a course (V1-SER-12)."""

    slug = serializers.CharField(max_length=100)
    name = serializers.CharField(max_length=255)
    min_price = serializers.IntegerField()
    suggested_prices = StringListField(max_length=255)
    currency = serializers.CharField(max_length=8)
    expiration_datetime = MomentField(allow_null=True)
    description = serializers.CharField(allow_null=True)
    sku = serializers.CharField(allow_null=True)
    bulk_sku = serializers.CharField(allow_null=True)


class CourseSerializer(serializers.Serializer[Any]):
    """
    A course with its modes (V1-SER-05).

    Args:
        include_expired: Whether to include expired modes.
    """

    course_id = serializers.CharField()
    course_name = serializers.CharField(source="display_name")
    enrollment_start = MomentField(allow_null=True)
    enrollment_end = MomentField(allow_null=True)
    course_start = MomentField(source="start", allow_null=True)
    course_end = MomentField(source="end", allow_null=True)
    invite_only = serializers.BooleanField(source="invitation_only")
    course_modes = serializers.SerializerMethodField()
    pacing_type = serializers.SerializerMethodField()

    class Meta:
        ref_name = "enrollment.Course"

    def __init__(
        self, *args: Any, include_expired: bool = False, **kwargs: Any
    ) -> None:
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
    """An enrollment (V1-SER-01). That of a deleted course has no course details."""

    created = MomentField(read_only=True)
    course_details = CourseSerializer(source="course", read_only=True, allow_null=True)
    user = serializers.SerializerMethodField("get_username")

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
    """An enrollment in the list of all enrollments, with the course id only."""

    course_details = None  # type: ignore[assignment]  # DRF removes an inherited field in this way.
    course_id = serializers.SerializerMethodField()

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
    """An invitation (V1-SER-21)."""

    created = MomentField(read_only=True)

    class Meta:
        model = CourseEnrollmentAllowed
        fields = ("email", "course_id", "auto_enroll", "created", "user")
        lookup_field = "user"
