"""The admin, page by page, as an operator opens them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_enrollments import api
from django_enrollments.admin import REFUSALS_SHOWN
from django_enrollments.datetimes import now
from django_enrollments.errors import EnrollmentNotAllowed
from django_enrollments.models import (
    Course,
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    CourseMode,
    EmailOptIn,
    EnrollmentEvent,
    SentNotification,
    UserRetirementStatus,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    DAY,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    make_users,
    username,
)

#: Every model with a page, and whether a row can be added and changed by hand.
MODELS = {
    CourseAccessRole: True,
    CourseEnrollment: True,
    CourseEnrollmentAllowed: True,
    CourseEnrollmentAttribute: False,
    CourseMode: True,
    EmailOptIn: True,
    EnrollmentEvent: False,
    SentNotification: False,
    UserRetirementStatus: True,
}
if is_default_host():
    MODELS[Course] = True

pytestmark = pytest.mark.django_db

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


@pytest.fixture
def operator(client: Any) -> Any:
    """Log a superuser in and give them."""
    user = make_user("operator", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def operators(operator: Any, client: Any) -> Any:
    """Return the client of an operator."""
    return client


def url(model: Any, page: str, *arguments: Any) -> str:
    options = model._meta
    name = f"admin:{options.app_label}_{options.model_name}_{page}"
    return reverse(name, args=arguments)


def make_rows(number: int = 0) -> dict[Any, Any]:
    """Make one row of every model, each with a user and course of its own."""
    user = make_user(f"learner{number}")
    course = make_course(f"django-{number}", org="edX")
    deadline = now() + DAY
    mode = make_mode(course, "audit", expiration_datetime=deadline)
    enrollment = EnrollmentsService().enroll(user, course)
    course_id = course_id_of(course)
    api.set_enrollment_attributes(
        user.get_username(),
        course_id,
        [{"namespace": "order", "name": "number", "value": f"{number}"}],
    )
    rows = [
        enrollment,
        mode,
        enrollment.attributes.get(),
        EnrollmentEvent.objects.get(enrollment=enrollment),
        SentNotification.objects.create(
            enrollment=enrollment,
            notification_type="audit_access_expiring_soon",
            deadline=deadline,
            sent=now(),
        ),
        CourseEnrollmentAllowed.objects.create(
            email=f"guest{number}@example.org", course_id=course_id, user=user
        ),
        CourseAccessRole.objects.create(
            user=user, org="edX", course_id=course_id, role="beta_testers"
        ),
        UserRetirementStatus.objects.create(
            user=user, original_username=user.get_username()
        ),
        EmailOptIn.objects.create(user=user, org="edX", opted_in=True),
        course,
    ]
    return {type(row): row for row in rows}


def texts(response: Any) -> list[str]:
    """Return the messages that a response brings to the next page."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def veto(action: str, **context: Any) -> None:
    raise EnrollmentNotAllowed(f"No {action} today.")


