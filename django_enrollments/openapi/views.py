"""How drf-spectacular sees the views of the API: by the table of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uritemplate
from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import (
    ResolvedComponent,
    build_examples_list,
    build_media_type_object,
)
from drf_spectacular.utils import OpenApiRequest
from rest_framework.permissions import SAFE_METHODS

from django_enrollments.openapi.answers import HEADERS
from django_enrollments.openapi.calls import CALLS, ENROLLMENT, OWN_ENROLLMENT, Call
from django_enrollments.openapi.parameters import path_parameters
from django_enrollments.openapi.schemes import (
    API_KEY,
    CSRF,
    SESSION,
    api_key_definition,
    csrf_definition,
)
from django_enrollments.views import ApiKeyOrAuthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.serializers import Serializer
    from rest_framework.views import APIView

#: Marks an answer that comes without its body where there is nothing to tell.
MAY_BE_EMPTY = "x-may-be-empty"


class DescribedView(OpenApiViewExtension):
    """
    Every view of the API, and of hosts that only change what such a view does.

    One that takes more methods is left to describe itself.
    """

    target_class = "django_enrollments.views.EnrollmentAPIView"
    match_subclasses = True

    def view_replacement(self) -> type[APIView]:
        """Return the view with a schema that knows the table."""
        view: type[APIView] = self.target
        methods = {method.upper() for method in view.http_method_names}
        known = {"HEAD", "OPTIONS", "TRACE", *_calls_of(view)}
        if any(hasattr(view, method.lower()) for method in methods - known):
            return view
        return type(view.__name__, (view,), {"schema": CallSchema()})


def _calls_of(view: type[APIView]) -> Mapping[str, Call]:
    """Return the calls of the first view in the table that this one is made from."""
    return next((CALLS[kind] for kind in view.__mro__ if kind in CALLS), {})


class CallSchema(AutoSchema):
    """Describes a call as the table says."""

    @property
    def call(self) -> Call:
        """The call that is described now."""
        call = _calls_of(type(self.view))[self.method]
        if call is ENROLLMENT and "username" not in uritemplate.variables(self.path):
            return OWN_ENROLLMENT
        return call

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """
        Return the description.

        Args:
            args: As drf-spectacular gives them.
            kwargs: As drf-spectacular gives them.
        """
        operation = super().get_operation(*args, **kwargs)
        if operation and self.call.may_be_empty:
            operation["responses"]["200"][MAY_BE_EMPTY] = True
        if operation and self.call.body and "requestBody" not in operation:
            # DELETE may have a body, which few APIs make use of.
            operation["requestBody"] = self._describe_body(self.call.body)
        return operation

    def _describe_body(self, shape: type[Serializer[None]]) -> dict[str, Any]:
        schema = self.resolve_serializer(shape, "request").ref
        examples = build_examples_list(self.call.body_examples)
        content = {
            media_type: build_media_type_object(schema, examples)
            for media_type in self.call.media_types
        }
        return {"content": content, "required": True}

    def get_operation_id(self) -> str:
        """Return the name of the call."""
        return self.call.operation_id

    def get_tags(self) -> list[str]:
        """Return the group of the call."""
        return [self.call.tag]

    def get_summary(self) -> str:
        """Return the line about the call."""
        return self.call.summary

    def get_description(self) -> str:  # type: ignore[override]  # As its parent does.
        """Return what else there is to know."""
        return self.call.description

    def get_override_parameters(self) -> list[Any]:
        """Return the parameters, and the headers of answers."""
        return [
            *path_parameters(uritemplate.variables(self.path)),
            *self.call.parameters(),
            *(HEADERS[status] for status in self.call.answers if status in HEADERS),
        ]

    def get_request_serializer(self) -> Any:
        """Return the body, by media type."""
        body = OpenApiRequest(self.call.body, examples=self.call.body_examples)
        return dict.fromkeys(self.call.media_types, body)

    def get_response_serializers(self) -> Any:
        """Return the answers, by status."""
        return dict(sorted(self.call.answers.items()))

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """
        Return the name of a component, which no other app of the host has.

        Args:
            serializer: The serializer.
            direction: Whether it is sent or answered.
        """
        return f"enrollment.{super().get_serializer_name(serializer, direction)}"

    def get_auth(self) -> list[dict[str, Any]]:
        """Return each way to authenticate; an empty one where none is needed."""
        if not self.view.get_permissions():
            return [{}]
        ways: list[dict[str, Any]] = []
        for way in super().get_auth():
            if SESSION in way and self.method not in SAFE_METHODS:
                way = {**way, **self._scheme(CSRF, csrf_definition())}
            if way not in ways:
                ways.append(way)
        if ApiKeyOrAuthenticated in self.view.permission_classes:
            ways.append(self._scheme(API_KEY, api_key_definition()))
        return ways

    def _scheme(self, name: str, definition: dict[str, Any]) -> dict[str, list[str]]:
        """Add a scheme that belongs to no authentication class; give its demand."""
        self.registry.register_on_missing(
            ResolvedComponent(name, ResolvedComponent.SECURITY_SCHEMA, definition, name)
        )
        return {name: []}
