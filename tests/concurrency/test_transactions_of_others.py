"""Transactions that Django or a host opens around the app wait for each other too."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.urls import reverse

from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from tests.concurrency.crowd import at_once
from tests.concurrency.evidence import assert_history_folds, seats_taken, tally
from tests.factories import course_id_of, make_course, make_user, make_users, username
from tests.http import ask, client_of

pytestmark = pytest.mark.django_db(transaction=True)


def make_account(number: int) -> None:
    with transaction.atomic():
        get_user_model().objects.create_user(
            **{
                get_user_model().USERNAME_FIELD: username(f"new{number}"),
                "email": f"new{number}@example.org",
            }
        )


def ask_within_a_transaction(user: Any, course_id: str) -> int:
    settings.ALLOWED_HOSTS = ["testserver"]
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    return ask(user, course_id).status_code


def add_by_admin(operator: Any, user_key: Any, course_key: Any) -> int:
    settings.ALLOWED_HOSTS = ["testserver"]
    client = client_of(operator)
    data = {"user": user_key, "course": course_key}
    path = reverse("admin:django_enrollments_courseenrollment_add")
    status: int = client.post(path, data).status_code
    return status


class TestAccounts:
    def test_acc_13_made_at_once_come_into_the_course_that_invited_them(self):
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
    def test_b_06_of_one_learner_make_one_enrollment_and_no_500(self):
        course, ada = make_course(), make_user("ada")
        call = partial(ask_within_a_transaction, ada, course_id_of(course))

        answers = at_once([call] * 12)

        assert {answer.unwrap() for answer in answers} == {200}
        assert len(assert_history_folds()) == 1

    def test_cap_10_of_12_learners_give_5_seats_to_5(self):
        course = make_course(max_student_enrollments_allowed=5)
        calls = [
            partial(ask_within_a_transaction, user, course_id_of(course))
            for user in make_users(12)
        ]

        answers = at_once(calls)

        told = [answer.unwrap() for answer in answers]
        assert (told.count(200), told.count(400)) == (5, 7)
        assert seats_taken(course) == 5


class TestAdmin:
    def test_adds_learners_at_once_and_nobody_fails(self):
        course = make_course()
        boss = make_user("boss", is_staff=True, is_superuser=True)
        calls = [
            partial(add_by_admin, boss, user.pk, course.pk) for user in make_users(12)
        ]

        answers = at_once(calls)

        assert {answer.unwrap() for answer in answers} == {302}
        assert CourseEnrollment.objects.active().count() == 12
        assert_history_folds()
