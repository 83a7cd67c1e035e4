"""The OpenAPI description, held against what the API really answers (extra openapi)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from django_enrollments import api, urls
from django_enrollments.errors import (
    CohortNotFoundError,
    CourseEnrollmentError,
    EnrollmentNotAllowed,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollmentAllowed,
    UserRetirementStatus,
)
from django_enrollments.views import (
    CourseEnrollmentsApiListView,
    EnrollmentListView,
)
from django_enrollments.views import enrollments as enrollment_views
from django_enrollments.views.errors import ERROR_RESPONSES
from tests.example import MANAGE, ROOT
from tests.factories import (
    DAY,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    username,
)
from tests.http import NOWHERE, client_of, put, wish
from tests.http import ROOT as API

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.described import Description

needs_extra = pytest.mark.skipif(
    find_spec("drf_spectacular") is None, reason="The extra openapi is not installed."
)

KEY = "a-key"

#: Settings of drf-spectacular under which there is another dialect of schemas.
OPENAPI_3_1 = {"OAS_VERSION": "3.1.1"}


@pytest.fixture(scope="module")
def description() -> Description:
    from tests.described import Description

    return Description()


@pytest.fixture
def describe() -> Callable[[], Description]:
    """Return what describes the API as it is configured by a test."""
    from tests.described import Description

    return Description


@dataclass
class World:
    """A learner, somebody who may do everything, a course, and ways to ask."""

    settings: Any
    monkeypatch: Any

    def __post_init__(self) -> None:
        self.learner = make_user("ada")
        self.boss = make_user("boss", is_staff=True, is_superuser=True)
        self.course = make_course("course-v1:edX+DemoX+Demo_Course")
        make_modes(self.course, "audit", "verified")

    @property
    def course_id(self) -> str:
        return course_id_of(self.course)

    def send(self, operation_id: str, **changes: Any) -> Any:
        """Make a call as its usual caller makes it, but for the changes."""
        method, path, body, caller = CALLS[operation_id]
        given = {
            "user": getattr(self, caller),
            "course_id": self.course_id,
            "username": username("ada"),
            "query": "",
            "body": body(self) if body else None,
            "content_type": "application/json",
            "headers": {},
            "options": {},
        } | changes
        where = API + path.format_map(given)
        sent = given["body"]
        if sent is not None and not isinstance(sent, bytes):
            sent = json.dumps(sent).encode()
        return client_of(given["user"], **given["options"]).generic(
            method,
            f"{where}?{given['query']}" if given["query"] else where,
            sent or b"",
            content_type=given["content_type"] if body else "",
            headers=given["headers"],
        )

    def invite(self) -> None:
        self.send("invite")

    def ask_for_retirement(self) -> None:
        UserRetirementStatus.objects.create(
            user=self.learner, original_username=self.learner.get_username()
        )

    def refuse(self, name: str, error: Exception | None = None) -> None:
        """Have a function of the Python API fail."""

        def fail(*args: Any, **kwargs: Any) -> None:
            raise error or CourseEnrollmentError("The disk is full.")

        self.monkeypatch.setattr(api, name, fail)


@pytest.fixture
def world(db: None, settings: Any, monkeypatch: Any) -> World:
    settings.ENROLLMENTS_API_KEYS = [KEY]
    return World(settings, monkeypatch)


def _address(world: World) -> dict[str, Any]:
    return {"email": "new@example.org", "course_id": world.course_id}


#: Each call with its method, path, body and usual caller.
CALLS: dict[str, tuple[str, str, Callable[[World], Any] | None, str]] = {
    "describe_course": ("GET", "course/{course_id}", None, "learner"),
    "explain_enrollment": ("GET", "course/{course_id}/eligibility", None, "learner"),
    "enroll": ("POST", "enrollment", lambda world: wish(world.course), "learner"),
    "list_enrollments": ("GET", "enrollment", None, "learner"),
    "get_own_enrollment": ("GET", "enrollment/{course_id}", None, "learner"),
    "get_enrollment": ("GET", "enrollment/{username},{course_id}", None, "boss"),
    "list_roles": ("GET", "roles/", None, "learner"),
    "list_all_enrollments": ("GET", "enrollments", None, "boss"),
    "list_invitations": ("GET", "enrollment_allowed/", None, "boss"),
    "invite": ("POST", "enrollment_allowed/", _address, "boss"),
    "withdraw_invitation": ("DELETE", "enrollment_allowed/", _address, "boss"),
    "leave_all_courses": (
        "POST",
        "unenroll/",
        lambda world: {"username": username("ada")},
        "boss",
    ),
}
WITH_BODY = [one for one, (_, _, body, _) in CALLS.items() if body]
WITH_COURSE = [one for one, (_, path, _, _) in CALLS.items() if "course_id" in path]
FOR_STAFF = [
    "list_all_enrollments",
    "list_invitations",
    "invite",
    "withdraw_invitation",
    "leave_all_courses",
]
WITH_KEY = [
    "enroll",
    "list_enrollments",
    "get_own_enrollment",
    "get_enrollment",
    "list_roles",
]

Proof = tuple[str, int, str, "Callable[[World], Any]"]

PROOFS: list[Proof] = []


def proves(operation_id: str, status: int) -> Callable[[Any], Any]:
    """Note that a function makes a call that is answered so."""

    def note(make: Callable[[World], Any]) -> Callable[[World], Any]:
        PROOFS.append((operation_id, status, make.__name__, make))
        return make

    return note


def _prove_all(
    operation_ids: list[str], status: int, make: Callable[[World, str], Any]
) -> None:
    for one in operation_ids:
        PROOFS.append(
            (one, status, make.__name__, lambda world, one=one: make(world, one))
        )


# What Django REST framework refuses, in every call that it can refuse.


def nobody(world: World, operation_id: str) -> Any:
    return world.send(operation_id, user=None)


def learner(world: World, operation_id: str) -> Any:
    return world.send(operation_id, user=world.learner)


def many_parameters(world: World, operation_id: str) -> Any:
    world.settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 1
    return world.send(operation_id, query="a=1&b=2")


def large_body(world: World, operation_id: str) -> Any:
    world.settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1
    return world.send(operation_id)


def no_json(world: World, operation_id: str) -> Any:
    return world.send(operation_id, body=b"{")


def plain_text(world: World, operation_id: str) -> Any:
    return world.send(operation_id, content_type="text/plain")


def impatience(world: World, operation_id: str) -> Any:
    world.settings.ENROLLMENTS_THROTTLE_RATES = dict.fromkeys(
        ("user", "staff"), "1/minute"
    )
    world.send(operation_id)
    return world.send(operation_id)


def no_csrf_token(world: World, operation_id: str) -> Any:
    return world.send(operation_id, options={"enforce_csrf_checks": True})


def jwt(world: World, operation_id: str) -> Any:
    pytest.importorskip("rest_framework_simplejwt", reason="The extra jwt is missing.")
    world.settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
        "django_enrollments.authentication.JwtAuthentication"
    ]
    return world.send(operation_id, user=None, headers={"Authorization": "JWT a.b.c"})


def bearer(world: World, operation_id: str) -> Any:
    pytest.importorskip("oauth2_provider", reason="The extra oauth is missing.")
    world.settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
        "django_enrollments.authentication.BearerAuthenticationAllowInactiveUser"
    ]
    return world.send(operation_id, user=None, headers={"Authorization": "Bearer x"})


_not_open = [one for one in CALLS if one != "describe_course"]
_reading = [one for one in CALLS if one not in WITH_BODY]
_prove_all(_not_open, 401, nobody)
_prove_all(_not_open, 401, jwt)
_prove_all(_not_open, 401, bearer)
_prove_all(FOR_STAFF, 403, learner)
_prove_all(WITH_BODY, 403, no_csrf_token)
_prove_all(_reading, 413, many_parameters)
_prove_all(WITH_BODY, 413, large_body)
_prove_all(WITH_BODY, 400, no_json)
_prove_all(WITH_BODY, 415, plain_text)
_prove_all([one for one in CALLS if one != "leave_all_courses"], 429, impatience)


# Courses.


@proves("describe_course", 200)
def course_with_all_that_there_is(world: World) -> Any:
    now = timezone.now()
    world.course = make_course(
        "full-1",
        org="School",
        start=now,
        end=now + DAY,
        enrollment_start=now - DAY,
        enrollment_end=now + DAY,
        invitation_only=True,
    )
    make_mode(
        world.course,
        "verified",
        min_price=9,
        suggested_prices="10,20",
        expiration_datetime=now - DAY,
        description="Certified",
        sku="A",
        bulk_sku="B",
    )
    return world.send("describe_course", query="include_expired=1")


@proves("describe_course", 200)
def course_with_nothing(world: World) -> Any:
    world.course = make_course("bare-1")
    return world.send("describe_course", user=None)


@proves("describe_course", 400)
def no_course_to_describe(world: World) -> Any:
    return world.send("describe_course", course_id=NOWHERE)


@proves("explain_enrollment", 200)
def may_enroll(world: World) -> Any:
    return world.send("explain_enrollment")


@proves("explain_enrollment", 200)
def may_not_enroll_for_every_reason(world: World) -> Any:
    now = timezone.now()
    world.course = make_course(
        "closed-1",
        enrollment_start=now + DAY,
        enrollment_end=now + DAY,
        invitation_only=True,
        max_student_enrollments_allowed=0,
    )
    world.settings.ENROLLMENTS_FILTERS = [veto]
    return world.send("explain_enrollment", query="mode=masters")


@proves("explain_enrollment", 200)
def is_enrolled_already(world: World) -> Any:
    put(world.learner, world.course)
    return world.send("explain_enrollment")


@proves("explain_enrollment", 400)
def no_course_to_explain(world: World) -> Any:
    return world.send("explain_enrollment", course_id=NOWHERE)


# Enrollments.


def veto(action: str, **context: Any) -> None:
    raise EnrollmentNotAllowed("Not today.")


@proves("enroll", 200)
def enrolls(world: World) -> Any:
    return world.send("enroll")


@proves("enroll", 200)
def enrolls_somebody_else_with_everything(world: World) -> Any:
    body = wish(
        world.course,
        user=username("ada"),
        mode="verified",
        is_active=True,
        enrollment_attributes=[{"namespace": "a", "name": "b", "value": "c"}],
        force_enrollment=True,
        cohort=None,
        email_opt_in=True,
        enterprise_uuid="x",
        linked_enterprise_customer="y",
        enterprise_course_consent=True,
    )
    return world.send("enroll", user=world.boss, body=body)


@proves("enroll", 200)
def deactivates_by_a_key(world: World) -> Any:
    put(world.learner, world.course)
    body = wish(world.course, user=username("ada"), is_active=False)
    return world.send("enroll", user=None, body=body, headers={"X-Edx-Api-Key": KEY})


def _refused(**fields: Any) -> Callable[[World], Any]:
    def refused(world: World) -> Any:
        body = wish(fields.get("course_id") or world.course, **fields)
        return world.send("enroll", user=world.boss, body=body)

    return refused


for _fields in (
    {"course_id": NOWHERE},
    {"course_id": "a b"},
    {"mode": "masters"},
    {"is_active": "yes"},
    {"force_enrollment": 1},
    {"enrollment_attributes": [{"namespace": "a", "name": "b"}]},
    {"enrollment_attributes": 7},
    {"email_opt_in": "yes"},
    {"enterprise_uuid": 7},
):
    proves("enroll", 400)(_refused(**_fields))


@proves("enroll", 400)
def no_object(world: World) -> Any:
    return world.send("enroll", body=[])


@proves("enroll", 400)
def form(world: World) -> Any:
    form_type = "application/x-www-form-urlencoded"
    return world.send("enroll", body=b"mode=audit", content_type=form_type)


@proves("enroll", 400)
def into_a_full_course(world: World) -> Any:
    world.course = make_course("full-1", max_student_enrollments_allowed=0)
    return world.send("enroll")


@proves("enroll", 400)
def no_cohort(world: World) -> Any:
    world.refuse("add_enrollment", CohortNotFoundError("No such cohort."))
    return world.send("enroll")


@proves("enroll", 403)
def mode_for_others(world: World) -> Any:
    return world.send("enroll", body=wish(world.course, mode="verified"))


@proves("enroll", 403)
def enrolling_is_vetoed(world: World) -> Any:
    world.settings.ENROLLMENTS_FILTERS = [veto]
    return world.send("enroll")


@proves("enroll", 404)
def enrolls_another_learner(world: World) -> Any:
    return world.send("enroll", body=wish(world.course, user=username("boss")))


@proves("enroll", 406)
def enrolls_nobody(world: World) -> Any:
    body = wish(world.course, user="nobody")
    return world.send("enroll", user=world.boss, body=body)


@proves("enroll", 406)
def enrolls_an_unknown_address(world: World) -> Any:
    body = wish(world.course, email="nobody@example.org")
    return world.send("enroll", user=world.boss, body=body)


@proves("enroll", 406)
def enrolls_the_bearer_of_a_key(world: World) -> Any:
    return world.send("enroll", user=None, headers={"X-Edx-Api-Key": KEY})


@proves("enroll", 409)
def enrolls_an_address_of_two(world: World) -> Any:
    def find(emails: list[str]) -> dict[str, list[Any]]:
        return {emails[0]: [world.learner, world.boss]}

    # Addresses are unique in the other host.
    world.monkeypatch.setattr(enrollment_views, "find_users_by_email", find)
    body = wish(world.course, email="both@example.org")
    return world.send("enroll", user=world.boss, body=body)


@proves("list_enrollments", 200)
def lists_enrollments(world: World) -> Any:
    put(world.learner, world.course)
    return world.send("list_enrollments", query="include_expired=1")


@proves("list_enrollments", 200)
def lists_none_of_another(world: World) -> Any:
    return world.send("list_enrollments", query="user=boss")


@proves("list_enrollments", 400)
def listing_is_refused(world: World) -> Any:
    world.refuse("get_enrollments")
    return world.send("list_enrollments")


@proves("list_enrollments", 403)
def listing_is_vetoed(world: World) -> Any:
    world.settings.ENROLLMENTS_FILTERS = [veto]
    return world.send("list_enrollments")


@proves("get_own_enrollment", 200)
def gets_own(world: World) -> Any:
    put(world.learner, world.course, is_active=False)
    return world.send("get_own_enrollment")


@proves("get_own_enrollment", 200)
def gets_none(world: World) -> Any:
    return world.send("get_own_enrollment")


@proves("get_own_enrollment", 400)
def getting_own_is_refused(world: World) -> Any:
    world.refuse("get_enrollment")
    return world.send("get_own_enrollment")


@proves("get_enrollment", 200)
def gets_one(world: World) -> Any:
    put(world.learner, world.course)
    return world.send("get_enrollment")


@proves("get_enrollment", 200)
def gets_one_of_a_deleted_course(world: World) -> Any:
    if not is_default_host():
        pytest.skip("The key that is left names no course in this host.")
    put(world.learner, world.course)
    course_id = world.course_id
    world.course.delete()
    response = world.send("get_enrollment", course_id=course_id)
    assert response.json()["course_details"] is None
    return response


@proves("get_enrollment", 200)
def gets_one_of_nobody_by_a_key(world: World) -> Any:
    return world.send(
        "get_enrollment", user=None, username="nobody", headers={"X-Edx-Api-Key": KEY}
    )


@proves("get_enrollment", 400)
def getting_one_is_refused(world: World) -> Any:
    world.refuse("get_enrollment")
    return world.send("get_enrollment")


@proves("get_enrollment", 404)
def gets_that_of_another(world: World) -> Any:
    return world.send("get_enrollment", user=world.learner, username=username("boss"))


@proves("list_all_enrollments", 200)
def lists_a_page_in_the_middle(world: World) -> Any:
    for name in ("bea", "cleo", "dora"):
        put(make_user(name), world.course)
    first = world.send("list_all_enrollments", query="page_size=1")
    _, _, query = first.json()["next"].partition("?")
    response = world.send("list_all_enrollments", query=query)
    assert response.json()["next"]
    assert response.json()["previous"]
    return response


@proves("list_all_enrollments", 200)
def lists_an_empty_page(world: World) -> Any:
    return world.send("list_all_enrollments", query="email=a,b&username=c")


@proves("list_all_enrollments", 400)
def filters_are_malformed(world: World) -> Any:
    many = ",".join("a" * 101)
    query = f"course_id=a%20b&username={many}&email={many}&course_ids={many}"
    response = world.send("list_all_enrollments", query=query)
    assert len(response.json()["field_errors"]) == 4
    return response


@proves("list_all_enrollments", 404)
def cursor_is_none(world: World) -> Any:
    return world.send("list_all_enrollments", query="cursor=x")


# Roles, invitations, retirement.


@proves("list_roles", 200)
def lists_roles(world: World) -> Any:
    for course_id in ("", world.course_id):
        CourseAccessRole.objects.create(
            user=world.learner, org="edX", course_id=course_id, role="staff"
        )
    response = world.send("list_roles")
    assert len(response.json()["roles"]) == 2
    return response


@proves("list_roles", 400)
def listing_roles_is_refused(world: World) -> Any:
    world.refuse("get_user_roles")
    return world.send("list_roles")


@proves("list_invitations", 200)
def lists_invitations(world: World) -> Any:
    for user, course_id in ((None, "a"), (world.learner, "b")):
        CourseEnrollmentAllowed.objects.create(
            email="new@example.org", course_id=course_id, user=user
        )
    response = world.send("list_invitations", query="email=new@example.org")
    assert len(response.json()) == 2
    return response


@proves("invite", 201)
def invites(world: World) -> Any:
    return world.send("invite", body={**_address(world), "auto_enroll": True})


@proves("invite", 201)
def invites_by_a_form(world: World) -> Any:
    return world.send(
        "invite",
        body=b"email=new@example.org&course_id=a&auto_enroll=on",
        content_type="application/x-www-form-urlencoded",
    )


@proves("invite", 400)
def invites_to_nothing(world: World) -> Any:
    return world.send("invite", body={})


@proves("invite", 400)
def invites_what_is_no_address(world: World) -> Any:
    return world.send("invite", body={**_address(world), "email": "x"})


@proves("invite", 409)
def invites_twice(world: World) -> Any:
    world.invite()
    return world.send("invite")


@proves("withdraw_invitation", 204)
def withdraws(world: World) -> Any:
    world.invite()
    return world.send("withdraw_invitation")


@proves("withdraw_invitation", 400)
def withdraws_nothing(world: World) -> Any:
    return world.send("withdraw_invitation", body={})


@proves("withdraw_invitation", 404)
def withdraws_what_is_not_there(world: World) -> Any:
    return world.send("withdraw_invitation")


@proves("leave_all_courses", 200)
def leaves(world: World) -> Any:
    world.ask_for_retirement()
    put(world.learner, world.course)
    return world.send("leave_all_courses")


@proves("leave_all_courses", 204)
def leaves_nothing(world: World) -> Any:
    world.ask_for_retirement()
    return world.send("leave_all_courses")


@proves("leave_all_courses", 404)
def nobody_is_named(world: World) -> Any:
    return world.send("leave_all_courses", body={})


@proves("leave_all_courses", 404)
def has_not_asked_for_retirement(world: World) -> Any:
    return world.send("leave_all_courses")


@proves("leave_all_courses", 500)
def leaving_fails(world: World) -> Any:
    world.ask_for_retirement()
    world.refuse("leave_all_courses")
    return world.send("leave_all_courses")


@needs_extra
class TestAnswers:
    @pytest.mark.parametrize(
        ("operation_id", "status", "make"),
        [
            pytest.param(one, status, make, id=f"{one}-{status}-{name}")
            for one, status, name, make in PROOFS
        ],
    )
    def test_are_as_described(
        self,
        world: World,
        description: Description,
        operation_id: str,
        status: int,
        make: Callable[[World], Any],
    ) -> None:
        response = make(world)

        assert response.status_code == status, response.content
        assert description.operation_of(response)["operationId"] == operation_id
        description.assert_describes(response)

    @pytest.mark.parametrize("operation_id", WITH_COURSE)
    def test_without_a_route_are_described_without_a_body(
        self, world: World, description: Description, operation_id: str
    ) -> None:
        response = world.send(operation_id, course_id="a b")

        assert response.status_code == 404
        answer = description.operation(operation_id)["responses"]["404"]
        assert "content" not in answer

    def test_are_all_proven_here(self, description: Description) -> None:
        described = {
            (operation["operationId"], int(status))
            for _, _, operation in description.operations
            for status in operation["responses"]
        }
        proven = {(one, status) for one, status, _, _ in PROOFS}
        without_route = {(one, 404) for one in WITH_COURSE}

        assert proven | without_route == described

    @pytest.mark.parametrize("row", ERROR_RESPONSES, ids=lambda row: row[0].__name__)
    def test_to_every_refusal_of_the_rules_are_described(
        self, world: World, description: Description, row: Any
    ) -> None:
        kind, status, _ = row
        course = api.get_course_enrollment_details(world.course_id)
        world.refuse("add_enrollment", kind("No.", course))

        response = world.send("enroll")

        assert response.status_code == status
        description.assert_describes(response)

    def test_that_differ_are_told(self, world: World, description: Description) -> None:
        world.monkeypatch.setattr(
            api, "get_course_enrollment_details", lambda *args, **kwargs: {"id": 7}
        )

        with pytest.raises(AssertionError):
            description.assert_describes(world.send("describe_course"))


@needs_extra
class TestDescription:
    @pytest.mark.parametrize("dialect", [None, "OPENAPI_3_1"])
    def test_is_valid_and_without_a_warning(self, tmp_path: Any, dialect: Any) -> None:
        file = tmp_path / "schema.yaml"
        options = {"custom_settings": f"{__name__}.{dialect}"} if dialect else {}

        call_command(
            "spectacular", validate=True, fail_on_warn=True, file=file, **options
        )

        assert f"openapi: {'3.1' if dialect else '3.0'}" in file.read_text()

    def test_has_every_url_and_method(self, description: Description) -> None:
        from tests.described import template_of

        served = {
            (API + template_of(str(pattern.pattern))[1:], method.lower())
            for pattern in urls.urlpatterns
            for method in pattern.callback.view_class().allowed_methods
            if method != "OPTIONS"
        }

        assert {(path, method) for path, method, _ in description.operations} == served

    def test_names_every_call(self, description: Description) -> None:
        operations = [one for _, _, one in description.operations]

        assert sorted(one["operationId"] for one in operations) == sorted(CALLS)
        for one in operations:
            assert one["summary"]
            assert one["description"]
            assert len(one["tags"]) == 1
            assert "django" not in json.dumps(one["tags"]).lower()

    def test_speaks_to_clients(self, description: Description) -> None:
        text = json.dumps(description.document["components"])

        for word in ("Args:", "Returns:", "V1-", "ENROLLMENTS_"):
            assert word not in text

    def test_has_examples_that_are_as_described(self, description: Description) -> None:
        shown = 0
        for _, _, operation in description.operations:
            contents = [
                *(
                    answer.get("content", {})
                    for answer in operation["responses"].values()
                ),
                operation.get("requestBody", {}).get("content", {}),
            ]
            holders = [
                *(holder for content in contents for holder in content.values()),
                *operation.get("parameters", []),
            ]
            for holder in holders:
                for name, example in holder.get("examples", {}).items():
                    faults = description.faults(example["value"], holder["schema"])
                    assert faults == [], (operation["operationId"], name)
                    shown += 1

        assert shown > 100

    def test_has_an_example_of_every_body(self, description: Description) -> None:
        for _, _, operation in description.operations:
            for status, answer in operation["responses"].items():
                for holder in answer.get("content", {}).values():
                    assert holder["examples"], (operation["operationId"], status)
            for holder in operation.get("requestBody", {}).get("content", {}).values():
                assert holder["examples"], operation["operationId"]

    @pytest.mark.parametrize(
        ("operation_id", "names"),
        [
            ("describe_course", {"course_id", "include_expired"}),
            ("explain_enrollment", {"course_id", "mode"}),
            ("list_enrollments", {"user", "include_expired"}),
            ("get_own_enrollment", {"course_id", "include_expired"}),
            ("get_enrollment", {"username", "course_id", "include_expired"}),
            ("list_roles", {"course_id"}),
            ("list_invitations", {"email"}),
            (
                "list_all_enrollments",
                {
                    "course_id",
                    "course_ids",
                    "username",
                    "email",
                    "cursor",
                    "page",
                    "page_size",
                },
            ),
            ("enroll", set()),
            ("leave_all_courses", set()),
        ],
    )
    def test_has_every_parameter(
        self, description: Description, operation_id: str, names: set[str]
    ) -> None:
        parameters = description.operation(operation_id).get("parameters", [])

        assert {one["name"] for one in parameters} == names
        assert all(one["description"] for one in parameters)

    def test_of_a_body_has_every_field(self, description: Description) -> None:
        components = description.document["components"]["schemas"]

        assert {*components["enrollment.EnrollmentRequest"]["properties"]} == {
            "course_details",
            "user",
            "email",
            "mode",
            "is_active",
            "enrollment_attributes",
            "force_enrollment",
            "cohort",
            "email_opt_in",
            "enterprise_uuid",
            "linked_enterprise_customer",
            "enterprise_course_consent",
        }

    @pytest.mark.parametrize(
        ("operation_id", "media_types"),
        [
            ("enroll", ["application/json"]),
            *(
                (
                    one,
                    [
                        "application/json",
                        "application/x-www-form-urlencoded",
                        "multipart/form-data",
                    ],
                )
                for one in ("invite", "withdraw_invitation", "leave_all_courses")
            ),
        ],
    )
    def test_of_a_body_tells_what_it_may_come_as(
        self, description: Description, operation_id: str, media_types: list[str]
    ) -> None:
        body = description.operation(operation_id)["requestBody"]

        assert list(body["content"]) == media_types
        assert body["required"]

    @pytest.mark.django_db
    def test_is_made_without_the_database(
        self, describe: Callable[[], Description], monkeypatch: Any
    ) -> None:
        with CaptureQueriesContext(connection) as queries:
            describe()

        assert len(queries) == 0


@needs_extra
class TestPatterns:
    def patterns(self, description: Description) -> set[str | None]:
        parameter = description.operation("get_enrollment")["parameters"][0]
        (filtered,) = (
            one
            for one in description.operation("list_all_enrollments")["parameters"]
            if one["name"] == "course_id"
        )
        components = description.document["components"]["schemas"]
        sent = [
            components[f"enrollment.{name}"]["properties"]["course_id"]
            for name in ("WantedCourse", "InvitationRequest", "WithdrawalRequest")
        ]
        assert parameter["name"] == "course_id"
        schemas = [parameter["schema"], filtered["schema"], *sent]
        return {one.get("pattern") for one in schemas}

    def test_of_course_ids_are_the_hosts(
        self, describe: Callable[[], Description], settings: Any
    ) -> None:
        settings.ENROLLMENTS_COURSE_ID_PATTERN = "[a-z]+|[0-9]+"

        assert self.patterns(describe()) == {"^(?:[a-z]+|[0-9]+)$"}

    def test_of_usernames_are_the_hosts(
        self, describe: Callable[[], Description], settings: Any
    ) -> None:
        settings.ENROLLMENTS_USERNAME_PATTERN = "[a-z]+"

        description = describe()

        named = description.operation("get_enrollment")["parameters"]
        listed = description.operation("list_all_enrollments")["parameters"]
        (in_path,) = (one["schema"] for one in named if one["name"] == "username")
        (in_query,) = (one["schema"] for one in listed if one["name"] == "username")
        assert in_path["pattern"] == in_query["items"]["pattern"] == "^(?:[a-z]+)$"

    @pytest.mark.parametrize(
        "pattern",
        [
            "(?i)[a-z]+",
            r"(?P<a>x)(?P=a)",
            r"\Aa\Z",
            "(?#no)a",
            pytest.param(
                "a++",
                marks=pytest.mark.skipif(
                    sys.version_info < (3, 11), reason="Python knows it since 3.11."
                ),
            ),
        ],
    )
    def test_that_only_python_knows_are_left_out(
        self, describe: Callable[[], Description], settings: Any, pattern: str
    ) -> None:
        settings.ENROLLMENTS_COURSE_ID_PATTERN = pattern

        assert self.patterns(describe()) == {None}


@needs_extra
class TestSecurity:
    AUTHENTICATION = "django_enrollments.authentication"

    def schemes(self, description: Description) -> dict[str, Any]:
        return description.document["components"]["securitySchemes"]

    def test_is_none_of_the_open_call(self, description: Description) -> None:
        assert description.operation("describe_course")["security"] == [{}]

    def test_of_a_session_asks_for_the_token_to_change_something(
        self, description: Description
    ) -> None:
        reading = description.operation("list_enrollments")["security"]
        writing = description.operation("enroll")["security"]

        assert {"cookieAuth": []} in reading
        assert [one for one in writing if "cookieAuth" in one] == [
            {"cookieAuth": [], "csrfToken": []}
        ]

    def test_of_keys_is_where_they_count(self, description: Description) -> None:
        keyed = [
            one["operationId"]
            for _, _, one in description.operations
            if {"enrollmentApiKey": []} in one["security"]
        ]

        assert sorted(keyed) == sorted(WITH_KEY)

    def test_names_the_headers_and_the_cookie_of_the_host(
        self, describe: Callable[[], Description], settings: Any
    ) -> None:
        settings.ENROLLMENTS_API_KEY_HEADER = "X-Key"
        settings.SESSION_COOKIE_NAME = "seat"
        settings.CSRF_HEADER_NAME = "HTTP_X_TOKEN"

        schemes = self.schemes(describe())

        assert schemes["enrollmentApiKey"]["name"] == "X-Key"
        assert schemes["cookieAuth"]["name"] == "seat"
        assert schemes["csrfToken"]["name"] == "X-TOKEN"

    def test_is_by_the_classes_that_the_host_names(
        self, describe: Callable[[], Description], settings: Any
    ) -> None:
        pytest.importorskip("rest_framework_simplejwt", reason="No extra jwt.")
        pytest.importorskip("oauth2_provider", reason="No extra oauth.")
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
            f"{self.AUTHENTICATION}.JwtAuthentication",
            f"{self.AUTHENTICATION}.BearerAuthenticationAllowInactiveUser",
        ]

        description = describe()

        assert description.operation("enroll")["security"] == [
            {"enrollmentJwt": []},
            {"enrollmentOAuth2": []},
            {"enrollmentApiKey": []},
        ]
        assert self.schemes(description)["enrollmentJwt"]["bearerFormat"] == "JWT"
        assert "cookieAuth" not in self.schemes(description)


class _Quieter(EnrollmentListView):
    """A host's own list, which takes what ours takes."""


