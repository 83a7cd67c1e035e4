"""Field types of this app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F, Func
from django.db.models.lookups import Exact

from django_enrollments.text import normalize_email

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # Not generic at run time.
    """
    Text that is told apart to the letter on every database.

    The usual collations of MariaDB and MySQL take ``jose`` for ``José`` and ignore
    spaces at the end, so that one person's invitation, or a role on one course, would
    count for another.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Choose a collation where the database's own would not do."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            # Both compare characters and trailing spaces.
            is_mariadb = getattr(connection, "mysql_is_mariadb", False)
            parameters["collation"] = (
                "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
            )
        return parameters


#: A text that is compared to the letter, by vendor of the database.
TO_THE_LETTER = {
    "sqlite": "%(expressions)s COLLATE BINARY",
    "postgresql": '%(expressions)s COLLATE "C"',
    # Bytes have no collation.
    "mysql": "CAST(%(expressions)s AS BINARY)",
}


class ToTheLetter(Func):
    """
    A text that is compared by case, accents and trailing spaces on every database.

    The collation of a host's column may ignore any of them.
    """

    output_field = models.CharField()

    def as_sql(  # type: ignore[override]  # Nothing else is passed.
        self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any
    ) -> Any:
        """Return the text with the binary collation of the database."""
        template = TO_THE_LETTER[connection.vendor]
        return super().as_sql(compiler, connection, template=template, **context)


def to_the_letter(path: str, text: str) -> Exact[str]:
    """
    Return a condition that a column holds a text, whatever its collation.

    Args:
        path: The path of the column.
        text: The text.
    """
    return Exact(ToTheLetter(F(path)), text)


class LowercaseCharField(ExactCharField):
    """
    Text that is stored and looked up as e-mail addresses are compared.

    It is in NFC, its ASCII letters are in lower case, and it has no space around it.

    One stored form lets an ordinary unique constraint ignore case on every database;
    MariaDB has no index on expressions.
    """

    def get_prep_value(self, value: Any) -> Any:
        """Fold every value on its way to the database, lookups included."""
        value = super().get_prep_value(value)
        return normalize_email(value) if isinstance(value, str) else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Leave the stored form on the instance too."""
        value = self.get_prep_value(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value
