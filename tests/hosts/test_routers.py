"""
A host with a read replica: reading goes by the router, deciding by the primary.

The replica here is a second database to which only the tests copy rows, so that a
result shows which of the two was read.
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
    get_course_adapter,
    get_course_model,
)
from django_enrollments.permissions import DEACTIVATE_ENROLLMENT
from django_enrollments.policies import Requester
from django_enrollments.services import EnrollmentsService
from django_enrollments.signals import enrollment_created
from tests.enrolling import enroll_or_change, program
from tests.factories import (
    DAY,
    NOON,
    is_default_host,
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.http import client_of

PRIMARY, REPLICA = "default", "replica"
pytestmark = pytest.mark.django_db(databases=[PRIMARY, REPLICA])

ADA = username("ada")
COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
NOTES = [{"namespace": "a", "name": "b", "value": "c"}]

service = EnrollmentsService()


class ReplicaRouter:
    """Reads from the replica and writes to the primary."""

    def db_for_read(self, model, **hints):
        return REPLICA

    def db_for_write(self, model, **hints):
        return PRIMARY


class KnownRelationsRouter(ReplicaRouter):
    """Also allows relations between rows of the two databases."""

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
    """Read from a replica without rows."""
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
    """Enroll a user and return the row."""
    return service.enroll(user, COURSE_ID, mode, force=True)


def details_modes():
    details = api.get_course_enrollment_details(COURSE_ID)
    return [mode["slug"] for mode in details["course_modes"]]


def reasons(explained):
    return [reason["code"] for reason in explained["reasons"]]


def browser_of(user, settings):
    """Log a user in whom the replica knows, with a session that needs no database."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    return client_of(user)


#: Readings of the one enrollment, by what is read.
MODES = {
    "list": lambda ada: api.get_enrollments(ADA)[0]["mode"],
    "single": lambda ada: api.get_enrollment(ADA, COURSE_ID)["mode"],
    "queryset": lambda ada: api.serialize_enrollments(rows_of(COURSE_ID))[0]["mode"],
    "rows": lambda ada: api.serialize_enrollments([*rows_of(COURSE_ID)])[0]["mode"],
    "active": lambda ada: (
        service.get_active_enrollments_by_course(COURSE_ID).get().mode
    ),
    "active of a user": lambda ada: (
        service.get_active_enrollments_by_course_and_user(COURSE_ID, ada.pk).mode
    ),
    "proctored": lambda ada: (
        service.get_enrollments_can_take_proctored_exams(COURSE_ID).get().mode
    ),
    "data": lambda ada: data.get_user_enrollments(COURSE_ID).get().mode,
    "model": lambda ada: CourseEnrollment.enrollment_mode_for_user(ada, COURSE_ID)[0],
}


def rows_of(course_id):
    return CourseEnrollment.objects.in_course(course_id)


class TestReading:
    """The primary has an enrollment in audit; the replica has it in honor."""

    @pytest.fixture(autouse=True)
    def _two_modes(self):
        self.course = make_course(
            enable_proctored_exams=True, org="edX", modes=["audit", "honor"]
        )
        self.ada = make_user("ada")
        row = enrolled(self.ada)
        copy(self.ada)
        copy_course(self.course)
        row.mode = "honor"
        copy(row)
        self.row = row

    @pytest.mark.parametrize("read", MODES.values(), ids=MODES)
    def test_shows_enrollments_of_the_replica(self, read, settings):
        settings.ENROLLMENTS_PROCTORED_MODES = ["honor"]

        assert read(self.ada) == "honor"

    def test_shows_enrollments_of_the_replica_over_http_and_to_filters(self, settings):
        users = []

        def watch(action, *, user, **context):
            users.append(user._state.db)

        settings.ENROLLMENTS_FILTERS = [watch]

        listed = browser_of(self.ada, settings).get("/api/enrollment/v1/enrollment")

        assert [one["mode"] for one in listed.json()] == ["honor"]
        assert users == [REPLICA]

    def test_shows_attributes_roles_and_activation_of_the_replica(self):
        attribute = {"namespace": "a", "name": "b", "value": "old"}
        CourseEnrollmentAttribute.objects.using(REPLICA).create(
            enrollment_id=self.row.pk, **attribute
        )
        role = CourseAccessRole.objects.using(REPLICA).create(
            user_id=self.ada.pk, course_id=COURSE_ID, role="staff"
        )
        CourseEnrollment.objects.using(REPLICA).update(is_active=False)

        assert api.get_enrollment_attributes(ADA, COURSE_ID) == [attribute]
        assert api.get_user_roles(ADA) == {role}
        assert not service.is_enrolled(self.ada.pk, COURSE_ID)
        assert not CourseEnrollment.is_enrolled(self.ada, COURSE_ID)

    def test_shows_modes_of_the_replica(self):
        CourseMode.objects.using(REPLICA).filter(mode_slug="audit").delete()

        assert details_modes() == ["honor"]
        with pytest.raises(errors.CourseModeNotFoundError):
            api.validate_course_mode(COURSE_ID, "audit")

    def test_explains_by_the_replica(self):
        bob = make_user("bob")
        copy(bob)
        field = get_course_adapter().enrollment_end
        get_course_model()._base_manager.using(REPLICA).update(**{field: NOON})

        by_name = api.explain_enrollment(username("bob"), COURSE_ID)

        assert reasons(by_name) == ["enrollment_ended"]
        assert service.explain(bob.pk, COURSE_ID) == by_name


