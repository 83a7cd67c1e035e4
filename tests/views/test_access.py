"""Who is let in over HTTP, and what strangers learn (rules V1-AUTH, contract §10)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from django.db import DataError
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import IsAdminUser
from rest_framework.test import APIClient

from django_enrollments.authentication import SessionAuthenticationAllowInactiveUser
from django_enrollments.views import (
    CourseEnrollmentsApiListView,
    EnrollmentCourseDetailView,
    EnrollmentListView,
    EnrollmentUserRolesView,
    EnrollmentView,
)
from tests.factories import (
    make_course,
    make_modes,
    make_user,
    username,
)
from tests.http import (
    ALLOW_INACTIVE,
    ENROLLMENT,
    ask,
    client_of,
    get,
    post,
    wish,
)
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

OURS = "django_enrollments.authentication.SessionAuthenticationAllowInactiveUser"
BASIC = "rest_framework.authentication.BasicAuthentication"
SESSION = "rest_framework.authentication.SessionAuthentication"


@pytest.fixture
def course() -> Any:
    course = make_course()
    make_modes(course, "audit", "verified")
    return course


class HeaderAuthentication(BaseAuthentication):
    """Takes the name of a user from a header, and offers no challenge."""

    def authenticate(self, request: Any) -> tuple[Any, None] | None:
        name = request.headers.get("X-Name")
        return (make_user(name), None) if name else None


class FailingAuthentication(BaseAuthentication):
    """Looks for what a database refuses to look for."""

    def authenticate(self, request: Any) -> None:
        raise DataError("PostgreSQL text fields cannot contain NUL bytes")


class TestNobody:
    @pytest.mark.rule("V1-AUTH-06", "V1-AUTH-11")
    @pytest.mark.parametrize("method", ["get", "post", "put", "options"])
    def test_is_a_401_with_a_challenge(self, method: str) -> None:
        response = getattr(client_of(), method)(ENROLLMENT)

        assert response.status_code == 401
        assert response.json() == {
            "detail": "Authentication credentials were not provided."
        }
        assert response["WWW-Authenticate"] == 'JWT realm="api"'

    @pytest.mark.rule("V1-AUTH-11")
    @pytest.mark.parametrize(
        ("classes", "challenge"),
        [
            (None, 'JWT realm="api"'),
            ([], 'JWT realm="api"'),
            ([OURS], 'JWT realm="api"'),
            ([SESSION], 'JWT realm="api"'),
            ([BASIC], 'Basic realm="api"'),
            ([BASIC, OURS], 'Basic realm="api"'),
            ([OURS, BASIC], 'JWT realm="api"'),
            ([f"{__name__}.HeaderAuthentication"], 'JWT realm="api"'),
            (["no.such.Authentication"], 'JWT realm="api"'),
            (OURS, 'JWT realm="api"'),
        ],
    )
    def test_in_every_configuration(
        self, settings: Any, classes: Any, challenge: str
    ) -> None:
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = classes

        for response in (get(None), post(None, {})):
            assert response.status_code == 401
            assert response["WWW-Authenticate"] == challenge

    @pytest.mark.rule("V1-AUTH-11")
    @pytest.mark.parametrize("defaults", [[], [SESSION], [BASIC]])
    def test_whatever_the_hosts_own_defaults(
        self, settings: Any, defaults: list[str]
    ) -> None:
        settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": defaults}

        response = get(None)

        assert response.status_code == 401
        assert response["WWW-Authenticate"] == 'JWT realm="api"'

    def test_credentials_that_cannot_be_looked_up_are_none(self, settings: Any) -> None:
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
            f"{__name__}.FailingAuthentication"
        ]

        assert get(None).status_code == 401


class TestAuthenticationClasses:
    @pytest.mark.rule("V1-AUTH-01", "V1-AUTH-02")
    def test_default_is_our_session_class_then_drfs_own(self, settings: Any) -> None:
        settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [BASIC]}

        def names(view: Any) -> list[str]:
            return [one.__name__ for one in view.authentication_classes]

        # V1-AUTH-01 and V1-AUTH-02: of the session classes, each view has its own.
        for view in (EnrollmentView, CourseEnrollmentsApiListView):
            assert names(view) == [
                "SessionAuthenticationAllowInactiveUser",
                "BasicAuthentication",
            ]
        for view in (EnrollmentListView, EnrollmentUserRolesView):
            assert names(view) == [
                "EnrollmentCrossDomainSessionAuth",
                "BasicAuthentication",
            ]
        assert names(EnrollmentCourseDetailView) == []

    def test_default_lets_in_by_drfs_own_classes(self, course: Any) -> None:
        make_user("ada", password="secret")
        client = APIClient()
        name = username("ada")
        client.credentials(HTTP_AUTHORIZATION=_basic(name, "secret"))

        response = client.post(ENROLLMENT, wish(course), format="json")

        assert response.status_code == 200
        assert response.json()["user"] == name

    def test_setting_is_read_at_each_request(self, settings: Any) -> None:
        ada = make_user("ada")
        client = client_of(ada)
        before = client.get(ENROLLMENT).status_code

        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
            f"{__name__}.HeaderAuthentication"
        ]

        assert before == 200
        assert client.get(ENROLLMENT).status_code == 401
        named = client.get(ENROLLMENT, headers={"X-Name": "bea"})
        assert named.status_code == 200

    def test_what_cannot_be_imported_lets_nobody_in_who_was_not(
        self, settings: Any, caplog: Any
    ) -> None:
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = ["no.such.Class", OURS]

        assert get(make_user("ada")).status_code == 200
        assert get(None).status_code == 401
        assert "no.such.Class" in caplog.text

    @pytest.mark.parametrize("classes", [OURS, 7, [None], {"a": 1}])
    def test_a_value_of_the_wrong_type_lets_nobody_in(
        self, settings: Any, classes: Any
    ) -> None:
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = classes

        assert get(make_user("ada")).status_code == 401

    def test_a_view_of_the_hosts_may_have_its_own(self) -> None:
        class TheirView(EnrollmentListView):
            authentication_classes = [SessionAuthenticationAllowInactiveUser]

        assert [type(one) for one in TheirView().get_authenticators()] == [
            SessionAuthenticationAllowInactiveUser
        ]


def _basic(name: str, password: str) -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


@pytest.mark.rule("V1-AUTH-12")
def test_who_is_logged_in_and_may_not_gets_a_403(rf: Any) -> None:
    class TheirView(EnrollmentListView):
        permission_classes = [IsAdminUser]

    request = rf.get(ENROLLMENT)
    request.user = make_user("ada")

    response = TheirView.as_view()(request)

    assert response.status_code == 403
    assert response.data == {
        "detail": "You do not have permission to perform this action."
    }


class TestInactiveUser:
    @pytest.fixture(autouse=True)
    def _backend(self, settings: Any) -> None:
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE

    @pytest.mark.rule("V1-AUTH-13")
    def test_may_read_and_enroll(self, course: Any) -> None:
        ada = make_user("ada", is_active=False)

        assert ask(ada, course).status_code == 200
        assert len(get(ada).json()) == 1

    @pytest.mark.rule("V1-AUTH-17")
    def test_is_global_staff_all_the_same(self, course: Any) -> None:
        make_user("ada")
        boss = make_user("boss", is_active=False, is_staff=True)

        assert ask(boss, course, user=username("ada")).status_code == 200

    def test_session_is_dropped_by_djangos_own_backend(
        self, course: Any, settings: Any
    ) -> None:
        settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
        ada = make_user("ada", is_active=False)

        assert ask(ada, course).status_code == 401


class TestCsrf:
    @pytest.mark.rule("V1-AUTH-14")
    def test_a_change_needs_the_token(self, course: Any) -> None:
        client = client_of(make_user("ada"), enforce_csrf_checks=True)

        with nothing_written():
            without = _send(client, course)
            wrong = _send(client, course, "x" * 32)
        client.get(ENROLLMENT)
        other = _send(client, course, "y" * 32)
        right = _send(client, course, client.cookies["csrftoken"].value)

        assert [r.status_code for r in (without, wrong, other, right)] == [
            403,
            403,
            403,
            200,
        ]
        assert without.json()["detail"].startswith("CSRF Failed: ")

    @pytest.mark.rule("V1-AUTH-14")
    def test_bad_json_without_a_token_changes_nothing_either(self) -> None:
        client = client_of(make_user("ada"), enforce_csrf_checks=True)

        for body in ("null", "[" * 100_000, "{"):
            response = client.post(ENROLLMENT, body, content_type="application/json")

            assert response.status_code in {400, 403}

    @pytest.mark.rule("V1-AUTH-14")
    def test_reading_needs_none(self) -> None:
        client = client_of(make_user("ada"), enforce_csrf_checks=True)

        assert client.get(ENROLLMENT).status_code == 200

    @pytest.mark.rule("V1-AUTH-16")
    def test_a_list_always_sets_the_cookie(self) -> None:
        client = client_of(make_user("ada"))

        first = client.get(ENROLLMENT)
        second = client.get(ENROLLMENT, {"user": "nobody"})

        assert first.cookies["csrftoken"].value
        assert second.cookies["csrftoken"].value == first.cookies["csrftoken"].value

    @pytest.mark.rule("V1-AUTH-15")
    def test_a_trusted_origin_of_another_domain_needs_the_token_too(
        self, course: Any, settings: Any
    ) -> None:
        settings.CSRF_TRUSTED_ORIGINS = ["https://learn.example.org"]
        client = client_of(make_user("ada"), enforce_csrf_checks=True)
        client.get(ENROLLMENT, secure=True)
        token = client.cookies["csrftoken"].value

        codes = [
            _send(client, course, sent, origin=origin).status_code
            for origin in ("https://learn.example.org", "https://evil.example.org")
            for sent in (token, "x" * 32)
        ]

        assert codes == [200, 403, 403, 403]

    @pytest.mark.rule("V1-AUTH-15")
    def test_the_page_it_comes_from_counts_where_no_origin_is_told(
        self, course: Any, settings: Any
    ) -> None:
        settings.CSRF_TRUSTED_ORIGINS = ["https://learn.example.org"]
        client = client_of(make_user("ada"), enforce_csrf_checks=True)
        client.get(ENROLLMENT, secure=True)
        token = client.cookies["csrftoken"].value

        codes = [
            client.post(
                ENROLLMENT,
                wish(course),
                content_type="application/json",
                headers={"X-CSRFToken": sent, "Referer": page},
                secure=True,
            ).status_code
            for page in ("https://learn.example.org/a", "https://evil.example.org/a")
            for sent in (token, "x" * 32)
        ]

        assert codes == [200, 403, 403, 403]


def _send(client: Any, course: Any, token: str = "", origin: str = "") -> Any:
    headers = {"X-CSRFToken": token} if token else {}
    if origin:
        headers |= {"Origin": origin, "Referer": f"{origin}/page"}
    return client.post(
        ENROLLMENT,
        wish(course),
        content_type="application/json",
        headers=headers,
        secure=bool(origin),
    )


def test_a_hosts_login_middleware_leaves_the_answers_to_the_api(settings: Any) -> None:
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    make_course("django-101")

    assert get(None).status_code == 401
    assert get(None, "course/django-101").status_code == 200


class TestHostSettings:
    """What a host sets for its own API does not bend this one."""

    @pytest.mark.parametrize(
        "value",
        [
            {"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.AdminRenderer"]},
            {"DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FileUploadParser"]},
            {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"]},
            {
                "DEFAULT_VERSIONING_CLASS": (
                    "rest_framework.versioning.NamespaceVersioning"
                ),
                "ALLOWED_VERSIONS": ["9"],
            },
            {"URL_FORMAT_OVERRIDE": "include_expired"},
            {"EXCEPTION_HANDLER": f"{__name__}.handle_nothing"},
        ],
    )
    def test_drf(self, course: Any, settings: Any, value: Any) -> None:
        settings.REST_FRAMEWORK = value
        ada = make_user("ada")

        enrolled = ask(ada, course)
        listed = get(ada, include_expired="xml")
        refused = ask(ada, course, user="bea")

        assert [r.status_code for r in (enrolled, listed, refused)] == [200, 200, 404]
        assert listed.json()[0]["user"] == username("ada")
        assert refused.content == b""


def handle_nothing(exc: Exception, context: Any) -> None:
    return None
