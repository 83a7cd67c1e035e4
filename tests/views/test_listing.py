"""GET enrollments, the list of all enrollments, over HTTP."""

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
from tests.http import ALLOW_INACTIVE, ROOT, client_of, get, put

pytestmark = pytest.mark.django_db

PATH = f"{ROOT}enrollments"


def ask(user, /, **query):
    return client_of(user).get(PATH, query)


def results(user, /, **query) -> list[dict[str, Any]]:
    response = ask(user, **query)
    assert response.status_code == 200, response.content
    return response.json()["results"]


def pairs(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["user"].partition("@")[0], row["course_id"]) for row in rows]


def names_of(response) -> list[str]:
    return [name for name, _ in pairs(response.json()["results"])]


def errors(user, /, **query) -> dict[str, str]:
    response = ask(user, **query)
    assert response.status_code == 400
    assert list(response.json()) == ["field_errors"]
    fields = response.json()["field_errors"].items()
    return {field: error["developer_message"] for field, error in fields}


def fill(count: int, *, created=None):
    """Enroll learners in a course, all at one moment or one after the other."""
    course = make_course("course-v1:edX+Many+R")
    CourseEnrollment.objects.bulk_create(
        CourseEnrollment(
            user=learner, course=course, created=created or NOON + number * HOUR
        )
        for number, learner in enumerate(make_users(count))
    )
    return course


def walk(user, url: str = PATH, link: str = "next") -> list[Any]:
    """Return the pages from a URL on."""
    client, pages = client_of(user), []
    while url:
        pages.append(client.get(url).json())
        url = pages[-1][link]
        assert len(pages) < 300
    return pages


def rows_in(pages: list[Any]) -> list[Any]:
    return [row for page in pages for row in page["results"]]