class TestEveryModel:
    def test_is_registered(self):
        ours = {
            model
            for model in admin.site._registry
            if model._meta.app_label == "django_enrollments"
        }

        assert ours == {*MODELS}

    @every_model
    def test_has_a_list(self, operators, model):
        rows = make_rows()

        response = operators.get(url(model, "changelist"))

        assert response.status_code == 200
        assert response.context["cl"].result_count == 1
        assert url(model, "change", rows[model].pk) in response.content.decode()

    @every_model
    def test_has_a_list_without_rows(self, operators, model):
        assert operators.get(url(model, "changelist")).status_code == 200

    @every_model
    def test_finds_by_text(self, operators, model):
        make_rows(1)
        make_rows(2)
        sought = {
            CourseEnrollmentAllowed: "guest2",
            CourseMode: "django-2",
            Course: "django-2",
        }
        text = sought.get(model, username("learner2"))

        response = operators.get(url(model, "changelist"), {"q": text})

        assert response.context["cl"].result_count == 1

    @every_model
    @pytest.mark.parametrize("text", ["\x00", "'\"%_\\", "x" * 5_000, "ä 雪 "])
    def test_survives_any_text_to_find(self, operators, model, text):
        make_rows()

        response = operators.get(url(model, "changelist"), {"q": text})

        assert response.status_code == 200

    @pytest.mark.rule("V1-ERR-07")
    @every_model
    def test_a_filter_that_no_database_knows_is_a_400(self, operators, model):
        for query in ({"pk": "\x00"}, {"pk__exact": "1\x00"}, {"\x00": "1"}):
            response = operators.get(url(model, "changelist"), query)

            assert response.status_code == 400

    @every_model
    def test_can_be_filtered_and_sorted_by_everything(self, operators, model):
        make_rows()
        shown = admin.site._registry[model]
        page = operators.get(url(model, "changelist"))
        choices = [
            choice["query_string"]
            for spec in page.context["cl"].filter_specs
            for choice in spec.choices(page.context["cl"])
        ]
        columns = [f"?o={number}" for number in range(1, len(shown.list_display) + 1)]

        for query in [*choices, *columns]:
            response = operators.get(url(model, "changelist") + query)

            assert response.status_code == 200, query

    @every_model
    def test_lists_many_rows_in_as_many_queries_as_few(self, operators, model):
        make_rows(1)
        operators.get(url(model, "changelist"))
        with CaptureQueriesContext(connection) as one:
            operators.get(url(model, "changelist"))
        for number in range(2, 6):
            make_rows(number)

        with CaptureQueriesContext(connection) as five:
            response = operators.get(url(model, "changelist"))

        assert response.context["cl"].result_count == 5
        assert len(five) == len(one) <= 10

    @every_model
    def test_has_a_page_for_a_row(self, operators, model):
        row = make_rows()[model]

        response = operators.get(url(model, "change", row.pk))

        assert response.status_code == 200

    @every_model
    def test_has_a_page_with_the_changes_of_a_row(self, operators, model):
        row = make_rows()[model]

        assert operators.get(url(model, "history", row.pk)).status_code == 200

    @every_model
    def test_has_a_page_that_adds_where_adding_is_possible(self, operators, model):
        response = operators.get(url(model, "add"))

        assert response.status_code == (200 if MODELS[model] else 403)

    @every_model
    def test_has_a_page_that_deletes_where_deleting_is_possible(self, operators, model):
        kept = {CourseEnrollment, CourseEnrollmentAttribute, EnrollmentEvent}
        row = make_rows()[model]

        page = operators.get(url(model, "change", row.pk)).content.decode()
        response = operators.get(url(model, "delete", row.pk))

        assert response.status_code == (403 if model in kept else 200)
        assert ("deletelink" in page) is (model not in kept)

    @every_model
    def test_says_nothing_to_who_may_not_see_it(self, client, model):
        client.force_login(make_user("clerk", is_staff=True))

        assert client.get(url(model, "changelist")).status_code == 403

    @every_model
    def test_refuses_a_form_without_anything(self, operators, model):
        if not MODELS[model]:
            assert operators.post(url(model, "add"), {}).status_code == 403
            return

        response = operators.post(url(model, "add"), {})

        assert response.status_code == 200
        assert response.context["errors"]


