"""The pages of visitors and learners, the admin, and the API in a page's script."""

from __future__ import annotations

import pytest

from tests.browser.people import ARROW_DOWN, ENTER, TAB

pytestmark = pytest.mark.slow

API = "/api/enrollment/v1"
BODY = {"course_details": {"course_id": "DJANGO-101"}}

#: Whether the element with the focus has this text.
FOCUSED = (
    "return (document.activeElement.innerText || document.activeElement.id).trim()"
)


def cards(person) -> dict[str, str]:
    """Return the text of each card of the catalogue by its title."""
    return {
        card.find_element("css selector", "h2").text: card.text
        for card in person.find_all(".offer")
    }


def press_until(person, key: str, wanted: str):
    """Press a key until the element with this text has the focus."""
    for _ in range(60):
        active = person.browser.switch_to.active_element
        active.send_keys(key)
        if person.browser.execute_script(FOCUSED).startswith(wanted):
            return
    raise AssertionError(f"{wanted!r} cannot be reached with the keyboard")


class TestCatalogue:
    def test_shows_seats_and_states_to_anonymous_visitors(self, person):
        person.open("/")

        shown = cards(person)

        assert len(shown) == 12
        assert "0 of 2 seats left" in shown["Pottery for beginners"]
        assert "Full" in shown["Pottery for beginners"]
        assert "Open" in shown["Spanish for travelers"]
        assert "Opens " in shown["The night sky"]
        assert "By invitation" in shown["Chamber choir"]
        assert "invited" not in shown["Chamber choir"]

    def test_shows_learners_their_own_state(self, person):
        person.log_in("learner")
        person.open("/")

        shown = cards(person)

        assert "You are enrolled" in shown["Django for teachers"]
        assert "You are invited" in shown["Chamber choir"]

    def test_filters_searches_and_turns_pages(self, person):
        person.open("/")
        person.click("Full")
        assert person.sees("1 course", "p[role=status]")
        assert list(cards(person)) == ["Pottery for beginners"]

        person.click("Opens later")
        assert person.sees("2 courses", "p[role=status]")
        assert set(cards(person)) == {"The night sky", "Welding, second level"}

        person.click("All")
        person.click("Next")
        assert person.sees("13 to 24 of 33", ".pagination")

        person.find("[name=q]").send_keys("spanish" + ENTER)
        assert person.sees("1 course", "p[role=status]")
        assert list(cards(person)) == ["Spanish for travelers"]
        person.click("Clear the search")
        assert person.wait_until(lambda: len(cards(person)) == 12)

    def test_offers_a_way_out_of_an_empty_list(self, person):
        person.open("/?q=zither")
        assert person.sees("No course fits", ".empty")

        person.click("Show all courses")

        assert person.wait_until(lambda: len(cards(person)) == 12)


class TestNewcomer:
    def test_enrolls_and_understands_why_the_full_course_refuses(self, person, demo):
        person.open("/")
        person.click("Sourdough and rye")
        person.click("Log in to enroll")
        # The page names the accounts of the demo.
        assert person.sees("demo-learner", "main")
        person.find("[name=username]").send_keys("learner")
        person.find("[name=password]").send_keys("demo-learner" + ENTER)
        assert person.sees("Enroll", "#place")
        person.click("With certificate")
        person.click("Enroll")

        assert person.sees("You are enrolled in Sourdough and rye.", ".messages")
        assert person.sees("With certificate", "main .panel")

        person.click("Courses", "header")
        person.click("Full")
        person.click("Pottery for beginners")
        assert person.sees("Full: 0 of 2 seats left.", ".notice")
        person.click("Try to get a seat now")

        assert person.sees("Nothing was changed. Full: 0 of 2 seats left.", ".messages")
        codes = demo.query("SELECT code FROM catalog_refusedattempt")
        assert ("course_full",) in codes

        person.click("My courses", "header")
        assert person.sees("Sourdough and rye", "main")