class DenyingBackend:
    """Denies reading others."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        if perm == VIEW_ENROLLMENT_DATA:
            raise PermissionDenied("Not here.")
        return False


class TestAccess:
    @pytest.mark.rule("V1-ADM-02")
    @pytest.mark.parametrize("query", [{}, {"course_id": "a b"}, {"cursor": "x"}])
    def test_is_for_global_staff_before_anything_is_read(self, ada, root, query):
        CourseAccessRole.objects.create(
            user=ada, org="edX", course_id=course_id_of(make_course()), role="staff"
        )

        assert ask(None, **query).status_code == 401
        for requester in (ada, root):
            response = ask(requester, **query)
            assert response.status_code == 403
            assert response.json() == {
                "developer_message": "You do not have permission to perform this "
                "action."
            }

    @pytest.mark.rule("V1-AUTH-07")
    def test_depends_on_the_backends(self, boss, settings):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.DenyingBackend"]

        assert ask(boss).status_code == 403

    @pytest.mark.rule("V1-AUTH-17")
    def test_is_for_inactive_staff_too(self, settings):
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE

        assert ask(make_user("boss", is_staff=True, is_active=False)).status_code == 200


class TestResults:
    @pytest.mark.rule("NAM-03", "UTIL-03")
    def test_are_of_the_public_classes(self):
        paginator = CourseEnrollmentsApiListPagination

        assert CourseEnrollmentsApiListView.pagination_class is paginator
        assert CourseEnrollmentsApiListView.serializer_class is (
            CourseEnrollmentsApiListSerializer
        )
        assert paginator.page_size == paginator.max_page_size == 100
        assert paginator.page_size_query_param == "page_size"
        assert paginator.page_query_param == "page"

    @pytest.mark.rule("V1-ADM-01", "V1-SER-20")
    def test_have_keys_in_order(self, boss, ada, course):
        put(ada, course)

        response = ask(boss)

        assert response["Content-Type"] == "application/json"
        assert list(response.json()) == ["next", "previous", "results"]
        (row,) = response.json()["results"]
        assert list(row) == ["created", "mode", "is_active", "user", "course_id"]

    @pytest.mark.rule("V1-ADM-01")
    def test_are_empty_without_enrollments(self, boss):
        assert ask(boss).json() == {"next": None, "previous": None, "results": []}

    @pytest.mark.rule("V1-SER-20", "V1-ADM-03")
    def test_are_all_enrollments_as_the_serializer_has_them(self, boss, course):
        other = make_course("edX/DemoX/2014T2")
        for number, learner in enumerate(make_users(3)):
            put(learner, course, "verified", is_active=number > 0)
            put(learner, other)

        rows = CourseEnrollment.objects.order_by("-created", "-pk")
        expected = CourseEnrollmentsApiListSerializer(rows, many=True).data
        assert json.dumps(results(boss)) == json.dumps(expected)
        assert len(expected) == 6

    @pytest.mark.rule("V1-ADM-16")
    def test_are_ordered_by_creation_and_then_by_key_from_the_newest(
        self, boss, course
    ):
        moments = (NOON, NOON, NOON - HOUR)
        for learner, created in zip(make_users(3), moments, strict=True):
            CourseEnrollment.objects.create(
                user=learner, course=course, created=created
            )

        assert names_of(ask(boss)) == ["learner1", "learner0", "learner2"]

    @pytest.mark.rule("V1-ADM-22")
    def test_leave_out_deleted_courses(self, boss, ada):
        stays, goes = make_course("django-101"), make_course("django-102")
        put(ada, stays)
        put(ada, goes)
        course_id = course_id_of(goes)
        goes.delete()

        assert pairs(results(boss)) == [("ada", "django-101")]
        assert results(boss, course_id=course_id) == []
        assert results(boss, course_ids=course_id) == []


class TestFilters:
    FULL = "course-v1:edX+DemoX+T1"
    RUN = "course-v1:edX+DemoX+T2"
    OTHER = "course-v1:x+y+Z"

    @pytest.fixture(autouse=True)
    def _enrollments(self, boss):
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

    @pytest.mark.rule("V1-ADM-03", "V1-ADM-04", "V1-ADM-05", "V1-ADM-06", "V1-ADM-07")
    @pytest.mark.rule("V1-ADM-08", "V1-ADM-12", "V1-ADM-14", "V1-ADM-24", "B-12")
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, "ada1 bea1 ada2 bea3 cleo3"),
            ({"course_id": FULL}, "ada1 bea1"),
            ({"course_id": OTHER}, "bea3 cleo3"),
            ({"course_id": FULL, "username": "ada"}, "ada1"),
            ({"course_id": OTHER, "username": "ada,cleo"}, "cleo3"),
            ({"username": "ada"}, "ada1 ada2"),
            ({"username": "ada,cleo"}, "ada1 ada2 cleo3"),
            ({"email": "bea@example.org"}, "bea1 bea3"),
            ({"email": "bea@example.org,cleo@example.org"}, "bea1 bea3 cleo3"),
            ({"email": "bea@example.org", "course_id": FULL}, "bea1"),
            ({"email": "bea@example.org", "username": "ada"}, ""),
            ({"email": "bea@example.org", "username": "ada,bea"}, "bea1 bea3"),
            ({"course_ids": f"{FULL},x+y"}, "ada1 bea1 bea3 cleo3"),
            ({"course_ids": "edX+DemoX", "username": "ada"}, "ada1 ada2"),
            ({"course_ids": "edX+DemoX"}, "ada1 bea1 ada2"),
            ({"course_ids": "x+y+Z"}, "bea3 cleo3"),
            ({"course_ids": "X+Y+z"}, "bea3 cleo3"),
            ({"course_ids": "course-v1"}, "ada1 bea1 ada2 bea3 cleo3"),
            ({"course_id": FULL, "course_ids": "x+y"}, ""),
            ({"course_id": "course-v1:no+such+course"}, ""),
            ({"course_id": FULL.upper()}, ""),
            ({"username": "no-one"}, ""),
            ({"username": "ADA"}, ""),
            ({"email": "no-one@example.org"}, ""),
            ({"course_ids": "no-such-course"}, ""),
            # Outer space is trimmed, empty is absent.
            ({"course_id": f" {FULL} "}, "ada1 bea1"),
            ({"username": " ada "}, "ada1 ada2"),
            ({"course_id": "", "username": "ada", "email": " "}, "ada1 ada2"),
            ({"course_ids": "", "username": "ada"}, "ada1 ada2"),
            # Empty elements find nothing.
            ({"course_ids": "x+y,"}, "bea3 cleo3"),
            ({"course_ids": ","}, ""),
            ({"email": ",bea@example.org,"}, "bea1 bea3"),
            ({"email": ","}, ""),
            # There are no wildcards.
            *(({"course_ids": text}, "") for text in ("%", "e_X", "\\", ".*")),
            ({"username": "ad_"}, ""),
            ({"email": "%@example.org"}, ""),
            # What can be no course id has no enrollments.
            ({"course_ids": "a b,?,#"}, ""),
            ({"course_ids": "x" * 60_000}, ""),
            ({"email": "no address,'; DROP TABLE x"}, ""),
            ({"email": "BEA@Example.org"}, "bea1 bea3"),
            ({"page": "7", "unheard_of": "x"}, "ada1 bea1 ada2 bea3 cleo3"),
        ],
    )
    def test_narrow_the_list_together(self, boss, query, expected):
        if "username" in query and not is_default_host():
            names = query["username"].strip().split(",")
            query = query | {"username": f" {','.join(map(username, names))} "}
        short = {self.FULL: "1", self.RUN: "2", self.OTHER: "3"}

        found = pairs(results(boss, **query))

        shown = sorted(f"{name}{short[course_id]}" for name, course_id in found)
        assert shown == sorted(expected.split())

    @pytest.mark.rule("V1-ADM-05")
    def test_find_wildcards_as_text(self, boss, root):
        put(root, make_course("100%_sure"))
        put(root, make_course("1000-unsure"))

        for text in ("100%", "%_", "0%_s", "%_SURE"):
            assert pairs(results(boss, course_ids=text)) == [("root", "100%_sure")]

    @pytest.mark.rule("V1-ADM-07")
    @pytest.mark.skipif(not is_default_host(), reason="All have addresses there.")
    def test_find_no_user_without_address_by_an_empty_element(self, boss, course):
        put(make_user("dora", email=""), course)

        assert results(boss, email=",") == []

    @pytest.mark.rule("V1-ADM-07")
    def test_find_all_users_with_an_address(self, boss, course):
        if connection.vendor == "mysql" and not is_default_host():
            pytest.skip("This host has unique addresses, and here case is no other.")
        put(make_user("dora", email="us@example.org"), course)
        put(make_user("emma", email="Us@example.org"), course)

        assert len(results(boss, email="us@example.org")) == 2

    @pytest.mark.rule("V1-ADM-04", "V1-ADM-10", "V1-ADM-13", "V1-ADM-14", "V1-ERR-07")
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("course_id", text) for text in ("a b", "a,b", "a?b", "x" * 256)),
            *(("username", text) for text in ("ada,", ",ada", ",", "ada,,bea")),
            *(("username", text) for text in ("ada, bea", "ada ,bea", "a/b", "a'b")),
        ],
    )
    def test_refuse_invalid_ids_and_names(self, boss, field, value):
        text = {
            "course_id": f"'{value}' is not a valid course id.",
            "username": "Usernames can only contain letters (A-Z, a-z), numerals "
            "(0-9), underscores (_), and hyphens (-).",
        }[field]

        assert errors(boss, **{field: value}) == {field: text}

    @pytest.mark.rule("V1-ERR-07")
    @pytest.mark.parametrize("field", CourseEnrollmentsApiListForm.base_fields)
    def test_refuse_nul(self, boss, field):
        assert list(errors(boss, **{field: "a\x00b"})) == [field]

    @pytest.mark.rule("V1-ADM-09")
    @pytest.mark.parametrize(
        ("field", "plural", "value"),
        [
            ("username", "usernames", username("ada")),
            ("course_ids", "course_ids", FULL),
            ("email", "emails", "ada@example.org"),
        ],
    )
    def test_have_at_most_a_hundred_elements(self, boss, field, plural, value):
        assert results(boss, **{field: ",".join([value] * 100)})
        assert errors(boss, **{field: ",".join([value] * 101)}) == {
            field: f"Too many {plural} in a single request - 101. "
            "A maximum of 100 is allowed"
        }

    @pytest.mark.rule("V1-ADM-10")
    def test_read_the_pattern_when_the_request_is_made(self, boss, settings):
        before = ask(boss, username="ada.b").status_code

        settings.ENROLLMENTS_USERNAME_PATTERN = "[A-Za-z0-9_-]+"

        assert before == 200
        assert list(errors(boss, username="ada.b")) == ["username"]

    @pytest.mark.rule("V1-ADM-11")
    def test_report_every_wrong_field(self, boss):
        many = ",".join(["x"] * 101)

        found = errors(boss, course_id="a b", course_ids=many, email=many, username="'")

        assert list(found) == ["course_id", "course_ids", "email", "username"]

    @pytest.mark.rule("UTIL-01")
    def test_are_cleaned_by_a_form(self):
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
    def test_have_the_size_that_is_asked_for_up_to_100(self, boss):
        fill(102)

        sizes = {
            given: len(results(boss, page_size=given))
            for given in (
                "1",
                "7",
                "100",
                "101",
                "9" * 5_000,
                "0",
                "-5",
                "x",
                "",
                "1.5",
            )
        }

        assert sizes == dict.fromkeys(sizes, 100) | {"1": 1, "7": 7}
        assert len(results(boss)) == 100

    @pytest.mark.rule("V1-ADM-20")
    @pytest.mark.parametrize("size", [1, 3, 10, 11])
    @pytest.mark.parametrize("created", [None, NOON])
    def test_have_every_row_once_in_order_in_both_directions(self, boss, size, created):
        fill(10, created=created)
        url = f"{PATH}?page_size={size}"

        forward = walk(boss, url)
        last = forward[-2]["next"] if len(forward) > 1 else url
        backward = walk(boss, last, "previous")

        assert rows_in(forward) == rows_in(backward[::-1]) == results(boss)

    @pytest.mark.rule("V1-ADM-20")
    def test_hold_hundreds_of_rows_of_one_moment(self, boss):
        fill(350, created=NOON)

        pages = walk(boss)

        assert [len(page["results"]) for page in pages] == [100, 100, 100, 50]
        assert len({row["user"] for row in rows_in(pages)}) == 350

    @pytest.mark.rule("B-13")
    def test_are_not_moved_by_new_rows(self, boss):
        course = fill(30, created=NOON)
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

        assert [name for name in seen if name.startswith("learner")] == before
        assert len(seen) == len(set(seen))

    @pytest.mark.rule("B-13")
    def test_skip_nothing_when_rows_are_deleted(self, boss):
        fill(6)
        url = ask(boss, page_size=2).json()["next"]

        # The last one of the page that was read, to which the cursor points.
        CourseEnrollment.objects.order_by("-created", "-pk")[1].delete()

        assert names_of(client_of(boss).get(url)) == ["learner3", "learner2"]

    @pytest.mark.parametrize(
        ("deleted", "link", "back", "names"),
        [
            ({"created__lt": NOON + 2 * HOUR}, "next", "previous", "32"),
            ({"created__gte": NOON + 2 * HOUR}, "previous", "next", "10"),
        ],
    )
    def test_without_rows_link_to_the_other_rows(
        self, boss, deleted, link, back, names
    ):
        fill(4)
        client = client_of(boss)
        url = client.get(PATH, {"page_size": 2}).json()["next"]
        if link == "previous":
            url = client.get(url).json()["previous"]
        CourseEnrollment.objects.filter(**deleted).delete()

        gone = client.get(url).json()
        other = client.get(gone[back])

        assert (gone["results"], gone[link]) == ([], None)
        assert names_of(other) == [f"learner{number}" for number in names]

    @pytest.mark.rule("V1-ADM-15", "V1-ADM-16", "V1-ADM-18", "V1-ADM-21")
    @pytest.mark.rule("SEED-DIFF-07", "SEED-DIFF-11")
    def test_have_absolute_links_with_all_parameters(self, boss):
        course = fill(5)
        query = {
            "course_id": course_id_of(course),
            "course_ids": "edX+Many,%",
            "email": ",".join(f"learner{n}@example.org" for n in range(5)),
            "page_size": "2",
            "page": "3",
            "theirs": "ü &=",
        }

        first = ask(boss, **query, cursor="").json()
        second = client_of(boss).get(first["next"]).json()

        assert first["previous"] is None
        for url in (first["next"], second["next"], second["previous"]):
            parts = urlsplit(url)
            base = f"{parts.scheme}://{parts.netloc}{parts.path}"
            assert base == f"http://testserver{PATH}"
            kept = dict(parse_qsl(parts.query))
            assert kept.pop("cursor").replace("-", "").replace("_", "").isalnum()
            assert kept == query
        assert len(second["results"]) == 2

    @pytest.mark.rule("V1-ADM-19")
    @pytest.mark.parametrize(
        "cursor",
        [
            *("x", "%", "\x00", "ü", "0", "-1", "bj0x", "A" * 20_000, "="),
            *(
                urlsafe_b64encode(text).decode()
                for text in (
                    *(b"n", b"n..", b"n.1", b"n.1.", b"n.x.1", b"x.1.1", b"N.1.1"),
                    *(b"n.1.1.1", b"n.1.1\n", b" n.1.1", b"n.1e3.1", b"n.1_0.1"),
                    *(b"n." + b"9" * count + b".1" for count in (19, 4_000)),
                    *(b"n.1." + b"9" * 19, b"p.-" + b"9" * 18 + b".1", b"\xff\xfe"),
                    *(b"n.253402300799999999.1", b"n.-62135596800000000.1"),
                    "n.\u0661.1".encode(),
                )
            ),
        ],
    )
    def test_with_a_wrong_cursor_are_a_404(self, boss, cursor):
        fill(2)

        response = ask(boss, cursor=cursor)

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
    def test_begin_at_any_possible_cursor(self, boss, text, count):
        fill(2)

        page = ask(boss, cursor=urlsafe_b64encode(text.encode()).decode()).json()

        assert len(page["results"]) == count
        for url in filter(None, (page["next"], page["previous"])):
            assert client_of(boss).get(url).status_code == 200

    @pytest.mark.rule("V1-ADM-21")
    def test_keep_letters_that_were_sent_unencoded(self, boss, settings):
        settings.ENROLLMENTS_USERNAME_PATTERN = ".+"
        zoe = make_user("zo\xeb")
        for number in range(3):
            put(zoe, make_course(f"course-v1:edX+Zoe{number}+2020"))
        client = client_of(boss)
        # As servers hand on what curl sends: bytes, read as Latin-1.
        name = zoe.get_username().encode().decode("latin-1")

        first = client.get(PATH, QUERY_STRING=f"username={name}&page_size=2").json()
        second = client.get(first["next"]).json()

        assert [len(page["results"]) for page in (first, second)] == [2, 1]
        assert second["results"][0]["user"] == zoe.get_username()

    def test_may_be_narrowed_by_a_subclass(self, boss, rf):
        fill(3)
        wanted = username("learner1")

        class Open(CourseEnrollmentsApiListView):
            authentication_classes = []
            permission_classes = []

        class Narrow(Open):
            def get_queryset(self):
                by_name = {f"user__{get_user_model().USERNAME_FIELD}": wanted}
                return super().get_queryset().filter(**by_name)

        class Few(CourseEnrollmentsApiListPagination):
            def paginate_queryset(self, *args, **kwargs):
                return super().paginate_queryset(*args, **kwargs)[:1]

        class Short(Open):
            pagination_class = Few

        all_rows = ask(boss).json()["results"]
        (narrow,) = Narrow.as_view()(rf.get(PATH)).data["results"]
        (first,) = Short.as_view()(rf.get(PATH)).data["results"]

        assert dict(narrow) == all_rows[1]
        assert dict(first) == all_rows[0]

    def test_are_made_of_any_queryset_of_enrollments(self, rf):
        fill(5)
        view = CourseEnrollmentsApiListView()
        request = view.initialize_request(rf.get(PATH, {"page_size": 2}))
        paginator = CourseEnrollmentsApiListPagination()

        page = paginator.paginate_queryset(CourseEnrollment.objects.all(), request)

        names = [row.username for row in page]
        assert names == [username("learner4"), username("learner3")]
        assert "cursor=" in (paginator.get_next_link() or "")
        assert paginator.get_previous_link() is None

    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="It has a time zone.")
    def test_work_without_time_zones(self, boss, settings):
        settings.USE_TZ = False
        fill(5, created=NOON.replace(tzinfo=None))

        pages = walk(boss, f"{PATH}?page_size=2")

        assert [len(page["results"]) for page in pages] == [2, 2, 1]

    @pytest.mark.rule("V1-ADM-20")
    def test_are_found_without_counting(self, boss):
        fill(20)
        url = ask(boss, page_size=5).json()["next"]

        with CaptureQueriesContext(connection) as captured:
            get(boss, url.removeprefix(f"http://testserver{ROOT}"))

        statements = [query["sql"] for query in captured]
        assert not any("OFFSET" in sql or "COUNT(" in sql for sql in statements)

    @pytest.mark.rule("V1-ADM-20")
    @pytest.mark.parametrize("to_newer", [False, True])
    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="It explains in words.")
    def test_are_found_by_an_index(self, boss, to_newer):
        with CaptureQueriesContext(connection) as captured:
            ask(boss, cursor=Position(NOON, 7, to_newer=to_newer).encode())
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {captured[-1]['sql']}")
            plan = "\n".join(row[-1] for row in cursor.fetchall())

        assert "USING INDEX enrollments_created_idx (created" in plan
        assert "TEMP B-TREE" not in plan
