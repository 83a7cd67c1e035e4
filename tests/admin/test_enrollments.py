"""The page of an enrollment, its buttons, and the list with its filters."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_enrollments import api
from django_enrollments.admin import base, exports, operations
from django_enrollments.datetimes import now
from django_enrollments.models import (
    CourseEnrollment,
    EnrollmentEvent,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.admin.pages import make_clerk, shown, texts, url
from tests.factories import (
    DAY,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.http import list_statements
from tests.watching import nothing_written, veto

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

pytestmark = pytest.mark.django_db

service = EnrollmentsService()

#: The title of the course, as the adapter of this host has it.
TITLE = "Django for all" if is_default_host() else "Seminar: Django for all"


def list_url() -> str:
    return url(CourseEnrollment, "changelist")


def change_url(row, name: str) -> str:
    return reverse("admin:django_enrollments_change_one", args=[row.pk, name])


@pytest.fixture
def course(db):
    course = make_course("django-101", display_name="Django for all")
    make_mode(course, "audit", mode_display_name="Free of charge")
    make_mode(course, "verified", mode_display_name="With certificate")
    return course


@pytest.fixture
def row(ada, course):
    return service.enroll(ada, course, "audit")


class TestPage:
    def test_has_no_raw_key_in_its_headings(self, admin_client, row):
        page = admin_client.get(url(CourseEnrollment, "change", row.pk))
        history = admin_client.get(url(CourseEnrollment, "history", row.pk))

        name = f"{username('ada')} in {TITLE} (django-101)"
        for response in (page, history):
            assert name in shown(response)
            assert str(row) not in shown(response)
        assert page.context["subtitle"] == name
        assert "Free of charge" in shown(page)
        assert "Enrolled" in shown(page)

    def test_shows_the_whole_history(self, admin_client, row, operator):
        service.change_mode(
            row.user,
            row.course,
            "verified",
            actor=operator,
            reason="Paid",
            source="api",
        )
        service.unenroll(row.user, row.course, reason="Ill", source="crm")
        gone = make_user("gone")
        service.enroll(row.user, row.course, "audit", actor=gone, source="command")
        key = gone.pk
        gone.delete()

        response = admin_client.get(url(CourseEnrollment, "change", row.pk))

        events = response.context["events"]
        assert [event["type"] for event in events] == [
            "mode changed",
            "activated",
            "deactivated",
            "mode changed",
            "created",
        ]
        assert [event["actor"] for event in events] == [
            f"Deleted user {key}",
            f"Deleted user {key}",
            "Program",
            username("operator"),
            "Program",
        ]
        assert [event["source"] for event in events] == [
            "Command",
            "Command",
            "crm",
            "Python code",
            "Service",
        ]
        text = shown(response)
        for part in ("Paid", "Ill", "Free of charge → With certificate", "Left"):
            assert part in text

    def test_shows_attributes(self, admin_client, row):
        api.set_enrollment_attributes(
            username("ada"),
            "django-101",
            [{"namespace": "order", "name": "number", "value": "4711"}],
        )

        page = admin_client.get(url(CourseEnrollment, "change", row.pk))

        assert "order: number 4711" in shown(page)

    def test_takes_as_many_statements_for_a_long_history(self, admin_client, row):
        page = url(CourseEnrollment, "change", row.pk)
        admin_client.get(page)
        with CaptureQueriesContext(connection) as short:
            admin_client.get(page)
        for actor in make_users(5):
            service.unenroll(row.user, row.course, actor=actor)
            service.enroll(row.user, row.course, actor=actor)

        with CaptureQueriesContext(connection) as long:
            response = admin_client.get(page)

        assert len(response.context["events"]) == 11
        # The names of the actors.
        assert len(list_statements(long)) <= len(list_statements(short)) + 1 <= 17

    @pytest.mark.parametrize(
        ("is_active", "exists", "names"),
        [
            (True, True, ["change_mode", "unenroll"]),
            (False, True, ["change_mode", "reactivate"]),
            (True, False, ["unenroll"]),
            (False, False, []),
        ],
    )
    def test_has_buttons_for_what_is_possible(
        self, is_active, exists, names, admin_client, row
    ):
        if not is_active:
            service.unenroll(row.user, row.course)
        if not exists:
            row.course.delete()

        response = admin_client.get(url(CourseEnrollment, "change", row.pk))

        found = response.context["operations"]
        assert [operation.name for operation in found] == names
        for name in names:
            assert change_url(row, name) in response.content.decode()

    def test_has_no_buttons_for_those_who_may_only_view(self, client, row):
        client.force_login(make_clerk("view_courseenrollment"))

        response = client.get(url(CourseEnrollment, "change", row.pk))

        assert response.context["operations"] == []
        assert client.get(change_url(row, "unenroll")).status_code == 403
        assert client.post(
            change_url(row, "unenroll"), {"reason": "x"}
        ).status_code == (403)
        row.refresh_from_db()
        assert row.is_active


class TestButtons:
    def test_change_the_mode(self, admin_client, row, operator):
        asked = admin_client.get(change_url(row, "change_mode"))
        answer = admin_client.post(
            change_url(row, "change_mode"), {"mode": "verified", "reason": "Paid"}
        )

        assert asked.context["form"].fields["mode"].choices == [
            ("verified", "With certificate")
        ]
        assert f"{username('ada')} in {TITLE}" in shown(asked)
        row.refresh_from_db()
        event = EnrollmentEvent.objects.last()
        assert row.mode == "verified"
        assert (event.type, event.actor_id) == ("mode_changed", operator.pk)
        assert (event.source, event.reason) == ("admin", "Paid")
        assert answer.url == url(CourseEnrollment, "change", row.pk)
        assert texts(answer) == ["1 mode was changed."]

    def test_unenroll(self, admin_client, row, operator):
        answer = admin_client.post(change_url(row, "unenroll"), {"reason": "Ill"})

        row.refresh_from_db()
        event = EnrollmentEvent.objects.last()
        assert not row.is_active
        assert (event.type, event.actor_id, event.reason) == (
            "deactivated",
            operator.pk,
            "Ill",
        )
        assert texts(answer) == ["1 learner was unenrolled."]

    def test_enroll_again_in_another_mode(self, admin_client, row):
        service.unenroll(row.user, row.course)

        asked = admin_client.get(change_url(row, "reactivate"))
        admin_client.post(
            change_url(row, "reactivate"), {"mode": "verified", "reason": "Back"}
        )

        assert asked.context["form"].fields["mode"].initial == "audit"
        assert asked.context["explanation"] == ""
        row.refresh_from_db()
        assert (row.mode, row.is_active) == ("verified", True)

    @pytest.mark.parametrize("name", ["change_mode", "unenroll"])
    @pytest.mark.parametrize("reason", ["", "  ", "a\x00b", "x" * 1_001])
    def test_need_a_reason(self, name, reason, admin_client, row):
        with nothing_written():
            answer = admin_client.post(
                change_url(row, name), {"mode": "verified", "reason": reason}
            )

        assert answer.status_code == 200
        assert "reason" in answer.context["form"].errors

    def test_refuse_with_every_reason_and_when_it_ends(self, admin_client, ada, db):
        opens = now() + DAY
        course = make_course(
            "later-101",
            enrollment_start=opens,
            max_student_enrollments_allowed=0,
        )
        row = service.enroll(ada, course, force=True, over_capacity=True)
        service.unenroll(ada, course)
        given = {"mode": row.mode, "reason": "Back"}

        asked = admin_client.get(change_url(row, "reactivate"))
        with nothing_written():
            answer = admin_client.post(change_url(row, "reactivate"), given)
            half = admin_client.post(
                change_url(row, "reactivate"), {**given, "force": "on"}
            )

        assert answer.status_code == 200
        text = " ".join(answer.context["form"].non_field_errors())
        assert asked.context["explanation"] == text
        assert "full" in text
        assert "(until " in text
        assert "(until" not in " ".join(half.context["form"].non_field_errors())
        admin_client.post(
            change_url(row, "reactivate"),
            {**given, "force": "on", "over_capacity": "on"},
        )
        row.refresh_from_db()
        assert row.is_active

    def test_refuse_with_the_message_of_a_filter(self, admin_client, row, settings):
        settings.ENROLLMENTS_FILTERS = [veto]

        with nothing_written():
            answer = admin_client.post(change_url(row, "unenroll"), {"reason": "x"})

        assert answer.context["form"].non_field_errors()

    def test_do_nothing_the_second_time(self, admin_client, row):
        admin_client.post(change_url(row, "unenroll"), {"reason": "x"})

        with nothing_written():
            answer = admin_client.post(change_url(row, "unenroll"), {"reason": "x"})

        assert answer.status_code == 302
        assert texts(answer)[-1].startswith("Nothing was changed")

    def test_do_not_exist_for_other_names_and_rows(self, admin_client, row):
        for address in (
            change_url(row, "delete"),
            reverse("admin:django_enrollments_change_one", args=["0", "unenroll"]),
            reverse("admin:django_enrollments_change_one", args=["x", "unenroll"]),
        ):
            assert admin_client.get(address).status_code == 404

    def test_refuse_a_mode_that_is_not_offered(self, admin_client, row):
        given = {"mode": "gold", "reason": "x"}

        with nothing_written():
            answer = admin_client.post(change_url(row, "change_mode"), given)

        assert "mode" in answer.context["form"].errors


class TestActions:
    def ask(self, client, name: str, rows, **more):
        data = {
            "action": name,
            "_selected_action": [row.pk for row in rows],
            "select_across": "0",
            **more,
        }
        return client.post(list_url(), data)

    def test_change_modes_of_several(self, admin_client, course):
        other = make_course("other-101", modes=["honor", "verified"])
        rows = [
            service.enroll(user, one)
            for user, one in zip(make_users(2), (course, other), strict=True)
        ]

        asked = self.ask(admin_client, "change_mode", rows)
        answer = admin_client.post(
            asked.context["form_url"],
            {"keys": asked.context["keys"], "mode": "audit", "reason": "Free"},
        )

        choices = dict(asked.context["form"].fields["mode"].choices)
        assert {*choices} == {"audit", "honor", "verified"}
        assert "2 enrollments are selected." in shown(asked)
        refusal, summary = texts(answer)
        assert "other-101" in refusal
        assert summary == "0 modes were changed."

    def test_need_a_reason(self, admin_client, row):
        asked = self.ask(admin_client, "unenroll", [row])

        answer = admin_client.post(
            asked.context["form_url"], {"keys": asked.context["keys"], "reason": ""}
        )

        assert answer.status_code == 200
        assert answer.context["keys"] == str(row.pk)
        row.refresh_from_db()
        assert row.is_active

    def test_work_on_all_rows_of_the_filter(self, admin_client, course):
        service.bulk_enroll(course, make_users(5))
        data = {
            "action": "unenroll",
            "_selected_action": [CourseEnrollment.objects.first().pk],
            "select_across": "1",
        }

        asked = admin_client.post(f"{list_url()}?state=enrolled", data)

        assert "5 enrollments are selected." in shown(asked)

    def test_are_limited(self, admin_client, course, monkeypatch):
        monkeypatch.setattr(operations, "ROWS_CHANGED", 2)
        monkeypatch.setattr("django_enrollments.admin.enrollments.ROWS_CHANGED", 2)
        service.bulk_enroll(course, make_users(3))
        rows = list(CourseEnrollment.objects.all())

        answer = self.ask(admin_client, "unenroll", rows)
        keys = ",".join(str(row.pk) for row in rows)
        forged = admin_client.post(
            reverse("admin:django_enrollments_change_many", args=["unenroll"]),
            {"keys": keys, "reason": "x"},
        )

        assert texts(answer)[0].startswith("At most 2 enrollments can be changed")
        assert forged.status_code == 404
        assert CourseEnrollment.objects.active().count() == 3

    @pytest.mark.parametrize("keys", ["", "0", "x", "a\x00b", "1,,", "9" * 40])
    def test_refuse_unknown_keys(self, keys, admin_client):
        answer = admin_client.post(
            reverse("admin:django_enrollments_change_many", args=["unenroll"]),
            {"keys": keys, "reason": "x"},
        )

        assert answer.status_code == 404

    def test_need_the_permission_to_change(self, client, row):
        client.force_login(make_clerk("view_courseenrollment"))

        answer = client.post(
            reverse("admin:django_enrollments_change_many", args=["unenroll"]),
            {"keys": str(row.pk), "reason": "x"},
        )

        assert answer.status_code == 403


class TestFilters:
    def keys(self, client, **query) -> list[int]:
        response = client.get(list_url(), query)
        assert response.status_code == 200
        return [row.pk for row in response.context["cl"].result_list]

    def test_by_course(self, admin_client, row):
        other = service.enroll(row.user, make_course("other-101"))

        for value in (row.course.pk, "django-101"):
            assert self.keys(admin_client, course=value) == [row.pk]
        assert self.keys(admin_client, course="nowhere") == []
        assert self.keys(admin_client) == [other.pk, row.pk]
        page = admin_client.get(list_url(), {"course": "django-101", "q": "ada"})
        assert f"{TITLE} (django-101)" in shown(page)
        assert '<input type="hidden" name="q" value="ada">' in page.content.decode()
        is_chosen_by_typing = "admin-autocomplete" in page.content.decode()
        assert is_chosen_by_typing is is_default_host()

    @pytest.mark.skipif(not is_default_host(), reason="Its key is not the id.")
    def test_by_a_deleted_course(self, admin_client, row):
        row.course.delete()

        assert self.keys(admin_client, course="django-101") == [row.pk]

    def test_by_mode_and_state(self, admin_client, row, course):
        (user,) = make_users(1)
        other = service.enroll(user, course, "verified")
        service.unenroll(user, course)

        assert self.keys(admin_client, mode="audit") == [row.pk]
        assert self.keys(admin_client, mode="gold") == []
        assert self.keys(admin_client, state="enrolled") == [row.pk]
        assert self.keys(admin_client, state="left") == [other.pk]
        assert self.keys(admin_client, state="x") == [other.pk, row.pk]

    def test_by_the_source_of_the_last_change(self, admin_client, course):
        first, second, third = make_users(3)
        rows = [service.enroll(one, course, source="crm") for one in (first, second)]
        service.enroll(third, course, source="api")
        service.change_mode(first, course, "verified", source="crm")
        service.change_mode(second, course, "verified", source="rest")

        (offered,) = [
            dict(one.lookup_choices)
            for one in admin_client.get(list_url()).context["cl"].filter_specs
            if getattr(one, "parameter_name", "") == "source"
        ]
        assert offered["crm"] == "crm"
        assert self.keys(admin_client, source="crm") == [rows[0].pk]
        assert self.keys(admin_client, source="rest") == [rows[1].pk]
        assert self.keys(admin_client, source="command") == []
        service.unenroll(third, course, source="crm")
        # The last changed first.
        assert len(self.keys(admin_client, source="crm")) == 2
        assert self.keys(admin_client, source="crm")[1] == rows[0].pk

    def test_take_a_constant_number_of_statements(self, admin_client, course):
        def statements(**query) -> int:
            admin_client.get(list_url(), query)
            with CaptureQueriesContext(connection) as captured:
                admin_client.get(list_url(), query)
            return len(list_statements(captured))

        service.bulk_enroll(course, make_users(2), source="api")
        queries = [
            {},
            {"q": "learner"},
            {"q": "learner1@example.org"},
            {"q": "django"},
            {"mode": "audit"},
            {"state": "enrolled"},
            {"source": "api"},
            {"course": course.pk},
        ]
        few = [statements(**query) for query in queries]
        service.bulk_enroll(course, make_users(8, "other"), source="api")

        assert [statements(**query) for query in queries] == few
        assert max(few) <= 14


class TestLargeLists:
    @pytest.fixture
    def many(self, course, monkeypatch):
        monkeypatch.setattr(base, "ROWS_COUNTED", 5)
        service.bulk_enroll(course, make_users(8))

    def test_count_the_first_rows_only(self, admin_client, many):
        with CaptureQueriesContext(connection) as captured:
            response = admin_client.get(list_url())

        listed: ChangeList = response.context["cl"]
        assert listed.result_count == len(listed.result_list) == 5
        assert "There are more than 5 rows." in shown(response)
        assert "5 results" not in shown(response)
        assert not any("COUNT(" in one["sql"] for one in captured.captured_queries)

    def test_say_nothing_where_all_rows_are_shown(self, admin_client, many):
        response = admin_client.get(list_url(), {"q": "learner1"})

        assert response.context["cl"].result_count == 1
        assert "1 result" in shown(response)
        assert "There are more" not in shown(response)

    def test_have_pages(self, admin_client, many, monkeypatch):
        listed = base.admin.site.get_model_admin(CourseEnrollment)
        monkeypatch.setattr(listed, "list_per_page", 2)
        pages = [
            [
                row.pk
                for row in admin_client.get(list_url(), query).context["cl"].result_list
            ]
            for query in ({}, {"p": "2"}, {"p": "3"}, {"all": ""})
        ]

        assert [len(page) for page in pages] == [2, 2, 1, 5]
        assert pages[0] + pages[1] + pages[2] == pages[3]
        assert pages[3] == sorted(pages[3], reverse=True)
        assert admin_client.get(list_url(), {"p": "4"}).status_code == 302

    def test_search_a_limited_number_of_names(self, admin_client, many, monkeypatch):
        monkeypatch.setattr(base, "MATCHES_SEARCHED", 2)

        response = admin_client.get(list_url(), {"q": "learner"})
        exact = admin_client.get(list_url(), {"q": username("learner7")})

        assert response.context["cl"].result_count == 2
        assert "More than 2 names or ids begin with this text." in shown(response)
        assert exact.context["cl"].result_count == 1

    def test_never_search_for_a_part_in_the_middle(self, admin_client, many):
        with CaptureQueriesContext(connection) as captured:
            found = admin_client.get(list_url(), {"q": "earner1"})

        assert found.context["cl"].result_count == 0
        assert not any("LIKE '%" in one["sql"] for one in captured.captured_queries)


class TestExport:
    def export(self, client, query: str = "", *rows) -> list[dict[str, str]]:
        data = {
            "action": "export_csv",
            "_selected_action": [row.pk for row in rows] or ["all"],
            "select_across": "0" if rows else "1",
        }
        response = client.post(list_url() + query, data)
        assert response.status_code == 200
        assert response.streaming
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        assert "attachment" in response["Content-Disposition"]
        assert {"private", "no-store"} <= {*response["Cache-Control"].split(", ")}
        text = b"".join(response.streaming_content).decode()
        return list(csv.DictReader(io.StringIO(text)))

    def test_of_the_selection(self, admin_client, row, course, operator):
        (user,) = make_users(1)
        service.enroll(user, course)
        service.change_mode(
            row.user, course, "verified", actor=operator, reason="=1+1", source="api"
        )

        (line,) = self.export(admin_client, "", row)

        row.refresh_from_db()
        assert line["username"] == username("ada")
        assert line["email"] == "ada@example.org"
        assert (line["course"], line["mode"]) == ("django-101", "verified")
        assert line["is_active"] == "true"
        assert line["created"].endswith("Z")
        assert (line["last_source"], line["last_actor"]) == (
            "api",
            username("operator"),
        )
        # No formula.
        assert line["last_reason"] == "'=1+1"

    def test_of_the_filtered_list(self, admin_client, course, row, monkeypatch):
        monkeypatch.setattr(exports, "ROWS_PER_BATCH", 2)
        service.bulk_enroll(course, make_users(5), mode="verified")

        lines = self.export(admin_client, "?mode=verified")

        assert [line["mode"] for line in lines] == ["verified"] * 5
        assert len({line["username"] for line in lines}) == 5
        assert len(self.export(admin_client)) == 6
        assert len(self.export(admin_client, "?source=bulk")) == 5
        assert self.export(admin_client, "?mode=gold") == []

    def test_is_offered_on_the_list(self, admin_client, row):
        everything = admin_client.get(list_url())
        some = admin_client.get(list_url(), {"mode": "audit"})

        assert "Export all as CSV" in shown(everything)
        assert "Export these as CSV" in shown(some)

    def test_reads_as_many_statements_per_batch(
        self, admin_client, course, monkeypatch
    ):
        monkeypatch.setattr(exports, "ROWS_PER_BATCH", 3)
        service.bulk_enroll(course, make_users(2), actor=make_user("bob"))
        with CaptureQueriesContext(connection) as one_batch:
            self.export(admin_client)
        service.bulk_enroll(course, make_users(3, "more"), actor=make_user("carol"))
        with CaptureQueriesContext(connection) as two_batches:
            self.export(admin_client)

        first, both = (len(list_statements(one)) for one in (one_batch, two_batches))
        assert both - first <= 6

    def test_of_a_deleted_course(self, admin_client, row):
        row.course.delete()

        (line,) = self.export(admin_client)

        assert line["course"] == "django-101"

    def test_has_no_addresses_for_those_who_may_not_view_users(self, client, row):
        client.force_login(make_clerk("view_courseenrollment"))

        (line,) = self.export(client)

        assert "email" not in line


def test_course_ids_are_searched_by_their_beginning(admin_client, row):
    (user,) = make_users(1)
    service.enroll(user, make_course("other-101"))

    for term, number in (("django-101", 1), ("djan", 1), ("101", 0), ("other", 1)):
        found = admin_client.get(list_url(), {"q": term})
        assert found.context["cl"].result_count == number, term
    assert course_id_of(row.course) == "django-101"
    assert get_course_model().objects.count() == 2


@pytest.mark.parametrize("limit", [1, 5_000])
def test_events_are_searched_by_course_person_and_key(
    limit, admin_client, row, monkeypatch
):
    monkeypatch.setattr("django_enrollments.admin.history.ROWS_COUNTED", limit)
    other, gone = make_users(2)
    service.enroll(other, make_course("other-101"))
    service.enroll(gone, row.course)
    key = gone.pk
    gone.delete()
    address = url(EnrollmentEvent, "changelist")

    for term, number in (
        ("django-101", 1),
        ("other-101", 1),
        (username("ada"), 1),
        (str(key), 1),
        ("ango", 0),
    ):
        found = admin_client.get(address, {"q": term})
        assert found.context["cl"].result_count == number, term
