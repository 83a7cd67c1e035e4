"""
Directives that write parts of the reference from the code.

They produce reStructuredText. Use them in an ``eval-rst`` block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.core.management import load_command_class
from django.db import models
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from django_enrollments.conf import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

APP = "django_enrollments"


class WrittenDirective(SphinxDirective):
    """A directive that produces reStructuredText."""

    def lines(self) -> Iterable[str]:
        """Return the lines to parse."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the parsed lines."""
        source, _ = self.get_source_info()
        parsed = nodes.Element()
        parsed.document = self.state.document
        self.state.nested_parse(
            StringList(list(self.lines()), source=source),
            self.content_offset,
            parsed,
            match_titles=True,
        )
        return parsed.children


def indented(text: str) -> Iterator[str]:
    """Yield the lines of a text as the body of a directive."""
    for line in text.splitlines():
        yield f"   {line}".rstrip()


def table(*rows: Iterable[str], widths: str = "auto") -> Iterator[str]:
    """
    Yield the lines of a table.

    Args:
        rows: Cells in reStructuredText; the first row is the header.
        widths: Relative widths of the columns.
    """
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield f"   :widths: {widths}"
    yield ""
    for row in rows:
        for number, cell in enumerate(row):
            first, *others = cell.splitlines() or [""]
            yield f"   {'* -' if number == 0 else '  -'} {first}".rstrip()
            for line in others:
                yield f"       {line}".rstrip()
    yield ""


def literal(value: object) -> str:
    """Return the ``repr()`` of a value as a literal."""
    return f"``{value!r}``"


class SettingsDirective(WrittenDirective):
    """Write one ``confval`` per setting, from ``conf.SETTINGS``."""

    def lines(self) -> Iterator[str]:
        """Yield the entries."""
        analyzer = ModuleAnalyzer.for_module(f"{APP}.conf")
        comments = analyzer.find_attr_docs()
        docs = {name: "\n".join(comments["Settings", name]) for name in SETTINGS}
        for name, setting in SETTINGS.items():
            yield f".. confval:: {name}"
            yield f"   :type: {setting.expected}"
            yield f"   :default: {literal(setting.default)}"
            yield ""
            yield from indented(docs[name])
            yield ""
            if setting.safe != setting.default:
                yield (
                    "   While the value has the wrong type, "
                    f"{self._safe(setting.safe)} is used."
                )
                yield ""

    @staticmethod
    def _safe(value: object) -> str:
        if isinstance(value, list) and any(map(callable, value)):
            names = ", ".join(
                f":func:`{one.__module__}.{one.__name__}`" for one in value
            )
            return f"a list of {names}"
        return literal(value)


class ModelFieldsDirective(WrittenDirective):
    """Write the fields and unique constraints of one model."""

    required_arguments = 1

    def lines(self) -> Iterator[str]:
        """Yield the table of fields, then the unique constraints."""
        model = apps.get_model(APP, self.arguments[0])
        yield from table(
            ("Field", "Type", "Notes"),
            *(
                (f"``{field.name}``", self._type(field), "; ".join(self._notes(field)))
                for field in model._meta.concrete_fields
            ),
            widths="30 30 40",
        )
        for constraint in model._meta.constraints:
            if isinstance(constraint, models.UniqueConstraint):
                fields = ", ".join(f"``{name}``" for name in constraint.fields)
                yield f"Unique together: {fields}."
                yield ""

    @staticmethod
    def _type(field: models.Field[Any, Any]) -> str:
        if isinstance(field, models.ForeignKey):
            target = field.remote_field.model
            if target._meta.swapped or target._meta.swappable:
                setting = target._meta.swappable
                return f"foreign key to ``{setting}``"
            return f"foreign key to :class:`~{APP}.models.{target.__name__}`"
        name = type(field).__name__
        return f"{name}({field.max_length})" if field.max_length else name

    @staticmethod
    def _notes(field: models.Field[Any, Any]) -> Iterator[str]:
        if field.primary_key:
            yield "primary key"
        elif field.unique:
            yield "unique"
        if field.null:
            yield "may be null"
        default = field.default
        if default is not models.NOT_PROVIDED and not callable(default):
            yield f"default ``{default!r}``"
        if field.choices:
            yield ", ".join(f"``{value}``" for value, _ in field.choices)
        if isinstance(field, models.ForeignKey) and not field.db_constraint:
            yield "no database constraint"
        if field.help_text:
            yield str(field.help_text).rstrip(".")


class CommandDirective(WrittenDirective):
    """Write the help and the arguments of one management command."""

    required_arguments = 1
    #: Options of all Django commands.
    common: ClassVar[frozenset[str]] = frozenset(
        {
            "--help",
            "--version",
            "--verbosity",
            "--settings",
            "--pythonpath",
            "--traceback",
            "--no-color",
            "--force-color",
            "--skip-checks",
        }
    )

    def lines(self) -> Iterator[str]:
        """Yield the help, then the arguments."""
        name = self.arguments[0]
        command = load_command_class(APP, name)
        parser = command.create_parser("manage.py", name)
        yield str(command.help)
        yield ""
        own = [
            action
            for action in parser._actions
            if not self.common.intersection(action.option_strings)
        ]
        yield from table(
            ("Argument", "Meaning"),
            *(
                (
                    ", ".join(f"``{option}``" for option in self._spellings(action)),
                    self._meaning(action),
                )
                for action in own
            ),
            widths="40 60",
        )

    @staticmethod
    def _spellings(action: Any) -> list[str]:
        if not action.option_strings:
            return [action.metavar or action.dest]
        takes_value = action.nargs != 0
        value = f" {action.metavar or action.dest.upper()}" if takes_value else ""
        return [f"{option}{value}" for option in action.option_strings]

    @staticmethod
    def _meaning(action: Any) -> str:
        text = " ".join(str(action.help or "").split()).replace("%%", "%")
        if action.option_strings and action.required:
            text = f"{text}; required"
        return text


def leave_out_django_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    return_annotation: str | None,
) -> tuple[str, str | None] | None:
    """Leave out the signatures of models and querysets, which Django defines."""
    django_classes = (models.Model, models.QuerySet)
    if what == "class" and isinstance(obj, type) and issubclass(obj, django_classes):
        return "", None
    return None


def take_no_type_from_returns(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """
    Prevent Napoleon from reading the words before a colon as a type.

    Types are in the annotations; ``Returns:`` and comments contain sentences.
    """
    if what in {"attribute", "data"} and lines:
        lines[0] = f": {lines[0]}"
    for number, line in enumerate(lines[:-1]):
        if line in {"Returns:", "Yields:"}:
            following = lines[number + 1]
            text = following.lstrip()
            lines[number + 1] = f"{following[: -len(text)]}: {text}"


def find_model(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Resolve a reference to the module of a model to the model's public name."""
    path = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not path.startswith(f"{APP}.models."):
        return None
    public = f"{APP}.models.{path.rpartition('.')[2]}"
    if path == public:
        return None
    return env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], public, node, content
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("enrollments-settings", SettingsDirective)
    app.add_directive("enrollments-model-fields", ModelFieldsDirective)
    app.add_directive("enrollments-command", CommandDirective)
    app.connect("autodoc-process-signature", leave_out_django_signature)
    # Napoleon has the priority 500.
    app.connect("autodoc-process-docstring", take_no_type_from_returns, priority=400)
    app.connect("missing-reference", find_model)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
