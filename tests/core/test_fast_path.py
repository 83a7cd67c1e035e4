"""
Lists made of plain columns are what the serializers make of instances (V1-SER).

The serializers declare the shape, one instance at a time; what is sent comes from two
queries for a whole list. Each test makes the same rows go both ways.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from django.utils.module_loading import import_string
from rest_framework.renderers import JSONRenderer

from django_enrollments import api
from django_enrollments.conf import conf
from django_enrollments.models import CourseEnrollment, CourseMode
from django_enrollments.serializers import (
    CourseEnrollmentsApiListSerializer,
    CourseEnrollmentSerializer,
)
from tests.factories import (
    DAY,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    username,
)
from tests.http import get

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.django_db

_Adapter = import_string(conf.ENROLLMENTS_COURSE_ADAPTER)


class MethodAdapter(_Adapter):
    """Answers by methods, which must see the host's own object."""

    def display_name(self, course: Any) -> str:
        return f"The {course}"

    def enrollment_end(self, course: Any) -> Any:
        return NOON


class BareAdapter(_Adapter):
    """Knows no more of a course than its id."""

    display_name = None
    start = None
    end = None
    enrollment_start = None
    enrollment_end = None
    invitation_only = None
    self_paced = None


class FacultyAdapter(_Adapter):
    """Finds the title behind a foreign key that may be null."""

    display_name = "faculty__name"


ADAPTERS = [
    pytest.param(None, id="the host's own"),
    pytest.param(MethodAdapter, id="methods"),
    pytest.param(BareAdapter, id="nothing"),
    pytest.param(
        FacultyAdapter,
        id="a foreign key",
        marks=pytest.mark.skipif(
            is_default_host(),
            reason="Courses of the default host have no foreign key.",
        ),
    ),
]


@pytest.fixture(params=ADAPTERS)
def _adapter(request: pytest.FixtureRequest, settings: Any) -> None:
    if request.param is not None:
        path = f"{__name__}.{request.param.__name__}"
        settings.ENROLLMENTS_COURSE_ADAPTER = path


@pytest.fixture
def courses() -> list[Any]:
    """Courses with modes of every kind, and courses with hardly anything."""
    now = timezone.now()
    rich = make_course(
        "course-v1:edX+Rich+R",
        org="Physics",
        display_name="Rich",
        start=NOON,
        end=NOON + DAY,
        enrollment_start=NOON + timedelta(microseconds=5),
        enrollment_end=now + DAY,
        invitation_only=True,
        self_paced=True,
    )
    make_mode(rich, "verified", min_price=49, suggested_prices="50, 100", sku="ABC")
    make_mode(rich, "credit", expiration_datetime=now + DAY, description="")
    make_mode(rich, "masters", expiration_datetime=now - DAY, bulk_sku="XYZ")
    poor = make_course("edX/Poor/2014_T2")
    late = make_course("django-101")
    make_mode(late, "honor", expiration_datetime=now - DAY)
    gone = make_course("course-v1:edX+Gone+R")
    make_mode(gone)
    return [rich, poor, late, gone]


@pytest.fixture
def rows(courses: Sequence[Any]) -> list[CourseEnrollment]:
    """Two learners in all of them, oldest first; the last course is deleted."""
    enrollments = [
        CourseEnrollment(
            user=user,
            course=course,
            mode=mode,
            is_active=mode != "honor",
            created=NOON + position * DAY + timedelta(microseconds=position),
        )
        for user in (make_user("ada"), make_user("bea"))
        for position, (course, mode) in enumerate(
            zip(courses, ("verified", "honor", "audit", "audit"), strict=True)
        )
    ]
    CourseEnrollment.objects.bulk_create(enrollments)
    CourseMode.objects.filter(course=courses[-1]).delete()
    courses[-1].delete()
    return list(CourseEnrollment.objects.order_by("user", "created"))


def as_json(value: Any) -> Any:
    """Return JSON text, in which the order of keys and the kinds of values count."""
    return json.dumps(value)


def rendered(value: Any) -> bytes:
    """Return what DRF sends."""
    return JSONRenderer().render(value)


def of_ada(rows: Sequence[CourseEnrollment]) -> list[CourseEnrollment]:
    return [row for row in rows if row.username == username("ada")]


@pytest.mark.usefixtures("_adapter")
class TestEnrollments:
    def test_a_queryset_gives_what_its_instances_give(self, rows):
        one_by_one = [CourseEnrollmentSerializer(row).data for row in rows]
        queryset = CourseEnrollment.objects.order_by("user", "created")

        assert [one["course_details"] is None for one in one_by_one].count(True) == 2
        assert as_json(api.serialize_enrollments(queryset)) == as_json(one_by_one)
        assert as_json(api.serialize_enrollments(rows)) == as_json(one_by_one)

    @pytest.mark.parametrize("include_inactive", [False, True])
    def test_a_learners_list_does_too_without_deleted_courses(
        self, rows, include_inactive
    ):
        shown = [
            CourseEnrollmentSerializer(row).data
            for row in of_ada(rows)[:-1]
            if row.is_active or include_inactive
        ]

        listed = api.get_enrollments(username("ada"), include_inactive)

        assert as_json(listed) == as_json(shown)

    def test_and_so_does_one_enrollment(self, rows, courses):
        for row, course in zip(of_ada(rows)[:-1], courses[:-1], strict=True):
            found = api.get_enrollment(username("ada"), course_id_of(course))

            assert as_json(found) == as_json(CourseEnrollmentSerializer(row).data)

    def test_http_sends_the_same(self, rows):
        own = [row for row in of_ada(rows)[:-1] if row.is_active]

        shown = CourseEnrollmentSerializer(own, many=True).data
        assert get(own[0].user).content == rendered(shown)

    def test_dictionaries_are_not_shared(self, rows):
        queryset = CourseEnrollment.objects.order_by("created", "user")
        first, second, *_ = api.serialize_enrollments(queryset)

        assert first["course_details"] == second["course_details"]
        first["course_details"]["course_modes"][0]["slug"] = "changed"
        assert first["course_details"] != second["course_details"]


class TestListOfAll:
    @pytest.mark.rule("V1-SER-20")
    def test_http_sends_what_the_serializer_gives(self, rows, courses):
        staff = make_user("staff", is_staff=True)
        listed = CourseEnrollment.objects.order_by("-created", "-pk")
        known = listed.filter(course__in=[course.pk for course in courses[:-1]])

        sent = get(staff, "enrollments/")

        shown = CourseEnrollmentsApiListSerializer(known, many=True).data
        assert len(shown) == len(rows) - 2
        assert rendered(sent.json()["results"]) == rendered(shown)
