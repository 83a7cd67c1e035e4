"""GET enrollments, the list of all, over HTTP (rules V1-ADM, UTIL)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from django.utils import timezone

from django_enrollments.forms import CourseEnrollmentsApiListForm
from django_enrollments.models import CourseAccessRole, CourseEnrollment
from django_enrollments.paginators import (
    CourseEnrollmentsApiListPagination,
    Position,
)
from django_enrollments.permissions import VIEW_ENROLLMENT_DATA
from django_enrollments.serializers import CourseEnrollmentsApiListSerializer
from django_enrollments.views import CourseEnrollmentsApiListView
from tests.factories import (
    HOUR,
    NOON,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.http import ALLOW_INACTIVE, ROOT, client_of, headers_of, put

pytestmark = pytest.mark.django_db

PATH = f"{ROOT}enrollments"


@pytest.fixture
def boss() -> Any:
    return make_user("boss", is_staff=True)


def ask(user: Any, /, **query: Any) -> Any:
    return client_of(user).get(PATH, query)


def results(user: Any, /, **query: Any) -> list[dict[str, Any]]:
    response = ask(user, **query)
    assert response.status_code == 200, response.content
    return response.json()["results"]


def pairs(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["user"].partition("@")[0], row["course_id"]) for row in rows]


def errors(user: Any, /, **query: Any) -> dict[str, str]:
    response = ask(user, **query)
    assert response.status_code == 400
    told = response.json()
    assert list(told) == ["field_errors"]
    return {
        field: error["developer_message"]
        for field, error in told["field_errors"].items()
    }


def fill(count: int, course: Any = None, *, created: Any = None) -> None:
    """Put learners into a course, all at one moment or one after the other."""
    if course is None:
        course = make_course("course-v1:edX+Many+R")
    learners = make_users(count)
    CourseEnrollment.objects.bulk_create(
        CourseEnrollment(
            user=learner, course=course, created=created or NOON + number * HOUR
        )
        for number, learner in enumerate(learners)
    )


def walk(user: Any, url: str = PATH, way: str = "next") -> list[list[dict[str, Any]]]:
    client, pages, here = client_of(user), [], url
    while here:
        page = client.get(here).json()
        pages.append(page["results"])
        here = page[way]
        assert len(pages) < 300
    return pages


class TestUrl:
    @pytest.mark.rule("V1-URL-04")
    def test_the_slash_is_optional(self, boss: Any) -> None:
        assert reverse("django_enrollments:courseenrollmentsapilist") == PATH
        for path in (PATH, f"{PATH}/"):
            assert resolve(path).func.cls is CourseEnrollmentsApiListView
            assert client_of(boss).get(path).status_code == 200

    @pytest.mark.rule("V1-URL-04")
    def test_nothing_may_follow(self, boss: Any) -> None:
        for path in (f"{PATH}//", f"{PATH}/x", f"{PATH}%0A"):
            assert client_of(boss).get(path).status_code == 404

    @pytest.mark.rule("V1-URL-14", "V1-ERR-04")
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_other_methods_are_not_allowed(self, boss: Any, method: str) -> None:
        response = getattr(client_of(boss), method)(PATH)

        assert response.status_code == 405
        assert response.json() == {
            "developer_message": f'Method "{method.upper()}" not allowed.'
        }
        assert response["Allow"] == "GET, HEAD, OPTIONS"

    @pytest.mark.rule("V1-URL-14")
    def test_head_and_options_are_as_drf_provides_them(self, boss: Any) -> None:
        head, options = client_of(boss).head(PATH), client_of(boss).options(PATH)

        assert (head.status_code, head.content) == (200, b"")
        assert options.status_code == 200

    @pytest.mark.rule("NAM-03", "UTIL-03")
    def test_attributes(self) -> None:
        paginator = CourseEnrollmentsApiListPagination

        assert CourseEnrollmentsApiListView.pagination_class is paginator
        assert CourseEnrollmentsApiListView.serializer_class is (
            CourseEnrollmentsApiListSerializer
        )
        assert paginator.page_size == paginator.max_page_size == 100
        assert paginator.page_size_query_param == "page_size"
        assert paginator.page_query_param == "page"


class DenyingBackend:
    """Vetoes reading others."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        if perm == VIEW_ENROLLMENT_DATA:
            raise PermissionDenied("Not here.")
        return False