class TestDeciding:
    """The replica has no rows except those that a test copies."""

    @pytest.fixture(autouse=True)
    def _course(self):
        self.course = make_course(org="edX", modes=["audit", "honor"])
        self.ada = make_user("ada")

    @pytest.mark.parametrize("mode", [None, "honor"])
    def test_adds_and_returns_an_enrollment(self, mode):
        added = api.add_enrollment(ADA, COURSE_ID, mode, enrollment_attributes=NOTES)

        expected = (mode or "audit", True)
        assert (added["mode"], added["is_active"]) == state(self.ada) == expected
        assert added["user"] == ADA
        modes = added["course_details"]["course_modes"]
        assert [mode["slug"] for mode in modes] == ["audit", "honor"]
        assert row_in(REPLICA, self.ada) is None
        assert CourseEnrollmentAttribute.objects.using(PRIMARY).get().value == "c"

    def test_refuses_an_active_learner_and_leaves_an_inactive_one(self):
        row = enrolled(self.ada, "honor")

        with pytest.raises(errors.CourseEnrollmentExistsError) as refusal:
            api.add_enrollment(ADA, COURSE_ID)
        row.deactivate()
        given = api.add_enrollment(ADA, COURSE_ID, is_active=False)

        assert refusal.value.enrollment["mode"] == "honor"
        assert (given["mode"], given["is_active"]) == ("honor", False)

    def test_updates_an_enrollment_and_its_attributes(self):
        enrolled(self.ada)
        api.set_enrollment_attributes(ADA, COURSE_ID, NOTES)

        given = api.update_enrollment(
            ADA, COURSE_ID, mode="honor", enrollment_attributes=NOTES
        )

        assert given["mode"] == "honor"
        assert given["course_details"] is not None
        assert state(self.ada) == ("honor", True)
        assert CourseEnrollmentAttribute.objects.using(PRIMARY).count() == 1

    def test_leaves_all_courses_and_returns_their_orgs(self):
        enrolled(self.ada)
        service.enroll(self.ada, make_course("django-101", org="Django"))

        assert api.unenroll_user_from_all_courses(ADA) == ["Django", "edX"]

    def test_opens_a_course_by_a_new_invitation_or_role(self):
        make_course("closed", invitation_only=True)
        api.bulk_enroll("closed", emails=["bob@example.org"])
        CourseEnrollmentAllowed.objects.using(PRIMARY).update(auto_enroll=False)
        bob = make_user("bob")
        for role in ("beta_testers", "staff"):
            CourseAccessRole(user=self.ada, course_id="closed", role=role).save()

        for user in (self.ada, bob):
            api.add_enrollment(user.get_username(), "closed")
            assert state(user) == ("audit", True)

        used = CourseEnrollmentAllowed.objects.using(PRIMARY).get()
        assert used.user_id == bob.pk

    def test_refuses_an_invitation_that_was_used(self):
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

    def test_gives_the_last_seat_once(self):
        full = make_course("full", max_student_enrollments_allowed=1)
        first, second = make_users(2)
        service.enroll(first, full)
        copy(first, second)
        copy_course(full)

        with pytest.raises(errors.CourseEnrollmentFullError):
            api.add_enrollment(second.get_username(), "full")
        (result,) = api.bulk_enroll("full", [second.get_username()])

        assert result["code"] == "course_full"

    def test_makes_filters_read_the_primary(self, settings):
        read = []

        def look(action, *, user, **context):
            if action != "enroll":
                return
            read.append(api.get_enrollments(user.get_username()))
            read.append(service.is_enrolled(user, "django-101"))

        service.enroll(self.ada, make_course("django-101"))
        settings.ENROLLMENTS_FILTERS = [look]

        api.add_enrollment(ADA, COURSE_ID)

        listed, is_enrolled = read
        assert [one["course_details"]["course_id"] for one in listed] == ["django-101"]
        assert is_enrolled

    def test_leaves_reading_to_the_router_afterwards(
        self, django_capture_on_commit_callbacks
    ):
        aliases = []

        def hear(**carried):
            aliases.append(context.read_alias())

        enrollment_created.connect(hear)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                api.add_enrollment(ADA, COURSE_ID)
        finally:
            enrollment_created.disconnect(hear)
        with pytest.raises(errors.CourseModeNotFoundError):
            api.add_enrollment(ADA, COURSE_ID, mode="gold")

        assert aliases == [None]
        assert context.read_alias() is None

    @pytest.mark.parametrize("stream", [False, True])
    def test_finds_all_users_of_a_bulk(self, stream):
        users = make_users(3)
        names = [user.get_username() for user in users]
        rows = {"usernames": names, "emails": ["ada@example.org", "new@example.org"]}

        for action, expected in (
            ("enroll", ["created"] * 4 + ["invited"]),
            ("unenroll", ["deactivated"] * 4 + ["uninvited"]),
        ):
            results = api.bulk_enroll(COURSE_ID, **rows, stream=stream, action=action)
            assert [one["status"] for one in results] == expected
        assert [row_in(REPLICA, user) for user in users] == [None] * 3

    def test_finds_users_by_key(self):
        key = self.ada.pk

        service.enroll(key, COURSE_ID)
        service.change_mode(key, COURSE_ID, "honor")
        assert state(self.ada) == ("honor", True)
        service.unenroll(key, COURSE_ID)
        (result,) = service.bulk_enroll(COURSE_ID, [key])

        assert result["status"] == "reactivated"

    def test_finds_users_by_address(self):
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

    def test_uses_and_deletes_invitations_of_the_primary(self):
        api.bulk_enroll(COURSE_ID, emails=["bob@example.org", "eve@example.org"])

        assert state(make_user("bob")) == ("audit", True)
        assert CourseEnrollmentAllowed.retire("eve@example.org")
        assert CourseEnrollmentAllowed.objects.using(PRIMARY).count() == 1


