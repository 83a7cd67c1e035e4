"""Field types of this app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # Not generic at run time.
    """
    Text that is told apart to the letter on every database.

    The usual collations of MariaDB and MySQL take ``jose`` for ``José``, so that one
    person's invitation, or a role on one course, would count for another.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Choose a collation where the database's own would not do."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class LowercaseCharField(ExactCharField):
    """
    Text that is stored and looked up in lower case, without space around it.

    One stored form lets an ordinary unique constraint ignore case on every database;
    MariaDB has no index on expressions.
    """

    def get_prep_value(self, value: Any) -> Any:
        """Fold every value on its way to the database, lookups included."""
        value = super().get_prep_value(value)
        return value.strip().lower() if isinstance(value, str) else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Leave the stored form on the instance too."""
        value = self.get_prep_value(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value
