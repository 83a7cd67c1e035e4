"""Routes, methods and logins of all endpoints, and the statements that each takes."""

from __future__ import annotations

import pytest
from django.urls import NoReverseMatch, resolve, reverse

from django_enrollments import views
from django_enrollments.conf import OPEN_EDX_COURSE_ID_PATTERN
from django_enrollments.models import UserRetirementStatus
from tests.factories import course_id_of, make_course, make_users, username
from tests.http import (
    ALLOW_INACTIVE,
    ROOT,
    client_of,
    count_statements,
    get,
    put,
    send,
)
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

#: Path of each route, its name, the arguments of ``reverse()`` and its view.
ROUTES = [
    ("enrollment", "courseenrollments", {}, views.EnrollmentListView),
    (
        "enrollment/edX/Demo/1",
        "courseenrollment",
        {"course_id": "edX/Demo/1"},
        views.EnrollmentView,
    ),
    (
        "enrollment/ada,edX/Demo/1",
        "courseenrollment",
        {"username": "ada", "course_id": "edX/Demo/1"},
        views.EnrollmentView,
    ),
    ("enrollments", "courseenrollmentsapilist", {}, views.CourseEnrollmentsApiListView),
    (
        "course/edX/Demo/1",
        "courseenrollmentdetails",
        {"course_id": "edX/Demo/1"},
        views.EnrollmentCourseDetailView,
    ),
    (
        "course/edX/Demo/1/eligibility",
        "courseenrollmenteligibility",
        {"course_id": "edX/Demo/1"},
        views.EnrollmentEligibilityView,
    ),
    ("unenroll/", "unenrollment", {}, views.UnenrollmentView),
    ("roles/", "roles", {}, views.EnrollmentUserRolesView),
    (
        "enrollment_allowed/",
        "courseenrollmentallowed",
        {},
        views.EnrollmentAllowedView,
    ),
]
PATHS = [path for path, *_ in ROUTES]
#: Those that need a login.
PERSONAL = [path for path in PATHS if path != "course/edX/Demo/1"]


