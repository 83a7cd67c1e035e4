"""
Nobody learns whether another user or their enrollment exists, unless they may see it.

The very same request is made in worlds that differ in one person alone. Whoever may not
see that person gets the very same answer in all of them: status, headers and body.
"""

from __future__ import annotations

import copy
import json
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
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
from tests.http import ALLOW_INACTIVE, ENROLLMENT, NOWHERE, ROOT, ask, client_of, put
from tests.watching import nothing_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

    from tests.groundwork import Groundwork

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
OTHER_ID = "course-v1:edX+Other+R"
SECRET = "the key of the billing service"
EMAIL = "bea@example.org"


# ── What bea may be ──────────────────────────────────────────────────────────────────


def enrolled(course: Any) -> None:
    put(make_user("bea"), course)


def not_enrolled(course: Any) -> None:
    make_user("bea")


def has_left(course: Any) -> None:
    put(make_user("bea"), course, is_active=False)


def inactive(course: Any) -> None:
    put(make_user("bea", is_active=False), course)


def on_the_staff(course: Any) -> None:
    bea = make_user("bea", is_staff=True)
    CourseAccessRole.objects.create(
        user=bea, org="edX", course_id=COURSE_ID, role="staff"
    )


def to_be_retired(course: Any) -> None:
    bea = make_user("bea")
    put(bea, course, "verified")
    UserRetirementStatus.objects.create(user=bea, original_username=username("bea"))


def invited(course: Any) -> None:
    CourseEnrollmentAllowed.objects.create(email=EMAIL, course_id=COURSE_ID)


def nobody(course: Any) -> None:
    pass


WORLDS = (
    enrolled,
    not_enrolled,
    has_left,
    inactive,
    on_the_staff,
    to_be_retired,
    invited,
    nobody,
)


# ── Who asks ─────────────────────────────────────────────────────────────────────────


def anonymous() -> Client:
    return client_of()


def learner() -> Client:
    return client_of(make_user("asker"))


def inactive_learner() -> Client:
    return client_of(make_user("asker", is_active=False))


def _on_the_team(course_id: str, role: str) -> Client:
    asker = make_user("asker")
    CourseAccessRole.objects.create(
        user=asker, org="edX", course_id=course_id, role=role
    )
    return client_of(asker)


def staff_of_the_course() -> Client:
    return _on_the_team(COURSE_ID, "staff")


def staff_of_another_course() -> Client:
    client = _on_the_team(OTHER_ID, "staff")
    put(get_user_model().objects.get(), make_course(OTHER_ID))
    return client


def staff_of_the_organization() -> Client:
    return _on_the_team("", "instructor")


def anonymous_with_a_wrong_key() -> Client:
    return client_of(headers={"X-Edx-Api-Key": SECRET[:-1]})


def learner_with_a_wrong_key() -> Client:
    return client_of(make_user("asker"), headers={"X-Edx-Api-Key": SECRET.upper()})


def global_staff() -> Client:
    return client_of(make_user("boss", is_staff=True))


def anonymous_with_a_key() -> Client:
    return client_of(headers={"X-Edx-Api-Key": SECRET})


def somebody_called(name: str) -> Client:
    return client_of(make_user(name))


ASKERS = (
    anonymous,
    learner,
    inactive_learner,
    staff_of_another_course,
    staff_of_the_organization,
    anonymous_with_a_wrong_key,
    learner_with_a_wrong_key,
)


# ── What is asked ────────────────────────────────────────────────────────────────────

ONE = f"enrollment/{username('bea')},{COURSE_ID}"
WISH = {"course_details": {"course_id": COURSE_ID}}
FORM = "application/x-www-form-urlencoded"


def reading(path: str, **query: str) -> Callable[[Client], Any]:
    return lambda client: client.get(f"{ROOT}{path}", query)


def sending(method: str, path: str, body: Any = None) -> Callable[[Client], Any]:
    data = json.dumps(body)
    return lambda client: client.generic(
        method, f"{ROOT}{path}", data, content_type="application/json"
    )


def posting(**fields: Any) -> Callable[[Client], Any]:
    return sending("POST", "enrollment", WISH | fields)


