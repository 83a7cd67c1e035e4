"""The management commands."""

from __future__ import annotations

import csv
import io
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_enrollments import errors
from django_enrollments.core import bulk
from django_enrollments.csv_import import rows as rows_module
from django_enrollments.datetimes import now, to_iso
from django_enrollments.management import progress
from django_enrollments.management.commands import (
    bulk_enroll,
    send_expiry_notifications,
)
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
    SentNotification,
)
from django_enrollments.services import EnrollmentsService
from django_enrollments.signals import enrollment_created, notification_requested
from tests.factories import (
    DAY,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    make_users,
    send_mail_by,
    username,
)

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments, **options) -> str:
    """Call a command and return its output."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def state(user) -> tuple[str, bool] | None:
    """Return mode and activation of the only enrollment of a user."""
    row = CourseEnrollment.objects.filter(user=user).values_list("mode", "is_active")
    return row.first()


def veto(action: str, **context):
    raise errors.EnrollmentNotAllowed("Not\ntoday.")


@pytest.fixture
def ada():
    """A user, with a course in which to enroll."""
    make_course("django-101")
    return make_user("ada")


@pytest.mark.django_db
class TestEnrollUserInCourse:
    def enroll(self, *arguments: str) -> str:
        return run("enroll_user_in_course", *arguments)

    @pytest.mark.rule("CMD-01")
    @pytest.mark.parametrize(
        "arguments",
        [
            ("-e", "ada@example.org", "-c", "django-101"),
            ("--email=ADA@Example.ORG", "--course=django-101"),
        ],
    )
    def test_enrolls_by_address_in_any_case(self, arguments):
        course, ada = make_course("django-101"), make_user("ada")

        output = self.enroll(*arguments)

        assert EnrollmentsService().is_enrolled(ada, course)
        assert output == ""

    @pytest.mark.rule("CMD-01")
    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("-e", "ada@example.org"),
            ("-c", "django-101"),
            ("-x", "1", "-e", "a", "-c", "b"),
        ],
    )
    def test_refuses_other_arguments(self, arguments):
        with pytest.raises(CommandError):
            self.enroll(*arguments)

    @pytest.mark.rule("CMD-02", "CMD-03")
    @pytest.mark.parametrize(
        ("options", "mode"), [((), "honor"), (("-m", "verified"), "verified")]
    )
    def test_enrolls_once_in_the_mode_or_the_default(self, options, mode):
        make_modes(make_course("django-101"), "honor", "verified")
        ada = make_user("ada")
        arguments = ("-e", "ada@example.org", "-c", "django-101", *options)

        output = [self.enroll(*arguments) for _ in range(2)]

        assert state(ada) == (mode, True)
        assert output == ["", ""]
        assert EnrollmentEvent.objects.get().source == "command"

    @pytest.mark.rule("CMD-04")
    @pytest.mark.parametrize(
        ("arguments", "refusal"),
        [
            ("-e nobody@example.org -c django-101", errors.UserNotFoundError),
            ("-e ada@example.org -c nowhere", errors.CourseNotFoundError),
            (
                "-e ada@example.org -c django-101 -m gold",
                errors.CourseModeNotFoundError,
            ),
            ("-e ada@example.org -c full", errors.CourseEnrollmentFullError),
            ("-e ada@example.org -c closed", errors.CourseEnrollmentClosedError),
        ],
    )
    def test_raises_the_refusal(self, arguments, refusal):
        make_course("django-101")
        make_course("full", max_student_enrollments_allowed=0)
        make_course("closed", enrollment_end=now() - DAY)
        make_user("ada")

        with pytest.raises(CommandError) as error:
            self.enroll(*arguments.split())

        assert isinstance(error.value, refusal)
        assert str(error.value)
        assert error.value.code == refusal.code
        assert error.value.returncode == 1
        assert not CourseEnrollment.objects.exists()

    @pytest.mark.rule("CMD-04")
    @pytest.mark.skipif(
        not is_default_host(), reason="Addresses are unique in the other host."
    )
    def test_refuses_an_address_of_several_users(self):
        make_course("django-101")
        make_user("ada", email="both@example.org")
        make_user("bob", email="Both@example.org")

        with pytest.raises(CommandError, match="Several users"):
            self.enroll("-e", "both@example.org", "-c", "django-101")

    @pytest.mark.rule("CMD-04")
    def test_raises_the_refusal_of_a_filter(self, settings, ada):
        settings.ENROLLMENTS_FILTERS = [veto]

        with pytest.raises(CommandError, match="Not") as error:
            self.enroll("-e", "ada@example.org", "-c", "django-101")

        assert isinstance(error.value, errors.EnrollmentNotAllowed)


class TestBulkEnrollBase:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.file = tmp_path / "spring.csv"
        self.results = tmp_path / "spring.results.csv"

    def bulk_enroll(self, *lines: str | bytes, **options) -> str:
        """Write a file, run the command on it and return its output."""
        raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
        self.file.write_bytes(b"".join(line + b"\n" for line in raw))
        return run("bulk_enroll", str(self.file), **options)

    def results_of(self, path: Path | None = None) -> list[dict[str, str]]:
        with (path or self.results).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def statuses(self) -> list[str]:
        return [result["status"] for result in self.results_of()]


HEADER = "course,username,email,mode,action"
ADA = f"django-101,{username('ada')},,,enroll"


@pytest.mark.django_db
class TestBulkEnroll(TestBulkEnrollBase):
    def test_writes_a_result_for_every_row(self):
        make_modes(make_course("django-101"), "audit", "verified")
        make_course("django-102")
        ada, bob, carol, dan = (
            make_user(name) for name in ("ada", "bob", "carol", "dan")
        )
        EnrollmentsService().enroll(bob, "django-101")
        EnrollmentsService().enroll(dan, "django-102")

        output = self.bulk_enroll(
            HEADER,
            ADA,
            f"django-101,{username('bob')},,,enroll",
            "django-101,,Carol@Example.org,verified,enroll",
            f"django-102,{username('dan')},,,unenroll",
            "django-102,,stranger@example.org,,enroll",
        )

        assert self.results_of() == [
            {
                "line": str(line),
                "identifier": identifier,
                "status": status,
                "code": "",
                "message": "",
            }
            for line, identifier, status in [
                (2, username("ada"), "created"),
                (3, username("bob"), "unchanged"),
                (4, "Carol@Example.org", "created"),
                (5, username("dan"), "deactivated"),
                (6, "stranger@example.org", "invited"),
            ]
        ]
        assert state(ada) == ("audit", True)
        assert state(carol) == ("verified", True)
        assert state(dan) == ("audit", False)
        assert "created: 2\ndeactivated: 1\ninvited: 1\nunchanged: 1\n" in output
        assert str(self.results) in output

    @pytest.mark.parametrize(
        "lines",
        [
            ["course,username", f"django-101,{username('ada')}"],
            [
                "\ufeffAction, Username ,COURSE",
                f' ENROLL , "{username("ada")}",django-101 ',
            ],
            # The username counts where there is an address too.
            [HEADER, f"django-101,{username('ada')},bob@example.org,,enroll"],
        ],
    )
    def test_reads_columns_in_any_order_and_case(self, lines):
        make_course("django-101")
        ada, bob = make_user("ada"), make_user("bob")

        self.bulk_enroll(*lines)

        assert (state(ada), state(bob)) == (("audit", True), None)

    def test_skips_blank_lines_and_counts_them(self, ada):
        self.bulk_enroll(HEADER, "", ADA, "  ")

        assert [result["line"] for result in self.results_of()] == ["3"]

    @pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
    def test_reads_any_end_of_line(self, ending, ada):
        lines = ["course,username", f"django-101,{username('ada')}"]
        self.file.write_text(ending.join(lines), newline="")

        run("bulk_enroll", str(self.file))

        assert state(ada) == ("audit", True)
        assert self.results_of()[0]["line"] == "2"

    def test_accepts_a_header_alone(self):
        output = self.bulk_enroll(HEADER)

        assert self.results_of() == []
        assert str(self.results) in output

    def test_changes_nothing_the_second_time(self, ada):
        lines = [
            HEADER,
            ADA,
            "django-101,,stranger@example.org,,enroll",
        ]
        self.bulk_enroll(*lines)

        self.bulk_enroll(*lines)

        assert self.statuses() == ["unchanged", "unchanged"]
        assert EnrollmentEvent.objects.count() == 1
        assert CourseEnrollmentAllowed.objects.count() == 1

    def test_takes_an_empty_action_for_the_default(self):
        make_course("django-101")
        users = make_users(2)
        lines = [f"django-101,{user.get_username()},,," for user in users]

        self.bulk_enroll(HEADER, lines[0], f"{lines[1]} ")

        assert self.statuses() == ["created", "created"]

    def test_keeps_the_order_of_rows_for_the_last_seats(self):
        make_course("django-101", max_student_enrollments_allowed=2)
        for name in ("ada", "bob", "carol"):
            make_user(name)

        with pytest.raises(CommandError, match="1 of 3 rows failed"):
            self.bulk_enroll(
                HEADER,
                "django-101,,carol@example.org,,enroll",
                f"django-101,{username('bob')},,,enroll",
                "django-101,,ada@example.org,,enroll",
            )

        assert self.statuses() == ["created", "created", "error"]
        assert self.results_of()[2]["code"] == "course_full"

    def test_takes_as_many_statements_for_many_equal_rows(
        self, django_assert_num_queries
    ):
        make_course("django-101")
        rows = [f"django-101,{user.get_username()}" for user in make_users(60)]
        self.file.write_text("\n".join(["course,username", *rows[:20]]))
        with CaptureQueriesContext(connection) as few:
            run("bulk_enroll", str(self.file))
        self.file.write_text("\n".join(["course,username", *rows]))

        with django_assert_num_queries(len(few)):
            run("bulk_enroll", str(self.file))

        assert CourseEnrollment.objects.count() == 60

    def test_processes_several_batches(self):
        make_course("django-101")
        count = bulk.ROWS_PER_BATCH + 3
        rows = [f"django-101,{user.get_username()}" for user in make_users(count)]

        self.bulk_enroll("course,username", *rows)

        assert self.statuses() == ["created"] * count
        assert [int(one["line"]) for one in self.results_of()] == list(
            range(2, count + 2)
        )

    def test_writes_actor_and_reason_to_the_history(self, ada):
        registrar = make_user("registrar")

        self.bulk_enroll(
            HEADER,
            ADA,
            actor=username("registrar"),
            reason="spring term",
        )

        event = EnrollmentEvent.objects.get()
        assert (event.source, event.reason) == ("bulk", "spring term")
        assert event.actor_id == registrar.pk

    @pytest.mark.parametrize(
        ("facts", "option"),
        [
            ({"enrollment_end": now() - DAY, "invitation_only": True}, "force"),
            ({"max_student_enrollments_allowed": 0}, "over_capacity"),
        ],
    )
    def test_lifts_refusals_by_options(self, facts, option):
        make_course("django-101", **facts)
        make_user("ada")

        with pytest.raises(CommandError):
            self.bulk_enroll(HEADER, ADA)
        assert self.statuses() == ["error"]
        self.bulk_enroll(HEADER, ADA, **{option: True})

        assert self.statuses() == ["created"]

    def test_writes_the_results_to_another_file(self, tmp_path, ada):
        path = tmp_path / "elsewhere.csv"

        self.bulk_enroll(HEADER, ADA, output=path)

        assert self.results_of(path)[0]["status"] == "created"
        assert not self.results.exists()


@pytest.mark.django_db
class TestBulkEnrollOfStreams(TestBulkEnrollBase):
    @pytest.fixture
    def piped(self, monkeypatch):
        """Return a function that writes rows to standard input and returns it."""

        def pipe(*lines: str) -> io.TextIOWrapper:
            raw = io.BytesIO("\n".join(lines).encode())
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))
            return sys.stdin

        return pipe

    def test_reads_standard_input_and_writes_to_standard_output(self, piped, ada):
        piped(HEADER, ADA, "django-101,nobody,,,x")
        out, aside = io.StringIO(), io.StringIO()

        with pytest.raises(CommandError, match="1 of 2 rows failed"):
            call_command("bulk_enroll", "-", stdout=out, stderr=aside)

        results = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
        assert [one["status"] for one in results] == ["created", "error"]
        assert [one["line"] for one in results] == ["2", "3"]
        assert "Line 3: unknown_action: " in aside.getvalue()
        assert "created: 1\n" in aside.getvalue()

    def test_leaves_standard_input_open(self, piped, ada):
        given = piped(HEADER, ADA)

        output = run("bulk_enroll", "-", output=self.results)

        assert not given.buffer.closed
        assert self.statuses() == ["created"]
        assert str(self.results) in output

    def test_writes_results_of_a_file_to_standard_output(self, ada):
        output = self.bulk_enroll(HEADER, ADA, output="-")

        assert f"2,{username('ada')},created,,\r\n" in output
        assert not self.results.exists()

    def test_reads_no_more_rows_than_a_batch_needs(self, monkeypatch):
        monkeypatch.setattr(bulk, "ROWS_PER_BATCH", 2)
        make_course("django-101")
        users = make_users(5)
        inside = []

        def rows(lines):
            task = rows_module.Task("django-101", "username", None, "enroll")
            for line, user in enumerate(users, start=2):
                inside.append(CourseEnrollment.objects.count())
                yield rows_module.FileRow(line, user.get_username(), task)

        monkeypatch.setattr(bulk_enroll, "read_rows", rows)

        self.bulk_enroll(HEADER)

        # They are counted before the first one is worked through.
        assert inside == [0] * 5 + [0, 0, 2, 2, 4]
        assert self.statuses() == ["created"] * 5


@pytest.mark.django_db
class TestBulkEnrollOfBadRows(TestBulkEnrollBase):
    def refuse(self, *lines: str | bytes) -> list[dict[str, str]]:
        """Run the command on rows of which some fail, and return their results."""
        with pytest.raises(CommandError, match=r"rows? failed") as error:
            self.bulk_enroll(*lines)
        assert error.value.returncode == 1
        return [one for one in self.results_of() if one["status"] == "error"]

    @pytest.mark.parametrize(
        ("line", "code", "column"),
        [
            (",ada,,,enroll", "missing_value", "Column 1 (course): "),
            ("django-101,,,,enroll", "missing_value", "Column 2 (username): "),
            ("django-101,ada,,,expel", "unknown_action", "Column 5 (action): 'expel'"),
            ("django-101", "too_few_columns", "Column 2 (username): "),
            ("django-101,ada,,", "too_few_columns", "Column 5 (action): "),
            ("django-101,ada,,,enroll,,x", "too_many_columns", "Column 6: "),
            (b"django-101,\xe4da,,,enroll", "not_utf8", "Column 2 (username): "),
            (b"django-101,ada,,\xff\xfe,enroll", "not_utf8", "Column 4 (mode): "),
            ("django-101,a\0da,,,enroll", "nul_character", "Column 2 (username): "),
            ('django-101,"ada,,,enroll', "malformed", "Column 2 (username): "),
            ('"django-101",ada,"a"b,,enroll', "malformed", "Column 3 (email): "),
            ('"a""b",ada,a,b,c,"d', "malformed", "Column 6: "),
            (
                f"django-101,ada,{'x' * 200_000},,enroll",
                "malformed",
                "Column 3 (email): ",
            ),
        ],
    )
    def test_are_reported_by_line_and_column_and_others_are_processed(
        self, line, code, column
    ):
        make_course("django-101")
        first, last = make_user("first"), make_user("last")

        (error,) = self.refuse(
            HEADER,
            f"django-101,{username('first')},,,enroll",
            line,
            f"django-101,{username('last')},,,enroll",
        )

        assert (error["line"], error["code"]) == ("3", code)
        assert error["message"].startswith(column)
        assert self.statuses() == ["created", "error", "created"]
        assert state(first) == state(last) == ("audit", True)

    @pytest.mark.parametrize(
        ("line", "code"),
        [
            ("django-101,nobody,,,enroll", "user_not_found"),
            ("django-101,,no address,,enroll", "invalid_email"),
            (f"django-101,{'x' * 100_000},,,enroll", "user_not_found"),
            ("nowhere,ada,,,enroll", "course_not_found"),
            ("no course id,ada,,,enroll", "course_not_found"),
            (f"{'x' * 100_000},ada,,,enroll", "course_not_found"),
            ("nowhere,ada,,,unenroll", "course_not_found"),
            ("django-101,ada,,gold,enroll", "mode_unavailable"),
            (f"django-101,ada,,{'x' * 100_000},enroll", "mode_unavailable"),
        ],
    )
    def test_are_refused_by_the_usual_rules(self, line, code):
        make_course("django-101")
        good = make_user("good")

        (error,) = self.refuse(HEADER, line, f"django-101,{username('good')},,,enroll")

        assert error["code"] == code
        assert error["message"]
        assert state(good) == ("audit", True)

    def test_are_reported_on_one_line(self, settings, ada):
        settings.ENROLLMENTS_FILTERS = [veto]

        (error,) = self.refuse(HEADER, ADA)

        assert (error["code"], error["message"]) == ("not_allowed", "Not today.")

    def test_are_shown_up_to_a_number(self):
        make_course("django-101")
        self.file.write_text(
            "\n".join(
                ["course,username", *(f"django-101,nobody{n}" for n in range(30))]
            )
        )
        complaints = io.StringIO()

        with pytest.raises(CommandError, match="30 of 30 rows failed"):
            run("bulk_enroll", str(self.file), stderr=complaints)

        lines = complaints.getvalue().splitlines()
        assert len(lines) == 20
        assert lines[0].startswith("Line 2: user_not_found: ")


@pytest.mark.django_db
class TestBulkEnrollOfBadFiles(TestBulkEnrollBase):
    @pytest.mark.parametrize(
        ("header", "text"),
        [
            ("", "must name 'course'"),
            ("course", "must name 'course'"),
            ("username,action", "must name 'course'"),
            ("course,username,modus", "names 'modus'"),
            ("course,username,course", "names a column twice"),
            ("course;username", "separated by semicolons"),
            (b"\xff\xfec\0o\0", "no UTF-8"),
            ("course,user\0name", "no UTF-8"),
            ("course\tusername", "separated by tabs"),
        ],
    )
    def test_refuses_a_wrong_header(self, header, text, ada):
        with pytest.raises(CommandError, match=text):
            self.bulk_enroll(header, "django-101,ada,audit")

        assert not CourseEnrollment.objects.exists()
        assert not self.results.exists()

    @pytest.mark.parametrize("more", ["", ",", ",,", ", ,,"])
    def test_ignores_empty_columns_and_lines_of_spreadsheets(self, more, ada):
        row = f"django-101,{username('ada')}{more}"

        self.bulk_enroll("course,username,,", row, ",,,", " , ,")

        assert self.statuses() == ["created"]

    def test_refuses_content_in_a_column_without_a_name_before_any_row(self, ada):
        with pytest.raises(CommandError, match="Line 4 has content in a column"):
            self.bulk_enroll(
                "course,username,",
                f"django-101,{username('ada')},",
                "nowhere,bob,",
                "django-101,bob,x",
            )

        assert not CourseEnrollment.objects.exists()
        assert not self.results.exists()

    def test_writes_results_that_are_safe_from_formulas(self):
        make_course("django-101")

        with pytest.raises(CommandError):
            self.bulk_enroll("course,username", "django-101,=1+cmd|calc")

        assert self.results_of()[0]["identifier"].startswith("'=")

    def test_refuses_an_empty_or_missing_file_and_a_folder(self):
        with pytest.raises(CommandError, match="No such file"):
            run("bulk_enroll", str(self.file))
        self.file.write_text("")
        with pytest.raises(CommandError, match="must name 'course'"):
            run("bulk_enroll", str(self.file))
        with pytest.raises(CommandError, match="directory"):
            run("bulk_enroll", str(self.file.parent))

    @pytest.mark.parametrize("name", ["spring.csv", "../spring.csv"])
    def test_refuses_to_overwrite_the_file_itself(self, name):
        output = self.file.parent / name
        if output != self.file:
            output = self.file.parent / "again.csv"
            output.symlink_to(self.file)

        with pytest.raises(CommandError, match="overwrite"):
            self.bulk_enroll(HEADER, output=output)

        assert self.file.read_text() == f"{HEADER}\n"

    @pytest.mark.parametrize(
        "options",
        [{"output": "missing/results.csv"}, {"actor": "nobody"}, {"reason": "\ud800"}],
    )
    def test_writes_nothing_with_impossible_options(self, options, ada):
        if "output" in options:
            options = {"output": self.file.parent / options["output"]}

        with pytest.raises(CommandError):
            self.bulk_enroll(HEADER, ADA, **options)

        assert not CourseEnrollment.objects.exists()


class TestBulkEnrollDryRun(TestBulkEnrollBase):
    @pytest.mark.django_db
    def test_changes_nothing_and_prints_so(self, django_capture_on_commit_callbacks):
        make_course("django-101", max_student_enrollments_allowed=1)
        ada, bob = make_user("ada"), make_user("bob")
        received = []
        enrollment_created.connect(received.append, weak=False, dispatch_uid="dry run")
        out = io.StringIO()

        try:
            with (
                django_capture_on_commit_callbacks(execute=True),
                pytest.raises(CommandError, match="1 of 4 rows failed"),
            ):
                self.bulk_enroll_into(out)
        finally:
            enrollment_created.disconnect(dispatch_uid="dry run")

        assert self.statuses() == ["created", "unchanged", "error", "invited"]
        assert (state(ada), state(bob)) == (None, None)
        assert not EnrollmentEvent.objects.exists()
        assert not CourseEnrollmentAllowed.objects.exists()
        assert received == []
        assert "dry run" in out.getvalue()

    @pytest.mark.django_db
    def test_keeps_no_callbacks_for_after_the_commit(self, monkeypatch):
        make_course("django-101")
        names = [user.get_username() for user in make_users(6)]
        monkeypatch.setattr(bulk, "ROWS_PER_BATCH", 2)
        announced = Mock()
        waiting = []

        def advance(rows: int):
            waiting.append(len(connection.run_on_commit))

        @contextmanager
        def watch(*args, **options):
            yield advance

        monkeypatch.setattr(bulk_enroll, "progress", watch)
        with transaction.atomic():
            transaction.on_commit(announced)
            before = len(connection.run_on_commit)
            rows = [f"django-101,{name},,,enroll" for name in names]
            self.bulk_enroll(HEADER, *rows, dry_run=True)

            assert len(connection.run_on_commit) == before
        assert max(waiting) == before + 1

    def bulk_enroll_into(self, out: io.StringIO):
        lines = [
            HEADER,
            ADA,
            "django-101,,ada@example.org,,enroll",
            f"django-101,{username('bob')},,,enroll",
            "django-101,,stranger@example.org,,enroll",
        ]
        self.file.write_text("\n".join(lines))
        call_command("bulk_enroll", str(self.file), dry_run=True, stdout=out)

    @pytest.mark.django_db(transaction=True)
    def test_rolls_back_its_own_transaction(self, ada):
        self.bulk_enroll(HEADER, ADA, dry_run=True)

        assert self.statuses() == ["created"]
        assert not transaction.get_connection().in_atomic_block
        assert state(ada) is None


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.django_db
class TestBulkEnrollProgress(TestBulkEnrollBase):
    def run_on(self, stderr: io.StringIO) -> str:
        make_course("django-101")
        rows = [f"django-101,nobody{number}" for number in range(3)]
        self.file.write_text("\n".join(["course,username", *rows]))
        out = io.StringIO()
        with pytest.raises(CommandError):
            call_command("bulk_enroll", str(self.file), stdout=out, stderr=stderr)
        return out.getvalue()

    @pytest.mark.skipif(
        not find_spec("tqdm"), reason="The extra [progress] is missing."
    )
    def test_is_a_bar_on_a_terminal(self):
        terminal = Terminal()

        output = self.run_on(terminal)

        assert "3/3" in terminal.getvalue()
        assert "rows done" not in output

    @pytest.mark.parametrize("stderr", [io.StringIO(), Terminal()])
    def test_is_plain_lines_elsewhere_and_without_tqdm(self, stderr, monkeypatch):
        monkeypatch.setattr(progress, "ROWS_PER_LINE", 2)
        monkeypatch.setitem(sys.modules, "tqdm", None)

        output = self.run_on(stderr)

        assert "2 of 3 rows done\n" in output
        assert "/3" not in stderr.getvalue()

    def test_counts_rows_where_their_number_is_unknown(self, monkeypatch):
        monkeypatch.setattr(progress, "ROWS_PER_LINE", 1)
        make_course("django-101")
        os.mkfifo(self.file)
        text = "course,username\ndjango-101,nobody\n"
        writer = threading.Thread(target=self.file.write_text, args=(text,))
        writer.start()

        out = io.StringIO()
        with pytest.raises(CommandError, match="1 of 1 row failed"):
            call_command("bulk_enroll", str(self.file), stdout=out)

        writer.join()
        assert "1 rows done\n" in out.getvalue()


class PickyMail(BaseEmailBackend):
    """A mail backend that refuses the address of bob while ``is_picky``."""

    is_picky = True

    def send_messages(self, email_messages) -> int:
        for message in email_messages:
            if self.is_picky and message.to[0].startswith("bob"):
                raise ConnectionError(f"no such mailbox: {message.to[0]}")
            mail.outbox.append(message)
        return len(email_messages)


@pytest.mark.django_db
class TestSendExpiryNotifications:
    def audit(self, *names: str, course) -> list[Any]:
        """Enroll new users in the audit mode of a course."""
        users = [make_user(name) for name in names]
        for user in users:
            EnrollmentsService().enroll(user, course, "audit")
        return users

    def expiring(self, course_id: str = "django-101", days: float = 3):
        """Make a course that can be audited for some days more."""
        course = make_course(course_id)
        make_mode(course, "audit", expiration_datetime=now() + days * DAY)
        make_mode(course, "verified")
        return course

    def addresses(self) -> list[str]:
        return sorted(address for message in mail.outbox for address in message.to)

    @pytest.mark.parametrize("by", ["option", "setting"])
    def test_takes_the_mode_of_the_option_or_the_setting(self, settings, by):
        course = make_course("django-101")
        make_mode(course, "honor", expiration_datetime=now() + 3 * DAY)
        make_mode(course, "audit", expiration_datetime=now() + 3 * DAY)
        self.audit("ada", course=course)
        EnrollmentsService().enroll(make_user("bob"), course, "honor")
        options = {"days": 7}
        if by == "option":
            options["mode"] = "honor"
        else:
            settings.ENROLLMENTS_DEFAULT_MODE = "honor"

        output = run("send_expiry_notifications", **options)

        assert self.addresses() == ["bob@example.org"]
        assert output == "1 sent, 0 failed\n"

    @pytest.mark.parametrize("mode", ["", " ", "x" * 101])
    def test_refuses_an_impossible_mode(self, mode):
        with pytest.raises(CommandError, match="--mode"):
            run("send_expiry_notifications", days=7, mode=mode)

    @pytest.mark.parametrize("base", ["", "https://learn.example.org"])
    def test_has_a_link_if_the_base_url_is_set(self, settings, base):
        settings.ENROLLMENTS_LEARNING_BASE_URL = base
        self.audit("ada", course=self.expiring())

        run("send_expiry_notifications", days=7)

        (message,) = mail.outbox
        ((html, _),) = message.alternatives
        for text in (message.body, html):
            assert ("/course/django-101/home" in text) == bool(base)
            assert ("Go to the course" in text) == bool(base)
        assert ("<a " in html) == bool(base)

    def test_leaves_out_inactive_accounts_and_those_without_address(self):
        ada, bob, _ = self.audit("ada", "bob", "cleo", course=self.expiring())
        get_user_model().objects.filter(pk=ada.pk).update(is_active=False)
        get_user_model().objects.filter(pk=bob.pk).update(email="")

        run("send_expiry_notifications", days=7)

        assert self.addresses() == ["cleo@example.org"]

    def test_sends_the_signal_with_plain_values(self):
        course = self.expiring()
        (ada,) = self.audit("ada", course=course)
        received = []

        def hear(notification_data, **payload):
            received.append(notification_data)

        notification_requested.connect(hear)
        try:
            run("send_expiry_notifications", days=7)
        finally:
            notification_requested.disconnect(hear)

        (data,) = received
        deadline = CourseMode.objects.get(mode_slug="audit").expiration_datetime
        assert str(data.user_ids[0]) == str(ada.pk)
        assert data.course_key == course_id_of(course)
        assert data.context["audit_access_expiry"] == to_iso(deadline)

    def test_sends_one_mail_for_each_deadline(self):
        self.audit("ada", "bob", course=self.expiring())

        first = run("send_expiry_notifications", days=7)
        second = run("send_expiry_notifications", days=7)

        assert (first, second) == ("2 sent, 0 failed\n", "0 sent, 0 failed\n")
        assert self.addresses() == ["ada@example.org", "bob@example.org"]
        assert SentNotification.objects.count() == 2

        mode = CourseMode.objects.get(mode_slug="audit")
        mode.expiration_datetime += DAY
        mode.save()
        run("send_expiry_notifications", days=7)

        assert len(mail.outbox) == 4

    def test_leaves_out_other_deadlines_modes_and_courses(self):
        late, gone, soon, deleted = (
            self.expiring("late", days=8),
            self.expiring("gone", days=1),
            self.expiring("soon"),
            self.expiring("deleted"),
        )
        endless = make_course("endless")
        make_modes(endless, "audit")
        for course in (late, gone, endless, deleted):
            self.audit(course_id_of(course), course=course)
        deleted.delete()
        CourseMode.objects.filter(course=gone, mode_slug="audit").update(
            expiration_datetime=now() - DAY
        )
        payer = make_user("payer")
        EnrollmentsService().enroll(payer, soon, "verified")
        (leaver,) = self.audit("leaver", course=soon)
        EnrollmentsService().unenroll(leaver, soon)

        output = run("send_expiry_notifications", days=7)

        assert output == "0 sent, 0 failed\n"
        assert mail.outbox == []

    @pytest.mark.parametrize(
        ("days", "count"), [((2, 4), 1), ((2, 9), 0), ((2, None), 0)]
    )
    def test_takes_the_last_deadline_of_several_currencies(self, days, count):
        course = make_course("django-101")
        for currency, ahead in zip(("usd", "eur"), days, strict=True):
            expiration = None if ahead is None else now() + ahead * DAY
            make_mode(
                course, "audit", currency=currency, expiration_datetime=expiration
            )
        self.audit("ada", course=course)

        run("send_expiry_notifications", days=7)

        assert len(mail.outbox) == count

    def test_retries_failed_mails_in_the_next_run(self, settings, caplog, monkeypatch):
        send_mail_by(settings, "tests.management.test_commands.PickyMail")
        _, bob, _ = self.audit("ada", "bob", "carol", course=self.expiring())

        with caplog.at_level(logging.WARNING), pytest.raises(CommandError) as error:
            run("send_expiry_notifications", days=7)

        assert error.value.returncode == 1
        assert "1 notification could" in str(error.value)
        assert self.addresses() == ["ada@example.org", "carol@example.org"]
        assert caplog.messages == [
            f"Mail to user {bob.pk} failed: ConnectionError.",
            f"No notification was sent to user {bob.pk}: ConnectionError.",
        ]
        assert SentNotification.objects.count() == 2

        monkeypatch.setattr(PickyMail, "is_picky", False)
        output = run("send_expiry_notifications", days=7)

        assert output == "1 sent, 0 failed\n"
        assert self.addresses()[1] == "bob@example.org"

    def test_reads_enrollments_in_chunks(self, monkeypatch):
        course = self.expiring()
        EnrollmentsService().bulk_enroll(course, make_users(12), "audit")
        monkeypatch.setattr(send_expiry_notifications, "ROWS_PER_QUERY", 5)

        output = run("send_expiry_notifications", days=7)

        assert output == "12 sent, 0 failed\n"
        assert len({*self.addresses()}) == 12

    @pytest.mark.django_db(transaction=True)
    def test_sends_no_mail_twice_in_concurrent_runs(self):
        course = self.expiring()
        EnrollmentsService().bulk_enroll(course, make_users(10), "audit")
        start = threading.Barrier(2)

        def send(_number: int) -> str:
            start.wait()
            try:
                return run("send_expiry_notifications", days=7)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as threads:
            output = list(threads.map(send, range(2)))

        assert sum(int(one.split()[0]) for one in output) == 10
        assert len(self.addresses()) == len({*self.addresses()}) == 10

    @pytest.mark.parametrize("days", ["0", "-1", "x", "1.5", "", "36501", "²"])
    def test_refuses_an_impossible_number_of_days(self, days):
        with pytest.raises(CommandError, match="is no number"):
            run("send_expiry_notifications", f"--days={days}")
        with pytest.raises(CommandError, match="--days"):
            run("send_expiry_notifications")
        assert run("send_expiry_notifications", "--days=36500")

    def test_fails_without_a_backend(self, settings):
        settings.ENROLLMENTS_NOTIFICATION_BACKEND = "nowhere.Backend"
        self.audit("ada", course=self.expiring())

        with pytest.raises(CommandError, match="ENROLLMENTS_NOTIFICATION_BACKEND"):
            run("send_expiry_notifications", days=7)

        assert not SentNotification.objects.exists()


@pytest.mark.django_db
class TestRedeemInvitations:
    def invite(self, name: str, course_id: str = "django-101"):
        return CourseEnrollmentAllowed.objects.create(
            email=f"{name}@example.org", course_id=course_id, auto_enroll=True
        )

    @pytest.mark.rule("ACC-13")
    def test_enrolls_active_accounts_with_an_invitation(self):
        course = make_course("django-101")
        ada, bob = make_user("ada"), make_user("bob", is_active=False)
        for name in ("ada", "bob", "eve"):
            self.invite(name)

        output = run("redeem_invitations")

        assert (
            output.splitlines()[-1] == "1 enrolled or in the course already, 0 failed"
        )
        assert EnrollmentsService().is_enrolled(ada, course)
        assert not EnrollmentsService().is_enrolled(bob, course)

    @pytest.mark.parametrize(
        "options", [{"course": "django-101"}, {"email": "ADA@example.org"}]
    )
    def test_may_be_limited_to_a_course_or_an_address(self, options):
        make_course("django-101"), make_course("other")
        make_user("ada"), make_user("bob")
        self.invite("ada")
        other = self.invite("bob", "other")

        run("redeem_invitations", **options)

        assert list(CourseEnrollmentAllowed.objects.unused()) == [other]

    @pytest.mark.rule("ACC-13")
    def test_prints_a_line_for_every_failure_and_continues(self):
        make_course("full", max_student_enrollments_allowed=0)
        course = make_course("django-101")
        ada = make_user("ada")
        failed = self.invite("ada", "full")
        self.invite("ada")
        stderr = io.StringIO()

        with pytest.raises(CommandError, match="1 invitation could not"):
            call_command("redeem_invitations", stderr=stderr, stdout=io.StringIO())

        line = f"Invitation {failed.pk}, user {ada.pk}, course full: course_full"
        assert line in stderr.getvalue()
        assert EnrollmentsService().is_enrolled(ada, course)
