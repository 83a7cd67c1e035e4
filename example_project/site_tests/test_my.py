"""A learner's own courses at ``/my/``."""

from __future__ import annotations

import pytest
from conftest import count_queries, make_run, make_user

from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db


def test_asks_anonymous_visitors_to_log_in(client):
    assert client.get("/my/")["Location"] == "/accounts/login/?next=/my/"


def test_is_empty_at_first(visitor):
    page = visitor.get("/my/").content.decode()

    assert "You have no courses yet" in page


def test_shows_when_what_by_whom_and_why(visitor, learner):
    run = make_run("DRAWING", modes=[("audit", 0), ("verified", 49)])
    teacher = make_user(name="Tariq Teacher")
    service = EnrollmentsService()
    service.enroll(learner, run, actor=teacher, reason="Came to the open day")
    service.change_mode(learner, run, "verified", actor=learner)
    service.unenroll(learner, run)

    page = visitor.get("/my/")

    (record,) = page.context["former"]
    assert page.context["current"] == []
    assert [(one.what, one.actor, one.reason) for one in record.entries] == [
        ("Left the course", "the school", ""),
        ("Changed from “Audit” to “Verified”", "you", ""),
        ("Enrolled: Audit", "Tariq Teacher", "Came to the open day"),
    ]
    assert "Came to the open day" in page.content.decode()


def test_shows_nobody_elses_courses(visitor):
    EnrollmentsService().enroll(make_user(), make_run("SECRET"))

    assert "SECRET" not in visitor.get("/my/").content.decode()


def test_shows_a_course_that_was_deleted(visitor, learner):
    run = make_run("GONE")
    EnrollmentsService().enroll(learner, run)
    run.delete()

    page = visitor.get("/my/")

    assert page.status_code == 200


def test_has_few_statements_for_any_number_of_courses(visitor, learner):
    service = EnrollmentsService()

    def add(number):
        for _ in range(number):
            run = make_run(modes=[("audit", 0), ("verified", 49)])
            service.enroll(learner, run, actor=make_user())
            service.change_mode(learner, run, "verified", actor=learner)
            service.unenroll(learner, run, actor=make_user())
            service.enroll(learner, run, actor=make_user())

    def look():
        assert visitor.get("/my/").status_code == 200

    add(1)
    few = count_queries(look)
    add(24)

    assert count_queries(look) == few
    assert few <= 8
    assert len(visitor.get("/my/", {"page": 2}).context["current"]) == 5
