"""The pages of course teams, clicked by learners, a course team and staff."""

from __future__ import annotations

import csv
import io

import pytest

pytestmark = pytest.mark.slow

#: A course with a team of one, three learners and one free seat, and an empty course.
SETUP = """
from accounts.models import User
from catalog.models import CourseRun, School
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django_enrollments.models import CourseAccessRole, CourseMode
from django_enrollments.services import EnrollmentsService

password = PBKDF2PasswordHasher().encode("demo-tutor", "salt", 1)
tutor = User.objects.create(username="tutor", name="Tilda Tutor", password=password)
school = School.objects.create(code="night", name="Night School")
for code, title, seats in (("TEAM-1", "Astronomy", 6), ("TEAM-2", "Botany", None)):
    run = CourseRun.objects.create(school=school, code=code, title=title, seats=seats)
    CourseMode.objects.create(course=run, mode_slug="audit", mode_display_name="Guest")
    CourseMode.objects.create(
        course=run, mode_slug="verified", mode_display_name="Certificate"
    )
    CourseAccessRole.objects.create(
        user=tutor, org="night", course_id=code, role="staff"
    )
names = ("Vera Rubin", "Edwin Hubble", "Cecilia Payne", "Tycho Brahe", "Annie Cannon")
for name in names:
    first = name.split()[0].lower()
    User.objects.create(username=first, name=name, email=f"{first}@example.org")
for first in ("vera", "edwin", "cecilia"):
    EnrollmentsService().enroll(User.objects.get(username=first), "TEAM-1", "audit")
"""

PAGES = ("", "enroll/", "invitations/", "import/")

#: Reads a file that a link of the page downloads.
DOWNLOAD = """
const done = arguments[arguments.length - 1];
fetch(arguments[0])
    .then((answer) => answer.text())
    .then(done, (error) => done(`${error}`));
"""


@pytest.fixture(scope="module")
def team(demo):
    """Create the courses, the course team and the learners."""
    done = demo.manage("shell", "--command", SETUP)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def tutor(team, person):
    """Log the course team in."""
    person.log_in("tutor")
    return person


def rows(person) -> dict[str, str]:
    """Return the text of each row of the table by its row heading's first word."""
    return {row.text.split()[0]: row.text for row in person.find_all("tbody tr")}


def fill(person, **fields: str):
    for name, text in fields.items():
        field = person.find(f"[name={name.replace('__', '-')}]")
        if field.tag_name == "select":
            field.find_element("css selector", f"[value='{text}']").click()
        else:
            field.clear()
            field.send_keys(text)


def test_learners_may_not_open_them(team, person, newcomer):
    person.log_in(newcomer)

    for path in (*(f"/team/TEAM-1/{page}" for page in PAGES), "/team/NOWHERE/"):
        person.open(path)
        assert person.sees("You may not open this page", "h1")

    assert all("403" in message for message in person.complaints())


def test_anonymous_visitors_log_in_first(team, person):
    person.open("/team/TEAM-1/")

    assert person.path == "/accounts/login/"


def test_no_page_has_a_fault(tutor):
    faults = []
    tutor.open("/team/TEAM-1/")
    learner = tutor.find("tbody th a").get_attribute("href").removeprefix(tutor.site)
    for path in (
        *(f"/team/TEAM-1/{page}" for page in PAGES),
        "/team/TEAM-1/?q=nobody",
        "/team/TEAM-2/",
        learner,
    ):
        faults += tutor.faults_everywhere(path)

    assert faults == []


