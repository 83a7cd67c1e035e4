"""Requests with a token of another library."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest
from django.apps import apps
from django.conf import settings as settings_of_django
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from django_enrollments.authentication import (
    BearerAuthenticationAllowInactiveUser,
    JwtAuthentication,
)
from tests.factories import username
from tests.http import ENROLLMENT, client_of, post, wish
from tests.watching import state_of

pytestmark = pytest.mark.django_db

MODULE = "django_enrollments.authentication"
JWT = f"{MODULE}.JwtAuthentication"
STOCK_JWT = "rest_framework_simplejwt.authentication.JWTAuthentication"
BEARER = f"{MODULE}.BearerAuthenticationAllowInactiveUser"
SESSION = f"{MODULE}.SessionAuthenticationAllowInactiveUser"


def get(header: str | None):
    headers = {} if header is None else {"Authorization": header}
    return client_of(raise_request_exception=False).get(ENROLLMENT, headers=headers)


def enroll(course, header: str):
    return post(None, wish(course), headers={"Authorization": header})


def deactivate(user):
    user.is_active = False
    user.save()


def assert_needs_no_csrf_token(header: str):
    client = client_of(enforce_csrf_checks=True)

    response = client.post(ENROLLMENT, headers={"Authorization": header})

    assert response.status_code == 400


class TestJwt:
    @pytest.fixture(autouse=True)
    def _library(self, settings):
        reason = "The extra jwt is not installed."
        pytest.importorskip("rest_framework_simplejwt", reason=reason)
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [JWT, SESSION]

    @staticmethod
    def token_of(user, **claims) -> str:
        import jwt
        from rest_framework_simplejwt.tokens import AccessToken

        payload = {**AccessToken.for_user(user).payload, **claims}
        key, text = settings_of_django.SECRET_KEY, json.dumps(payload).encode()
        return jwt.PyJWS().encode(text, key, "HS256", headers={"typ": "JWT"})

    @pytest.mark.rule("V1-AUTH-01")
    @pytest.mark.parametrize("kind", ["JWT", "Bearer", "jwt", "BEARER"])
    def test_authenticates_in_either_header(self, ada, course, kind):
        response = enroll(course, f"{kind} {self.token_of(ada)}")

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")
        assert state_of(ada, course) == ("audit", True)

    @pytest.mark.rule("V1-AUTH-14")
    def test_needs_no_csrf_token(self, ada):
        assert_needs_no_csrf_token(f"JWT {self.token_of(ada)}")

    @pytest.mark.rule("V1-AUTH-11")
    @pytest.mark.parametrize(
        "header",
        [
            *("JWT", "JWT a b", "JWT a", "JWT a.b.c", "Bearer a.b.c", "Bearer .."),
            *("JWT ..", "JWT \xff", "Bearer", "Bearer a", "Bearer a b", "Basic YTpi"),
            *("", " "),
        ],
    )
    def test_that_is_none_is_a_401(self, header):
        response = get(header)

        assert response.status_code == 401
        assert response["WWW-Authenticate"] == 'JWT realm="api"'
        assert response.json()["detail"]

    @pytest.mark.parametrize("kind", [JWT, STOCK_JWT])
    @pytest.mark.parametrize(
        "claims",
        [
            *(
                {"user_id": value}
                for value in (
                    *([1], [], {"a": 1}, True, 1.0, 1e400, None, "", "\ud800", 2**70),
                    *("nobody", "\x00", "9" * 40, 10**30, [[[[1]]]]),
                )
            ),
            *(
                {"exp": value}
                for value in ([1], {}, None, "x", 2**62, 10**20, 10**400, 1e400, True)
            ),
            *({"token_type": ["access"]}, {"iat": [1]}, {"nbf": {}}, {"nbf": 1e400}),
            {"jti": [1], "user_id": ["x"]},
        ],
        ids=lambda claims: str(claims)[:40],
    )
    def test_with_wrong_claims_is_a_401(self, ada, settings, kind, claims):
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [kind]

        response = get(f"Bearer {self.token_of(ada, **claims)}")

        # The library takes True and 1.0 for the key 1, which may be that of a user.
        is_loose = kind == STOCK_JWT and claims in [{"user_id": True}, {"user_id": 1.0}]
        assert response.status_code == 401 or is_loose
        assert response.status_code < 500

    @pytest.mark.parametrize("kind", [JWT, STOCK_JWT])
    @pytest.mark.parametrize("text", ["[" * 6000, '{"a":' * 3000, "[]", "1", "null"])
    def test_whose_parts_are_no_objects_is_a_401(self, settings, kind, text):
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [kind]
        part = urlsafe_b64encode(text.encode()).decode().rstrip("=")

        for token in (f"{part}.e30.e30", f"e30.{part}.e30"):
            assert get(f"Bearer {token}").status_code == 401

    @pytest.mark.rule("V1-AUTH-11")
    def test_that_has_expired_is_a_401(self, ada):
        past = int((timezone.now() - timedelta(days=1)).timestamp())

        response = get(f"JWT {self.token_of(ada, exp=past)}")

        assert response.status_code == 401
        assert response.json()["code"] == "token_not_valid"

    def test_with_another_signature_is_a_401(self, ada):
        token = self.token_of(ada)
        head, _, signature = token.rpartition(".")

        assert get(f"JWT {head}.{signature[::-1]}").status_code == 401
        assert get(f"JWT {token}").status_code == 200

    def test_of_an_inactive_user_is_a_401_of_the_library(self, ada):
        deactivate(ada)

        assert get(f"JWT {self.token_of(ada)}").status_code == 401


class TestBearer:
    @pytest.fixture(autouse=True)
    def _library(self, settings):
        reason = "The extra oauth is not installed."
        pytest.importorskip("oauth2_provider", reason=reason)
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [BEARER, SESSION]

    @staticmethod
    def token_of(user, **fields) -> str:
        fields.setdefault("expires", timezone.now() + timedelta(hours=1))
        tokens = apps.get_model("oauth2_provider", "AccessToken").objects
        return tokens.create(user=user, token="a-token", scope="", **fields).token

    @pytest.mark.rule("V1-AUTH-01")
    @pytest.mark.parametrize("kind", ["Bearer", "bearer"])
    @pytest.mark.parametrize("is_active", [True, False])
    def test_authenticates_active_and_inactive_users(
        self, ada, course, kind, is_active
    ):
        if not is_active:
            deactivate(ada)

        response = enroll(course, f"{kind} {self.token_of(ada)}")

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")

    @pytest.mark.rule("V1-AUTH-14")
    def test_needs_no_csrf_token(self, ada):
        assert_needs_no_csrf_token(f"Bearer {self.token_of(ada)}")

    @pytest.mark.rule("V1-AUTH-19")
    @pytest.mark.parametrize(
        ("header", "code"),
        [
            ("Bearer", "token_not_provided"),
            ("Bearer ", "token_not_provided"),
            ("Bearer a b", "token_malformed"),
            ("Bearer \xff", "token_malformed"),
            ("Bearer another", "token_nonexistent"),
            ("Bearer A-TOKEN", "token_nonexistent"),
            ("Bearer a.b.c", "token_nonexistent"),
            ("Bearer a\x00", "token_nonexistent"),
            ("Bearer " + "a" * 10_000, "token_nonexistent"),
        ],
    )
    def test_that_is_wrong_is_a_401_with_a_code(self, ada, header, code):
        self.token_of(ada)

        response = get(header)

        assert response.status_code == 401
        assert response["WWW-Authenticate"] == 'Bearer realm="api"'
        body = response.json()
        assert body.pop("developer_message")
        assert body == {"error_code": code}

    @pytest.mark.rule("V1-AUTH-19")
    def test_that_has_expired_or_has_no_user_is_a_401_with_a_code(self, ada):
        past = timezone.now() - timedelta(seconds=1)
        expired = get(f"Bearer {self.token_of(ada, expires=past)}")
        apps.get_model("oauth2_provider", "AccessToken").objects.all().delete()
        without_user = get(f"Bearer {self.token_of(None)}")

        for response, code in (
            (expired, "token_expired"),
            (without_user, "user_is_disabled"),
        ):
            assert response.status_code == 401
            assert response.json()["error_code"] == code

    def test_is_read_whatever_the_query(self, ada):
        headers = {"Authorization": f"Bearer {self.token_of(ada)}"}

        for query in ("a=%zz", "%", "a=\\x", "bearer_token=b&=&&;"):
            response = client_of().get(f"{ENROLLMENT}?{query}", headers=headers)

            assert response.status_code == 200

    def test_is_not_needed_beside_a_session(self, ada):
        assert get(None).json()["detail"].startswith("Authentication credentials")
        assert client_of(ada).get(ENROLLMENT).status_code == 200

    def test_needs_the_app_of_the_library(self, settings):
        settings.INSTALLED_APPS = [
            app for app in settings.INSTALLED_APPS if app != "oauth2_provider"
        ]

        with pytest.raises(ImproperlyConfigured, match="'oauth2_provider' in INST"):
            BearerAuthenticationAllowInactiveUser()


@pytest.mark.rule("V1-AUTH-01")
def test_bearer_tokens_of_both_libraries_are_accepted(ada, settings):
    reason = "The extras jwt and oauth are not both installed."
    pytest.importorskip("rest_framework_simplejwt", reason=reason)
    pytest.importorskip("oauth2_provider", reason=reason)
    settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [JWT, BEARER, SESSION]

    for token in (TestBearer.token_of(ada), TestJwt.token_of(ada)):
        assert get(f"Bearer {token}").status_code == 200
    assert get("Bearer other").json()["error_code"] == "token_nonexistent"
    assert client_of(ada).get(ENROLLMENT).status_code == 200


class TestWithoutExtras:
    @pytest.mark.parametrize(
        ("kind", "library", "extra"),
        [
            (JwtAuthentication, "rest_framework_simplejwt", "jwt"),
            (BearerAuthenticationAllowInactiveUser, "oauth2_provider", "oauth"),
        ],
    )
    def test_classes_name_the_extra_to_install(self, monkeypatch, kind, library, extra):
        # Python itself writes None there for a module that must not be imported.
        for module in [one for one in sys.modules if one.split(".")[0] == library]:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setitem(sys.modules, library, None)

        with pytest.raises(ImproperlyConfigured) as caught:
            kind()

        assert f'pip install "django-enrollments[{extra}]"' in str(caught.value)
        assert library in str(caught.value)

    def test_modules_can_be_imported(self):
        code = (
            "import sys\n"
            "for name in ('rest_framework_simplejwt', 'oauth2_provider', 'jwt',\n"
            "             'oauthlib'):\n"
            "    sys.modules[name] = None\n"
            "import os, django\n"
            "from django.conf import settings\n"
            "settings.configure(INSTALLED_APPS=[\n"
            "    'django.contrib.auth', 'django.contrib.contenttypes',\n"
            "    'rest_framework', 'django_enrollments'], SECRET_KEY='x')\n"
            "django.setup()\n"
            "import django_enrollments.authentication, django_enrollments.urls\n"
        )

        done = subprocess.run(  # noqa: S603 - our own code.
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )

        assert (done.returncode, done.stderr) == (0, "")
