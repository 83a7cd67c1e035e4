"""The page of a course at ``/courses/<course id>/``."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from conftest import count_queries, days, fill, make_run, make_user, moment

from catalog.models import RefusedAttempt
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
)
from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db

MODES = [("audit", 0), ("verified", 49)]


def send(client, run, action, mode="", seen=None, **extra):
    """Send a form of the page as the page shows it now; return the next page."""
    path = run.get_absolute_url()
    if seen is None:
        seen = client.get(path).context["state"]
    data = {"action": action, "mode": mode, "seen": seen}
    return client.post(path, data, follow=True, **extra)


def said(response):
    return [(message.tags, str(message)) for message in response.context["messages"]]


def states(learner):
    rows = CourseEnrollment.objects.filter(user=learner)
    return [(row.mode, row.is_active) for row in rows]


class TestPage:
    @pytest.mark.parametrize(
        "code",
        ["course-v1:Evening+Welding+2", "evening/drawing/summer", "a:b/c+d", "ü"],
    )
    def test_stands_at_the_id_of_the_course(self, visitor, learner, code):
        run = make_run(code)

        assert visitor.get(run.get_absolute_url()).status_code == 200
        assert send(visitor, run, "enroll").redirect_chain == [
            (run.get_absolute_url(), 302)
        ]
        assert states(learner) == [("audit", True)]

    def test_of_an_unknown_course_is_not_found(self, client):
        make_run("OPEN")

        for code in ("NOWHERE", "open", "OPEN/x"):
            page = client.get(f"/courses/{code}/")
            assert page.status_code == 404
            assert "Page not found" in page.content.decode()

    def test_shows_dates_seats_modes_and_prices(self, client):
        run = make_run(
            seats=30,
            modes=MODES,
            registration_opens_at=datetime(2020, 3, 3, 9, tzinfo=timezone.utc),
            registration_closes_on=days(10).replace(year=2099),
        )

        page = client.get(run.get_absolute_url()).content.decode()

        assert "3 March 2020, 09:00" in page
        assert "2099" in page
        assert "30 of 30 seats left" in page
        assert "49 EUR" in page
        assert "free" in page

    def test_shows_a_course_without_modes(self, visitor):
        run = make_run()

        assert "Audit" in visitor.get(run.get_absolute_url()).content.decode()

    def test_is_never_cached(self, client):
        page = client.get(make_run().get_absolute_url())

        assert "no-store" in page["Cache-Control"]

    def test_links_the_team_page_for_those_who_may_open_it(self, client, visitor):
        run = make_run("OPEN")
        assert "/team/OPEN/" not in visitor.get("/courses/OPEN/").content.decode()

        client.force_login(make_user(is_staff=True))

        assert "/team/OPEN/" in client.get(run.get_absolute_url()).content.decode()

    @pytest.mark.parametrize("is_logged_in", [False, True])
    def test_has_few_statements(self, client, learner, is_logged_in):
        run = make_run(seats=30, modes=[("audit", 0)])
        if is_logged_in:
            client.force_login(learner)

        def look():
            client.get(run.get_absolute_url())

        few = count_queries(look)
        fill(run, 20)
        CourseMode.objects.bulk_create(
            CourseMode(course=run, mode_slug=f"mode{number}") for number in range(10)
        )

        assert count_queries(look) == few
        assert few <= (12 if is_logged_in else 5)


class TestReasons:
    def reasons(self, client, run):
        return [
            one.text for one in client.get(run.get_absolute_url()).context["reasons"]
        ]

    @pytest.mark.parametrize("is_logged_in", [False, True])
    def test_name_the_moment_at_which_they_end(self, client, learner, is_logged_in):
        opens = datetime(2097, 3, 3, 9, tzinfo=timezone.utc)
        run = make_run(registration_opens_at=opens)
        full = make_run(seats=2)
        fill(full, 2)
        if is_logged_in:
            client.force_login(learner)

        assert self.reasons(client, run) == ["Opens 3 March 2097, 09:00."]
        assert self.reasons(client, full)[0].startswith("Full: 0 of 2 seats left.")

    def test_do_not_hold_for_the_team_who_take_no_seat(self, client, learner):
        run = make_run(seats=1)
        fill(run, 1)
        CourseAccessRole.objects.create(
            user=learner, org="evening", course_id=run.code, role="staff"
        )
        client.force_login(learner)

        page = client.get(run.get_absolute_url()).content.decode()

        assert "You can enroll because members of the course team take no seat" in page
        assert 'name="action" value="enroll"' in page

    @pytest.mark.parametrize("is_logged_in", [False, True])
    def test_are_all_told(self, client, learner, is_logged_in):
        run = make_run(seats=1, by_invitation=True, registration_closes_on=days(-1))
        fill(run, 1)
        if is_logged_in:
            client.force_login(learner)

        texts = self.reasons(client, run)

        assert len(texts) == 3
        assert texts[0].startswith("Enrollment closed at the end of")
        assert "by invitation" in texts[1]
        assert "Full" in texts[2]

    def test_are_not_told_to_whom_they_do_not_hold(self, visitor, learner):
        run = make_run("ASKED", by_invitation=True)
        assert len(self.reasons(visitor, run)) == 1
        CourseEnrollmentAllowed.objects.create(email=learner.email, course_id="ASKED")

        page = visitor.get(run.get_absolute_url())

        assert page.context["reasons"] == []
        assert "You are invited to this course." in page.content.decode()

    def test_include_a_mode_that_has_expired_since(self, visitor):
        run = make_run(modes=MODES)
        CourseMode.objects.filter(mode_slug="verified").update(
            expiration_datetime=moment(-1)
        )

        page = send(visitor, run, "enroll", "verified")

        assert "not offered any more" in said(page)[0][1]


class TestEnroll:
    def test_enrolls_in_the_chosen_mode(self, visitor, learner):
        run = make_run(modes=MODES)

        page = send(visitor, run, "enroll", "verified")

        assert said(page) == [("success", f"You are enrolled in {run.title}.")]
        assert states(learner) == [("verified", True)]
        event = EnrollmentEvent.objects.get()
        assert (event.source, event.actor_id) == ("site", learner.pk)

    def test_offers_a_course_that_has_only_a_paid_mode(self, visitor, learner):
        run = make_run(modes=[("verified", 49)])

        send(visitor, run, "enroll", "verified")

        assert states(learner) == [("verified", True)]

    def test_twice_is_harmless(self, visitor, learner):
        run = make_run(modes=MODES)
        send(visitor, run, "enroll", "audit", seen="none")

        page = send(visitor, run, "enroll", "audit", seen="none")

        assert said(page) == [("info", f"You are already enrolled in {run.title}.")]
        assert EnrollmentEvent.objects.count() == 1

    def test_asks_anonymous_visitors_to_log_in(self, client):
        run = make_run()

        page = send(client, run, "enroll", seen="none")

        assert page.redirect_chain == [
            (f"/accounts/login/?next={run.get_absolute_url()}", 302)
        ]
        assert CourseEnrollment.objects.count() == 0

    def test_tells_why_it_was_refused_and_records_it(self, visitor, learner):
        run = make_run(seats=1, registration_closes_on=days(3))
        state = visitor.get(run.get_absolute_url()).context["state"]
        fill(run, 1)

        page = send(visitor, run, "enroll", seen=state)

        ((tag, text),) = said(page)
        assert tag == "error"
        assert text.startswith("Nothing was changed. Full: 0 of 1 seat left.")
        (refused,) = RefusedAttempt.objects.all()
        assert (refused.course, refused.code) == (run, "course_full")
        assert states(learner) == []

    def test_records_each_reason_of_a_refusal(self, visitor):
        run = make_run(by_invitation=True, registration_opens_at=moment(1))

        send(visitor, run, "enroll")

        codes = set(RefusedAttempt.objects.values_list("code", flat=True))
        assert codes == {"enrollment_not_started", "invitation_only"}

    def test_offers_another_try_in_a_full_course_alone(self, visitor):
        full, later = make_run(seats=0), make_run(registration_opens_at=moment(1))

        assert (
            "Try to get a seat" in visitor.get(full.get_absolute_url()).content.decode()
        )
        assert (
            "<button class="
            not in (
                visitor.get(later.get_absolute_url())
                .content.decode()
                .split("<main")[1]
                .split("</main")[0]
            )
        )


class TestChange:
    def test_changes_the_mode(self, visitor, learner):
        run = make_run(modes=MODES)
        EnrollmentsService().enroll(learner, run)

        page = send(visitor, run, "change", "verified")

        assert said(page) == [("success", "You have changed to “Verified”.")]
        assert states(learner) == [("verified", True)]

    def test_to_the_same_mode_changes_nothing(self, visitor, learner):
        run = make_run(modes=MODES)
        EnrollmentsService().enroll(learner, run)

        page = send(visitor, run, "change", "audit")

        assert said(page)[0][0] == "info"
        assert EnrollmentEvent.objects.count() == 1

    def test_refuses_a_mode_that_the_course_does_not_have(self, visitor, learner):
        run = make_run(modes=MODES)
        EnrollmentsService().enroll(learner, run)

        page = send(visitor, run, "change", "credit")

        assert said(page)[0][0] == "error"
        assert states(learner) == [("audit", True)]
        assert RefusedAttempt.objects.get().code == "mode_unavailable"

    def test_does_not_touch_a_former_enrollment(self, visitor, learner):
        run = make_run(modes=MODES)
        service = EnrollmentsService()
        service.enroll(learner, run)
        service.unenroll(learner, run)

        page = send(visitor, run, "change", "verified")

        assert said(page)[0][0] == "warning"
        assert states(learner) == [("audit", False)]


class TestLeave:
    def test_asks_first(self, visitor, learner):
        run = make_run()
        EnrollmentsService().enroll(learner, run)

        page = visitor.get(run.get_absolute_url(), {"leave": ""}).content.decode()

        assert "Leave this course?" in page
        assert states(learner) == [("audit", True)]

    def test_leaves(self, visitor, learner):
        run = make_run()
        EnrollmentsService().enroll(learner, run)

        page = send(visitor, run, "leave")

        assert said(page)[0][0] == "success"
        assert states(learner) == [("audit", False)]
        assert "Enroll again" in page.content.decode()

    def test_twice_is_harmless(self, visitor, learner):
        run = make_run()
        EnrollmentsService().enroll(learner, run)
        seen = visitor.get(run.get_absolute_url()).context["state"]
        send(visitor, run, "leave", seen=seen)

        page = send(visitor, run, "leave", seen=seen)

        assert said(page) == [("info", f"You are not enrolled in {run.title}.")]
        assert EnrollmentEvent.objects.count() == 2

    def test_asks_nothing_of_those_who_are_not_in(self, visitor):
        page = visitor.get(make_run().get_absolute_url(), {"leave": ""})

        assert "Leave this course?" not in page.content.decode()


class TestStaleForm:
    def test_changes_nothing_and_says_so(self, visitor, learner):
        run = make_run(modes=MODES)
        service = EnrollmentsService()
        service.enroll(learner, run)
        seen = visitor.get(run.get_absolute_url()).context["state"]
        service.unenroll(learner, run)

        # The button "Save the change" in a window that was open since.
        page = send(visitor, run, "change", "verified", seen=seen)

        ((tag, text),) = said(page)
        assert tag == "warning"
        assert text.startswith("That page was out of date")
        assert states(learner) == [("audit", False)]

    def test_does_not_leave_after_a_change_of_mode(self, visitor, learner):
        run = make_run(modes=MODES)
        service = EnrollmentsService()
        service.enroll(learner, run)
        seen = visitor.get(run.get_absolute_url()).context["state"]
        service.change_mode(learner, run, "verified")

        send(visitor, run, "leave", seen=seen)

        assert states(learner) == [("verified", True)]

    @pytest.mark.parametrize(
        "data",
        [
            {},
            {"action": "explode", "seen": "none"},
            {"action": "enroll"},
            {"action": "change", "seen": "none"},
        ],
    )
    def test_that_is_incomplete_changes_nothing(self, visitor, learner, data):
        page = visitor.post(make_run().get_absolute_url(), data, follow=True)

        assert said(page)[0][0] == "error"
        assert states(learner) == []
