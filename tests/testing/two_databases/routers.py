from __future__ import annotations

from typing import Any

SCHOOL = {"auth", "contenttypes", "django_enrollments", "two_databases"}


class SchoolRouter:
    """Sends the models of a few apps to the database ``school``."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "school" if model._meta.app_label in SCHOOL else "default"

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "school") == (app_label in SCHOOL)
