from __future__ import annotations

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import django_enrollments.models.fields


class AddPosition(migrations.AddField):
    """
    Adds the column without rewriting the table, whatever its size.

    Old events have no position, new ones have 0. SQLite cannot add or change a default
    later without copying the table, so there the old events have 0 as well until the
    next migration.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if not self.allow_migrate_model(connection.alias, model):
            return
        table = connection.ops.quote_name(model._meta.db_table)
        add = f"ALTER TABLE {table} ADD COLUMN position bigint NULL"
        if connection.vendor == "sqlite":
            schema_editor.execute(f"{add} DEFAULT 0")
        else:
            schema_editor.execute(add)
            schema_editor.execute(
                f"ALTER TABLE {table} ALTER COLUMN position SET DEFAULT 0"
            )


class Migration(migrations.Migration):
    dependencies = (("django_enrollments", "0003_event_source_length"),)

    operations = (
        migrations.CreateModel(
            name="FeedCounter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("last", models.BigIntegerField(verbose_name="last position")),
            ],
            options={
                "verbose_name": "feed counter",
                "verbose_name_plural": "feed counters",
            },
        ),
        migrations.CreateModel(
            name="Consumer",
            fields=[
                (
                    "name",
                    django_enrollments.models.fields.ExactCharField(
                        max_length=64,
                        primary_key=True,
                        serialize=False,
                        verbose_name="name",
                    ),
                ),
                ("position", models.BigIntegerField(verbose_name="position")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("active", "active"),
                            ("paused", "paused"),
                            ("down", "down"),
                        ],
                        default="active",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                (
                    "failures",
                    models.PositiveIntegerField(default=0, verbose_name="failures"),
                ),
                (
                    "set_aside_in_a_row",
                    models.PositiveIntegerField(
                        default=0, verbose_name="set aside in a row"
                    ),
                ),
                (
                    "retry_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="next attempt"
                    ),
                ),
                (
                    "last_error",
                    models.CharField(
                        blank=True, max_length=500, verbose_name="last error"
                    ),
                ),
                (
                    "progressed_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="last progress"
                    ),
                ),
                (
                    "created",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="created"
                    ),
                ),
                (
                    "lease_token",
                    models.CharField(blank=True, max_length=32, verbose_name="lease"),
                ),
                (
                    "lease_until",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="leased until"
                    ),
                ),
            ],
            options={
                "verbose_name": "consumer",
                "verbose_name_plural": "consumers",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="SetAside",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "consumer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="set_aside",
                        to="django_enrollments.consumer",
                        verbose_name="consumer",
                    ),
                ),
                ("position", models.BigIntegerField(verbose_name="position")),
                (
                    "partition",
                    django_enrollments.models.fields.ExactCharField(
                        max_length=512, verbose_name="enrollment"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("retrying", "retrying"),
                            ("waiting", "waiting"),
                            ("dead", "dead"),
                        ],
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                (
                    "attempts",
                    models.PositiveIntegerField(default=0, verbose_name="attempts"),
                ),
                (
                    "retry_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="next attempt"
                    ),
                ),
                (
                    "error",
                    models.CharField(blank=True, max_length=500, verbose_name="error"),
                ),
            ],
            options={
                "verbose_name": "event set aside",
                "verbose_name_plural": "events set aside",
                "ordering": ("consumer", "position"),
                "indexes": [
                    models.Index(
                        fields=["consumer", "partition", "position"],
                        name="enrollments_setaside_part_idx",
                    ),
                    models.Index(
                        fields=["consumer", "state", "retry_at"],
                        name="enrollments_setaside_due_idx",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("consumer", "position"),
                        name="enrollments_setaside_unique",
                    )
                ],
            },
        ),
        AddPosition(
            model_name="enrollmentevent",
            name="position",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                editable=False,
                null=True,
                verbose_name="position",
            ),
        ),
    )
