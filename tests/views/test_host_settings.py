"""Settings, languages and transactions of the host do not change responses."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db import connection
from django.urls import reverse
from django.utils import translation
from rest_framework.response import Response

from django_enrollments.errors import EnrollmentNotAllowed
from django_enrollments.models import CourseEnrollment, CourseMode
from tests.factories import make_course, make_mode, make_user, username
from tests.http import ROOT, ask, assert_hidden, client_of, get, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def root():
    return make_user("root", is_superuser=True, is_staff=True)


class TestLanguage:
    @pytest.fixture(autouse=True)
    def _german(self):
        with translation.override("de"):
            yield

    @pytest.mark.rule("V1-AUTH-11", "V1-AUTH-12", "V1-ERR-03", "V1-ERR-04")
    @pytest.mark.rule("V1-URL-14")
    @pytest.mark.parametrize(
        ("sender", "method", "path", "code", "text"),
        [
            (
                *(None, "GET", "enrollment", 401),
                "Authentication credentials were not provided.",
            ),
            (
                *("ada", "GET", "enrollments/", 403),
                "You do not have permission to perform this action.",
            ),
            ("ada", "PUT", "enrollment", 405, 'Method "PUT" not allowed.'),
            *(
                (
                    *("root", "POST", path, 415),
                    'Unsupported media type "text/xml" in request.',
                )
                for path in ("enrollment", "unenroll/", "enrollment_allowed/")
            ),
        ],
    )
    def test_of_messages_is_english(self, request, sender, method, path, code, text):
        sender = request.getfixturevalue(sender) if sender else None
        kind = "text/xml" if code == 415 else "application/json"

        response = send(sender, method, path, b"<a/>", content_type=kind)

        key = "developer_message" if path == "enrollments/" else "detail"
        assert (response.status_code, response.json()) == (code, {key: text})

    @pytest.mark.rule("V1-THR-07")
    def test_of_the_throttle_is_english(self, ada, settings):
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "1/minute", "staff": "1/minute"}
        get(ada)

        response = get(ada)

        text = "Request was throttled. Expected available in "
        assert response.status_code == 429
        assert response.json()["detail"].startswith(text)

    def test_of_filters_is_that_of_the_request(self, ada, course, settings):
        languages = set()

        def refuse(action: str, **context):
            languages.add(translation.get_language())
            raise EnrollmentNotAllowed("Nein.")

        settings.ENROLLMENTS_FILTERS = [refuse]

        ask(ada, course)

        assert languages == {"de"}
        assert translation.get_language() == "de"


def handle_as_teapot(error: Exception, context) -> Response:
    return Response({"errors": [str(error)]}, status=418)


@pytest.mark.rule("V1-ERR-03")
@pytest.mark.parametrize(
    "value",
    [
        {"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.AdminRenderer"]},
        {"DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FileUploadParser"]},
        {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"]},
        {
            "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.NamespaceVersioning",
            "ALLOWED_VERSIONS": ["9"],
        },
        {"URL_FORMAT_OVERRIDE": "include_expired"},
        {"EXCEPTION_HANDLER": f"{__name__}.handle_as_teapot"},
    ],
)
def test_settings_of_drf_change_no_response(ada, root, course, settings, value):
    settings.REST_FRAMEWORK = value

    enrolled = ask(ada, course)
    listed = get(ada, include_expired="xml")

    assert (enrolled.status_code, listed.status_code) == (200, 200)
    assert listed.json()[0]["user"] == username("ada")
    assert_hidden(ask(ada, course, user="bea"))
    assert list(get(None).json()) == ["detail"]
    cursor = get(root, "enrollments/", cursor="x")
    assert cursor.json() == {"developer_message": "Invalid cursor"}


@pytest.mark.django_db(transaction=True)
class TestAtomicRequests:
    """The views open their own transactions."""

    @pytest.fixture(autouse=True)
    def reads_in_transaction(self, monkeypatch):
        """Collect whether statements that read are in a transaction."""
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        seen = set()

        def note(execute, sql: str, *args):
            if sql.startswith("SELECT"):
                seen.add(connection.in_atomic_block)
            return execute(sql, *args)

        with connection.execute_wrapper(note):
            yield seen

    @pytest.mark.parametrize(
        "path",
        [
            *("enrollment", "enrollments/", "enrollment/a", "course/a"),
            *("course/a/eligibility", "roles/", "enrollment_allowed/"),
        ],
    )
    def test_do_not_make_reading_requests_atomic(
        self, root, path, reads_in_transaction
    ):
        make_course("a")
        client = client_of(root)
        reads_in_transaction.clear()

        assert client.get(f"{ROOT}{path}").status_code == 200
        assert reads_in_transaction == {False}

    def test_do_not_make_pages_of_the_admin_atomic(
        self, ada, root, reads_in_transaction
    ):
        make_course("a")
        row = CourseEnrollment.enroll(ada, "a")
        client = client_of(root)
        pages = [
            reverse(f"admin:django_enrollments_{model._meta.model_name}_changelist")
            for model in admin.site._registry
            if model._meta.app_label == "django_enrollments"
        ]
        name = "admin:django_enrollments_courseenrollment"
        pages += [reverse(f"{name}_add"), reverse(f"{name}_history", args=[row.pk])]
        reads_in_transaction.clear()

        assert {client.get(page).status_code for page in pages} == {200}
        assert reads_in_transaction == {False}

    def test_keep_changes_of_the_admin_atomic(self, root, monkeypatch):
        mode = make_mode(make_course("a"), "audit")
        client = client_of(root, raise_request_exception=False)

        def fail(*args, **kwargs):
            raise RuntimeError

        monkeypatch.setattr(type(admin.site._registry[CourseMode]), "log_change", fail)
        path = reverse("admin:django_enrollments_coursemode_change", args=[mode.pk])
        fields = {"mode_slug": "audit", "min_price": 0, "currency": "usd"}
        fields |= {"course": mode.course_id, "mode_display_name": "Changed"}

        assert client.post(path, fields).status_code == 500
        mode.refresh_from_db()
        assert mode.mode_display_name == "Audit"