class DeactivatingBackend:
    """Grants the permission to deactivate, and no other."""

    def has_perm(self, user, perm, course=None):
        return perm == DEACTIVATE_ENROLLMENT


class TestEnrollOrChange:
    @pytest.fixture(autouse=True)
    def _course(self):
        self.course = make_course(org="edX", modes=["audit", "honor"])
        self.ada = make_user("ada")

    def test_changes_the_current_state(self):
        row = enrolled(self.ada)
        copy(self.ada, row)
        copy_course(self.course)
        row.deactivate()

        given = enroll_or_change(
            ADA, COURSE_ID, mode="honor", is_active=True, by=program()
        )

        assert (given["mode"], given["is_active"]) == ("honor", True)
        assert state(self.ada) == ("honor", True)

    def test_finds_an_enrollment_that_the_replica_lacks(self, settings):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.DeactivatingBackend"]
        enrolled(self.ada, "honor")

        seen = enroll_or_change(ADA, COURSE_ID, by=Requester(make_user("dean")))
        left = enroll_or_change(ADA, COURSE_ID, is_active=False, by=program())

        assert seen["mode"] == "honor"
        assert left["is_active"] is False
        assert state(self.ada) == ("honor", False)

    def test_calls_the_enterprise_backend_before_it_enrolls(self, settings):
        settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{__name__}.Enterprise"
        Enterprise.calls.clear()

        enroll_or_change(ADA, COURSE_ID, linked_enterprise_customer="acme")

        assert Enterprise.calls == [(self.ada.pk, "acme")]


class Enterprise:
    """An enterprise backend that keeps its calls."""

    calls: list[tuple[Any, str]] = []

    def record_enrollment(self, user, course, **terms):
        self.calls.append((user.pk, terms["linked_enterprise_customer"]))


class TestPost:
    """The replica knows the requester, for the host's own login reads from there."""

    @pytest.fixture(autouse=True)
    def _course(self, settings):
        self.course = make_course(modes=["audit", "honor"])
        self.ada = make_user("ada")
        self.staff = make_user("staff", is_staff=True)
        copy(self.ada, self.staff)
        self.settings = settings

    def post(self, requester, path="enrollment", /, **body):
        response = browser_of(requester, self.settings).post(
            f"/api/enrollment/v1/{path}", json.dumps(body), "application/json"
        )
        return response.status_code, response.json()

    def wish(self, **fields):
        return {"course_details": {"course_id": COURSE_ID}, **fields}

    def test_returns_the_new_enrollment(self):
        status, shown = self.post(self.ada, **self.wish())

        assert (status, shown["mode"], shown["is_active"]) == (200, "audit", True)

    @pytest.mark.parametrize("key", ["user", "email"])
    def test_enrolls_and_changes_a_new_account(self, key):
        bob = make_user("bob")
        named = {key: username("bob") if key == "user" else bob.email}

        status, shown = self.post(self.staff, **self.wish(**named))
        assert (status, shown["mode"]) == (200, "audit")
        status, shown = self.post(self.staff, **self.wish(**named, mode="honor"))

        assert (status, shown["mode"]) == (200, "honor")
        assert state(bob) == ("honor", True)

    def test_enrolls_a_learner_again_who_left_since(self):
        bob = make_user("bob")
        row = enrolled(bob)
        copy(bob, row)
        copy_course(self.course)
        row.deactivate()

        wish = self.wish(user=username("bob"), is_active=True)
        status, shown = self.post(self.staff, **wish)

        assert (status, shown["is_active"]) == (200, True)
        assert state(bob) == ("audit", True)

    def test_unenrolls_after_a_new_request_for_retirement(self):
        service_user = make_user("retirer")
        self.settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = username("retirer")
        copy(service_user)
        bob = make_user("bob")
        enrolled(bob)
        UserRetirementStatus(user=bob, original_username=username("bob")).save()

        response = self.post(service_user, "unenroll/", username=username("bob"))

        assert response == (200, [COURSE_ID])
        assert state(bob) == ("audit", False)


