"""
A host with a read replica: what is shown goes by the router, what decides does not.

The replica here is a real second database that nothing is copied to, so that it shows
where a reading came from: it knows only what a test puts there, and is as far behind as
can be.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections

from django_enrollments import api, context, data, errors
from django_enrollments.datetimes import now
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseEnrollmentAttribute,
    CourseMode,
    EnrollmentEvent,
    SentNotification,
    UserRetirementStatus,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.signals import enrollment_created
from tests.factories import (
    DAY,
    NOON,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.http import client_of

PRIMARY, REPLICA = "default", "replica"
pytestmark = pytest.mark.django_db(databases=[PRIMARY, REPLICA])

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"


class ReplicaRouter:
    """Reads from the replica and writes to the primary."""

    def db_for_read(self, model, **hints):
        return REPLICA

    def db_for_write(self, model, **hints):
        return PRIMARY


class KnownRelationsRouter(ReplicaRouter):
    """Also says that what was read from either belongs together."""

    def allow_relation(self, obj1, obj2, **hints):
        return True


@pytest.fixture(scope="module")
def _empty_database(django_db_setup, django_db_blocker):
    """Make the second database, with tables and nothing in them."""
    wanted = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    known = {**django_settings.DATABASES, REPLICA: wanted}
    connections.settings[REPLICA] = connections.configure_settings(known)[REPLICA]
    with django_db_blocker.unblock():
        call_command("migrate", database=REPLICA, verbosity=0)
        yield
        # Django's own close() leaves what is in memory open.
        connections[REPLICA].connection.close()
    del connections[REPLICA], connections.settings[REPLICA]


@pytest.fixture(params=[ReplicaRouter, KnownRelationsRouter], autouse=True)
def _router(request, _empty_database, db, settings):
    """Read from a replica that knows nothing."""
    settings.DATABASE_ROUTERS = [f"{__name__}.{request.param.__name__}"]


def copy(*rows):
    """Put rows into the replica as they are now."""
    for row in rows:
        fields = {
            field.attname: getattr(row, field.attname)
            for field in row._meta.concrete_fields
        }
        type(row)._base_manager.using(REPLICA).bulk_create([type(row)(**fields)])


def copy_course(course):
    """Put a course with its modes into the replica."""
    if not is_default_host() and course.faculty is not None:
        copy(course.faculty)
    copy(course, *CourseMode.objects.using(PRIMARY).filter(course=course.pk))


def row_in(using, user):
    """Return the only enrollment of a user as one of the databases has it."""
    return CourseEnrollment.objects.using(using).filter(user=user.pk).first()


def state(user):
    """Return mode and activation of the only enrollment of a user, on the primary."""
    row = row_in(PRIMARY, user)
    return (row.mode, row.is_active) if row else None


def enrolled(user, mode=None):
    """Enroll a user and give the row."""
    return EnrollmentsService().enroll(user, COURSE_ID, mode, force=True)


class TestWhatIsShown:
    """The primary says audit and the replica, which is behind or ahead, says honor."""

    @pytest.fixture(autouse=True)
    def _two_truths(self):
        self.course = make_course(enable_proctored_exams=True, org="edX")
        make_modes(self.course, "audit", "honor")
        self.ada = make_user("ada")
        row = enrolled(self.ada)
        copy(self.ada)
        copy_course(self.course)
        row.mode = "honor"
        copy(row)
        self.row = row

    def test_is_the_list_of_enrollments(self):
        (shown,) = api.get_enrollments(username("ada"))

        assert shown["mode"] == "honor"

    def test_is_one_enrollment(self):
        shown = api.get_enrollment(username("ada"), COURSE_ID)

        assert shown is not None
        assert shown["mode"] == "honor"

    def test_is_the_list_with_a_filter(self, settings):
        users = []

        def watch(action, *, user, **context):
            users.append(user._state.db)

        settings.ENROLLMENTS_FILTERS = [watch]

        assert api.get_enrollments(username("ada"))[0]["mode"] == "honor"
        assert users == [REPLICA]

    def test_is_what_was_noted(self):
        CourseEnrollmentAttribute.objects.using(REPLICA).create(
            enrollment_id=self.row.pk, namespace="a", name="b", value="old"
        )

        shown = api.get_enrollment_attributes(username("ada"), COURSE_ID)

        assert shown == [{"namespace": "a", "name": "b", "value": "old"}]

    def test_is_the_course(self):
        CourseMode.objects.using(REPLICA).filter(mode_slug="audit").delete()

        details = api.get_course_enrollment_details(COURSE_ID)

        assert [mode["slug"] for mode in details["course_modes"]] == ["honor"]

    def test_is_whether_a_mode_is_offered(self):
        CourseMode.objects.using(REPLICA).filter(mode_slug="audit").delete()

        with pytest.raises(errors.CourseModeNotFoundError):
            api.validate_course_mode(COURSE_ID, "audit")

    def test_is_who_has_which_role(self):
        CourseAccessRole.objects.using(REPLICA).create(
            user_id=self.ada.pk, course_id=COURSE_ID, role="staff"
        )

        (role,) = api.get_user_roles(username("ada"))

        assert role.role == "staff"

    def test_is_why_somebody_may_not_enroll(self):
        bob = make_user("bob")
        copy(bob)
        get_course_model()._base_manager.using(REPLICA).update(
            **{
                "enrollment_end"
                if is_default_host()
                else "registration_closes_at": NOON
            }
        )

        told = [
            api.explain_enrollment(username("bob"), COURSE_ID),
            EnrollmentsService().explain(bob.pk, COURSE_ID),
        ]

        for one in told:
            assert [why["code"] for why in one["reasons"]] == ["enrollment_ended"]

    def test_is_what_instances_are_shown_as(self):
        rows = CourseEnrollment.objects.filter(course=self.course.pk)

        for given in (rows, list(rows)):
            assert api.serialize_enrollments(given)[0]["mode"] == "honor"

    def test_is_what_the_service_lists(self, settings):
        settings.ENROLLMENTS_PROCTORED_MODES = ["honor"]
        service = EnrollmentsService()

        rows = [
            service.get_active_enrollments_by_course(COURSE_ID).get(),
            service.get_active_enrollments_by_course_and_user(COURSE_ID, self.ada.pk),
            service.get_enrollments_can_take_proctored_exams(COURSE_ID).get(),
            data.get_user_enrollments(COURSE_ID).get(),
        ]

        assert [row.mode for row in rows] == ["honor"] * 4

    def test_is_who_is_enrolled(self):
        CourseEnrollment.objects.using(REPLICA).update(is_active=False)

        assert not EnrollmentsService().is_enrolled(self.ada.pk, COURSE_ID)
        assert not CourseEnrollment.is_enrolled(self.ada, COURSE_ID)
        mode = CourseEnrollment.enrollment_mode_for_user(self.ada, COURSE_ID)
        assert mode == ("honor", False)

    def test_is_what_get_answers(self, settings):
        browser = browser_of(self.ada, settings)

        listed = browser.get("/api/enrollment/v1/enrollment")

        assert [one["mode"] for one in listed.json()] == ["honor"]


def browser_of(user, settings):
    """Log a user in whom the replica knows, with a session that needs no database."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    return client_of(user)


