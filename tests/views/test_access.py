"""Authentication and CSRF tokens of the views."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from django.db import DataError
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import IsAdminUser

from django_enrollments.authentication import SessionAuthenticationAllowInactiveUser
from django_enrollments.views import (
    CourseEnrollmentsApiListView,
    EnrollmentCourseDetailView,
    EnrollmentListView,
    EnrollmentUserRolesView,
    EnrollmentView,
)
from tests.factories import make_course, make_user, username
from tests.http import (
    ALLOW_INACTIVE,
    ENROLLMENT,
    ROOT,
    ask,
    client_of,
    get,
    post,
    send,
    wish,
)
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

OURS = "django_enrollments.authentication.SessionAuthenticationAllowInactiveUser"
BASIC = "rest_framework.authentication.BasicAuthentication"
SESSION = "rest_framework.authentication.SessionAuthentication"
JWT_CHALLENGE, BASIC_CHALLENGE = 'JWT realm="api"', 'Basic realm="api"'


class HeaderAuthentication(BaseAuthentication):
    """Takes the name of a user from a header, without a challenge."""

    def authenticate(self, request) -> tuple[Any, None] | None:
        name = request.headers.get("X-Name")
        return (make_user(name), None) if name else None


class FailingAuthentication(BaseAuthentication):
    """Looks for a value that a database refuses."""

    def authenticate(self, request):
        raise DataError("PostgreSQL text fields cannot contain NUL bytes")


BY_HEADER = f"{__name__}.HeaderAuthentication"


class TestWithoutLogin:
    @pytest.mark.rule("V1-AUTH-06", "V1-AUTH-11")
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
    def test_every_method_is_a_401_with_a_challenge(self, method):
        response = send(None, method, "enrollment")

        assert response.status_code == 401
        assert response.json() == {
            "detail": "Authentication credentials were not provided."
        }
        assert response["WWW-Authenticate"] == JWT_CHALLENGE

    @pytest.mark.rule("V1-AUTH-11")
    @pytest.mark.parametrize(
        ("classes", "challenge"),
        [
            *((classes, JWT_CHALLENGE) for classes in (None, [], OURS, [OURS])),
            *(
                ([path], JWT_CHALLENGE)
                for path in (SESSION, BY_HEADER, "no.such.Class")
            ),
            ([OURS, BASIC], JWT_CHALLENGE),
            ([BASIC], BASIC_CHALLENGE),
            ([BASIC, OURS], BASIC_CHALLENGE),
            ([f"{__name__}.FailingAuthentication"], JWT_CHALLENGE),
        ],
    )
    def test_the_challenge_is_that_of_the_first_class(
        self, settings, classes, challenge
    ):
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = classes

        for response in (get(None), post(None, {})):
            assert response.status_code == 401
            assert response["WWW-Authenticate"] == challenge

    @pytest.mark.rule("V1-AUTH-11")
    @pytest.mark.parametrize("defaults", [[], [SESSION], [BASIC]])
    def test_defaults_of_the_host_do_not_change_the_challenge(self, settings, defaults):
        settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": defaults}

        response = get(None)

        assert response.status_code == 401
        assert response["WWW-Authenticate"] == JWT_CHALLENGE

    def test_login_middleware_of_the_host_changes_no_response(self, settings):
        settings.MIDDLEWARE = [
            *settings.MIDDLEWARE,
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]
        make_course("django-101")

        assert get(None).status_code == 401
        assert get(None, "course/django-101").status_code == 200


class TestAuthenticationClasses:
    @pytest.mark.rule("V1-AUTH-01", "V1-AUTH-02", "V1-AUTH-03", "NAM-03")
    def test_are_a_session_class_and_those_of_drf_by_default(self, settings):
        settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [BASIC]}
        inactive, cross_domain = (
            "SessionAuthenticationAllowInactiveUser",
            "EnrollmentCrossDomainSessionAuth",
        )

        for view, name in {
            EnrollmentView: inactive,
            CourseEnrollmentsApiListView: inactive,
            EnrollmentListView: cross_domain,
            EnrollmentUserRolesView: cross_domain,
        }.items():
            names = [one.__name__ for one in view.authentication_classes]
            assert names == [name, "BasicAuthentication"]
        assert EnrollmentCourseDetailView.authentication_classes == []
        assert EnrollmentCourseDetailView.permission_classes == []

    def test_of_drf_authenticate_by_default(self, course):
        make_user("ada", password="secret")
        credentials = b64encode(f"{username('ada')}:secret".encode()).decode()

        response = post(
            None, wish(course), headers={"Authorization": f"Basic {credentials}"}
        )

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")

    def test_are_read_at_each_request(self, ada, settings):
        client = client_of(ada)
        before = client.get(ENROLLMENT).status_code

        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [BY_HEADER]

        assert (before, client.get(ENROLLMENT).status_code) == (200, 401)
        assert client.get(ENROLLMENT, headers={"X-Name": "bea"}).status_code == 200

    def test_that_cannot_be_imported_are_left_out(self, ada, settings, caplog):
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = ["no.such.Class", OURS]

        assert get(ada).status_code == 200
        assert get(None).status_code == 401
        assert "no.such.Class" in caplog.text

    @pytest.mark.parametrize("classes", [OURS, 7, [None], {"a": 1}])
    def test_of_the_wrong_type_authenticate_no_user(self, ada, settings, classes):
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = classes

        assert get(ada).status_code == 401

    def test_may_be_those_of_a_subclass(self):
        class Theirs(EnrollmentListView):
            authentication_classes = [SessionAuthenticationAllowInactiveUser]

        classes = [type(one) for one in Theirs().get_authenticators()]
        assert classes == [SessionAuthenticationAllowInactiveUser]

    @pytest.mark.rule("V1-AUTH-12")
    def test_let_permissions_of_a_subclass_refuse_with_a_403(self, ada, rf):
        class Theirs(EnrollmentListView):
            permission_classes = [IsAdminUser]

        request = rf.get(ENROLLMENT)
        request.user = ada

        response = Theirs.as_view()(request)

        assert response.status_code == 403
        assert response.data == {
            "detail": "You do not have permission to perform this action."
        }


class TestInactiveUser:
    @pytest.mark.rule("V1-AUTH-13", "V1-AUTH-17")
    def test_may_do_what_active_users_may(self, ada, course, settings):
        settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE
        learner = make_user("learner", is_active=False)
        staff = make_user("staff", is_active=False, is_staff=True)

        assert ask(learner, course).status_code == 200
        assert len(get(learner).json()) == 1
        assert ask(staff, course, user=username("ada")).status_code == 200

    def test_has_no_session_with_the_backend_of_django(self, course):
        assert ask(make_user("ada", is_active=False), course).status_code == 401


class TestCsrf:
    @pytest.fixture
    def client(self, ada):
        return client_of(ada, enforce_csrf_checks=True)

    @staticmethod
    def enroll(client, course, token: str = "", **headers) -> int:
        if token:
            headers["X-CSRFToken"] = token
        return client.post(
            ENROLLMENT,
            wish(course),
            "application/json",
            headers=headers,
            secure="Referer" in headers,
        ).status_code

    @pytest.mark.rule("V1-AUTH-14")
    def test_token_is_needed_for_changes(self, client, course):
        with nothing_written():
            codes = [self.enroll(client, course, token) for token in ("", "x" * 32)]
        refused = client.post(ENROLLMENT)
        assert client.get(ENROLLMENT).status_code == 200
        token = client.cookies["csrftoken"].value
        codes += [self.enroll(client, course, one) for one in ("y" * 32, token)]

        assert codes == [403, 403, 403, 200]
        assert refused.json()["detail"].startswith("CSRF Failed: ")

    @pytest.mark.rule("V1-AUTH-14")
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "enrollment_allowed/"),
            ("DELETE", "enrollment_allowed/"),
            ("POST", "unenroll/"),
        ],
    )
    def test_token_is_needed_in_every_view(self, boss, method, path):
        boss.is_superuser = True
        boss.save()
        client = client_of(boss, enforce_csrf_checks=True)
        body = '{"username": "x", "email": "a@b.org", "course_id": "a"}'

        with nothing_written():
            response = client.generic(method, f"{ROOT}{path}", body, "application/json")

        assert response.status_code == 403

    @pytest.mark.rule("V1-AUTH-14")
    def test_token_is_missed_whatever_the_body(self, client):
        for body in ("null", "[" * 100_000, "{"):
            response = client.post(ENROLLMENT, body, "application/json")

            assert response.status_code in {400, 403}

    @pytest.mark.rule("V1-AUTH-15")
    @pytest.mark.parametrize("has_origin", [True, False])
    def test_token_is_needed_from_trusted_origins_too(
        self, client, course, settings, has_origin
    ):
        settings.CSRF_TRUSTED_ORIGINS = ["https://learn.example.org"]
        client.get(ENROLLMENT, secure=True)
        token = client.cookies["csrftoken"].value

        codes = []
        for origin in ("https://learn.example.org", "https://evil.example.org"):
            headers = {"Origin": origin} if has_origin else {}
            headers["Referer"] = f"{origin}/page"
            codes += [
                self.enroll(client, course, one, **headers) for one in (token, "x" * 32)
            ]

        assert codes == [200, 403, 403, 403]
