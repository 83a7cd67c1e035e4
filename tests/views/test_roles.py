"""GET roles/ over HTTP (rules V1-ROLE, B-10)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse

from django_enrollments import api
from django_enrollments.models import CourseAccessRole
from django_enrollments.views import EnrollmentUserRolesView
from tests.factories import make_user, username
from tests.http import ALLOW_INACTIVE, ROOT, client_of, get, headers_of

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def give(user: Any, role: str, course_id: str = COURSE_ID, org: str = "edX") -> None:
    CourseAccessRole.objects.create(user=user, org=org, course_id=course_id, role=role)


def told(role: str, course_id: str | None = COURSE_ID, org: str = "edX") -> Any:
    return {"org": org, "course_id": course_id, "role": role}


def roles_of(user: Any, /, **query: str) -> Any:
    response = get(user, "roles/", **query)
    assert response.status_code == 200
    return response.json()["roles"]


class TestUrl:
    @pytest.mark.rule("V1-URL-07")
    def test_is_reversed_by_its_name(self) -> None:
        path = reverse("django_enrollments:roles")

        assert path == f"{ROOT}roles/"
        assert resolve(path).func.cls is EnrollmentUserRolesView

    @pytest.mark.rule("V1-URL-13")
    def test_without_the_slash_django_redirects(self) -> None:
        response = get(make_user("ada"), "roles")

        assert (response.status_code, response["Location"]) == (301, f"{ROOT}roles/")

    @pytest.mark.rule("V1-URL-14")
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_other_methods_are_not_allowed(self, method: str) -> None:
        response = getattr(client_of(make_user("ada")), method)(f"{ROOT}roles/")

        assert response.status_code == 405
        assert response.json() == {"detail": f'Method "{method.upper()}" not allowed.'}


class TestRoles:
    @pytest.mark.rule("V1-ROLE-01")
    def test_keys_are_in_order(self) -> None:
        ada = make_user("ada")
        give(ada, "staff")

        response = get(ada, "roles/")

        assert response["Content-Type"] == "application/json"
        assert list(response.json()) == ["roles", "is_staff"]
        (role,) = response.json()["roles"]
        assert list(role) == ["org", "course_id", "role"]
        assert response.json() == {"roles": [told("staff")], "is_staff": False}

    @pytest.mark.rule("V1-ROLE-02")
    def test_are_those_of_the_requester_whoever_is_named(self) -> None:
        ada, bea = make_user("ada"), make_user("bea")
        give(bea, "staff")
        name = username("bea")

        for query in ({"user": name}, {"username": name}):
            assert roles_of(ada, **query) == []

    @pytest.mark.rule("V1-ROLE-03")
    def test_are_filtered_by_exactly_a_course(self) -> None:
        ada = make_user("ada")
        give(ada, "staff")
        give(ada, "instructor", f"{COURSE_ID}_2")
        give(ada, "instructor", "")

        assert roles_of(ada, course_id=COURSE_ID) == [told("staff")]
        assert len(roles_of(ada, course_id="")) == 3

    @pytest.mark.rule("V1-ROLE-03")
    @pytest.mark.parametrize(
        "course_id",
        [
            "course-v1:edX+DemoX",
            COURSE_ID.upper(),
            f"{COURSE_ID} ",
            "None",
            "null",
            "not a course id",
            "%",
            "\x00",
            "x" * 5_000,
        ],
    )
    def test_an_unknown_or_invalid_course_has_none(self, course_id: str) -> None:
        ada = make_user("ada")
        give(ada, "staff")
        give(ada, "staff", "")

        assert roles_of(ada, course_id=course_id) == []

    @pytest.mark.rule("V1-ROLE-04")
    def test_is_staff_has_nothing_to_do_with_roles(self) -> None:
        boss = make_user("boss", is_staff=True)

        response = get(boss, "roles/", course_id="unheard-of")

        assert response.json() == {"roles": [], "is_staff": True}

    @pytest.mark.rule("V1-ROLE-05")
    def test_every_kind_is_listed_once(self, monkeypatch: Any) -> None:
        ada = make_user("ada")
        kinds = ["beta_testers", "data_researcher", "limited_staff", "their own"]
        for kind in kinds:
            give(ada, kind)
        twice = [*api.get_user_roles(username("ada"))] * 2
        monkeypatch.setattr(api, "get_user_roles", lambda name: twice)

        assert roles_of(ada) == [told(kind) for kind in kinds]

    @pytest.mark.rule("V1-ROLE-06", "B-10")
    def test_are_sorted_by_organisation_course_and_role(self) -> None:
        ada = make_user("ada")
        give(ada, "staff", "b")
        give(ada, "staff", "a")
        give(ada, "instructor", "b")
        give(ada, "staff", "")
        give(ada, "staff", "z", org="aOrg")

        assert roles_of(ada) == [
            told("staff", "z", "aOrg"),
            told("staff", None),
            told("staff", "a"),
            told("instructor", "b"),
            told("staff", "b"),
        ]

    @pytest.mark.rule("V1-ROLE-07", "B-10")
    def test_a_role_on_an_organisation_has_no_course(self) -> None:
        ada = make_user("ada")
        give(ada, "instructor", "")

        assert roles_of(ada) == [told("instructor", None)]

    @pytest.mark.rule("V1-ROLE-08")
    def test_whatever_fails_is_told_without_the_closing_quote(
        self, monkeypatch: Any
    ) -> None:
        def fail(name: str) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(api, "get_user_roles", fail)

        response = get(make_user("ada"), "roles/")

        assert response.status_code == 400
        assert response.json() == {
            "message": "An error occurred while retrieving roles for user "
            f"'{username('ada')}"
        }

    @pytest.mark.rule("V1-ROLE-08")
    def test_a_program_without_a_name_is_no_failure_of_ours(
        self, settings: Any, caplog: Any
    ) -> None:
        settings.ENROLLMENTS_API_KEYS = ["key"]

        response = client_of(headers={"X-Edx-Api-Key": "key"}).get(f"{ROOT}roles/")

        assert response.status_code == 400
        assert [one for one in caplog.records if one.levelname == "ERROR"] == []

    @pytest.mark.rule("V1-ROLE-09")
    def test_nobody_gets_a_401(self) -> None:
        response = get(None, "roles/")

        assert response.status_code == 401
        assert response["WWW-Authenticate"]

    @pytest.mark.rule("V1-AUTH-13")
    def test_an_inactive_user_sees_them(self, settings: Any) -> None:
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE
        ada = make_user("ada", is_active=False)
        give(ada, "staff")

        assert roles_of(ada) == [told("staff")]

    @pytest.mark.rule("V1-AUTH-16")
    def test_sets_the_cookie(self) -> None:
        response = get(make_user("ada"), "roles/")

        assert response.cookies["csrftoken"].value

    def test_nothing_tells_of_others(self) -> None:
        client = client_of(make_user("ada"))
        client.get(f"{ROOT}roles/")
        bea = make_user("bea")
        give(bea, "staff")

        answers = {
            (response.content, *headers_of(response).items())
            for query in (
                {},
                {"user": username("bea")},
                {"user": "no-one"},
                {"course_id": COURSE_ID},
            )
            for response in [client.get(f"{ROOT}roles/", query)]
        }

        assert len(answers) == 1

    @pytest.mark.parametrize("count", [1, 50])
    def test_costs_two_statements_beside_session_and_user(self, count: int) -> None:
        ada = make_user("ada")
        for number in range(count):
            give(ada, "staff", f"course-{number}")
        client = client_of(ada)

        with CaptureQueriesContext(connection) as captured:
            response = client.get(f"{ROOT}roles/")

        assert len(response.json()["roles"]) == count
        assert len(captured) == 4
