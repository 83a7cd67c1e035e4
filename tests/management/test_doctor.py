"""What ``enrollments_doctor`` finds, and what it repairs."""

from __future__ import annotations

import io
import json
import uuid
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, models
from django.utils import timezone

from django_enrollments.management import doctor
from django_enrollments.management.doctor import findings, history
from django_enrollments.models import (
    Consumer,
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EmailOptIn,
    EnrollmentEvent,
    FeedCounter,
    SetAside,
    get_course_model,
)
from django_enrollments.services import EnrollmentsService
from tests.factories import (
    make_course,
    make_mode,
    make_user,
    make_users,
    username,
)
from tests.watching import listening, nothing_written

pytestmark = pytest.mark.django_db

service = EnrollmentsService()


@pytest.fixture
def course(ada):
    return make_course("django-101", modes=["audit", "verified"])


def run(*names: str, **options: Any) -> tuple[int, list[str]]:
    """Run some checks; return the exit status and the lines of the output."""
    out, status = io.StringIO(), 0
    only = [*names] or None
    try:
        call_command("enrollments_doctor", only=only, stdout=out, **options)
    except CommandError as error:
        status = error.returncode
    return status, out.getvalue().splitlines()


def find(*names: str, **options: Any) -> list[dict[str, str]]:
    """Return the findings of some checks."""
    _, lines = run(*names, json=True, **options)
    return json.loads("\n".join(lines))["findings"]


def codes(*names: str, **options: Any) -> list[tuple[str, str]]:
    return [(one["level"], one["code"]) for one in find(*names, **options)]


def test_finds_nothing_wrong_in_what_the_app_has_written(course, ada):
    make_course("full-101", max_student_enrollments_allowed=1)
    service.enroll(ada, course, "verified")
    service.change_mode(ada, course, "audit")
    service.unenroll(ada, course)
    service.enroll(ada, course)
    service.enroll(ada, "full-101")
    CourseEnrollmentAllowed.objects.create(
        email="new@example.org", course_id="full-101"
    )

    with nothing_written():
        status, lines = run()

    assert (status, lines) == (0, ["0 errors, 0 warnings, 0 notes, 0 repaired"])


class TestSeats:
    def test_more_learners_than_seats(self, db):
        course = make_course("full-101", max_student_enrollments_allowed=1)
        for user in make_users(3):
            service.enroll(user, course, over_capacity=True)

        status, lines = run("seats")

        assert status == 1
        assert lines[0] == (
            "warning over_capacity: course full-101: 3 learners have 1 seat."
        )

    def test_staff_take_none(self, ada):
        course = make_course("full-101", max_student_enrollments_allowed=0)
        CourseAccessRole.objects.create(user=ada, course_id="full-101", role="staff")
        service.enroll(ada, course)

        assert codes("seats") == []

    def test_reads_courses_in_batches(self, db, monkeypatch):
        monkeypatch.setattr(findings, "ROWS_PER_BATCH", 2)
        user = make_user()
        for number in range(5):
            course = make_course(f"full-{number}", max_student_enrollments_allowed=0)
            service.enroll(user, course, over_capacity=True)

        found = {one["subject"] for one in find("seats")}

        assert found == {f"course full-{number}" for number in range(5)}


