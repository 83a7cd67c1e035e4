"""GET enrollment over HTTP."""

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
from django_enrollments.data import DATA_FUNCTIONS
from django_enrollments.errors import CourseEnrollmentError, EnrollmentNotAllowed
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    get_course_adapter,
)
from django_enrollments.permissions import VIEW_ENROLLMENT_DATA
from django_enrollments.policies import Requester
from tests.factories import (
    HOUR,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    username,
)
from tests.http import ALLOW_INACTIVE, ENROLLMENT, assert_refused, client_of, get, put

pytestmark = pytest.mark.django_db

ROLES = "django_enrollments.backends.permissions.CourseRoleBackend"
DJANGO_AUTH = "django_enrollments.backends.permissions.DjangoAuthBackend"


@pytest.fixture
def courses(ada):
    """Four courses in which ada is enrolled."""
    courses = [make_course(f"course-v1:edX+C{number}+R") for number in range(4)]
    for course in courses:
        make_mode(course)
        put(ada, course)
    return courses


def give_role(user, course, role: str = "staff"):
    CourseAccessRole.objects.create(
        user=user, org="edX", course_id=course_id_of(course), role=role
    )


def listed(response) -> list[str]:
    """Return the ids of the courses in a list."""
    assert response.status_code == 200
    return [one["course_details"]["course_id"] for one in response.json()]


def of_ada(requester) -> list[int]:
    """Return the numbers of the courses of ada that a requester is shown."""
    ids = listed(get(requester, user=username("ada")))
    return [int(course_id[-3]) for course_id in ids]


def assert_empty(response):
    assert (response.status_code, response.content) == (200, b"[]")


class TestOwnList:
    @pytest.mark.rule("V1-LIST-01", "V1-SER-01", "V1-SER-03")
    def test_is_the_list_of_the_api_with_keys_in_order(self, ada, courses):
        response = get(ada)

        enrollment, *_ = response.json()
        assert response["Content-Type"] == "application/json"
        assert response.json() == api.get_enrollments(username("ada"))
        assert list(enrollment) == [
            *("created", "mode", "is_active", "course_details", "user")
        ]
        assert enrollment["created"].endswith("Z")
        assert (enrollment["mode"], enrollment["is_active"]) == ("audit", True)
        assert enrollment["user"] == username("ada")

    @pytest.mark.rule("V1-LIST-01")
    def test_is_empty_without_enrollments(self, ada):
        assert_empty(get(ada))

    @pytest.mark.rule("V1-LIST-02", "V1-LIST-05")
    def test_is_ordered_by_creation_then_key(self, ada, courses):
        now = timezone.now()
        CourseEnrollment.objects.update(created=now)
        CourseEnrollment.objects.filter(course=courses[2]).update(created=now - HOUR)

        assert of_ada(ada) == [2, 0, 1, 3]

    @pytest.mark.rule("V1-LIST-03", "V1-LIST-04", "B-21")
    def test_leaves_out_inactive_ones_and_deleted_courses(self, ada, courses, caplog):
        CourseEnrollment.unenroll(ada, course_id_of(courses[1]))
        courses[2].delete()

        with caplog.at_level(logging.WARNING, "django_enrollments"):
            assert of_ada(ada) == [0, 3]

        assert "deleted courses" in caplog.text

    @pytest.mark.rule("V1-LIST-15", "SEED-DIFF-02")
    @pytest.mark.parametrize(
        ("value", "slugs"),
        [("", "audit"), ("1", "audit verified"), ("false", "audit verified")],
    )
    def test_shows_expired_modes_on_request(self, ada, course, value, slugs):
        for mode in course.django_enrollments_coursemode_set.exclude(mode_slug="audit"):
            mode.expiration_datetime = timezone.now() - HOUR
            mode.save() if mode.mode_slug == "verified" else mode.delete()
        put(ada, course)

        (enrollment,) = get(ada, include_expired=value).json()

        modes = enrollment["course_details"]["course_modes"]
        assert [mode["slug"] for mode in modes] == slugs.split()

    @pytest.mark.rule("V1-LIST-14")
    def test_that_is_refused_is_a_400(self, ada, monkeypatch):
        def refuse(*args, **kwargs):
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "get_enrollments", refuse)

        text = "An error occurred while retrieving enrollments for user"
        assert_refused(get(ada), 400, f"{text} '{username('ada')}'")

    def test_that_a_filter_refuses_is_a_403(self, ada, settings):
        settings.ENROLLMENTS_FILTERS = [refuse_lists]

        assert_refused(get(ada), 403, "Not today.")