class TestRoutes:
    @pytest.mark.rule(
        "V1-URL-01", "V1-URL-02", "V1-URL-03", "V1-URL-04", "V1-URL-05", "V1-URL-06"
    )
    @pytest.mark.rule("V1-URL-07", "V1-URL-08", "SEED-DIFF-08")
    @pytest.mark.parametrize(("path", "name", "arguments", "view"), ROUTES)
    def test_are_reversed_by_their_names(self, path, name, arguments, view):
        url = reverse(f"django_enrollments:{name}", kwargs=arguments)

        assert url == f"{ROOT}{path}"
        assert resolve(url).func.cls is view

    @pytest.mark.rule("V1-URL-05")
    def test_are_reversed_with_anything_whose_text_is_the_id(self):
        class Key:
            def __str__(self) -> str:
                return "edX/DemoX/2014T2"

        name = "django_enrollments:courseenrollmentdetails"

        url = reverse(name, kwargs={"course_id": Key()})

        assert url == f"{ROOT}course/edX/DemoX/2014T2"
        with pytest.raises(NoReverseMatch):
            reverse(name, kwargs={"course_id": "django-101/"})

    @pytest.mark.rule("V1-URL-05", "V1-URL-09")
    @pytest.mark.parametrize(
        "path",
        [
            *(f"course/{one}" for one in ("edX/DemoX/2014T2", "Überblick-1", "a")),
            *(f"course/{one}" for one in ("course-v1:edX+D+R", "eligibility")),
            *(f"course/{one}" for one in ("x" * 255, "edX/a/eligibility/eligibility")),
            *(f"enrollment/{one},django-101" for one in ("ada", "Ada_b.c+d-e")),
            *(f"enrollment/{one},django-101" for one in ("ada l", "ада", "a@b.c")),
            *("enrollments", "enrollments/"),
        ],
    )
    def test_accept_valid_ids_and_names(self, boss, path):
        for course_id in {path.partition("/")[2], "edX/a/eligibility", "django-101"}:
            if path.startswith("course/") or course_id == "django-101":
                make_course(course_id or "any", display_name="Any")

        assert get(boss, path).status_code == 200

    @pytest.mark.rule("V1-URL-10", "V1-URL-11", "V1-URL-09", "V1-CRS-04", "V1-URL-04")
    @pytest.mark.parametrize(
        "path",
        [
            *("course/", "course", "course//", "course/" + "x" * 256, "enrollment/"),
            *(f"course/{one}" for one in ("django-101/", "edX/DemoX/2014T2/", "a%20b")),
            *(f"course/{one}" for one in ("a,b", "a%3Fb", "a%23b", "a%00b", "a%0Ab")),
            *(f"course/{one}" for one in ("eligibility/", "a%20b/eligibility")),
            *(f"course/{one}" for one in ("django-101%0A", "a,b/eligibility")),
            *(f"enrollment/{one},django-101" for one in ("a/b", "a;b", "a:b", "a%00")),
            *(f"enrollment/{one},django-101" for one in ("a%0A", "a%25", "a'", "a(b)")),
            *(f"enrollment/{one},django-101" for one in ("", "a%FF")),
            *(f"enrollment/{one}" for one in ("django-101/", "ada,django-101/", "a,")),
            *("enrollments//", "enrollments/x", "enrollments%0A"),
        ],
    )
    def test_accept_no_other_path(self, boss, path):
        make_course("django-101")

        assert get(boss, path).status_code == 404

    @pytest.mark.rule("V1-URL-09", "V1-URL-10")
    @pytest.mark.parametrize(
        ("setting", "pattern", "path"),
        [
            ("COURSE_ID", OPEN_EDX_COURSE_ID_PATTERN, "course/django-101"),
            ("USERNAME", "[0-9]+", "enrollment/ada,django-101"),
        ],
    )
    def test_read_patterns_when_a_request_is_made(
        self, boss, settings, setting, pattern, path
    ):
        make_course("django-101")
        before = get(boss, path).status_code

        setattr(settings, f"ENROLLMENTS_{setting}_PATTERN", pattern)

        assert (before, get(boss, path).status_code) == (200, 404)

    @pytest.mark.rule("V1-URL-11")
    def test_end_in_no_slash_whatever_the_pattern_allows(self, settings):
        settings.ENROLLMENTS_COURSE_ID_PATTERN = r".+"
        make_course("django-101")

        assert get(None, "course/django-101").status_code == 200
        assert get(None, "course/django-101/").status_code == 404

    @pytest.mark.rule("V1-URL-12")
    def test_separate_user_and_course_by_the_first_comma(self, ada, boss, settings):
        settings.ENROLLMENTS_COURSE_ID_PATTERN = r"[\w,-]+"
        put(ada, make_course("b,c"))

        response = get(boss, f"enrollment/{username('ada')},b,c")

        assert response.json()["course_details"]["course_id"] == "b,c"
        # The user "b" in the course "c".
        assert get(ada, "enrollment/b,c").status_code == 404

    @pytest.mark.rule("V1-URL-13")
    def test_redirect_to_the_slash_and_change_nothing_without_it(self, ada, boss):
        response = get(ada, "roles")

        assert (response.status_code, response["Location"]) == (301, f"{ROOT}roles/")
        with nothing_written():
            deleted = send(boss, "DELETE", "enrollment_allowed")
        assert deleted.status_code in {301, 404}


