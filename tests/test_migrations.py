"""The schema: complete, reversible, and the same with everything swapped."""

from __future__ import annotations

import unicodedata
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import Value

from django_enrollments import api
from django_enrollments.models import CourseEnrollmentAllowed, get_course_model
from tests.factories import (
    course_id_of,
    is_default_host,
    make_course,
    make_user,
    username,
)


def own_tables() -> set[str]:
    """List the tables of this app that the database has."""
    tables = connection.introspection.table_names()
    return {name for name in tables if name.startswith("django_enrollments_")}


@pytest.mark.django_db
class TestMakemigrations:
    def test_nothing_is_left_to_make(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)

    def test_the_first_needs_what_is_swapped(self) -> None:
        loader = MigrationLoader(connection)
        own = [key for key in loader.disk_migrations if key[0] == "django_enrollments"]

        own.sort()
        assert own == [
            ("django_enrollments", "0001_initial"),
            ("django_enrollments", "0002_invitation_terms"),
            ("django_enrollments", "0003_event_source_length"),
            ("django_enrollments", "0004_invitation_addresses"),
        ]
        needed = {app for app, _ in loader.disk_migrations[own[0]].dependencies}
        swapped = {get_user_model()._meta.app_label, get_course_model()._meta.app_label}
        assert needed == swapped


@pytest.mark.django_db
class TestSchema:
    def test_every_model_has_its_table_and_a_swapped_one_has_none(self) -> None:
        models = apps.get_app_config("django_enrollments").get_models()
        expected = {model._meta.db_table for model in models if not model._meta.swapped}

        assert own_tables() == expected
        assert ("django_enrollments_course" in expected) is is_default_host()

    def test_mdl_01_no_constraint_ties_an_enrollment_to_its_course(self) -> None:
        with connection.cursor() as cursor:
            relations = connection.introspection.get_relations(
                cursor, "django_enrollments_courseenrollment"
            )

        tied_to = {relation[1] for relation in relations.values()}
        # SQLite writes no foreign key where there is no constraint either.
        assert get_course_model()._meta.db_table not in tied_to

    def test_names_of_indexes_fit_every_database(self) -> None:
        for model in apps.get_app_config("django_enrollments").get_models():
            for index in model._meta.indexes:
                assert len(index.name) <= 30, index.name
            for constraint in model._meta.constraints:
                assert len(constraint.name) <= 63, constraint.name


@pytest.mark.django_db(transaction=True)
class TestMigrate:
    def test_goes_back_to_nothing_and_forth_again(self) -> None:
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


@pytest.mark.django_db
def test_0004_stores_addresses_as_they_are_compared() -> None:
    ada, course_ids = make_user("ada"), ["new-1", "twice-1", "plain-1"]
    addresses = [*(unicodedata.normalize("NFD", "é@example.org"),) * 2, "a@example.org"]
    for address, course_id in zip(addresses, course_ids, strict=True):
        # No field changes the value of an expression.
        CourseEnrollmentAllowed.objects.create(
            email=address, course_id=course_id, user=ada
        )
        CourseEnrollmentAllowed.objects.filter(course_id=course_id).update(
            email=Value(address)
        )
    CourseEnrollmentAllowed.objects.create(email="é@example.org", course_id="twice-1")
    assert CourseEnrollmentAllowed.objects.for_email("é@example.org").count() == 1

    import_module(
        "django_enrollments.migrations.0004_invitation_addresses"
    ).normalize_addresses(apps, connection.schema_editor())

    found = CourseEnrollmentAllowed.objects.for_email("é@example.org")
    assert [(one.course_id, one.user) for one in found.order_by("course_id")] == [
        ("new-1", ada),
        ("twice-1", ada),
    ]
    assert CourseEnrollmentAllowed.objects.count() == 3