REQUESTS: dict[str, Callable[[Client], Any]] = {
    "GET one": reading(ONE),
    "GET one with expired modes": reading(ONE, include_expired="1"),
    "GET one in no course": reading(f"enrollment/{username('bea')},{NOWHERE}"),
    "GET one in another course": reading(f"enrollment/{username('bea')},{OTHER_ID}"),
    "GET own, naming another": reading(
        f"enrollment/{COURSE_ID}", user=username("bea"), username=username("bea")
    ),
    **{
        f"{method} one": sending(method, ONE)
        for method in ("HEAD", "OPTIONS", "PUT", "DELETE")
    },
    "GET list": reading("enrollment", user=username("bea")),
    "GET own list, naming another": reading("enrollment", username=username("bea")),
    "HEAD list": sending("HEAD", f"enrollment?user={username('bea')}"),
    "GET all": reading("enrollments"),
    "GET all by name": reading("enrollments", username=username("bea")),
    "GET all by address": reading("enrollments", email=EMAIL),
    "GET all from a bad cursor": reading("enrollments", cursor="x", email=EMAIL),
    "HEAD all": sending("HEAD", f"enrollments?email={EMAIL}"),
    "GET invitations": reading("enrollment_allowed/", email=EMAIL),
    **{
        f"{method} invitation": sending(
            method, "enrollment_allowed/", {"email": EMAIL, "course_id": COURSE_ID}
        )
        for method in ("POST", "DELETE", "PUT")
    },
    "POST unenroll": sending("POST", "unenroll/", {"username": username("bea")}),
    "POST unenroll as a form": lambda client: client.post(
        f"{ROOT}unenroll/", f"username={username('bea')}", content_type=FORM
    ),
    "GET roles": reading("roles/"),
    "GET roles, naming another": reading(
        "roles/", user=username("bea"), username=username("bea"), user_id="2"
    ),
    "GET roles on the course": reading("roles/", course_id=COURSE_ID),
    "GET eligibility": reading(f"course/{COURSE_ID}/eligibility"),
    "GET eligibility, naming another": reading(
        f"course/{COURSE_ID}/eligibility",
        user=username("bea"),
        username=username("bea"),
        email=EMAIL,
    ),
    "GET course": reading(f"course/{COURSE_ID}"),
    "GET course, naming another": reading(
        f"course/{COURSE_ID}", user=username("bea"), include_expired="1"
    ),
    "POST for oneself": posting(),
    **{
        f"POST for another, by user{note}": posting(user=username("bea"), **fields)
        for note, fields in {
            "": {},
            ", for money": {"mode": "verified"},
            ", in no mode": {"mode": "unheard-of"},
            ", inactive": {"is_active": False},
            ", as a wrong flag": {"is_active": "foo"},
            ", by force": {"force_enrollment": True},
            ", with a wrong attribute": {"enrollment_attributes": [{}]},
            ", into a cohort": {"cohort": "red"},
            ", of a customer": {"linked_enterprise_customer": "acme"},
            ", in no course": {"course_details": {"course_id": NOWHERE}},
            ", in no course at all": {"course_details": {}},
            ", in a course that is none": {"course_details": {"course_id": "a b"}},
        }.items()
    },
    "POST for another, by email": posting(email=EMAIL),
    "POST for another, by email, inactive": posting(email=EMAIL, is_active=False),
    "POST for another, by email, in no course": sending(
        "POST", "enrollment", {"email": EMAIL, "course_details": {}}
    ),
    "POST for another, by both": posting(user=username("bea"), email=EMAIL),
    "POST for another in capitals": posting(user=username("BEA"), email=EMAIL.upper()),
}

#: A token made up for a new cookie, and when that ends.
OF_A_COOKIE = re.compile(r"(?<=csrftoken=)[^;]*|(?<=expires=)[^;]*")

#: When the asker was enrolled, and how many are in, which is for everybody to know.
OF_A_BODY = re.compile(rb'(?<="created":)"[^"]*"|(?<="taken":)\d+')


def seen(response: Any) -> dict[str, Any]:
    """Return all that a client sees, but for what another person has no part in."""
    cookies = {
        name: OF_A_COOKIE.sub("", morsel.OutputString())
        for name, morsel in response.cookies.items()
    }
    headers = [(name, value) for name, value in response.items() if name != "Date"]
    return {
        "status": response.status_code,
        "reason": response.reason_phrase,
        "headers": headers,
        "cookies": cookies,
        "body": OF_A_BODY.sub(b"", response.content),
    }


@contextmanager
def world(make: Callable[..., None], ground: Groundwork, course: Any) -> Iterator[None]:
    """Make bea what she is for the time being."""
    with ground.for_a_while():
        ground.lay(make, course)
        yield


def client_in(ground: Groundwork, asker: Callable[..., Client], *args: Any) -> Client:
    """Let somebody ask, with no more cookies than they logged in with."""
    client = copy.copy(ground.lay(asker, *args))
    client.cookies = copy.deepcopy(client.cookies)
    return client