class TestAddingRows:
    def test_adds_and_changes_a_mode(self, operators):
        course = make_course()
        data = {
            "course": course.pk,
            "mode_slug": "verified",
            "min_price": 10,
            "currency": "USD",
        }

        operators.post(url(CourseMode, "add"), data)
        mode = CourseMode.objects.get()
        operators.post(url(CourseMode, "change", mode.pk), {**data, "min_price": 20})

        mode.refresh_from_db()
        assert (mode.course, mode.min_price, mode.currency) == (course, 20, "usd")

    @pytest.mark.rule("MODE-14")
    def test_refuses_a_professional_mode_that_expires(self, operators):
        data = {
            "course": make_course().pk,
            "mode_slug": "professional",
            "min_price": 1,
            "currency": "usd",
            "expiration_datetime_0": "2030-01-01",
            "expiration_datetime_1": "12:00",
        }

        response = operators.post(url(CourseMode, "add"), data)

        assert "not allowed to have expiration_datetime" in response.content.decode()

    def test_adds_an_invitation_once(self, operators):
        data = {"email": "Guest@example.org", "course_id": "later-101"}

        first = operators.post(url(CourseEnrollmentAllowed, "add"), data)
        second = operators.post(
            url(CourseEnrollmentAllowed, "add"), {**data, "email": "guest@example.ORG"}
        )

        assert (first.status_code, second.status_code) == (302, 200)
        assert CourseEnrollmentAllowed.objects.get().email == "guest@example.org"

    @pytest.mark.rule("ACC-13")
    def test_an_invitation_enrolls_an_account_that_is_there(
        self, operators, django_capture_on_commit_callbacks
    ):
        course = make_course()
        ada, inactive = make_user("ada"), make_user("bob", is_active=False)
        for user in (ada, inactive):
            data = {
                "email": user.email.upper(),
                "course_id": course_id_of(course),
                "auto_enroll": "on",
                "mode": "audit",
                "reason": "On the list",
            }
            with django_capture_on_commit_callbacks(execute=True):
                operators.post(url(CourseEnrollmentAllowed, "add"), data)

        event = EnrollmentEvent.objects.get()
        assert str(event.user_id) == str(ada.pk)
        assert (event.source, event.reason) == ("invitation", "On the list")
        assert event.actor_id is not None
        assert CourseEnrollmentAllowed.objects.unused().get().email == inactive.email

    @pytest.mark.rule("ACC-13")
    def test_an_invitation_enrolls_once_it_is_set_to(
        self, operators, django_capture_on_commit_callbacks
    ):
        course, ada = make_course(), make_user("ada")
        invitation = CourseEnrollmentAllowed.objects.create(
            email=ada.email, course_id=course_id_of(course)
        )
        data = {"email": ada.email, "course_id": course_id_of(course)}
        page = url(CourseEnrollmentAllowed, "change", invitation.pk)

        with django_capture_on_commit_callbacks(execute=True):
            operators.post(page, data)

        assert not EnrollmentsService().is_enrolled(ada, course)

        with django_capture_on_commit_callbacks(execute=True):
            operators.post(page, {**data, "auto_enroll": "on"})

        assert EnrollmentsService().is_enrolled(ada, course)
        invitation.refresh_from_db()
        assert invitation.user == ada

    @pytest.mark.rule("ACC-13")
    def test_an_invitation_that_cannot_enroll_waits(
        self, operators, settings, django_capture_on_commit_callbacks
    ):
        settings.ENROLLMENTS_FILTERS = [veto]
        course, ada = make_course(), make_user("ada")
        data = {
            "email": ada.email,
            "course_id": course_id_of(course),
            "auto_enroll": "on",
        }

        with django_capture_on_commit_callbacks(execute=True):
            response = operators.post(url(CourseEnrollmentAllowed, "add"), data)

        assert response.status_code == 302
        assert CourseEnrollmentAllowed.objects.unused().exists()
        assert not EnrollmentsService().is_enrolled(ada, course)

    @pytest.mark.parametrize("course_id", ["no course id", "a,b", "x" * 300, "a\x00b"])
    def test_refuses_an_invitation_to_what_is_no_course_id(self, operators, course_id):
        data = {"email": "guest@example.org", "course_id": course_id}

        response = operators.post(url(CourseEnrollmentAllowed, "add"), data)

        assert response.status_code == 200
        assert "course_id" in response.context["adminform"].form.errors
        assert not CourseEnrollmentAllowed.objects.exists()

    def test_adds_a_role_on_an_organisation(self, operators):
        data = {"user": make_user("ada").pk, "org": "edX", "role": "staff"}

        operators.post(url(CourseAccessRole, "add"), data)

        assert CourseAccessRole.objects.get().course_id == ""

    def test_adds_a_request_to_be_retired(self, operators):
        ada = make_user("ada")
        data = {"user": ada.pk, "original_username": "ada", "state": "pending"}

        operators.post(url(UserRetirementStatus, "add"), data)

        assert UserRetirementStatus.objects.get().user == ada

    @pytest.mark.skipif(not is_default_host(), reason="The course is swapped out.")
    def test_keeps_the_id_of_a_course(self, operators):
        make_course("django-101")

        operators.post(
            url(Course, "change", "django-101"), {"id": "django-102", "org": "edX"}
        )

        assert Course.objects.get().pk == "django-101"
        assert Course.objects.get().org == "edX"

    @pytest.mark.skipif(not is_default_host(), reason="The course is swapped out.")
    def test_refuses_a_course_with_an_impossible_id(self, operators):
        response = operators.post(url(Course, "add"), {"id": "no course id"})

        assert "id" in response.context["adminform"].form.errors