class _Wider(EnrollmentListView):
    """A host's own list, which takes more."""

    def put(self, request: Any) -> None:
        """Do what ours does not."""


@needs_extra
class TestViewsOfHosts:
    def paths(self, view: Any) -> dict[str, Any]:
        from drf_spectacular.drainage import GENERATOR_STATS
        from drf_spectacular.generators import SchemaGenerator

        patterns = [path("mine", view.as_view())]
        with GENERATOR_STATS.silence():
            return SchemaGenerator(patterns=patterns).get_schema(public=True)["paths"]

    def test_are_described_as_ours_are(self) -> None:
        mine = self.paths(_Quieter)["/mine"]

        assert mine["get"]["operationId"] == "list_enrollments"
        assert mine["post"]["operationId"] == "enroll"

    def test_that_take_more_describe_themselves(self, settings: Any) -> None:
        settings.REST_FRAMEWORK = {
            "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"
        }

        mine = self.paths(_Wider)["/mine"]

        assert mine["put"]["description"] == "Do what ours does not."
        assert mine["get"]["operationId"] == "mine_retrieve"

    def test_keep_their_own_schema_when_they_are_asked(self, db: None) -> None:
        before = EnrollmentListView.schema

        self.paths(EnrollmentListView)

        assert type(EnrollmentListView.schema) is type(before)
        assert (
            CourseEnrollmentsApiListView.as_view()(
                RequestFactory().get("/")
            ).status_code
            == 401
        )


