"""How drf-spectacular names and reads the serializers of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from drf_spectacular.extensions import (
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)

from django_enrollments.openapi.patterns import course_id_schema
from django_enrollments.openapi.shapes import WordField
from django_enrollments.serializers import ModeSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction

_SERIALIZERS = "django_enrollments.serializers"


class _Sent(OpenApiSerializerExtension):
    """
    A serializer of what the API sends, every key of which is always there.

    Attributes:
        description: What it is, for clients; the docstring is for hosts.
        notes: The same of its keys.
    """

    description = ""
    notes: ClassVar[Mapping[str, str]] = {}

    def map_serializer(
        self, auto_schema: AutoSchema, direction: Direction
    ) -> dict[str, Any]:
        """
        Return the schema.

        Args:
            auto_schema: The call that is described.
            direction: Whether it is sent or answered.
        """
        schema = super().map_serializer(auto_schema, direction)
        for name, mapped in schema["properties"].items():
            # Labels of columns, and docstrings of methods.
            for word in ("title", "description"):
                mapped.pop(word, None)
            if name in self.notes:
                mapped["description"] = self.notes[name]
        return {
            **schema,
            "description": self.description,
            "required": list(schema["properties"]),
        }


class ModeComponent(_Sent):
    """The schema of modes."""

    target_class = f"{_SERIALIZERS}.ModeSerializer"
    description = "A way to take a course."
    notes = {
        "suggested_prices": "Whole numbers; an empty text when there are none.",
        "expiration_datetime": "When it is no longer on offer.",
    }


class CourseComponent(_Sent):
    """The schema of courses, whose methods tell nothing of what they give."""

    target_class = f"{_SERIALIZERS}.CourseSerializer"
    description = "What enrolling needs to know of a course."
    notes = {
        "enrollment_start": "Null: at once.",
        "enrollment_end": "Null: never.",
        "course_start": "Null: when it was made.",
        "course_end": "Null: never.",
        "course_modes": "The modes on offer, or the default one.",
    }

    def map_serializer(
        self, auto_schema: AutoSchema, direction: Direction
    ) -> dict[str, Any]:
        """
        Return the schema.

        Args:
            auto_schema: The call that is described.
            direction: Whether it is sent or answered.
        """
        schema = super().map_serializer(auto_schema, direction)
        pace = WordField(
            component="enrollment.PacingType",
            words=("Self Paced", "Instructor Paced"),
        )
        for name, field in (
            ("course_modes", ModeSerializer(many=True)),
            ("pacing_type", pace),
        ):
            mapped = auto_schema._map_serializer_field(field, direction)
            schema["properties"][name].clear()
            schema["properties"][name].update(mapped)
        return schema


class EnrollmentComponent(_Sent):
    """The schema of enrollments."""

    target_class = f"{_SERIALIZERS}.CourseEnrollmentSerializer"
    description = "A learner's place in a course."
    notes = {
        "created": "When it was made; coming back does not change it.",
        "course_details": "Null: the course has been deleted.",
        "user": "The learner's username.",
    }


class ListedEnrollmentComponent(_Sent):
    """The schema of enrollments in the list of all."""

    target_class = f"{_SERIALIZERS}.CourseEnrollmentsApiListSerializer"
    description = "A learner's place in a course, which is named by its id alone."
    notes = {"user": "The learner's username."}


class InvitationComponent(_Sent):
    """The schema of invitations."""

    target_class = f"{_SERIALIZERS}.CourseEnrollmentAllowedSerializer"
    description = "An invitation."
    notes = {"user": "The key of who has enrolled by it."}


class PricesComponent(OpenApiSerializerFieldExtension):
    """The schema of prices: numbers, or an empty text."""

    target_class = f"{_SERIALIZERS}.StringListField"

    def map_serializer_field(
        self, auto_schema: AutoSchema, direction: Direction
    ) -> dict[str, Any]:
        """
        Return the schema.

        Args:
            auto_schema: The call that is described.
            direction: Whether it is sent or answered.
        """
        return {
            "oneOf": [
                {"type": "array", "items": {"type": "integer"}},
                {"type": "string", "maxLength": 0},
            ]
        }


class CourseIdComponent(OpenApiSerializerFieldExtension):
    """The schema of course ids in bodies."""

    target_class = "django_enrollments.openapi.shapes.CourseIdField"

    def map_serializer_field(
        self, auto_schema: AutoSchema, direction: Direction
    ) -> dict[str, Any]:
        """
        Return the schema.

        Args:
            auto_schema: The call that is described.
            direction: Whether it is sent or answered.
        """
        return course_id_schema()


class WordsComponent(OpenApiSerializerFieldExtension):
    """The schema of words, each list of them a component of its own."""

    target_class = "django_enrollments.openapi.shapes.WordField"

    def get_name(self) -> str:
        """Return the name of the component."""
        name: str = self.target.component
        return name

    def map_serializer_field(
        self, auto_schema: AutoSchema, direction: Direction
    ) -> dict[str, Any]:
        """
        Return the schema.

        Args:
            auto_schema: The call that is described.
            direction: Whether it is sent or answered.
        """
        return {"type": "string", "enum": list(self.target.words)}
