"""Field types of this app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F, Func
from django.db.models.lookups import Exact

from django_enrollments.course_model import find_field
from django_enrollments.emails import normalize_email

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def is_mariadb(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a database with the vendor ``mysql`` is MariaDB."""
    return bool(getattr(connection, "mysql_is_mariadb", False))


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # Not generic at run time.
    """
    Text that is compared exactly on every database.

    The default collations of MariaDB and MySQL treat ``jose`` and ``José`` as equal and
    ignore trailing spaces. An invitation of one user, or a role on one course, would
    match another.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Return the parameters, with a binary collation on MariaDB and MySQL."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            # Both compare characters and trailing spaces.
            parameters["collation"] = (
                "utf8mb4_nopad_bin" if is_mariadb(connection) else "utf8mb4_0900_bin"
            )
        return parameters


#: A text that is compared to the letter, by vendor of the database.
EXACT_TEXT = {
    "sqlite": "%(expressions)s COLLATE BINARY",
    "postgresql": '%(expressions)s COLLATE "C"',
    # Bytes have no collation.
    "mysql": "CAST(%(expressions)s AS BINARY)",
}


class ExactText(Func):
    """
    Text of a host's column, compared exactly on every database.

    The collation of the column may ignore case, accents or trailing spaces.
    """

    output_field = models.CharField()

    def as_sql(  # type: ignore[override]  # Nothing else is passed.
        self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any
    ) -> Any:
        """Return the text with the binary collation of the database."""
        template = EXACT_TEXT[connection.vendor]
        return super().as_sql(compiler, connection, template=template, **context)


def exact_match(path: str, text: str) -> Exact[str]:
    """
    Return a condition that a column holds a text, whatever its collation.

    Args:
        path: The path of the column.
        text: The text.
    """
    return Exact(ExactText(F(path)), text)


class _Searchable(Func):
    """A text that ``LIKE`` can search, whatever the collation of its column."""

    output_field = models.CharField()
    template = "%(expressions)s"

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the text with a deterministic collation; others have no ``LIKE``."""
        template = '(%(expressions)s) COLLATE "default"'
        return self.as_sql(compiler, connection, template=template, **context)


def searchable(model: type[models.Model], path: str, prefix: str = "") -> F | Func:
    """
    Return an expression of a column, for lookups such as ``icontains``.

    Args:
        model: The model where the path starts.
        path: The path of the column.
        prefix: The path from the model that is queried to ``model``, with ``__``.
    """
    column = F(f"{prefix}{path}")
    is_text = isinstance(find_field(model, path), models.CharField | models.TextField)
    return _Searchable(column) if is_text else column


class LowercaseCharField(ExactCharField):
    """
    Text in the form in which e-mail addresses are compared.

    It is in NFC, with ASCII letters in lower case and without surrounding spaces. So a
    unique constraint ignores case on every database, also on MariaDB, which has no
    indexes on expressions.
    """

    def get_prep_value(self, value: Any) -> Any:
        """Return the stored form of a value, also for lookups."""
        value = super().get_prep_value(value)
        return normalize_email(value) if isinstance(value, str) else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Set the stored form on the instance, and return it."""
        value = self.get_prep_value(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value
