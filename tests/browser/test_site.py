"""The example project's pages, its admin, and its API asked by a page's script."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

API = "/api/enrollment/v1"
BODY = {"course_details": {"course_id": "DJANGO-101"}}


class TestHomePage:
    def test_shows_each_course_with_its_learners(self, person):
        person.open("/")

        rows = {row.text.split()[0]: row.text for row in person.find_all("tbody tr")}

        assert len(rows) == 24
        assert "full" in rows["POTTERY-1"]
        assert "closed" in rows["AAA-2013J"]
        assert "open" in rows["DJANGO-101"]

    def test_lets_a_learner_log_in_and_out(self, person):
        person.open("/")
        person.find("nav [href='/accounts/login/']").click()
        assert person.find("[name=username]").is_displayed()

        person.log_in("learner")
        assert "Lena Learner" in person.text("nav.account")

        person.find("nav form button").click()
        assert "Log in" in person.text("nav.account")

    @pytest.mark.parametrize("width", [360, 768])
    def test_fits_on_a_small_screen(self, person, width):
        person.browser.set_window_size(width, 800)
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1}
        person.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": True}
        )
        try:
            person.open("/")
            wide = "return document.documentElement.scrollWidth"

            assert person.browser.execute_script(wide) <= width
        finally:
            person.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            person.browser.set_window_size(1280, 1000)


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
    def test_enrolls_takes_out_and_shows_the_history(self, person):
        person.log_in("operator")
        person.open("/admin/django_enrollments/courseenrollment/add/")

        person.choose("user", "student11391")
        person.choose("course", "DJANGO-101")
        person.find("[name=_save]").click()

        assert "was added successfully" in person.text(".messagelist")
        person.open("/admin/django_enrollments/courseenrollment/?q=student11391")
        person.find("#action-toggle").click()
        person.find("[name=action] [value=unenroll]").click()
        person.find("[name=index]").click()
        assert "taken out" in person.text(".messagelist")

        person.open("/admin/django_enrollments/enrollmentevent/?q=student11391")
        shown = person.text("#result_list")

        assert "deactivated" in shown.lower()
        assert "created" in shown.lower()
