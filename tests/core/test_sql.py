"""Plain statements read and write what Django's own queries read and write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, router

from django_enrollments import api
from django_enrollments.core.sql import (
    insert_rows,
    select_instances,
    select_rows,
    update_rows,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseMode,
    EnrollmentEvent,
)
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    make_course,
    make_mode,
    make_user,
    make_users,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db


@pytest.fixture
def course() -> Any:
    """A course with three learners and a mode that expires."""
    course = make_course()
    make_mode(course, "audit")
    make_mode(course, "verified", expiration_datetime=NOON + 10_000 * DAY)
    for user in make_users(3):
        api.add_enrollment(user.get_username(), course_id_of(course))
    return course


def columns_of(model: Any) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


class TestSelectRows:
    @pytest.mark.usefixtures("course")
    @pytest.mark.parametrize("model", [CourseEnrollment, CourseMode, EnrollmentEvent])
    def test_returns_what_django_returns(self, model: Any) -> None:
        names = columns_of(model)
        keys = list(model.objects.values_list("pk", flat=True))

        read = select_rows(model, names, {"id": keys}, in_order=True)

        assert read == list(model.objects.order_by("pk").values_list(*names))
        assert len(read) > 1

    def test_compares_with_a_value_with_several_and_with_null(
        self, course: Any
    ) -> None:
        modes = {"course": course.pk, "mode_slug": ["audit", "verified"]}

        assert len(select_rows(CourseMode, ["id"], modes)) == 2
        assert len(select_rows(CourseMode, ["id"], modes | {"sku": None})) == 2
        assert select_rows(CourseMode, ["id"], {"mode_slug": []}) == []

    @pytest.fixture(params=["UTC", "Asia/Kathmandu", None])
    def _zone(self, request: Any, settings: Any) -> Iterator[None]:
        """Have a database without time zones hold moments of another one."""
        if connection.features.supports_timezones:
            pytest.skip("The moments of this database have a time zone.")
        before = connection.timezone
        settings.USE_TZ = request.param is not None
        connection.timezone = request.param and ZoneInfo(request.param)
        yield
        connection.timezone = before

    @pytest.mark.usefixtures("_zone")
    def test_returns_moments_in_the_time_zone_of_the_database(self) -> None:
        course = make_course()
        api.add_enrollment(make_user("ada").get_username(), course_id_of(course))
        names = ["created", "modified"]

        read = select_rows(CourseEnrollment, names, {"course": course.pk})

        assert read == list(CourseEnrollment.objects.values_list(*names))


class TestSelectInstances:
    def test_returns_what_django_returns(self, course: Any) -> None:
        where = {"course": course.pk, "is_active": True}

        found = select_instances(CourseEnrollment, where, using="default")

        expected = {row.pk: row for row in CourseEnrollment.objects.all()}
        assert {row.pk for row in found} == {*expected}
        for row in found:
            names = columns_of(CourseEnrollment)
            assert [getattr(row, name) for name in names] == [
                getattr(expected[row.pk], name) for name in names
            ]
            assert (row._state.db, row._state.adding) == ("default", False)


class TestInsertColumns:
    def test_inserts_values_that_are_shared_and_values_that_differ(self) -> None:
        users = make_users(3)
        columns = {
            "user": [user.pk for user in users],
            "org": ["MIT"] * 3,
            "course_id": ["a", "b", "c"],
            "role": ["staff"] * 3,
        }

        returned = insert_rows(
            CourseAccessRole, columns, using="default", returning=("user", "id")
        )

        stored = CourseAccessRole.objects.order_by("pk")
        assert list(stored.values_list("user", "org", "course_id", "role")) == list(
            zip(*columns.values(), strict=True)
        )
        assert sorted(returned) in ([], sorted(stored.values_list("user", "pk")))

    def test_inserts_more_rows_than_fit_into_one_statement(self) -> None:
        user = make_user("ada")
        count = 9_000
        columns = {
            "user": [user.pk] * count,
            "org": [""] * count,
            "course_id": [f"c{number}" for number in range(count)],
            "role": ["staff"] * count,
        }

        insert_rows(CourseAccessRole, columns, using="default")

        assert CourseAccessRole.objects.count() == count

    def test_inserts_nothing_without_rows(self) -> None:
        assert insert_rows(CourseAccessRole, {"user": []}, using="default") == []


class TestUpdateRows:
    def test_updates_rows_that_meet_one_of_the_conditions(self, course: Any) -> None:
        first, second, third = CourseEnrollment.objects.order_by("pk")
        conditions = [{"id": [first.pk], "mode": "audit"}, {"id": [third.pk]}]

        count = update_rows(
            CourseEnrollment, {"is_active": False}, conditions, using="default"
        )

        assert count == 2
        assert list(CourseEnrollment.objects.filter(is_active=True)) == [second]


class TestRememberUser:
    def test_does_not_ask_the_router(
        self, course: Any, monkeypatch: Any, django_assert_num_queries: Any
    ) -> None:
        row = CourseEnrollment.objects.select_related("user").first()
        assert row is not None
        user = row.user
        row = CourseEnrollment.objects.get(pk=row.pk)
        monkeypatch.setattr(router, "allow_relation", lambda *args, **hints: False)

        row.remember_user(user)

        with django_assert_num_queries(0):
            assert row.user is user