class TestAddingAnEnrollment:
    def add(self, client: Any, user: Any, course: Any, **data: Any) -> Any:
        data = {
            "user": getattr(user, "pk", user),
            "course": getattr(course, "pk", course),
            **data,
        }
        return client.post(url(CourseEnrollment, "add"), data)

    def refusal(self, response: Any) -> str:
        """Return the error of a form that is shown again."""
        assert response.status_code == 200
        return " ".join(response.context["adminform"].form.non_field_errors())

    def test_enrolls_by_the_same_rules_as_everybody(self, operators, operator):
        course, ada = make_course(), make_user("ada")
        make_modes(course, "honor", "verified")

        response = self.add(operators, ada, course, reason="by letter")

        enrollment = CourseEnrollment.objects.get()
        event = EnrollmentEvent.objects.get()
        assert response.status_code == 302
        assert (enrollment.user, enrollment.course) == (ada, course)
        assert (enrollment.mode, enrollment.is_active) == ("honor", True)
        assert (event.source, event.reason) == ("admin", "by letter")
        assert event.actor_id == operator.pk
        assert LogEntry.objects.get().object_id == str(enrollment.pk)

    def test_takes_a_mode(self, operators):
        course = make_course()
        make_modes(course, "honor", "verified")

        self.add(operators, make_user("ada"), course, mode="verified")

        assert CourseEnrollment.objects.get().mode == "verified"

    @pytest.mark.parametrize("page", ["_save", "_continue", "_addanother"])
    def test_goes_on_to_any_page(self, operators, page):
        response = self.add(operators, make_user("ada"), make_course(), **{page: "1"})

        assert operators.get(response.url).status_code == 200

    def test_puts_back_who_left(self, operators):
        course, ada = make_course(), make_user("ada")
        EnrollmentsService().enroll(ada, course)
        EnrollmentsService().unenroll(ada, course)

        self.add(operators, ada, course)

        assert CourseEnrollment.objects.get().is_active
        assert EnrollmentEvent.objects.last().type == "activated"

    def test_refuses_who_is_in_already(self, operators):
        course, ada = make_course(), make_user("ada")
        EnrollmentsService().enroll(ada, course)

        response = self.add(operators, ada, course)

        assert "already" in self.refusal(response)
        assert EnrollmentEvent.objects.count() == 1

    def test_shows_a_refusal_in_the_form(self, operators):
        course = make_course(max_student_enrollments_allowed=0)

        response = self.add(operators, make_user("ada"), course)

        assert "is full" in self.refusal(response)
        assert not CourseEnrollment.objects.exists()

    def test_lifts_the_seats_when_told_so(self, operators):
        course = make_course(max_student_enrollments_allowed=0)

        self.add(operators, make_user("ada"), course, over_capacity="on")

        assert EnrollmentEvent.objects.get().reason == "over_capacity"

    def test_lifts_dates_when_told_so(self, operators):
        course, ada = make_course(enrollment_end=now() - DAY), make_user("ada")

        refused = self.add(operators, ada, course)
        self.add(operators, ada, course, force="on")

        assert "has ended" in self.refusal(refused)
        assert CourseEnrollment.objects.get().is_active

    def test_shows_a_veto_in_its_own_words(self, operators, settings):
        settings.ENROLLMENTS_FILTERS = [veto]

        response = self.add(operators, make_user("ada"), make_course())

        assert self.refusal(response) == "No enroll today."

    def test_refuses_a_mode_that_is_not_offered(self, operators):
        response = self.add(operators, make_user("ada"), make_course(), mode="gold")

        assert "'gold' unavailable" in self.refusal(response)

    @pytest.mark.parametrize("key", ["", "0", "-1", "x", "9" * 40, "a\x00b", "ä" * 999])
    @pytest.mark.parametrize("name", ["user", "course"])
    def test_refuses_a_user_or_course_that_is_none(self, operators, name, key):
        data = {"user": make_user("ada").pk, "course": make_course().pk, name: key}

        response = operators.post(url(CourseEnrollment, "add"), data)

        assert response.status_code == 200
        assert name in response.context["adminform"].form.errors

    @pytest.mark.parametrize("name", ["mode", "reason"])
    def test_refuses_nul(self, operators, name):
        response = self.add(
            operators, make_user("ada"), make_course(), **{name: "a\x00b"}
        )

        assert name in response.context["adminform"].form.errors

    def test_needs_the_permission_to_add(self, client):
        client.force_login(make_user("clerk", is_staff=True))

        response = self.add(client, make_user("ada"), make_course())

        assert response.status_code == 403
        assert not CourseEnrollment.objects.exists()


