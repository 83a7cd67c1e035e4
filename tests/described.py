"""Compare responses of the API with its OpenAPI description."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from jsonschema import Draft202012Validator, FormatChecker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse

_METHODS = ("get", "post", "put", "patch", "delete")

formats = FormatChecker()


@formats.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    """Return whether a text is a moment in UTC, as the API writes them."""
    if not isinstance(value, str):
        return True
    datetime.fromisoformat(value.removesuffix("Z"))
    return value.endswith("Z")


def template_of(route: str) -> str:
    """Return the path of a route of Django as OpenAPI writes it."""
    path = re.sub(r"<\w+:(\w+)>", r"{\1}", route)
    return "/" + re.sub(r"[\^$?]", "", path)


class Description:
    """The description of the API as the test host is configured now."""

    def __init__(self):
        made = SchemaGenerator().get_schema(request=None, public=True)
        self.document = json.loads(OpenApiJsonRenderer().render(made))
        self.components = _as_json_schema(self.document["components"])

    @property
    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield each path, method and operation."""
        for path, item in self.document["paths"].items():
            for method in _METHODS:
                if method in item:
                    yield path, method, item[method]

    def operation(self, operation_id: str) -> dict[str, Any]:
        """Return the operation of this name."""
        found = [
            one for _, _, one in self.operations if one["operationId"] == operation_id
        ]
        (operation,) = found
        return operation

    def operation_of(self, response: HttpResponse) -> dict[str, Any]:
        """Return the operation that a request of the test client was."""
        path = template_of(response.resolver_match.route)
        method = response.request["REQUEST_METHOD"].lower()
        return self.document["paths"][path][method]

    def faults(self, value, schema: dict[str, Any]) -> list[str]:
        """Return the errors of a value; keys that are not described are errors."""
        root = {**_as_json_schema(schema), "components": self.components}
        validator = Draft202012Validator(root, format_checker=formats)
        return [
            f"{error.json_path}: {error.message}"
            for error in validator.iter_errors(value)
        ]

    def assert_describes(self, response: HttpResponse):
        """Assert that status, headers and body of a response are as described."""
        operation = self.operation_of(response)
        status, body = str(response.status_code), response.content
        assert status in operation["responses"], (operation["operationId"], status)
        described = operation["responses"][status]
        headers = described.get("headers", {}).items()
        wanted = [name for name, header in headers if header.get("required")]
        assert [name for name in wanted if name not in response] == []
        content = described.get("content")
        if content is None or (described.get("x-may-be-empty") and not body):
            assert (body, response.get("Content-Type")) == (b"", None)
            return
        assert response["Content-Type"] in content
        schema = content[response["Content-Type"]]["schema"]
        assert self.faults(json.loads(body), schema) == []


def _as_json_schema(node):
    """Translate the dialect of OpenAPI 3.0, and refuse keys that are not described."""
    if isinstance(node, list):
        return [_as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _as_json_schema(value) for key, value in node.items()}
    if "properties" in node and isinstance(node.get("type"), str):
        schema.setdefault("additionalProperties", False)
    if schema.pop("nullable", False) is True:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return schema