class TestWhatDecides:
    """The replica knows nothing at all, but where a test says so."""

    @pytest.fixture(autouse=True)
    def _course(self):
        self.course = make_course(org="edX")
        make_modes(self.course, "audit", "honor")
        self.ada = make_user("ada")
        self.asked = (username("ada"), COURSE_ID)

    def test_an_enrollment_is_made_and_given(self):
        made = api.add_enrollment(*self.asked)

        assert (made["mode"], made["is_active"]) == ("audit", True)
        assert made["user"] == username("ada")
        modes = made["course_details"]["course_modes"]
        assert [mode["slug"] for mode in modes] == ["audit", "honor"]
        assert state(self.ada) == ("audit", True)
        assert row_in(REPLICA, self.ada) is None

    def test_an_enrollment_is_made_in_a_mode_with_what_is_noted(self):
        attributes = [{"namespace": "a", "name": "b", "value": "c"}]

        api.add_enrollment(*self.asked, mode="honor", enrollment_attributes=attributes)

        assert state(self.ada) == ("honor", True)
        noted = CourseEnrollmentAttribute.objects.using(PRIMARY).values_list("value")
        assert [*noted] == [("c",)]

    def test_who_is_in_already_is_told_so_as_it_is(self):
        enrolled(self.ada, "honor")

        with pytest.raises(errors.CourseEnrollmentExistsError) as told:
            api.add_enrollment(*self.asked)

        assert told.value.enrollment["mode"] == "honor"

    def test_an_inactive_one_is_left_inactive(self):
        enrolled(self.ada, "honor").deactivate()

        given = api.add_enrollment(*self.asked, is_active=False)

        assert (given["mode"], given["is_active"]) == ("honor", False)

    def test_an_enrollment_is_changed_and_given(self):
        enrolled(self.ada)
        attributes = [{"namespace": "a", "name": "b", "value": "c"}]

        given = api.update_enrollment(
            *self.asked, mode="honor", enrollment_attributes=attributes
        )

        assert given["mode"] == "honor"
        assert given["course_details"] is not None
        assert state(self.ada) == ("honor", True)

    def test_attributes_are_replaced(self):
        enrolled(self.ada)

        api.set_enrollment_attributes(
            *self.asked, [{"namespace": "a", "name": "b", "value": "c"}]
        )

        assert CourseEnrollmentAttribute.objects.using(PRIMARY).count() == 1

    def test_all_courses_are_left_and_their_organisations_given(self):
        course = make_course("django-101", org="Django")
        enrolled(self.ada)
        EnrollmentsService().enroll(self.ada, course)

        left = api.unenroll_user_from_all_courses(username("ada"))

        assert left == ["Django", "edX"]

    def test_staff_changes_what_is_there_rather_than_what_was(self):
        row = enrolled(self.ada)
        copy(self.ada, row)
        copy_course(self.course)
        row.deactivate()

        given = api.enroll_or_update(
            *self.asked, mode="honor", is_active=True, may_change=True
        )

        assert (given["mode"], given["is_active"]) == ("honor", True)
        assert state(self.ada) == ("honor", True)

    def test_staff_changes_what_the_replica_has_not_heard_of(self):
        enrolled(self.ada)

        given = api.enroll_or_update(*self.asked, is_active=False, may_deactivate=True)

        assert given["is_active"] is False
        assert state(self.ada) == ("audit", False)

    def test_who_may_only_change_sees_what_is_there(self):
        enrolled(self.ada, "honor")

        given = api.enroll_or_update(*self.asked, may_enroll=False, may_change=True)

        assert given["mode"] == "honor"

    def test_the_enterprise_is_told_of_what_will_come_about(self, settings):
        settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{__name__}.Enterprise"
        Enterprise.told.clear()

        api.enroll_or_update(*self.asked, linked_enterprise_customer="acme")

        assert Enterprise.told == [(self.ada.pk, "acme")]

    def test_an_invitation_opens_the_door_at_once(self):
        make_course("closed", invitation_only=True)
        api.bulk_enroll("closed", emails=["bob@example.org"])
        CourseEnrollmentAllowed.objects.using(PRIMARY).update(auto_enroll=False)
        bob = make_user("bob")

        api.add_enrollment(username("bob"), "closed")

        assert state(bob) == ("audit", True)
        used = CourseEnrollmentAllowed.objects.using(PRIMARY).get()
        assert used.user_id == bob.pk

    def test_an_invitation_that_was_used_opens_no_door_twice(self):
        course = make_course("closed", invitation_only=True)
        first, second = make_users(2)
        used = CourseEnrollmentAllowed(
            email=second.email, course_id="closed", user=first
        )
        used.save(using=PRIMARY)
        copy(first, second)
        copy_course(course)
        used.user = None
        copy(used)

        with pytest.raises(errors.CourseEnrollmentClosedError):
            api.add_enrollment(second.get_username(), "closed")
        (result,) = api.bulk_enroll("closed", [second.get_username()])

        assert result["code"] == "enrollment_closed"
        assert state(second) is None

    def test_a_role_opens_the_door_at_once(self):
        make_course("closed", invitation_only=True)
        CourseAccessRole(user=self.ada, course_id="closed", role="beta_testers").save()
        CourseAccessRole(user=self.ada, course_id="closed", role="staff").save()

        api.add_enrollment(username("ada"), "closed")

        assert state(self.ada) == ("audit", True)

    def test_the_last_seat_is_taken_once(self):
        full = make_course("full", max_student_enrollments_allowed=1)
        first, second = make_users(2)
        EnrollmentsService().enroll(first, full)
        copy(first, second)
        copy_course(full)

        with pytest.raises(errors.CourseEnrollmentFullError):
            api.add_enrollment(second.get_username(), "full")
        (result,) = api.bulk_enroll("full", [second.get_username()])

        assert result["code"] == "course_full"

    def test_a_filter_reads_what_it_is_to_decide_on(self, settings):
        read = []

        def look(action, *, user, **context):
            if action != "enroll":
                return
            read.append(api.get_enrollments(user.get_username()))
            read.append(EnrollmentsService().is_enrolled(user, "django-101"))

        EnrollmentsService().enroll(self.ada, make_course("django-101"))
        settings.ENROLLMENTS_FILTERS = [look]

        api.add_enrollment(*self.asked)

        listed, is_enrolled = read
        assert [one["course_details"]["course_id"] for one in listed] == ["django-101"]
        assert is_enrolled

    def test_who_hears_of_it_afterwards_reads_by_the_router(
        self, django_capture_on_commit_callbacks
    ):
        aliases = []

        def hear(**carried):
            aliases.append(context.read_alias())

        enrollment_created.connect(hear)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                api.add_enrollment(*self.asked)
        finally:
            enrollment_created.disconnect(hear)

        assert aliases == [None]
        assert context.read_alias() is None

    def test_a_refusal_leaves_reading_to_the_router(self):
        with pytest.raises(errors.CourseModeNotFoundError):
            api.add_enrollment(*self.asked, mode="gold")

        assert context.read_alias() is None

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_bulk_finds_everybody(self, stream):
        users = make_users(3)
        names = [user.get_username() for user in users]
        rows = {"usernames": names, "emails": ["ada@example.org", "new@example.org"]}

        told = [*api.bulk_enroll(COURSE_ID, **rows, stream=stream)]
        assert [one["status"] for one in told] == ["created"] * 4 + ["invited"]
        told = [*api.bulk_enroll(COURSE_ID, **rows, stream=stream, action="unenroll")]

        assert [one["status"] for one in told] == ["deactivated"] * 4 + ["uninvited"]
        assert [row_in(REPLICA, user) for user in users] == [None] * 3

    def test_the_service_finds_everybody(self):
        service, key = EnrollmentsService(), self.ada.pk

        service.enroll(key, COURSE_ID)
        service.change_mode(key, COURSE_ID, "honor")
        assert state(self.ada) == ("honor", True)
        service.unenroll(key, COURSE_ID)
        (result,) = service.bulk_enroll(COURSE_ID, [key])

        assert result["status"] == "reactivated"

    def test_the_model_finds_everybody(self):
        row = CourseEnrollment.enroll_by_email(
            "ada@example.org", COURSE_ID, ignore_errors=False
        )

        row.change_mode("honor")
        row.deactivate()
        row.activate()
        assert state(self.ada) == ("honor", True)
        CourseEnrollment.unenroll(self.ada, COURSE_ID)

        assert state(self.ada) == ("honor", False)
        history = EnrollmentEvent.objects.using(PRIMARY).filter(user_id=self.ada.pk)
        assert history.count() == 5

    def test_a_new_account_is_enrolled_by_its_invitation(self):
        api.bulk_enroll(COURSE_ID, emails=["bob@example.org"])

        assert state(make_user("bob")) == ("audit", True)

    def test_invitations_are_deleted_for_good(self):
        api.bulk_enroll(COURSE_ID, emails=["bob@example.org"])

        assert CourseEnrollmentAllowed.retire("bob@example.org")

        assert not CourseEnrollmentAllowed.objects.using(PRIMARY).exists()


