"""Responses in HTTP caches between the API and its clients."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.utils import timezone

from django_enrollments.checks import check_types
from django_enrollments.models import CourseAccessRole, get_course_adapter
from tests.factories import course_id_of, make_user, username
from tests.http import NOWHERE, ROOT, client_of, put
from tests.sampling import spread

pytestmark = pytest.mark.django_db

KEY = "server-to-server"
KEY_HEADER = "X-School-Key"
PATHS = [
    "enrollment",
    "enrollment?user=somebody",
    "enrollment/{course}",
    "enrollment?user={learner}",
    "enrollment/{learner},{course}",
    "enrollments/",
    "course/{course}/eligibility",
    f"course/{NOWHERE}/eligibility",
    "roles/",
    "enrollment_allowed/",
    "enrollment_allowed/?email=somebody@example.com",
    "unenroll/",
]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PATCH"]
MODULE = "django_enrollments.authentication"
HAS_JWT, HAS_OAUTH = find_spec("rest_framework_simplejwt"), find_spec("oauth2_provider")


@pytest.fixture(autouse=True)
def _settings(settings):
    settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
        *([f"{MODULE}.JwtAuthentication"] if HAS_JWT else []),
        *([f"{MODULE}.BearerAuthenticationAllowInactiveUser"] if HAS_OAUTH else []),
        f"{MODULE}.SessionAuthenticationAllowInactiveUser",
    ]
    settings.ENROLLMENTS_API_KEYS = [KEY]
    settings.ENROLLMENTS_API_KEY_HEADER = KEY_HEADER
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}


@pytest.fixture
def requesters(course) -> dict[str, tuple[Any, dict[str, str]]]:
    """Users with a session and headers, by name."""
    learner, member = make_user("learner"), make_user("member")
    staff = make_user("staff", is_staff=True, is_superuser=True)
    put(learner, course)
    CourseAccessRole.objects.create(
        user=member, org="", course_id=course_id_of(course), role="staff"
    )
    requesters = {
        "anonymous": (None, {}),
        "key": (None, {KEY_HEADER: KEY}),
        "team with a key": (member, {KEY_HEADER: KEY}),
        "unknown bearer token": (None, {"Authorization": "Bearer unknown"}),
        "unknown JWT": (None, {"Authorization": "JWT a.b.c"}),
    }
    for name, user in (("learner", learner), ("team", member), ("staff", staff)):
        requesters[name] = (user, {})
        if HAS_JWT:
            requesters[f"{name} by JWT"] = (None, by_jwt("JWT", user))
            requesters[f"{name} by bearer JWT"] = (None, by_jwt("Bearer", user))
        if HAS_OAUTH:
            requesters[f"{name} by OAuth"] = (None, by_oauth(user))
    return requesters


def by_jwt(kind: str, user) -> dict[str, str]:
    from rest_framework_simplejwt.tokens import AccessToken

    return {"Authorization": f"{kind} {AccessToken.for_user(user)}"}


def by_oauth(user) -> dict[str, str]:
    token = apps.get_model("oauth2_provider", "AccessToken").objects.create(
        user=user,
        token=f"token-{user.pk}",
        expires=timezone.now() + timedelta(hours=1),
        scope="",
    )
    return {"Authorization": f"Bearer {token.token}"}


def url_of(path: str, course) -> str:
    return ROOT + path.format(course=course_id_of(course), learner=username("learner"))


def assert_personal(response):
    assert response.status_code < 500
    assert response["Cache-Control"] == "private, no-store"
    varies = {name.strip().lower() for name in response["Vary"].split(",")}
    assert {"authorization", "cookie", KEY_HEADER.lower()} <= varies


@pytest.mark.parametrize(("path", "methods"), spread(PATHS, METHODS))
def test_responses_that_depend_on_the_requester_are_private(
    path, methods, course, requesters
):
    for user, headers in requesters.values():
        for method in methods:
            response = client_of(user).generic(
                method, url_of(path, course), headers=headers
            )
            assert_personal(response)


@pytest.mark.parametrize("path", PATHS)
def test_caches_of_the_whole_site_keep_no_response_for_others(
    path, course, requesters, settings
):
    def ask(name: str) -> tuple[int, bytes]:
        user, headers = requesters[name]
        response = client_of(user).get(url_of(path, course), headers=headers)
        return response.status_code, response.content

    expected = {name: ask(name) for name in requesters}
    if path == "enrollment?user={learner}":
        assert expected["team"] == expected["learner"] != expected["anonymous"]
        team = [name for name in requesters if name.startswith("team")]
        assert all(expected[name] == expected["team"] for name in team)
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    for names in ([*requesters], [*reversed(requesters)]):
        cache.clear()
        for name in [*names, *names]:
            assert ask(name) == expected[name], name


def test_details_of_a_course_are_public(course):
    response = client_of().get(url_of("course/{course}", course))

    assert response.status_code == 200
    assert "Cache-Control" not in response


class TenantAdapter(type(get_course_adapter())):  # type: ignore[misc]
    """Narrows courses, as a host with tenants does."""

    def get_queryset(self):
        return super().get_queryset().all()


@pytest.mark.parametrize("path", ["course/{course}", f"course/{NOWHERE}"])
@pytest.mark.parametrize("name", ["TenantAdapter", "NoAdapter"])
def test_details_are_private_where_an_adapter_narrows_courses(
    path, name, course, settings
):
    settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.{name}"

    assert_personal(client_of().get(url_of(path, course)))


def test_throttled_responses_are_private(course, settings):
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": "1/minute"}
    url = url_of("course/{course}", course)
    client_of().get(url)

    response = client_of().get(url)

    assert response.status_code == 429
    assert_personal(response)


@pytest.mark.parametrize("name", ["X-Key\n", "X-Key\r\nSet-Cookie: a=b", "x y", "é"])
def test_an_invalid_header_name_is_an_error_of_the_checks_alone(name, settings):
    settings.ENROLLMENTS_API_KEY_HEADER = name

    response = client_of().get(f"{ROOT}enrollment")

    assert response.status_code == 401
    assert "X-Edx-Api-Key" in response["Vary"]
    (error,) = check_types()
    assert error.id == "django_enrollments.E001"
