"""Answers that neither the host's settings nor a language change (rules V1-ERR)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.utils import translation
from rest_framework.response import Response

from django_enrollments.errors import EnrollmentNotAllowed
from tests.factories import (
    make_course,
    make_modes,
    make_user,
)
from tests.http import ENROLLMENT, ROOT, ask, client_of, get, put

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db


@pytest.fixture
def _german() -> Iterator[None]:
    with translation.override("de"):
        yield


@pytest.fixture
def course() -> Any:
    course = make_course()
    make_modes(course, "audit")
    return course


@pytest.mark.usefixtures("_german")
class TestLanguage:
    @pytest.mark.rule("V1-AUTH-11")
    def test_who_is_nobody_is_told_in_english(self) -> None:
        response = get(None)

        assert response.status_code == 401
        assert response.json() == {
            "detail": "Authentication credentials were not provided."
        }

    @pytest.mark.rule("V1-AUTH-12", "V1-ERR-04")
    def test_who_may_not_is_told_in_english(self) -> None:
        response = get(make_user("ada"), "enrollments/")

        assert response.status_code == 403
        assert response.json() == {
            "developer_message": "You do not have permission to perform this action."
        }

    @pytest.mark.rule("V1-THR-07")
    def test_who_asks_too_often_is_told_in_english(self, settings: Any) -> None:
        settings.ENROLLMENTS_THROTTLE_RATES = {"user": "1/minute", "staff": "1/minute"}
        ada = make_user("ada")
        get(ada)

        response = get(ada)

        assert response.status_code == 429
        text = response.json()["detail"]
        assert text.startswith("Request was throttled. Expected available in ")

    @pytest.mark.rule("V1-URL-14")
    def test_a_method_that_there_is_not_is_told_in_english(self) -> None:
        response = client_of(make_user("ada")).put(ENROLLMENT)

        assert response.status_code == 405
        assert response.json() == {"detail": 'Method "PUT" not allowed.'}

    @pytest.mark.rule("V1-ERR-03")
    @pytest.mark.parametrize("path", ["enrollment", "unenroll/", "enrollment_allowed/"])
    def test_a_type_that_nobody_reads_is_told_in_english(self, path: str) -> None:
        client = client_of(make_user("boss", is_superuser=True, is_staff=True))

        response = client.post(f"{ROOT}{path}", b"<a/>", "text/xml")

        assert response.status_code == 415
        told = {"detail": 'Unsupported media type "text/xml" in request.'}
        assert response.json() == told

    def test_a_filter_of_the_hosts_keeps_the_language(
        self, settings: Any, course: Any
    ) -> None:
        heard = []

        def refuse(action: str, **context: Any) -> None:
            heard.append(translation.get_language())
            raise EnrollmentNotAllowed("Nein.")

        settings.ENROLLMENTS_FILTERS = [refuse]

        ask(make_user("ada"), course)

        assert {*heard} == {"de"}
        assert translation.get_language() == "de"


class TestExceptionHandler:
    @pytest.mark.rule("V1-ERR-03")
    def test_a_host_s_own_changes_nothing(self, settings: Any) -> None:
        settings.REST_FRAMEWORK = {
            **getattr(django_settings, "REST_FRAMEWORK", {}),
            "EXCEPTION_HANDLER": f"{__name__}.wrap",
        }
        boss = make_user("boss", is_superuser=True, is_staff=True)

        assert list(get(None).json()) == ["detail"]
        response = get(boss, "enrollments/", cursor="x")

        assert response.json() == {"developer_message": "Invalid cursor"}


def wrap(error: Exception, context: Any) -> Response:
    return Response({"errors": [str(error)]}, status=418)


class TestRawQueries:
    @pytest.mark.rule("V1-ADM-21")
    def test_links_keep_letters_that_were_sent_as_they_are(self, settings: Any) -> None:
        settings.ENROLLMENTS_USERNAME_PATTERN = ".+"
        boss = make_user("boss", is_superuser=True, is_staff=True)
        zoe = make_user("zo\xeb")
        for number in range(3):
            put(zoe, make_course(f"course-v1:edX+Zoe{number}+2020"))
        client = client_of(boss)
        # As servers hand on what curl sends: bytes, read as Latin-1.
        name = zoe.get_username().encode().decode("latin-1")
        query = f"username={name}&page_size=2"
        first = client.get(f"{ROOT}enrollments/", QUERY_STRING=query).json()

        second = client.get(first["next"]).json()

        assert [len(page["results"]) for page in (first, second)] == [2, 1]
        assert [*second["results"][0].values()][3] == zoe.get_username()
