"""The OpenAPI description, compared with real responses (extra openapi)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from django_enrollments import api, urls
from django_enrollments.errors import CourseEnrollmentError, EnrollmentNotAllowed
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollmentAllowed,
    UserRetirementStatus,
)
from django_enrollments.views import EnrollmentListView
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
from tests.http import NOWHERE, client_of, put
from tests.http import ROOT as API

#: The reviewed description of the default host. After a change, write it again and
#: review the difference:
#:
#:     python -m django spectacular --settings tests.settings --file tests/openapi.yaml
GOLDEN_FILE = Path(__file__).parent / "openapi.yaml"

KEY = {"X-Edx-Api-Key": "a-key"}
FORM = "application/x-www-form-urlencoded"
ADDRESS = "new@example.org"

#: Settings of drf-spectacular under which there is another dialect of schemas.
OPENAPI_3_1 = {"OAS_VERSION": "3.1.1"}

needs_extra = pytest.mark.skipif(
    find_spec("drf_spectacular") is None, reason="The extra openapi is not installed."
)
only_once = pytest.mark.skipif(
    not is_default_host()
    or django_settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3",
    reason="It does not depend on the host or the database.",
)


@pytest.fixture(scope="module")
def description():
    from tests.described import Description

    return Description()


@pytest.fixture
def describe():
    """Return a function that describes the API with the settings of a test."""
    from tests.described import Description

    return Description


class World:
    """A learner, a superuser and a course, and requests about them."""

    def __init__(self, settings, monkeypatch):
        self.settings, self.monkeypatch = settings, monkeypatch
        self.learner = make_user("ada")
        self.boss = make_user("boss", is_staff=True, is_superuser=True)
        self.course = make_course("course-v1:edX+DemoX+Demo_Course")
        make_modes(self.course, "audit", "verified")
        self.nobody = None

    @property
    def course_id(self):
        return course_id_of(self.course)

    def send(
        self,
        operation_id,
        *,
        user=None,
        query="",
        body=None,
        content_type="application/json",
        headers=None,
        options=None,
        **parameters,
    ):
        """Send a request of its usual requester; a body changes fields, or all."""
        method, path, usual_user, fields = OPERATIONS[operation_id]
        where = API + path.format(
            **{"course_id": self.course_id, "username": username("ada"), **parameters}
        )
        if fields is None:
            content_type, content = "", b""
        elif isinstance(body, bytes):
            content = body
        else:
            usual = fields(self.course_id)
            content = json.dumps({**usual, **(body or {})}).encode()
        return client_of(getattr(self, user or usual_user), **(options or {})).generic(
            method,
            f"{where}?{query}" if query else where,
            content,
            content_type=content_type,
            headers=headers or {},
        )

    def fail(self, name, error=None):
        """Let a function of the Python API raise an error."""

        def fail(*args, **kwargs):
            raise error or CourseEnrollmentError("The disk is full.")

        self.monkeypatch.setattr(api, name, fail)


@pytest.fixture
def world(db, settings, monkeypatch):
    settings.ENROLLMENTS_API_KEYS = [*KEY.values()]
    return World(settings, monkeypatch)


def _invitation(course_id):
    return {"email": ADDRESS, "course_id": course_id}


def _enrollment(course_id):
    return {"course_details": {"course_id": course_id}}


def _retirement(course_id):
    return {"username": username("ada")}


#: Each operation with its method, path, usual requester and body.
OPERATIONS = {
    "describe_course": ("GET", "course/{course_id}", "learner", None),
    "explain_enrollment": ("GET", "course/{course_id}/eligibility", "learner", None),
    "enroll": ("POST", "enrollment", "learner", _enrollment),
    "list_enrollments": ("GET", "enrollment", "learner", None),
    "get_own_enrollment": ("GET", "enrollment/{course_id}", "learner", None),
    "get_enrollment": ("GET", "enrollment/{username},{course_id}", "boss", None),
    "list_roles": ("GET", "roles/", "learner", None),
    "list_all_enrollments": ("GET", "enrollments", "boss", None),
    "list_invitations": ("GET", "enrollment_allowed/", "boss", None),
    "invite": ("POST", "enrollment_allowed/", "boss", _invitation),
    "withdraw_invitation": ("DELETE", "enrollment_allowed/", "boss", _invitation),
    "unenroll_user_from_all_courses": ("POST", "unenroll/", "boss", _retirement),
}
WITH_BODY = [one for one, (*_, body) in OPERATIONS.items() if body]
WITH_COURSE = [one for one, (_, path, *_) in OPERATIONS.items() if "course_id" in path]

#: Requests: operation, expected status, preparation, and arguments of ``send``.
CASES = []


def case(operation_id, status, prepare=None, **arguments):
    CASES.append((operation_id, status, prepare, arguments))


# What may be prepared


def setting(name, value):
    def prepare(world):
        setattr(world.settings, name, value)

    return prepare


def failing(name):
    return lambda world: world.fail(name)


def veto(action, **context):
    raise EnrollmentNotAllowed("Not today.")


def authenticating(extra, class_name):
    def prepare(world):
        pytest.importorskip(extra, reason="The extra is not installed.")
        world.settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
            f"django_enrollments.authentication.{class_name}"
        ]

    return prepare


def sent_before(operation_id):
    def prepare(world):
        rates = dict.fromkeys(("user", "staff"), "1/minute")
        world.settings.ENROLLMENTS_THROTTLE_RATES = rates
        world.send(operation_id)

    return prepare


def enrolled(world):
    put(world.learner, world.course)


def inactive(world):
    put(world.learner, world.course, is_active=False)


def invited(world):
    world.send("invite")


def retiring(world):
    UserRetirementStatus.objects.create(
        user=world.learner, original_username=world.learner.get_username()
    )


def retiring_and_enrolled(world):
    retiring(world)
    enrolled(world)


def retiring_in_vain(world):
    retiring(world)
    world.fail("unenroll_user_and_list_courses")


def course_with_every_value(world):
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


def course_without_values(world):
    world.course = make_course("bare-1")


def full_course(world):
    world.course = make_course("full-1", max_student_enrollments_allowed=0)


def course_closed_for_every_reason(world):
    later = timezone.now() + DAY
    world.course = make_course(
        "closed-1",
        enrollment_start=later,
        enrollment_end=later,
        invitation_only=True,
        max_student_enrollments_allowed=0,
    )
    world.settings.ENROLLMENTS_FILTERS = [veto]


def two_users_with_one_address(world):
    # Addresses are unique in the other host.
    world.monkeypatch.setattr(
        enrollment_views,
        "find_users_by_email",
        lambda emails: {emails[0]: [world.learner, world.boss]},
    )


def roles_in_course_and_organization(world):
    for course_id in ("", world.course_id):
        CourseAccessRole.objects.create(
            user=world.learner, org="edX", course_id=course_id, role="staff"
        )


def used_and_unused_invitations(world):
    for user, course_id in ((None, "a"), (world.learner, "b")):
        CourseEnrollmentAllowed.objects.create(
            email=ADDRESS, course_id=course_id, user=user
        )


def deleted_course(world):
    if not is_default_host():
        pytest.skip("The key that is left names no course in this host.")
    put(world.learner, world.course)
    course_id = world.course_id
    world.course.delete()
    return {"course_id": course_id}


def second_page_of_three(world):
    for name in ("bea", "cleo", "dora"):
        put(make_user(name), world.course)
    first = world.send("list_all_enrollments", query="page_size=1").json()
    return {"query": first["next"].partition("?")[2]}


# Errors of Django REST framework, in every operation that can have them

for one in OPERATIONS:
    if one != "describe_course":
        case(one, 401, user="nobody")
    if OPERATIONS[one][2] == "boss" and one != "get_enrollment":
        case(one, 403, user="learner")
    if one != "unenroll_user_from_all_courses":
        case(one, 429, sent_before(one))
    if one in WITH_BODY:
        case(one, 400, body=b"{")
        case(one, 403, options={"enforce_csrf_checks": True})
        case(one, 413, setting("DATA_UPLOAD_MAX_MEMORY_SIZE", 1))
        case(one, 415, content_type="text/plain")
    else:
        case(one, 413, setting("DATA_UPLOAD_MAX_NUMBER_FIELDS", 1), query="a=1&b=2")

for one in ("enroll", "list_all_enrollments"):
    for extra, name, token in (
        ("rest_framework_simplejwt", "JwtAuthentication", "JWT a.b.c"),
        ("oauth2_provider", "BearerAuthenticationAllowInactiveUser", "Bearer x"),
    ):
        headers = {"Authorization": token}
        case(one, 401, authenticating(extra, name), user="nobody", headers=headers)

# Courses

case("describe_course", 200, course_with_every_value, query="include_expired=1")
case("describe_course", 200, course_without_values, user="nobody")
case("describe_course", 400, course_id=NOWHERE)
case("explain_enrollment", 200)
case("explain_enrollment", 200, enrolled)
case("explain_enrollment", 200, course_closed_for_every_reason, query="mode=masters")
case("explain_enrollment", 400, course_id=NOWHERE)

# Enrollments

EVERY_FIELD = {
    "user": username("ada"),
    "mode": "verified",
    "is_active": True,
    "enrollment_attributes": [{"namespace": "a", "name": "b", "value": "c"}],
    "force_enrollment": True,
    "cohort": None,
    "email_opt_in": True,
    "enterprise_uuid": "x",
    "linked_enterprise_customer": "y",
    "enterprise_course_consent": True,
}
DEACTIVATION = {"user": username("ada"), "is_active": False}
case("enroll", 200)
case("enroll", 200, user="boss", body=EVERY_FIELD)
case("enroll", 200, user="nobody", headers=KEY, body=DEACTIVATION)
for fields in (
    {"course_details": {"course_id": NOWHERE}},
    {"course_details": {"course_id": "a b"}},
    {"mode": "masters"},
    {"is_active": "yes"},
    {"force_enrollment": 1},
    {"enrollment_attributes": [{"namespace": "a", "name": "b"}]},
    {"enrollment_attributes": 7},
    {"email_opt_in": "yes"},
    {"enterprise_uuid": 7},
):
    case("enroll", 400, user="boss", body=fields)
case("enroll", 400, body=b"[]")
case("enroll", 400, body=b"mode=audit", content_type=FORM)
case("enroll", 400, full_course)
case("enroll", 403, body={"mode": "verified"})
case("enroll", 403, setting("ENROLLMENTS_FILTERS", [veto]))
case("enroll", 404, body={"user": username("boss")})
case("enroll", 406, user="boss", body={"user": "nobody"})
case("enroll", 406, user="boss", body={"email": ADDRESS})
case("enroll", 406, user="nobody", headers=KEY)
case("enroll", 409, two_users_with_one_address, user="boss", body={"email": ADDRESS})
case("list_enrollments", 200, enrolled, query="include_expired=1")
case("list_enrollments", 200, query="user=boss")
case("list_enrollments", 400, failing("get_enrollments"))
case("list_enrollments", 403, setting("ENROLLMENTS_FILTERS", [veto]))
case("get_own_enrollment", 200)
case("get_own_enrollment", 200, inactive)
case("get_own_enrollment", 400, failing("get_enrollment"))
case("get_enrollment", 200, enrolled)
case("get_enrollment", 200, deleted_course)
case("get_enrollment", 200, user="nobody", username="nobody", headers=KEY)
case("get_enrollment", 400, failing("get_enrollment"))
case("get_enrollment", 404, user="learner", username=username("boss"))
case("list_all_enrollments", 200, second_page_of_three)
case("list_all_enrollments", 200, query="email=a,b&username=c")
TOO_MANY = ",".join("a" * 101)
case(
    "list_all_enrollments",
    400,
    query=f"course_id=a+b&username={TOO_MANY}&email={TOO_MANY}&course_ids={TOO_MANY}",
)
case("list_all_enrollments", 404, query="cursor=x")

# Roles, invitations, retirement

case("list_roles", 200, roles_in_course_and_organization)
case("list_roles", 400, failing("get_user_roles"))
case("list_invitations", 200, used_and_unused_invitations, query=f"email={ADDRESS}")
case("invite", 201, body={"auto_enroll": True})
ON = f"email={ADDRESS}&course_id=a&auto_enroll=on".encode()
case("invite", 201, body=ON, content_type=FORM)
case("invite", 400, body={"email": ""})
case("invite", 400, body={"email": "x"})
case("invite", 409, invited)
case("withdraw_invitation", 204, invited)
case("withdraw_invitation", 400, body={"email": ""})
case("withdraw_invitation", 404)
case("unenroll_user_from_all_courses", 200, retiring_and_enrolled)
case("unenroll_user_from_all_courses", 204, retiring)
case("unenroll_user_from_all_courses", 404)
case("unenroll_user_from_all_courses", 404, body=b"{}")
case("unenroll_user_from_all_courses", 500, retiring_in_vain)


@needs_extra
class TestResponses:
    @pytest.mark.parametrize(
        ("operation_id", "status", "prepare", "arguments"),
        CASES,
        ids=[f"{one}-{status}" for one, status, *_ in CASES],
    )
    def test_are_as_described(
        self, world, description, operation_id, status, prepare, arguments
    ):
        prepared = prepare(world) if prepare else None

        response = world.send(operation_id, **{**arguments, **(prepared or {})})

        assert response.status_code == status, response.content
        assert description.operation_of(response)["operationId"] == operation_id
        description.assert_describes(response)

    @pytest.mark.parametrize("operation_id", WITH_COURSE)
    def test_to_paths_without_a_route_are_described_without_a_body(
        self, world, description, operation_id
    ):
        response = world.send(operation_id, course_id="a b")

        assert response.status_code == 404
        described = description.operation(operation_id)["responses"]["404"]
        assert "content" not in described

    def test_are_all_tested_here(self, description):
        described = {
            (operation["operationId"], int(status))
            for _, _, operation in description.operations
            for status in operation["responses"]
        }
        tested = {(one, status) for one, status, *_ in CASES}

        assert tested | {(one, 404) for one in WITH_COURSE} == described

    @pytest.mark.parametrize("row", ERROR_RESPONSES, ids=lambda row: row[0].__name__)
    def test_to_every_domain_error_are_described(self, world, description, row):
        kind, status, _ = row
        course = api.get_course_enrollment_details(world.course_id)
        world.fail("add_enrollment", kind("No.", course))

        response = world.send("enroll")

        assert response.status_code == status
        description.assert_describes(response)

    def test_that_differ_fail_the_comparison(self, world, description):
        world.monkeypatch.setattr(
            api, "get_course_enrollment_details", lambda *args, **kwargs: {"id": 7}
        )

        with pytest.raises(AssertionError):
            description.assert_describes(world.send("describe_course"))


@needs_extra
class TestDescription:
    @only_once
    def test_is_the_reviewed_one(self, tmp_path):
        produced = tmp_path / "openapi.yaml"

        call_command("spectacular", file=produced)

        assert produced.read_text() == GOLDEN_FILE.read_text()

    @pytest.mark.parametrize("dialect", [None, "OPENAPI_3_1"])
    def test_is_valid_and_without_a_warning(self, tmp_path, dialect):
        file = tmp_path / "schema.yaml"
        options = {"custom_settings": f"{__name__}.{dialect}"} if dialect else {}

        call_command(
            "spectacular", validate=True, fail_on_warn=True, file=file, **options
        )

        assert f"openapi: {'3.1' if dialect else '3.0'}" in file.read_text()

    def test_has_every_url_and_method(self, description):
        from tests.described import template_of

        served = {
            (API + template_of(str(pattern.pattern))[1:], method.lower())
            for pattern in urls.urlpatterns
            for method in pattern.callback.view_class().allowed_methods
            if method != "OPTIONS"
        }

        assert {(path, method) for path, method, _ in description.operations} == served

    def test_has_valid_examples_of_every_body(self, description):
        for _, _, operation in description.operations:
            contents = [
                operation.get("requestBody", {}).get("content", {}),
                *(one.get("content", {}) for one in operation["responses"].values()),
            ]
            bodies = [body for content in contents for body in content.values()]
            assert all(body["examples"] for body in bodies), operation["operationId"]
            for holder in [*bodies, *operation.get("parameters", [])]:
                for name, example in holder.get("examples", {}).items():
                    faults = description.faults(example["value"], holder["schema"])
                    assert faults == [], (operation["operationId"], name)

    def test_has_request_examples_that_the_inputs_accept(self, description):
        from django_enrollments.schema import INPUTS

        for one in WITH_BODY:
            content = description.operation(one)["requestBody"]["content"]
            for example in content["application/json"]["examples"].values():
                inputs = INPUTS[one](data=example["value"], context={"is_form": False})
                assert inputs.is_valid(), inputs.errors

    @pytest.mark.django_db
    def test_is_made_without_the_database(self, describe):
        with CaptureQueriesContext(connection) as queries:
            describe()

        assert len(queries) == 0


@needs_extra
class TestPatterns:
    def of_parameter(self, description, one, name):
        parameters = description.operation(one)["parameters"]
        (schema,) = (given["schema"] for given in parameters if given["name"] == name)
        return schema.get("items", schema).get("pattern")

    def of_course_ids(self, description):
        components = description.document["components"]["schemas"]
        course = components["enrollment.WantedCourse"]["properties"]["course_id"]
        return {
            self.of_parameter(description, "get_enrollment", "course_id"),
            self.of_parameter(description, "list_all_enrollments", "course_id"),
            course.get("pattern"),
        }

    def test_of_course_ids_are_the_hosts(self, describe, settings):
        settings.ENROLLMENTS_COURSE_ID_PATTERN = "[a-z]+|[0-9]+"

        assert self.of_course_ids(describe()) == {"^(?:[a-z]+|[0-9]+)$"}

    def test_of_usernames_are_the_hosts(self, describe, settings):
        settings.ENROLLMENTS_USERNAME_PATTERN = "[a-z]+"

        description = describe()

        for one in ("get_enrollment", "list_all_enrollments"):
            found = self.of_parameter(description, one, "username")
            assert found == "^(?:[a-z]+)$"

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
                    sys.version_info < (3, 11), reason="Python has it since 3.11."
                ),
            ),
        ],
    )
    def test_with_syntax_of_python_alone_are_left_out(
        self, describe, settings, pattern
    ):
        settings.ENROLLMENTS_COURSE_ID_PATTERN = pattern

        assert self.of_course_ids(describe()) == {None}


@needs_extra
class TestSecurity:
    def test_has_the_headers_and_the_cookie_of_the_host(self, describe, settings):
        settings.ENROLLMENTS_API_KEY_HEADER = "X-Key"
        settings.SESSION_COOKIE_NAME = "seat"
        settings.CSRF_HEADER_NAME = "HTTP_X_TOKEN"

        schemes = describe().document["components"]["securitySchemes"]

        assert schemes["enrollmentApiKey"]["name"] == "X-Key"
        assert schemes["cookieAuth"]["name"] == "seat"
        assert schemes["csrfToken"]["name"] == "X-TOKEN"

    def test_has_the_classes_of_the_host(self, describe, settings):
        pytest.importorskip("rest_framework_simplejwt", reason="No extra jwt.")
        pytest.importorskip("oauth2_provider", reason="No extra oauth.")
        settings.ENROLLMENTS_AUTHENTICATION_CLASSES = [
            "django_enrollments.authentication.JwtAuthentication",
            "django_enrollments.authentication.BearerAuthenticationAllowInactiveUser",
        ]

        description = describe()

        assert description.operation("enroll")["security"] == [
            {"enrollmentJwt": []},
            {"enrollmentOAuth2": []},
            {"enrollmentApiKey": []},
        ]
        schemes = description.document["components"]["securitySchemes"]
        assert schemes["enrollmentJwt"]["bearerFormat"] == "JWT"
        assert "cookieAuth" not in schemes


class _SameMethods(EnrollmentListView):
    """A host's subclass with the same methods."""