@needs_extra
@pytest.mark.skipif(
    not is_default_host()
    or django_settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3",
    reason="the example project brings its own host and database: once is enough",
)
class TestExampleProject:
    def test_is_described_without_a_warning(self, tmp_path: Any) -> None:
        file = tmp_path / "schema.yaml"
        inherited = {k: v for k, v in os.environ.items() if k[:6] != "DJANGO"}

        done = subprocess.run(  # noqa: S603 - this project's own command.
            [
                sys.executable,
                str(MANAGE),
                "spectacular",
                "--validate",
                "--fail-on-warn",
                f"--file={file}",
            ],
            env=inherited,
            capture_output=True,
            text=True,
        )

        assert done.returncode == 0, done.stderr
        assert "/api/enrollment/v1/enrollment" in file.read_text()


class TestWithoutTheExtra:
    def test_nothing_is_missed(self) -> None:
        code = (
            "import sys\n"
            "sys.modules['drf_spectacular'] = None\n"
            "import django\n"
            "from django.conf import settings\n"
            "settings.configure(INSTALLED_APPS=[\n"
            "    'django.contrib.auth', 'django.contrib.contenttypes',\n"
            "    'rest_framework', 'django_enrollments'], SECRET_KEY='x')\n"
            "django.setup()\n"
            "import django_enrollments.urls\n"
            "assert 'django_enrollments.schema' not in sys.modules\n"
        )

        done = subprocess.run(  # noqa: S603 - our own code.
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

        assert (done.returncode, done.stderr) == (0, "")
