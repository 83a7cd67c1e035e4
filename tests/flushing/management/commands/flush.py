"""Delete rows, instead of tables' files, and keep what ``migrate`` has made."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.db import connections, transaction

#: Their rows are the same for all tests.
KEPT = {ContentType._meta.db_table, Permission._meta.db_table}


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        using = options["database"]
        connection = connections[using]
        tables = connection.introspection.django_table_names(only_existing=True)
        with (
            connection.constraint_checks_disabled(),
            transaction.atomic(using=using),
            connection.cursor() as cursor,
        ):
            for table in set(tables) - KEPT:
                name = connection.ops.quote_name(table)
                cursor.execute(f"DELETE FROM {name}")  # noqa: S608 - a table's own name.
