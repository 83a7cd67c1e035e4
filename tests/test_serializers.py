"""The declared shape and what is sent are the same (rules V1-SER, NAM-04)."""

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
    """Courses with everything, with nothing, and with nothing but expired modes."""
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
    @pytest.mark.rule("V1-SER-22")
    def test_one_by_one_equals_all_at_once(self, courses):
        for name in ("ada", "bea"):
            user = make_user(name)
            for course in courses:
                put(user, course, "honor", is_active=name == "ada")
        enrollments = CourseEnrollment.objects.order_by("pk")

        one_by_one = [CourseEnrollmentSerializer(row).data for row in enrollments]
        many = CourseEnrollmentSerializer(enrollments, many=True).data

        sent = data.serialize_enrollments(enrollments)
        assert len(sent) == 6
        assert as_json(one_by_one) == as_json(many) == as_json(sent)

    @pytest.mark.rule("V1-SER-22")
    def test_is_what_every_function_gives(self, courses):
        ada = make_user("ada")
        put(ada, courses[0])
        row = CourseEnrollment.objects.get()

        shape = as_json(CourseEnrollmentSerializer(row).data)

        name, course_id = username("ada"), course_id_of(courses[0])
        assert shape == as_json(api.get_enrollment(name, course_id))
        assert shape == as_json(api.get_enrollments(name)[0])
        assert shape == as_json(api.serialize_enrollments([row])[0])

    @pytest.mark.rule("V1-SER-19")
    def test_of_a_deleted_course_has_no_details(self, courses):
        put(make_user("ada"), courses[1])
        courses[1].delete()
        row = CourseEnrollment.objects.get()

        shape = CourseEnrollmentSerializer(row).data

        assert shape["course_details"] is None
        assert as_json([shape]) == as_json(data.serialize_enrollments([row]))

    @pytest.mark.rule("V1-SER-02")
    def test_knows_one_time_zone(self, courses, settings):
        settings.TIME_ZONE = "Asia/Kathmandu"
        settings.REST_FRAMEWORK = {"DATETIME_FORMAT": "%d.%m.%Y"}
        put(make_user("ada"), courses[0])
        rows = CourseEnrollment.objects.all()

        with django_timezone.override("America/Bogota"):
            shape = CourseEnrollmentSerializer(rows, many=True).data

        assert as_json(shape) == as_json(data.serialize_enrollments(rows))
        assert shape[0]["course_details"]["course_start"] == "2026-03-04T12:00:00Z"

    @pytest.mark.rule("NAM-04")
    def test_names_are_those_of_the_contract(self):
        meta = CourseEnrollmentSerializer.Meta

        assert meta.fields == (
            "created",
            "mode",
            "is_active",
            "course_details",
            "user",
        )
        assert meta.lookup_field == "username"

    @pytest.mark.rule("NAM-04")
    def test_get_username_gives_the_name(self, courses):
        put(make_user("ada"), courses[0])

        name = CourseEnrollmentSerializer().get_username(CourseEnrollment.objects.get())

        assert name == username("ada")

    def test_takes_no_input(self):
        serializer = CourseEnrollmentSerializer(data={"mode": "x", "is_active": False})

        assert serializer.is_valid()
        assert serializer.validated_data == {}


class TestCourseSerializer:
    @pytest.mark.rule("V1-SER-05")
    @pytest.mark.parametrize("include_expired", [False, True])
    def test_equals_the_details(self, courses, include_expired):
        for course in courses:
            shape = CourseSerializer(course, include_expired=include_expired).data

            assert as_json(shape) == as_json(
                data.get_course_enrollment_info(course_id_of(course), include_expired)
            )

    @pytest.mark.rule("V1-SER-11", "NAM-04")
    def test_methods_take_the_hosts_course(self, courses):
        rich, poor, late = courses
        serializer = CourseSerializer(include_expired=True)

        assert [mode["slug"] for mode in serializer.get_course_modes(late)] == ["honor"]
        assert serializer.get_pacing_type(poor) == "Instructor Paced"
        # The other host's courses have no pace.
        assert serializer.get_pacing_type(rich) == (
            "Self Paced" if is_default_host() else "Instructor Paced"
        )

    @pytest.mark.rule("NAM-04")
    def test_has_the_reference_name(self):
        assert CourseSerializer.Meta.ref_name == "enrollment.Course"

    def test_renders_as_json(self, courses):
        shape = CourseSerializer(courses[0]).data

        assert json.loads(JSONRenderer().render(shape)) == shape


class TestModeSerializer:
    @pytest.mark.rule("V1-SER-12", "V1-SER-13", "V1-SER-14", "V1-SER-15", "V1-SER-16")
    def test_keys_are_in_order(self, courses):
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
    @pytest.mark.rule("V1-SER-15")
    @pytest.mark.parametrize(
        ("stored", "numbers"), [("", []), ("1,2,3", [1, 2, 3]), ("10", [10])]
    )
    def test_native_conversion_gives_a_list(self, stored, numbers):
        mode = CourseMode(suggested_prices=stored)

        assert StringListField().field_to_native(mode, "suggested_prices") == numbers

    @pytest.mark.rule("SEED-DIFF-05")
    @pytest.mark.parametrize(("stored", "sent"), [("", ""), ("1,2,3", [1, 2, 3])])
    def test_on_the_wire_none_is_a_blank_text(self, stored, sent):
        assert StringListField().to_representation(stored) == sent


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
    def test_gives_utc(self, value, text, settings):
        settings.TIME_ZONE = "America/Chicago"

        assert MomentField().to_representation(value) == text


class TestCourseEnrollmentsApiListSerializer:
    @pytest.mark.rule("V1-SER-20")
    def test_keys_are_in_order(self, courses):
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
    def test_of_a_deleted_course_keeps_the_key(self, courses):
        key = courses[0].pk
        put(make_user("ada"), courses[0])
        courses[0].delete()

        shape = CourseEnrollmentsApiListSerializer(CourseEnrollment.objects.get()).data

        assert shape["course_id"] == str(key)


class TestCourseEnrollmentAllowedSerializer:
    @pytest.mark.rule("V1-SER-21")
    def test_keys_are_in_order(self):
        ada = make_user("ada")
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
    def test_names_are_those_of_the_contract(self):
        meta = CourseEnrollmentAllowedSerializer.Meta

        assert "id" not in meta.fields
        assert meta.lookup_field == "user"
