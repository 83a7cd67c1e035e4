from __future__ import annotations

from typing import Any

from django.db import migrations, models


class AddIndexWithoutLock(migrations.AddIndex):
    """
    Adds an index while others write.

    MariaDB does that by itself, PostgreSQL on request. SQLite has one writer at a time.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(connection.alias, model):
            quote = connection.ops.quote_name
            name, table = quote(self.index.name), quote(model._meta.db_table)
            # One that was interrupted is left behind, and is of no use.
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            columns = ", ".join(map(quote, self.index.fields))
            schema_editor.execute(
                f"CREATE INDEX CONCURRENTLY {name} ON {table} ({columns})"
            )


class Migration(migrations.Migration):
    # PostgreSQL builds such an index outside of transactions.
    atomic = False

    dependencies = (("django_enrollments", "0006_event_position_index"),)

    operations = (
        AddIndexWithoutLock(
            model_name="enrollmentevent",
            index=models.Index(
                fields=["source", "id"], name="enrollments_event_source_idx"
            ),
        ),
    )