class Enterprise:
    """Remembers what it was told."""

    told: list[tuple[Any, str]] = []

    def record_enrollment(self, user, course, **terms):
        self.told.append((user.pk, terms["linked_enterprise_customer"]))


class TestPost:
    """The replica knows who asks, for the host's own login reads from there."""

    @pytest.fixture(autouse=True)
    def _course(self, settings):
        self.course = make_course()
        make_modes(self.course, "audit", "honor")
        self.ada = make_user("ada")
        self.staff = make_user("staff", is_staff=True)
        copy(self.ada, self.staff)
        self.settings = settings

    def ask(self, asker, path="enrollment", /, **body):
        answer = browser_of(asker, self.settings).post(
            f"/api/enrollment/v1/{path}", json.dumps(body), "application/json"
        )
        return answer.status_code, answer.json()

    def wish(self, **fields):
        return {"course_details": {"course_id": COURSE_ID}, **fields}

    def test_a_learner_enrolls_and_is_shown_it(self):
        status, shown = self.ask(self.ada, **self.wish())

        assert (status, shown["mode"], shown["is_active"]) == (200, "audit", True)

    @pytest.mark.parametrize("key", ["user", "email"])
    def test_staff_enrolls_and_changes_a_new_account(self, key):
        bob = make_user("bob")
        named = {key: username("bob") if key == "user" else bob.email}

        status, shown = self.ask(self.staff, **self.wish(**named))
        assert (status, shown["mode"]) == (200, "audit")
        status, shown = self.ask(self.staff, **self.wish(**named, mode="honor"))

        assert (status, shown["mode"]) == (200, "honor")
        assert state(bob) == ("honor", True)

    def test_staff_brings_back_who_left_since(self):
        bob = make_user("bob")
        row = enrolled(bob)
        copy(bob, row)
        copy_course(self.course)
        row.deactivate()

        wish = self.wish(user=username("bob"), is_active=True)
        status, shown = self.ask(self.staff, **wish)

        assert (status, shown["is_active"]) == (200, True)
        assert state(bob) == ("audit", True)

    def test_who_has_just_asked_to_be_retired_is_taken_out(self):
        service_user = make_user("retirer")
        self.settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = username("retirer")
        copy(service_user)
        bob = make_user("bob")
        enrolled(bob)
        UserRetirementStatus(user=bob, original_username=username("bob")).save()

        asked = self.ask(service_user, "unenroll/", username=username("bob"))

        assert asked == (200, [COURSE_ID])
        assert state(bob) == ("audit", False)


