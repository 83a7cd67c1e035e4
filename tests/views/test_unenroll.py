"""POST unenroll/ over HTTP (rules V1-UNENR, V1-AUTH-18, B-11)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse

from django_enrollments.errors import EnrollmentNotAllowed
from django_enrollments.models import (
    CourseEnrollment,
    EnrollmentEvent,
    UserRetirementStatus,
)
from django_enrollments.permissions import RETIRE_USER
from django_enrollments.views import UnenrollmentView
from django_enrollments.views.base import CanRetireUser
from tests.factories import (
    course_id_of,
    make_course,
    make_mode,
    make_user,
    username,
)
from tests.http import ROOT, client_of, headers_of, put
from tests.watching import event_types, listening, nothing_written, state_of

pytestmark = pytest.mark.django_db

PATH = f"{ROOT}unenroll/"
NOT_SPECIFIED = "Username not specified."
NO_REQUEST = "No retirement request status for username."
FAILED = "An error occurred while unenrolling the user."


@pytest.fixture
def root() -> Any:
    return make_user("root", is_superuser=True)


@pytest.fixture
def ada() -> Any:
    """Somebody who asked to be retired."""
    ada = make_user("ada")
    ask_for_retirement(ada)
    return ada


def ask_for_retirement(user: Any, name: str | None = None, **fields: Any) -> None:
    UserRetirementStatus.objects.create(
        user=user, original_username=name or user.get_username(), **fields
    )


def unenroll(asker: Any, name: Any = None, /, **extra: Any) -> Any:
    return send(asker, {"username": username("ada") if name is None else name}, **extra)


def send(asker: Any, body: Any, **extra: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra.setdefault("content_type", "application/json")
    return client_of(asker).generic("POST", PATH, data, **extra)


def make_courses(count: int) -> list[Any]:
    courses = [make_course(f"course-v1:edX+C{number:03}+R") for number in range(count)]
    for course in courses:
        make_mode(course)
    return courses


class TestUrl:
    @pytest.mark.rule("V1-URL-06", "SEED-DIFF-08")
    def test_is_reversed_by_its_name(self) -> None:
        path = reverse("django_enrollments:unenrollment")

        assert path == PATH
        assert resolve(path).func.cls is UnenrollmentView

    @pytest.mark.rule("NAM-03", "V1-THR-10")
    def test_lists_of_classes(self) -> None:
        assert len(UnenrollmentView.permission_classes) == 2
        assert CanRetireUser in UnenrollmentView.permission_classes
        assert UnenrollmentView.throttle_classes == []

    @pytest.mark.rule("V1-URL-14")
    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_other_methods_are_not_allowed(self, root: Any, method: str) -> None:
        response = getattr(client_of(root), method)(PATH)

        assert response.status_code == 405
        assert response.json() == {"detail": f'Method "{method.upper()}" not allowed.'}


class RetiringBackend:
    """Lets staff retire users, and nobody else, superusers included."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        if perm == RETIRE_USER and not user.is_staff:
            raise PermissionDenied("Not here.")
        return bool(user.is_staff)


