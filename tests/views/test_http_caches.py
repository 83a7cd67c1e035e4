"""What caches between the API and its callers keep (contract §9, "HTTP caches")."""

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
from tests.factories import course_id_of, make_course, make_modes, make_user, username
from tests.http import NOWHERE, ROOT, client_of, put

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
MODULE = "django_enrollments.authentication"
CLASSES = [
    *([f"{MODULE}.JwtAuthentication"] if find_spec("rest_framework_simplejwt") else []),
    *(
        [f"{MODULE}.BearerAuthenticationAllowInactiveUser"]
        if find_spec("oauth2_provider")
        else []
    ),
    f"{MODULE}.SessionAuthenticationAllowInactiveUser",
]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PATCH"]


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.ENROLLMENTS_AUTHENTICATION_CLASSES = CLASSES
    settings.ENROLLMENTS_API_KEYS = [KEY]
    settings.ENROLLMENTS_API_KEY_HEADER = KEY_HEADER
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}


@pytest.fixture
def course() -> Any:
    course = make_course("django-101")
    make_modes(course, "audit")
    return course


@pytest.fixture
def callers(course: Any) -> dict[str, tuple[Any, dict[str, str]]]:
    learner, member = make_user("learner"), make_user("member")
    boss = make_user("boss", is_staff=True, is_superuser=True)
    put(learner, course)
    CourseAccessRole.objects.create(
        user=member, org="", course_id=course_id_of(course), role="staff"
    )
    callers: dict[str, tuple[Any, dict[str, str]]] = {
        "anonymous": (None, {}),
        "learner": (learner, {}),
        "team": (member, {}),
        "staff": (boss, {}),
        "key": (None, {KEY_HEADER: KEY}),
        "team with a key": (member, {KEY_HEADER: KEY}),
    }
    for name, user in (("learner", learner), ("team", member), ("staff", boss)):
        if find_spec("rest_framework_simplejwt"):
            callers[f"{name} by JWT"] = (None, by_jwt("JWT", user))
            callers[f"{name} by bearer JWT"] = (None, by_jwt("Bearer", user))
        if find_spec("oauth2_provider"):
            callers[f"{name} by OAuth"] = (None, by_oauth(user))
    callers["nobody by bearer token"] = (None, {"Authorization": "Bearer unknown"})
    callers["nobody by JWT"] = (None, {"Authorization": "JWT a.b.c"})
    return callers


def by_jwt(kind: str, user: Any) -> dict[str, str]:
    from rest_framework_simplejwt.tokens import AccessToken

    return {"Authorization": f"{kind} {AccessToken.for_user(user)}"}


def by_oauth(user: Any) -> dict[str, str]:
    token = apps.get_model("oauth2_provider", "AccessToken").objects.create(
        user=user,
        token=f"token-{user.pk}",
        expires=timezone.now() + timedelta(hours=1),
        scope="",
    )
    return {"Authorization": f"Bearer {token.token}"}


def url_of(path: str, course: Any) -> str:
    return ROOT + path.format(course=course_id_of(course), learner=username("learner"))


def is_personal(answer: Any) -> bool:
    varies = {name.strip().lower() for name in answer["Vary"].split(",")}
    assert answer["Cache-Control"] == "private, no-store"
    return {"authorization", "cookie", KEY_HEADER.lower()} <= varies


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_answers_that_depend_on_the_requester_are_marked_private(
    path: str, method: str, course: Any, callers: Any
) -> None:
    url = url_of(path, course)
    for user, headers in callers.values():
        answer = client_of(user).generic(method, url, headers=headers)

        assert is_personal(answer), (answer.status_code, answer.headers)


@pytest.mark.parametrize("path", PATHS)
def test_a_cache_of_the_whole_site_keeps_no_answer_for_another_caller(
    path: str, course: Any, callers: Any, settings: Any
) -> None:
    url = url_of(path, course)

    def ask(name: str) -> tuple[int, bytes]:
        user, headers = callers[name]
        answer = client_of(user).get(url, headers=headers)
        return answer.status_code, answer.content

    expected = {name: ask(name) for name in callers}
    if path == "enrollment?user={learner}":
        assert expected["team"] == expected["learner"] != expected["anonymous"]
        assert all(
            expected[name] == expected["team"] for name in callers if "team" in name
        )
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    for names in ([*callers], [*reversed(callers)]):
        cache.clear()
        for name in [*names, *names]:
            assert ask(name) == expected[name], name


def test_a_course_is_the_same_for_everybody(course: Any) -> None:
    answer = client_of().get(f"{ROOT}course/{course_id_of(course)}")

    assert answer.status_code == 200
    assert "Cache-Control" not in answer


class TenantAdapter(type(get_course_adapter())):  # type: ignore[misc]
    """Shows courses to whom a middleware of the host lets."""

    def get_queryset(self) -> Any:
        return super().get_queryset().all()


@pytest.mark.parametrize("path", ["course/{course}", f"course/{NOWHERE}"])
def test_a_course_is_personal_where_an_adapter_narrows_courses(
    path: str, course: Any, settings: Any
) -> None:
    url = url_of(path, course)
    for name in ("TenantAdapter", "NoAdapter"):
        settings.ENROLLMENTS_COURSE_ADAPTER = f"{__name__}.{name}"

        answer = client_of().get(url)

        assert answer.status_code < 500
        assert is_personal(answer)


def test_a_refusal_of_too_many_requests_is_personal(course: Any, settings: Any) -> None:
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": "1/minute"}
    url = f"{ROOT}course/{course_id_of(course)}"
    client_of().get(url)

    answer = client_of().get(url)

    assert answer.status_code == 429
    assert is_personal(answer)


@pytest.mark.parametrize("name", ["X-Key\n", "X-Key\r\nSet-Cookie: a=b", "x y", "é"])
def test_a_name_that_no_header_has_is_an_error_of_the_checks_alone(
    name: str, settings: Any
) -> None:
    settings.ENROLLMENTS_API_KEY_HEADER = name

    answer = client_of().get(f"{ROOT}enrollment")

    assert answer.status_code == 401
    assert "X-Edx-Api-Key" in answer["Vary"]
    (error,) = check_types()
    assert error.id == "django_enrollments.E001"