class TestRoster:
    def test_leads_from_the_navigation_to_a_learner(self, tutor):
        tutor.click("Team", "nav")
        assert tutor.sees("Astronomy")

        tutor.open("/team/TEAM-1/")
        tutor.click("Vera Rubin")

        assert tutor.sees("Vera Rubin", "h1")
        assert tutor.sees("Enrolled: Guest", ".timeline")

    def test_searches_filters_and_sorts(self, tutor):
        tutor.open("/team/TEAM-1/?state=all")
        fill(tutor, q="EDWIN@")
        tutor.click("Show")
        assert tutor.wait_until(lambda: list(rows(tutor)) == ["Edwin"])

        fill(tutor, mode="verified")
        tutor.click("Show")
        assert tutor.sees("No learner matches")

        tutor.click("Show all active learners")
        tutor.click("Learner", "thead")
        assert tutor.find("thead [aria-sort=ascending]")
        names = [row.text for row in tutor.find_all("tbody th a")]
        assert names == sorted(names)
        tutor.click("Learner", "thead")
        assert tutor.find("thead [aria-sort=descending]")
        assert [row.text for row in tutor.find_all("tbody th a")] == names[::-1]

    def test_is_downloaded(self, tutor):
        tutor.open("/team/TEAM-1/?q=vera")
        link = tutor.find("a[download]").get_attribute("href")

        text = tutor.browser.execute_async_script(DOWNLOAD, link)

        (row,) = csv.DictReader(io.StringIO(text.lstrip("\ufeff")))
        assert (row["username"], row["email"]) == ("vera", "vera@example.org")

    def test_of_an_empty_course_leads_to_enrolling(self, tutor):
        tutor.open("/team/TEAM-2/")
        assert tutor.sees("Nobody is enrolled yet")

        tutor.click("Enroll a learner", ".empty")

        assert tutor.wait_until(lambda: tutor.path == "/team/TEAM-2/enroll/")


class TestChanges:
    def test_enroll_by_username_and_come_back(self, tutor):
        tutor.open("/team/TEAM-1/enroll/")
        fill(tutor, learner="tycho", mode="verified", reason="Paid at the desk")
        tutor.click("Enroll", "main form")
        assert tutor.sees("Tycho Brahe is enrolled now", ".messages")
        assert "Certificate" in rows(tutor)["Tycho"]

        # The back button shows the form again; sending it again changes nothing.
        tutor.browser.back()
        fill(tutor, learner="tycho", mode="verified", reason="Paid at the desk")
        tutor.click("Enroll", "main form")
        assert tutor.sees("Nothing was changed", ".messages")

        tutor.click("Tycho Brahe")
        assert tutor.sees("by Tilda Tutor · Paid at the desk", ".timeline")
        assert len(tutor.find_all(".timeline > li")) == 1

    def test_a_mode_leaving_and_coming_back(self, tutor):
        tutor.open("/team/TEAM-1/?q=cecilia&state=all")
        tutor.click("Cecilia Payne")

        fill(tutor, change__mode="verified", change__reason="Upgrade")
        tutor.click("Change the mode", "form:has([name=change-mode])")
        assert tutor.sees("is Certificate now", ".messages")

        fill(tutor, unenroll__reason="Moved away")
        tutor.click("Unenroll", "form:has([name=unenroll-reason])")
        assert tutor.sees("is not enrolled any more", ".messages")
        assert tutor.sees("Former", ".page-head")

        fill(tutor, enroll__mode="audit", enroll__reason="Came back")
        tutor.click("Enroll again", "form:has([name=enroll-mode])")
        assert tutor.sees("is enrolled again", ".messages")
        told = tutor.text(".timeline")
        for reason in ("Upgrade", "Moved away", "Came back"):
            assert f"by Tilda Tutor · {reason}" in told

    def test_a_refusal_is_explained(self, tutor):
        # The first three take the last seats.
        for name in ("tycho", "annie", "learner", "grace"):
            tutor.open("/team/TEAM-1/enroll/")
            fill(tutor, learner=name, reason="Waiting list")
            tutor.click("Enroll", "main form")
            assert tutor.find(".messages")

        assert tutor.sees("cannot be enrolled. Full: 0 of 6 seats left", ".messages")
        assert tutor.find("[name=learner]").get_attribute("value") == name

    def test_work_with_the_keyboard_alone(self, tutor):
        tutor.open("/team/TEAM-2/enroll/")
        tutor.find("[name=learner]").send_keys("vera\t", "\t")
        active = tutor.browser.switch_to.active_element
        assert active.get_attribute("name") == "reason"
        active.send_keys("Keyboard\n")

        assert tutor.sees("Vera Rubin is enrolled now", ".messages")


