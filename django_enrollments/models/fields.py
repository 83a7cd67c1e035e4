"""Field types of this app."""

from __future__ import annotations

from typing import Any

from django.db import models


class LowercaseCharField(models.CharField):  # type: ignore[type-arg]  # Not generic at run time.
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
