"""Languages, navigation and error pages."""

from __future__ import annotations

import pytest
from conftest import make_run, make_user
from django.test import Client

from django_enrollments.models import CourseAccessRole

pytestmark = pytest.mark.django_db


class TestLanguages:
    def test_switch_mirrors_the_page_and_returns_to_it(self, client):
        run = make_run()
        path = run.get_absolute_url()

        page = client.post(
            "/i18n/setlang/", {"language": "ar", "next": path}, follow=True
        )

        assert page.redirect_chain == [(path, 302)]
        assert '<html lang="ar" dir="rtl">' in page.content.decode()

    def test_follow_the_browser(self, client):
        page = client.get("/", headers={"accept-language": "de-AT,de;q=0.9"})

        assert '<html lang="de" dir="ltr">' in page.content.decode()


class TestNavigation:
    def links(self, client):
        page = client.get("/").content.decode().split("<main")[0]
        names = ("My courses", "Team", "Dashboard", "Admin", "Log in", "Log out")
        return [name for name in names if f">{name}<" in page]

    def test_depends_on_the_visitor(self, client):
        assert self.links(client) == ["Log in"]
        client.force_login(make_user())
        assert self.links(client) == ["My courses", "Log out"]
        teacher = make_user()
        CourseAccessRole.objects.create(
            user=teacher, org="evening", course_id=make_run().code, role="staff"
        )
        client.force_login(teacher)
        assert self.links(client) == ["My courses", "Team", "Log out"]
        client.force_login(make_user(is_staff=True))
        staff = ["My courses", "Team", "Dashboard", "Admin", "Log out"]
        assert self.links(client) == staff


class TestErrorPages:
    def test_404_leads_back(self, client):
        page = client.get("/nowhere/")

        assert page.status_code == 404
        assert "All courses" in page.content.decode()

    def test_403_names_the_account(self, visitor):
        page = visitor.get("/dashboard/")

        assert page.status_code == 403
        assert "You are logged in as Lena Learner" in page.content.decode()

    def test_500_needs_no_database(self, learner, monkeypatch):
        def fail(*args):
            raise RuntimeError

        monkeypatch.setattr("catalog.views.offers_for", fail)
        client = Client(raise_request_exception=False)
        client.force_login(learner)

        page = client.get("/")

        assert page.status_code == 500
        assert "Something went wrong" in page.content.decode()

    def test_a_form_without_a_valid_token_is_explained(self, learner):
        client = Client(enforce_csrf_checks=True)
        client.force_login(learner)
        run = make_run()

        page = client.post(run.get_absolute_url(), {"action": "enroll"})

        assert page.status_code == 403
        assert "This form has expired" in page.content.decode()
        assert run.get_absolute_url() in page.content.decode()
