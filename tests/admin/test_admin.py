"""Pages and actions of the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_enrollments import api
from django_enrollments.admin import REFUSALS_SHOWN
from django_enrollments.datetimes import now
from django_enrollments.errors import EnrollmentNotAllowed
from django_enrollments.models import (
    Consumer,
    Course,
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    CourseMode,
    EmailOptIn,
    EnrollmentEvent,
    SentNotification,
    SetAside,
    UserRetirementStatus,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.admin.pages import shown, texts, url
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
    Consumer: False,
    CourseAccessRole: True,
    CourseEnrollment: True,
    CourseEnrollmentAllowed: True,
    CourseEnrollmentAttribute: False,
    CourseMode: True,
    EmailOptIn: True,
    EnrollmentEvent: False,
    SentNotification: False,
    SetAside: False,
    UserRetirementStatus: True,
}
if is_default_host():
    MODELS[Course] = True

#: The empty form of the modes on the page of a course.
NO_MODES = {
    f"django_enrollments_coursemode_set-{name}": "0"
    for name in ("TOTAL_FORMS", "INITIAL_FORMS")
}

pytestmark = pytest.mark.django_db

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


@pytest.fixture
def save(admin_client, django_capture_on_commit_callbacks):
    """Return a function that adds or changes a row by its form."""

    def save(model, key=None, /, **data):
        page = url(model, "add") if key is None else url(model, "change", key)
        with django_capture_on_commit_callbacks(execute=True):
            return admin_client.post(page, data)

    return save


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
    consumer = Consumer.objects.create(name=f"learner{number}", position=0)
    rows = [
        consumer,
        SetAside.objects.create(
            consumer=consumer,
            position=number + 1,
            partition=f"{user.get_username()}:{course_id}",
            state="dead",
        ),
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


def veto(action: str, **context):
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
    def test_has_pages_for_what_is_possible(self, admin_client, model):
        kept = {
            Consumer,
            CourseEnrollment,
            CourseEnrollmentAttribute,
            EnrollmentEvent,
            SetAside,
        }
        empty = admin_client.get(url(model, "changelist"))
        row = make_rows()[model]

        listed = admin_client.get(url(model, "changelist"))
        shown = admin_client.get(url(model, "change", row.pk))
        history = admin_client.get(url(model, "history", row.pk))
        added = admin_client.get(url(model, "add"))
        deleted = admin_client.get(url(model, "delete", row.pk))

        for response in (empty, listed, shown, history):
            assert response.status_code == 200
        assert listed.context["cl"].result_count == 1
        assert url(model, "change", row.pk) in listed.content.decode()
        assert added.status_code == (200 if MODELS[model] else 403)
        assert deleted.status_code == (403 if model in kept else 200)
        assert ("deletelink" in shown.content.decode()) is (model not in kept)

    @every_model
    def test_is_found_by_text(self, admin_client, model):
        for number in (1, 2):
            make_rows(number)
        text = {
            CourseEnrollmentAllowed: "guest2",
            CourseMode: "django-2",
            Course: "django-2",
            Consumer: "learner2",
        }.get(model, username("learner2"))

        response = admin_client.get(url(model, "changelist"), {"q": text})

        assert response.context["cl"].result_count == 1
        for text in ("\x00", "'\"%_\\", "x" * 5_000, "ä 雪 "):
            response = admin_client.get(url(model, "changelist"), {"q": text})
            assert response.status_code == 200

    @pytest.mark.rule("V1-ERR-07")
    @every_model
    def test_refuses_nul_in_a_filter_with_a_400(self, admin_client, model):
        for query in ({"pk": "\x00"}, {"pk__exact": "1\x00"}, {"\x00": "1"}):
            response = admin_client.get(url(model, "changelist"), query)

            assert response.status_code == 400

    @every_model
    def test_is_filtered_and_sorted_by_every_column(self, admin_client, model):
        make_rows()
        columns = len(admin.site._registry[model].list_display)
        listed = admin_client.get(url(model, "changelist")).context["cl"]
        choices = [
            choice["query_string"]
            for spec in listed.filter_specs
            for choice in spec.choices(listed)
            if "query_string" in choice
        ]

        for query in [*choices, *(f"?o={number + 1}" for number in range(columns))]:
            response = admin_client.get(url(model, "changelist") + query)

            assert response.status_code == 200, query

    @every_model
    def test_is_listed_in_as_many_queries_for_many_rows(self, admin_client, model):
        make_rows(1)
        admin_client.get(url(model, "changelist"))
        with CaptureQueriesContext(connection) as one:
            admin_client.get(url(model, "changelist"))
        for number in range(2, 6):
            make_rows(number)

        with CaptureQueriesContext(connection) as five:
            response = admin_client.get(url(model, "changelist"))

        assert response.context["cl"].result_count == 5
        assert len(five) == len(one) <= 10

    @every_model
    def test_needs_a_permission(self, client, model):
        client.force_login(make_user("clerk", is_staff=True))

        assert client.get(url(model, "changelist")).status_code == 403

    @every_model
    def test_refuses_an_empty_form(self, admin_client, model):
        response = admin_client.post(url(model, "add"), {})

        if MODELS[model]:
            assert response.status_code == 200
            assert response.context["errors"]
        else:
            assert response.status_code == 403


class TestForms:
    def test_add_and_change_a_mode(self, save, course):
        data = {"course": course.pk, "mode_slug": "verified", "currency": "USD"}

        save(CourseMode, min_price=10, **data)
        mode = CourseMode.objects.get()
        save(CourseMode, mode.pk, min_price=20, **data)

        mode.refresh_from_db()
        assert (mode.course, mode.min_price, mode.currency) == (course, 20, "usd")

    @pytest.mark.rule("MODE-14")
    def test_refuse_a_professional_mode_that_expires(self, save, course):
        data = {"course": course.pk, "mode_slug": "professional", "currency": "usd"}
        expiry = {
            "expiration_datetime_0": "2030-01-01",
            "expiration_datetime_1": "12:00",
        }

        response = save(CourseMode, min_price=1, **data, **expiry)

        assert "not allowed to have expiration_datetime" in response.content.decode()

    def test_add_a_role_on_an_organization(self, save, ada):
        save(CourseAccessRole, user=ada.pk, org="edX", role="staff")

        assert CourseAccessRole.objects.get().course_id == ""

    def test_name_the_roles_of_the_course_team(self, admin_client):
        page = admin_client.get(url(CourseAccessRole, "add")).content.decode()

        assert all(role in page for role in CourseAccessRole.COURSE_TEAM)

    def test_add_a_request_for_retirement(self, save, ada):
        data = {"original_username": "ada", "state": "pending"}

        save(UserRetirementStatus, user=ada.pk, **data)

        assert UserRetirementStatus.objects.get().user == ada

    @pytest.mark.skipif(not is_default_host(), reason="The course is swapped out.")
    def test_keep_the_id_of_a_course_and_refuse_an_invalid_one(self, save):
        make_course("django-101")

        save(Course, "django-101", id="django-102", org="edX", **NO_MODES)
        refused = save(Course, id="no course id", **NO_MODES)

        course = Course.objects.get()
        assert (course.pk, course.org) == ("django-101", "edX")
        assert "id" in refused.context["adminform"].form.errors


class TestInvitationForm:
    def test_adds_an_invitation_once(self, save):
        responses = [
            save(CourseEnrollmentAllowed, email=email, course_id="later-101")
            for email in ("Guest@example.org", "guest@example.ORG")
        ]

        assert [response.status_code for response in responses] == [302, 200]
        assert CourseEnrollmentAllowed.objects.get().email == "guest@example.org"

    @pytest.mark.rule("ACC-13")
    def test_enrolls_active_accounts(self, save, ada, course):
        inactive = make_user("bob", is_active=False)
        data = {"course_id": course_id_of(course), "auto_enroll": "on"}
        for user in (ada, inactive):
            data["email"] = user.email.upper()
            save(CourseEnrollmentAllowed, mode="audit", reason="On the list", **data)

        event = EnrollmentEvent.objects.get()
        assert str(event.user_id) == str(ada.pk)
        assert (event.source, event.reason) == ("invitation", "On the list")
        assert event.actor_id is not None
        assert CourseEnrollmentAllowed.objects.unused().get().email == inactive.email

    @pytest.mark.rule("ACC-13")
    def test_enrolls_when_the_flag_is_set(self, save, ada, course):
        data = {"email": ada.email, "course_id": course_id_of(course)}
        invitation = CourseEnrollmentAllowed.objects.create(**data)

        save(CourseEnrollmentAllowed, invitation.pk, **data)
        before = EnrollmentsService().is_enrolled(ada, course)
        save(CourseEnrollmentAllowed, invitation.pk, auto_enroll="on", **data)

        assert not before
        assert EnrollmentsService().is_enrolled(ada, course)
        invitation.refresh_from_db()
        assert invitation.user == ada

    @pytest.mark.rule("ACC-13")
    def test_keeps_an_invitation_that_cannot_enroll(self, save, ada, course, settings):
        settings.ENROLLMENTS_FILTERS = [veto]
        data = {"email": ada.email, "course_id": course_id_of(course)}

        response = save(CourseEnrollmentAllowed, auto_enroll="on", **data)

        assert response.status_code == 302
        assert CourseEnrollmentAllowed.objects.unused().exists()
        assert not EnrollmentsService().is_enrolled(ada, course)

    @pytest.mark.parametrize("course_id", ["no course id", "a,b", "x" * 300, "a\x00b"])
    def test_refuses_an_invalid_course_id(self, save, course_id):
        response = save(CourseEnrollmentAllowed, email="a@b.org", course_id=course_id)

        assert response.status_code == 200
        assert "course_id" in response.context["adminform"].form.errors
        assert not CourseEnrollmentAllowed.objects.exists()


class TestEnrollmentForm:
    def add(self, client, user, course, **data):
        data = {
            "user": getattr(user, "pk", user),
            "course": getattr(course, "pk", course),
            **data,
        }
        return client.post(url(CourseEnrollment, "add"), data)

    def refusal(self, response) -> str:
        """Return the error of a form that is shown again."""
        assert response.status_code == 200
        return " ".join(response.context["adminform"].form.non_field_errors())

    def test_enrolls_with_operator_and_reason_in_the_history(
        self, admin_client, operator
    ):
        course, ada = make_course(), make_user("ada")
        make_modes(course, "honor", "verified")

        response = self.add(admin_client, ada, course, reason="by letter")

        enrollment = CourseEnrollment.objects.get()
        event = EnrollmentEvent.objects.get()
        assert response.status_code == 302
        assert (enrollment.user, enrollment.course) == (ada, course)
        assert (enrollment.mode, enrollment.is_active) == ("honor", True)
        assert (event.source, event.reason) == ("admin", "by letter")
        assert event.actor_id == operator.pk
        assert LogEntry.objects.get().object_id == str(enrollment.pk)

    @pytest.mark.parametrize("page", ["_save", "_continue", "_addanother"])
    def test_enrolls_in_a_mode_and_shows_the_next_page(self, admin_client, page):
        course = make_course()
        make_modes(course, "honor", "verified")
        fields = {"mode": "verified", page: "1"}

        response = self.add(admin_client, make_user("ada"), course, **fields)

        assert CourseEnrollment.objects.get().mode == "verified"
        assert admin_client.get(response.url).status_code == 200

    def test_enrolls_again_and_not_twice(self, admin_client):
        course, ada = make_course(), make_user("ada")
        EnrollmentsService().enroll(ada, course)
        EnrollmentsService().unenroll(ada, course)

        self.add(admin_client, ada, course)
        refused = self.add(admin_client, ada, course)

        assert "already" in self.refusal(refused)
        types = EnrollmentEvent.objects.values_list("type", flat=True).order_by("pk")
        assert list(types) == ["created", "deactivated", "activated"]

    @pytest.mark.parametrize(
        ("facts", "text", "field"),
        [
            (
                {"max_student_enrollments_allowed": 0},
                "is full",
                "over_capacity",
            ),
            ({"enrollment_end": now() - DAY}, "has ended", "force"),
        ],
    )
    def test_shows_a_refusal_that_a_flag_lifts(self, admin_client, facts, text, field):
        course, ada = make_course(**facts), make_user("ada")

        refused = self.add(admin_client, ada, course)
        assert not CourseEnrollment.objects.exists()
        self.add(admin_client, ada, course, **{field: "on"})

        assert text in self.refusal(refused)
        assert CourseEnrollment.objects.get().is_active
        reason = EnrollmentEvent.objects.get().reason
        assert (reason == "over_capacity") is (field == "over_capacity")

    def test_shows_the_refusal_of_a_filter(self, admin_client, settings):
        settings.ENROLLMENTS_FILTERS = [veto]

        response = self.add(admin_client, make_user("ada"), make_course())

        assert self.refusal(response) == "No enroll today."

    def test_offers_the_modes_of_all_courses(self, admin_client):
        make_modes(make_course(), "honor", "gold")

        page = admin_client.get(url(CourseEnrollment, "add"))

        field = page.context["adminform"].form.fields["mode"]
        assert field.choices == [
            ("", "---------"),
            ("audit", "Audit"),
            ("gold", "Gold"),
            ("honor", "Honor"),
        ]

    def test_refuses_a_mode_that_is_not_offered(self, admin_client):
        make_modes(make_course("other-101"), "gold")

        response = self.add(admin_client, make_user("ada"), make_course(), mode="gold")

        assert self.refusal(response) == (
            "The course does not offer this mode. It offers: Audit."
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(
                (name, key)
                for name in ("user", "course")
                for key in ("", "0", "-1", "x", "9" * 40, "a\x00b", "ä" * 999)
            ),
            *(("mode", "a\x00b"), ("mode", "unknown"), ("reason", "a\x00b")),
        ],
    )
    def test_refuses_invalid_values(self, admin_client, name, value):
        fields = {"user": make_user("ada"), "course": make_course(), name: value}

        response = self.add(admin_client, **fields)

        assert response.status_code == 200
        assert name in response.context["adminform"].form.errors

    def test_needs_the_permission_to_add(self, client):
        client.force_login(make_user("clerk", is_staff=True))

        response = self.add(client, make_user("ada"), make_course())

        assert response.status_code == 403
        assert not CourseEnrollment.objects.exists()


class TestEnrollmentPage:
    def test_shows_learner_course_attributes_and_history(self, admin_client):
        enrollment = make_rows()[CourseEnrollment]

        page = admin_client.get(url(CourseEnrollment, "change", enrollment.pk))

        shown = page.content.decode()
        for text in (username("learner0"), "django-0", "order", "created"):
            assert text in shown
        assert 'name="_save"' not in shown

    def test_changes_nothing(self, admin_client):
        enrollment = make_rows()[CourseEnrollment]
        page = url(CourseEnrollment, "change", enrollment.pk)

        response = admin_client.post(page, {"mode": "verified", "is_active": ""})

        modified = enrollment.modified
        enrollment.refresh_from_db()
        assert response.status_code == 403
        assert (enrollment.mode, enrollment.is_active) == ("audit", True)
        assert enrollment.modified == modified

    @pytest.mark.parametrize("key", ["0", "x", "9" * 40])
    def test_redirects_without_an_enrollment(self, admin_client, key):
        response = admin_client.get(url(CourseEnrollment, "change", key))

        assert response.status_code == 302


class TestActions:
    def act(self, client, action: str, *rows: CourseEnrollment, **given):
        """Choose an action, and submit the form that it shows."""
        data = {"action": action, "_selected_action": [row.pk for row in rows]}
        asked = client.post(url(CourseEnrollment, "changelist"), data)
        if asked.status_code != 200:
            return asked
        given = {"reason": "On the list", **given, "keys": asked.context["keys"]}
        return client.post(asked.context["form_url"], given)

    def enroll(self, course, *names: str) -> list[CourseEnrollment]:
        service = EnrollmentsService()
        return [service.enroll(make_user(name), course) for name in names]

    def test_unenroll_learners(self, admin_client, operator):
        rows = self.enroll(make_course(), "ada", "bob", "carol")

        response = self.act(admin_client, "unenroll", *rows[:2])

        left = CourseEnrollment.objects.filter(is_active=False)
        assert {row.pk for row in left} == {row.pk for row in rows[:2]}
        events = EnrollmentEvent.objects.filter(type="deactivated")
        assert {(one.source, one.actor_id, one.reason) for one in events} == {
            ("admin", operator.pk, "On the list")
        }
        assert texts(response) == ["2 learners were unenrolled."]

    def test_reactivate_learners_in_their_mode(self, admin_client, operator):
        course = make_course()
        make_modes(course, "audit", "verified")
        service = EnrollmentsService()
        row = service.enroll(make_user("ada"), course, "verified")
        service.unenroll(row.user, course)

        response = self.act(admin_client, "reactivate", row)

        row.refresh_from_db()
        event = EnrollmentEvent.objects.last()
        assert (row.mode, row.is_active) == ("verified", True)
        assert (event.type, event.source) == ("activated", "admin")
        assert event.actor_id == operator.pk
        assert texts(response) == ["1 learner was enrolled again."]

    @pytest.mark.parametrize("action", ["unenroll", "reactivate"])
    def test_change_nothing_twice(self, admin_client, action):
        (row,) = self.enroll(make_course(), "ada")
        if action == "unenroll":
            EnrollmentsService().unenroll(row.user, row.course)
        before = EnrollmentEvent.objects.count()

        response = self.act(admin_client, action, row)

        assert EnrollmentEvent.objects.count() == before
        assert texts(response)[0].startswith("0 learners")

    def test_show_refusals_and_continue(self, admin_client):
        course = make_course(max_student_enrollments_allowed=2)
        rows = self.enroll(course, "ada", "bob")
        for row in rows:
            EnrollmentsService().unenroll(row.user, course)
        self.enroll(course, "carol")

        response = self.act(admin_client, "reactivate", *rows)

        active = CourseEnrollment.objects.active().values_list("user", flat=True)
        refusal, summary = texts(response)
        assert len(active) == 2
        assert refusal.startswith(f"{username('bob')} in ")
        assert "full" in refusal
        assert summary == "1 learner was enrolled again."

    def test_show_the_refusal_of_a_filter(self, admin_client, settings):
        (row,) = self.enroll(make_course(), "ada")
        settings.ENROLLMENTS_FILTERS = [veto]

        response = self.act(admin_client, "unenroll", row)

        assert texts(response)[0].startswith(f"{username('ada')} in ")
        assert texts(response)[0].endswith(": No unenroll today.")
        assert CourseEnrollment.objects.get().is_active

    def test_show_some_refusals_and_the_number_of_the_rest(
        self, admin_client, settings
    ):
        course = make_course()
        EnrollmentsService().bulk_enroll(course, make_users(REFUSALS_SHOWN + 3))
        settings.ENROLLMENTS_FILTERS = [veto]

        response = self.act(admin_client, "unenroll", *CourseEnrollment.objects.all())

        said = texts(response)
        assert len(said) == REFUSALS_SHOWN + 2
        assert said[-2:] == [
            "3 more enrollments were refused.",
            "0 learners were unenrolled.",
        ]

    def test_need_the_permission_to_change(self, client):
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
    def test_never_delete_enrollments_and_history(self, admin_client, model):
        row = make_rows()[model]

        data = {
            "action": "delete_selected",
            "_selected_action": [row.pk],
            "post": "yes",
        }
        admin_client.post(url(model, "changelist"), data)
        admin_client.post(url(model, "delete", row.pk), {"post": "yes"})

        assert model.objects.filter(pk=row.pk).exists()


@pytest.mark.rule("MDL-01")
def test_enrollments_of_deleted_courses_are_shown_and_can_be_deactivated(admin_client):
    rows = make_rows()
    enrollment, text = rows[CourseEnrollment], "django-0 (deleted)"
    rows[get_course_model()].delete()
    page = url(CourseEnrollment, "changelist")

    listed = admin_client.get(page)
    found = admin_client.get(page, {"q": username("learner0")})
    opened = admin_client.get(url(CourseEnrollment, "change", enrollment.pk))
    TestActions().act(admin_client, "unenroll", enrollment)

    assert text in listed.content.decode()
    assert found.context["cl"].result_count == 1
    assert text in opened.content.decode()
    enrollment.refresh_from_db()
    assert not enrollment.is_active
    assert EnrollmentEvent.objects.last().course_id == "django-0"
    for model in (CourseEnrollmentAttribute, SentNotification):
        response = admin_client.get(url(model, "changelist"))
        assert response.context["cl"].result_count == 1


class TestHistory:
    def test_shows_the_actor_and_the_reason_and_links_to_the_enrollment(
        self, admin_client
    ):
        operator = get_user_model().objects.get()
        enrollment = CourseEnrollment.enroll(
            make_user("ada"), course_id_of(make_course()), actor=operator, reason="Paid"
        )
        event = EnrollmentEvent.objects.get(enrollment=enrollment)

        listed = shown(admin_client.get(url(EnrollmentEvent, "changelist")))
        page = admin_client.get(url(EnrollmentEvent, "change", event.pk))

        assert "Paid" in listed
        assert operator.get_username() in shown(page)
        assert "Paid" in shown(page)
        link = url(CourseEnrollment, "change", enrollment.pk)
        assert f'href="{link}"' in page.content.decode()


class TestHistoryOfDeletedUsers:
    def test_is_listed_and_has_a_page(self, admin_client):
        event = make_rows()[EnrollmentEvent]
        get_user_model().objects.get(pk=event.user_id).delete()

        listed = admin_client.get(url(EnrollmentEvent, "changelist"))
        page = admin_client.get(url(EnrollmentEvent, "change", event.pk))

        assert username("learner0") in listed.content.decode()
        assert str(event.user_id) in page.content.decode()
        assert not CourseEnrollment.objects.exists()

    @pytest.mark.skipif(
        not is_default_host(), reason="The other host has no page for its users."
    )
    def test_remains_when_the_hosts_own_page_deletes_the_user(self, admin_client):
        rows = make_rows()
        user = rows[CourseEnrollment].user

        page = admin_client.get(url(get_user_model(), "delete", user.pk))
        admin_client.post(url(get_user_model(), "delete", user.pk), {"post": "yes"})

        assert page.status_code == 200
        assert not page.context["perms_lacking"]
        assert not get_user_model().objects.filter(pk=user.pk).exists()
        assert EnrollmentEvent.objects.count() == 1


class TestChoosingUsersAndCourses:
    def widgets(self, client) -> dict[str, str]:
        form = client.get(url(CourseEnrollment, "add")).context["adminform"].form
        names = {}
        for name in ("user", "course"):
            widget = form.fields[name].widget
            names[name] = type(getattr(widget, "widget", widget)).__name__
        return names

    def test_is_by_autocomplete_if_the_host_registers_them(self, admin_client):
        kind = "Autocomplete" if is_default_host() else "ForeignKeyRawIdWidget"

        assert self.widgets(admin_client) == {"user": kind, "course": kind}

    @pytest.mark.parametrize("search_fields", [(), ("pk",)])
    @pytest.mark.skipif(is_default_host(), reason="The default host registers both.")
    def test_depends_on_the_search_fields_that_a_host_registers(
        self, rf, search_fields
    ):
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
    def test_finds_courses_by_autocomplete(self, admin_client):
        make_course("django-101")
        query = {
            "app_label": "django_enrollments",
            "model_name": "courseenrollment",
            "field_name": "course",
            "term": "django",
        }

        found = admin_client.get(reverse("admin:autocomplete"), query).json()

        assert [one["id"] for one in found["results"]] == ["django-101"]


class TestSearchingByAddress:
    def search(self, client, term: str, *permissions: str) -> list[Any]:
        """Search enrollments as staff with some permissions."""
        model = get_user_model()
        email = model.get_email_field_name()
        staff = model.objects.filter(**{email: "operator@example.org"}).first()
        staff = staff or make_user("operator", is_staff=True)
        for codename in ("view_courseenrollment", *permissions):
            staff.user_permissions.add(Permission.objects.get(codename=codename))
        client.force_login(staff)
        answer = client.get(url(CourseEnrollment, "changelist"), {"q": term})
        return list(answer.context["cl"].result_list)

    @pytest.fixture
    def enrollment(self):
        ada = make_user("ada", email="countess@lovelace.example")
        return EnrollmentsService().enroll(ada, make_course("django-101"))

    def test_is_for_those_who_may_view_users(self, client, enrollment):
        view_users = f"view_{get_user_model()._meta.model_name}"

        assert self.search(client, "Countess@lovelace.example", view_users) == [
            enrollment
        ]

    def test_is_not_for_others(self, client, enrollment):
        for term in ("countess@lovelace.example", "countess"):
            assert self.search(client, term) == []

    def test_leaves_others_the_search_by_course(self, client, enrollment):
        assert self.search(client, "django") == [enrollment]

    def test_is_not_for_others_by_a_lookup(self, client, enrollment):
        self.search(client, "")
        field = get_user_model().get_email_field_name()
        address = url(CourseEnrollment, "changelist")

        answer = client.get(address, {f"user__{field}__startswith": "c"})

        assert answer.status_code == 400