class TestWhoMay:
    @pytest.mark.rule("V1-ADM-02")
    @pytest.mark.parametrize("query", [{}, {"course_id": "a b"}, {"cursor": "x"}])
    def test_nobody_and_learners_before_anything_is_looked_at(
        self, query: dict[str, str]
    ) -> None:
        unknown, learner = ask(None, **query), ask(make_user("ada"), **query)

        assert unknown.status_code == 401
        assert unknown.json() == {
            "developer_message": "Authentication credentials were not provided."
        }
        assert unknown["WWW-Authenticate"]
        assert learner.status_code == 403
        assert learner.json() == {
            "developer_message": "You do not have permission to perform this action."
        }

    @pytest.mark.rule("V1-ADM-02")
    def test_no_course_team_and_no_superuser(self) -> None:
        ada, root = make_user("ada"), make_user("root", is_superuser=True)
        course_id = course_id_of(make_course())
        CourseAccessRole.objects.create(
            user=ada, org="edX", course_id=course_id, role="staff"
        )

        assert ask(ada, course_id=course_id).status_code == 403
        assert ask(root).status_code == 403

    @pytest.mark.rule("V1-AUTH-07")
    def test_is_what_the_backends_say_of_a_user(self, boss: Any, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.DenyingBackend"]

        assert ask(boss).status_code == 403

    @pytest.mark.rule("V1-AUTH-07")
    def test_an_api_key_opens_nothing(self, settings: Any) -> None:
        settings.ENROLLMENTS_API_KEYS = ["secret"]
        headers = {"X-Edx-Api-Key": "secret"}

        assert client_of().get(PATH, headers=headers).status_code == 401
        ada = client_of(make_user("ada"))
        assert ada.get(PATH, headers=headers).status_code == 403

    @pytest.mark.rule("V1-AUTH-17")
    def test_inactive_staff_may(self, settings: Any) -> None:
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE

        assert ask(make_user("boss", is_staff=True, is_active=False)).status_code == 200

    @pytest.mark.rule("V1-THR-07")
    def test_a_throttled_request_is_told_so(self, boss: Any, settings: Any) -> None:
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "1/minute", "staff": "1/minute"}

        ask(boss)
        response = ask(boss)

        assert response.status_code == 429
        assert response["Retry-After"]
        assert list(response.json()) == ["developer_message"]

    @pytest.mark.parametrize("asker", ["ada", None])
    def test_nobody_else_learns_anything(self, asker: str | None) -> None:
        course = make_course()
        put(make_user("bea"), course)
        client = client_of(make_user(asker) if asker else None)

        answers = {
            (response.status_code, response.content, *headers_of(response).items())
            for query in (
                {},
                {"username": username("bea")},
                {"username": username("no-one")},
                {"email": "bea@example.org"},
                {"course_id": course_id_of(course)},
                {"username": "'"},
            )
            for response in [client.get(PATH, query)]
        }

        assert len(answers) == 1


