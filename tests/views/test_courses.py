"""GET course/{course_id} over HTTP (rules V1-URL, V1-SER, V1-CRS, CACHE)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, resolve, reverse
from django.utils import timezone

from django_enrollments import api
from django_enrollments.conf import OPEN_EDX_COURSE_ID_PATTERN
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.views import EnrollmentCourseDetailView
from tests.factories import (
    DAY,
    HOUR,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
)
from tests.http import NOWHERE, ROOT, client_of, get, iso

pytestmark = pytest.mark.django_db

COURSE_KEYS = [
    "course_id",
    "course_name",
    "enrollment_start",
    "enrollment_end",
    "course_start",
    "course_end",
    "invite_only",
    "course_modes",
    "pacing_type",
]
MODE_KEYS = [
    "slug",
    "name",
    "min_price",
    "suggested_prices",
    "currency",
    "expiration_datetime",
    "description",
    "sku",
    "bulk_sku",
]


@pytest.fixture(autouse=True)
def _no_cache(settings: Any) -> None:
    settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0


def describe(course_id: Any, **query: str) -> Any:
    return get(None, f"course/{course_id}", **query)


def slugs(response: Any) -> list[str]:
    return [mode["slug"] for mode in response.json()["course_modes"]]


class TestUrls:
    @pytest.mark.rule("V1-URL-05")
    @pytest.mark.parametrize(
        "course_id",
        [
            "course-v1:edX+DemoX+Demo_Course",
            "edX/DemoX/2014T2",
            "django-101",
            "Überblick-1",
            "a",
            "x" * 255,
        ],
    )
    def test_every_valid_id_is_served_as_it_is(self, course_id: str) -> None:
        make_course(course_id, display_name="Any")

        response = describe(course_id)

        assert response.status_code == 200
        assert response.json()["course_id"] == course_id

    @pytest.mark.rule("V1-URL-05", "V1-URL-03")
    def test_have_the_names_that_clients_reverse(self) -> None:
        course_id = "course-v1:edX+DemoX+Demo_Course"

        detail = reverse(
            "django_enrollments:courseenrollmentdetails",
            kwargs={"course_id": course_id},
        )

        assert detail == f"{ROOT}course/{course_id}"
        assert resolve(detail).func.cls is EnrollmentCourseDetailView
        assert reverse("django_enrollments:courseenrollments") == f"{ROOT}enrollment"

    @pytest.mark.rule("V1-URL-05")
    def test_reversing_takes_anything_whose_text_is_the_id(self) -> None:
        class Key:
            def __str__(self) -> str:
                return "edX/DemoX/2014T2"

        url = reverse(
            "django_enrollments:courseenrollmentdetails", kwargs={"course_id": Key()}
        )

        assert url == f"{ROOT}course/edX/DemoX/2014T2"

    @pytest.mark.rule("V1-URL-05")
    def test_reversing_refuses_an_id_that_could_not_be_served(self) -> None:
        with pytest.raises(NoReverseMatch):
            reverse(
                "django_enrollments:courseenrollmentdetails",
                kwargs={"course_id": "django-101/"},
            )

    @pytest.mark.rule("V1-URL-10", "V1-URL-11", "V1-CRS-04")
    @pytest.mark.parametrize(
        "path",
        [
            "course/",
            "course",
            "course/django-101/",
            "course/edX/DemoX/2014T2/",
            "course//",
            "course/a%20b",
            "course/a,b",
            "course/a%3Fb",
            "course/a%23b",
            "course/a%00b",
            "course/a%0Ab",
            "course/django-101%0A",
            "course/" + "x" * 256,
            "enrollment/",
        ],
    )
    def test_what_matches_no_route_is_a_404(self, path: str) -> None:
        make_course("django-101")

        assert client_of().get(f"{ROOT}{path}").status_code == 404

    @pytest.mark.rule("V1-URL-10")
    def test_the_pattern_is_asked_when_the_request_comes(self, settings: Any) -> None:
        make_course("django-101")
        make_course("edX/DemoX/2014T2")
        before = describe("django-101").status_code

        settings.ENROLLMENTS_COURSE_ID_PATTERN = OPEN_EDX_COURSE_ID_PATTERN

        assert before == 200
        assert describe("django-101").status_code == 404
        assert describe("edX/DemoX/2014T2").status_code == 200

    @pytest.mark.rule("V1-URL-11")
    def test_no_id_ends_in_a_slash_whatever_the_pattern_allows(
        self, settings: Any
    ) -> None:
        settings.ENROLLMENTS_COURSE_ID_PATTERN = r".+"
        make_course("django-101")

        assert describe("django-101").status_code == 200
        assert describe("django-101/").status_code == 404

    @pytest.mark.rule("V1-URL-14")
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_other_methods_are_not_allowed(self, method: str) -> None:
        response = getattr(client_of(), method)(f"{ROOT}course/django-101")

        assert response.status_code == 405
        assert response.json() == {"detail": f'Method "{method.upper()}" not allowed.'}

    @pytest.mark.rule("V1-URL-14")
    def test_head_and_options_are_as_drf_provides_them(self) -> None:
        make_course("django-101")

        head = client_of().head(f"{ROOT}course/django-101")
        options = client_of().options(f"{ROOT}course/django-101")

        assert (head.status_code, head.content) == (200, b"")
        assert options.status_code == 200
        assert options["Allow"] == "GET, HEAD, OPTIONS"


class TestEnrollmentCourseDetailView:
    @pytest.mark.rule("NAM-03", "V1-AUTH-03")
    def test_lists_of_classes_are_empty(self) -> None:
        assert EnrollmentCourseDetailView.authentication_classes == []
        assert EnrollmentCourseDetailView.permission_classes == []

    @pytest.mark.rule("V1-CRS-01", "V1-CRS-07", "V1-SER-05")
    def test_anybody_sees_a_course_with_its_keys_in_order(
        self,
    ) -> None:
        course = make_course(
            display_name="Demo",
            start=NOON,
            end=NOON + DAY,
            enrollment_start=NOON - DAY,
            enrollment_end=NOON + HOUR,
            invitation_only=True,
        )
        make_mode(
            course,
            "verified",
            min_price=49,
            suggested_prices="50,100",
            currency="EUR",
            description="With a certificate",
            sku="ABC",
            bulk_sku="DEF",
        )

        response = describe(course_id_of(course))

        details = response.json()
        assert response.status_code == 200
        assert list(details) == COURSE_KEYS
        assert list(details["course_modes"][0]) == MODE_KEYS
        assert details == {
            "course_id": course_id_of(course),
            "course_name": "Demo" if is_default_host() else "Seminar: Demo",
            "enrollment_start": iso(NOON - DAY),
            "enrollment_end": iso(NOON + HOUR),
            "course_start": iso(NOON),
            "course_end": iso(NOON + DAY),
            "invite_only": True,
            "course_modes": [
                {
                    "slug": "verified",
                    "name": "Verified",
                    "min_price": 49,
                    "suggested_prices": [50, 100],
                    "currency": "eur",
                    "expiration_datetime": None,
                    "description": "With a certificate",
                    "sku": "ABC",
                    "bulk_sku": "DEF",
                }
            ],
            "pacing_type": "Instructor Paced",
        }

    @pytest.mark.rule("V1-CRS-11")
    @pytest.mark.parametrize(
        "facts",
        [
            {"invitation_only": True},
            {"enrollment_end": NOON - DAY},
            {"enrollment_start": NOON + 10_000 * DAY},
            {"max_student_enrollments_allowed": 0},
        ],
    )
    def test_a_course_that_takes_nobody_is_shown(self, facts: dict[str, Any]) -> None:
        make_course("django-101", **facts)

        assert describe("django-101").json()["course_id"] == "django-101"

    @pytest.mark.rule("CACHE-08", "B-18")
    def test_a_change_shows_at_once(self) -> None:
        course = make_course("django-101", invitation_only=False)
        mode = make_mode(course, "verified", min_price=10)
        before = describe("django-101").json()

        mode.min_price = 20
        mode.save()
        dearer = describe("django-101").json()
        mode.delete()
        without = describe("django-101").json()
        name = "invitation_only" if is_default_host() else "by_invitation"
        setattr(course, name, True)
        course.save()
        closed = describe("django-101").json()

        prices = [one["course_modes"][0]["min_price"] for one in (before, dearer)]
        assert prices == [10, 20]
        assert without["course_modes"][0]["slug"] == "audit"
        assert (without["invite_only"], closed["invite_only"]) == (False, True)

    @pytest.mark.rule("V1-SER-11")
    @pytest.mark.skipif(
        not is_default_host(), reason="The other host's courses have no pace."
    )
    def test_a_self_paced_course_says_so(self) -> None:
        make_course("django-101", self_paced=True)

        assert describe("django-101").json()["pacing_type"] == "Self Paced"

    @pytest.mark.rule("V1-CRS-08")
    @pytest.mark.parametrize(
        "name", ["start", "end", "enrollment_start", "enrollment_end"]
    )
    def test_each_date_may_be_null_by_itself(self, name: str) -> None:
        dates = {"start": NOON, "end": NOON, "enrollment_start": NOON} | {
            "enrollment_end": NOON
        }
        make_course("django-101", **dates | {name: None})
        wire = name if name.startswith("enrollment") else f"course_{name}"

        details = describe("django-101").json()

        assert details[wire] is None
        assert sum(value == iso(NOON) for value in details.values()) == 3

    @pytest.mark.rule("V1-SER-10")
    def test_the_global_setting_does_not_change_invite_only(
        self, settings: Any
    ) -> None:
        settings.ENROLLMENTS_INVITE_ONLY = True
        make_course("django-101")

        assert describe("django-101").json()["invite_only"] is False

    @pytest.mark.rule("V1-CRS-05")
    def test_expired_modes_are_left_out(self) -> None:
        course = make_course("django-101")
        make_mode(course, "honor")
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)

        assert slugs(describe("django-101")) == ["honor"]
        assert slugs(describe("django-101", include_expired="1")) == [
            "honor",
            "verified",
        ]

    @pytest.mark.rule("V1-CRS-02")
    @pytest.mark.parametrize("value", ["1", "True", "0", "false", " ", "\x00"])
    def test_any_value_includes_expired_modes(self, value: str) -> None:
        course = make_course("django-101")
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)

        response = describe("django-101", include_expired=value)

        assert slugs(response) == ["verified"]

    @pytest.mark.rule("V1-CRS-02")
    def test_an_empty_value_does_not(self) -> None:
        course = make_course("django-101")
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)

        assert slugs(describe("django-101", include_expired="")) == ["audit"]

    @pytest.mark.rule("V1-CRS-09", "V1-SER-18")
    @pytest.mark.parametrize("expired", [(), ("verified", "honor")])
    def test_without_usable_modes_the_default_is_listed(
        self, expired: tuple[str, ...]
    ) -> None:
        course = make_course("django-101")
        for slug in expired:
            make_mode(course, slug, expiration_datetime=timezone.now() - HOUR)

        assert describe("django-101").json()["course_modes"] == [
            {
                "slug": "audit",
                "name": "Audit",
                "min_price": 0,
                "suggested_prices": "",
                "currency": "usd",
                "expiration_datetime": None,
                "description": None,
                "sku": None,
                "bulk_sku": None,
            }
        ]

    @pytest.mark.rule("V1-CRS-06")
    def test_credit_is_listed(self) -> None:
        make_modes(make_course("django-101"), "audit", "credit")

        assert slugs(describe("django-101")) == ["audit", "credit"]

    @pytest.mark.rule("V1-CRS-03")
    def test_an_unknown_course_is_a_400(self) -> None:
        response = describe(NOWHERE)

        assert response.status_code == 400
        assert response.json() == {
            "message": f"No course found for course ID '{NOWHERE}'"
        }

    @pytest.mark.rule("V1-AUTH-03")
    def test_nobody_is_looked_up_and_csrf_is_not_asked(self) -> None:
        make_course("django-101")
        client = client_of(make_user(), enforce_csrf_checks=True)

        with CaptureQueriesContext(connection) as captured:
            response = client.get(f"{ROOT}course/django-101")

        assert response.status_code == 200
        assert not [
            query for query in captured.captured_queries if "session" in query["sql"]
        ]

    @pytest.mark.rule("V1-CRS-10")
    @pytest.mark.django_db(transaction=True)
    def test_a_second_reading_comes_from_the_cache(self, settings: Any) -> None:
        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 60
        course = make_course("edX/Cached/1")
        make_mode(course)
        first = describe("edX/Cached/1")

        with CaptureQueriesContext(connection) as captured:
            second = describe("edX/Cached/1")

        assert len(captured) == 0
        assert second.content == first.content

    @pytest.mark.rule("NAM-07")
    def test_the_function_is_looked_up_when_it_is_called(
        self, monkeypatch: Any
    ) -> None:
        def stranger(course_id: str, include_expired: bool = False) -> dict[str, Any]:
            return {"course_id": course_id, "include_expired": include_expired}

        monkeypatch.setattr(api, "get_course_enrollment_details", stranger)

        assert describe("django-101", include_expired="1").json() == {
            "course_id": "django-101",
            "include_expired": True,
        }

    @pytest.mark.rule("CACHE-05")
    def test_any_other_refusal_is_a_400_too(self, monkeypatch: Any) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "get_course_enrollment_details", refuse)

        response = describe("django-101")

        assert response.status_code == 400
        assert response.json() == {
            "message": "An unexpected error occurred while retrieving course "
            "enrollment details."
        }

    @pytest.mark.parametrize("modes", [1, 20])
    def test_two_statements_describe_a_course(self, modes: int) -> None:
        course = make_course("django-101")
        make_modes(course, *(f"mode-{number}" for number in range(modes)))

        with CaptureQueriesContext(connection) as captured:
            response = describe("django-101")

        assert len(slugs(response)) == modes
        assert len(captured) == 2

    @pytest.mark.rule("V1-ERR-07")
    @pytest.mark.parametrize(
        "headers",
        [
            {"Accept": "text/html"},
            {"Accept": "application/xml"},
            {"Accept": "*/*;q=*"},
            {"Accept": "application/json; q*=rot13''%41"},
            {"Accept": "," * 9_000},
            {"Accept-Language": "xx-" + "y" * 500},
            {"Cookie": "csrftoken=" + "z" * 5_000},
        ],
    )
    def test_answers_in_json_whatever_the_headers_say(
        self, headers: dict[str, str]
    ) -> None:
        make_course("django-101")

        response = client_of().get(f"{ROOT}course/django-101", headers=headers)

        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"
