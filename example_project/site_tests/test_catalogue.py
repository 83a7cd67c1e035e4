"""The catalogue at ``/``."""

from __future__ import annotations

import pytest
from conftest import count_queries, days, fill, make_run, make_user, moment
from django.utils.formats import date_format

from django_enrollments.models import CourseAccessRole, CourseEnrollmentAllowed
from django_enrollments.services import EnrollmentsService

pytestmark = pytest.mark.django_db


def titles(client, **query):
    offers = client.get("/", query).context["offers"]
    return [offer.run.code for offer in offers]


class TestSeats:
    def test_are_shown_to_everybody(self, client):
        fill(make_run(seats=3), 1)

        page = client.get("/").content.decode()

        assert "2 of 3 seats left" in page
        assert '<meter class="seats"' in page

    def test_of_a_course_without_limit_are_the_learners(self, client):
        fill(make_run(), 1)

        assert "1 learner, no limit" in client.get("/").content.decode()

    def test_of_a_course_with_room_for_nobody_make_no_broken_meter(self, client):
        make_run(seats=0)

        page = client.get("/").content.decode()

        assert "0 of 0 seats left" in page
        assert 'max="1" value="1"' in page


@pytest.mark.parametrize(("start", "word"), [(-1, "Started"), (0, "Starts")])
def test_the_first_day_is_told_as_past_or_to_come(client, start, word):
    make_run(starts_on=days(start))

    assert f"{word} {date_format(days(start))}" in client.get("/").content.decode()


class TestFilters:
    @pytest.fixture(autouse=True)
    def _courses(self, db):
        make_run("OPEN")
        make_run("LATER", registration_opens_at=moment(3))
        make_run("CLOSED", registration_closes_on=days(-1))
        make_run("INVITED", by_invitation=True)
        fill(make_run("FULL", seats=1), 1)
        make_run("LAST-DAY", registration_closes_on=days(0))

    @pytest.mark.parametrize(
        ("show", "codes"),
        [
            ("", {"OPEN", "LATER", "CLOSED", "INVITED", "FULL", "LAST-DAY"}),
            ("open", {"OPEN", "LAST-DAY"}),
            ("later", {"LATER"}),
            ("full", {"FULL"}),
            ("invitation", {"INVITED"}),
            ("nonsense", {"OPEN", "LATER", "CLOSED", "INVITED", "FULL", "LAST-DAY"}),
        ],
    )
    def test_keep_the_courses_in_a_state(self, client, show, codes):
        assert set(titles(client, show=show)) == codes

    def test_full_does_not_count_course_staff(self, client, learner):
        run = make_run("STAFFED", seats=1)
        CourseAccessRole.objects.create(
            user=learner, org="evening", course_id="STAFFED", role="staff"
        )
        EnrollmentsService().enroll(learner, run)

        assert "STAFFED" not in titles(client, show="full")
        assert "STAFFED" in titles(client, show="open")

    def test_full_keeps_a_course_with_room_for_nobody(self, client):
        make_run("NONE", seats=0)

        assert "NONE" in titles(client, show="full")

    def test_puts_closed_courses_last(self, client):
        assert titles(client)[-1] == "CLOSED"

    def test_mine_keeps_the_courses_that_the_visitor_is_in(self, visitor, learner):
        service = EnrollmentsService()
        service.enroll(learner, "OPEN")
        service.enroll(learner, "LAST-DAY")
        service.unenroll(learner, "LAST-DAY")

        assert titles(visitor, show="mine") == ["OPEN"]

    def test_mine_and_team_are_empty_for_anonymous_visitors(self, client):
        assert titles(client, show="mine") == []
        assert titles(client, show="team") == []
        assert ">Mine<" not in client.get("/").content.decode()

    def test_team_keeps_the_courses_of_the_visitor(self, visitor, learner):
        CourseAccessRole.objects.create(
            user=learner, org="evening", course_id="FULL", role="staff"
        )

        page = visitor.get("/", {"show": "team"})

        assert [offer.run.code for offer in page.context["offers"]] == ["FULL"]
        assert "/team/FULL/" in page.content.decode()

    def test_team_keeps_all_courses_for_staff(self, client):
        client.force_login(make_user(is_staff=True))

        assert len(titles(client, show="team")) == 6

    @pytest.mark.parametrize(
        ("text", "number"), [("title of open", 1), ("EVENING full", 1), ("zither", 0)]
    )
    def test_search_finds_each_word(self, client, text, number):
        assert len(titles(client, q=text)) == number

    def test_search_keeps_the_filter_and_is_escaped(self, client):
        page = client.get("/", {"q": "<b>", "show": "full"}).content.decode()

        assert "No course here matches “&lt;b&gt;”" in page
        assert '<input type="hidden" name="show" value="full">' in page

    def test_survives_odd_queries(self, client):
        for query in ({"q": "\0"}, {"q": "x" * 5000}, {"page": "9999"}, {"page": "x"}):
            assert client.get("/", query).status_code == 200


class TestOwnState:
    def test_shows_enrolled_and_invited(self, visitor, learner):
        EnrollmentsService().enroll(learner, make_run("IN"))
        make_run("ASKED", by_invitation=True)
        CourseEnrollmentAllowed.objects.create(email=learner.email, course_id="ASKED")
        make_run("OTHER")

        offers = {one.run.code: one for one in visitor.get("/").context["offers"]}

        assert offers["IN"].is_enrolled
        assert offers["ASKED"].is_invited
        assert not (offers["OTHER"].is_enrolled)
        assert not (offers["OTHER"].is_invited)


class TestStatements:
    """The number is the same for 1 course and for a full page of 12."""

    @pytest.mark.parametrize(
        "show", ["", "open", "later", "full", "invitation", "mine"]
    )
    @pytest.mark.parametrize(("is_logged_in", "most"), [(False, 9), (True, 16)])
    def test_are_few_and_constant(self, client, learner, show, is_logged_in, most):
        if is_logged_in:
            client.force_login(learner)

        def look():
            assert client.get("/", {"show": show}).status_code == 200

        def add():
            EnrollmentsService().enroll(
                learner, make_run(seats=30, modes=[("audit", 0)])
            )
            make_run(registration_opens_at=moment(1), seats=3)
            fill(make_run(seats=1), 1)
            run = make_run(by_invitation=True, seats=3)
            CourseEnrollmentAllowed.objects.create(
                email=learner.email, course_id=run.code
            )

        add()
        few = count_queries(look)
        for _ in range(4):
            add()

        assert count_queries(look) == few
        assert few <= most
