"""One invitation lets one person in (ACC-02, ACC-10)."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from django.contrib.auth import get_user_model

from django_enrollments import api
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from tests.factories import course_id_of, is_default_host, make_course, make_user
from tests.processes.calls import in_turn, with_slow_filter
from tests.processes.checks import assert_history_is_true, tally
from tests.processes.concurrent import REPEATABLE_READ, USUAL, at_once, by

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not is_default_host(), reason="Here no two accounts have one address."
    ),
]


class TestAddEnrollment:
    @pytest.mark.rule("ACC-02")
    @by(*USUAL, REPEATABLE_READ)
    def test_lets_one_of_two_accounts_in_by_each_of_10_invitations(self, way):
        course = make_course(invitation_only=True)
        first, second = [], []
        for n in range(10):
            email = f"shared{n}@example.org"
            first.append(make_user(f"first{n}", email=email).username)
            second.append(make_user(f"second{n}", email=email).username)
            CourseEnrollmentAllowed.objects.create(
                email=email, course_id=course_id_of(course)
            )
        calls = [
            partial(
                in_turn,
                [
                    partial(api.add_enrollment, name, course_id_of(course))
                    for name in names
                ],
            )
            for names in (first, second)
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 2}
        for one, other in zip(answers[0].value, answers[1].value, strict=True):
            assert {one, other} == {"fine", "enrollment_closed"}
        users = CourseEnrollmentAllowed.objects.values_list("user", flat=True)
        assert set(users) == {row.user_id for row in CourseEnrollment.objects.all()}
        assert_history_is_true(answers)


class TestBulkEnroll:
    @pytest.mark.rule("ACC-02")
    def test_lets_one_of_two_accounts_in_that_share_a_batch(self):
        course = make_course(invitation_only=True)
        for name in ("ada", "bob", "eve"):
            make_user(name, email="shared@example.org")
        CourseEnrollmentAllowed.objects.create(
            email="shared@example.org", course_id=course_id_of(course)
        )

        results = api.bulk_enroll(course_id_of(course), ["ada", "bob", "eve"])

        told = [result["code"] or result["status"] for result in results]
        assert told == ["created", "enrollment_closed", "enrollment_closed"]

    @pytest.mark.rule("ACC-02")
    def test_lets_both_into_a_course_that_is_open_to_all(self):
        course = make_course()
        for name in ("ada", "bob"):
            make_user(name, email="shared@example.org")
        CourseEnrollmentAllowed.objects.create(
            email="shared@example.org", course_id=course_id_of(course)
        )

        results = api.bulk_enroll(course_id_of(course), ["ada", "bob"])

        assert [result["status"] for result in results] == ["created", "created"]

    @pytest.mark.rule("ACC-02")
    @by(*USUAL)
    def test_lets_one_in_whichever_of_two_files_names_them_first(self, way):
        course = make_course(invitation_only=True)
        names = []
        for n in range(20):
            email = f"shared{n}@example.org"
            names.append([make_user(f"{who}{n}", email=email).username for who in "ab"])
            CourseEnrollmentAllowed.objects.create(
                email=email, course_id=course_id_of(course)
            )
        calls = [
            partial(api.bulk_enroll, course_id_of(course), file)
            for file in zip(*names, strict=True)
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 2}
        results = [result for answer in answers for result in answer.value]
        told = Counter(result["code"] or result["status"] for result in results)
        assert told == {"created": 20, "enrollment_closed": 20}
        assert_history_is_true(answers)


class TestWhoRegistersWhileBeingInvited:
    @pytest.mark.rule("ACC-13")
    @by(*USUAL, REPEATABLE_READ)
    def test_is_enrolled_whichever_commits_first(self, way):
        course = make_course()
        names = [f"new{n}" for n in range(10)]
        calls = [
            partial(in_turn, [partial(make_user, name) for name in names]),
            partial(
                in_turn,
                [
                    partial(
                        api.bulk_enroll,
                        course_id_of(course),
                        emails=[f"{name}@example.org"],
                    )
                    for name in names
                ],
            ),
        ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 2}
        assert CourseEnrollment.objects.filter(is_active=True).count() == 10
        assert_history_is_true(answers)


class TestWhoRegisterAtOnce:
    @pytest.mark.rule("ACC-13")
    @by(*USUAL)
    def test_wait_for_each_other_whatever_the_order_of_their_invitations(self, way):
        ids = ["a-1", "b-1"]
        for course_id in ids:
            make_course(course_id, max_student_enrollments_allowed=2)
        for name, order in (("one", ids), ("two", ids[::-1])):
            for course_id in order:
                api.bulk_enroll(course_id, emails=[f"{name}@example.org"])

        answers = at_once(
            [
                partial(with_slow_filter, partial(make_user, name))
                for name in ("one", "two")
            ],
            way,
        )

        assert tally(answers) == {"fine": 2}
        # MariaDB rolls back all that is in a transaction that ends in a deadlock.
        assert get_user_model().objects.count() == 2
        assert CourseEnrollment.objects.filter(is_active=True).count() == 4
        assert_history_is_true(answers)