class TestHistory:
    def enrollment(self, user, course, **fields) -> CourseEnrollment:
        """Make a row without history."""
        return CourseEnrollment.objects.create(user=user, course=course, **fields)

    @pytest.mark.parametrize(
        ("is_active", "level"), [(True, "error"), (False, "warning")]
    )
    def test_rows_without_events(self, is_active, level, course, ada):
        row = self.enrollment(ada, course, mode="verified", is_active=is_active)
        assert codes("history") == [(level, "no_history")]

        with listening() as heard:
            (fixed,) = find("history", fix=True)

        assert fixed["repaired"] == "Added to the history: created."
        event = EnrollmentEvent.objects.get()
        assert (event.type, event.mode_after, event.active_after) == (
            "created",
            "verified",
            is_active,
        )
        assert (event.enrollment_id, event.user_id) == (row.pk, ada.pk)
        assert (event.username, event.course_id) == (username("ada"), "django-101")
        assert (event.source, event.reason) == ("command", history.REASON)
        assert event.actor_id is None
        assert heard == []
        assert run("history")[0] == 0

    @pytest.mark.parametrize(
        ("changes", "types"),
        [
            ({"mode": "verified"}, ["mode_changed"]),
            ({"is_active": False}, ["deactivated"]),
            (
                {"mode": "verified", "is_active": False},
                ["deactivated", "mode_changed"],
            ),
        ],
    )
    def test_rows_that_differ_from_their_events(self, changes, types, course, ada):
        row = service.enroll(ada, course, "audit")
        CourseEnrollment.objects.filter(pk=row.pk).update(**changes)

        status, lines = run("history")
        assert status == 2
        assert lines[0].startswith(f"error history_differs: enrollment {row.pk}: It is")

        status, lines = run("history", fix=True)

        assert status == 0
        assert lines[0].endswith(f"Added to the history: {', '.join(types)}.")
        added = EnrollmentEvent.objects.filter(enrollment=row).order_by("pk")[1:]
        assert [event.type for event in added] == types
        assert {event.source for event in added} == {"command"}
        row.refresh_from_db()
        last = EnrollmentEvent.objects.last()
        assert (last.mode_after, last.active_after) == (row.mode, row.is_active)
        assert codes("history") == []

    @pytest.mark.django_db(transaction=True)
    def test_a_change_during_the_repair_is_not_undone(self, course, ada, monkeypatch):
        if connection.vendor == "sqlite":
            pytest.skip("SQLite has one writer at a time.")
        row = service.enroll(ada, course, "audit")
        CourseEnrollment.objects.filter(pk=row.pk).update(mode="verified")
        lock = history.lock_enrollment

        def change_and_lock(*given, **options):
            monkeypatch.setattr(history, "lock_enrollment", lock)
            thread = Thread(target=_unenroll, args=[ada, course])
            thread.start()
            thread.join()
            lock(*given, **options)

        monkeypatch.setattr(history, "lock_enrollment", change_and_lock)
        if connection.vendor == "mysql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
                )

        run("history", fix=True)

        connection.close()
        last = EnrollmentEvent.objects.last()
        row.refresh_from_db()
        assert not row.is_active
        assert (last.mode_after, last.active_after) == (row.mode, row.is_active)

    def test_rows_in_deleted_courses_are_repaired_under_the_last_id(self, course, ada):
        row = service.enroll(ada, course)
        CourseEnrollment.objects.filter(pk=row.pk).update(is_active=False)
        course.delete()

        run("history", fix=True)

        event = EnrollmentEvent.objects.last()
        assert (event.type, event.course_id) == ("deactivated", "django-101")

    def test_events_that_do_not_follow_from_each_other(self, course, ada):
        row = service.enroll(ada, course, "audit")
        EnrollmentEvent.objects.create(
            type="mode_changed",
            time=timezone.now(),
            enrollment=row,
            user=ada,
            username=username("ada"),
            course_id="django-101",
            mode_before="honor",
            mode_after="audit",
            active_before=True,
            active_after=True,
            source="api",
        )

        with nothing_written():
            (found,) = find("history", fix=True)

        assert found["code"] == "history_gap"
        assert found["message"].startswith("Event 2 of its history")

    def test_is_read_in_batches(self, course, monkeypatch):
        monkeypatch.setattr(findings, "ROWS_PER_BATCH", 2)
        users = make_users(5)
        service.bulk_enroll(course, users)
        CourseEnrollment.objects.filter(user__in=users[1:4]).update(mode="verified")

        assert codes("history") == [("error", "history_differs")] * 3

    def test_a_row_that_changes_meanwhile_is_not_reported(
        self, course, ada, monkeypatch
    ):
        row = self.enrollment(ada, course)
        read = history._read_steps

        def change_after_reading(keys):
            steps = read(keys)
            monkeypatch.setattr(history, "_read_steps", read)
            history._repair(row.pk)
            return steps

        monkeypatch.setattr(history, "_read_steps", change_after_reading)

        assert codes("history") == []

    def test_a_row_that_is_gone_is_not_repaired(self, course, ada):
        row = self.enrollment(ada, course)
        (finding,) = doctor.CHECKS["history"]()
        row.delete()

        with nothing_written():
            assert finding.repair() == ""