def a_course() -> Any:
    course = make_course(COURSE_ID)
    make_modes(course, "audit", "verified")
    make_mode(course, "honor", expiration_datetime=timezone.now() - timedelta(days=1))
    return course


def a_closed_course() -> Any:
    course = make_course(COURSE_ID, invitation_only=True)
    make_modes(course, "audit")
    return course


@pytest.fixture
def course(ground: Groundwork) -> Any:
    return ground.lay(a_course)


@pytest.fixture(autouse=True)
def _host(settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = ALLOW_INACTIVE
    settings.ENROLLMENTS_API_KEYS = [SECRET]
    settings.ENROLLMENTS_THROTTLE_RATES = {"user": None, "staff": None}


def answers_in_all_worlds(
    ground: Groundwork,
    course: Any,
    client: Client,
    request: Callable[[Client], Any],
) -> list[dict[str, Any]]:
    """Make a request in every world, each time with the same cookies."""
    cookies = client.cookies.output(header="", sep=";")
    answers = []
    for make in WORLDS:
        client.cookies.clear()
        client.cookies.load(cookies)
        with world(make, ground, course):
            answers.append(seen(request(client)))
    return answers


@pytest.mark.rule("V1-POST-32")
@pytest.mark.parametrize("asker", ASKERS, ids=lambda asker: asker.__name__)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_the_answer_is_the_same_whatever_another_is(
    ground: Groundwork,
    course: Any,
    asker: Callable[[], Client],
    request_: Callable[[Client], Any],
) -> None:
    client = client_in(ground, asker)

    first, *others = answers_in_all_worlds(ground, course, client, request_)

    assert first["status"] < 500
    for make, answer in zip(WORLDS[1:], others, strict=True):
        assert answer == first, make.__name__


class TestWhoMaySee:
    """The same requests tell those who may see; otherwise they would prove nothing."""

    @pytest.mark.parametrize(
        "name", ["GET one", "GET list", "POST for another, by user"]
    )
    def test_staff_are_told(self, ground: Groundwork, course: Any, name: str) -> None:
        client = client_in(ground, global_staff)

        answers = answers_in_all_worlds(ground, course, client, REQUESTS[name])

        assert len({answer["body"] for answer in answers}) > 1

    def test_a_key_is_told(self, ground: Groundwork, course: Any) -> None:
        client = client_in(ground, anonymous_with_a_key)

        answers = answers_in_all_worlds(ground, course, client, REQUESTS["GET one"])

        assert len({answer["body"] for answer in answers}) > 1

    def test_staff_of_the_course_are_told(
        self, ground: Groundwork, course: Any
    ) -> None:
        client = client_in(ground, staff_of_the_course)

        answers = answers_in_all_worlds(ground, course, client, REQUESTS["GET list"])

        assert len({answer["body"] for answer in answers}) > 1


class PowersByName:
    """Grants each user what the name says, and everybody to enroll."""

    powers = {
        username("reader"): {VIEW_ENROLLMENT_DATA},
        username("creator"): {CREATE_ENROLLMENT},
        username("deactivator"): {DEACTIVATE_ENROLLMENT},
        username("retirer"): {RETIRE_USER},
    }

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        if perm == ENROLL_IN_COURSE:
            return True
        return course is None and perm in self.powers.get(user.get_username(), set())


READING = {
    name for name in REQUESTS if name.startswith(("GET one", "GET list", "HEAD list"))
}
LISTING = {name for name in REQUESTS if name.startswith(("GET all", "HEAD all"))}
INVITING = {name for name in REQUESTS if "invitation" in name}
ENROLLING = {name for name in REQUESTS if name.startswith("POST for another")}
RETIRING = {name for name in REQUESTS if name.startswith("POST unenroll")}
LEAVING = {name for name in ENROLLING if name.endswith(", inactive")}
DELETING = {"POST invitation", "DELETE invitation"}


class TestWhoMayDoOneThing:
    """A power shows what it is about, and nothing of what the others are about."""

    @pytest.fixture(autouse=True)
    def _powers(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.PowersByName"]

    @pytest.mark.rule("V1-POST-32")
    @pytest.mark.parametrize(
        ("asker", "names"),
        [
            ("reader", ENROLLING | DELETING | RETIRING),
            ("creator", READING | LISTING | RETIRING | (INVITING - DELETING)),
            ("deactivator", (READING | ENROLLING | RETIRING | INVITING) - LEAVING),
            ("retirer", READING | ENROLLING | LISTING | INVITING),
        ],
    )
    def test_tells_nothing_of_the_rest(
        self, ground: Groundwork, course: Any, asker: str, names: set[str]
    ) -> None:
        client = client_in(ground, somebody_called, asker)

        for name in sorted(names):
            first, *others = answers_in_all_worlds(
                ground, course, client, REQUESTS[name]
            )
            for make, answer in zip(WORLDS[1:], others, strict=True):
                assert answer == first, (name, make.__name__)

    @pytest.mark.rule("V1-ENR-20")
    def test_who_takes_others_out_is_told_if_somebody_is_out(
        self, ground: Groundwork, course: Any
    ) -> None:
        """Doing it twice must be answered alike, so the second time tells of one."""
        client = client_in(ground, somebody_called, "deactivator")
        request = posting(user=username("bea"), is_active=False)

        with world(enrolled, ground, course):
            once, twice = request(client), request(client)
        with world(not_enrolled, ground, course), nothing_written():
            never = request(client)

        assert (once.status_code, twice.status_code) == (200, 200)
        assert once.json() == twice.json()
        assert never.status_code == 400


class TestInvitations:
    """An invitation tells whom it is for, and only by letting them in."""

    @pytest.fixture
    def closed(self, ground: Groundwork) -> Any:
        return ground.lay(a_closed_course)

    @staticmethod
    def uninvited(course: Any) -> None:
        pass

    @staticmethod
    def invited_another(course: Any) -> None:
        CourseEnrollmentAllowed.objects.create(email=EMAIL, course_id=COURSE_ID)

    @staticmethod
    def invited_many(course: Any) -> None:
        for number in range(3):
            CourseEnrollmentAllowed.objects.create(
                email=f"{number}@example.org", course_id=COURSE_ID, auto_enroll=True
            )

    @staticmethod
    def invited_who_changed_their_address(course: Any) -> None:
        CourseEnrollmentAllowed.objects.create(
            email="asker@example.org", course_id=COURSE_ID, user=make_user("before")
        )

    @staticmethod
    def invited_elsewhere(course: Any) -> None:
        CourseEnrollmentAllowed.objects.create(
            email="asker@example.org", course_id=OTHER_ID
        )

    @pytest.mark.rule("ACC-02")
    @pytest.mark.parametrize(
        "request_",
        [
            posting(),
            posting(mode="audit", is_active=True),
            posting(email=EMAIL),
            posting(user=username("bea")),
            reading(f"course/{COURSE_ID}/eligibility"),
            reading(f"course/{COURSE_ID}"),
            reading("enrollment_allowed/", email=EMAIL),
            sending(
                "DELETE",
                "enrollment_allowed/",
                {"email": EMAIL, "course_id": COURSE_ID},
            ),
        ],
    )
    def test_a_learner_without_one_learns_of_no_other(
        self,
        ground: Groundwork,
        closed: Any,
        request_: Callable[[Client], Any],
    ) -> None:
        client = client_in(ground, learner)
        answers = []
        for invite in (
            self.uninvited,
            self.invited_another,
            self.invited_many,
            self.invited_who_changed_their_address,
            self.invited_elsewhere,
        ):
            with world(invite, ground, closed):
                answers.append(seen(request_(client)))

        assert answers == [answers[0]] * 5

    @pytest.mark.rule("ACC-01")
    def test_a_learner_with_one_is_let_in(self, closed: Any) -> None:
        CourseEnrollmentAllowed.objects.create(
            email="asker@example.org", course_id=COURSE_ID
        )

        assert ask(make_user("asker"), closed).status_code == 200


@pytest.mark.rule("V1-POST-11")
@pytest.mark.skipif(
    not is_default_host(), reason="Only this host's users have names beside addresses."
)
def test_not_even_the_own_address_is_an_answer(course: Any) -> None:
    asker = make_user("asker", email="asker@example.org")

    own = ask(asker, course, email="asker@example.org")
    other = ask(asker, course, email=EMAIL)

    assert seen(own) == seen(other)
    assert (own.status_code, own.content) == (404, b"")


@pytest.mark.rule("V1-POST-32")
def test_a_name_that_another_user_gives_up_tells_nothing(course: Any) -> None:
    """Not even to whoever kept the answers of before."""
    make_user("bea")
    client = client_of(make_user("asker"))
    request = REQUESTS["POST for another, by user"]
    client.get(ENROLLMENT)
    before = seen(request(client))

    get_user_model().objects.filter(email=EMAIL).delete()

    assert seen(request(client)) == before