def refuse_lists(action: str, **context):
    if action == "queryset":
        raise EnrollmentNotAllowed("Not today.")


class TestListOfAnother:
    @pytest.mark.rule("V1-LIST-05")
    def test_has_all_active_ones_for_global_staff(self, ada, boss, courses):
        CourseEnrollment.unenroll(ada, course_id_of(courses[3]))

        assert of_ada(boss) == [0, 1, 2]

    @pytest.mark.rule("V1-LIST-05")
    def test_has_all_for_readers_of_any_course(self, ada, courses, settings):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.Readers"]
        reader = make_user("reader")

        assert of_ada(reader) == [0, 1, 2, 3]
        assert_empty(get(ada, user=username("reader")))

    @pytest.mark.rule("V1-LIST-06", "V1-LIST-09", "SEED-DIFF-18")
    @pytest.mark.parametrize("role", ["staff", "instructor", "limited_staff"])
    def test_has_the_courses_of_the_team_in_order(self, bea, courses, role):
        for number in (1, 3, 0):
            give_role(bea, courses[number], role)

        assert of_ada(bea) == [0, 1, 3]

    @pytest.mark.rule("V1-LIST-07", "V1-LIST-10", "V1-LIST-11", "V1-AUTH-17")
    @pytest.mark.parametrize(
        "role",
        [
            *("beta_testers", "data_researcher", "finance_admin", "sales_admin"),
            *("ccx_coach", "support", "Staff"),
            *("staff on the organization", "instructor on the organization", None),
        ],
    )
    def test_is_empty_without_a_role_on_the_course(self, bea, root, courses, role):
        if role and role.endswith("organization"):
            CourseAccessRole.objects.create(
                user=bea, org="edX", course_id="", role=role.split()[0]
            )
        elif role:
            give_role(bea, courses[0], role)

        for requester in (bea, root):
            assert_empty(get(requester, user=username("ada")))

    @pytest.mark.rule("V1-LIST-08", "V1-LIST-13", "SEED-DIFF-01", "B-26")
    @pytest.mark.parametrize(
        "name",
        [
            *("nobody", "", " ", "\x00", "a\x00b", "x" * 5_000, "%", "🎓"),
            username("ada").upper(),
        ],
    )
    def test_is_empty_for_no_user(self, bea, boss, courses, name):
        give_role(bea, courses[0])

        for requester in (bea, boss):
            assert_empty(get(requester, user=name))

    @pytest.mark.rule("V1-LIST-12")
    def test_is_empty_for_inactive_team_members(self, courses, settings):
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE
        carl = make_user("carl", is_active=False)
        put(carl, courses[0])
        give_role(carl, courses[0])

        assert of_ada(carl) == []
        assert listed(get(carl)) == [course_id_of(courses[0])]

    def test_has_the_courses_that_a_backend_grants(self, bea, courses, settings):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.EvenCourses"]

        assert of_ada(bea) == [0, 2]

    @pytest.mark.rule("V1-LIST-06")
    def test_ignores_roles_on_anything_but_courses(self, bea, courses):
        course_id = course_id_of(courses[0])
        for text in ("gone", "a b", "x" * 255, course_id.upper()):
            CourseAccessRole.objects.create(
                user=bea, org="", course_id=text, role="staff"
            )
        before = of_ada(bea)

        give_role(bea, courses[0])

        assert (before, of_ada(bea)) == ([], [0])

    @pytest.mark.rule("V1-LIST-06")
    def test_may_come_from_another_data_layer(
        self, bea, courses, settings, monkeypatch
    ):
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
        give_role(bea, courses[1])

        assert of_ada(bea) == [1]

    @pytest.mark.parametrize("error", [CourseEnrollmentError, EnrollmentNotAllowed])
    def test_is_empty_if_it_is_refused(self, bea, monkeypatch, error):
        def refuse(*args, **kwargs):
            raise error("Ada is on probation.")

        monkeypatch.setattr(api, "get_enrollments", refuse)

        assert_empty(get(bea, user=username("ada")))

    @pytest.mark.rule("V1-URL-15")
    @pytest.mark.skipif(
        not is_default_host(), reason="The other host's usernames are e-mail addresses."
    )
    def test_needs_an_encoded_plus_in_the_name(self, boss, course):
        put(make_user("ada+1"), course)
        client = client_of(boss)

        assert listed(client.get(f"{ENROLLMENT}?user=ada%2B1"))
        assert_empty(client.get(f"{ENROLLMENT}?user=ada+1"))