class TestPageOfAnEnrollment:
    def test_shows_learner_course_attributes_and_history(self, operators):
        rows = make_rows()

        page = operators.get(url(CourseEnrollment, "change", rows[CourseEnrollment].pk))

        shown = page.content.decode()
        for text in (username("learner0"), "django-0", "order", "created"):
            assert text in shown

    def test_changes_nothing(self, operators):
        enrollment = make_rows()[CourseEnrollment]

        response = operators.post(
            url(CourseEnrollment, "change", enrollment.pk),
            {"mode": "verified", "is_active": ""},
        )

        modified = enrollment.modified
        enrollment.refresh_from_db()
        assert response.status_code == 403
        assert (enrollment.mode, enrollment.is_active) == ("audit", True)
        assert enrollment.modified == modified

    def test_has_no_button_that_saves(self, operators):
        enrollment = make_rows()[CourseEnrollment]

        page = operators.get(url(CourseEnrollment, "change", enrollment.pk))

        assert 'name="_save"' not in page.content.decode()

    @pytest.mark.parametrize("key", ["0", "x", "9" * 40])
    def test_is_missing_for_an_enrollment_that_is_none(self, operators, key):
        response = operators.get(url(CourseEnrollment, "change", key))

        assert response.status_code == 302


class TestActions:
    def act(self, client: Any, action: str, *rows: CourseEnrollment) -> Any:
        data = {"action": action, "_selected_action": [row.pk for row in rows]}
        return client.post(url(CourseEnrollment, "changelist"), data)

    def enroll(self, course: Any, *names: str) -> list[CourseEnrollment]:
        service = EnrollmentsService()
        return [service.enroll(make_user(name), course) for name in names]

    def test_takes_learners_out(self, operators, operator):
        rows = self.enroll(make_course(), "ada", "bob", "carol")

        response = self.act(operators, "unenroll", *rows[:2])

        left = CourseEnrollment.objects.filter(is_active=False)
        assert {row.pk for row in left} == {row.pk for row in rows[:2]}
        events = EnrollmentEvent.objects.filter(type="deactivated")
        assert {(one.source, one.actor_id) for one in events} == {
            ("admin", operator.pk)
        }
        assert texts(response) == ["2 learners were taken out."]

    def test_puts_learners_back_in_their_old_mode(self, operators, operator):
        course = make_course()
        make_modes(course, "audit", "verified")
        service = EnrollmentsService()
        row = service.enroll(make_user("ada"), course, "verified")
        service.unenroll(row.user, course)

        response = self.act(operators, "reactivate", row)

        row.refresh_from_db()
        event = EnrollmentEvent.objects.last()
        assert (row.mode, row.is_active) == ("verified", True)
        assert (event.type, event.source) == ("activated", "admin")
        assert event.actor_id == operator.pk
        assert texts(response) == ["1 learner was put back."]

    @pytest.mark.parametrize("action", ["unenroll", "reactivate"])
    def test_leaves_alone_who_is_so_already(self, operators, action):
        (row,) = self.enroll(make_course(), "ada")
        if action == "unenroll":
            EnrollmentsService().unenroll(row.user, row.course)
        before = EnrollmentEvent.objects.count()

        response = self.act(operators, action, row)

        assert EnrollmentEvent.objects.count() == before
        assert texts(response)[0].startswith("0 learners")

    def test_tells_who_was_refused_and_goes_on(self, operators):
        course = make_course(max_student_enrollments_allowed=2)
        rows = self.enroll(course, "ada", "bob")
        for row in rows:
            EnrollmentsService().unenroll(row.user, course)
        self.enroll(course, "carol")

        response = self.act(operators, "reactivate", *rows)

        active = CourseEnrollment.objects.active().values_list("user", flat=True)
        refusal, summary = texts(response)
        assert len(active) == 2
        assert refusal.endswith("is full.")
        assert summary == "1 learner was put back."

    def test_tells_a_veto_in_its_own_words(self, operators, settings):
        (row,) = self.enroll(make_course(), "ada")
        settings.ENROLLMENTS_FILTERS = [veto]

        response = self.act(operators, "unenroll", row)

        assert texts(response)[0] == f"{username('ada')}: No unenroll today."
        assert CourseEnrollment.objects.get().is_active

    def test_tells_so_many_refusals_and_the_number_of_the_rest(
        self, operators, settings
    ):
        course = make_course()
        EnrollmentsService().bulk_enroll(course, make_users(REFUSALS_SHOWN + 3))
        settings.ENROLLMENTS_FILTERS = [veto]

        response = self.act(operators, "unenroll", *CourseEnrollment.objects.all())

        said = texts(response)
        assert len(said) == REFUSALS_SHOWN + 2
        assert said[-2:] == ["3 more.", "0 learners were taken out."]

    def test_needs_the_permission_to_change(self, client):
        from django.contrib.auth.models import Permission

        clerk = make_user("clerk", is_staff=True)
        clerk.user_permissions.add(
            Permission.objects.get(codename="view_courseenrollment")
        )
        client.force_login(clerk)
        (row,) = self.enroll(make_course(), "ada")

        self.act(client, "unenroll", row)

        assert CourseEnrollment.objects.get().is_active

    @pytest.mark.parametrize(
        "model", [CourseEnrollment, CourseEnrollmentAttribute, EnrollmentEvent]
    )
    def test_never_deletes_what_is_kept(self, operators, model):
        row = make_rows()[model]

        data = {
            "action": "delete_selected",
            "_selected_action": [row.pk],
            "post": "yes",
        }
        operators.post(url(model, "changelist"), data)
        operators.post(url(model, "delete", row.pk), {"post": "yes"})

        assert model.objects.filter(pk=row.pk).exists()


