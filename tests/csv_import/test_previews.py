"""Files that are previewed, and imported as the preview has shown."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.core import mail, signing
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.utils import timezone, translation

from django_enrollments import api, csv_import
from django_enrollments.csv_import import previews
from django_enrollments.csv_import.results import STATUS_LABELS
from django_enrollments.errors import CourseEnrollmentError, CourseNotFoundError
from django_enrollments.models import (
    CourseEnrollment,
    CourseEnrollmentAllowed,
    EnrollmentEvent,
)
from django_enrollments.users import find_user
from tests.factories import make_course, make_user, make_users, username
from tests.http import count_statements
from tests.watching import listening, nothing_written, veto

pytestmark = pytest.mark.django_db

COURSE_ID = "django-101"


@pytest.fixture
def course(ada):
    return make_course(COURSE_ID, modes=["audit", "verified"])


@pytest.fixture
def staff(db):
    return make_user("grace", is_staff=True)


def file_of(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def statuses(result) -> list[str]:
    return [row.status for row in result.rows]


FILE = file_of(
    "username,email,mode,action",
    f"{username('ada')},,verified,enroll",
    f"{username('ada')},,verified,enroll",
    ",new@example.org,,enroll",
    "nobody,,,enroll",
    ",gone@example.org,,unenroll",
    f"{username('ada')},,,leave",
)


class TestPreview:
    def test_shows_each_row_and_writes_nothing(self, course, staff):
        with nothing_written(), listening() as heard:
            preview = csv_import.preview(course, FILE, actor=staff, reason="Autumn")

        assert [(row.line, row.status, row.code) for row in preview.rows] == [
            (2, "created", ""),
            (3, "unchanged", ""),
            (4, "invited", ""),
            (5, "error", "user_not_found"),
            (6, "unchanged", ""),
            (7, "error", "unknown_action"),
        ]
        assert preview.rows[0].identifier == username("ada")
        assert preview.rows[0].course_id == COURSE_ID
        assert preview.rows[5].course_id == ""
        assert preview.counts == {
            "created": 1,
            "invited": 1,
            "unchanged": 2,
            "error": 2,
        }
        assert preview.labelled_counts[0] == ("Enrolled", 1)
        assert preview.rows[0].label == "Enrolled"
        assert heard == []
        assert mail.outbox == []

    def test_has_a_label_for_every_status(self):
        assert {*STATUS_LABELS} == {
            *("created", "reactivated", "mode_changed", "unchanged"),
            *("deactivated", "invited", "uninvited", "error"),
        }

    def test_counts_the_seats_that_earlier_rows_take(self, ada):
        course = make_course(COURSE_ID, max_student_enrollments_allowed=2)
        names = [user.get_username() for user in make_users(3)]

        preview = csv_import.preview(course, file_of("username", *names))

        assert statuses(preview) == ["created", "created", "error"]
        assert preview.rows[2].code == "course_full"
        assert CourseEnrollment.objects.count() == 0

    def test_passes_options(self, ada):
        course = make_course(
            COURSE_ID, invitation_only=True, max_student_enrollments_allowed=0
        )
        file = file_of("username", username("ada"))

        for options, expected in (
            ({}, "error"),
            ({"force": True}, "error"),
            ({"force": True, "over_capacity": True}, "created"),
        ):
            assert statuses(csv_import.preview(course, file, **options)) == [expected]

    def test_asks_filters(self, course, settings):
        settings.ENROLLMENTS_FILTERS = [veto]

        preview = csv_import.preview(course, file_of("username", username("ada")))

        assert preview.rows[0].code == "not_allowed"

    def test_keeps_the_transaction_of_the_host(self, course, staff):
        with transaction.atomic():
            api.add_enrollment(username("grace"), COURSE_ID)
            waiting = len(connection.run_on_commit)

            csv_import.preview(course, FILE)

            assert len(connection.run_on_commit) == waiting
            assert not transaction.get_rollback()
        assert list(CourseEnrollment.objects.values_list("user", flat=True)) == [
            staff.pk
        ]

    @pytest.mark.django_db(transaction=True)
    def test_leaves_no_transaction_open(self, course):
        with nothing_written():
            csv_import.preview(course, FILE)

        assert not connection.in_atomic_block

    def test_costs_the_same_statements_for_many_rows(self, course):
        names = [user.get_username() for user in make_users(60)]
        few, many = (file_of("username", *names[:count]) for count in (5, 60))
        csv_import.preview(course, few)

        _, for_few = count_statements(lambda: csv_import.preview(course, few))
        _, for_many = count_statements(lambda: csv_import.preview(course, many))

        assert for_many == for_few

    def test_takes_courses_from_the_rows_where_none_is_given(self, course):
        make_course("django-102")
        file = file_of(
            "course,username",
            *(f"{one},{username('ada')}" for one in ("django-101", "django-102", "x")),
        )

        preview = csv_import.preview(None, file)

        assert statuses(preview) == ["created", "created", "error"]
        assert [row.course_id for row in preview.rows] == [
            "django-101",
            "django-102",
            "x",
        ]

    def test_refuses_rows_about_another_course(self, course):
        make_course("django-102")
        file = file_of(
            "username,course",
            f"{username('ada')},django-102",
            f"{username('ada')},",
            f"{username('ada')},{COURSE_ID}",
        )

        preview = csv_import.preview(COURSE_ID, file)

        assert statuses(preview) == ["error", "created", "unchanged"]
        assert preview.rows[0].code == "other_course"
        assert preview.rows[0].message == (
            "Column 2 (course): it names another course."
        )

    def test_refuses_an_unknown_course(self, db):
        with pytest.raises(CourseNotFoundError):
            csv_import.preview("nowhere", file_of("username", "ada"))

    def test_refuses_a_wrong_actor_and_reason(self, course):
        with pytest.raises(TypeError):
            csv_import.preview(course, FILE, actor="somebody")
        with pytest.raises(CourseEnrollmentError, match="NUL"):
            csv_import.preview(course, FILE, reason="\0")


class TestFile:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_may_have_a_byte_order_mark(self, encoding, course):
        content = f"username\r\n{username('ada')}\r\n".encode(encoding)

        assert statuses(csv_import.preview(course, content)) == ["created"]

    def test_may_be_an_uploaded_file(self, course):
        upload = SimpleUploadedFile("rows.csv", file_of("username", username("ada")))

        assert statuses(csv_import.preview(course, upload)) == ["created"]

    @pytest.mark.parametrize(
        "row", ["caf\xe9".encode("latin-1"), "Ł".encode("iso-8859-2")]
    )
    def test_has_refused_rows_where_it_is_not_utf8(self, row, course):
        content = b"username\n" + row + f"\n{username('ada')}".encode()

        preview = csv_import.preview(course, content)

        assert [one.code for one in preview.rows] == ["not_utf8", ""]
        assert preview.as_csv().encode()

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"", "empty_file"),
            (b"\n \n", "empty_file"),
            (b"username\n\n,,\n", "empty_file"),
            (b"name\nada", "invalid_header"),
            (b"mode\naudit", "invalid_header"),
            (b"username;mode\nada;audit", "invalid_header"),
            (b"username\tmode\nada\taudit", "invalid_header"),
            (b"username,\nada,surplus", "invalid_header"),
            ("no base64 ä", "empty_file"),
            ("QQ", "empty_file"),
            (b"PK\x03\x04\x14\x00\x06\x00\x08", "invalid_header"),
        ],
    )
    def test_is_refused_as_a_whole(self, content, code, course):
        with pytest.raises(csv_import.InvalidFileError) as error:
            csv_import.preview(course, content)

        assert error.value.code == code
        assert str(error.value).endswith(".")

    def test_has_limits(self, course, monkeypatch):
        monkeypatch.setattr(previews, "MAX_ROWS", 2)
        csv_import.preview(course, b"username\na\nb\n\n")
        with pytest.raises(csv_import.InvalidFileError, match="more than 2 rows"):
            csv_import.preview(course, b"username\na\nb\nc")

        monkeypatch.setattr(previews, "MAX_BYTES", 1024)
        for large in (b"username\n" + b"a" * 1024, io.BytesIO(b"x" * 5000)):
            with pytest.raises(csv_import.InvalidFileError) as error:
                csv_import.preview(course, large)
            assert error.value.code == "file_too_large"
            assert str(error.value) == "The file is larger than 1 kilobyte."


class TestApply:
    def test_does_what_the_preview_has_shown(self, course, staff):
        options = {"actor": staff, "reason": "Autumn", "source": "admin"}
        preview = csv_import.preview(course, FILE, **options)

        result = csv_import.apply(course, FILE, preview.token, **options)

        assert result.rows == preview.rows
        enrollment = CourseEnrollment.objects.get()
        assert (enrollment.user_id, enrollment.mode) == (
            find_user(username("ada")).pk,
            "verified",
        )
        event = EnrollmentEvent.objects.get()
        assert (event.actor_id, event.reason, event.source) == (
            staff.pk,
            "Autumn",
            "admin",
        )
        assert CourseEnrollmentAllowed.objects.get().email == "new@example.org"

    def test_sends_signals_after_the_commit(
        self, course, django_capture_on_commit_callbacks
    ):
        preview = csv_import.preview(course, FILE)

        with (
            listening() as heard,
            django_capture_on_commit_callbacks(execute=True),
        ):
            csv_import.apply(course, FILE, preview.token)
            assert heard == []

        assert [name for name, _ in heard] == ["created"]

    def test_takes_the_file_from_a_hidden_field(self, course):
        content = b"\xef\xbb\xbfusername\r\n" + username("ada").encode() + b"\r\n"
        preview = csv_import.preview(course, content)

        result = csv_import.apply(course, preview.file, preview.token)

        assert statuses(result) == ["created"]

    def test_accepts_the_token_in_another_language(self, course):
        with translation.override("de"):
            preview = csv_import.preview(course, FILE)

        with translation.override("fr"):
            csv_import.apply(course, FILE, preview.token)

        assert CourseEnrollment.objects.count() == 1

    def test_refuses_where_something_has_changed(self, course):
        preview = csv_import.preview(course, FILE)
        api.add_enrollment(username("ada"), COURSE_ID)

        with (
            nothing_written(),
            listening() as heard,
            pytest.raises(csv_import.StalePreview, match="has changed") as stale,
        ):
            csv_import.apply(course, FILE, preview.token)

        assert heard == []
        new = stale.value.preview
        assert statuses(new)[:2] == ["mode_changed", "unchanged"]
        csv_import.apply(course, new.file, new.token)
        assert CourseEnrollment.objects.get().mode == "verified"

    def test_refuses_a_second_time(self, course):
        file = file_of("username", username("ada"))
        preview = csv_import.preview(course, file)
        csv_import.apply(course, file, preview.token)

        with pytest.raises(csv_import.StalePreview) as stale:
            csv_import.apply(course, file, preview.token)

        assert statuses(stale.value.preview) == ["unchanged"]
        assert EnrollmentEvent.objects.count() == 1

    @pytest.mark.parametrize(
        "changed",
        [
            {"course": None},
            {"file": FILE.replace(b"new@", b"other@")},
            {"actor": None},
            {"reason": "Spring"},
            {"source": "rest"},
            {"force": True},
            {"over_capacity": True},
            {"token": ""},
            {"token": "nonsense"},
            {"token": signing.dumps({}, salt="django_enrollments.csv_import")},
            {"token": signing.dumps({"results": None})},
        ],
    )
    def test_refuses_another_import(self, changed, course, staff):
        file = FILE.replace(b"username,", b"course,username,", 1)
        file = file.replace(b"\n", b"\n" + COURSE_ID.encode() + b",")
        given = {"course": course, "file": file, "actor": staff, "reason": "Autumn"}
        token = csv_import.preview(**given).token
        if "file" in changed:
            changed = {"file": file.replace(b"new@", b"other@")}

        with (
            nothing_written(),
            pytest.raises(csv_import.StalePreview, match="was previewed"),
        ):
            csv_import.apply(**{**given, "token": token, **changed})

    def test_refuses_an_old_preview(self, course, monkeypatch):
        preview = csv_import.preview(course, FILE)
        later = timezone.now() + timedelta(seconds=previews.TOKEN_SECONDS + 2)
        monkeypatch.setattr(signing.time, "time", later.timestamp)

        with nothing_written(), pytest.raises(csv_import.StalePreview, match="too old"):
            csv_import.apply(course, FILE, preview.token)

    def test_is_whole_or_nothing_in_several_batches(self, course, monkeypatch):
        monkeypatch.setattr("django_enrollments.core.bulk.ROWS_PER_BATCH", 2)
        users = make_users(6)
        file = file_of("username", *(user.get_username() for user in users))
        preview = csv_import.preview(course, file)
        CourseEnrollment.enroll(users[5], COURSE_ID)

        with nothing_written(), pytest.raises(csv_import.StalePreview):
            csv_import.apply(course, file, preview.token)


def test_result_file_is_safe_from_formulas(course):
    file = file_of("username", "=1+1", username("ada"))

    text = csv_import.preview(course, file).as_csv()

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["identifier"] for row in rows] == ["'=1+1", username("ada")]
    assert rows[1] == {
        "line": "3",
        "identifier": username("ada"),
        "status": "created",
        "code": "",
        "message": "",
    }
