"""POST unenroll/ over HTTP."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection

from django_enrollments.errors import EnrollmentNotAllowed
from django_enrollments.models import (
    CourseEnrollment,
    EnrollmentEvent,
    UserRetirementStatus,
)
from django_enrollments.permissions import RETIRE_USER
from django_enrollments.views import UnenrollmentView
from django_enrollments.views.base import CanRetireUser
from tests.factories import course_id_of, make_course, make_user, username
from tests.http import client_of, put, send
from tests.watching import event_types, listening, nothing_written, state_of

pytestmark = pytest.mark.django_db

NOT_SPECIFIED = "Username not specified."
NO_REQUEST = "No retirement request status for username."
FAILED = "An error occurred while unenrolling the user."


@pytest.fixture
def ada():
    """A user with a request for retirement."""
    ada = make_user("ada")
    request_retirement(ada)
    return ada


@pytest.fixture
def courses(ada):
    """Two courses in which ada is enrolled, and one that she has left."""
    courses = [make_course(f"course-v1:edX+C{number}+R") for number in range(3)]
    put(ada, courses[1])
    put(ada, courses[0], "verified")
    put(ada, courses[2], is_active=False)
    return courses


def request_retirement(user, name: str | None = None, **fields):
    UserRetirementStatus.objects.create(
        user=user, original_username=name or user.get_username(), **fields
    )


def unenroll(requester, name=None):
    body = {"username": username("ada") if name is None else name}
    return send(requester, "POST", "unenroll/", body)


def outcome(response):
    assert response["Content-Type"] == "application/json"
    return response.status_code, response.json()


class RetiringBackend:
    """Grants retiring users to staff alone."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        if perm == RETIRE_USER and not user.is_staff:
            raise PermissionDenied("Not here.")
        return bool(user.is_staff)


class TestAccess:
    @pytest.mark.rule("V1-UNENR-01")
    def test_is_not_for_learners_and_staff(self, ada, boss, bea, courses):
        for requester in (ada, boss, bea):
            with nothing_written():
                response = unenroll(requester)

            assert outcome(response) == (
                403,
                {"detail": "You do not have permission to perform this action."},
            )

    @pytest.mark.rule("V1-AUTH-18")
    def test_is_for_the_service_user(self, ada, settings):
        settings.ENROLLMENTS_RETIREMENT_SERVICE_USERNAME = username("worker")

        assert unenroll(make_user("worker")).status_code == 204

    @pytest.mark.rule("V1-AUTH-18")
    def test_depends_on_the_backends(self, ada, boss, root, settings):
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.RetiringBackend"]

        assert unenroll(root).status_code == 403
        assert unenroll(boss).status_code == 204

    @pytest.mark.rule("NAM-03", "V1-THR-10")
    def test_has_two_permissions_and_no_throttle(self):
        assert len(UnenrollmentView.permission_classes) == 2
        assert CanRetireUser in UnenrollmentView.permission_classes
        assert UnenrollmentView.throttle_classes == []


class TestUnenrollment:
    @pytest.mark.rule("V1-UNENR-05", "V1-UNENR-06", "V1-UNENR-07")
    def test_returns_the_courses_and_keeps_modes(self, ada, bea, root, courses):
        put(bea, courses[0])

        response = unenroll(root)
        with nothing_written():
            again = unenroll(root)

        ids = [course_id_of(course) for course in courses[:2]]
        assert outcome(response) == (200, ids)
        assert (again.status_code, again.content) == (204, b"")
        assert state_of(ada, courses[0]) == ("verified", False)
        assert state_of(ada, courses[1]) == ("audit", False)
        assert state_of(bea, courses[0]) == ("audit", True)

    @pytest.mark.rule("V1-UNENR-04")
    def test_without_active_enrollments_is_a_204(self, ada, course, root):
        put(ada, course, is_active=False)

        response = unenroll(root)

        assert (response.status_code, response.content) == (204, b"")

    @pytest.mark.rule("V1-UNENR-10")
    def test_writes_one_event_for_each_active_enrollment(
        self, courses, root, settings, django_capture_on_commit_callbacks
    ):
        def refuse(action: str, **context):
            raise EnrollmentNotAllowed(f"No {action}.")

        settings.ENROLLMENTS_FILTERS = [refuse]
        before = len(event_types())

        with listening() as heard, django_capture_on_commit_callbacks(execute=True):
            assert unenroll(root).status_code == 200

        assert event_types()[before:] == ["deactivated"] * 2
        assert [name for name, _ in heard] == ["deactivated"] * 2
        event = EnrollmentEvent.objects.last()
        assert (event.source, str(event.actor_id)) == ("retirement", str(root.pk))

    @pytest.mark.rule("V1-UNENR-11")
    def test_includes_deleted_courses(self, ada, course, root):
        put(ada, course)
        course_id = course_id_of(course)
        course.delete()

        assert outcome(unenroll(root)) == (200, [course_id])
        assert not CourseEnrollment.objects.active().exists()

    def test_finds_the_user_by_the_name_in_the_request(self, bea, course, root):
        request_retirement(bea, name="was bea")
        put(bea, course)

        assert outcome(unenroll(root, "was bea")) == (200, [course_id_of(course)])

    def test_accepts_forms(self, ada, root):
        path = "/api/enrollment/v1/unenroll/"

        response = client_of(root).post(path, {"username": username("ada")})

        assert response.status_code == 204