class TestCommands:
    def test_enroll_users_that_the_replica_lacks(self, ada, course, tmp_path):
        bob = make_user("bob")
        make_user("registrar")
        file = tmp_path / "file.csv"
        file.write_text(f"course,username\n{COURSE_ID},{username('bob')}\n")

        call_command("enroll_user_in_course", "-e", "ada@example.org", "-c", COURSE_ID)
        call_command("bulk_enroll", file, actor=username("registrar"))

        assert state(ada) == state(bob) == ("audit", True)

    def test_keep_the_rows_of_users_that_the_replica_lacks(self, ada, course):
        enrolled(ada)

        call_command("enrollments_doctor", only=["users"], fix=True)

        assert state(ada)

    def test_notify_no_learner_of_a_course_left_since(self, ada, course, mailoutbox):
        make_mode(course, "audit", expiration_datetime=now() + DAY)
        bob = make_user("bob")
        rows = [enrolled(ada), enrolled(bob)]
        copy(ada, bob, *rows)
        copy_course(course)
        rows[1].deactivate()

        call_command("send_expiry_notifications", days=7)

        assert [mail.to for mail in mailoutbox] == [["ada@example.org"]]
        assert SentNotification.objects.using(PRIMARY).count() == 1


class OneDatabaseRouter(ReplicaRouter):
    """Keeps everything in a database that is not called default."""

    def db_for_write(self, model, **hints):
        return REPLICA


class TenantRouter:
    """Keeps each tenant in a database of its own."""

    tenant = PRIMARY

    def db_for_read(self, model, **hints):
        return self.tenant

    db_for_write = db_for_read


@pytest.mark.django_db(databases=[REPLICA])
class TestADatabaseOfAnotherName:
    """The default database may not be used here."""

    @pytest.fixture(autouse=True)
    def _course(self, _router, settings):
        settings.DATABASE_ROUTERS = [f"{__name__}.OneDatabaseRouter"]
        self.course = make_course(
            max_student_enrollments_allowed=3, modes=["audit", "honor"]
        )

    def test_serves_the_api(self):
        names = [user.get_username() for user in make_users(4)]

        api.add_enrollment(names[0], COURSE_ID)
        api.update_enrollment(names[0], COURSE_ID, mode="honor")
        results = api.bulk_enroll(COURSE_ID, names, ["new@example.org"])

        assert [one["status"] for one in results] == [
            "unchanged",
            "created",
            "created",
            "error",
            "invited",
        ]
        assert api.get_enrollments(names[0])[0]["mode"] == "honor"
        assert api.explain_enrollment(names[3], COURSE_ID)["seats"]["left"] == 0
        assert api.unenroll_user_and_list_courses(names[0]) == [COURSE_ID]
        make_user("new")
        assert service.is_enrolled(make_user("later"), COURSE_ID) is False
        assert EnrollmentEvent.objects.count() == 6

    def test_serves_requests(self, settings):
        browser = browser_of(make_user("ada"), settings)
        body = {"course_details": {"course_id": COURSE_ID}}

        response = browser.post(
            "/api/enrollment/v1/enrollment", json.dumps(body), "application/json"
        )

        assert response.json()["is_active"] is True
        assert len(browser.get("/api/enrollment/v1/enrollment").json()) == 1


@pytest.mark.django_db(databases=[PRIMARY, REPLICA], transaction=True)
def test_tenants_see_the_details_of_their_own_course(settings, monkeypatch):
    settings.DATABASE_ROUTERS = [f"{__name__}.TenantRouter"]
    tenants = {PRIMARY: "audit", REPLICA: "honor"}
    for tenant, mode in tenants.items():
        monkeypatch.setattr(TenantRouter, "tenant", tenant)
        make_course(COURSE_ID, modes=[mode])

    for tenant, mode in tenants.items():
        monkeypatch.setattr(TenantRouter, "tenant", tenant)
        assert details_modes() == [mode]