class TestResults:
    @pytest.mark.rule("V1-ADM-01", "V1-SER-20")
    def test_keys_are_in_order(self, boss: Any) -> None:
        put(make_user("ada"), make_course())

        response = ask(boss)

        assert response["Content-Type"] == "application/json"
        assert list(response.json()) == ["next", "previous", "results"]
        (row,) = response.json()["results"]
        assert list(row) == ["created", "mode", "is_active", "user", "course_id"]

    @pytest.mark.rule("V1-ADM-01")
    def test_without_any_the_list_is_empty(self, boss: Any) -> None:
        assert ask(boss).json() == {"next": None, "previous": None, "results": []}

    @pytest.mark.rule("V1-SER-20")
    def test_is_what_the_serializer_gives(self, boss: Any) -> None:
        course, other = make_course(), make_course("edX/DemoX/2014T2")
        for number, learner in enumerate(make_users(3)):
            put(learner, course, "verified", is_active=number > 0)
            put(learner, other)

        listed = results(boss)

        rows = CourseEnrollment.objects.order_by("-created", "-pk")
        data = CourseEnrollmentsApiListSerializer(rows, many=True).data
        assert json.dumps(listed) == json.dumps(data)
        assert len(listed) == 6

    @pytest.mark.rule("V1-ADM-03")
    def test_everybodys_active_or_not(self, boss: Any) -> None:
        course = make_course()
        put(make_user("ada"), course)
        put(make_user("bea"), course, is_active=False)

        assert [(row["user"], row["is_active"]) for row in results(boss)] == [
            (username("bea"), False),
            (username("ada"), True),
        ]

    @pytest.mark.rule("V1-ADM-16")
    def test_newest_first_and_then_by_key(self, boss: Any) -> None:
        learners = make_users(3)
        course = make_course()
        for learner, created in zip(learners, (NOON, NOON, NOON - HOUR), strict=True):
            CourseEnrollment.objects.create(
                user=learner, course=course, created=created
            )

        assert [name for name, _ in pairs(results(boss))] == [
            "learner1",
            "learner0",
            "learner2",
        ]

    @pytest.mark.rule("V1-ADM-22")
    def test_those_of_deleted_courses_are_absent(self, boss: Any) -> None:
        ada = make_user("ada")
        stays, goes = make_course("django-101"), make_course("django-102")
        put(ada, stays)
        put(ada, goes)
        course_id = course_id_of(goes)
        goes.delete()

        assert pairs(results(boss)) == [("ada", "django-101")]
        assert results(boss, course_id=course_id) == []
        assert results(boss, course_ids=course_id) == []

    @pytest.mark.rule("V1-ADM-23")
    @pytest.mark.parametrize("count", [1, 50])
    def test_costs_one_statement_beside_session_and_user(
        self, boss: Any, count: int
    ) -> None:
        fill(count)
        client = client_of(boss)

        with CaptureQueriesContext(connection) as captured:
            response = client.get(PATH)

        assert len(response.json()["results"]) == count
        assert len(captured) == 3

    @pytest.mark.rule("V1-ADM-23")
    @pytest.mark.parametrize("count", [1, 50])
    def test_costs_three_with_every_filter(self, boss: Any, count: int) -> None:
        course = make_course("course-v1:edX+Many+R")
        fill(count, course)
        learners = [f"learner{number}" for number in range(count)]
        query = {
            "course_id": course_id_of(course),
            "course_ids": "edX",
            "username": ",".join(map(username, learners)),
            "email": ",".join(f"{name}@example.org" for name in learners),
            "page_size": "40",
        }
        client = client_of(boss)

        with CaptureQueriesContext(connection) as captured:
            response = client.get(PATH, query)

        # Names and addresses are looked up before: databases differ in comparing them.
        assert len(response.json()["results"]) == min(count, 40)
        assert len(captured) == 5