class TestWork:
    """The time of a response must not depend on a learner whom one may not see."""

    @pytest.fixture(autouse=True)
    def _adapter(self, settings, courses):
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.CountingAdapter"
        CountingAdapter.courses_read = 0

    @pytest.mark.parametrize("is_on_a_team", [False, True])
    @pytest.mark.parametrize("has_filter", [False, True])
    @pytest.mark.parametrize("more", [[], [DJANGO_AUTH]])
    def test_is_the_same_for_every_hidden_learner(
        self, bea, courses, settings, is_on_a_team, has_filter, more
    ):
        settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [ROLES, *more]
        settings.ENROLLMENTS_FILTERS = [f"{__name__}.accept"] if has_filter else []
        if is_on_a_team:
            give_role(bea, make_course("course-v1:edX+Own+R"))
        make_user("newcomer")
        client = client_of(bea)
        client.get(ENROLLMENT, {"user": username("newcomer")})

        work = []
        for name in ("ada", "newcomer"):
            with CaptureQueriesContext(connection) as captured:
                assert_empty(client.get(ENROLLMENT, {"user": username(name)}))
            work.append([query["sql"] for query in captured])

        assert len(work[0]) == len(work[1])
        assert CountingAdapter.courses_read == 0
        # Rows of the learner are read only for courses that may be seen.
        table = CourseEnrollment._meta.db_table
        assert sum(table in sql for sql in work[0]) == is_on_a_team

    def test_reads_only_courses_that_may_be_seen(self, bea, courses):
        give_role(bea, courses[3])

        assert of_ada(bea) == [3]
        assert CountingAdapter.courses_read == 1


class CountingAdapter(type(get_course_adapter())):  # type: ignore[misc]
    """Counts the courses that are read."""

    courses_read = 0

    def facts_from(self, values):
        type(self).courses_read += 1
        return super().facts_from(values)


def accept(action: str, **context):
    """Change nothing, as a filter."""


class Readers:
    """Grants one user to read the enrollments of all others."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        is_reader = user.get_username() == username("reader")
        return is_reader and perm == VIEW_ENROLLMENT_DATA and course is None


class EvenCourses:
    """Grants reading on courses with an even number."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        if perm != VIEW_ENROLLMENT_DATA or course is None:
            return False
        return course_id_of(course)[-3] in "02468"


class DeniesOne:
    """Denies one course, whatever later backends grant."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        if course is not None and course_id_of(course) == "course-v1:edX+C1+R":
            raise PermissionDenied("Secret.")
        return False


class StricterRoles(CourseRoleBackend):
    """Grants nothing, by ``has_perm`` alone."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        return False


class GrantsNone(CourseRoleBackend):
    """Grants nothing, by ``grants`` alone."""

    def grants(self, users, perm: str, course=None) -> set[Any]:
        return set()


class TestGrantedCourses:
    @pytest.mark.parametrize(
        ("backends", "roles", "granted"),
        [
            ([ROLES], [1, 2], [1, 2]),
            ([ROLES], [], []),
            (["DeniesOne", ROLES], [0, 1, 2, 3], [0, 2, 3]),
            ([ROLES, "EvenCourses"], [1], [0, 1, 2]),
            (["StricterRoles"], [0, 1], []),
            (["GrantsNone"], [0, 1], []),
        ],
    )
    def test_are_those_of_all_backends_in_the_given_order(
        self, bea, courses, settings, backends, roles, granted
    ):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [
            one if "." in one else f"{__name__}.{one}" for one in backends
        ]
        for number in roles:
            give_role(bea, courses[number])

        found = Requester(bea).visible_courses(reversed(courses))

        assert found == [courses[number] for number in reversed(granted)]

    def test_are_all_for_global_staff(self, boss, courses):
        assert Requester(boss).visible_courses(courses) == courses

    def test_take_no_statement_without_courses(self, bea):
        with CaptureQueriesContext(connection) as captured:
            assert Requester(bea).visible_courses([]) == []

        assert not [query for query in captured if "role" in query["sql"]]
