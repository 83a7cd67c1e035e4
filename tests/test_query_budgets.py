"""
How many SQL statements a call takes, transaction control aside.

Every budget holds within a transaction of the caller's as well as in autocommit.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, nullcontext
from functools import partial

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

_TRANSACTION_CONTROL = re.compile(r"BEGIN|SAVEPOINT|RELEASE|COMMIT|ROLLBACK")

#: What makes a transaction of the caller's a writer on SQLite, once and first.
_BECOME_WRITER = re.compile(r'UPDATE "(\w+)" SET "id" = "id" WHERE "id" = 0')


@pytest.fixture(
    params=[
        pytest.param("caller's transaction", marks=pytest.mark.django_db),
        pytest.param("autocommit", marks=pytest.mark.django_db(transaction=True)),
    ]
)
def _in_and_out_of_a_transaction():
    """Run a test twice; the marks of the parameters make the difference."""


service = EnrollmentsService()

in_and_out_of_a_transaction = pytest.mark.usefixtures("_in_and_out_of_a_transaction")


@contextmanager
def counted():
    """List the SQL statements of a block, transaction control aside, at its end."""
    statements = []
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


def make_courses(count):
    """Make courses that offer audit, in one commit."""
    with transaction.atomic():
        courses = [make_course(f"course-v1:edX+Q{n}+R") for n in range(count)]
        for course in courses:
            make_mode(course)
    return courses


def put_in(users, courses, *, mode="audit"):
    """Insert a row for each user and course, without any rule."""
    rows = [
        CourseEnrollment(user=user, course=course, mode=mode)
        for user in users
        for course in courses
    ]
    return CourseEnrollment.objects.bulk_create(rows)


def names_of(users):
    return [user.get_username() for user in users]


def invite(users, course):
    CourseEnrollmentAllowed.objects.bulk_create(
        CourseEnrollmentAllowed(email=user.email, course_id=course_id_of(course))
        for user in users
    )


def growing(counts, add, call):
    """
    Return the numbers of statements of a call among more and more rows.

    Args:
        counts: How many rows there are at each call.
        add: Adds the rows from a first number to a last.
        call: Is counted, and returns how many rows it has seen.
    """
    taken = {}
    done = 0
    for count in counts:
        add(done, count)
        done = count
        with counted() as statements:
            seen = call()
        taken[seen] = len(statements)
    return taken


@in_and_out_of_a_transaction
class TestLists:
    @pytest.fixture
    def ada(self, _in_and_out_of_a_transaction):
        return make_user("ada")

    @pytest.mark.rule("PERF-01")
    def test_take_two_for_1_and_for_1000(self, ada):
        courses = make_courses(1000)

        taken = growing(
            (1, 50, 500, 1000),
            lambda first, end: put_in([ada], courses[first:end]),
            lambda: len(api.get_enrollments(username("ada"))),
        )

        assert taken == {1: 2, 50: 2, 500: 2, 1000: 2}

    def test_take_one_more_under_a_queryset_filter_for_1_and_for_50(
        self, ada, settings
    ):
        def only_active(action, **context):
            if action != "queryset":
                return None
            return {"queryset": context["queryset"].filter(is_active=True)}

        settings.ENROLLMENTS_FILTERS = [only_active]
        courses = make_courses(50)

        taken = growing(
            (1, 50),
            lambda first, end: put_in([ada], courses[first:end]),
            lambda: len(api.get_enrollments(username("ada"))),
        )

        assert taken == {1: 3, 50: 3}

    def test_take_two_for_inactive_expired_and_verified_ones(self, ada):
        put_in([ada], make_courses(50), mode="verified")

        with counted() as verified:
            assert len(api.get_verified_enrollments(username("ada"))) == 50
        CourseEnrollment.objects.update(is_active=False)
        with counted() as inactive:
            listed = api.get_enrollments(
                username("ada"), include_inactive=True, include_expired=True
            )

        assert len(listed) == 50
        assert len(verified) == len(inactive) == 2, (verified, inactive)

    def test_take_one_where_there_is_nothing(self, ada, course):
        with counted() as listed:
            assert api.get_enrollments(username("ada")) == []
        with counted() as single:
            assert api.get_enrollment(username("ada"), course_id_of(course)) is None

        assert len(listed) == len(single) == 1, (listed, single)

    def test_take_two_for_a_single_enrollment(self, ada, course):
        put_in([ada], [course])

        with counted() as statements:
            assert api.get_enrollment(username("ada"), course_id_of(course))

        assert len(statements) == 2, statements

    def test_take_two_for_querysets_and_lists_of_1_and_of_200(self, ada):
        courses = make_courses(200)

        taken = growing(
            (1, 200),
            lambda first, end: put_in([ada], courses[first:end]),
            lambda: len(api.serialize_enrollments(CourseEnrollment.objects.all())),
        )
        rows = list(CourseEnrollment.objects.all())
        for count in (1, 200):
            with counted() as statements:
                api.serialize_enrollments(rows[:count])
            assert len(statements) == 2, statements

        assert taken == {1: 2, 200: 2}

    def test_take_one_for_rows_that_bring_user_and_course(self, ada):
        put_in([ada], make_courses(20))
        rows = list(CourseEnrollment.objects.select_related("user", "course"))

        with counted() as statements:
            api.serialize_enrollments(rows)

        assert len(statements) == 1, statements

    @pytest.mark.rule("SVC-07")
    @pytest.mark.parametrize("text_search", [None, "EXAMPLE"])
    def test_take_one_for_learners_of_proctored_exams(self, text_search):
        course = make_course(enable_proctored_exams=True)
        users = make_users(50)

        found = []

        def fill_course(first, end):
            put_in(users[first:end], [course], mode="verified")
            found[:] = [
                service.get_enrollments_can_take_proctored_exams(
                    course_id_of(course), text_search
                )
            ]

        taken = growing(
            (10, 25, 50),
            fill_course,
            lambda: len([(row.username, row.user.email) for row in found[0]]),
        )

        assert taken == {10: 1, 25: 1, 50: 1}


def by_name(function, *args, **options):
    """Return a call with the username and the course id."""
    return lambda user, course: function(
        user.get_username(), course_id_of(course), *args, **options
    )


def by_key(function, *args):
    """Return a call with the key of the user and the course id."""
    return lambda user, course: function(user.pk, course_id_of(course), *args)


def attributes(count):
    return [{"namespace": "a", "name": f"line{n}", "value": "7"} for n in range(count)]


add = by_name(api.add_enrollment)
add_one, add_20 = (
    by_name(api.add_enrollment, enrollment_attributes=attributes(count))
    for count in (1, 20)
)
activate = by_name(api.update_enrollment, is_active=True)
deactivate = by_name(api.update_enrollment, is_active=False)
change_by_key = by_key(service.change_mode, "verified")
enroll_with_two = partial(service.enroll, attributes=attributes(2))
LEFT = {"is_active": False}
LEFT_VERIFIED = {"mode": "verified", "is_active": False}

#: The number of statements at most, a call, and what there is before it: ``seats`` and
#: ``by_invitation`` of the course, ``row``, the fields of the learner's enrollment,
#: ``others``, how many learners are in, and whether the learner is ``invited``.
CALLS = {
    "add": (7, add, {}),
    "add again in another mode": (7, add, {"row": LEFT_VERIFIED}),
    "add to a seat": (9, add, {"seats": 1}),
    "add again to a seat": (9, add, {"seats": 1, "row": LEFT}),
    "add to one of many seats": (9, add, {"seats": 1000, "others": 500}),
    "add and use an invitation": (8, add, {"invited": True}),
    "add by an invitation": (9, add, {"by_invitation": True, "invited": True}),
    "add with an attribute": (12, add_one, {}),
    "add with 20 attributes": (12, add_20, {}),
    "refuse an active learner": (4, add, {"row": {}}),
    "refuse for want of a seat": (9, add, {"seats": 1, "others": 1}),
    "change the mode": (5, by_name(api.update_enrollment, "verified"), {"row": {}}),
    "deactivate": (5, deactivate, {"row": {}}),
    "activate to a seat": (7, activate, {"seats": 1, "row": LEFT}),
    "change nothing": (3, activate, {"row": {}}),
    "service: enroll by keys": (7, by_key(service.enroll), {}),
    "service: enroll": (6, service.enroll, {}),
    "service: enroll to a seat": (8, service.enroll, {"seats": 1}),
    "service: enroll with attributes": (10, enroll_with_two, {}),
    "service: unenroll by keys": (5, by_key(service.unenroll), {"row": {}}),
    "service: unenroll": (4, service.unenroll, {"row": {}}),
    "service: change the mode by keys": (6, change_by_key, {"row": {}}),
    "service: find whether a user is enrolled": (1, service.is_enrolled, {"row": {}}),
    "model: enroll": (6, CourseEnrollment.enroll, {}),
    "model: unenroll": (4, CourseEnrollment.unenroll, {"row": {}}),
}

#: The errors of calls that refuse.
ERRORS = {
    "refuse an active learner": CourseEnrollmentExistsError,
    "refuse for want of a seat": CourseEnrollmentFullError,
}


@in_and_out_of_a_transaction
class TestSingleCalls:
    @pytest.mark.rule("B-05")
    @pytest.mark.parametrize("name", CALLS)
    def test_take_no_more(self, name):
        most, call, before = CALLS[name]
        course = make_course(
            max_student_enrollments_allowed=before.get("seats"),
            invitation_only=before.get("by_invitation", False),
            modes=["audit", "verified"],
        )
        ada = make_user("ada")
        put_in(make_users(before.get("others", 0)), [course])
        if "row" in before:
            CourseEnrollment.objects.create(user=ada, course=course, **before["row"])
        if "invited" in before:
            invite([ada], course)
        error = ERRORS.get(name)

        with counted() as statements, pytest.raises(error) if error else nullcontext():
            call(ada, course)

        assert len(statements) <= most, statements
        invitations = CourseEnrollmentAllowed.objects.all()
        assert {invitation.user for invitation in invitations} <= {ada}

    @pytest.mark.parametrize("modes", [("audit",), ("audit", "honor", "verified")])
    def test_take_five_to_unenroll_from_100_courses(self, modes):
        user = make_user("ada")
        courses = make_courses(100)
        for position, mode in enumerate(modes):
            put_in([user], courses[position :: len(modes)], mode=mode)

        with counted() as statements:
            api.unenroll_user_from_all_courses(username("ada"))

        assert EnrollmentEvent.objects.count() == 100
        assert not CourseEnrollment.objects.active().exists()
        kept = CourseEnrollment.objects.filter(mode=modes[0]).count()
        assert kept == -(-100 // len(modes))
        assert len(statements) <= 5, statements

    def test_take_six_to_explain_a_course_of_1_and_of_200(self):
        course = make_course(max_student_enrollments_allowed=1)
        make_user("ada")
        users = make_users(200)

        taken = growing(
            (1, 200),
            lambda first, end: put_in(users[first:end], [course]),
            lambda: api.explain_enrollment(username("ada"), course_id_of(course))[
                "seats"
            ]["taken"],
        )

        assert taken == {1: 6, 200: 6}

    def test_take_eight_to_explain_where_every_rule_refuses(self):
        course = make_course(
            max_student_enrollments_allowed=0, invitation_only=True, modes=["verified"]
        )
        make_user("ada")

        with counted() as statements:
            explained = api.explain_enrollment(username("ada"), course_id_of(course))

        assert [reason["code"] for reason in explained["reasons"]] == [
            "mode_unavailable",
            "invitation_only",
            "course_full",
        ]
        assert len(statements) <= 8, statements


#: The status of every row, the number of statements, the arguments of the call, and
#: what there is before it: the seats of the course, whether the learners have rows that
#: are active, the mode of every second row, and whether the learners are invited.
BULKS = {
    "enroll": ("created", 9, {}, {"seats": 1000}),
    "enroll again": (
        "reactivated",
        9,
        {},
        {"seats": 1000, "is_active": False, "mode": "verified"},
    ),
    "change the mode": ("mode_changed", 6, {"mode": "verified"}, {"is_active": True}),
    "unenroll": (
        "deactivated",
        5,
        {"action": "unenroll"},
        {"is_active": True, "mode": "verified"},
    ),
    "use invitations": ("created", 10, {}, {"seats": 1000, "invited": True}),
}


@in_and_out_of_a_transaction
class TestBulkEnroll:
    @pytest.mark.parametrize(
        ("status", "expected", "options", "before"),
        [pytest.param(*one, id=name) for name, one in BULKS.items()],
    )
    def test_takes_the_same_for_400_and_for_200(
        self, status, expected, options, before
    ):
        course = make_course(
            max_student_enrollments_allowed=before.get("seats"),
            modes=["audit", "verified"],
        )
        users = make_users(600)
        if "is_active" in before:
            put_in(users[::2], [course])
            put_in(users[1::2], [course], mode=before.get("mode", "audit"))
            CourseEnrollment.objects.update(is_active=before["is_active"])
        if before.get("invited"):
            invite(users, course)
        taken = []

        for some in (users[:200], users[200:]):
            with counted() as statements:
                results = api.bulk_enroll(
                    course_id_of(course), names_of(some), **options
                )
            taken.append(len(statements))

        assert {result["status"] for result in results} == {status}
        assert not CourseEnrollmentAllowed.objects.unused().exists()
        assert taken == [expected, expected]

    def test_takes_six_for_400_and_for_200_instances(self, course):
        users = make_users(600)
        taken = []

        for some in (users[:200], users[200:]):
            with counted() as statements:
                service.bulk_enroll(course, some)
            taken.append(len(statements))

        assert taken == [6, 6]

    def test_takes_four_to_invite_and_to_take_back_and_one_to_look_again(self, course):
        emails = [f"new{n}@example.org" for n in range(600)]
        taken = {"invited": [], "uninvited": []}

        for action in ("enroll", "unenroll"):
            for some in (emails[:200], emails[200:]):
                with counted() as statements:
                    results = api.bulk_enroll(
                        course_id_of(course), emails=some, action=action
                    )
                (status,) = {result["status"] for result in results}
                taken[status].append(len(statements))

        # Within a transaction, looking again waits for the commit.
        assert taken["invited"] in ([4, 4], [5, 5])
        assert taken["uninvited"] == [4, 4]

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


def fill(first, count):
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
    ("boss", "GET enrollments/?course_ids=edX", None, 4),
    ("ada", "GET roles/", None, 4),
    ("boss", "GET enrollment_allowed/?email=ada@example.org", None, 3),
]


@pytest.mark.django_db
class TestEndpoints:
    @pytest.mark.rule("V1-LIST-16", "V1-ADM-23")
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


@pytest.mark.django_db(transaction=True)
class TestIndexes:
    """The plans of the statements that calls really send, over 10,000 rows."""

    @pytest.fixture
    def course(self):
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

    def test_serve_the_count_of_seats_and_the_list_of_a_learner(self, course):
        make_user("ada")
        with counted() as statements:
            api.add_enrollment(username("ada"), course_id_of(course))
        (count,) = [one for one in statements if "COUNT(" in one]
        with counted() as listing:
            api.get_enrollments(username("learner600"))

        seats, own_rows = plan_of(count), plan_of(listing[0])

        assert SEATS[connection.vendor].search(seats), seats
        assert OWN_ROWS[connection.vendor].search(own_rows), own_rows


#: The plan of each database that reads the index and not the rows.
SEATS = {
    "sqlite": re.compile(r"USING COVERING INDEX enrollments_course_seats_idx"),
    "postgresql": re.compile(r"Index Only Scan using enrollments_course_seats_idx"),
    "mysql": re.compile(r" enrollments_course_seats_idx .*Using index(;|$)", re.M),
}

#: The plan that finds a learner's rows by the index of the unique constraint.
OWN_ROWS = {
    "sqlite": re.compile(r"SEARCH \w+_courseenrollment USING INDEX \w+ \(user_id="),
    "postgresql": re.compile(r"Index Scan (using|on) \w+_courseenrollment_unique"),
    "mysql": re.compile(r" ref .* \w+_courseenrollment_unique "),
}


def plan_of(statement):
    """Return the database's plan for a statement as text, one step a line."""
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {statement}")
        rows = cursor.fetchall()
    return "".join(" ".join(map(str, row)) + "\n" for row in rows)


def refresh_statistics():
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
