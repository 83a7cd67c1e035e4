"""GET enrollment over HTTP (rules V1-LIST, V1-SER)."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_enrollments import api, data
from django_enrollments.backends.permissions import CourseRoleBackend
from django_enrollments.errors import CourseEnrollmentError, EnrollmentNotAllowed
from django_enrollments.importing import DATA_FUNCTIONS
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    get_course_adapter,
)
from django_enrollments.permissions import VIEW_ENROLLMENT_DATA, granted_courses
from tests.factories import (
    HOUR,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    username,
)
from tests.http import ALLOW_INACTIVE, ENROLLMENT, client_of, get, put

pytestmark = pytest.mark.django_db

DJANGO_AUTH_BACKEND = "django_enrollments.backends.permissions.DjangoAuthBackend"


def make_courses(count: int) -> list[Any]:
    courses = [make_course(f"course-v1:edX+C{number}+R") for number in range(count)]
    for course in courses:
        make_mode(course)
    return courses


def give_role(user: Any, course: Any, role: str = "staff") -> None:
    CourseAccessRole.objects.create(
        user=user, org="edX", course_id=course_id_of(course), role=role
    )


def listed(response: Any) -> list[str]:
    """Return the ids of the courses in a list that was answered."""
    assert response.status_code == 200
    return [one["course_details"]["course_id"] for one in response.json()]


class TestOwnList:
    @pytest.mark.rule("V1-LIST-01", "V1-SER-01", "V1-SER-03")
    def test_keys_are_in_order(self) -> None:
        ada = make_user("ada")
        (course,) = make_courses(1)
        put(ada, course)

        response = get(ada)

        (enrollment,) = response.json()
        assert response["Content-Type"] == "application/json"
        assert list(enrollment) == [
            "created",
            "mode",
            "is_active",
            "course_details",
            "user",
        ]
        assert enrollment["created"].endswith("Z")
        assert enrollment["mode"] == "audit"
        assert enrollment["is_active"] is True
        assert enrollment["user"] == username("ada")

    @pytest.mark.rule("V1-LIST-01")
    def test_is_what_the_api_gives(self) -> None:
        ada = make_user("ada")
        for course in make_courses(2):
            put(ada, course)

        assert get(ada).json() == api.get_enrollments(username("ada"))

    @pytest.mark.rule("V1-LIST-01")
    def test_is_empty_for_a_newcomer(self) -> None:
        response = get(make_user("ada"))

        assert (response.status_code, response.content) == (200, b"[]")

    @pytest.mark.rule("V1-LIST-02")
    def test_is_ordered_by_creation_then_key(self) -> None:
        ada = make_user("ada")
        courses = make_courses(3)
        for course in reversed(courses):
            put(ada, course)
        now = timezone.now()
        CourseEnrollment.objects.update(created=now)
        CourseEnrollment.objects.filter(course=courses[0]).update(created=now - HOUR)

        order = listed(get(ada))

        assert order == [course_id_of(courses[n]) for n in (0, 2, 1)]

    @pytest.mark.rule("V1-LIST-03", "B-21")
    def test_leaves_inactive_ones_out(self) -> None:
        ada = make_user("ada")
        stays, left = make_courses(2)
        put(ada, stays)
        put(ada, left, is_active=False)

        assert listed(get(ada)) == [course_id_of(stays)]

    @pytest.mark.rule("V1-LIST-04")
    def test_leaves_deleted_courses_out_and_logs_it(self, caplog: Any) -> None:
        ada = make_user("ada")
        stays, goes = make_courses(2)
        put(ada, stays)
        put(ada, goes)
        goes.delete()

        with caplog.at_level(logging.WARNING, "django_enrollments"):
            response = get(ada)

        assert listed(response) == [course_id_of(stays)]
        assert "deleted courses" in caplog.text

    @pytest.mark.rule("V1-LIST-05")
    def test_the_own_name_may_be_given(self) -> None:
        ada = make_user("ada")
        (course,) = make_courses(1)
        put(ada, course)

        assert listed(get(ada, user=username("ada"))) == [course_id_of(course)]

    @pytest.mark.rule("V1-LIST-15", "SEED-DIFF-02")
    @pytest.mark.parametrize("value", ["1", "false"])
    def test_expired_modes_are_shown_when_asked_for(self, value: str) -> None:
        ada = make_user("ada")
        course = make_course()
        make_mode(course, "audit")
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)
        put(ada, course)

        (without,) = get(ada, include_expired="").json()
        (included,) = get(ada, include_expired=value).json()

        assert [m["slug"] for m in without["course_details"]["course_modes"]] == [
            "audit"
        ]
        assert [m["slug"] for m in included["course_details"]["course_modes"]] == [
            "audit",
            "verified",
        ]

    @pytest.mark.rule("V1-LIST-14")
    def test_a_refusal_is_told(self, monkeypatch: Any) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "get_enrollments", refuse)

        response = get(make_user("ada"))

        assert response.status_code == 400
        assert response.json() == {
            "message": "An error occurred while retrieving enrollments for user "
            f"'{username('ada')}'"
        }

    def test_a_filter_that_vetoes_is_heard(self, settings: Any) -> None:
        settings.ENROLLMENTS_FILTERS = [_veto_lists]

        response = get(make_user("ada"))

        assert response.status_code == 403
        assert response.json() == {"message": "Not today."}

    @pytest.mark.rule("V1-LIST-16")
    @pytest.mark.parametrize("count", [1, 50])
    def test_costs_two_statements_beside_session_and_user(self, count: int) -> None:
        ada = make_user("ada")
        for course in make_courses(count):
            put(ada, course)
        client = client_of(ada)

        with CaptureQueriesContext(connection) as captured:
            response = client.get(ENROLLMENT)

        assert len(response.json()) == count
        assert len(captured) == 4


def _veto_lists(action: str, **context: Any) -> None:
    if action == "queryset":
        raise EnrollmentNotAllowed("Not today.")


class TestListOfAnother:
    @pytest.mark.rule("V1-LIST-05")
    def test_global_staff_sees_all_active_ones(self) -> None:
        ada, boss = make_user("ada"), make_user("boss", is_staff=True)
        first, second, left = make_courses(3)
        put(ada, first)
        put(ada, second)
        put(ada, left, is_active=False)

        response = get(boss, user=username("ada"))

        assert listed(response) == [course_id_of(first), course_id_of(second)]

    @pytest.mark.rule("V1-LIST-05")
    def test_a_grant_without_a_course_is_what_makes_global_staff(
        self, settings: Any
    ) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.ReadersBackend"]
        ada, reader = make_user("ada"), make_user("reader")
        (course,) = make_courses(1)
        put(ada, course)

        assert listed(get(reader, user=username("ada"))) == [course_id_of(course)]
        assert listed(get(ada, user=username("reader"))) == []

    @pytest.mark.rule("V1-AUTH-17")
    def test_a_superuser_is_not_global_staff(self) -> None:
        ada, root = make_user("ada"), make_user("root", is_superuser=True)
        (course,) = make_courses(1)
        put(ada, course)

        assert listed(get(root, user=username("ada"))) == []

    @pytest.mark.rule("V1-LIST-06", "V1-LIST-09", "SEED-DIFF-18")
    @pytest.mark.parametrize("role", ["staff", "instructor", "limited_staff"])
    def test_the_course_team_sees_its_own_course(self, role: str) -> None:
        ada, bea = make_user("ada"), make_user("bea")
        ours, theirs = make_courses(2)
        put(ada, ours)
        put(ada, theirs)
        give_role(bea, ours, role)

        assert listed(get(bea, user=username("ada"))) == [course_id_of(ours)]

    @pytest.mark.rule("V1-LIST-06")
    def test_the_order_is_that_of_the_whole_list(self) -> None:
        ada, bea = make_user("ada"), make_user("bea")
        courses = make_courses(4)
        for course in reversed(courses):
            put(ada, course)
        for course in (courses[1], courses[3], courses[0]):
            give_role(bea, course)

        order = listed(get(bea, user=username("ada")))

        assert order == [course_id_of(courses[n]) for n in (3, 1, 0)]

    @pytest.mark.rule("V1-LIST-11")
    @pytest.mark.parametrize(
        "role",
        [
            "beta_testers",
            "data_researcher",
            "finance_admin",
            "sales_admin",
            "ccx_coach",
            "support",
            "Staff",
        ],
    )
    def test_other_roles_see_nothing(self, role: str) -> None:
        ada, bea = make_user("ada"), make_user("bea")
        (course,) = make_courses(1)
        put(ada, course)
        give_role(bea, course, role)

        assert listed(get(bea, user=username("ada"))) == []

    @pytest.mark.rule("V1-LIST-10")
    @pytest.mark.parametrize("role", ["staff", "instructor"])
    def test_a_role_on_the_organization_sees_nothing(self, role: str) -> None:
        ada, bea = make_user("ada"), make_user("bea")
        (course,) = make_courses(1)
        put(ada, course)
        CourseAccessRole.objects.create(user=bea, org="edX", course_id="", role=role)

        assert listed(get(bea, user=username("ada"))) == []

    @pytest.mark.rule("V1-LIST-07")
    def test_without_any_role_the_list_is_empty(self) -> None:
        ada, bea = make_user("ada"), make_user("bea")
        (course,) = make_courses(1)
        put(ada, course)

        response = get(bea, user=username("ada"))

        assert (response.status_code, response.content) == (200, b"[]")

    @pytest.mark.rule("V1-LIST-08", "V1-LIST-13", "SEED-DIFF-01")
    @pytest.mark.parametrize("is_staff", [False, True])
    @pytest.mark.parametrize(
        "name", ["nobody", "", " ", "\x00", "a\x00b", "x" * 5_000, "ADA", "%", "🎓"]
    )
    def test_who_does_not_exist_has_an_empty_list(
        self, name: str, is_staff: bool
    ) -> None:
        ada, asker = make_user("ada"), make_user("asker", is_staff=is_staff)
        (course,) = make_courses(1)
        put(ada, course)
        give_role(asker, course)

        response = get(asker, user=name)

        assert (response.status_code, response.content) == (200, b"[]")

    @pytest.mark.rule("B-26")
    def test_a_name_in_another_case_is_somebody_else(self) -> None:
        ada = make_user("ada")
        (course,) = make_courses(1)
        put(ada, course)

        assert listed(get(ada, user=username("ada").upper())) == []

    @pytest.mark.rule("V1-LIST-12")
    def test_an_inactive_account_has_no_role_but_its_own_list(
        self, settings: Any
    ) -> None:
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE
        ada, bea = make_user("ada"), make_user("bea", is_active=False)
        (course,) = make_courses(1)
        put(ada, course)
        put(bea, course)
        give_role(bea, course)

        assert listed(get(bea, user=username("ada"))) == []
        assert listed(get(bea)) == [course_id_of(course)]

    def test_a_permission_backend_answers_course_by_course(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.EvenBackend"]
        ada, bea = make_user("ada"), make_user("bea")
        courses = make_courses(3)
        for course in courses:
            put(ada, course)

        seen = listed(get(bea, user=username("ada")))

        assert seen == [course_id_of(courses[0]), course_id_of(courses[2])]

    @pytest.mark.rule("V1-LIST-16")
    @pytest.mark.parametrize("count", [1, 50])
    def test_the_course_team_costs_a_constant_too(self, count: int) -> None:
        ada, bea = make_user("ada"), make_user("bea")
        for course in make_courses(count):
            put(ada, course)
            give_role(bea, course)
        client = client_of(bea)

        with CaptureQueriesContext(connection) as captured:
            response = client.get(ENROLLMENT, {"user": username("ada")})

        assert len(response.json()) == count
        # Session, user, roles, courses, rows, modes.
        assert len(captured) == 6

    @pytest.mark.parametrize("is_on_a_team", [False, True])
    @pytest.mark.parametrize("has_filter", [False, True])
    @pytest.mark.parametrize("more", [[], [DJANGO_AUTH_BACKEND]])
    def test_contract_10_the_work_tells_nothing_of_who_may_not_be_seen(
        self, settings: Any, is_on_a_team: bool, has_filter: bool, more: list[str]
    ) -> None:
        settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            "django_enrollments.backends.permissions.CourseRoleBackend",
            *more,
        ]
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.CountingAdapter"
        settings.ENROLLMENTS_FILTERS = [f"{__name__}.let_pass"] if has_filter else []
        ada, newcomer, bea = make_user("ada"), make_user("newcomer"), make_user("bea")
        own, *courses = make_courses(20)
        for course in courses:
            put(ada, course)
        if is_on_a_team:
            give_role(bea, own)
        client = client_of(bea)
        client.get(ENROLLMENT, {"user": username("newcomer")})

        work = {}
        for user in (ada, newcomer):
            CountingAdapter.courses_read = 0
            with CaptureQueriesContext(connection) as captured:
                response = client.get(ENROLLMENT, {"user": user.get_username()})
            assert (response.status_code, response.content) == (200, b"[]")
            statements = [query["sql"] for query in captured]
            work[user] = (
                [sql.replace(ada.get_username(), "newcomer") for sql in statements],
                CountingAdapter.courses_read,
            )

        statements, courses_read = work[ada]
        assert len(statements) == len(work[newcomer][0])
        assert courses_read == work[newcomer][1] == 0
        # A table that tells of the learner is read only for courses that may be seen.
        table = CourseEnrollment._meta.db_table
        assert sum(table in sql for sql in statements) == is_on_a_team

    def test_contract_10_only_what_may_be_seen_is_read(self, settings: Any) -> None:
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.CountingAdapter"
        ada, bea = make_user("ada"), make_user("bea")
        courses = make_courses(20)
        for course in courses:
            put(ada, course)
        give_role(bea, courses[3])
        CountingAdapter.courses_read = 0

        assert listed(get(bea, user=username("ada"))) == [course_id_of(courses[3])]
        assert CountingAdapter.courses_read == 1

    @pytest.mark.rule("V1-LIST-06")
    def test_roles_on_what_is_no_course_do_not_matter(self) -> None:
        ada, bea = make_user("ada"), make_user("bea")
        (course,) = make_courses(1)
        put(ada, course)
        for text in ("gone", "a b", "x" * 255, course_id_of(course).upper()):
            CourseAccessRole.objects.create(
                user=bea, org="", course_id=text, role="staff"
            )

        assert listed(get(bea, user=username("ada"))) == []

        give_role(bea, course)

        assert listed(get(bea, user=username("ada"))) == [course_id_of(course)]

    @pytest.mark.rule("V1-LIST-06")
    def test_another_data_layer_lists_too(
        self, settings: Any, monkeypatch: Any
    ) -> None:
        def list_by_documented_signature(
            username: str, include_inactive: bool = False
        ) -> list[dict[str, Any]]:
            return data.get_course_enrollments(username, include_inactive)

        other = ModuleType("other_data_layer")
        vars(other).update(
            {name: getattr(data, name) for name in DATA_FUNCTIONS},
            get_course_enrollments=list_by_documented_signature,
        )
        monkeypatch.setitem(sys.modules, other.__name__, other)
        settings.ENROLLMENTS_DATA_API = other.__name__
        ada, bea = make_user("ada"), make_user("bea")
        courses = make_courses(3)
        for course in courses:
            put(ada, course)
        give_role(bea, courses[1])

        assert listed(get(bea, user=username("ada"))) == [course_id_of(courses[1])]

    @pytest.mark.parametrize("error", [CourseEnrollmentError, EnrollmentNotAllowed])
    def test_privacy_a_refusal_tells_nobody_that_there_is_somebody(
        self, monkeypatch: Any, error: type[Exception]
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise error("Ada is on probation.")

        monkeypatch.setattr(api, "get_enrollments", refuse)

        response = get(make_user("bea"), user=username("ada"))

        assert (response.status_code, response.content) == (200, b"[]")


class CountingAdapter(type(get_course_adapter())):  # type: ignore[misc]
    """Counts the courses of which something is read."""

    courses_read = 0

    def facts_from(self, values: Any) -> Any:
        type(self).courses_read += 1
        return super().facts_from(values)


def let_pass(action: str, **context: Any) -> None:
    """Let everything pass, as a filter."""


class ReadersBackend:
    """Lets one user read everybody's enrollments."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        is_reader = user.get_username() == username("reader")
        return is_reader and perm == VIEW_ENROLLMENT_DATA and course is None