class TestCommands:
    @pytest.fixture(autouse=True)
    def _course(self):
        self.course = make_course()
        self.ada = make_user("ada")

    def test_one_user_is_enrolled(self):
        call_command("enroll_user_in_course", "-e", "ada@example.org", "-c", COURSE_ID)

        assert state(self.ada) == ("audit", True)

    def test_a_file_is_worked_through(self, tmp_path):
        make_user("registrar")
        file = tmp_path / "file.csv"
        file.write_text(f"course,username\n{COURSE_ID},{username('ada')}\n")

        call_command("bulk_enroll", file, actor=username("registrar"))

        assert state(self.ada) == ("audit", True)

    def test_nobody_is_told_of_a_course_they_have_left(self, mailoutbox):
        make_mode(self.course, "audit", expiration_datetime=now() + DAY)
        bob = make_user("bob")
        rows = [enrolled(self.ada), enrolled(bob)]
        copy(self.ada, bob, *rows)
        copy_course(self.course)
        rows[1].deactivate()

        call_command("send_expiry_notifications", days=7)

        assert [mail.to for mail in mailoutbox] == [["ada@example.org"]]
        assert SentNotification.objects.using(PRIMARY).count() == 1


class OneDatabaseRouter(ReplicaRouter):
    """Keeps everything in a database that is not called default."""

    def db_for_write(self, model, **hints):
        return REPLICA