class TestFilters:
    """The data set of ADM-24, and what else may be asked for."""

    FULL = "course-v1:edX+DemoX+T1"
    RUN = "course-v1:edX+DemoX+T2"
    OTHER = "course-v1:x+y+Z"

    @pytest.fixture(autouse=True)
    def _enrollments(self, boss: Any) -> None:
        users = {name: make_user(name) for name in ("ada", "bea", "cleo")}
        for course_id, names in {
            self.FULL: ("ada", "bea"),
            self.RUN: ("ada",),
            self.OTHER: ("bea", "cleo"),
        }.items():
            course = make_course(course_id)
            make_mode(course)
            for name in names:
                put(users[name], course)

    @pytest.mark.rule(
        "V1-ADM-03",
        "V1-ADM-04",
        "V1-ADM-05",
        "V1-ADM-06",
        "V1-ADM-07",
        "V1-ADM-08",
        "V1-ADM-12",
        "V1-ADM-14",
        "V1-ADM-24",
        "B-12",
    )
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, {"ada1", "bea1", "ada2", "bea3", "cleo3"}),
            ({"course_id": FULL}, {"ada1", "bea1"}),
            ({"course_id": OTHER}, {"bea3", "cleo3"}),
            ({"course_id": FULL, "username": "ada"}, {"ada1"}),
            ({"course_id": OTHER, "username": "ada,cleo"}, {"cleo3"}),
            ({"username": "ada"}, {"ada1", "ada2"}),
            ({"username": "ada,cleo"}, {"ada1", "ada2", "cleo3"}),
            ({"email": "bea@example.org"}, {"bea1", "bea3"}),
            ({"email": "bea@example.org,cleo@example.org"}, {"bea1", "bea3", "cleo3"}),
            ({"email": "bea@example.org", "course_id": FULL}, {"bea1"}),
            ({"email": "bea@example.org", "username": "ada"}, set()),
            ({"email": "bea@example.org", "username": "ada,bea"}, {"bea1", "bea3"}),
            ({"course_ids": f"{FULL},x+y"}, {"ada1", "bea1", "bea3", "cleo3"}),
            ({"course_ids": "edX+DemoX", "username": "ada"}, {"ada1", "ada2"}),
            ({"course_ids": "edX+DemoX"}, {"ada1", "bea1", "ada2"}),
            ({"course_ids": "x+y+Z"}, {"bea3", "cleo3"}),
            ({"course_ids": "X+Y+z"}, {"bea3", "cleo3"}),
            ({"course_ids": "course-v1"}, {"ada1", "bea1", "ada2", "bea3", "cleo3"}),
            ({"course_id": FULL, "course_ids": "x+y"}, set()),
            ({"course_id": "course-v1:no+such+course"}, set()),
            ({"username": "no-one"}, set()),
            ({"email": "no-one@example.org"}, set()),
            ({"course_ids": "no-such-course"}, set()),
            # Outer space is trimmed, empty is absent.
            ({"course_id": f" {FULL} "}, {"ada1", "bea1"}),
            ({"username": " ada "}, {"ada1", "ada2"}),
            ({"course_id": "", "username": "ada", "email": " "}, {"ada1", "ada2"}),
            ({"course_ids": "", "username": "ada"}, {"ada1", "ada2"}),
            # Empty elements are no wish (B-12).
            ({"course_ids": "x+y,"}, {"bea3", "cleo3"}),
            ({"course_ids": ","}, set()),
            ({"email": ",bea@example.org,"}, {"bea1", "bea3"}),
            ({"email": ","}, set()),
            # Wildcards are none.
            ({"course_ids": "%"}, set()),
            ({"course_ids": "e_X"}, set()),
            ({"course_ids": "\\"}, set()),
            ({"course_ids": ".*"}, set()),
            ({"username": "ad_"}, set()),
            ({"email": "%@example.org"}, set()),
            # What can be no course is one that nobody is in.
            ({"course_ids": "a b,?,#"}, set()),
            ({"course_ids": "x" * 60_000}, set()),
            ({"email": "no address,'; DROP TABLE x"}, set()),
            ({"email": "BEA@Example.org"}, {"bea1", "bea3"}),
            (
                {"page": "7", "unheard_of": "x"},
                {"ada1", "bea1", "ada2", "bea3", "cleo3"},
            ),
        ],
    )
    def test_filters_narrow_the_list_together(
        self, boss: Any, query: dict[str, str], expected: set[str]
    ) -> None:
        if "username" in query and not is_default_host():
            names = query["username"].strip().split(",")
            query = query | {"username": f" {','.join(map(username, names))} "}
        short = {self.FULL: "1", self.RUN: "2", self.OTHER: "3"}

        found = pairs(results(boss, **query))

        assert {f"{name}{short[course_id]}" for name, course_id in found} == expected
        assert len(found) == len(expected)

    @pytest.mark.rule("V1-ADM-05")
    def test_a_wildcard_finds_itself(self, boss: Any) -> None:
        put(make_user("dora"), make_course("100%_sure"))
        put(make_user("emma"), make_course("1000-unsure"))

        for part in ("100%", "%_", "0%_s", "%_SURE"):
            assert pairs(results(boss, course_ids=part)) == [("dora", "100%_sure")]

    @pytest.mark.rule("V1-ADM-04")
    def test_case_of_a_course_id_counts(self, boss: Any) -> None:
        assert results(boss, course_id=self.FULL.upper()) == []

    @pytest.mark.rule("V1-ADM-06")
    def test_case_of_a_username_counts(self, boss: Any) -> None:
        assert results(boss, username=username("ada").upper()) == []

    @pytest.mark.rule("V1-ADM-07")
    @pytest.mark.skipif(
        not is_default_host(), reason="Nobody lacks an address where it is the name."
    )
    def test_users_without_an_address_are_not_found_by_none(self, boss: Any) -> None:
        put(make_user("dora", email=""), make_course("django-101"))

        assert results(boss, email=",") == []

    @pytest.mark.rule("V1-ADM-07")
    def test_everybody_with_an_address_is_found(self, boss: Any) -> None:
        if connection.vendor == "mysql" and not is_default_host():
            pytest.skip("This host has unique addresses, and here case is no other.")
        course = make_course("django-101")
        put(make_user("dora", email="us@example.org"), course)
        put(make_user("emma", email="Us@example.org"), course)

        assert len(results(boss, email="us@example.org")) == 2

    @pytest.mark.rule("V1-ADM-04")
    def test_an_id_that_is_none(self, boss: Any) -> None:
        for text in ("a b", "a,b", "a?b", "x" * 256):
            assert errors(boss, course_id=text) == {
                "course_id": f"'{text}' is not a valid course id."
            }

    @pytest.mark.rule("V1-ADM-09")
    @pytest.mark.parametrize(
        ("field", "plural"),
        [("username", "usernames"), ("course_ids", "course_ids"), ("email", "emails")],
    )
    def test_at_most_a_hundred_of_each(
        self, boss: Any, field: str, plural: str
    ) -> None:
        element = {
            "username": username("ada"),
            "course_ids": self.FULL,
            "email": "ada@example.org",
        }[field]

        assert results(boss, **{field: ",".join([element] * 100)})
        assert errors(boss, **{field: ",".join([element] * 101)}) == {
            field: f"Too many {plural} in a single request - 101. "
            "A maximum of 100 is allowed"
        }

    @pytest.mark.rule("V1-ADM-10", "V1-ADM-13", "V1-ADM-14")
    @pytest.mark.parametrize(
        "names", ["ada,", ",ada", ",", "ada,,bea", "ada, bea", "ada ,bea", "a/b", "a'b"]
    )
    def test_a_name_that_is_none(self, boss: Any, names: str) -> None:
        assert errors(boss, username=names) == {
            "username": "Usernames can only contain letters (A-Z, a-z), numerals "
            "(0-9), underscores (_), and hyphens (-)."
        }

    @pytest.mark.rule("V1-ADM-10")
    def test_the_pattern_is_asked_when_the_request_comes(
        self, boss: Any, settings: Any
    ) -> None:
        before = ask(boss, username="ada.b").status_code

        settings.ENROLLMENTS_USERNAME_PATTERN = "[A-Za-z0-9_-]+"

        assert before == 200
        assert list(errors(boss, username="ada.b")) == ["username"]

    @pytest.mark.rule("V1-ADM-11")
    def test_every_bad_field_is_told(self, boss: Any) -> None:
        many = ",".join(["x"] * 101)

        told = errors(boss, course_id="a b", course_ids=many, email=many, username="'")

        assert list(told) == ["course_id", "course_ids", "email", "username"]

    @pytest.mark.rule("V1-ERR-07")
    @pytest.mark.parametrize("field", CourseEnrollmentsApiListForm.base_fields)
    def test_nul_is_a_400(self, boss: Any, field: str) -> None:
        assert list(errors(boss, **{field: "a\x00b"})) == [field]

    @pytest.mark.rule("V1-ERR-07")
    @pytest.mark.parametrize(
        "query",
        [
            "username",
            "username=&username=",
            "username[]=ada",
            "=",
            "&&&",
            "%",
            "page=%00",
            "page_size=%00",
            "page_size=1&page_size=x",
            "email=%FF",
            "email=%ED%A0%80@x",
            "course_ids=%FF",
            "course_ids=%F0%9F%8E%93",
            "include_expired=%00",
            "format=xml",
        ],
    )
    def test_queries_of_any_kind(self, boss: Any, query: str) -> None:
        assert client_of(boss).get(f"{PATH}?{query}").status_code == 200