class TestCourse:
    def test_lets_a_learner_enroll_change_leave_and_come_back(self, person, newcomer):
        person.log_in(newcomer)
        person.open("/courses/SPANISH-A1/")
        person.click("Enroll", "main .panel form")
        person.click("With certificate")
        person.click("Save the change")
        assert person.sees("You have changed to “With certificate”.", ".messages")

        person.click("Leave the course")
        assert person.sees("Leave this course?", "main .panel")
        person.click("No, stay")
        assert person.sees("You are enrolled", "main .panel")
        person.click("Leave the course")
        person.click("Yes, leave the course")
        assert person.sees("You have left Spanish for travelers.", ".messages")

        person.click("Enroll", "main .panel form")
        assert person.sees("You are enrolled in Spanish for travelers.", ".messages")

        person.open("/my/")
        person.click("History: 5 changes")
        whats = [line.text for line in person.find_all(".timeline strong")]
        assert whats == [
            "Changed from “With certificate” to “Course only”",
            "Enrolled again: With certificate",
            "Left the course",
            "Changed from “Course only” to “With certificate”",
            "Enrolled: Course only",
        ]

    def test_survives_a_double_click_and_the_back_button(self, person, newcomer):
        person.log_in(newcomer)
        person.open("/courses/GREEK/")
        # Both clicks send the form before an answer is there.
        person.browser.execute_script(
            "const form = document.querySelector('main .panel form');"
            "form.requestSubmit(); form.requestSubmit();"
        )
        person.find("a[href='?leave']")
        assert person.sees("enrolled", ".messages")

        person.browser.back()
        person.browser.refresh()
        assert person.has("a[href='?leave']")
        assert not person.has(".messages")

    def test_explains_a_form_that_is_out_of_date(self, person, newcomer):
        person.log_in(newcomer)
        person.open("/courses/SPANISH-A1/")
        person.click("Enroll", "main .panel form")
        assert person.sees("You are enrolled", ".messages")
        first = person.browser.current_window_handle
        person.browser.switch_to.new_window("tab")
        person.open("/courses/SPANISH-A1/?leave")
        person.click("Yes, leave the course")
        # A tab that closes at once sends no request.
        assert person.sees("You have left", ".messages")
        person.browser.close()
        person.browser.switch_to.window(first)
        person.click("With certificate")

        person.click("Save the change")

        assert person.sees("That page was out of date", ".messages")
        assert person.sees("Enroll again", "#place")

    def test_explains_a_form_from_before_the_login(self, person, newcomer):
        person.open("/accounts/login/")
        person.browser.execute_script(
            "document.querySelector('main [name=csrfmiddlewaretoken]').value = 'old'"
        )
        person.find("[name=username]").send_keys(newcomer)
        person.find("[name=password]").send_keys("demo" + ENTER)

        assert person.sees("This form has expired", "h1")
        assert person.violations() == []
        assert "403" in person.complaints()[0]
        person.click("Open the page again")
        assert person.sees("Log in", "h1")

    @pytest.mark.parametrize(
        ("course", "texts"),
        [
            ("ASTRO-2", ["Opens ", ", 09:00."]),
            (
                "BOOKS-1",
                ["Enrollment closed at the end of", "Full: 0 of 10 seats left"],
            ),
            ("PHOTO-LAB", ["by invitation, and there is no invitation"]),
            ("AAA-2013J", ["Enrollment closed at the end of"]),
        ],
    )
    def test_tells_every_reason(self, person, newcomer, course, texts):
        person.log_in(newcomer)

        person.open(f"/courses/{course}/")

        assert person.sees("You cannot enroll now", "#place")
        assert all(text in person.text(".notice") for text in texts)
        assert not person.has("main .panel form")

    def test_shows_an_invitation(self, person):
        person.log_in("learner")

        person.open("/courses/CHOIR/")

        assert person.sees("You are invited to this course.", ".notice")
        assert person.has("main .panel form")

    @pytest.mark.parametrize("title", ["Life drawing", "Welding, second level"])
    def test_is_found_whatever_characters_its_id_has(self, person, title):
        person.open("/")

        person.click(title)

        assert person.sees(title, "h1")


class TestKeyboard:
    def test_is_enough_to_enroll(self, person, newcomer):
        person.open("/")
        press_until(person, TAB, "Skip to the content")
        press_until(person, TAB, "Log in")
        person.browser.switch_to.active_element.send_keys(ENTER)
        person.find("#id_username").send_keys(newcomer, TAB, f"demo-{newcomer}", ENTER)
        person.find("nav form")
        press_until(person, TAB, "Spanish for travelers")
        person.browser.switch_to.active_element.send_keys(ENTER)
        person.find("input[name=mode]").send_keys(ARROW_DOWN)
        press_until(person, TAB, "Enroll")
        person.browser.switch_to.active_element.send_keys(ENTER)

        assert person.sees("You are enrolled in Spanish for travelers.", ".messages")
        assert person.sees("With certificate", "main .panel p")


class TestLanguages:
    def test_are_switched_in_the_footer(self, person):
        person.open("/courses/evening/drawing/summer/")

        person.find("footer [lang=ar]").click()

        assert person.find("html[dir=rtl]")
        assert person.path == "/courses/evening/drawing/summer/"
        person.find("footer [value=en]").click()
        assert person.find("html[dir=ltr]")