class TestOrphans:
    @pytest.fixture
    def orphan(self):
        rows = make_rows()
        rows[get_course_model()].delete()
        return rows[CourseEnrollment]

    @pytest.mark.rule("MDL-01")
    def test_are_listed_with_the_id_that_the_course_had(self, operators, orphan):
        response = operators.get(url(CourseEnrollment, "changelist"))

        assert response.context["cl"].result_count == 1
        assert "django-0 (deleted)" in response.content.decode()

    @pytest.mark.rule("MDL-01")
    def test_are_found_by_their_learner(self, operators, orphan):
        query = {"q": username("learner0")}

        response = operators.get(url(CourseEnrollment, "changelist"), query)

        assert response.context["cl"].result_count == 1

    @pytest.mark.rule("MDL-01")
    def test_have_a_page(self, operators, orphan):
        response = operators.get(url(CourseEnrollment, "change", orphan.pk))

        assert response.status_code == 200
        assert "django-0 (deleted)" in response.content.decode()

    @pytest.mark.rule("MDL-01")
    def test_can_be_left(self, operators, orphan):
        data = {"action": "unenroll", "_selected_action": [orphan.pk]}

        operators.post(url(CourseEnrollment, "changelist"), data)

        orphan.refresh_from_db()
        assert not orphan.is_active
        assert EnrollmentEvent.objects.last().course_id == "django-0"

    def test_keep_their_attributes_and_notifications_in_sight(self, operators, orphan):
        for model in (CourseEnrollmentAttribute, SentNotification, EnrollmentEvent):
            response = operators.get(url(model, "changelist"))

            assert response.context["cl"].result_count == 1


