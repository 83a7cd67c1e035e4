"""Tests of the pages of course teams, and of the dashboard."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client, TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import override

from accounts.models import User
from catalog.models import CourseRun, RefusedAttempt, School
from django_enrollments import delivery
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService
from team.numbers import read_totals

SERVICE = EnrollmentsService()


class TeamCase(TestCase):
    """A course with a team, modes and seats."""

    course: CourseRun
    other: CourseRun
    teacher: User
    staff: User
    learner: User

    @classmethod
    def setUpTestData(cls) -> None:
        school = School.objects.create(code="evening", name="Evening School")
        cls.course = CourseRun.objects.create(
            school=school, code="DJANGO-101", title="Django", seats=2000
        )
        cls.other = CourseRun.objects.create(
            school=school, code="evening/pottery", title="Pottery", seats=1
        )
        for slug, name in (("audit", "Guest"), ("verified", "Certificate")):
            CourseMode.objects.create(
                course=cls.course, mode_slug=slug, mode_display_name=name
            )
        cls.teacher = User.objects.create_user("teacher", "teacher@example.org")
        cls.staff = User.objects.create_user("staff", is_staff=True)
        cls.learner = User.objects.create_user("ada", "ada@example.org", name="Ada")
        for course in (cls.course, cls.other):
            CourseAccessRole.objects.create(
                user=cls.teacher, org="evening", course_id=course.code, role="staff"
            )

    def setUp(self) -> None:
        cache.clear()
        self.client.force_login(self.teacher)

    def url(self, name: str, *args: Any, course: CourseRun | None = None) -> str:
        return reverse(f"team:{name}", args=[(course or self.course).code, *args])

    def learners(self, count: int, **states: Any) -> list[User]:
        """Create accounts, and enroll them."""
        first = User.objects.count()
        users = User.objects.bulk_create(
            User(username=f"learner{n}", email=f"learner{n}@example.org")
            for n in range(first, first + count)
        )
        SERVICE.bulk_enroll(self.course, users, states.get("mode", "audit"))
        return users

    def count_statements(self, url: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            response = self.client.get(url)
            b"".join(response)
        self.assertEqual(response.status_code, 200)
        return len(captured)

    def enroll(self, learner: str, **fields: str) -> Any:
        data = {"learner": learner, "mode": "audit", "reason": "Paid", **fields}
        return self.client.post(self.url("enroll"), data, follow=True)

    def messages(self, response: Any) -> list[str]:
        return [str(message) for message in response.context["messages"]]


class AccessTests(TeamCase):
    def urls(self, code: str) -> list[str]:
        names = ("roster", "enroll", "invitations", "download", "import")
        return [
            *(reverse(f"team:{name}", args=[code]) for name in names),
            reverse("team:learner", args=[code, self.learner.pk]),
            reverse("team:import-file", args=[code, "key"]),
        ]

    def test_visitors_log_in_first(self) -> None:
        self.client.logout()
        for url in (*self.urls("DJANGO-101"), *self.urls("NOWHERE"), "/dashboard/"):
            self.assertRedirects(
                self.client.get(url),
                f"/accounts/login/?next={url}",
                fetch_redirect_response=False,
            )

    def test_learners_do_not_learn_whether_a_course_exists(self) -> None:
        SERVICE.enroll(self.learner, self.course)
        self.client.force_login(self.learner)
        pairs = zip(self.urls("DJANGO-101"), self.urls("NOWHERE"), strict=True)
        for known, unknown in pairs:
            for send in (self.client.get, self.client.post):
                answers = [send(url) for url in (known, unknown)]
                # Methods that a page does not have are refused for everybody.
                self.assertIn(answers[0].status_code, {403, 405})
                self.assertEqual(answers[0].status_code, answers[1].status_code)
                texts = [
                    answer.content.replace(url.encode(), b"")
                    for answer, url in zip(answers, (known, unknown), strict=True)
                ]
                self.assertEqual(*map(_without_tokens, texts))
        self.assertEqual(self.client.get("/dashboard/").status_code, 403)

    def test_a_team_has_its_own_courses_only(self) -> None:
        CourseAccessRole.objects.filter(course_id=self.other.code).delete()
        for url in self.urls("evening/pottery"):
            self.assertEqual(self.client.get(url).status_code, 403)
        self.assertEqual(self.client.get("/dashboard/").status_code, 403)

    def test_staff_have_all_courses(self) -> None:
        self.client.force_login(self.staff)
        self.assertEqual(self.client.get(self.url("roster")).status_code, 200)
        self.assertEqual(self.client.get("/team/NOWHERE/").status_code, 404)

    def test_a_course_id_may_contain_slashes(self) -> None:
        response = self.client.get("/team/evening/pottery/import/")
        self.assertContains(response, "Pottery")

    def test_pages_are_not_stored(self) -> None:
        response = self.client.get(self.url("roster"))
        self.assertIn("no-store", response["Cache-Control"])
        self.assertIn("private", response["Cache-Control"])

    def test_forms_need_their_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.teacher)
        for url in self.urls("DJANGO-101"):
            self.assertIn(client.post(url, {"learner": "ada"}).status_code, {403, 405})
        self.assertEqual(CourseEnrollment.objects.count(), 0)


class RosterTests(TeamCase):
    def shown(self, query: str = "") -> list[str]:
        response = self.client.get(self.url("roster") + query)
        return [row.user.username for row in response.context["page"]]

    def test_says_that_nobody_is_enrolled(self) -> None:
        self.assertContains(self.client.get(self.url("roster")), "Nobody is enrolled")

    def test_says_that_nobody_matches(self) -> None:
        self.learners(1)
        response = self.client.get(self.url("roster") + "?q=zebra")
        self.assertContains(response, "No learner matches")

    def test_searches_filters_and_sorts(self) -> None:
        SERVICE.enroll(self.learner, self.course, "verified")
        former, current = self.learners(2)
        SERVICE.unenroll(former, self.course)
        name = current.username
        self.assertEqual(self.shown("?q=ada@"), ["ada"])
        self.assertEqual(self.shown("?mode=verified"), ["ada"])
        self.assertEqual(self.shown("?state=former"), [former.username])
        self.assertEqual(self.shown("?sort=learner"), ["ada", name])
        self.assertEqual(self.shown("?sort=-learner"), [name, "ada"])
        self.assertEqual(len(self.shown("?state=all")), 3)
        tomorrow = (timezone.now() + timedelta(days=1)).date()
        self.assertEqual(self.shown(f"?since={tomorrow}"), [])
        self.assertEqual(len(self.shown(f"?since={timezone.now().date()}")), 2)

    def test_ignores_what_it_does_not_know(self) -> None:
        self.learners(1)
        for query in (
            "?since=yesterday",
            "?sort=password",
            "?page=nine",
            "?page=-1",
            "?mode=x",
            "?q=%00",
        ):
            self.assertEqual(
                self.client.get(self.url("roster") + query).status_code, 200
            )

    def test_costs_the_same_for_one_and_for_many(self) -> None:
        self.learners(1)
        one = self.count_statements(self.url("roster"))
        self.learners(999)
        self.assertEqual(self.count_statements(self.url("roster")), one)
        self.assertLessEqual(one, 10)
        self.assertEqual(len(self.shown("?page=20")), 50)

    def test_downloads_what_the_page_shows_without_formulas(self) -> None:
        User.objects.filter(pk=self.learner.pk).update(name="=cmd|'/C calc'!A0")
        SERVICE.enroll(self.learner, self.course, "verified")
        self.learners(3)
        response = self.client.get(self.url("download") + "?mode=verified")
        self.assertTrue(response.streaming)
        text = b"".join(response).decode("utf-8-sig")
        (row,) = csv.DictReader(io.StringIO(text))
        self.assertEqual((row["username"], row["mode"]), ("ada", "verified"))
        self.assertEqual(row["name"], "'=cmd\\|'/C calc'!A0")

    def test_downloads_in_a_constant_number_of_statements(self) -> None:
        self.learners(1)
        one = self.count_statements(self.url("download"))
        self.learners(1500)
        self.assertEqual(self.count_statements(self.url("download")), one)


class EnrollTests(TeamCase):
    def test_enrolls_by_username_and_address(self) -> None:
        for name in ("ada", "ADA@example.org"):
            CourseEnrollment.objects.all().delete()
            response = self.enroll(name)
            self.assertIn("is enrolled now", self.messages(response)[0])
            event = SERVICE.history(self.learner, self.course).first()
            assert event is not None
            self.assertEqual(
                (event.actor, event.reason, event.source),
                (self.teacher, "Paid", "team"),
            )

    def test_invites_an_address_without_an_account(self) -> None:
        response = self.enroll("new@example.org", mode="verified")
        self.assertIn("It is invited", self.messages(response)[0])
        (invitation,) = SERVICE.open_invitations(self.course)
        self.assertEqual((invitation.mode, invitation.reason), ("verified", "Paid"))

    def test_changes_nothing_when_it_is_sent_twice(self) -> None:
        self.enroll("ada")
        response = self.enroll("ada")
        self.assertIn("Nothing was changed", self.messages(response)[0])
        self.assertEqual(EnrollmentEvent.objects.count(), 1)

    def test_refuses_in_a_sentence_and_counts_the_refusal(self) -> None:
        sentence = "You can enroll another learner when a seat becomes free."
        url = self.url("enroll", course=self.other)
        self.assertNotContains(self.client.get(url), sentence)
        SERVICE.enroll(self.staff, self.other)
        self.assertContains(self.client.get(url), sentence)
        data = {"learner": "ada", "mode": "audit", "reason": "Please"}
        response = self.client.post(self.url("enroll", course=self.other), data)
        (text,) = self.messages(response)
        self.assertIn("Ada cannot be enrolled. Full: 0 of 1 seat left.", text)
        self.assertEqual(RefusedAttempt.objects.get().code, "course_full")
        self.assertContains(response, 'value="ada"')

    def test_says_which_account_is_unknown(self) -> None:
        response = self.enroll("nobody")
        self.assertIn("There is no account with this name", self.messages(response)[0])
        response = self.enroll("no address@")
        self.assertIn("This is not an e-mail address", self.messages(response)[0])

    def test_needs_a_reason(self) -> None:
        response = self.enroll("ada", reason=" ")
        self.assertContains(response, "This field is required")
        self.assertEqual(CourseEnrollment.objects.count(), 0)

    def test_only_staff_can_ignore_the_window(self) -> None:
        yesterday = timezone.now().date() - timedelta(days=1)
        CourseRun.objects.update(registration_closes_on=yesterday)
        self.enroll("ada", force="on")
        self.assertEqual(CourseEnrollment.objects.count(), 0)
        self.client.force_login(self.staff)
        self.enroll("ada")
        self.assertEqual(CourseEnrollment.objects.count(), 0)
        self.enroll("ada", force="on")
        self.assertEqual(CourseEnrollment.objects.count(), 1)


class LearnerTests(TeamCase):
    def setUp(self) -> None:
        super().setUp()
        self.enrollment = SERVICE.enroll(self.learner, self.course, reason="Herself")
        self.page = self.url("learner", self.learner.pk)

    def act(self, action: str, **fields: str) -> Any:
        data = {f"{action}-{name}": value for name, value in fields.items()}
        return self.client.post(self.page, {"action": action, **data}, follow=True)

    def test_shows_the_history(self) -> None:
        response = self.client.get(self.page)
        self.assertContains(response, "Enrolled: Guest")
        self.assertContains(response, "Herself")

    def test_of_somebody_else_is_not_found(self) -> None:
        for key in (self.staff.pk, 10**12, 10**30):
            response = self.client.get(self.url("learner", key))
            self.assertEqual(response.status_code, 404)

    def test_changes_the_mode_once(self) -> None:
        response = self.act("change", mode="verified", reason="Paid")
        self.assertEqual(
            self.messages(response), ["The mode of Ada is Certificate now."]
        )
        response = self.act("change", mode="verified", reason="Paid")
        self.assertIn("Nothing was changed", self.messages(response)[0])
        event = SERVICE.history(self.learner, self.course)[0]
        self.assertEqual((event.mode_after, event.reason), ("verified", "Paid"))
        self.assertEqual((event.actor, event.source), (self.teacher, "team"))
        self.assertEqual(EnrollmentEvent.objects.count(), 2)

    def test_unenrolls_once_and_enrolls_again(self) -> None:
        self.act("unenroll", reason="Ill")
        response = self.act("unenroll", reason="Ill")
        self.assertIn("Nothing was changed", self.messages(response)[0])
        self.assertFalse(SERVICE.is_enrolled(self.learner, self.course))
        response = self.act("enroll", mode="audit", reason="Well")
        self.assertEqual(self.messages(response), ["Ada is enrolled again."])
        reasons = [event.reason for event in SERVICE.history(self.learner)]
        self.assertEqual(reasons, ["Well", "Ill", "Herself"])

    def test_needs_a_reason_and_a_known_mode(self) -> None:
        for action, fields in (
            ("unenroll", {"reason": ""}),
            ("change", {"mode": "verified", "reason": ""}),
            ("change", {"mode": "gold", "reason": "Paid"}),
            ("explode", {"reason": "Paid"}),
        ):
            self.assertEqual(self.act(action, **fields).status_code, 200)
        self.assertEqual(EnrollmentEvent.objects.count(), 1)

    def test_costs_the_same_for_one_event_and_for_many(self) -> None:
        one = self.count_statements(self.page)
        for _ in range(40):
            SERVICE.unenroll(self.learner, self.course, actor=self.teacher)
            SERVICE.enroll(self.learner, self.course, actor=self.teacher)
        self.assertEqual(self.count_statements(self.page), one)


class InvitationTests(TeamCase):
    def test_are_taken_back_once(self) -> None:
        self.enroll("new@example.org")
        (invitation,) = SERVICE.open_invitations(self.course)
        page = self.url("invitations")
        self.assertContains(self.client.get(page), "new@example.org")
        data = {"invitation": invitation.pk}
        response = self.client.post(page, data, follow=True)
        self.assertIn("is taken back", self.messages(response)[0])
        response = self.client.post(page, data, follow=True)
        self.assertIn("Nothing was changed", self.messages(response)[0])
        self.assertContains(response, "No open invitations")

    def test_of_other_courses_and_used_ones_stay(self) -> None:
        other, used = CourseEnrollmentAllowed.objects.bulk_create(
            [
                CourseEnrollmentAllowed(email="a@x.org", course_id=self.other.code),
                CourseEnrollmentAllowed(
                    email="b@x.org", course_id=self.course.code, user=self.learner
                ),
            ]
        )
        for key in (other.pk, used.pk, "x", "", "9" * 30, "9" * 5_000):
            self.client.post(self.url("invitations"), {"invitation": key})
        self.assertEqual(CourseEnrollmentAllowed.objects.count(), 2)

    def test_cost_the_same_for_one_and_for_many(self) -> None:
        self.enroll("new@example.org")
        self.client.get(self.url("invitations"))
        one = self.count_statements(self.url("invitations"))
        CourseEnrollmentAllowed.objects.bulk_create(
            CourseEnrollmentAllowed(email=f"a{n}@x.org", course_id=self.course.code)
            for n in range(1000)
        )
        self.assertEqual(self.count_statements(self.url("invitations")), one)


class ImportTests(TeamCase):
    FILE = (
        "username,email,mode,action\n"
        "ada,,verified,enroll\n"
        ",new@example.org,,enroll\n"
        "nobody,,,enroll\n"
        "teacher,,,unenroll\n"
    )

    def upload(self, text: str = FILE, reason: str = "Autumn") -> Any:
        file = SimpleUploadedFile("learners.csv", text.encode())
        data = {"file": file, "reason": reason}
        return self.client.post(self.url("import"), data, follow=True)

    def confirm(self, preview: Any) -> Any:
        return self.client.post(preview.request["PATH_INFO"], follow=True)

    def test_the_page_lists_the_modes_of_the_course(self) -> None:
        page = self.client.get(self.url("import"))
        for mode in CourseMode.modes_for_course(self.course):
            shown = f"<code>{mode.mode_slug}</code> <bdi>{mode.mode_display_name}</bdi>"
            self.assertContains(page, f"<li>{shown}</li>", html=True)
        self.assertContains(page, f"ada,,{mode.mode_slug},enroll")

    def test_the_preview_shows_each_row_and_writes_nothing(self) -> None:
        preview = self.upload()
        statuses = [row.status for row in preview.context["preview"].rows]
        self.assertEqual(statuses, ["created", "invited", "error", "unchanged"])
        self.assertContains(preview, "There is no account with this name.")
        self.assertEqual(CourseEnrollment.objects.count(), 0)
        self.assertEqual(CourseEnrollmentAllowed.objects.count(), 0)

    def test_the_confirmation_does_what_was_shown(self) -> None:
        results = self.confirm(self.upload())
        self.assertRegex(results.request["PATH_INFO"], r"/import/\w{32}/$")
        self.assertIn("The file is imported: 2 rows.", self.messages(results))
        event = EnrollmentEvent.objects.get()
        self.assertEqual(
            (event.actor, event.reason, event.source, event.mode_after),
            (self.teacher, "Autumn", "team", "verified"),
        )
        url = results.request["PATH_INFO"] + "?format=csv"
        text = self.client.get(url).content.decode("utf-8-sig")
        statuses = [row["status"] for row in csv.DictReader(io.StringIO(text))]
        self.assertEqual(statuses, ["created", "invited", "error", "unchanged"])

    def test_a_form_that_is_sent_twice_leads_to_the_same_results(self) -> None:
        preview = self.upload()
        first, second = self.confirm(preview), self.confirm(preview)
        self.assertEqual(first.request["PATH_INFO"], second.request["PATH_INFO"])
        self.assertEqual(EnrollmentEvent.objects.count(), 1)

    def test_a_stale_preview_is_refused_and_shown_anew(self) -> None:
        preview = self.upload()
        SERVICE.enroll(self.learner, self.course, "verified")
        refused = self.confirm(preview)
        self.assertIn("Nothing was imported", self.messages(refused)[0])
        self.assertNotEqual(refused.request["PATH_INFO"], preview.request["PATH_INFO"])
        self.assertEqual(CourseEnrollmentAllowed.objects.count(), 0)
        self.confirm(refused)
        self.assertEqual(CourseEnrollmentAllowed.objects.count(), 1)

    def test_is_refused_when_the_team_has_changed(self) -> None:
        preview = self.upload()
        CourseAccessRole.objects.filter(user=self.teacher).delete()
        self.assertEqual(self.confirm(preview).status_code, 403)
        self.assertEqual(CourseEnrollment.objects.count(), 0)

    def test_results_are_private(self) -> None:
        results = self.confirm(self.upload())
        self.client.force_login(self.staff)
        response = self.client.get(results.request["PATH_INFO"], follow=True)
        self.assertIn("not kept any more", self.messages(response)[0])

    def test_an_unreadable_file_is_refused_in_a_sentence(self) -> None:
        for text in ("", "name;mode\n", "username\n", "\x00"):
            response = self.upload(text)
            self.assertTrue(response.context["form"].errors["file"])

    def test_rows_of_other_courses_are_refused(self) -> None:
        preview = self.upload("course,username\nevening/pottery,ada\n")
        self.assertEqual(preview.context["preview"].rows[0].code, "other_course")
        self.assertContains(preview, "The import would change nothing")

    def test_costs_the_same_for_one_row_and_for_many(self) -> None:
        def count(text: str) -> int:
            with CaptureQueriesContext(connection) as captured:
                self.upload(text)
            return len(captured)

        names = [
            user.username
            for user in User.objects.bulk_create(
                User(username=f"student{n}") for n in range(400)
            )
        ]
        one = count("username\nada\n")
        self.assertLessEqual(count("username\n" + "\n".join(names)), one + 4)


class DashboardTests(TeamCase):
    def setUp(self) -> None:
        super().setUp()
        self.client.force_login(self.staff)

    def charts(self, query: str = "") -> dict[str, Any]:
        response = self.client.get("/dashboard/" + query)
        return {chart.name: chart for chart in response.context["charts"]}

    def table(self, name: str, query: str = "") -> list[list[Any]]:
        return [[cell.value for cell in row] for row in self.charts(query)[name].rows]

    def test_of_a_new_school_says_so(self) -> None:
        self.assertContains(self.client.get("/dashboard/"), "There are no enrollments")

    def test_counts_what_happened(self) -> None:
        monday = timezone.now().replace(year=2024, month=6, day=3)
        for days, user in enumerate((self.learner, self.teacher)):
            at = monday + timedelta(days=7 * days)
            SERVICE.enroll(user, self.course, "verified", at=at)
        SERVICE.unenroll(self.learner, self.course, at=monday + timedelta(days=8))
        SERVICE.change_mode(self.teacher, self.course, "audit")
        RefusedAttempt.objects.create(course=self.other, code="course_full")
        self.assertEqual(
            self.table("movements"), [["10 June 2024", 1, 1], ["3 June 2024", 1, 0]]
        )
        self.assertEqual(
            self.table("active"), [["10 June 2024", 1], ["3 June 2024", 1]]
        )
        self.assertEqual(self.table("modes"), [["Audit", 1]])
        self.assertEqual(self.table("refusals"), [["Course full", 1]])
        self.assertEqual(self.table("refusals", "?year=2024"), [])
        self.assertEqual(self.table("movements", "?year=1999"), self.table("movements"))

    def test_translates_the_modes(self) -> None:
        SERVICE.enroll(self.learner, self.course, "audit")
        page = self.client.get("/dashboard/", headers={"accept-language": "de"})
        self.assertContains(page, "Gasthörer hat die meisten")

    def test_leaves_out_years_without_movements(self) -> None:
        for year, user in ((2020, self.learner), (2023, self.teacher)):
            at = timezone.now().replace(year=year, month=12, day=25)
            SERVICE.enroll(user, self.course, at=at)
        page = self.client.get("/dashboard/")
        chart = next(iter(page.context["charts"]))
        self.assertEqual(
            {label[-4:] for label in chart.drawing.labels}, {"2020", "2023"}
        )
        sentence = "Years without arrivals and departures are left out."
        self.assertContains(page, sentence)
        self.assertNotContains(self.client.get("/dashboard/?year=2020"), sentence)

    def test_groups_digits_in_texts_and_charts_alike(self) -> None:
        for language, _name in settings.LANGUAGES:
            page = self.client.get("/dashboard/", headers={"accept-language": language})
            with self.subTest(language), override(language):
                number = f"12{page.context['separator']}345"
                self.assertEqual(number_format(12345, force_grouping=True), number)

    def test_counts_new_events_at_once(self) -> None:
        (first,) = self.learners(1)
        self.assertEqual(read_totals().active, 1)
        self.learners(2, mode="verified")
        SERVICE.unenroll(first, self.course)
        SERVICE.enroll(self.learner, self.course)
        SERVICE.change_mode(self.learner, self.course, "verified")
        totals = read_totals()
        cache.clear()
        self.assertEqual(totals, read_totals())
        self.assertEqual((totals.active, totals.former), (3, 1))
        self.assertEqual(totals.modes, {"verified": 3})

    def test_counts_new_refusals_at_once(self) -> None:
        for count in (1, 2):
            RefusedAttempt.objects.create(course=self.other, code="course_full")
            self.assertEqual(read_totals().reasons(), [("course_full", count)])
        year = timezone.now().year
        self.assertEqual(read_totals().reasons(year), [("course_full", 2)])
        self.assertEqual(read_totals().reasons(year - 1), [])

    def test_orders_courses_by_their_share_of_taken_seats(self) -> None:
        self.learners(3)
        SERVICE.enroll(self.learner, self.other)
        # Staff of the course take no seat.
        SERVICE.enroll(self.teacher, self.course)
        rows = [row[1:] for row in self.table("courses")]
        self.assertEqual(rows, [[1, 1, 100], [3, 2000, 0]])

    def test_costs_the_same_for_one_and_for_many(self) -> None:
        self.learners(1)
        self.count_statements("/dashboard/")
        one = self.count_statements("/dashboard/")
        self.learners(400)
        self.assertEqual(self.count_statements("/dashboard/"), one)
        cache.clear()
        self.assertLessEqual(self.count_statements("/dashboard/"), one + 6)
        # Seven of them are about the two consumers of the project's settings.
        self.assertLessEqual(one, 18)


def _without_tokens(content: bytes) -> bytes:
    """Return a page without its tokens against forged requests."""
    return b"".join(content.split(b'name="csrfmiddlewaretoken" value="')[:1])


class ConsumerTests(TeamCase):
    def lines(self) -> list[Any]:
        self.client.force_login(self.staff)
        lines: list[Any] = self.client.get("/dashboard/").context["consumers"]
        return lines

    def test_show_the_events_that_wait(self) -> None:
        backend = "django_enrollments.delivery.backends.CallBackend"
        options = {"function": "site_tests.test_team.receive"}
        consumers = {"counter": {"BACKEND": backend, "OPTIONS": options}}
        with self.settings(ENROLLMENTS_CONSUMERS=consumers):
            delivery.deliver("counter")
            self.learners(3)
            (line,) = self.lines()
            self.assertEqual((line.name, line.lag), ("counter", 3))
            self.assertTrue(line.waiting)
            self.assertContains(self.client.get("/dashboard/"), "counter")

    def test_are_left_out_without_any(self) -> None:
        with self.settings(ENROLLMENTS_CONSUMERS={}):
            self.assertEqual(self.lines(), [])


def receive(message: Any) -> None:
    """Receive an event."""
