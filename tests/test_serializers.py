"""The serializers that declare the shape of what is sent."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone

import pytest
from django.utils import timezone as django_timezone
from rest_framework.renderers import JSONRenderer

from django_enrollments import api, data
from django_enrollments.datetimes import to_iso
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
)
from django_enrollments.serializers import (
    CourseEnrollmentAllowedSerializer,
    CourseEnrollmentsApiListSerializer,
    CourseEnrollmentSerializer,
    CourseSerializer,
    ModeSerializer,
    MomentField,
    StringListField,
)
from tests.factories import (
    DAY,
    HOUR,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    username,
)
from tests.http import put

pytestmark = pytest.mark.django_db


@pytest.fixture
def courses():
    """Make courses with everything, with nothing, and with an expired mode alone."""
    rich = make_course(
        "course-v1:edX+Rich+R",
        org="edX",
        display_name="Rich",
        start=NOON,
        end=NOON + DAY,
        enrollment_start=NOON + timedelta(microseconds=5),
        enrollment_end=NOON + HOUR,
        invitation_only=True,
        self_paced=True,
    )
    make_mode(
        rich,
        "verified",
        min_price=49,
        suggested_prices="50, 100",
        currency="EUR",
        expiration_datetime=django_timezone.now() + DAY,
        description="With a certificate",
        sku="ABC",
        bulk_sku="",
    )
    make_mode(rich, "credit")
    make_mode(rich, "masters", expiration_datetime=django_timezone.now() - DAY)
    poor = make_course("edX/Poor/2014_T2")
    late = make_course("django-101")
    make_mode(late, "honor", expiration_datetime=django_timezone.now() - DAY)
    return [rich, poor, late]


def as_json(value):
    """Return JSON text, in which the order of keys counts."""
    return json.dumps(value)


class TestCourseEnrollmentSerializer:
    @pytest.mark.rule("V1-SER-22", "V1-SER-02")
    def test_returns_what_every_function_returns(self, courses, settings):
        settings.TIME_ZONE = "Asia/Kathmandu"
        settings.REST_FRAMEWORK = {"DATETIME_FORMAT": "%d.%m.%Y"}
        for name in ("ada", "bea"):
            user = make_user(name)
            for course in courses:
                put(user, course, "honor", is_active=name == "ada")
        rows = CourseEnrollment.objects.order_by("pk")

        with django_timezone.override("America/Bogota"):
            one_by_one = [CourseEnrollmentSerializer(row).data for row in rows]
            many = CourseEnrollmentSerializer(rows, many=True).data

        sent = data.serialize_enrollments(rows)
        listed = api.get_enrollments(username("ada"))
        single = api.get_enrollment(username("ada"), course_id_of(courses[0]))
        assert len(sent) == 6
        assert as_json(one_by_one) == as_json(many) == as_json(sent)
        assert as_json(one_by_one[:3]) == as_json(listed)
        assert as_json(one_by_one[0]) == as_json(single)
        assert single["course_details"]["course_start"] == "2026-03-04T12:00:00Z"

    @pytest.mark.rule("V1-SER-19")
    def test_returns_no_details_of_a_deleted_course(self, ada, courses):
        put(ada, courses[1])
        courses[1].delete()
        row = CourseEnrollment.objects.get()

        shape = CourseEnrollmentSerializer(row).data

        assert shape["course_details"] is None
        assert as_json([shape]) == as_json(data.serialize_enrollments([row]))

    @pytest.mark.rule("NAM-04")
    def test_has_the_names_of_the_contract(self, ada, courses):
        meta = CourseEnrollmentSerializer.Meta
        put(ada, courses[0])

        name = CourseEnrollmentSerializer().get_username(CourseEnrollment.objects.get())

        assert meta.fields == ("created", "mode", "is_active", "course_details", "user")
        assert meta.lookup_field == "username"
        assert name == username("ada")

    def test_takes_no_input(self):
        serializer = CourseEnrollmentSerializer(data={"mode": "x", "is_active": False})

        assert serializer.is_valid()
        assert serializer.validated_data == {}


class TestCourseSerializer:
    @pytest.mark.rule("V1-SER-05")
    @pytest.mark.parametrize("include_expired", [False, True])
    def test_returns_the_course_details(self, courses, include_expired):
        for course in courses:
            shape = CourseSerializer(course, include_expired=include_expired).data

            assert as_json(shape) == as_json(
                data.get_course_enrollment_info(course_id_of(course), include_expired)
            )
            assert json.loads(JSONRenderer().render(shape)) == shape

    @pytest.mark.rule("V1-SER-11", "NAM-04")
    def test_has_the_names_of_the_contract(self, courses):
        rich, poor, late = courses
        serializer = CourseSerializer(include_expired=True)

        assert CourseSerializer.Meta.ref_name == "enrollment.Course"
        assert [mode["slug"] for mode in serializer.get_course_modes(late)] == ["honor"]
        assert serializer.get_pacing_type(poor) == "Instructor Paced"
        # Courses of the other host have no pace.
        assert serializer.get_pacing_type(rich) == (
            "Self Paced" if is_default_host() else "Instructor Paced"
        )


class TestModeSerializer:
    @pytest.mark.rule("V1-SER-12", "V1-SER-13", "V1-SER-14", "V1-SER-15", "V1-SER-16")
    def test_returns_these_values_in_this_order(self, courses):
        mode = CourseMode.objects.get(mode_slug="verified")

        shape = ModeSerializer(mode).data

        assert list(shape.items()) == [
            ("slug", "verified"),
            ("name", "Verified"),
            ("min_price", 49),
            ("suggested_prices", [50, 100]),
            ("currency", "eur"),
            ("expiration_datetime", to_iso(mode.expiration_datetime)),
            ("description", "With a certificate"),
            ("sku", "ABC"),
            ("bulk_sku", ""),
        ]


class TestStringListField:
    @pytest.mark.rule("V1-SER-15", "SEED-DIFF-05")
    @pytest.mark.parametrize(
        ("stored", "numbers", "sent"),
        [("", [], ""), ("1,2,3", [1, 2, 3], [1, 2, 3]), ("10", [10], [10])],
    )
    def test_returns_numbers_or_a_blank_text_on_the_wire(self, stored, numbers, sent):
        mode, field = CourseMode(suggested_prices=stored), StringListField()

        assert field.field_to_native(mode, "suggested_prices") == numbers
        assert field.to_representation(stored) == sent


class TestMomentField:
    @pytest.mark.rule("V1-SER-02")
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (NOON, "2026-03-04T12:00:00Z"),
            (NOON + timedelta(microseconds=10), "2026-03-04T12:00:00.000010Z"),
            (
                datetime(2026, 3, 4, 12, tzinfo=timezone(5 * HOUR)),
                "2026-03-04T07:00:00Z",
            ),
            (date(2026, 3, 4), "2026-03-04T06:00:00Z"),
        ],
    )
    def test_returns_utc(self, value, text, settings):
        settings.TIME_ZONE = "America/Chicago"

        assert MomentField().to_representation(value) == text


class TestCourseEnrollmentsApiListSerializer:
    @pytest.mark.rule("V1-SER-20")
    def test_returns_these_values_in_this_order(self, courses):
        put(make_user("ada"), courses[0], "verified")
        row = CourseEnrollment.objects.get()

        shape = CourseEnrollmentsApiListSerializer(row).data

        assert list(shape.items()) == [
            ("created", to_iso(row.created)),
            ("mode", "verified"),
            ("is_active", True),
            ("user", username("ada")),
            ("course_id", course_id_of(courses[0])),
        ]

    @pytest.mark.rule("V1-SER-20")
    def test_returns_the_key_of_a_deleted_course(self, courses):
        key = courses[0].pk
        put(make_user("ada"), courses[0])
        courses[0].delete()

        shape = CourseEnrollmentsApiListSerializer(CourseEnrollment.objects.get()).data

        assert shape["course_id"] == str(key)


class TestCourseEnrollmentAllowedSerializer:
    @pytest.mark.rule("V1-SER-21")
    def test_returns_these_values_in_this_order(self, ada):
        unused = CourseEnrollmentAllowed.objects.create(
            email="New@example.org", course_id="a-1", auto_enroll=True
        )
        used = CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id="a-1", user=ada
        )

        shapes = CourseEnrollmentAllowedSerializer([unused, used], many=True).data

        assert list(shapes[0].items()) == [
            ("email", "new@example.org"),
            ("course_id", "a-1"),
            ("auto_enroll", True),
            ("created", to_iso(unused.created)),
            ("user", None),
        ]
        assert shapes[1]["user"] == ada.pk

    @pytest.mark.rule("NAM-04")
    def test_has_the_names_of_the_contract(self):
        meta = CourseEnrollmentAllowedSerializer.Meta

        assert "id" not in meta.fields
        assert meta.lookup_field == "user"