class FailingBackend:
    """Fails to find users."""

    def find_retiring_user(self, username: str):
        raise RuntimeError("the password is 1234")


class TestRefusals:
    @pytest.fixture(autouse=True)
    def _nothing_is_written(self, courses):
        with nothing_written():
            yield

    @pytest.mark.rule("V1-UNENR-02", "V1-ERR-05")
    @pytest.mark.parametrize(
        "body", [{}, [], None, 7, "ada", True, {"user": "ada"}, [{"username": "ada"}]]
    )
    def test_need_a_username(self, root, body):
        response = send(root, "POST", "unenroll/", body)

        assert outcome(response) == (404, NOT_SPECIFIED)

    @pytest.mark.rule("V1-UNENR-03", "V1-ERR-05")
    @pytest.mark.parametrize(
        "name",
        [
            *("", " ", "no-one", "ADA", "ada ", "ad%", "ada\x00", "\ud800", "{0}"),
            *("x" * 100_000, 0, 7, True, [], ["ada"], {}, {"username": "ada"}),
            username("boss"),
        ],
    )
    def test_need_a_request_for_retirement(self, root, boss, name):
        assert outcome(unenroll(root, name)) == (404, NO_REQUEST)

    @pytest.mark.rule("V1-UNENR-03")
    def test_include_null(self, root):
        response = send(root, "POST", "unenroll/", {"username": None})

        assert outcome(response) == (404, NO_REQUEST)

    @pytest.mark.rule("V1-UNENR-08")
    @pytest.mark.parametrize("state", ["complete", "aborted"])
    def test_include_finished_requests(self, bea, root, state):
        request_retirement(bea, state=state)

        assert outcome(unenroll(root, username("bea"))) == (404, NO_REQUEST)

    @pytest.mark.rule("V1-ERR-06")
    @pytest.mark.parametrize("body", [b"{", b"\xff", b"\x00", b"[" * 100_000])
    def test_include_bodies_that_are_no_json(self, root, body):
        response = send(root, "POST", "unenroll/", body)

        assert response.status_code == 400
        assert response.json()["detail"].startswith("JSON parse error - ")

    @pytest.mark.rule("V1-UNENR-09")
    def test_of_the_database_write_nothing_and_hide_the_reason(self, root, caplog):
        def fail_to_write_history(execute, sql: str, params, many: bool, context):
            if sql.startswith("INSERT") and EnrollmentEvent._meta.db_table in sql:
                raise DatabaseError("the password is 1234")
            return execute(sql, params, many, context)

        with connection.execute_wrapper(fail_to_write_history):
            assert outcome(unenroll(root)) == (500, FAILED)

        assert "the password is 1234" in caplog.text

    @pytest.mark.rule("B-11")
    @pytest.mark.parametrize(
        ("name", "path", "code"),
        [
            ("RETIREMENT_BACKEND", f"{__name__}.FailingBackend", 500),
            ("RETIREMENT_BACKEND", "no.such.Backend", 400),
            ("RETIREMENT_BACKEND", "tests.http.ROOT", 400),
            ("DATA_API", "no.such.module", 400),
        ],
    )
    def test_of_collaborators_hide_the_reason(self, root, settings, name, path, code):
        setattr(settings, f"ENROLLMENTS_{name}", path)

        assert outcome(unenroll(root)) == (code, FAILED)