class TestEveryPage:
    """No fault in light, dark and Arabic, on a large and on a small screen."""

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/?q=zither",
            "/?page=2",
            "/courses/SPANISH-A1/",
            "/courses/POTTERY-1/",
            "/accounts/login/?next=/my/",
            "/accounts/password_reset/",
            "/accounts/password_reset/done/",
            "/accounts/reset/MQ/wrong/",
        ],
    )
    def test_of_anonymous_visitors(self, person, path):
        person.open("/")

        assert person.faults_everywhere(path) == []

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/?show=mine",
            "/my/",
            "/courses/SPANISH-A1/",
            "/courses/DJANGO-101/",
            "/courses/DJANGO-101/?leave",
            "/courses/POTTERY-1/",
            "/courses/ASTRO-2/",
            "/courses/BOOKS-1/",
            "/courses/CHOIR/",
            "/accounts/password_change/",
        ],
    )
    def test_of_learners(self, person, path):
        person.log_in("learner")

        assert person.faults_everywhere(path) == []

    def test_without_courses(self, person, newcomer):
        person.log_in(newcomer)

        assert person.faults_everywhere("/my/") == []

    @pytest.mark.parametrize(
        ("path", "status"), [("/courses/NOWHERE/", "404"), ("/dashboard/", "403")]
    )
    def test_of_errors(self, person, path, status):
        person.log_in("learner")

        assert person.faults_everywhere(path) == []

        # Browsers report the status of the page itself.
        assert all(status in text for text in person.complaints())

    def test_of_a_failure(self, person, demo):
        """Django makes this page without a request; nothing else shows it here."""
        render = (
            "from django.template.loader import render_to_string;"
            "print(render_to_string('500.html'))"
        )
        page = demo.manage("shell", "--verbosity=0", "--command", render).stdout
        person.open("/")
        write = "document.open(); document.write(arguments[0]); document.close()"

        person.browser.execute_script(write, page[page.index("<!doctype") :])

        assert person.sees("Something went wrong", "h1")
        assert person.violations() == []


class TestScriptOfAPage:
    def test_enrolls_the_user_of_the_session(self, person):
        person.log_in("operator")
        # As a page does on its first visit: reading brings the token for writing.
        status, _ = person.ask("GET", f"{API}/enrollment")
        assert status == 200

        status, enrollment = person.ask("POST", f"{API}/enrollment", BODY)

        assert status == 200
        assert enrollment["user"] == "operator"
        assert enrollment["is_active"] is True
        _, listed = person.ask("GET", f"{API}/enrollment")
        assert [one["course_details"]["course_id"] for one in listed] == ["DJANGO-101"]

    def test_v1_auth_is_refused_without_the_token(self, person):
        person.log_in("learner")
        person.ask("GET", f"{API}/enrollment")

        status, body = person.ask("POST", f"{API}/enrollment", BODY, shows_token=False)

        assert status == 403
        assert "CSRF" in body["detail"]
        assert "403" in person.complaints()[0]

    @pytest.mark.rule("V1-AUTH-11")
    def test_is_told_to_log_in(self, person):
        person.open("/")

        status, body = person.ask("GET", f"{API}/enrollment")

        assert status == 401
        assert body == {"detail": "Authentication credentials were not provided."}
        assert "401" in person.complaints()[0]

    def test_learns_why_a_full_course_refuses(self, person):
        person.log_in("learner")

        status, body = person.ask("GET", f"{API}/course/POTTERY-1/eligibility")

        assert status == 200
        assert body["allowed"] is False
        assert [reason["code"] for reason in body["reasons"]] == ["course_full"]
        assert body["seats"] == {"capacity": 2, "taken": 2, "left": 0}


class TestAdmin:
    def test_enrolls_unenrolls_and_shows_the_history(self, person):
        person.log_in("operator")
        person.open("/admin/django_enrollments/courseenrollment/add/")

        person.choose("user", "student11391")
        person.choose("course", "DJANGO-101")
        person.find("[name=_save]").click()

        assert person.sees("was added successfully", ".messagelist")
        person.open("/admin/django_enrollments/courseenrollment/?q=student11391")
        person.find("#action-toggle").click()
        person.find("[name=action] [value=unenroll]").click()
        person.find("[name=index]").click()
        person.find("[name=reason]").send_keys("Moved away")
        person.find("#content form [type=submit]").click()
        assert person.sees("learners were unenrolled.", ".messagelist")

        person.open("/admin/django_enrollments/enrollmentevent/?q=student11391")
        shown = person.text("#result_list").lower()

        assert "deactivated" in shown
        assert "created" in shown
