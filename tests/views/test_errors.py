"""How the API tells that it refuses (rules V1-ERR)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import course_id_of, make_course, make_modes, make_user, username
from tests.http import ENROLLMENT, NOWHERE, ROOT, client_of, post, put, wish

pytestmark = pytest.mark.django_db


@pytest.fixture
def course() -> Any:
    course = make_course()
    make_modes(course, "audit")
    return course


def send(user: Any, method: str, path: str, body: Any = None) -> Any:
    client = client_of(user)
    return getattr(client, method)(f"{ROOT}{path}", body, "application/json")


class TestMessages:
    @pytest.mark.rule("V1-ERR-01")
    @pytest.mark.parametrize(
        ("body", "code", "keys"),
        [
            ({}, 400, ["message"]),
            (wish("a b"), 400, ["message"]),
            (wish(NOWHERE), 400, ["message"]),
            ({"is_active": "foo"}, 400, ["message"]),
            ({"mode": "verified"}, 403, ["message"]),
            ({"mode": "honor"}, 400, ["message", "course_details"]),
            ({"enrollment_attributes": [{}]}, 400, ["message", "localizedMessage"]),
        ],
    )
    def test_our_own_have_a_message_first(
        self, course: Any, body: dict[str, Any], code: int, keys: list[str]
    ) -> None:
        whole = body if "course_details" in body or not body else wish(course, **body)

        response = post(make_user("ada"), whole)

        assert response.status_code == code
        assert response["Content-Type"] == "application/json"
        assert list(response.json()) == keys
        assert isinstance(response.json()["message"], str)

    @pytest.mark.rule("V1-ERR-01")
    def test_of_staff_too(self, course: Any) -> None:
        boss = make_user("boss", is_staff=True)
        invitation = {"email": "ada@example.org", "course_id": "a"}

        refusals = [
            post(boss, wish(course, user="no-one")),
            post(boss, wish(course, email="no-one@example.org")),
            send(boss, "post", "enrollment_allowed/", {}),
            send(boss, "delete", "enrollment_allowed/", invitation),
            send(boss, "get", f"course/{NOWHERE}"),
        ]

        codes = [response.status_code for response in refusals]
        assert codes == [406, 406, 400, 404, 400]
        assert {tuple(response.json()) for response in refusals} == {("message",)}

    @pytest.mark.rule("V1-ERR-02")
    def test_what_is_hidden_is_a_404_without_any_body(self, course: Any) -> None:
        put(make_user("bea"), course)
        ada = make_user("ada")
        name = username("bea")

        for response in (
            post(ada, wish(course, user=name)),
            post(ada, wish(course, email="bea@example.org")),
            send(ada, "get", f"enrollment/{name},{course_id_of(course)}"),
        ):
            assert (response.status_code, response.content) == (404, b"")
            assert response["Content-Length"] == "0"
            assert "Content-Type" not in response

    @pytest.mark.rule("V1-ERR-03")
    def test_those_of_drf_have_a_detail(self, course: Any) -> None:
        ada = make_user("ada")
        csrf = client_of(ada, enforce_csrf_checks=True)

        refusals = [
            post(None, {}),
            send(ada, "get", "enrollment_allowed/"),
            send(ada, "put", "enrollment"),
            post(ada, b"{"),
            post(ada, b"{}", content_type="application/xml"),
            csrf.post(ENROLLMENT, {}, "application/json"),
        ]

        codes = [response.status_code for response in refusals]
        assert codes == [401, 403, 405, 400, 415, 403]
        assert {tuple(response.json()) for response in refusals} == {("detail",)}

    @pytest.mark.rule("V1-ERR-05")
    def test_those_of_unenrolling_are_bare_texts(self) -> None:
        root = make_user("root", is_superuser=True)

        refusals = [
            send(root, "post", "unenroll/", body) for body in ({}, {"username": "x"})
        ]

        assert [response.status_code for response in refusals] == [404, 404]
        assert [response.json() for response in refusals] == [
            "Username not specified.",
            "No retirement request status for username.",
        ]
