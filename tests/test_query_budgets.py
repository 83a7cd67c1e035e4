"""
How many SQL statements a call takes, transaction control aside (contract §10, PERF).

Every budget holds within a transaction of the caller's as well as in autocommit.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_enrollments import api
from django_enrollments.errors import (
    CourseEnrollmentExistsError,
    CourseEnrollmentFullError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EnrollmentEvent,
    get_course_adapter,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    course_id_of,
    make_course,
    make_mode,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.http import ROOT, client_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TRANSACTION_CONTROL = re.compile(r"BEGIN|SAVEPOINT|RELEASE|COMMIT|ROLLBACK")

#: What makes a transaction of the caller's a writer on SQLite, once and first.
_BECOME_WRITER = re.compile(r'UPDATE "(\w+)" SET "id" = "id" WHERE "id" = 0')


@pytest.fixture(
    params=[
        pytest.param("caller's transaction", marks=pytest.mark.django_db),
        pytest.param("autocommit", marks=pytest.mark.django_db(transaction=True)),
    ]
)
def _in_and_out_of_a_transaction() -> None:
    """Run a test twice; the marks of the parameters make the difference."""


in_and_out_of_a_transaction = pytest.mark.usefixtures("_in_and_out_of_a_transaction")


@contextmanager
def counted() -> Iterator[list[str]]:
    """List the SQL statements of a block, transaction control aside, at its end."""
    statements: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield statements
    statements += [
        query["sql"]
        for query in captured.captured_queries
        if not _TRANSACTION_CONTROL.match(query["sql"])
    ]
    # SQLite's write lock, once in a transaction of the caller's.
    if connection.in_atomic_block:
        locks = [*filter(_BECOME_WRITER.match, statements)]
        for statement in locks[:1]:
            statements.remove(statement)


def make_courses(count: int) -> list[Any]:
    """Make courses that offer audit, in one commit."""
    with transaction.atomic():
        courses = [make_course(f"course-v1:edX+Q{n}+R") for n in range(count)]
        for course in courses:
            make_mode(course)
    return courses


def put_in(
    users: Sequence[Any], courses: Sequence[Any], *, mode: str = "audit"
) -> list[CourseEnrollment]:
    """Enroll everybody everywhere behind the back of the rules."""
    rows = [
        CourseEnrollment(user=user, course=course, mode=mode)
        for user in users
        for course in courses
    ]
    return CourseEnrollment.objects.bulk_create(rows)


def names_of(users: Sequence[Any]) -> list[str]:
    return [user.get_username() for user in users]


@in_and_out_of_a_transaction
class TestGetEnrollments:
    @pytest.mark.rule("PERF-01")
    def test_takes_two_for_1_and_for_1000(self):
        user = make_user("ada")
        courses = make_courses(1000)
        taken = {}

        done = 0
        for count in (1, 50, 500, 1000):
            put_in([user], courses[done:count])
            done = count
            with counted() as statements:
                listed = api.get_enrollments(username("ada"))
            taken[len(listed)] = len(statements)

        assert taken == {1: 2, 50: 2, 500: 2, 1000: 2}

    def test_takes_two_with_all_that_is_left_out_by_default(self):
        put_in([make_user("ada")], make_courses(50))
        CourseEnrollment.objects.update(is_active=False)

        with counted() as statements:
            listed = api.get_enrollments(
                username("ada"), include_inactive=True, include_expired=True
            )

        assert len(listed) == 50
        assert len(statements) == 2, statements

    def test_takes_one_for_a_learner_who_is_nowhere(self):
        make_user("ada")

        with counted() as statements:
            listed = api.get_enrollments(username("ada"))

        assert listed == []
        assert len(statements) == 1, statements

    def test_takes_one_more_under_a_queryset_filter_for_1_and_for_50(self, settings):
        def only_active(action: str, **context: Any) -> dict[str, Any] | None:
            if action != "queryset":
                return None
            return {"queryset": context["queryset"].filter(is_active=True)}

        settings.ENROLLMENTS_FILTERS = [only_active]
        user = make_user("ada")
        courses = make_courses(50)
        taken = {}

        for first, end in ((0, 1), (1, 50)):
            put_in([user], courses[first:end])
            with counted() as statements:
                listed = api.get_enrollments(username("ada"))
            taken[len(listed)] = len(statements)

        assert taken == {1: 3, 50: 3}

    def test_takes_two_in_verified_modes(self):
        put_in([make_user("ada")], make_courses(50), mode="verified")

        with counted() as statements:
            listed = api.get_verified_enrollments(username("ada"))

        assert len(listed) == 50
        assert len(statements) == 2, statements


@in_and_out_of_a_transaction
class TestGetEnrollment:
    def test_takes_two(self):
        (course,) = make_courses(1)
        put_in([make_user("ada")], [course])

        with counted() as statements:
            enrollment = api.get_enrollment(username("ada"), course_id_of(course))

        assert enrollment is not None
        assert len(statements) == 2, statements

    def test_takes_one_where_there_is_none(self):
        (course,) = make_courses(1)
        make_user("ada")

        with counted() as statements:
            enrollment = api.get_enrollment(username("ada"), course_id_of(course))

        assert enrollment is None
        assert len(statements) == 1, statements


@in_and_out_of_a_transaction
class TestSerializeEnrollments:
    def test_takes_two_for_a_queryset_of_1_and_of_200(self):
        user = make_user("ada")
        courses = make_courses(200)
        taken = {}

        for first, end in ((0, 1), (1, 200)):
            put_in([user], courses[first:end])
            with counted() as statements:
                listed = api.serialize_enrollments(CourseEnrollment.objects.all())
            taken[len(listed)] = len(statements)

        assert taken == {1: 2, 200: 2}

    def test_takes_two_for_a_list_of_1_and_of_200(self):
        put_in([make_user("ada")], make_courses(200))
        rows = list(CourseEnrollment.objects.all())
        taken = {}

        for count in (1, 200):
            with counted() as statements:
                listed = api.serialize_enrollments(rows[:count])
            taken[len(listed)] = len(statements)

        assert taken == {1: 2, 200: 2}

    def test_takes_one_for_rows_that_bring_user_and_course(self):
        put_in([make_user("ada")], make_courses(20))
        related = [f"course__{key}" for key in get_course_adapter().related()]
        rows = list(CourseEnrollment.objects.select_related("user", "course", *related))

        with counted() as statements:
            api.serialize_enrollments(rows)

        assert len(statements) == 1, statements


@in_and_out_of_a_transaction
class TestAddEnrollment:
    def test_takes_seven_for_a_new_learner_history_included(self):
        (course,) = make_courses(1)
        make_user("ada")

        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))

        assert EnrollmentEvent.objects.count() == 1
        assert len(statements) <= 7, statements

    def test_takes_seven_for_a_learner_who_comes_back_in_another_mode(self):
        (course,) = make_courses(1)
        put_in([make_user("ada")], [course], mode="verified")
        CourseEnrollment.objects.update(is_active=False)

        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))

        assert EnrollmentEvent.objects.count() == 2
        assert len(statements) <= 7, statements

    def test_takes_two_more_where_seats_are_counted(self):
        course = make_course(max_student_enrollments_allowed=1)
        make_user("ada")

        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))

        assert len(statements) <= 9, statements

    def test_takes_two_more_where_seats_are_counted_for_a_learner_who_comes_back(self):
        course = make_course(max_student_enrollments_allowed=1)
        put_in([make_user("ada")], [course])
        CourseEnrollment.objects.update(is_active=False)

        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))

        assert len(statements) <= 9, statements

    def test_takes_one_more_where_an_invitation_is_used_up(self):
        (course,) = make_courses(1)
        user = make_user("ada")
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=course_id_of(course)
        )

        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))

        assert CourseEnrollmentAllowed.objects.get().user == user
        assert len(statements) <= 8, statements

    def test_takes_two_more_where_an_invitation_opens_the_door(self):
        course = make_course(invitation_only=True)
        user = make_user("ada")
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=course_id_of(course)
        )

        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))

        assert CourseEnrollmentAllowed.objects.get().user == user
        assert len(statements) <= 9, statements

    def test_takes_as_many_for_20_attributes_as_for_1(self):
        first, second = make_courses(2)
        make_user("ada")
        taken = []

        for course, count in ((first, 1), (second, 20)):
            attributes = [
                {"namespace": "order", "name": f"line{n}", "value": "7"}
                for n in range(count)
            ]
            with counted() as statements:
                api.add_enrollment(
                    username("ada"),
                    course_id_of(course),
                    enrollment_attributes=attributes,
                )
            taken.append(len(statements))

        assert taken[0] == taken[1] <= 12

    def test_takes_four_to_say_that_the_learner_is_in_already(self):
        (course,) = make_courses(1)
        put_in([make_user("ada")], [course])

        with counted() as statements, pytest.raises(CourseEnrollmentExistsError):
            api.add_enrollment(username("ada"), course_id_of(course))

        assert len(statements) <= 4, statements

    def test_takes_nine_to_say_that_the_course_is_full(self):
        course = make_course(max_student_enrollments_allowed=1)
        put_in([make_user("bob")], [course])
        make_user("ada")

        with counted() as statements, pytest.raises(CourseEnrollmentFullError):
            api.add_enrollment(username("ada"), course_id_of(course))

        assert len(statements) <= 9, statements

    def test_takes_no_more_in_a_course_of_500(self):
        course = make_course(max_student_enrollments_allowed=1000)
        put_in(make_users(500), [course])
        make_user("ada")

        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))

        assert len(statements) <= 9, statements


@in_and_out_of_a_transaction
class TestUpdateEnrollment:
    def test_takes_five_for_another_mode(self):
        course = make_course()
        make_modes(course, "audit", "verified")
        put_in([make_user("ada")], [course])

        with counted() as statements:
            api.update_enrollment(
                username("ada"), course_id_of(course), mode="verified"
            )

        assert EnrollmentEvent.objects.count() == 1
        assert len(statements) <= 5, statements

    def test_takes_five_to_take_a_learner_out(self):
        (course,) = make_courses(1)
        put_in([make_user("ada")], [course])

        with counted() as statements:
            api.update_enrollment(
                username("ada"), course_id_of(course), is_active=False
            )

        assert EnrollmentEvent.objects.count() == 1
        assert len(statements) <= 5, statements

    def test_takes_two_more_to_bring_a_learner_back_where_seats_are_counted(self):
        course = make_course(max_student_enrollments_allowed=1)
        put_in([make_user("ada")], [course])
        CourseEnrollment.objects.update(is_active=False)

        with counted() as statements:
            api.update_enrollment(username("ada"), course_id_of(course), is_active=True)

        assert len(statements) <= 7, statements

    @pytest.mark.rule("B-05")
    def test_takes_three_where_nothing_is_to_change(self):
        (course,) = make_courses(1)
        put_in([make_user("ada")], [course])

        with counted() as statements:
            api.update_enrollment(username("ada"), course_id_of(course), is_active=True)

        assert len(statements) <= 3, statements


@in_and_out_of_a_transaction
class TestUnenrollUserFromAllCourses:
    def test_takes_five_for_100_courses(self):
        put_in([make_user("ada")], make_courses(100))

        with counted() as statements:
            api.unenroll_user_from_all_courses(username("ada"))

        assert EnrollmentEvent.objects.count() == 100
        assert len(statements) <= 5, statements

    def test_takes_five_for_100_courses_in_several_modes(self):
        user = make_user("ada")
        courses = make_courses(100)
        for position, mode in enumerate(("audit", "honor", "verified", "masters")):
            put_in([user], courses[position::4], mode=mode)

        with counted() as statements:
            api.unenroll_user_from_all_courses(username("ada"))

        assert EnrollmentEvent.objects.count() == 100
        assert not CourseEnrollment.objects.active().exists()
        assert CourseEnrollment.objects.filter(mode="masters").count() == 25
        assert len(statements) <= 5, statements


@in_and_out_of_a_transaction
class TestBulkEnroll:
    def test_takes_nine_for_400_and_for_200_learners(self):
        course = make_course(max_student_enrollments_allowed=1000)
        users = make_users(600)
        taken = []

        for some in (users[:200], users[200:]):
            with counted() as statements:
                results = api.bulk_enroll(course_id_of(course), names_of(some))
            taken.append(len(statements))

        assert {result["status"] for result in results} == {"created"}
        assert taken == [9, 9]

    def test_takes_nine_for_400_and_for_200_who_come_back(self):
        course = make_course(max_student_enrollments_allowed=1000)
        users = make_users(600)
        put_in(users[::2], [course])
        put_in(users[1::2], [course], mode="verified")
        CourseEnrollment.objects.update(is_active=False)
        taken = []

        for some in (users[:200], users[200:]):
            with counted() as statements:
                results = api.bulk_enroll(course_id_of(course), names_of(some))
            taken.append(len(statements))

        assert {result["status"] for result in results} == {"reactivated"}
        assert taken == [9, 9]

    def test_takes_six_for_400_and_for_200_other_modes(self):
        course = make_course()
        make_modes(course, "audit", "verified")
        users = make_users(600)
        put_in(users, [course])
        taken = []

        for some in (users[:200], users[200:]):
            with counted() as statements:
                results = api.bulk_enroll(
                    course_id_of(course), names_of(some), mode="verified"
                )
            taken.append(len(statements))

        assert {result["status"] for result in results} == {"mode_changed"}
        assert taken == [6, 6]

    def test_takes_five_to_take_400_and_200_learners_out(self):
        course = make_course()
        users = make_users(600)
        put_in(users[::2], [course])
        put_in(users[1::2], [course], mode="verified")
        taken = []

        for some in (users[:200], users[200:]):
            with counted() as statements:
                results = api.bulk_enroll(
                    course_id_of(course), names_of(some), action="unenroll"
                )
            taken.append(len(statements))

        assert {result["status"] for result in results} == {"deactivated"}
        assert taken == [5, 5]

    def test_takes_ten_for_400_and_for_200_whose_invitations_are_used_up(self):
        course = make_course(max_student_enrollments_allowed=1000)
        users = make_users(600)
        invite(users, course)
        taken = []

        for some in (users[:200], users[200:]):
            with counted() as statements:
                api.bulk_enroll(course_id_of(course), names_of(some))
            taken.append(len(statements))

        assert not CourseEnrollmentAllowed.objects.unused().exists()
        assert taken == [10, 10]

    def test_takes_four_to_invite_400_and_200_strangers_and_one_to_look_again(self):
        course = make_course()
        emails = [f"stranger{n}@example.org" for n in range(600)]
        taken = []

        for some in (emails[:200], emails[200:]):
            with counted() as statements:
                results = api.bulk_enroll(course_id_of(course), emails=some)
            taken.append(len(statements))

        assert {result["status"] for result in results} == {"invited"}
        # Within a transaction, it waits for the commit.
        assert taken in ([4, 4], [5, 5])

    def test_takes_four_to_take_400_and_200_invitations_back(self):
        course = make_course()
        emails = [f"stranger{n}@example.org" for n in range(600)]
        api.bulk_enroll(course_id_of(course), emails=emails)
        taken = []

        for some in (emails[:200], emails[200:]):
            with counted() as statements:
                results = api.bulk_enroll(
                    course_id_of(course), emails=some, action="unenroll"
                )
            taken.append(len(statements))

        assert {result["status"] for result in results} == {"uninvited"}
        assert taken == [4, 4]

    def test_takes_40_for_2000(self):
        course = make_course(max_student_enrollments_allowed=3000)
        names = names_of(make_users(2000))
        taken = {}

        for action in ("enroll", "unenroll"):
            with counted() as statements:
                results = api.bulk_enroll(course_id_of(course), names, action=action)
            taken[results[-1]["status"]] = len(statements)

        assert taken.keys() == {"created", "deactivated"}
        assert max(taken.values()) <= 40, taken


def invite(users: Sequence[Any], course: Any) -> None:
    CourseEnrollmentAllowed.objects.bulk_create(
        CourseEnrollmentAllowed(email=user.email, course_id=course_id_of(course))
        for user in users
    )


@in_and_out_of_a_transaction
class TestExplainEnrollment:
    def test_takes_six_in_a_course_of_1_and_of_200(self):
        course = make_course(max_student_enrollments_allowed=1)
        make_user("ada")
        taken = {}

        for prefix, count in (("one", 1), ("more", 199)):
            put_in(make_users(count, prefix), [course])
            with counted() as statements:
                told = api.explain_enrollment(username("ada"), course_id_of(course))
            taken[told["seats"]["taken"]] = len(statements)

        assert taken == {1: 6, 200: 6}

    def test_takes_eight_where_every_rule_refuses(self):
        course = make_course(max_student_enrollments_allowed=0, invitation_only=True)
        make_mode(course, "verified")
        make_user("ada")

        with counted() as statements:
            told = api.explain_enrollment(username("ada"), course_id_of(course))

        assert [reason["code"] for reason in told["reasons"]] == [
            "mode_unavailable",
            "invitation_only",
            "course_full",
        ]
        assert len(statements) <= 8, statements


def fill(first: int, count: int) -> None:
    """
    Make numbers first to count of everything: courses with modes, team, learners.

    Ada is in every course, on its team and invited to it, as is everybody else who has
    as many courses; the first course has as many learners and seats.
    """
    with transaction.atomic():
        ada = get_user_model().objects.get(email="ada@example.org")
        courses = [
            make_course(f"course-v1:edX+Q{n}+R", max_student_enrollments_allowed=1000)
            for n in range(first, count)
        ]
        for course in courses:
            make_modes(course, "audit", "verified")
            CourseAccessRole.objects.create(
                user=ada, course_id=course_id_of(course), role="staff"
            )
        first_course = get_course_adapter().find_course("course-v1:edX+Q0+R")
        make_modes(first_course, *(f"mode{n}" for n in range(first, count)))
        some = [make_user(f"learner{n}") for n in range(first, count)]
        put_in([ada], courses)
        put_in(some, [first_course])
        put_in(list(get_user_model().objects.filter(email="bea@example.org")), courses)
        CourseEnrollmentAllowed.objects.bulk_create(
            CourseEnrollmentAllowed(email=email, course_id=course_id_of(course))
            for email in ("ada@example.org", "cleo@example.org")
            for course in courses
        )


COURSE_ID = "course-v1:edX+Q0+R"
WISH = {"course_details": {"course_id": COURSE_ID}}

#: Who asks for what, with which body, and for how many statements at most, those for
#: the session and its user included. Names in braces are usernames.
ENDPOINTS = [
    ("ada", "GET enrollment", None, 4),
    ("boss", "GET enrollment?user={ada}", None, 4),
    ("ada", "GET enrollment?user={bea}", None, 6),
    ("ada", f"GET enrollment/{COURSE_ID}", None, 4),
    ("boss", f"GET enrollment/{{ada}},{COURSE_ID}", None, 4),
    ("cleo", "POST enrollment", WISH, 12),
    ("boss", "POST enrollment", {**WISH, "user": "{dan}"}, 13),
    ("boss", "POST enrollment", {**WISH, "user": "{dan}", "mode": "verified"}, 13),
    # Nobody need be logged in for it.
    ("ada", f"GET course/{COURSE_ID}", None, 2),
    ("cleo", f"GET course/{COURSE_ID}/eligibility", None, 7),
    ("boss", "GET enrollments/", None, 3),
    ("boss", "GET enrollments/?username={ada},{bea}", None, 4),
    ("boss", "GET enrollments/?course_ids=edX", None, 3),
    ("ada", "GET roles/", None, 4),
    ("boss", "GET enrollment_allowed/?email=ada@example.org", None, 3),
]


@pytest.mark.django_db
class TestEndpoints:
    @pytest.mark.parametrize(
        ("asker", "line", "body", "most"),
        [pytest.param(*one, id=f"{one[1]} by {one[0]}") for one in ENDPOINTS],
    )
    def test_costs_the_same_among_1_and_among_50(
        self, settings, asker, line, body, most
    ):
        settings.ENROLLMENTS_COURSE_DETAILS_CACHE_SECONDS = 0
        names = ("ada", "bea", "cleo", "dan", "boss")
        people = {name: make_user(name, is_staff=name == "boss") for name in names}
        usernames = {name: username(name) for name in names}
        method, path = line.format(**usernames).split()
        if body and "user" in body:
            body = {**body, "user": body["user"].format(**usernames)}
        client = client_of(people[asker])
        taken = {}

        for first, count in ((0, 1), (1, 50)):
            fill(first, count)
            with transaction.atomic(), counted() as statements:
                data = json.dumps(body)
                answer = client.generic(method, ROOT + path, data, "application/json")
                transaction.set_rollback(True)
            assert answer.status_code == 200, answer.content
            taken[count] = len(statements)

        assert taken[1] == taken[50] <= most, statements


@in_and_out_of_a_transaction
class TestEnrollmentsService:
    def test_takes_seven_to_enroll_by_keys(self):
        (course,) = make_courses(1)
        user = make_user("ada")

        with counted() as statements:
            EnrollmentsService().enroll(user.pk, course_id_of(course))

        assert len(statements) <= 7, statements

    def test_takes_six_to_enroll_instances(self):
        (course,) = make_courses(1)
        user = make_user("ada")

        with counted() as statements:
            EnrollmentsService().enroll(user, course)

        assert len(statements) <= 6, statements

    def test_takes_two_more_to_enroll_where_seats_are_counted(self):
        course = make_course(max_student_enrollments_allowed=1)
        user = make_user("ada")

        with counted() as statements:
            EnrollmentsService().enroll(user, course)

        assert len(statements) <= 8, statements

    def test_takes_four_more_to_enroll_with_attributes(self):
        (course,) = make_courses(1)
        user = make_user("ada")
        attributes = [{"namespace": "a", "name": f"n{n}", "value": "v"} for n in (1, 2)]

        with counted() as statements:
            EnrollmentsService().enroll(user, course, attributes=attributes)

        assert len(statements) <= 10, statements

    def test_takes_five_to_take_a_learner_out_by_keys(self):
        (course,) = make_courses(1)
        user = make_user("ada")
        put_in([user], [course])

        with counted() as statements:
            EnrollmentsService().unenroll(user.pk, course_id_of(course))

        assert len(statements) <= 5, statements

    def test_takes_four_to_take_an_instance_out(self):
        (course,) = make_courses(1)
        user = make_user("ada")
        put_in([user], [course])

        with counted() as statements:
            EnrollmentsService().unenroll(user, course)

        assert len(statements) <= 4, statements

    def test_takes_six_to_change_a_mode_by_keys(self):
        course = make_course()
        make_modes(course, "audit", "verified")
        user = make_user("ada")
        put_in([user], [course])

        with counted() as statements:
            EnrollmentsService().change_mode(user.pk, course_id_of(course), "verified")

        assert len(statements) <= 6, statements

    def test_takes_one_to_tell_whether_a_user_is_enrolled(self):
        (course,) = make_courses(1)
        user = make_user("ada")
        put_in([user], [course])

        with counted() as statements:
            enrolled = EnrollmentsService().is_enrolled(user, course)

        assert enrolled
        assert len(statements) == 1, statements

    def test_takes_six_to_enroll_400_and_200_instances(self):
        (course,) = make_courses(1)
        users = make_users(600)
        taken = []

        for some in (users[:200], users[200:]):
            with counted() as statements:
                EnrollmentsService().bulk_enroll(course, some)
            taken.append(len(statements))

        assert taken == [6, 6]

    @pytest.mark.rule("SVC-07")
    @pytest.mark.parametrize("text_search", [None, "EXAMPLE"])
    def test_takes_one_to_list_who_may_sit_proctored_exams(self, text_search):
        course = make_course(enable_proctored_exams=True)
        users = make_users(50)
        taken = {}

        done = 0
        for count in (10, 25, 50):
            put_in(users[done:count], [course], mode="verified")
            done = count
            listed = EnrollmentsService().get_enrollments_can_take_proctored_exams(
                course_id_of(course), text_search
            )
            with counted() as statements:
                told = [(row.username, row.user.email) for row in listed]
            taken[len(told)] = len(statements)

        assert taken == {10: 1, 25: 1, 50: 1}


@in_and_out_of_a_transaction
class TestCourseEnrollment:
    def test_takes_six_to_enroll(self):
        (course,) = make_courses(1)
        user = make_user("ada")

        with counted() as statements:
            CourseEnrollment.enroll(user, course_id_of(course))

        assert len(statements) <= 6, statements

    def test_takes_four_to_unenroll(self):
        (course,) = make_courses(1)
        user = make_user("ada")
        put_in([user], [course])

        with counted() as statements:
            CourseEnrollment.unenroll(user, course_id_of(course))

        assert len(statements) <= 4, statements


@pytest.mark.django_db(transaction=True)
class TestIndexes:
    """The plans of the statements that calls really send, over 10,000 rows."""

    @pytest.fixture
    def course(self) -> Any:
        courses = [
            make_course(f"course-v1:edX+I{n}+R", max_student_enrollments_allowed=9999)
            for n in range(20)
        ]
        users = make_users(2000)
        with transaction.atomic():
            for position, course in enumerate(courses):
                some = users[position * 75 : position * 75 + 500]
                put_in(some, [course])
                CourseAccessRole.objects.create(
                    user=some[0], course_id=course_id_of(course), role="staff"
                )
        refresh_statistics()
        return courses[7]

    def test_the_seats_are_counted_from_an_index_alone(self, course):
        make_user("ada")
        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))
        (count,) = [one for one in statements if "COUNT(" in one]

        plan = plan_of(count)

        assert SEATS[connection.vendor].search(plan), plan

    def test_a_learners_list_begins_with_the_learners_own_rows(self, course):
        with counted() as statements:
            api.get_enrollments(username("learner600"))

        plan = plan_of(statements[0])

        assert OWN_ROWS[connection.vendor].search(plan), plan


#: What the plan of each database says when it reads the index and not the rows.
SEATS = {
    "sqlite": re.compile(r"USING COVERING INDEX enrollments_course_seats_idx"),
    "postgresql": re.compile(r"Index Only Scan using enrollments_course_seats_idx"),
    "mysql": re.compile(r" enrollments_course_seats_idx .*Using index(;|$)", re.M),
}

#: What it says when it finds a learner's rows by the index of the unique constraint.
OWN_ROWS = {
    "sqlite": re.compile(r"SEARCH \w+_courseenrollment USING INDEX \w+ \(user_id="),
    "postgresql": re.compile(r"Index Scan (using|on) \w+_courseenrollment_unique"),
    "mysql": re.compile(r" ref .* \w+_courseenrollment_unique "),
}


def plan_of(statement: str) -> str:
    """Return the database's plan for a statement as text, one step a line."""
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {statement}")
        rows = cursor.fetchall()
    return "".join(" ".join(map(str, row)) + "\n" for row in rows)


def refresh_statistics() -> None:
    """Let the database see how the rows are spread, as it does by itself in time."""
    statements = {
        "sqlite": (),
        # What is not on the disk yet is not marked as seen by all.
        "postgresql": ("SET synchronous_commit TO on", "ANALYZE {}", "VACUUM {}"),
        "mysql": ("ANALYZE TABLE {}",),
    }[connection.vendor]
    with connection.cursor() as cursor:
        for model in (CourseEnrollment, CourseAccessRole):
            for statement in statements:
                cursor.execute(statement.format(model._meta.db_table))