class EvenBackend:
    """Grants reading on courses with an even number."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return (
            perm == VIEW_ENROLLMENT_DATA
            and course is not None
            and course_id_of(course)[-3] in "02468"
        )


class VetoOnOne:
    """Vetoes one course, whatever later backends say."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        if course is not None and course_id_of(course) == "course-v1:edX+C1+R":
            raise PermissionDenied("Secret.")
        return False


class StricterRoles(CourseRoleBackend):
    """Grants nothing that its base would, by ``has_perm`` alone."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        return False


class GrantsNobody(CourseRoleBackend):
    """Grants nothing that its base would, by ``grants`` alone."""

    def grants(self, users: Any, perm: str, course: Any = None) -> set[Any]:
        return set()


class TestGrantedCourses:
    ROLES = "django_enrollments.backends.permissions.CourseRoleBackend"

    def test_keeps_the_order_of_the_courses(self) -> None:
        bea = make_user("bea")
        courses = make_courses(3)
        for course in courses[1:]:
            give_role(bea, course)

        granted = granted_courses(bea, VIEW_ENROLLMENT_DATA, reversed(courses))

        assert granted == [courses[2], courses[1]]

    def test_grants_global_staff_all(self) -> None:
        boss = make_user("boss", is_staff=True)
        courses = make_courses(2)

        assert granted_courses(boss, VIEW_ENROLLMENT_DATA, courses) == courses

    def test_a_veto_stands_whatever_comes_after_it(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            f"{__name__}.VetoOnOne",
            self.ROLES,
        ]
        bea = make_user("bea")
        courses = make_courses(3)
        for course in courses:
            give_role(bea, course)

        granted = granted_courses(bea, VIEW_ENROLLMENT_DATA, courses)

        assert granted == [courses[0], courses[2]]

    def test_backends_add_up(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            self.ROLES,
            f"{__name__}.EvenBackend",
        ]
        bea = make_user("bea")
        courses = make_courses(4)
        give_role(bea, courses[1])

        granted = granted_courses(bea, VIEW_ENROLLMENT_DATA, courses)

        assert granted == courses[:3]

    @pytest.mark.parametrize("backend", ["StricterRoles", "GrantsNobody"])
    def test_a_subclass_is_asked_by_the_method_that_it_has(
        self, settings: Any, backend: str
    ) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.{backend}"]
        bea = make_user("bea")
        courses = make_courses(2)
        for course in courses:
            give_role(bea, course)

        assert granted_courses(bea, VIEW_ENROLLMENT_DATA, courses) == []

    def test_without_courses_there_is_nothing_to_ask(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            granted = granted_courses(make_user("bea"), VIEW_ENROLLMENT_DATA, [])

        assert granted == []
        assert not [q for q in captured.captured_queries if "role" in q["sql"]]


@pytest.mark.rule("V1-URL-15")
@pytest.mark.skipif(
    not is_default_host(), reason="The other host's usernames are e-mail addresses."
)
def test_a_name_with_a_plus_must_be_encoded_by_the_client() -> None:
    boss = make_user("boss", is_staff=True)
    ada = make_user("ada+1")
    (course,) = make_courses(1)
    put(ada, course)
    client = client_of(boss)

    assert listed(client.get(f"{ENROLLMENT}?user=ada%2B1")) == [course_id_of(course)]
    assert listed(client.get(f"{ENROLLMENT}?user=ada+1")) == []
