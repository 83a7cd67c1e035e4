"""
Directives that write reference tables from the code, so that they cannot drift.

All of them write reStructuredText and belong into an ``eval-rst`` block.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.core.management import load_command_class
from django.db import models
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from django_enrollments import checks, errors
from django_enrollments.conf import SETTINGS
from django_enrollments.views.errors import ERROR_RESPONSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

APP = "django_enrollments"


class WrittenDirective(SphinxDirective):
    """A directive whose content is reStructuredText that it writes itself."""

    def lines(self) -> Iterable[str]:
        """Give the lines to parse."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse what :meth:`lines` gives in place of the directive."""
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
    """
    Give the lines of a text as the body of a directive.

    Args:
        text: Paragraphs at the left margin.
    """
    for line in text.splitlines():
        yield f"   {line}".rstrip()


def table(*rows: Iterable[str], widths: str = "auto") -> Iterator[str]:
    """
    Write a table.

    Args:
        rows: Cells as reStructuredText, of one line or more; the first row is the head.
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
    """
    Write a value as a literal.

    Args:
        value: Anything with a ``repr()``.
    """
    return f"``{value!r}``"


class SettingsDirective(WrittenDirective):
    """Every setting: an overview, then one ``confval`` each, from ``conf.SETTINGS``."""

    def lines(self) -> Iterator[str]:
        """Write the overview and the entries."""
        analyzer = ModuleAnalyzer.for_module(f"{APP}.conf")
        comments = analyzer.find_attr_docs()
        docs = {name: "\n".join(comments["Settings", name]) for name in SETTINGS}
        yield from table(
            ("Setting", "Meaning"),
            *((f":confval:`{name}`", doc) for name, doc in docs.items()),
            widths="50 50",
        )
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


class ErrorCodesDirective(WrittenDirective):
    """Every error code with its class and the first paragraph of its docstring."""

    def lines(self) -> Iterator[str]:
        """Write the table, with an anchor per code."""
        classes = [
            value
            for value in vars(errors).values()
            if isinstance(value, type)
            and issubclass(value, errors.CourseEnrollmentError)
        ]
        yield from table(
            ("Code", "Class", "Meaning"),
            *(
                (
                    f".. _error-{one.code}:\n\n``{one.code}``",
                    f":exc:`~{APP}.errors.{one.__name__}`",
                    " ".join((inspect.getdoc(one) or "").split("\n\n")[0].split()),
                )
                for one in classes
            ),
            widths="28 37 35",
        )


class ChecksDirective(WrittenDirective):
    """Every system check, from the table in the module that defines them."""

    row: ClassVar[re.Pattern[str]] = re.compile(rf"{APP}\.([EW]\d+)\s+(.+)")

    def lines(self) -> Iterator[str]:
        """Write the table, with an anchor per id."""
        rows = self.row.findall(inspect.getdoc(checks) or "")
        yield from table(
            ("Id", "Severity", "What is wrong"),
            *(
                (
                    f".. _check-{number}:\n\n``{APP}.{number}``",
                    "error" if number.startswith("E") else "warning",
                    text,
                )
                for number, text in rows
            ),
            widths="30 15 55",
        )


class AnswersDirective(WrittenDirective):
    """What HTTP answers to each refusal, from the one table that says so."""

    def lines(self) -> Iterator[str]:
        """Write the table."""
        yield from table(
            ("Refusal", "Status"),
            *(
                (f":exc:`~{APP}.errors.{kind.__name__}`", str(int(status)))
                for kind, status, _ in ERROR_RESPONSES
            ),
        )


class ModelFieldsDirective(WrittenDirective):
    """The columns and constraints of one model."""

    required_arguments = 1

    def lines(self) -> Iterator[str]:
        """Write the table of columns, then what is unique."""
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
    """Usage and options of one management command, from its own parser."""

    required_arguments = 1
    #: What every Django command has.
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
        """Write what the command says of itself, then its options."""
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
    """Leave out how models and query sets are made; that is Django's business."""
    django_classes = (models.Model, models.QuerySet)
    if what == "class" and isinstance(obj, type) and issubclass(obj, django_classes):
        return "", None
    return None


def take_no_type_from_returns(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """
    Keep Napoleon from reading a type out of the words before a colon.

    Types stand in annotations here; ``Returns:`` and comments hold sentences.
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
    """Find a model by its public name when the module that defines it is named."""
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
    """
    Register the directives.

    Args:
        app: Sphinx.
    """
    app.add_directive("enrollments-settings", SettingsDirective)
    app.add_directive("enrollments-error-codes", ErrorCodesDirective)
    app.add_directive("enrollments-checks", ChecksDirective)
    app.add_directive("enrollments-answers", AnswersDirective)
    app.add_directive("enrollments-model-fields", ModelFieldsDirective)
    app.add_directive("enrollments-command", CommandDirective)
    app.connect("autodoc-process-signature", leave_out_django_signature)
    # Before Napoleon, which listens at 500.
    app.connect("autodoc-process-docstring", take_no_type_from_returns, priority=400)
    app.connect("missing-reference", find_model)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