class TestWhoMay:
    @pytest.mark.rule("V1-UNENR-01")
    @pytest.mark.parametrize("is_staff", [True, False])
    def test_no_learner_and_no_staff(self, ada: Any, is_staff: bool) -> None:
        (course,) = make_courses(1)
        put(ada, course)
        asker = make_user("asker", is_staff=is_staff)

        with nothing_written():
            response = unenroll(asker)

        assert response.status_code == 403
        assert response.json() == {
            "detail": "You do not have permission to perform this action."
        }

    @pytest.mark.rule("V1-UNENR-01")
    def test_not_even_oneself(self, ada: Any) -> None:
        (course,) = make_courses(1)
        put(ada, course)

        with nothing_written():
            assert unenroll(ada).status_code == 403

    @pytest.mark.rule("V1-AUTH-11")
    def test_nobody_gets_a_401(self, ada: Any) -> None:
        with nothing_written():
            response = unenroll(None)

        assert response.status_code == 401
        assert response["WWW-Authenticate"]

    @pytest.mark.rule("V1-AUTH-18")
    def test_the_service_user_may(self, ada: Any, settings: Any) -> None:
        settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = username("worker")

        assert unenroll(make_user("worker")).status_code == 204

    @pytest.mark.rule("V1-AUTH-18")
    def test_is_what_the_backends_say(self, ada: Any, root: Any, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.RetiringBackend"]

        assert unenroll(root).status_code == 403
        assert unenroll(make_user("boss", is_staff=True)).status_code == 204

    @pytest.mark.parametrize("asker", ["asker", None])
    def test_nobody_else_learns_who_is_to_be_retired(
        self, ada: Any, asker: str | None
    ) -> None:
        (course,) = make_courses(1)
        put(ada, course)
        make_user("bea")
        client = client_of(make_user(asker) if asker else None)
        bodies: list[Any] = [
            {"username": username(name)} for name in ("ada", "bea", "no-one")
        ]

        answers = {
            (response.status_code, response.content, *headers_of(response).items())
            for body in [*bodies, {}, None, []]
            for response in [client.post(PATH, body, "application/json")]
        }

        assert len(answers) == 1

    @pytest.mark.rule("V1-AUTH-14")
    def test_needs_the_csrf_token(self, ada: Any, root: Any) -> None:
        client = client_of(root, enforce_csrf_checks=True)

        response = client.post(PATH, {"username": username("ada")}, "application/json")

        assert response.status_code == 403


class TestUnenroll:
    @pytest.mark.rule("V1-UNENR-05")
    def test_tells_the_courses_left(self, ada: Any, root: Any) -> None:
        first, second, left_before = make_courses(3)
        put(ada, second)
        put(ada, first)
        put(ada, left_before, is_active=False)

        response = unenroll(root)

        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"
        assert response.json() == [course_id_of(first), course_id_of(second)]

    @pytest.mark.rule("V1-UNENR-07")
    def test_leaves_all_and_keeps_the_modes(self, ada: Any, root: Any) -> None:
        first, second = make_courses(2)
        put(ada, first, "verified")
        put(ada, second)
        bea = make_user("bea")
        put(bea, first)

        unenroll(root)

        assert state_of(ada, first) == ("verified", False)
        assert state_of(ada, second) == ("audit", False)
        assert state_of(bea, first) == ("audit", True)

    @pytest.mark.rule("V1-UNENR-07", "V1-UNENR-06")
    def test_a_second_time_has_nothing_to_tell(self, ada: Any, root: Any) -> None:
        (course,) = make_courses(1)
        put(ada, course)

        unenroll(root)
        with nothing_written():
            again = unenroll(root)

        assert (again.status_code, again.content) == (204, b"")

    @pytest.mark.rule("V1-UNENR-04")
    def test_who_is_nowhere_has_nothing_to_tell(self, ada: Any, root: Any) -> None:
        (course,) = make_courses(1)
        put(ada, course, is_active=False)

        response = unenroll(root)

        assert (response.status_code, response.content) == (204, b"")

    @pytest.mark.rule("V1-UNENR-10")
    def test_one_event_for_each_that_was_active(
        self,
        ada: Any,
        root: Any,
        settings: Any,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        stays, left_before = make_courses(2)
        put(ada, stays)
        put(ada, left_before, is_active=False)
        EnrollmentEvent.objects.all()._raw_delete(EnrollmentEvent.objects.db)
        settings.ENROLLMENTS_FILTERS = [refuse]

        with listening() as heard, django_capture_on_commit_callbacks(execute=True):
            response = unenroll(root)

        assert response.status_code == 200
        assert event_types() == ["deactivated"]
        assert [name for name, _ in heard] == ["deactivated"]
        event = EnrollmentEvent.objects.get()
        assert event.source == "retirement"
        assert str(event.actor_id) == str(root.pk)

    @pytest.mark.rule("V1-UNENR-11")
    def test_deleted_courses_count(self, ada: Any, root: Any) -> None:
        (course,) = make_courses(1)
        put(ada, course)
        course_id = course_id_of(course)
        course.delete()

        response = unenroll(root)

        assert response.json() == [course_id]
        assert not CourseEnrollment.objects.active().exists()

    def test_the_name_is_the_one_they_had_when_they_asked(self, root: Any) -> None:
        bea = make_user("bea")
        ask_for_retirement(bea, name="was ada")
        (course,) = make_courses(1)
        put(bea, course)

        response = unenroll(root, "was ada")

        assert response.json() == [course_id_of(course)]

    def test_a_form_will_do(self, ada: Any, root: Any) -> None:
        assert client_of(root).post(
            PATH, {"username": username("ada")}
        ).status_code == (204)

    @pytest.mark.parametrize("count", [1, 50])
    def test_costs_the_same_for_one_and_for_many(
        self, ada: Any, root: Any, count: int
    ) -> None:
        for course in make_courses(count):
            put(ada, course)
        client = client_of(root)

        with CaptureQueriesContext(connection) as captured:
            response = client.post(
                PATH, {"username": username("ada")}, "application/json"
            )

        statements = [one["sql"] for one in captured if "SAVEPOINT" not in one["sql"]]
        assert len(response.json()) == count
        # Session, user, the request to be retired, and unenrolling itself.
        assert len(statements) <= 3 + 5


def refuse(action: str, **context: Any) -> None:
    raise EnrollmentNotAllowed(f"No {action}.")


class FailingBackend:
    """Cannot tell who asked to be retired."""

    def find_retiring_user(self, username: str) -> Any:
        raise RuntimeError("the password is 1234")


class TestRefusals:
    @pytest.mark.rule("V1-UNENR-02")
    @pytest.mark.parametrize(
        "body", [{}, [], None, 7, "ada", True, {"user": "ada"}, [{"username": "ada"}]]
    )
    def test_no_username(self, ada: Any, root: Any, body: Any) -> None:
        with nothing_written():
            response = send(root, body)

        assert response.status_code == 404
        assert response["Content-Type"] == "application/json"
        assert response.json() == NOT_SPECIFIED

    @pytest.mark.rule("V1-UNENR-03")
    @pytest.mark.parametrize(
        "name",
        [
            "",
            " ",
            "no-one",
            "ADA",
            "ada ",
            "ad%",
            "ada\x00",
            "\ud800",
            "x" * 100_000,
            0,
            7,
            True,
            [],
            ["ada"],
            {},
            {"username": "ada"},
            "{0}",
        ],
    )
    def test_nobody_asked_under_this_name(self, ada: Any, root: Any, name: Any) -> None:
        (course,) = make_courses(1)
        put(ada, course)

        with nothing_written():
            response = unenroll(root, name)

        assert response.status_code == 404
        assert response.json() == NO_REQUEST

    @pytest.mark.rule("V1-UNENR-03")
    def test_null_is_no_name(self, ada: Any, root: Any) -> None:
        response = send(root, {"username": None})

        assert (response.status_code, response.json()) == (404, NO_REQUEST)

    @pytest.mark.rule("V1-UNENR-03")
    def test_a_user_who_did_not_ask(self, root: Any) -> None:
        (course,) = make_courses(1)
        put(make_user("bea"), course)

        with nothing_written():
            response = unenroll(root, username("bea"))

        assert (response.status_code, response.json()) == (404, NO_REQUEST)

    @pytest.mark.rule("V1-UNENR-08")
    @pytest.mark.parametrize("state", ["complete", "aborted"])
    def test_what_is_finished_or_aborted_is_no_request(
        self, root: Any, state: str
    ) -> None:
        ask_for_retirement(make_user("bea"), state=state)

        response = unenroll(root, username("bea"))

        assert (response.status_code, response.json()) == (404, NO_REQUEST)

    @pytest.mark.rule("V1-ERR-06")
    @pytest.mark.parametrize("body", [b"{", b"\xff", b"\x00", b"[" * 100_000])
    def test_no_json(self, root: Any, body: bytes) -> None:
        response = send(root, body)

        assert response.status_code == 400
        assert response.json()["detail"].startswith("JSON parse error - ")

    @pytest.mark.rule("V1-UNENR-09")
    def test_a_failure_changes_nothing_and_tells_nothing(
        self, ada: Any, root: Any, caplog: Any
    ) -> None:
        for course in make_courses(3):
            put(ada, course)

        with nothing_written(), connection.execute_wrapper(_fail_to_write_history):
            response = unenroll(root)

        assert response.status_code == 500
        assert response.json() == FAILED
        assert "the password is 1234" in caplog.text

    @pytest.mark.rule("B-11")
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            (f"{__name__}.FailingBackend", 500),
            ("no.such.Backend", 400),
            ("tests.http.ROOT", 400),
        ],
    )
    def test_a_broken_backend_changes_nothing_and_tells_nothing(
        self, ada: Any, root: Any, settings: Any, path: str, status: int
    ) -> None:
        (course,) = make_courses(1)
        put(ada, course)
        settings.ENROLLMENTS_RETIREMENT_BACKEND = path

        with nothing_written():
            response = unenroll(root)

        assert (response.status_code, response.json()) == (status, FAILED)

    @pytest.mark.rule("B-11")
    def test_a_data_layer_that_cannot_be_loaded_refuses(
        self, ada: Any, root: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_DATA_API = "no.such.module"

        response = unenroll(root)

        assert (response.status_code, response.json()) == (400, FAILED)


def _fail_to_write_history(
    execute: Any, sql: str, params: Any, many: bool, context: Any
) -> Any:
    if sql.startswith("INSERT") and EnrollmentEvent._meta.db_table in sql:
        raise DatabaseError("the password is 1234")
    return execute(sql, params, many, context)
