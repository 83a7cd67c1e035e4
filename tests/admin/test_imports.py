"""The import of a CSV file in the admin."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import unquote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import translation

from django_enrollments import api
from django_enrollments.models import CourseEnrollment, EnrollmentEvent
from tests.admin.pages import make_clerk, shown, url
from tests.factories import make_course, username
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db


@pytest.fixture
def course(ada):
    return make_course("django-101", max_student_enrollments_allowed=0)


@pytest.fixture
def address() -> str:
    return reverse("admin:django_enrollments_import")


def upload(*lines: str, **more) -> dict:
    content = "\n".join(["course,username,email", *lines]).encode()
    return {
        "file": SimpleUploadedFile("rows.csv", content),
        "reason": "Autumn",
        **more,
    }


def hidden(response) -> dict[str, str]:
    """Return the hidden fields of the form that confirms."""
    fields = re.findall(
        r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.content.decode()
    )
    return {name: unescape(value) for name, value in fields if "csrf" not in name}


ROW = "django-101,{},"


def test_is_previewed_and_confirmed(admin_client, address, course, operator):
    data = upload(ROW.format(username("ada")), "nowhere,=1+1,", over_capacity="on")

    form = admin_client.get(address)
    with nothing_written():
        preview = admin_client.post(address, data)
    result = admin_client.post(address, hidden(preview))

    assert "The first line names the columns: course, username" in shown(form)
    assert "Nothing has been written yet." in shown(preview)
    assert "Enrolled 1" in shown(preview)
    assert "Refused 1" in shown(preview)
    assert "Results of the import" in shown(result)
    event = EnrollmentEvent.objects.get()
    assert (event.actor_id, event.source, event.reason) == (
        operator.pk,
        "admin",
        "Autumn",
    )
    (link,) = re.findall(
        r'href="data:text/csv;charset=utf-8,([^"]*)"', (result.content.decode())
    )
    lines = unquote(link).splitlines()
    assert lines[0] == "line,identifier,status,code,message"
    assert lines[1] == f"2,{username('ada')},created,,"
    assert lines[2].startswith("3,'=1+1,error,course_not_found")


def test_keeps_the_rules_without_the_flags(admin_client, address, course):
    preview = admin_client.post(address, upload(ROW.format(username("ada"))))

    admin_client.post(address, hidden(preview))

    assert not CourseEnrollment.objects.exists()


def test_shows_a_new_preview_if_something_has_changed(admin_client, address, ada):
    make_course("django-101")
    preview = admin_client.post(address, upload(ROW.format(username("ada"))))
    api.add_enrollment(username("ada"), "django-101")

    stale = admin_client.post(address, hidden(preview))
    done = admin_client.post(address, hidden(stale))

    assert "Something has changed since the preview." in shown(stale)
    assert "Unchanged 1" in shown(stale)
    assert "Results of the import" in shown(done)
    assert EnrollmentEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"reason": "x"}, "This field is required."),
        (
            {"file": SimpleUploadedFile("a.csv", b"name\nada"), "reason": "x"},
            "known: course, username",
        ),
        (
            {"file": SimpleUploadedFile("a.csv", b"course,username\n"), "reason": "x"},
            "The file has no rows.",
        ),
        (
            {"file": SimpleUploadedFile("a.csv", b"course,username\nx,y")},
            "This field is required.",
        ),
    ],
)
def test_shows_what_is_wrong_with_the_form(data, text, admin_client, address, db):
    if "file" in data:
        data["file"].seek(0)

    response = admin_client.post(address, data)

    assert response.status_code == 200
    assert text in shown(response)


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "no base64"},
        {"file": ""},
        {"token": "x"},
        {"reason": ""},
        {"reason": "a\x00b"},
        {"force": "on"},
    ],
)
def test_refuses_a_forged_confirmation(changes, admin_client, address, ada):
    make_course("django-101")
    preview = admin_client.post(address, upload(ROW.format(username("ada"))))

    with nothing_written():
        response = admin_client.post(address, {**hidden(preview), **changes})

    assert response.status_code == 200
    assert "Results of the import" not in shown(response)


def test_confirms_for_the_same_operator_only(admin_client, address, ada, client):
    make_course("django-101")
    preview = admin_client.post(address, upload(ROW.format(username("ada"))))
    clerk = make_clerk("view_courseenrollment", "add_courseenrollment")
    clerk.is_superuser = True
    clerk.save()
    client.force_login(clerk)

    with nothing_written():
        response = client.post(address, hidden(preview))

    assert "was previewed" in shown(response)


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        (["add_courseenrollment", "view_courseenrollment"], 403),
        (["change_courseenrollment"], 403),
        (["add_courseenrollment", "change_courseenrollment"], 200),
    ],
)
def test_needs_the_permissions_to_add_and_to_change(
    permissions, status, client, address
):
    client.force_login(make_clerk(*permissions))

    assert client.get(address).status_code == status
    assert client.post(address, {"token": "x"}).status_code == status
    listed = client.get(url(CourseEnrollment, "changelist"))
    if listed.status_code == 200:
        assert ("Import CSV" in shown(listed)) is (status == 200)


def test_shows_messages_of_other_refusals(admin_client, address, ada, monkeypatch):
    make_course("django-101")
    preview = admin_client.post(address, upload(ROW.format(username("ada"))))
    data = hidden(preview)
    data["file"] = "QQ=="

    response = admin_client.post(address, data)

    assert response.status_code == 200
    assert "The first line" in shown(response)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "There is no account with this name."),
        ("de", "Es gibt kein Konto mit diesem Namen."),
    ],
)
def test_shows_errors_as_sentences(admin_client, address, course, language, text):
    with translation.override(language):
        preview = admin_client.post(address, upload(ROW.format(username("nobody"))))

    assert text in shown(preview)