class TestForm:
    @pytest.mark.rule("UTIL-01")
    def test_fields_and_what_they_are_cleaned_to(self) -> None:
        form = CourseEnrollmentsApiListForm(
            {"course_id": "django-101", "course_ids": "a,b", "username": "ada"}
        )

        assert form.is_valid()
        assert form.cleaned_data == {
            "course_id": "django-101",
            "course_ids": ["a", "b"],
            "email": "",
            "username": ["ada"],
        }
        assert form.MAX_INPUT_COUNT == 100


class TestPages:
    @pytest.mark.rule("V1-ADM-17")
    @pytest.mark.parametrize(
        ("given", "size"),
        [
            (None, 100),
            ("1", 1),
            ("7", 7),
            ("100", 100),
            ("101", 100),
            ("9" * 5_000, 100),
            ("0", 100),
            ("-5", 100),
            ("x", 100),
            ("", 100),
            ("1.5", 100),
        ],
    )
    def test_size(self, boss: Any, given: str | None, size: int) -> None:
        fill(102)

        query = {} if given is None else {"page_size": given}

        assert len(results(boss, **query)) == size

    @pytest.mark.rule("V1-ADM-20")
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 10, 11])
    @pytest.mark.parametrize("created", [None, NOON])
    def test_every_row_once_in_order_there_and_back(
        self, boss: Any, size: int, created: Any
    ) -> None:
        fill(10, created=created)
        expected = results(boss)

        there = walk(boss, f"{PATH}?page_size={size}")

        assert [row for page in there for row in page] == expected
        client, page = client_of(boss), client_of(boss).get(f"{PATH}?page_size={size}")
        urls = [f"{PATH}?page_size={size}"]
        while page.json()["next"]:
            urls.append(page.json()["next"])
            page = client.get(urls[-1])
        back = walk(boss, urls[-1], "previous")
        assert [row for one in reversed(back) for row in one] == expected
        assert back == there[::-1]

    @pytest.mark.rule("V1-ADM-20")
    def test_hundreds_of_one_moment(self, boss: Any) -> None:
        fill(350, created=NOON)

        pages = walk(boss)

        names = [row["user"] for page in pages for row in page]
        assert [len(page) for page in pages] == [100, 100, 100, 50]
        assert len(set(names)) == 350

    @pytest.mark.rule("B-13")
    def test_rows_that_come_in_move_nothing(self, boss: Any) -> None:
        course = make_course("course-v1:edX+Many+R")
        fill(30, course, created=NOON)
        before = [row["user"] for row in results(boss)]
        client, url, seen = client_of(boss), f"{PATH}?page_size=10", []

        newcomers = make_users(30, "newcomer")
        while url:
            page = client.get(url).json()
            seen += [row["user"] for row in page["results"]]
            url = page["next"]
            for created in (NOON, NOON + HOUR, NOON - HOUR):
                CourseEnrollment.objects.create(
                    user=newcomers.pop(), course=course, created=created
                )

        of_old = [name for name in seen if name.startswith("learner")]
        assert of_old == before
        assert len(seen) == len(set(seen))

    @pytest.mark.rule("B-13")
    def test_rows_that_go_skip_nothing(self, boss: Any) -> None:
        fill(6)
        client = client_of(boss)
        url = client.get(PATH, {"page_size": 2}).json()["next"]

        # The last one of the page that was read, to which the cursor points.
        CourseEnrollment.objects.order_by("-created", "-pk")[1].delete()

        names = [name for name, _ in pairs(client.get(url).json()["results"])]
        assert names == ["learner3", "learner2"]

    def test_a_page_whose_rows_are_gone_leads_back(self, boss: Any) -> None:
        fill(4)
        client = client_of(boss)
        url = client.get(PATH, {"page_size": 2}).json()["next"]
        CourseEnrollment.objects.filter(created__lt=NOON + 2 * HOUR).delete()

        gone = client.get(url).json()
        back = client.get(gone["previous"]).json()

        assert (gone["results"], gone["next"]) == ([], None)
        assert [name for name, _ in pairs(back["results"])] == ["learner3", "learner2"]
        assert back["previous"] is None

    def test_a_first_page_whose_rows_are_gone_leads_on(self, boss: Any) -> None:
        fill(4)
        client = client_of(boss)
        url = client.get(PATH, {"page_size": 2}).json()["next"]
        before = client.get(url).json()["previous"]
        CourseEnrollment.objects.filter(created__gte=NOON + 2 * HOUR).delete()

        gone = client.get(before).json()
        on = client.get(gone["next"]).json()

        assert (gone["results"], gone["previous"]) == ([], None)
        assert [name for name, _ in pairs(on["results"])] == ["learner1", "learner0"]

    @pytest.mark.rule("V1-ADM-21")
    def test_links_are_absolute_and_keep_all_filters(self, boss: Any) -> None:
        course = make_course("course-v1:edX+Many+R")
        fill(5, course)
        query = {
            "course_id": course_id_of(course),
            "course_ids": "edX+Many,%",
            "email": ",".join(f"learner{n}@example.org" for n in range(5)),
            "page_size": "2",
            "page": "3",
            "theirs": "ü &=",
        }

        first = ask(boss, **query).json()
        second = client_of(boss).get(first["next"]).json()

        assert first["previous"] is None
        for url in (first["next"], second["next"], second["previous"]):
            parts = urlsplit(url)
            assert f"{parts.scheme}://{parts.netloc}{parts.path}" == (
                f"http://testserver{PATH}"
            )
            kept = dict(parse_qsl(parts.query))
            assert kept.pop("cursor")
            assert kept == query
        assert len(second["results"]) == 2

    @pytest.mark.rule("V1-ADM-16")
    def test_a_cursor_is_opaque(self, boss: Any) -> None:
        fill(3)

        url = ask(boss, page_size=1).json()["next"]

        cursor = dict(parse_qsl(urlsplit(url).query))["cursor"]
        assert cursor.replace("-", "").replace("_", "").isalnum()

    @pytest.mark.rule("V1-ADM-18", "SEED-DIFF-07", "SEED-DIFF-11")
    def test_page_has_no_effect(self, boss: Any) -> None:
        fill(3)

        assert results(boss, page="2") == results(boss)

    @pytest.mark.rule("V1-ADM-15")
    def test_an_empty_cursor_is_none(self, boss: Any) -> None:
        fill(2)

        assert ask(boss, cursor="").json()["previous"] is None

    @pytest.mark.rule("V1-ADM-19")
    @pytest.mark.parametrize(
        "cursor",
        [
            "x",
            "%",
            "\x00",
            "ü",
            "0",
            "-1",
            "bj0x",
            "cD0yMDI2LTAxLTAx",
            "A" * 20_000,
            *(
                urlsafe_b64encode(text).decode()
                for text in (
                    b"",
                    b"n",
                    b"n..",
                    b"n.1",
                    b"n.1.",
                    b"n.x.1",
                    b"x.1.1",
                    b"N.1.1",
                    b"n.1.1.1",
                    b"n.1.1\n",
                    b" n.1.1",
                    b"n.1e3.1",
                    b"n.1_0.1",
                    b"n." + b"9" * 19 + b".1",
                    b"n." + b"9" * 4_000 + b".1",
                    b"n.1." + b"9" * 19,
                    b"p.-" + b"9" * 18 + b".1",
                    b"n.253402300799999999.1",
                    b"n.-62135596800000000.1",
                    "n.\u0661.1".encode(),
                    b"\xff\xfe",
                )
            ),
        ],
    )
    def test_a_bad_cursor_is_a_404(self, boss: Any, cursor: str) -> None:
        fill(2)
        # An empty text is no cursor at all.
        query = {"cursor": cursor or "="}

        response = ask(boss, **query)

        assert response.status_code == 404
        assert response.json() == {"developer_message": "Invalid cursor"}

    @pytest.mark.rule("V1-ERR-07")
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("n.0.0", 0),
            ("p.0.0", 2),
            ("n.9999999999999999.9223372036854775807", 2),
            ("p.9999999999999999.9223372036854775807", 0),
            ("n.-9999999999999999.-9223372036854775807", 0),
            ("p.-9999999999999999.-9223372036854775807", 2),
        ],
    )
    def test_a_cursor_may_lead_anywhere(self, boss: Any, text: str, count: int) -> None:
        fill(2)
        client = client_of(boss)
        cursor = urlsafe_b64encode(text.encode()).decode()

        page = client.get(PATH, {"cursor": cursor}).json()

        assert len(page["results"]) == count
        for url in (page["next"], page["previous"]):
            assert url is None or client.get(url).status_code == 200

    def test_a_host_may_narrow_the_view(self, boss: Any, rf: Any) -> None:
        fill(3)
        wanted = username("learner1")

        class Narrow(CourseEnrollmentsApiListView):
            authentication_classes = []
            permission_classes = []

            def get_queryset(self) -> Any:
                by_name = {f"user__{get_user_model().USERNAME_FIELD}": wanted}
                return super().get_queryset().filter(**by_name)

        class Few(CourseEnrollmentsApiListPagination):
            def paginate_queryset(self, *args: Any, **kwargs: Any) -> Any:
                return super().paginate_queryset(*args, **kwargs)[:1]

        class Short(CourseEnrollmentsApiListView):
            authentication_classes = []
            permission_classes = []
            pagination_class = Few

        everybody = ask(boss).json()["results"]
        (mine,) = Narrow.as_view()(rf.get(PATH)).data["results"]
        (first,) = Short.as_view()(rf.get(PATH)).data["results"]

        assert dict(mine) == next(one for one in everybody if one["user"] == wanted)
        assert dict(first) == everybody[0]

    def test_works_on_instances_too(self, boss: Any, rf: Any) -> None:
        fill(5)
        view = CourseEnrollmentsApiListView()
        request = view.initialize_request(rf.get(PATH, {"page_size": 2}))
        paginator = CourseEnrollmentsApiListPagination()

        page = paginator.paginate_queryset(CourseEnrollment.objects.all(), request)

        assert [row.username for row in page] == [
            username("learner4"),
            username("learner3"),
        ]
        assert "cursor=" in (paginator.get_next_link() or "")
        assert paginator.get_previous_link() is None

    def test_a_host_without_time_zones_pages_all_the_same(
        self, boss: Any, settings: Any
    ) -> None:
        if connection.vendor != "sqlite":
            pytest.skip("The database's connection has a time zone of its own.")
        settings.USE_TZ = False
        course = make_course("course-v1:edX+Many+R")
        now = timezone.now()
        for learner in make_users(5):
            CourseEnrollment.objects.create(user=learner, course=course, created=now)

        pages = walk(boss, f"{PATH}?page_size=2")

        assert [len(page) for page in pages] == [2, 2, 1]


@pytest.mark.rule("V1-ADM-20")
def test_no_page_is_reached_by_counting(boss: Any) -> None:
    """A page is found by an index, so page 2,000 costs what page 1 does."""
    fill(20)
    client = client_of(boss)
    url = client.get(PATH, {"page_size": 5}).json()["next"]

    with CaptureQueriesContext(connection) as captured:
        client.get(url)

    statements = [one["sql"] for one in captured]
    assert not any("OFFSET" in sql or "COUNT(" in sql for sql in statements)


@pytest.mark.rule("V1-ADM-20")
@pytest.mark.parametrize("to_newer", [False, True])
def test_the_index_of_the_order_finds_the_place(boss: Any, to_newer: bool) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("Only SQLite tells in words how it finds rows.")
    cursor = Position(NOON, 7, to_newer=to_newer).encode()

    with CaptureQueriesContext(connection) as captured:
        client_of(boss).get(PATH, {"cursor": cursor})
    with connection.cursor() as plain:
        plain.execute(f"EXPLAIN QUERY PLAN {captured[-1]['sql']}")
        plan = "\n".join(row[-1] for row in plain.fetchall())

    assert "USING INDEX enrollments_created_idx (created" in plan
    assert "TEMP B-TREE" not in plan
