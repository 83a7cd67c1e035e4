"""GET roles/ over HTTP."""

from __future__ import annotations

import pytest

from django_enrollments import api
from django_enrollments.models import CourseAccessRole
from tests.factories import username
from tests.http import ROOT, assert_refused, client_of, get

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


def give(user, role: str, course_id: str = COURSE_ID, org: str = "edX"):
    CourseAccessRole.objects.create(user=user, org=org, course_id=course_id, role=role)


def as_json(role: str, course_id: str | None = COURSE_ID, org: str = "edX"):
    return {"org": org, "course_id": course_id, "role": role}


def roles_of(user, /, **query: str):
    response = get(user, "roles/", **query)
    assert response.status_code == 200
    return response.json()["roles"]


class TestRoles:
    @pytest.mark.rule("V1-ROLE-01")
    def test_have_their_keys_in_order(self, ada):
        give(ada, "staff")

        response = get(ada, "roles/")

        assert response["Content-Type"] == "application/json"
        assert list(response.json()) == ["roles", "is_staff"]
        assert list(response.json()["roles"][0]) == ["org", "course_id", "role"]
        assert response.json() == {"roles": [as_json("staff")], "is_staff": False}

    @pytest.mark.rule("V1-ROLE-02")
    def test_are_those_of_the_requester_alone(self, ada, bea):
        give(bea, "staff")

        for name in ("user", "username"):
            assert roles_of(ada, **{name: username("bea")}) == []

    @pytest.mark.rule("V1-ROLE-03")
    def test_are_filtered_by_the_exact_course(self, ada):
        give(ada, "staff")
        give(ada, "instructor", f"{COURSE_ID}_2")
        give(ada, "instructor", "")

        assert roles_of(ada, course_id=COURSE_ID) == [as_json("staff")]
        assert len(roles_of(ada, course_id="")) == 3
        for course_id in (
            *("course-v1:edX+DemoX", COURSE_ID.upper(), f"{COURSE_ID} ", "None"),
            *("null", "not a course id", "%", "\x00", "x" * 5_000),
        ):
            assert roles_of(ada, course_id=course_id) == []

    @pytest.mark.rule("V1-ROLE-04")
    def test_do_not_change_the_flag_of_staff(self, boss):
        response = get(boss, "roles/", course_id="unheard-of")

        assert response.json() == {"roles": [], "is_staff": True}

    @pytest.mark.rule("V1-ROLE-05")
    def test_are_each_listed_once_whatever_they_are(self, ada, monkeypatch):
        names = ["beta_testers", "data_researcher", "limited_staff", "their own"]
        for name in names:
            give(ada, name)
        twice = [*api.get_user_roles(username("ada"))] * 2
        monkeypatch.setattr(api, "get_user_roles", lambda name: twice)

        assert roles_of(ada) == [as_json(name) for name in names]

    @pytest.mark.rule("V1-ROLE-06", "V1-ROLE-07", "B-10")
    def test_are_sorted_by_organization_course_and_role(self, ada):
        give(ada, "staff", "b")
        give(ada, "staff", "a")
        give(ada, "instructor", "b")
        give(ada, "staff", "")
        give(ada, "staff", "z", org="aOrg")

        assert roles_of(ada) == [
            as_json("staff", "z", "aOrg"),
            as_json("staff", None),
            as_json("staff", "a"),
            as_json("instructor", "b"),
            as_json("staff", "b"),
        ]

    @pytest.mark.rule("V1-ROLE-08")
    def test_that_cannot_be_read_are_a_400_without_the_closing_quote(
        self, ada, monkeypatch
    ):
        def fail(name: str):
            raise RuntimeError("secret")

        monkeypatch.setattr(api, "get_user_roles", fail)

        text = f"An error occurred while retrieving roles for user '{username('ada')}"
        assert_refused(get(ada, "roles/"), 400, text)

    @pytest.mark.rule("V1-ROLE-08")
    def test_of_a_key_without_a_login_are_a_400_and_no_logged_error(
        self, settings, caplog
    ):
        settings.ENROLLMENTS_API_KEYS = ["key"]

        response = client_of(headers={"X-Edx-Api-Key": "key"}).get(f"{ROOT}roles/")

        text = "An error occurred while retrieving roles for user '"
        assert_refused(response, 400, text)
        assert [one for one in caplog.records if one.levelname == "ERROR"] == []