class TestCourses:
    def test_roles_invitations_and_events_under_unknown_ids(self, course, ada):
        CourseAccessRole.objects.create(user=ada, course_id="gone-1", role="staff")
        CourseAccessRole.objects.create(user=ada, org="edX", role="staff")
        CourseEnrollmentAllowed.objects.create(
            email="a@example.org", course_id="gone-2"
        )
        service.enroll(ada, course)
        course.delete()

        with nothing_written(CourseAccessRole):
            found = find("courses", fix=True)

        told = [(one["level"], one["code"], one["subject"]) for one in found]
        assert told[:3] == [
            ("warning", "role_without_course", "course gone-1"),
            ("note", "invitation_without_course", "course gone-2"),
            ("note", "event_without_course", "course django-101"),
        ]
        assert told[3][:2] == ("note", "enrollment_without_course")
        assert found[3]["message"] == (
            "1 enrollment, 1 active, in a course that is deleted."
        )
        assert run("courses")[0] == 1

    def test_ids_that_only_look_alike_are_unknown(self, course, ada):
        CourseAccessRole.objects.create(user=ada, course_id="DJANGO-101", role="staff")
        CourseAccessRole.objects.create(user=ada, course_id="django-101", role="staff")

        assert [one["subject"] for one in find("courses")] == ["course DJANGO-101"]


class TestModes:
    def test_that_the_course_does_not_have(self, course, ada):
        other = make_course("bare-101")
        service.enroll(ada, other)
        for user in make_users(2):
            row = service.enroll(user, course, "verified")
            CourseEnrollment.objects.filter(pk=row.pk).update(mode="gold")

        (found,) = find("modes")

        assert (found["level"], found["code"]) == ("warning", "unknown_mode")
        assert found["subject"] == f"course {course.pk}"
        assert found["message"] == (
            "2 learners are in mode 'gold', which it does not have."
        )

    def test_expired_modes_and_former_learners_are_no_problem(self, course, ada):
        make_mode(course, "honor", expiration_datetime=timezone.now())
        row = service.enroll(ada, course)
        CourseEnrollment.objects.filter(pk=row.pk).update(mode="honor")
        (user,) = make_users(1)
        former = service.enroll(user, course)
        service.unenroll(user, course)
        CourseEnrollment.objects.filter(pk=former.pk).update(mode="gold")

        assert codes("modes") == []


class TestInvitations:
    def test_whose_account_was_not_enrolled(self, course, ada):
        given = {"email": ada.email, "auto_enroll": True}
        CourseEnrollmentAllowed.objects.create(course_id="django-101", **given)
        CourseEnrollmentAllowed.objects.create(course_id="later-101", **given)

        (found,) = find("invitations")
        service.enroll(ada, course)

        assert (found["level"], found["code"]) == ("warning", "invitation_not_redeemed")
        assert f"User {ada.pk} " in found["message"]
        assert codes("invitations") == []

    def test_that_are_old(self, ada):
        rows = [
            CourseEnrollmentAllowed.objects.create(
                email=f"{number}@example.org", course_id="django-101"
            )
            for number in range(3)
        ]
        long_ago = timezone.now() - timedelta(days=181)
        CourseEnrollmentAllowed.objects.filter(pk__in=[rows[0].pk, rows[1].pk]).update(
            created=long_ago
        )
        CourseEnrollmentAllowed.objects.filter(pk=rows[0].pk).update(user=ada)

        (found,) = find("invitations")

        assert (found["level"], found["code"]) == ("note", "unused_invitations")
        assert found["subject"] == "1 invitation"
        assert run("invitations")[0] == 0


def _unenroll(user, course):
    try:
        service.unenroll(user, course)
    finally:
        connections.close_all()


class TestUsers:
    def test_that_are_gone_but_have_rows(self, course, ada):
        key = uuid.uuid4() if isinstance(ada.pk, uuid.UUID) else 987_654
        now = timezone.now()
        with connection.constraint_checks_disabled():
            CourseEnrollment.objects.create(user_id=key, course=course)
            CourseAccessRole.objects.create(user_id=key, org="edX", role="staff")
            EmailOptIn.objects.create(
                user_id=key, org="edX", opted_in=True, modified=now
            )
            CourseEnrollmentAllowed.objects.create(
                user_id=key, email="x@example.org", course_id="django-101"
            )
        service.enroll(ada, course)

        status, lines = run("users")
        assert status == 2
        assert [line.split(": ")[0] for line in lines[:-1]] == (
            ["error missing_user"] * 4
        )

        status, lines = run("users", fix=True)

        assert status == 0
        assert lines[0].endswith("has 1 enrollment. Deleted 1 enrollment.")
        assert CourseEnrollment.objects.get().user == ada
        for model in (CourseAccessRole, EmailOptIn, CourseEnrollmentAllowed):
            assert not model.objects.exists()

    def test_that_managers_of_the_host_leave_out_are_not_gone(
        self, course, ada, monkeypatch
    ):
        class Known(models.Manager):
            def get_queryset(self):
                return super().get_queryset().none()

        manager = Known()
        manager.model = type(ada)
        service.enroll(ada, course)
        monkeypatch.setattr(type(ada)._meta, "base_manager", manager)

        assert codes("users", fix=True) == []
        assert CourseEnrollment.objects.exists()

    def test_that_come_back_before_the_repair_keep_their_rows(
        self, course, ada, monkeypatch
    ):
        service.enroll(ada, course)
        monkeypatch.setattr(
            "django_enrollments.management.doctor.rows._without_user",
            lambda rows: iter([(ada.pk, 1)]),
        )

        run("users", fix=True)

        assert CourseEnrollment.objects.exists()

    def test_that_are_deleted_leave_their_name_in_the_history(self, course, ada):
        service.enroll(ada, course)
        key = ada.pk
        ada.delete()

        with nothing_written():
            (found,) = find("users", fix=True)
        EnrollmentEvent.objects.erase_personal_data(key)

        assert (found["level"], found["code"]) == ("note", "deleted_user_in_history")
        assert found["subject"] == "1 event"
        assert codes("users") == []


