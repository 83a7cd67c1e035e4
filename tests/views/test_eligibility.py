"""GET course/{course_id}/eligibility over HTTP (contract section 5)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from django.utils import timezone

from django_enrollments import api
from django_enrollments.errors import CourseEnrollmentError, EnrollmentNotAllowed
from django_enrollments.views import EnrollmentEligibilityView
from tests.factories import (
    DAY,
    course_id_of,
    make_course,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.http import NOWHERE, ROOT, ask, client_of, get, headers_of, iso, put
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

NAME = "django_enrollments:courseenrollmenteligibility"


@pytest.fixture
def course() -> Any:
    course = make_course()
    make_modes(course, "audit", "honor")
    return course


def ask_whether(user: Any, course: Any, /, **query: str) -> Any:
    course_id = course if isinstance(course, str) else course_id_of(course)
    return get(user, f"course/{course_id}/eligibility", **query)


def codes(response: Any) -> list[str]:
    return [reason["code"] for reason in response.json()["reasons"]]


def veto(action: str, **context: Any) -> None:
    raise EnrollmentNotAllowed(f"Not from {context['source']}.")


class TestUrl:
    def test_is_reversed_by_its_name(self) -> None:
        path = reverse(NAME, kwargs={"course_id": "edX/DemoX/2014T2"})

        assert path == f"{ROOT}course/edX/DemoX/2014T2/eligibility"
        assert resolve(path).func.cls is EnrollmentEligibilityView

    @pytest.mark.parametrize(
        "path",
        ["course/eligibility/", "course/a b/eligibility", "course/a,b/eligibility"],
    )
    def test_what_matches_no_route_is_a_404(self, path: str) -> None:
        assert get(make_user("ada"), path).status_code == 404

    def test_a_course_may_be_called_so(self) -> None:
        make_course("eligibility")

        assert get(None, "course/eligibility").status_code == 200

    @pytest.mark.rule("V1-URL-14")
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_other_methods_are_not_allowed(self, course: Any, method: str) -> None:
        path = reverse(NAME, kwargs={"course_id": course_id_of(course)})

        response = getattr(client_of(make_user("ada")), method)(path)

        assert response.status_code == 405


class TestEligibility:
    def test_who_may_enroll_is_told_so_and_nothing_is_written(
        self, course: Any
    ) -> None:
        ada = make_user("ada")

        with nothing_written():
            response = ask_whether(ada, course)

        assert response.status_code == 200
        assert response.json() == {
            "allowed": True,
            "reasons": [],
            "seats": {"capacity": None, "taken": 0, "left": None},
            "mode": "audit",
        }

    def test_is_what_the_api_tells_of_the_requester(self, course: Any) -> None:
        ada = make_user("ada")
        put(ada, course)

        response = ask_whether(ada, course, user="bea")

        assert codes(response) == ["already_enrolled"]
        assert response.json() == api.explain_enrollment(
            username("ada"), course_id_of(course)
        )

    def test_every_reason_is_told_with_the_moment_that_it_ends(self) -> None:
        opens = timezone.now() + DAY
        course = make_course(enrollment_start=opens, max_student_enrollments_allowed=0)

        response = ask_whether(make_user("ada"), course)

        assert response.json()["allowed"] is False
        assert codes(response) == ["enrollment_not_started", "course_full"]
        assert response.json()["reasons"][0]["changes_at"] == iso(opens)

    def test_a_mode_may_be_asked_for(self, course: Any) -> None:
        ada = make_user("ada")

        assert ask_whether(ada, course, mode="honor").json()["mode"] == "honor"
        assert ask_whether(ada, course, mode="").json()["mode"] == "audit"
        assert codes(ask_whether(ada, course, mode="verified")) == ["mode_unavailable"]

    @pytest.mark.rule("V1-ERR-07")
    @pytest.mark.parametrize("mode", ["\x00", "x" * 5_000, "{0}%s", "[]", "ü"])
    def test_a_mode_of_any_kind_is_not_offered(self, course: Any, mode: str) -> None:
        response = ask_whether(make_user("ada"), course, mode=mode)

        assert codes(response) == ["mode_unavailable"]

    def test_vetoes_are_told_and_hear_where_the_question_comes_from(
        self, course: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_FILTERS = [veto]

        response = ask_whether(make_user("ada"), course)

        assert response.json()["reasons"] == [
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
    def test_a_post_then_does_what_was_told(self, facts: dict[str, Any]) -> None:
        ada, course = make_user("ada"), make_course(**facts)

        allowed = ask_whether(ada, course).json()["allowed"]

        assert (ask(ada, course).status_code == 200) is allowed

    @pytest.mark.rule("V1-CRS-03")
    def test_an_unknown_course_is_a_400(self) -> None:
        response = ask_whether(make_user("ada"), NOWHERE)

        assert response.status_code == 400
        assert response.json() == {
            "message": f"No course found for course ID '{NOWHERE}'"
        }

    def test_any_other_refusal_is_a_400(self, course: Any, monkeypatch: Any) -> None:
        def refuse(*args: Any) -> None:
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "explain_enrollment", refuse)

        assert ask_whether(make_user("ada"), course).status_code == 400

    @pytest.mark.rule("V1-AUTH-11")
    def test_nobody_gets_the_same_401_of_every_course(self, course: Any) -> None:
        answers = {
            (response.status_code, response.content, *headers_of(response).items())
            for response in (ask_whether(None, course), ask_whether(None, NOWHERE))
        }

        ((code, *_),) = answers
        assert code == 401

    @pytest.mark.parametrize("count", [1, 50])
    def test_costs_the_same_however_many_are_in(self, count: int) -> None:
        course = make_course(max_student_enrollments_allowed=100)
        for learner in make_users(count):
            put(learner, course)
        client = client_of(make_user("ada"))
        path = reverse(NAME, kwargs={"course_id": course_id_of(course)})

        with CaptureQueriesContext(connection) as captured:
            response = client.get(path)

        assert response.json()["seats"]["taken"] == count
        assert len(captured) == 7