class TestMethods:
    @pytest.mark.rule("V1-URL-14", "V1-ERR-04")
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("path", PATHS)
    def test_that_a_view_does_not_serve_are_a_405(self, boss, path, method):
        boss.is_superuser = True
        boss.save()
        served = {
            "enrollment": {"GET", "POST"},
            "unenroll/": {"POST"},
            "enrollment_allowed/": {"GET", "POST", "DELETE"},
        }.get(path, {"GET"})

        response = send(boss, method, path)

        if method in served:
            assert response.status_code != 405
            return
        key = "developer_message" if path == "enrollments" else "detail"
        assert response.status_code == 405
        assert response.json() == {key: f'Method "{method}" not allowed.'}
        assert {*response["Allow"].split(", ")} == served | {"OPTIONS"} | (
            {"HEAD"} if "GET" in served else set()
        )

    @pytest.mark.rule("V1-URL-14")
    @pytest.mark.parametrize("path", ["enrollments", "course/django-101"])
    def test_include_head_and_options(self, boss, path):
        make_course("django-101")

        head, options = send(boss, "HEAD", path), send(boss, "OPTIONS", path)

        assert (head.status_code, head.content) == (200, b"")
        assert options.status_code == 200
        assert options["Allow"] == "GET, HEAD, OPTIONS"


class TestLogin:
    @pytest.mark.rule("V1-AUTH-11", "V1-ROLE-09")
    @pytest.mark.parametrize("path", PERSONAL)
    def test_is_needed(self, path):
        response = send(None, "POST" if path == "unenroll/" else "GET", path)

        assert response.status_code == 401
        assert response["WWW-Authenticate"] == 'JWT realm="api"'
        assert [*response.json().values()] == [
            "Authentication credentials were not provided."
        ]

    @pytest.mark.rule("V1-AUTH-13")
    @pytest.mark.parametrize(
        "path", [one for one in PERSONAL if one not in {"unenroll/", PERSONAL[2]}]
    )
    def test_may_be_of_an_inactive_user(self, boss, settings, path):
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE
        boss.is_active = False
        boss.save()
        make_course("edX/Demo/1")

        assert get(boss, path).status_code == 200

    @pytest.mark.rule("V1-AUTH-16")
    @pytest.mark.parametrize("path", ["enrollment", "enrollment/edX/Demo/1", "roles/"])
    def test_is_answered_with_a_csrf_cookie(self, ada, path):
        client = client_of(ada)

        first, second = client.get(f"{ROOT}{path}"), client.get(f"{ROOT}{path}")

        assert first.cookies["csrftoken"].value
        assert second.cookies["csrftoken"].value == first.cookies["csrftoken"].value


class TestStatements:
    """Those of other requests are in ``tests/test_query_budgets.py``."""

    @pytest.mark.rule("V1-ADM-23")
    @pytest.mark.parametrize("count", [1, 50])
    def test_of_the_list_of_all_with_every_filter_are_five(self, boss, course, count):
        learners = make_users(count)
        for learner in learners:
            put(learner, course)
        query = {
            "course_id": course_id_of(course),
            "course_ids": "edX",
            "username": ",".join(learner.get_username() for learner in learners),
            "email": ",".join(
                f"learner{number}@example.org" for number in range(count)
            ),
        }
        client = client_of(boss)

        response, statements = count_statements(
            lambda: client.get(f"{ROOT}enrollments", query)
        )

        # Names and addresses are looked up first: databases differ in comparing.
        assert (len(response.json()["results"]), statements) == (count, 5)

    @pytest.mark.parametrize("count", [1, 50])
    def test_of_unenrolling_from_all_courses_are_at_most_eight(self, ada, root, count):
        for number in range(count):
            put(ada, make_course(f"course-{number}"))
        UserRetirementStatus.objects.create(user=ada, original_username="ada")
        client, path = client_of(root), f"{ROOT}unenroll/"

        response, statements = count_statements(
            lambda: client.post(path, {"username": "ada"})
        )

        # Session, user, the request for retirement, and five of the API.
        assert len(response.json()) == count
        assert statements <= 8

    def test_of_an_invitation_are_three(self, boss):
        client, path = client_of(boss), f"{ROOT}enrollment_allowed/"
        body = {"email": "ada@example.org", "course_id": "django-101"}

        response, statements = count_statements(lambda: client.post(path, body))

        assert (response.status_code, statements) == (201, 3)