class _MoreMethods(EnrollmentListView):
    """A host's subclass with another method."""

    def put(self, request):
        """Replace an enrollment."""


@needs_extra
class TestViewsOfHosts:
    def operations(self, view):
        from drf_spectacular.drainage import GENERATOR_STATS
        from drf_spectacular.generators import SchemaGenerator

        patterns = [path("mine", view.as_view())]
        with GENERATOR_STATS.silence():
            made = SchemaGenerator(patterns=patterns).get_schema(public=True)
        return made["paths"]["/mine"]

    def test_with_the_same_methods_are_described_as_ours_are(self):
        schema = type(EnrollmentListView.schema)

        mine = self.operations(_SameMethods)

        assert mine["get"]["operationId"] == "list_enrollments"
        assert mine["post"]["operationId"] == "enroll"
        assert type(_SameMethods.schema) is schema

    def test_with_more_methods_describe_themselves(self, settings):
        settings.REST_FRAMEWORK = {
            "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"
        }

        mine = self.operations(_MoreMethods)

        assert mine["put"]["description"] == "Replace an enrollment."
        assert mine["get"]["operationId"] == "mine_retrieve"


@needs_extra
@only_once
def test_the_example_project_is_described_without_a_warning(tmp_path):
    file = tmp_path / "schema.yaml"
    inherited = {k: v for k, v in os.environ.items() if k[:6] != "DJANGO"}
    options = ["--validate", "--fail-on-warn", f"--file={file}"]

    done = subprocess.run(  # noqa: S603 - this project's own command.
        [sys.executable, str(MANAGE), "spectacular", *options],
        env=inherited,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "/api/enrollment/v1/enrollment" in file.read_text()


def test_without_the_extra_the_schema_is_not_imported():
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