def test_an_invitation_is_made_and_taken_back(tutor):
    tutor.open("/team/TEAM-2/invitations/")
    assert tutor.sees("No open invitations")
    tutor.click("Enroll or invite a learner")
    fill(tutor, learner="new@example.com", mode="verified", reason="Colleague")
    tutor.click("Enroll", "main form")
    assert tutor.sees("It is invited", ".messages")

    tutor.click("Invitations", ".tabs")
    row = rows(tutor)["new@example.com"]
    assert "Certificate" in row
    assert "Colleague" in row
    assert tutor.faults_everywhere("/team/TEAM-2/invitations/") == []

    tutor.click("Take back")
    assert tutor.sees("new@example.com is taken back", ".messages")
    assert tutor.sees("No open invitations")


class TestImport:
    @pytest.fixture
    def upload(self, tutor, tmp_path):
        def upload(text: str):
            file = tmp_path / "learners.csv"
            file.write_text(text)
            tutor.open("/team/TEAM-2/import/")
            tutor.find("[name=file]").send_keys(str(file))
            fill(tutor, reason="Autumn")
            tutor.click("Show the preview")

        return upload

    def test_shows_a_preview_and_the_results(self, tutor, upload):
        upload("username,email,mode\nedwin,,verified\n,zoe@example.com,\nnobody,,\n")
        assert tutor.sees("What the import would do")
        assert tutor.sees("Enrolled", "tbody tr:nth-child(1)")
        assert tutor.sees("Invited", "tbody tr:nth-child(2)")
        assert tutor.sees("There is no account with this name", "tbody")
        assert tutor.violations() == []
        # Nothing is written yet.
        tutor.click("Choose another file")
        tutor.open("/team/TEAM-2/?q=edwin")
        assert tutor.sees("No learner matches")

        upload("username,email,mode\nedwin,,verified\n,zoe@example.com,\nnobody,,\n")
        tutor.click("Import", "main .confirm")
        assert tutor.sees("The file is imported: 2 rows", ".messages")
        assert tutor.faults_everywhere(tutor.path) == []
        link = tutor.find("a[download]").get_attribute("href")
        text = tutor.browser.execute_async_script(DOWNLOAD, link)
        statuses = [row["status"] for row in csv.DictReader(io.StringIO(text[1:]))]
        assert statuses == ["created", "invited", "error"]

        # The back button does not lead to a form that imports again.
        results = tutor.path
        tutor.click("Show the learners")
        assert "Certificate" in rows(tutor)["Edwin"]
        tutor.browser.back()
        assert tutor.sees("Results of the import")
        tutor.browser.back()
        assert tutor.path == results or tutor.path == "/team/TEAM-2/import/"

    def test_refuses_a_stale_preview(self, tutor, upload, demo):
        upload("username,mode\ncecilia,audit\n")
        done = demo.manage(
            "shell",
            "--command",
            "from accounts.models import User;"
            "from django_enrollments.services import EnrollmentsService;"
            "EnrollmentsService().enroll(User.objects.get(username='cecilia'), "
            "'TEAM-2', 'verified')",
        )
        assert done.returncode == 0, done.stderr

        tutor.click("Import", "main .confirm")

        assert tutor.sees("Nothing was imported", ".messages")
        assert tutor.sees("Mode changed", "tbody")
        assert tutor.violations() == []

    def test_refuses_a_file_without_a_header(self, tutor, upload):
        upload("vera;audit\n")

        assert tutor.sees("semicolons", ".errorlist")
        assert tutor.violations() == []


def test_staff_open_every_course_from_the_dashboard(team, person):
    person.log_in("operator")
    person.open("/team/AAA-2013J/?state=all")

    assert len(rows(person)) > 1
    assert person.faults_everywhere("/team/AAA-2013J/?state=all") == []