class TestSchema:
    def test_is_that_of_the_models(self, db):
        assert codes("schema") == []

    def test_missing_table_ends_the_run(self, db, monkeypatch):
        monkeypatch.setattr(EmailOptIn._meta, "db_table", "nowhere")

        assert codes("schema", "users") == [("error", "missing_table")]

    def test_missing_and_unknown_column(self, db, monkeypatch):
        field = EmailOptIn._meta.get_field("opted_in")
        monkeypatch.setattr(field, "column", "agreed")

        assert codes("schema") == [
            ("error", "missing_column"),
            ("error", "unknown_column"),
        ]

    @pytest.mark.parametrize(("model", "name"), [(EmailOptIn, "opted_in")])
    def test_null_differs(self, model, name, db, monkeypatch):
        monkeypatch.setattr(model._meta.get_field(name), "null", True)

        (found,) = find("schema")

        assert (found["level"], found["code"]) == ("warning", "different_column")
        assert "does not take NULL" in found["message"]

    def test_missing_constraint(self, db, monkeypatch):
        more = models.UniqueConstraint(fields=("opted_in", "org"), name="more")
        options = EmailOptIn._meta
        monkeypatch.setattr(options, "constraints", [*options.constraints, more])

        (found,) = find("schema")

        assert (found["level"], found["code"]) == ("error", "missing_constraint")
        assert found["subject"].endswith("columns opted_in, org")

    @pytest.mark.django_db(transaction=True)
    def test_missing_index(self):
        index = next(
            one
            for one in EnrollmentEvent._meta.indexes
            if one.name == "enrollments_event_user_idx"
        )
        with connection.schema_editor() as editor:
            editor.remove_index(EnrollmentEvent, index)
        try:
            found = find("schema")
        finally:
            with connection.schema_editor() as editor:
                editor.add_index(EnrollmentEvent, index)

        assert [(one["level"], one["code"]) for one in found] == [
            ("warning", "missing_index")
        ]
        assert codes("schema") == []


