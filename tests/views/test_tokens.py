"""Requests that carry a token of another library (rules V1-AUTH-01, V1-AUTH-19)."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as settings_of_django
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from django_enrollments.authentication import (
    BearerAuthenticationAllowInactiveUser,
    JwtAuthentication,
)
from tests.factories import make_course, make_modes, make_user, username
from tests.http import ENROLLMENT, client_of, post, wish
from tests.watching import state_of

pytestmark = pytest.mark.django_db

MODULE = "django_enrollments.authentication"
JWT = f"{MODULE}.JwtAuthentication"
STOCK_JWT = "rest_framework_simplejwt.authentication.JWTAuthentication"
LOOSE = [{"user_id": True}, {"user_id": 1.0}]
BEARER = f"{MODULE}.BearerAuthenticationAllowInactiveUser"
SESSION = f"{MODULE}.SessionAuthenticationAllowInactiveUser"


@pytest.fixture(autouse=True)
def _classes(settings: Any) -> None:
    settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [JWT, BEARER, SESSION]


@pytest.fixture
def ada() -> Any:
    return make_user("ada")


def get(header: str | None) -> Any:
    headers = {} if header is None else {"Authorization": header}
    return client_of().get(ENROLLMENT, headers=headers)


class TestJwt:
    @pytest.fixture(autouse=True)
    def _library(self, settings: Any) -> None:
        reason = "The extra jwt is not installed."
        pytest.importorskip("rest_framework_simplejwt", reason=reason)
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [JWT, SESSION]

    def token_of(self, user: Any, **claims: Any) -> str:
        from rest_framework_simplejwt.tokens import AccessToken

        token = AccessToken.for_user(user)
        token.payload.update(claims)
        return str(token)

    @pytest.mark.rule("V1-AUTH-01")
    @pytest.mark.parametrize("kind", ["JWT", "Bearer", "jwt", "BEARER"])
    def test_lets_in_by_either_header(self, ada: Any, kind: str) -> None:
        course = make_course()
        make_modes(course, "audit")
        header = f"{kind} {self.token_of(ada)}"

        response = post(None, wish(course), headers={"Authorization": header})

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")
        assert state_of(ada, course) == ("audit", True)

    @pytest.mark.rule("V1-AUTH-14")
    def test_needs_no_csrf_token(self, ada: Any) -> None:
        client = client_of(enforce_csrf_checks=True)
        headers = {"Authorization": f"JWT {self.token_of(ada)}"}

        assert client.post(ENROLLMENT, headers=headers).status_code == 400

    @pytest.mark.rule("V1-AUTH-11")
    @pytest.mark.parametrize(
        "header",
        [
            "JWT",
            "JWT a b",
            "JWT a",
            "JWT a.b.c",
            "Bearer a.b.c",
            "Bearer ..",
            "JWT ..",
            "JWT \xff",
            "Bearer",
            "Bearer a",
            "Bearer a b",
            "Basic YTpi",
            "",
            " ",
        ],
    )
    def test_what_is_no_token_is_a_401(self, header: str) -> None:
        response = get(header)

        assert response.status_code == 401
        assert response["WWW-Authenticate"] == 'JWT realm="api"'
        assert response.json()["detail"]

    @pytest.mark.parametrize("kind", [JWT, STOCK_JWT])
    @pytest.mark.parametrize(
        "claims",
        [
            {"user_id": odd}
            for odd in ([1], [], {"a": 1}, True, 1.0, 1e400, None, "", "\ud800", 2**70)
        ]
        + [
            {"exp": odd}
            for odd in ([1], {}, None, "x", 2**62, 10**20, 10**400, 1e400, True)
        ]
        + [{"token_type": ["access"]}, {"iat": [1]}, {"nbf": {}}, {"nbf": 1e400}]
        + [{"jti": [1], "user_id": ["x"]}, {"user_id": [[[[1]]]]}],
        ids=lambda claims: str(claims)[:40],
    )
    def test_contract_9_odd_claims_are_a_401(
        self, ada: Any, settings: Any, kind: str, claims: dict[str, Any]
    ) -> None:
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [kind]
        token = self.signed({**self.payload_of(ada), **claims})
        client = client_of(raise_request_exception=False)

        response = client.get(ENROLLMENT, headers={"Authorization": f"Bearer {token}"})

        # The library itself takes True for the key 1, which may be somebody's.
        assert response.status_code == 401 or (kind == STOCK_JWT and claims in LOOSE)
        assert response.status_code < 500

    @pytest.mark.parametrize("kind", [JWT, STOCK_JWT])
    @pytest.mark.parametrize("text", ["[" * 6000, '{"a":' * 3000, "[]", "1", "null"])
    def test_contract_9_a_header_that_is_no_object_is_a_401(
        self, settings: Any, kind: str, text: str
    ) -> None:
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [kind]
        part = urlsafe_b64encode(text.encode()).decode().rstrip("=")
        client = client_of(raise_request_exception=False)

        for token in (f"{part}.e30.e30", f"e30.{part}.e30"):
            headers = {"Authorization": f"Bearer {token}"}

            assert client.get(ENROLLMENT, headers=headers).status_code == 401

    def payload_of(self, user: Any) -> dict[str, Any]:
        from rest_framework_simplejwt.tokens import AccessToken

        return dict(AccessToken.for_user(user).payload)

    def signed(self, payload: Any) -> str:
        import jwt

        key = settings_of_django.SECRET_KEY
        text = json.dumps(payload).encode()
        return jwt.PyJWS().encode(text, key, "HS256", headers={"typ": "JWT"})

    @pytest.mark.rule("V1-AUTH-11")
    def test_an_expired_one_is_a_401(self, ada: Any) -> None:
        past = int((timezone.now() - timedelta(days=1)).timestamp())

        response = get(f"JWT {self.token_of(ada, exp=past)}")

        assert response.status_code == 401
        assert response.json()["code"] == "token_not_valid"

    @pytest.mark.rule("V1-AUTH-11")
    @pytest.mark.parametrize("key", ["", "nobody", "\x00", "9" * 40, None, 10**30])
    def test_one_of_nobody_is_a_401(self, ada: Any, key: Any) -> None:
        response = get(f"JWT {self.token_of(ada, user_id=key)}")

        assert response.status_code == 401

    def test_inactive_users_are_up_to_the_library(self, ada: Any) -> None:
        ada.is_active = False
        ada.save()

        assert get(f"JWT {self.token_of(ada)}").status_code == 401

    def test_one_of_another_secret_is_a_401(self, ada: Any, settings: Any) -> None:
        token = self.token_of(ada)

        head, _, signature = token.rpartition(".")

        assert get(f"JWT {head}.{signature[::-1]}").status_code == 401
        assert get(f"JWT {token}").status_code == 200


class TestBearer:
    @pytest.fixture(autouse=True)
    def _library(self, settings: Any) -> None:
        reason = "The extra oauth is not installed."
        pytest.importorskip("oauth2_provider", reason=reason)
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [BEARER, SESSION]

    def token_of(self, user: Any, **fields: Any) -> str:
        model = apps.get_model("oauth2_provider", "AccessToken")
        fields.setdefault("expires", timezone.now() + timedelta(hours=1))
        token = model.objects.create(user=user, token="a-token", scope="", **fields)
        return token.token

    @pytest.mark.rule("V1-AUTH-01")
    @pytest.mark.parametrize("kind", ["Bearer", "bearer"])
    def test_lets_in(self, ada: Any, kind: str) -> None:
        course = make_course()
        make_modes(course, "audit")
        header = f"{kind} {self.token_of(ada)}"

        response = post(None, wish(course), headers={"Authorization": header})

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")

    @pytest.mark.rule("V1-AUTH-01")
    def test_lets_in_who_is_not_active(self, ada: Any) -> None:
        ada.is_active = False
        ada.save()

        assert get(f"Bearer {self.token_of(ada)}").status_code == 200

    @pytest.mark.rule("V1-AUTH-14")
    def test_needs_no_csrf_token(self, ada: Any) -> None:
        client = client_of(enforce_csrf_checks=True)
        headers = {"Authorization": f"Bearer {self.token_of(ada)}"}

        assert client.post(ENROLLMENT, headers=headers).status_code == 400

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
    def test_tells_what_is_wrong(self, ada: Any, header: str, code: str) -> None:
        self.token_of(ada)

        response = get(header)

        assert response.status_code == 401
        assert response["WWW-Authenticate"] == 'Bearer realm="api"'
        body = response.json()
        assert body.pop("developer_message")
        assert body == {"error_code": code}

    @pytest.mark.rule("V1-AUTH-19")
    def test_tells_that_one_has_expired(self, ada: Any) -> None:
        token = self.token_of(ada, expires=timezone.now() - timedelta(seconds=1))

        response = get(f"Bearer {token}")

        assert response.status_code == 401
        assert response.json()["error_code"] == "token_expired"

    @pytest.mark.rule("V1-AUTH-19")
    def test_tells_that_one_belongs_to_no_user(self) -> None:
        response = get(f"Bearer {self.token_of(None)}")

        assert response.status_code == 401
        assert response.json()["error_code"] == "user_is_disabled"

    def test_a_strange_query_does_not_disturb(self, ada: Any) -> None:
        headers = {"Authorization": f"Bearer {self.token_of(ada)}"}

        for query in ("a=%zz", "%", "a=\\x", "bearer_token=b&=&&;"):
            response = client_of().get(f"{ENROLLMENT}?{query}", headers=headers)

            assert response.status_code == 200

    def test_no_header_is_no_failure(self, ada: Any) -> None:
        assert get(None).json()["detail"].startswith("Authentication credentials")
        assert client_of(ada).get(ENROLLMENT).status_code == 200

    def test_an_app_that_is_not_installed_is_named(self, settings: Any) -> None:
        settings.INSTALLED_APPS = [
            app for app in settings.INSTALLED_APPS if app != "oauth2_provider"
        ]

        with pytest.raises(ImproperlyConfigured, match="'oauth2_provider' in INST"):
            BearerAuthenticationAllowInactiveUser()


@pytest.mark.rule("V1-AUTH-01")
def test_a_bearer_token_is_taken_by_whom_it_belongs_to(ada: Any) -> None:
    reason = "The extras jwt and oauth are not both installed."
    pytest.importorskip("rest_framework_simplejwt", reason=reason)
    pytest.importorskip("oauth2_provider", reason=reason)
    token = TestBearer().token_of(ada)

    assert get(f"Bearer {token}").status_code == 200
    assert get("Bearer other").json()["error_code"] == "token_nonexistent"
    assert client_of(ada).get(ENROLLMENT).status_code == 200


class TestWithoutExtras:
    """Each of them alone in a process where its library cannot be imported."""

    @pytest.mark.parametrize(
        ("kind", "library", "extra"),
        [
            (JwtAuthentication, "rest_framework_simplejwt", "jwt"),
            (BearerAuthenticationAllowInactiveUser, "oauth2_provider", "oauth"),
        ],
    )
    def test_use_tells_what_to_install(
        self, monkeypatch: Any, kind: type, library: str, extra: str
    ) -> None:
        # What Python itself writes there for a module that must not be imported.
        for module in [one for one in sys.modules if one.split(".")[0] == library]:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setitem(sys.modules, library, None)

        with pytest.raises(ImproperlyConfigured) as caught:
            kind()

        assert f'pip install "django-enrollments[{extra}]"' in str(caught.value)
        assert library in str(caught.value)

    def test_import_needs_none(self) -> None:
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
