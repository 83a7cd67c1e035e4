"""What caches between the API and its callers keep (contract §9, "HTTP caches")."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import course_id_of, make_course, make_modes, make_user
from tests.http import NOWHERE, ROOT, client_of, put

pytestmark = pytest.mark.django_db

KEY = "server-to-server"
KEY_HEADER = "X-School-Key"
PATHS = [
    "enrollment",
    "enrollment?user=somebody",
    "enrollment/{course}",
    "enrollment/learner,{course}",
    "enrollments/",
    "course/{course}/eligibility",
    f"course/{NOWHERE}/eligibility",
    "roles/",
    "enrollment_allowed/",
    "enrollment_allowed/?email=somebody@example.com",
    "unenroll/",
]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PATCH"]


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
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
    learner = make_user("learner")
    put(learner, course)
    return {
        "anonymous": (None, {}),
        "learner": (learner, {}),
        "staff": (make_user("boss", is_staff=True, is_superuser=True), {}),
        "key": (None, {KEY_HEADER: KEY}),
    }


def is_personal(answer: Any) -> bool:
    varies = {name.strip().lower() for name in answer["Vary"].split(",")}
    assert answer["Cache-Control"] == "private, no-store"
    return {"authorization", "cookie", KEY_HEADER.lower()} <= varies


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_answers_that_depend_on_the_requester_are_marked_private(
    path: str, method: str, course: Any, callers: Any
) -> None:
    url = ROOT + path.format(course=course_id_of(course))
    for user, headers in callers.values():
        answer = client_of(user).generic(method, url, headers=headers)

        assert is_personal(answer), (answer.status_code, answer.headers)


@pytest.mark.parametrize("path", PATHS)
def test_a_cache_of_the_whole_site_keeps_no_answer_for_another_caller(
    path: str, course: Any, callers: Any, settings: Any
) -> None:
    url = ROOT + path.format(course=course_id_of(course))

    def ask(name: str) -> tuple[int, bytes]:
        user, headers = callers[name]
        answer = client_of(user).get(url, headers=headers)
        return answer.status_code, answer.content

    expected = {name: ask(name) for name in callers}
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    for first in callers:
        ask(first)

        assert {name: ask(name) for name in callers} == expected


def test_a_course_is_the_same_for_everybody(course: Any) -> None:
    answer = client_of().get(f"{ROOT}course/{course_id_of(course)}")

    assert answer.status_code == 200
    assert "Cache-Control" not in answer


def test_a_refusal_of_too_many_requests_is_personal(course: Any, settings: Any) -> None:
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": "1/minute"}
    url = f"{ROOT}course/{course_id_of(course)}"
    client_of().get(url)

    answer = client_of().get(url)

    assert answer.status_code == 429
    assert is_personal(answer)
