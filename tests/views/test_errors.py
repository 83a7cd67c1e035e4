"""Bodies of error responses."""

from __future__ import annotations

import pytest

from tests.factories import course_id_of, username
from tests.http import ENROLLMENT, NOWHERE, client_of, post, put, send, wish

pytestmark = pytest.mark.django_db


class TestErrors:
    @pytest.mark.rule("V1-ERR-01")
    @pytest.mark.parametrize(
        ("body", "code", "keys"),
        [
            ({}, 400, ["message"]),
            (wish("a b"), 400, ["message"]),
            (wish(NOWHERE), 400, ["message"]),
            ({"is_active": "foo"}, 400, ["message"]),
            ({"mode": "verified"}, 403, ["message"]),
            ({"email_opt_in": 7}, 400, ["message"]),
            ({"enrollment_attributes": [{}]}, 400, ["message", "localizedMessage"]),
        ],
    )
    def test_of_the_app_have_a_message_first(self, ada, course, body, code, keys):
        whole = body if "course_details" in body or not body else wish(course, **body)

        response = post(ada, whole)

        assert response.status_code == code
        assert response["Content-Type"] == "application/json"
        assert list(response.json()) == keys
        assert isinstance(response.json()["message"], str)

    @pytest.mark.rule("V1-ERR-01")
    def test_of_the_app_have_a_message_for_staff_too(self, boss, course):
        invitation = {"email": "ada@example.org", "course_id": "a"}

        refusals = [
            post(boss, wish(course, user="no-one")),
            post(boss, wish(course, email="no-one@example.org")),
            send(boss, "POST", "enrollment_allowed/", {}),
            send(boss, "DELETE", "enrollment_allowed/", invitation),
            send(boss, "GET", f"course/{NOWHERE}"),
        ]

        codes = [response.status_code for response in refusals]
        assert codes == [406, 406, 400, 404, 400]
        assert {tuple(response.json()) for response in refusals} == {("message",)}

    @pytest.mark.rule("V1-ERR-02")
    def test_that_hide_a_user_are_a_404_without_a_body(self, ada, bea, course):
        put(bea, course)
        name = username("bea")

        for response in (
            post(ada, wish(course, user=name)),
            post(ada, wish(course, email="bea@example.org")),
            send(ada, "GET", f"enrollment/{name},{course_id_of(course)}"),
        ):
            assert (response.status_code, response.content) == (404, b"")
            assert response["Content-Length"] == "0"
            assert "Content-Type" not in response

    @pytest.mark.rule("V1-ERR-03")
    def test_of_drf_have_a_detail(self, ada, course):
        csrf = client_of(ada, enforce_csrf_checks=True)

        refusals = [
            post(None, {}),
            send(ada, "GET", "enrollment_allowed/"),
            send(ada, "PUT", "enrollment"),
            post(ada, b"{"),
            post(ada, b"{}", content_type="application/xml"),
            csrf.post(ENROLLMENT, {}, "application/json"),
        ]

        codes = [response.status_code for response in refusals]
        assert codes == [401, 403, 405, 400, 415, 403]
        assert {tuple(response.json()) for response in refusals} == {("detail",)}

    @pytest.mark.rule("V1-ERR-05")
    def test_of_retirement_are_texts(self, root):
        refusals = [
            send(root, "POST", "unenroll/", body) for body in ({}, {"username": "x"})
        ]

        assert [response.status_code for response in refusals] == [404, 404]
        assert [response.json() for response in refusals] == [
            "Username not specified.",
            "No retirement request status for username.",
        ]