class TestHistoryOfAUserWhoIsGone:
    def test_is_listed_and_has_a_page(self, operators):
        event = make_rows()[EnrollmentEvent]
        get_user_model().objects.get(pk=event.user_id).delete()

        listed = operators.get(url(EnrollmentEvent, "changelist"))
        page = operators.get(url(EnrollmentEvent, "change", event.pk))

        assert username("learner0") in listed.content.decode()
        assert str(event.user_id) in page.content.decode()
        assert not CourseEnrollment.objects.exists()

    @pytest.mark.skipif(
        not is_default_host(), reason="The other host has no page for its users."
    )
    def test_remains_when_the_hosts_own_page_deletes_the_user(self, operators):
        rows = make_rows()
        user = rows[CourseEnrollment].user

        page = operators.get(url(get_user_model(), "delete", user.pk))
        operators.post(url(get_user_model(), "delete", user.pk), {"post": "yes"})

        assert page.status_code == 200
        assert not page.context["perms_lacking"]
        assert not get_user_model().objects.filter(pk=user.pk).exists()
        assert EnrollmentEvent.objects.count() == 1


class TestChoosingUsersAndCourses:
    def widgets(self, client: Any) -> dict[str, str]:
        form = client.get(url(CourseEnrollment, "add")).context["adminform"].form
        names = {}
        for name in ("user", "course"):
            widget = form.fields[name].widget
            names[name] = type(getattr(widget, "widget", widget)).__name__
        return names

    @pytest.mark.skipif(
        not is_default_host(), reason="The other host registers neither."
    )
    def test_is_by_autocomplete_where_the_host_can_search_them(self, operators):
        assert self.widgets(operators) == {
            "user": "_Autocomplete",
            "course": "_Autocomplete",
        }

    @pytest.mark.skipif(is_default_host(), reason="The default host registers both.")
    def test_is_by_key_where_the_host_registers_neither(self, operators):
        assert self.widgets(operators) == {
            "user": "ForeignKeyRawIdWidget",
            "course": "ForeignKeyRawIdWidget",
        }

    @pytest.mark.parametrize("search_fields", [(), ("pk",)])
    @pytest.mark.skipif(is_default_host(), reason="The default host registers both.")
    def test_follows_what_a_host_registers(self, rf, search_fields):
        course_model = get_course_model()
        hosts = type("HostAdmin", (admin.ModelAdmin,), {"search_fields": search_fields})
        ours = admin.site.get_model_admin(CourseEnrollment)
        admin.site.register(course_model, hosts)
        try:
            found = ours.get_autocomplete_fields(rf.get("/"))
        finally:
            admin.site.unregister(course_model)

        assert found == (["course"] if search_fields else [])

    @pytest.mark.skipif(
        not is_default_host(), reason="The other host registers neither."
    )
    def test_finds_courses_by_autocomplete(self, operators):
        make_course("django-101")
        query = {
            "app_label": "django_enrollments",
            "model_name": "courseenrollment",
            "field_name": "course",
            "term": "django",
        }

        found = operators.get(reverse("admin:autocomplete"), query).json()

        assert [one["id"] for one in found["results"]] == ["django-101"]


class TestSearchingByAddress:
    def search(self, client: Any, term: str, *permissions: str) -> list[Any]:
        """Search enrollments as staff with some permissions."""
        staff = make_user("operator", is_staff=True)
        for codename in ("view_courseenrollment", *permissions):
            staff.user_permissions.add(Permission.objects.get(codename=codename))
        client.force_login(staff)
        answer = client.get(url(CourseEnrollment, "changelist"), {"q": term})
        return list(answer.context["cl"].result_list)

    @pytest.fixture
    def enrollment(self) -> Any:
        ada = make_user("ada", email="countess@lovelace.example")
        return EnrollmentsService().enroll(ada, make_course("django-101"))

    def test_is_for_those_who_may_view_users(self, client, enrollment):
        view_users = f"view_{get_user_model()._meta.model_name}"

        assert self.search(client, "lovelace", view_users) == [enrollment]

    def test_is_not_for_others(self, client, enrollment):
        assert self.search(client, "lovelace") == []

    def test_leaves_others_the_search_by_course(self, client, enrollment):
        assert self.search(client, "django") == [enrollment]

    def test_is_not_for_others_by_a_lookup(self, client, enrollment):
        self.search(client, "")
        field = get_user_model().get_email_field_name()
        address = url(CourseEnrollment, "changelist")

        answer = client.get(address, {f"user__{field}__startswith": "c"})

        assert answer.status_code == 400