@pytest.mark.django_db(databases=[REPLICA])
class TestADatabaseOfAnotherName:
    """The default database answers nobody here."""

    @pytest.fixture(autouse=True)
    def _course(self, _router, settings):
        settings.DATABASE_ROUTERS = [f"{__name__}.OneDatabaseRouter"]
        self.course = make_course(max_student_enrollments_allowed=3)
        make_modes(self.course, "audit", "honor")

    def test_keeps_every_promise(self):
        users = make_users(4)
        names = [user.get_username() for user in users]

        api.add_enrollment(names[0], COURSE_ID)
        api.update_enrollment(names[0], COURSE_ID, mode="honor")
        told = api.bulk_enroll(COURSE_ID, names, ["new@example.org"])

        assert [one["status"] for one in told] == [
            "unchanged",
            "created",
            "created",
            "error",
            "invited",
        ]
        assert api.get_enrollments(names[0])[0]["mode"] == "honor"
        assert api.explain_enrollment(names[3], COURSE_ID)["seats"]["left"] == 0
        assert api.leave_all_courses(names[0]) == [COURSE_ID]
        make_user("new")
        assert EnrollmentsService().is_enrolled(make_user("later"), COURSE_ID) is False
        assert EnrollmentEvent.objects.count() == 6

    def test_serves_requests(self, settings):
        browser = browser_of(make_user("ada"), settings)
        body = {"course_details": {"course_id": COURSE_ID}}

        answer = browser.post(
            "/api/enrollment/v1/enrollment", json.dumps(body), "application/json"
        )

        assert answer.json()["is_active"] is True
        assert len(browser.get("/api/enrollment/v1/enrollment").json()) == 1


class TenantRouter:
    """Keeps each tenant in a database of its own."""

    tenant = PRIMARY

    def db_for_read(self, model, **hints):
        return self.tenant

    db_for_write = db_for_read


@pytest.mark.django_db(databases=[PRIMARY, REPLICA], transaction=True)
class TestTenants:
    def test_are_shown_the_details_of_their_own_course(self, settings, monkeypatch):
        settings.DATABASE_ROUTERS = [f"{__name__}.TenantRouter"]
        shown = []
        tenants = {PRIMARY: "audit", REPLICA: "honor"}
        for tenant, mode in tenants.items():
            monkeypatch.setattr(TenantRouter, "tenant", tenant)
            make_modes(make_course(COURSE_ID), mode)

        for tenant in tenants:
            monkeypatch.setattr(TenantRouter, "tenant", tenant)
            details = api.get_course_enrollment_details(COURSE_ID)
            shown.append([one["slug"] for one in details["course_modes"]])

        assert shown == [["audit"], ["honor"]]
