"""The schema: complete, reversible, and the same with everything swapped."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from django_enrollments import api
from django_enrollments.models import get_course_model
from tests.factories import (
    course_id_of,
    is_default_host,
    make_course,
    make_user,
    username,
)


def own_tables():
    """List the tables of this app that the database has."""
    tables = connection.introspection.table_names()
    return {name for name in tables if name.startswith("django_enrollments_")}


@pytest.mark.django_db
class TestMakemigrations:
    def test_nothing_is_left_to_make(self):
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)

    def test_the_first_depends_on_swapped_models(self):
        loader = MigrationLoader(connection)
        own = [key for key in loader.disk_migrations if key[0] == "django_enrollments"]

        own.sort()
        assert own == [
            ("django_enrollments", "0001_initial"),
            ("django_enrollments", "0002_invitation_terms"),
            ("django_enrollments", "0003_event_source_length"),
            ("django_enrollments", "0004_event_feed"),
            ("django_enrollments", "0005_old_events_without_position"),
            ("django_enrollments", "0006_event_position_index"),
            ("django_enrollments", "0007_event_source_index"),
        ]
        needed = {app for app, _ in loader.disk_migrations[own[0]].dependencies}
        swapped = {get_user_model()._meta.app_label, get_course_model()._meta.app_label}
        assert needed == swapped


@pytest.mark.django_db
class TestSchema:
    def test_every_model_has_its_table_and_a_swapped_one_has_none(self):
        models = apps.get_app_config("django_enrollments").get_models()
        expected = {model._meta.db_table for model in models if not model._meta.swapped}

        assert own_tables() == expected
        assert ("django_enrollments_course" in expected) is is_default_host()

    @pytest.mark.rule("MDL-01")
    def test_no_constraint_ties_an_enrollment_to_its_course(self):
        with connection.cursor() as cursor:
            relations = connection.introspection.get_relations(
                cursor, "django_enrollments_courseenrollment"
            )

        tied_to = {relation[1] for relation in relations.values()}
        # SQLite writes no foreign key where there is no constraint either.
        assert get_course_model()._meta.db_table not in tied_to

    def test_names_of_indexes_fit_every_database(self):
        for model in apps.get_app_config("django_enrollments").get_models():
            for index in model._meta.indexes:
                assert len(index.name) <= 30, index.name
            for constraint in model._meta.constraints:
                assert len(constraint.name) <= 63, constraint.name


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestMigrate:
    def test_goes_back_to_nothing_and_forth_again(self):
        before = own_tables()
        try:
            call_command("migrate", "django_enrollments", "zero", verbosity=0)
            without = own_tables()
        finally:
            call_command("migrate", verbosity=0)

        assert without == set()
        assert own_tables() == before
        make_user()
        course = make_course()
        assert api.add_enrollment(username("ada"), course_id_of(course))["is_active"]
