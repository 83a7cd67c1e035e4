"""
Responses do not depend on users and enrollments that the requester may not see.

The same request is made with different states of one user. Requesters who may not see
this user get the same response in all of them: status, headers and body.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollmentAllowed,
    UserRetirementStatus,
)
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    ENROLL_IN_COURSE,
    RETIRE_USER,
    VIEW_ENROLLMENT_DATA,
)
from tests.factories import (
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    username,
)
from tests.http import (
    ALLOW_INACTIVE,
    ENROLLMENT,
    NOWHERE,
    ROOT,
    ask,
    assert_hidden,
    client_of,
    put,
    wish,
)
from tests.sampling import spread
from tests.watching import nothing_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
OTHER_ID = "course-v1:edX+Other+R"
KEY = "the key of the billing service"
BEA, EMAIL = username("bea"), "bea@example.org"


def retiring(course):
    bea = make_user("bea")
    put(bea, course, "verified")
    UserRetirementStatus.objects.create(user=bea, original_username=BEA)


def give_role(user, course_id: str = COURSE_ID, role: str = "staff"):
    CourseAccessRole.objects.create(
        user=user, org="edX", course_id=course_id, role=role
    )


def invite(email: str = EMAIL, course_id: str = COURSE_ID, **fields):
    CourseEnrollmentAllowed.objects.create(email=email, course_id=course_id, **fields)


#: States of the user, by calls that make them.
STATES: dict[str, Callable[[Any], Any]] = {
    "enrolled": lambda course: put(make_user("bea"), course),
    "not enrolled": lambda course: make_user("bea"),
    "unenrolled": lambda course: put(make_user("bea"), course, is_active=False),
    "inactive": lambda course: put(make_user("bea", is_active=False), course),
    "staff": lambda course: give_role(make_user("bea", is_staff=True)),
    "retiring": retiring,
    "invited": lambda course: invite(),
    "missing": lambda course: None,
}


def make_team_member(course_id: str = COURSE_ID, role: str = "staff"):
    member = make_user("member")
    give_role(member, course_id, role)
    return member


def make_staff_of_another_course():
    member = make_team_member(OTHER_ID)
    put(member, make_course(OTHER_ID))
    return member


def with_key(key: str, user=None):
    return client_of(user, headers={"X-Edx-Api-Key": key})


#: Clients of requesters who may not see the user.
CLIENTS = {
    "anonymous": client_of,
    "learner": lambda: client_of(make_user("learner")),
    "inactive learner": lambda: client_of(make_user("learner", is_active=False)),
    "staff of another course": lambda: client_of(make_staff_of_another_course()),
    "staff of the organization": lambda: client_of(make_team_member("", "instructor")),
    "wrong key": lambda: with_key(KEY[:-1]),
    "learner with a wrong key": lambda: with_key(KEY.upper(), make_user("learner")),
}


def reading(path: str, **query: str):
    return lambda client: client.get(f"{ROOT}{path}", query)


def sending(method: str, path: str, body=None, kind: str = "application/json"):
    return lambda client: client.generic(
        method,
        f"{ROOT}{path}",
        body if isinstance(body, str) else json.dumps(body),
        content_type=kind,
    )


def posting(**fields):
    return sending("POST", "enrollment", wish(COURSE_ID) | fields)


ONE = f"enrollment/{BEA},{COURSE_ID}"
ELIGIBILITY = f"course/{COURSE_ID}/eligibility"
INVITATION = {"email": EMAIL, "course_id": COURSE_ID}
REQUESTS: dict[str, Callable[[Any], Any]] = {
    "GET one": reading(ONE),
    "GET one with expired modes": reading(ONE, include_expired="1"),
    "GET one in no course": reading(f"enrollment/{BEA},{NOWHERE}"),
    "GET one in another course": reading(f"enrollment/{BEA},{OTHER_ID}"),
    "GET own, naming another": reading(
        f"enrollment/{COURSE_ID}", user=BEA, username=BEA
    ),
    **{
        f"{verb} one": sending(verb, ONE)
        for verb in ("HEAD", "OPTIONS", "PUT", "DELETE")
    },
    "GET list": reading("enrollment", user=BEA),
    "GET own list, naming another": reading("enrollment", username=BEA),
    "HEAD list": sending("HEAD", f"enrollment?user={BEA}"),
    "GET all": reading("enrollments"),
    "GET all by name": reading("enrollments", username=BEA),
    "GET all by address": reading("enrollments", email=EMAIL),
    "GET all from a bad cursor": reading("enrollments", cursor="x", email=EMAIL),
    "HEAD all": sending("HEAD", f"enrollments?email={EMAIL}"),
    "GET invitations": reading("enrollment_allowed/", email=EMAIL),
    **{
        f"{verb} invitation": sending(verb, "enrollment_allowed/", INVITATION)
        for verb in ("POST", "DELETE", "PUT")
    },
    "POST unenroll": sending("POST", "unenroll/", {"username": BEA}),
    "POST unenroll as a form": sending(
        "POST", "unenroll/", f"username={BEA}", "application/x-www-form-urlencoded"
    ),
    "GET roles": reading("roles/"),
    "GET roles, naming another": reading("roles/", user=BEA, username=BEA, user_id="2"),
    "GET roles on the course": reading("roles/", course_id=COURSE_ID),
    "GET eligibility": reading(ELIGIBILITY),
    "GET eligibility, naming another": reading(
        ELIGIBILITY, user=BEA, username=BEA, email=EMAIL
    ),
    "GET course": reading(f"course/{COURSE_ID}"),
    "GET course, naming another": reading(
        f"course/{COURSE_ID}", user=BEA, include_expired="1"
    ),
    "POST for oneself": posting(),
    **{
        f"POST for another{note}": posting(**{"user": BEA} | fields)
        for note, fields in {
            "": {},
            ", in a paid mode": {"mode": "verified"},
            ", in no mode": {"mode": "unheard-of"},
            ", inactive": {"is_active": False},
            ", with a wrong flag": {"is_active": "foo"},
            ", forced": {"force_enrollment": True},
            ", with a wrong attribute": {"enrollment_attributes": [{}]},
            ", into a cohort": {"cohort": "red"},
            ", of a customer": {"linked_enterprise_customer": "acme"},
            ", in no course": wish(NOWHERE),
            ", without a course": {"course_details": {}},
            ", in an invalid course": wish("a b"),
            ", by e-mail": {"user": None, "email": EMAIL},
            ", by e-mail, inactive": {"user": None, "email": EMAIL, "is_active": False},
            ", by e-mail, without a course": {
                "user": None,
                "email": EMAIL,
                "course_details": {},
            },
            ", by both": {"email": EMAIL},
            ", in capitals": {"user": username("BEA"), "email": EMAIL.upper()},
        }.items()
    },
}

#: The token of a new cookie, and its expiry.
OF_A_COOKIE = re.compile(r"(?<=csrftoken=)[^;]*|(?<=expires=)[^;]*")

#: When the requester was enrolled, and the number of seats taken, which is public.
OF_A_BODY = re.compile(rb'(?<="created":)"[^"]*"|(?<="taken":)\d+')


def seen(response) -> tuple[Any, ...]:
    """Return what a client sees, without what does not depend on another user."""
    cookies = {
        name: OF_A_COOKIE.sub("", morsel.OutputString())
        for name, morsel in response.cookies.items()
    }
    headers = [(name, value) for name, value in response.items() if name != "Date"]
    body = OF_A_BODY.sub(b"", response.content)
    return response.status_code, response.reason_phrase, headers, cookies, body


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def responses_in_all_states(
    course, client, request, states: Mapping[str, Callable[[Any], Any]] = STATES
) -> dict[str, Any]:
    """Make a request with every state of the user, each time with the same cookies."""
    cookies = client.cookies.output(header="", sep=";")
    responses = {}
    for state, make in states.items():
        client.cookies.clear()
        client.cookies.load(cookies)
        with rolled_back():
            make(course)
            responses[state] = seen(request(client))
    return responses


def assert_equal(responses: Mapping[str, Any], *place):
    first, *_ = responses.values()
    for state, response in responses.items():
        assert response == first, (state, *place)


@pytest.fixture
def course():
    course = make_course(COURSE_ID)
    make_modes(course, "audit", "verified")
    make_mode(course, "honor", expiration_datetime=timezone.now() - timedelta(days=1))
    return course


@pytest.fixture(autouse=True)
def _host(settings):
    settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE
    settings.ENROLLMENTS_API_KEYS = [KEY]
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}


@pytest.mark.rule("V1-POST-32", "V1-GET-02", "V1-CEA-01", "SEED-DIFF-17")
@pytest.mark.parametrize(("request_", "clients"), spread(REQUESTS, CLIENTS))
def test_the_response_does_not_depend_on_another_user(course, request_, clients):
    for name in clients:
        with rolled_back():
            client = CLIENTS[name]()

            responses = responses_in_all_states(course, client, request_)

        assert_equal(responses, name)
        assert responses["enrolled"][0] < 500


@pytest.mark.parametrize(
    ("client", "names"),
    [
        (
            lambda: client_of(make_user("boss", is_staff=True)),
            ["GET one", "GET list", "POST for another"],
        ),
        (lambda: with_key(KEY), ["GET one"]),
        (lambda: client_of(make_team_member()), ["GET list"]),
    ],
)
def test_the_response_depends_on_a_user_who_may_be_seen(course, client, names):
    client = client()

    for name in names:
        responses = responses_in_all_states(course, client, REQUESTS[name])

        assert len({response[-1] for response in responses.values()}) > 1


class PermissionsByName:
    """Grants users what they are named for, and enrolling to all."""

    granted = {
        username("reader"): VIEW_ENROLLMENT_DATA,
        username("creator"): CREATE_ENROLLMENT,
        username("deactivator"): DEACTIVATE_ENROLLMENT,
        username("retirer"): RETIRE_USER,
    }

    def has_perm(self, user, perm: str, course=None) -> bool:
        if perm == ENROLL_IN_COURSE:
            return True
        return course is None and self.granted.get(user.get_username()) == perm


def requests_of(*starts: str) -> set[str]:
    return {name for name in REQUESTS if name.startswith(starts)}


READING = requests_of("GET one", "GET list", "HEAD list")
LISTING = requests_of("GET all", "HEAD all")
INVITING = {name for name in REQUESTS if "invitation" in name}
ENROLLING = requests_of("POST for another")
RETIRING = requests_of("POST unenroll")
LEAVING = {name for name in ENROLLING if name.endswith(", inactive")}
DELETING = {"POST invitation", "DELETE invitation"}


class TestOnePermission:
    @pytest.fixture(autouse=True)
    def _backend(self, settings):
        path = f"{__name__}.PermissionsByName"
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [path]

    @pytest.mark.rule("V1-POST-32")
    @pytest.mark.parametrize(
        ("name", "hidden"),
        [
            ("reader", ENROLLING | DELETING | RETIRING),
            ("creator", READING | LISTING | RETIRING | (INVITING - DELETING)),
            ("deactivator", (READING | ENROLLING | RETIRING | INVITING) - LEAVING),
            ("retirer", READING | ENROLLING | LISTING | INVITING),
        ],
    )
    def test_shows_nothing_that_other_permissions_show(self, course, name, hidden):
        client = client_of(make_user(name))

        for one in sorted(hidden):
            responses = responses_in_all_states(course, client, REQUESTS[one])
            assert_equal(responses, one)

    @pytest.mark.rule("V1-ENR-20")
    def test_to_deactivate_shows_inactive_enrollments(self, course):
        """Two equal requests have equal responses, so the second shows the first."""
        client = client_of(make_user("deactivator"))
        request = posting(user=BEA, is_active=False)

        with rolled_back():
            STATES["enrolled"](course)
            once, twice = request(client), request(client)
        STATES["not enrolled"](course)
        with nothing_written():
            never = request(client)

        assert (once.status_code, twice.status_code) == (200, 200)
        assert once.json() == twice.json()
        assert never.status_code == 400


@pytest.mark.rule("ACC-01", "ACC-02")
@pytest.mark.parametrize(
    "request_",
    [
        posting(),
        posting(mode="audit", is_active=True),
        posting(email=EMAIL),
        posting(user=BEA),
        reading(ELIGIBILITY),
        reading(f"course/{COURSE_ID}"),
        reading("enrollment_allowed/", email=EMAIL),
        sending("DELETE", "enrollment_allowed/", INVITATION),
    ],
)
def test_the_response_does_not_depend_on_invitations_of_others(request_):
    course = make_course(COURSE_ID, invitation_only=True)
    make_modes(course, "audit")
    learner, email = make_user("learner"), "learner@example.org"
    states = {
        "none": lambda course: None,
        "another": lambda course: invite(),
        "many": lambda course: [
            invite(f"{number}@example.org", auto_enroll=True) for number in range(3)
        ],
        "used by another account": lambda course: invite(
            email, user=make_user("before")
        ),
        "in another course": lambda course: invite(email, OTHER_ID),
    }

    responses = responses_in_all_states(course, client_of(learner), request_, states)

    assert_equal(responses)
    invite(email)
    assert ask(learner, course).status_code == 200


@pytest.mark.rule("V1-POST-11")
@pytest.mark.skipif(
    not is_default_host(), reason="Only this host's users have names beside addresses."
)
def test_the_own_address_is_hidden_too(ada, course):
    own = ask(ada, course, email="ada@example.org")

    assert seen(own) == seen(ask(ada, course, email=EMAIL))
    assert_hidden(own)


@pytest.mark.rule("V1-POST-32")
def test_the_response_does_not_change_when_a_user_is_deleted(bea, course):
    client, request = client_of(make_user("learner")), REQUESTS["POST for another"]
    client.get(ENROLLMENT)
    before = seen(request(client))

    get_user_model().objects.filter(email=EMAIL).delete()

    assert seen(request(client)) == before
