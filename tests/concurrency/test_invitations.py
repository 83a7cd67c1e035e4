"""Concurrent use, creation and retirement of invitations."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from django.contrib.auth import get_user_model

from django_enrollments import api, datetimes
from django_enrollments.core import invitations
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from tests.factories import course_id_of, is_default_host, make_course, make_user
from tests.processes.calls import in_turn, with_slow_filter
from tests.processes.checks import assert_history_is_true, tally
from tests.processes.concurrent import REPEATABLE_READ, USUAL, at_once, by

pytestmark = pytest.mark.django_db(transaction=True)

shared_addresses = pytest.mark.skipif(
    not is_default_host(), reason="Here no two accounts have one address."
)


def invite(email: str, course_id: str = "django-101"):
    CourseEnrollmentAllowed.objects.create(email=email, course_id=course_id)


def create_invitation(email: str) -> bool:
    """Create an invitation; return whether there was none."""
    created = invitations.invite(
        email, "django-101", auto_enroll=False, at=datetimes.now()
    )
    return created is not None


@shared_addresses
class TestOneAddress:
    @pytest.mark.rule("ACC-02")
    @by(*USUAL, REPEATABLE_READ)
    @pytest.mark.parametrize("in_bulk", [False, True])
    def test_enrolls_one_of_two_accounts_by_each_invitation(self, way, in_bulk):
        course = make_course(invitation_only=True)
        course_id = course_id_of(course)
        names = []
        for number in range(10):
            email = f"shared{number}@example.org"
            invite(email, course_id)
            names.append(
                [make_user(f"{one}{number}", email=email).username for one in "ab"]
            )
        files = [list(file) for file in zip(*names, strict=True)]
        if in_bulk:
            calls = [partial(api.bulk_enroll, course_id, file) for file in files]
        else:
            add = api.add_enrollment
            calls = [
                partial(in_turn, [partial(add, name, course_id) for name in file])
                for file in files
            ]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": 2}
        codes = Counter(
            (one["code"] or "fine") if in_bulk else one
            for answer in answers
            for one in answer.value
        )
        assert codes == {"fine": 10, "enrollment_closed": 10}
        users = CourseEnrollmentAllowed.objects.values_list("user", flat=True)
        assert set(users) == {row.user_id for row in CourseEnrollment.objects.all()}
        assert_history_is_true(answers)

    @pytest.mark.rule("ACC-02")
    @pytest.mark.parametrize("invitation_only", [True, False])
    def test_enrolls_one_account_of_a_batch_or_all_without_need(self, invitation_only):
        course = make_course(invitation_only=invitation_only)
        names = ["ada", "bob", "eve"]
        for name in names:
            make_user(name, email="shared@example.org")
        invite("shared@example.org", course_id_of(course))

        results = api.bulk_enroll(course_id_of(course), names)

        codes = [result["code"] or result["status"] for result in results]
        others = ["enrollment_closed" if invitation_only else "created"] * 2
        assert codes == ["created", *others]


class TestCreating:
    @pytest.mark.rule("V1-CEA-12")
    @by(*USUAL, REPEATABLE_READ)
    def test_20_times_makes_one_invitation(self, way):
        answers = at_once([partial(create_invitation, "ada@example.org")] * 20, way)

        assert [answer.error for answer in answers if answer.error] == []
        assert sorted(answer.value for answer in answers) == [False] * 19 + [True]
        assert CourseEnrollmentAllowed.objects.count() == 1

    @pytest.mark.rule("ACC-13")
    @by(*USUAL, REPEATABLE_READ)
    @shared_addresses
    def test_while_accounts_are_created_enrolls_each(self, way):
        course_id = course_id_of(make_course())
        names = [f"new{number}" for number in range(10)]
        calls = [
            [partial(make_user, name) for name in names],
            [
                partial(api.bulk_enroll, course_id, emails=[f"{name}@example.org"])
                for name in names
            ],
        ]

        answers = at_once([partial(in_turn, one) for one in calls], way)

        assert tally(answers) == {"fine": 2}
        assert CourseEnrollment.objects.filter(is_active=True).count() == 10
        assert_history_is_true(answers)

    @pytest.mark.rule("ACC-13")
    @by(*USUAL)
    @shared_addresses
    def test_in_another_order_lets_accounts_be_created_at_once(self, way):
        ids = ["a-1", "b-1"]
        for course_id in ids:
            make_course(course_id, max_student_enrollments_allowed=2)
        for name, order in (("one", ids), ("two", ids[::-1])):
            for course_id in order:
                api.bulk_enroll(course_id, emails=[f"{name}@example.org"])
        calls = [partial(make_user, name) for name in ("one", "two")]

        answers = at_once([partial(with_slow_filter, call) for call in calls], way)

        assert tally(answers) == {"fine": 2}
        # MariaDB rolls back the whole transaction that ends in a deadlock.
        assert get_user_model().objects.count() == 2
        assert CourseEnrollment.objects.filter(is_active=True).count() == 4
        assert_history_is_true(answers)


@pytest.mark.rule("MDL-26")
class TestRetiring:
    @staticmethod
    def invite_all(*emails: str):
        CourseEnrollmentAllowed.objects.bulk_create(
            CourseEnrollmentAllowed(email=email, course_id=f"course-{number}")
            for number in range(12)
            # In another order for every second course, so that keys are not sorted.
            for email in (emails if number % 2 else reversed(emails))
        )

    @by(*USUAL, REPEATABLE_READ)
    @pytest.mark.parametrize(("people", "times"), [(8, 1), (1, 6)])
    def test_at_once_removes_all_addresses(self, way, people, times):
        emails = [f"old{number}@example.org" for number in range(people)]
        self.invite_all(*emails, "stays@example.org")
        calls = [partial(CourseEnrollmentAllowed.retire, one) for one in emails * times]

        answers = at_once(calls, way)

        assert tally(answers) == {"fine": people * times}
        assert any(answer.value for answer in answers)
        assert times > 1 or all(answer.value for answer in answers)
        left = CourseEnrollmentAllowed.objects.values_list("email", flat=True)
        assert [*left] == ["stays@example.org"] * 12

    @by(*USUAL)
    def test_while_invitations_are_created_does_not_fail(self, way):
        course_id, emails = course_id_of(make_course()), ["old@example.org", "b@c.org"]
        self.invite_all(*emails)
        retire = [partial(CourseEnrollmentAllowed.retire, email) for email in emails]
        redacted = ["redacted-before-delete@safe.com", emails[0]]
        calls = [partial(api.bulk_enroll, course_id, emails=redacted)] * 3

        assert tally(at_once([*retire, *calls], way)) == {"fine": 5}