class TestFeed:
    @pytest.fixture
    def consumers(self, settings, ada, course):
        backend = "django_enrollments.delivery.backends.CallBackend"
        settings.ENROLLMENTS_CONSUMERS = {
            "crm": {"BACKEND": backend, "OPTIONS": {"function": "builtins.repr"}}
        }

    def set_positions(self, *positions: int) -> None:
        """Make events with these positions, and the counter that belongs to them."""
        course = get_course_model().objects.get()
        users = make_users(len(positions))
        table = EnrollmentEvent._meta.db_table
        for user, position in zip(users, positions, strict=True):
            row = service.enroll(user, course)
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {table} SET position = %s WHERE enrollment_id = %s",  # noqa: S608
                    [position, row.pk],
                )
        FeedCounter.objects.update_or_create(
            pk=FeedCounter.ONLY, defaults={"last": max(positions)}
        )

    def make_consumer(self, **fields: Any) -> Consumer:
        return Consumer.objects.create(**{"name": "crm", "position": 0, **fields})

    def test_without_a_problem(self, consumers):
        self.set_positions(1, 2, 3)
        self.make_consumer(position=3)

        assert codes("feed") == []

    def test_consumer_that_is_down(self, consumers):
        self.set_positions(1, 2)
        self.make_consumer(state="down", last_error="HTTP 503")

        (found,) = find("feed")

        assert (found["level"], found["code"]) == ("error", "consumer_down")
        assert found["message"] == ("It is down, 2 events behind. Last error: HTTP 503")

    def test_consumer_that_is_paused(self, consumers):
        self.make_consumer(state="paused")

        assert codes("feed") == [("warning", "consumer_paused")]

    def test_consumer_whose_events_wait(self, consumers, ada):
        at = timezone.now() - timedelta(hours=1)
        service.enroll(ada, get_course_model().objects.get(), at=at)
        self.make_consumer()

        (found,) = find("feed")

        assert (found["level"], found["code"]) == ("error", "consumer_stuck")
        assert "enrollments_work" in found["message"]

    def test_dead_events(self, consumers):
        self.set_positions(1)
        consumer = self.make_consumer(position=1)
        for position, state in ((1, "dead"), (2, "waiting")):
            SetAside.objects.create(
                consumer=consumer, position=position, partition="1:x", state=state
            )

        (found,) = find("feed")

        assert (found["level"], found["code"]) == ("warning", "dead_events")
        assert found["message"].startswith("1 event was given up")

    def test_consumer_that_the_setting_does_not_have(self, db):
        self.make_consumer(name="old")

        assert codes("feed") == [("note", "unknown_consumer")]

    @pytest.mark.parametrize(
        ("positions", "last", "subjects"),
        [
            ((2, 5, 6), 6, ["position 1", "positions 3 to 4"]),
            ((1, 2), 4, ["positions 3 to 4"]),
            ((1, 2, 2), 2, ["position 2"]),
            ((1, 2), 1, ["feed"]),
        ],
    )
    def test_positions_that_do_not_add_up(
        self, positions, last, subjects, course, monkeypatch
    ):
        monkeypatch.setattr(findings, "ROWS_PER_BATCH", 2)
        self.set_positions(*positions)
        FeedCounter.objects.update(last=last)

        found = find("feed")

        assert [one["subject"] for one in found] == subjects
        assert {one["level"] for one in found} == {"error"}


class TestOutput:
    def test_of_repairs_that_are_not_needed_any_more(self, course, ada, monkeypatch):
        CourseEnrollment.objects.create(user=ada, course=course)
        monkeypatch.setattr(history, "_repair", lambda key: "")

        status, lines = run("history", fix=True)

        assert status == 0
        assert lines[0].endswith("It has been repaired meanwhile.")

    def test_is_limited_for_each_kind(self, course):
        for user in make_users(5):
            CourseEnrollment.objects.create(user=user, course=course)

        _, few = run("history", limit=2)
        _, all_lines = run("history", limit=0)

        assert len(few) == 4
        assert few[2] == "no_history: 3 more; --limit 0 prints all."
        assert few[3] == "5 errors, 0 warnings, 0 notes, 0 repaired"
        assert len(all_lines) == 6

    def test_counts_one_in_the_singular(self, course, ada, capsys):
        CourseEnrollment.objects.create(user=ada, course=course)

        with pytest.raises(CommandError) as error:
            call_command("enrollments_doctor", only=["history"])

        assert str(error.value) == "Problems are left: 1 error, 0 warnings."
        *_, last = capsys.readouterr().out.splitlines()
        assert last == "1 error, 0 warnings, 0 notes, 0 repaired"

    def test_is_json_for_programs(self, course, ada):
        CourseEnrollment.objects.create(user=ada, course=course)

        status, lines = run("history", json=True)
        nothing = json.loads("\n".join(run("seats", json=True)[1]))

        found = json.loads("\n".join(lines))
        assert status == 2
        assert [one["code"] for one in found["findings"]] == ["no_history"]
        assert found["summary"] == {
            "error": 1,
            "warning": 0,
            "note": 0,
            "repaired": 0,
            "problem": "",
        }
        assert nothing["findings"] == []

    @pytest.mark.parametrize("as_json", [False, True])
    def test_says_that_a_check_could_not_run(self, as_json, db, monkeypatch):
        def fail():
            raise DatabaseError("ada@example.org")
            yield

        monkeypatch.setitem(doctor.CHECKS, "seats", fail)

        status, lines = run("seats", json=as_json)

        assert status == 3
        assert "ada@" not in "".join(lines)
        if as_json:
            assert "DatabaseError" in json.loads("\n".join(lines))["summary"]["problem"]

    def test_names_no_person(self, course):
        user = make_user("bob")
        CourseEnrollment.objects.create(user=user, course=course)
        CourseEnrollmentAllowed.objects.create(
            email=user.email, course_id="django-101", auto_enroll=True
        )

        _, lines = run()

        assert "bob" not in "\n".join(lines)
