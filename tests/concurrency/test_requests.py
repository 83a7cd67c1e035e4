"""Concurrent requests, in transactions of Django or of the host."""

from __future__ import annotations

import json
import time
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.urls import reverse

from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from tests.factories import course_id_of, make_course, make_user, make_users, username
from tests.http import ENROLLMENT, ask, client_of, wish
from tests.processes.calls import once
from tests.processes.checks import assert_history_folds, seats_taken, tally
from tests.processes.concurrent import Way, at_once, processes

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

pytestmark = pytest.mark.django_db(transaction=True)

#: How long requests wait for SQLite's write lock, far longer than others need it.
IMPATIENCE_SECONDS = 20


def make_account(number: int):
    with transaction.atomic():
        get_user_model().objects.create_user(
            **{
                get_user_model().USERNAME_FIELD: username(f"new{number}"),
                "email": f"new{number}@example.org",
            }
        )


def enroll_in_transaction(user, course_id: str) -> int:
    settings.ALLOWED_HOSTS = ["testserver"]
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    return ask(user, course_id).status_code


class SlowBody(BytesIO):
    """A body that is complete when some learners have enrolled."""

    #: The number of these learners.
    learners = 3

    def __init__(self, body: bytes, is_awaited: Event):
        super().__init__(body)
        self._is_awaited = is_awaited

    def read(self, size: int | None = -1) -> bytes:
        self._is_awaited.set()
        give_up = time.monotonic() + 2 * IMPATIENCE_SECONDS
        while CourseEnrollment.objects.active().count() < self.learners:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        return super().read(size)


def post_slowly(
    is_awaited: Event, user, path: str, body: bytes, content_type: str
) -> int:
    settings.ALLOWED_HOSTS = ["testserver"]
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    slow = {"wsgi.input": SlowBody(body, is_awaited)}
    status: int = (
        client_of(user).generic("POST", path, body, content_type, **slow).status_code
    )
    return status


def add_by_admin(
    operator, user_key, course_key, *, atomic_requests: bool = False
) -> int:
    settings.ALLOWED_HOSTS = ["testserver"]
    connection.settings_dict["ATOMIC_REQUESTS"] = atomic_requests
    client = client_of(operator)
    data = {"user": user_key, "course": course_key}
    path = reverse("admin:django_enrollments_courseenrollment_add")
    status: int = client.post(path, data).status_code
    return status


class TestAccounts:
    @pytest.mark.rule("ACC-13")
    def test_are_enrolled_by_invitations_when_created_at_once(self):
        course = make_course(max_student_enrollments_allowed=8)
        for number in range(12):
            CourseEnrollmentAllowed.objects.create(
                email=f"new{number}@example.org",
                course_id=course_id_of(course),
                auto_enroll=True,
            )

        answers = at_once([partial(make_account, number) for number in range(12)])

        assert tally(answers) == {"fine": 12}
        assert seats_taken(course) == 8
        assert_history_folds()


class TestRequests:
    @pytest.mark.rule("B-06")
    def test_of_one_learner_make_one_enrollment(self):
        course, ada = make_course(), make_user("ada")
        call = partial(enroll_in_transaction, ada, course_id_of(course))

        answers = at_once([call] * 12)

        assert {answer.unwrap() for answer in answers} == {200}
        assert len(assert_history_folds()) == 1

    @pytest.mark.rule("CAP-10")
    def test_of_12_learners_take_5_seats(self):
        course = make_course(max_student_enrollments_allowed=5)
        calls = [
            partial(enroll_in_transaction, user, course_id_of(course))
            for user in make_users(12)
        ]

        answers = at_once(calls)

        codes = [answer.unwrap() for answer in answers]
        assert (codes.count(200), codes.count(400)) == (5, 7)
        assert seats_taken(course) == 5


class TestAdmin:
    @pytest.mark.parametrize("atomic_requests", [False, True])
    def test_enrolls_learners_at_once(self, atomic_requests):
        course = make_course()
        boss = make_user("boss", is_staff=True, is_superuser=True)
        add = partial(add_by_admin, boss, atomic_requests=atomic_requests)
        calls = [partial(add, user.pk, course.pk) for user in make_users(12)]

        answers = at_once(calls)

        assert {answer.unwrap() for answer in answers} == {302}
        assert CourseEnrollment.objects.active().count() == 12
        assert_history_folds()


class TestSlowClients:
    #: Fails if another process keeps the write lock.
    IMPATIENT = Way(
        "impatient",
        {"sqlite": {"timeout": IMPATIENCE_SECONDS}, "postgresql": {}, "mysql": {}},
    )

    @pytest.mark.parametrize("page", ["api", "admin"])
    def test_do_not_delay_others(self, page):
        course = make_course()
        boss = make_user("boss", is_staff=True, is_superuser=True)
        learners = make_users(SlowBody.learners)
        # They enroll after the headers of the slow client.
        is_awaited = processes.Event()
        calls = [
            partial(
                once,
                is_awaited,
                partial(enroll_in_transaction, user, course_id_of(course)),
            )
            for user in learners
        ]
        if page == "api":
            body = json.dumps(wish(course)).encode()
            request = (ENROLLMENT, body, "application/json")
        else:
            path = reverse("admin:django_enrollments_courseenrollment_add")
            body = urlencode({"user": boss.pk, "course": course.pk}).encode()
            kind = "application/x-www-form-urlencoded"
            request = (path, body, kind)
        slow = partial(post_slowly, is_awaited, boss, *request)

        answers = at_once([slow, *calls], self.IMPATIENT)

        statuses = [answer.unwrap() for answer in answers]
        assert statuses == [200 if page == "api" else 302, 200, 200, 200]
        assert CourseEnrollment.objects.active().count() == 4
