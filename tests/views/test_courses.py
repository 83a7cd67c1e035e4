"""GET course/{course_id} and course/{course_id}/eligibility over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError, EnrollmentNotAllowed
from tests.factories import (
    DAY,
    HOUR,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    username,
)
from tests.http import (
    NOWHERE,
    ROOT,
    all_of,
    ask,
    assert_refused,
    client_of,
    get,
    iso,
    put,
)
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_cache(settings):
    settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0


def describe(course_id="django-101", **query: str):
    return get(None, f"course/{course_id}", **query)


def slugs(**query: str) -> list[str]:
    return [mode["slug"] for mode in describe(**query).json()["course_modes"]]


def make_expired_mode(course, slug: str):
    return make_mode(course, slug, expiration_datetime=timezone.now() - HOUR)


class TestDetails:
    @pytest.mark.rule("V1-CRS-01", "V1-CRS-07", "V1-SER-05")
    def test_have_their_keys_in_order(self):
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
        expected = {
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
        assert response.status_code == 200
        assert details == expected
        assert list(details) == list(expected)
        assert list(details["course_modes"][0]) == list(expected["course_modes"][0])

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
    def test_are_shown_of_closed_courses(self, facts):
        make_course("django-101", **facts)

        assert describe().json()["course_id"] == "django-101"

    @pytest.mark.rule("CACHE-08", "B-18")
    def test_show_changes_at_once(self):
        course = make_course("django-101", invitation_only=False)
        mode = make_mode(course, "verified", min_price=10)
        before = describe().json()

        mode.min_price = 20
        mode.save()
        after = describe().json()
        mode.delete()
        without = describe().json()
        name = "invitation_only" if is_default_host() else "by_invitation"
        setattr(course, name, True)
        course.save()
        closed = describe().json()

        prices = [one["course_modes"][0]["min_price"] for one in (before, after)]
        assert prices == [10, 20]
        assert without["course_modes"][0]["slug"] == "audit"
        assert (without["invite_only"], closed["invite_only"]) == (False, True)

    @pytest.mark.rule("V1-SER-11")
    @pytest.mark.skipif(
        not is_default_host(), reason="The other host's courses have no pace."
    )
    def test_have_the_pace_of_the_course(self):
        make_course("django-101", self_paced=True)

        assert describe().json()["pacing_type"] == "Self Paced"

    @pytest.mark.rule("V1-CRS-08")
    @pytest.mark.parametrize(
        "name", ["start", "end", "enrollment_start", "enrollment_end"]
    )
    def test_have_null_for_each_missing_date(self, name):
        dates = dict.fromkeys(
            ("start", "end", "enrollment_start", "enrollment_end"), NOON
        )
        make_course("django-101", **dates | {name: None})
        key = name if name.startswith("enrollment") else f"course_{name}"

        details = describe().json()

        assert details[key] is None
        assert sum(value == iso(NOON) for value in details.values()) == 3

    @pytest.mark.rule("V1-SER-10")
    def test_do_not_depend_on_the_global_setting_for_invitations(self, settings):
        settings.ENROLLMENTS_INVITE_ONLY = True
        make_course("django-101")

        assert describe().json()["invite_only"] is False

    @pytest.mark.rule("V1-CRS-02", "V1-CRS-05", "V1-CRS-06")
    def test_have_expired_modes_on_request(self):
        course = make_course("django-101")
        make_modes(course, "audit", "credit")
        make_expired_mode(course, "verified")

        assert slugs() == slugs(include_expired="") == ["audit", "credit"]
        for value in ("1", "True", "0", "false", " ", "\x00"):
            found = slugs(include_expired=value)
            assert found == ["audit", "credit", "verified"], value

    @pytest.mark.rule("V1-CRS-09", "V1-SER-18")
    @pytest.mark.parametrize("expired", [(), ("verified", "honor")])
    def test_have_the_default_mode_without_any_other(self, expired):
        course = make_course("django-101")
        for slug in expired:
            make_expired_mode(course, slug)

        assert describe().json()["course_modes"] == [
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

    @pytest.mark.rule("V1-CRS-03")
    def test_of_no_course_are_a_400(self):
        text = f"No course found for course ID '{NOWHERE}'"

        assert_refused(describe(NOWHERE), 400, text)

    @pytest.mark.rule("V1-AUTH-03")
    def test_read_no_session_and_need_no_csrf_token(self, ada):
        make_course("django-101")
        client = client_of(ada, enforce_csrf_checks=True)

        with CaptureQueriesContext(connection) as captured:
            response = client.get(f"{ROOT}course/django-101")

        assert response.status_code == 200
        assert not [query for query in captured if "session" in query["sql"]]

    @pytest.mark.rule("V1-CRS-10")
    @pytest.mark.django_db(transaction=True)
    def test_come_from_the_cache_the_second_time(self, settings):
        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 60
        make_mode(make_course("django-101"))
        first = describe()

        with CaptureQueriesContext(connection) as captured:
            second = describe()

        assert len(captured) == 0
        assert second.content == first.content

    @pytest.mark.rule("NAM-07")
    def test_come_from_a_function_that_is_looked_up_when_called(self, monkeypatch):
        def replacement(
            course_id: str, include_expired: bool = False
        ) -> dict[str, Any]:
            return {"course_id": course_id, "include_expired": include_expired}

        monkeypatch.setattr(api, "get_course_enrollment_details", replacement)

        assert describe(include_expired="1").json() == {
            "course_id": "django-101",
            "include_expired": True,
        }

    @pytest.mark.rule("CACHE-05")
    def test_that_are_refused_are_a_400(self, monkeypatch):
        def refuse(*args, **kwargs):
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "get_course_enrollment_details", refuse)

        text = (
            "An unexpected error occurred while retrieving course enrollment details."
        )
        assert_refused(describe(), 400, text)

    @pytest.mark.rule("V1-ERR-07")
    @pytest.mark.parametrize(
        "headers",
        [
            *(
                {"Accept": value}
                for value in (
                    *("text/html", "application/xml", "*/*;q=*", "," * 9_000),
                    "application/json; q*=rot13''%41",
                )
            ),
            {"Accept-Language": "xx-" + "y" * 500},
            {"Cookie": "csrftoken=" + "z" * 5_000},
        ],
    )
    def test_are_json_whatever_the_headers(self, headers):
        make_course("django-101")

        response = client_of().get(f"{ROOT}course/django-101", headers=headers)

        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"


def explain(user, course, /, **query: str):
    course_id = course if isinstance(course, str) else course_id_of(course)
    return get(user, f"course/{course_id}/eligibility", **query)


def codes(response) -> list[str]:
    return [reason["code"] for reason in response.json()["reasons"]]


class TestEligibility:
    def test_is_returned_and_nothing_is_written(self, ada, course):
        with nothing_written():
            response = explain(ada, course)

        assert response.status_code == 200
        assert response.json() == {
            "allowed": True,
            "reasons": [],
            "seats": {"capacity": None, "taken": 0, "left": None},
            "mode": "audit",
        }

    def test_is_that_of_the_requester(self, ada, course):
        put(ada, course)

        response = explain(ada, course, user="bea")

        expected = api.explain_enrollment(username("ada"), course_id_of(course))
        assert codes(response) == ["already_enrolled"]
        assert response.json() == expected

    def test_has_every_reason_and_when_it_ends(self, ada):
        opens = timezone.now() + DAY
        course = make_course(enrollment_start=opens, max_student_enrollments_allowed=0)

        response = explain(ada, course)

        assert response.json()["allowed"] is False
        assert codes(response) == ["enrollment_not_started", "course_full"]
        assert response.json()["reasons"][0]["changes_at"] == iso(opens)

    @pytest.mark.rule("V1-ERR-07")
    def test_may_be_that_of_a_mode(self, ada, course):
        assert explain(ada, course, mode="honor").json()["mode"] == "honor"
        assert explain(ada, course, mode="").json()["mode"] == "audit"
        for mode in ("masters", "\x00", "x" * 5_000, "{0}%s", "[]", "ü"):
            assert codes(explain(ada, course, mode=mode)) == ["mode_unavailable"]

    def test_has_refusals_of_filters_which_are_called_with_the_source(
        self, ada, course, settings
    ):
        def refuse(action: str, **context):
            raise EnrollmentNotAllowed(f"Not from {context['source']}.")

        settings.ENROLLMENTS_FILTERS = [refuse]

        assert explain(ada, course).json()["reasons"] == [
            {"code": "not_allowed", "message": "Not from rest.", "changes_at": None}
        ]

    @pytest.mark.parametrize(
        "facts",
        [
            {},
            {"enrollment_end": timezone.now() - DAY},
            {"invitation_only": True},
            {"max_student_enrollments_allowed": 0},
        ],
    )
    def test_is_what_a_post_does(self, ada, facts):
        course = make_course(**facts)

        allowed = explain(ada, course).json()["allowed"]

        assert (ask(ada, course).status_code == 200) is allowed

    @pytest.mark.rule("V1-CRS-03")
    def test_of_no_course_is_a_400(self, ada):
        text = f"No course found for course ID '{NOWHERE}'"

        assert_refused(explain(ada, NOWHERE), 400, text)

    def test_that_is_refused_is_a_400(self, ada, course, monkeypatch):
        def refuse(*args):
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "explain_enrollment", refuse)

        assert explain(ada, course).status_code == 400

    @pytest.mark.rule("V1-AUTH-11")
    def test_is_the_same_401_for_every_course_without_a_login(self, course):
        one, other = explain(None, course), explain(None, NOWHERE)

        assert all_of(one) == all_of(other)
        assert one.status_code == 401
