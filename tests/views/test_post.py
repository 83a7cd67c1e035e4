"""POST enrollment over HTTP (rules V1-POST, V1-ENR, V1-FORCE, V1-ATTR)."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_enrollments import api
from django_enrollments.errors import (
    CourseEnrollmentError,
    EnrollmentNotAllowed,
    UserNotFoundError,
)
from django_enrollments.models import (
    CourseAccessRole,
    CourseEnrollment,
    CourseEnrollmentAllowed,
    CourseMode,
    EnrollmentEvent,
)
from django_enrollments.permissions import (
    CREATE_ENROLLMENT,
    DEACTIVATE_ENROLLMENT,
    ENROLL_IN_COURSE,
)
from tests.factories import (
    DAY,
    HOUR,
    course_id_of,
    is_default_host,
    make_course,
    make_mode,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.http import (
    ENROLLMENT,
    NOWHERE,
    ask,
    client_of,
    list_statements,
    post,
    put,
    wish,
)
from tests.watching import event_types, nothing_written, state_of

pytestmark = pytest.mark.django_db

NO_COURSE_ID = {"message": "Course ID must be specified to create a new enrollment."}
PROVIDER = {"namespace": "credit", "name": "provider_id", "value": "hogwarts"}
COLOR = {"namespace": "host", "name": "color", "value": "red"}


@pytest.fixture
def ada() -> Any:
    return make_user("ada")


@pytest.fixture
def boss() -> Any:
    return make_user("boss", is_staff=True)


@pytest.fixture
def course() -> Any:
    """A course that offers audit, honor and verified."""
    course = make_course()
    make_modes(course, "audit", "honor", "verified")
    return course


def closed_course(*slugs: str, **facts: Any) -> Any:
    facts.setdefault("enrollment_end", timezone.now() - HOUR)
    course = make_course("course-v1:edX+Closed+R", **facts)
    make_modes(course, *(slugs or ("audit",)))
    return course


def failed(name: str, course: Any) -> dict[str, str]:
    """Return the body of V1-POST-27."""
    return {
        "message": "An error occurred while creating the new course enrollment for "
        f"user '{username(name)}' in course '{course_id_of(course)}'"
    }


def unavailable(mode: str, course: Any) -> str:
    """Return the message of V1-POST-25."""
    return (
        f"The [{mode}] course mode is expired or otherwise unavailable for course "
        f"run [{course_id_of(course)}]."
    )


def attributes_of(name: str, course: Any) -> list[dict[str, str]]:
    return api.get_enrollment_attributes(username(name), course_id_of(course))


class TestCourseId:
    @pytest.mark.rule("V1-POST-02", "V1-POST-03")
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"course_details": {}},
            {"course_details": {"course_id": ""}},
            {"course_details": {"course_id": None}},
            {"course_details": {"course_id": []}},
            {"course_details": None},
            {"course_details": "course-v1:edX+DemoX+Demo_Course"},
            {"course_details": ["course-v1:edX+DemoX+Demo_Course"]},
            {"course_details": 7},
            {"course_id": "course-v1:edX+DemoX+Demo_Course"},
            None,
            [],
            [{"course_details": {"course_id": "django-101"}}],
            "django-101",
            7,
            True,
        ],
    )
    def test_it_must_be_there(self, ada: Any, body: Any) -> None:
        response = post(ada, body)

        assert (response.status_code, response.json()) == (400, NO_COURSE_ID)

    @pytest.mark.rule("V1-POST-30")
    @pytest.mark.parametrize(
        "content_type",
        ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
    )
    def test_a_form_cannot_express_it(
        self, ada: Any, course: Any, content_type: str
    ) -> None:
        field = "course_details.course_id"
        body = {
            "multipart/form-data; boundary=x": (
                f'--x\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n'
                f"{course_id_of(course)}\r\n--x--\r\n"
            ),
        }.get(content_type, f"{field}={course_id_of(course)}&course_details=x")

        response = post(ada, body.encode(), content_type=content_type)

        assert (response.status_code, response.json()) == (400, NO_COURSE_ID)

    @pytest.mark.rule("V1-POST-04")
    @pytest.mark.parametrize(
        ("course_id", "told"),
        [
            ("in valid", "in valid"),
            ("django-101/", "django-101/"),
            ("a,b", "a,b"),
            ("{0}{course_id}%s", "{0}{course_id}%s"),
            (7, "7"),
            (True, "True"),
            (["django-101"], "['django-101']"),
            ("a\x00b", "a\x00b"),
            ("a\ud800b", "a?b"),
            ("x" * 256, "x" * 256),
        ],
    )
    def test_it_must_be_one(self, ada: Any, course_id: Any, told: str) -> None:
        response = post(ada, {"course_details": {"course_id": course_id}})

        assert response.status_code == 400
        assert response.json() == {
            "message": f"No course '{told}' found for enrollment"
        }

    @pytest.mark.rule("V1-POST-05", "V1-POST-23")
    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_it_must_be_known(self, ada: Any, mode: Any) -> None:
        response = post(ada, wish(NOWHERE, mode=mode))

        assert response.status_code == 400
        assert response.json() == {
            "message": f"No course '{NOWHERE}' found for enrollment"
        }

    @pytest.mark.rule("V1-POST-05")
    def test_that_of_a_deleted_course_is_not(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        put(ada, course)
        course_id = course_id_of(course)
        course.delete()

        with nothing_written():
            response = ask(boss, course_id, user=username("ada"), is_active=False)

        assert response.status_code == 400
        assert response.json() == {
            "message": f"No course '{course_id}' found for enrollment"
        }


class TestWho:
    @pytest.mark.rule("V1-POST-06")
    @pytest.mark.parametrize("user", [None, ""])
    @pytest.mark.parametrize("email", [None, ""])
    def test_nobody_named_is_the_requester(
        self, ada: Any, course: Any, user: Any, email: Any
    ) -> None:
        response = ask(ada, course, user=user, email=email)

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")

    @pytest.mark.rule("V1-POST-07")
    def test_the_own_name_is_for_everyone(self, ada: Any, course: Any) -> None:
        response = ask(ada, course, user=username("ada"))

        assert response.json()["user"] == username("ada")

    @pytest.mark.rule("V1-POST-08")
    def test_another_is_hidden_from_learners(self, ada: Any, course: Any) -> None:
        make_user("bea")

        for name in (username("bea"), "nobody", 7, ["ada"], "a\x00b", "\ud800"):
            response = ask(ada, course, user=name)

            assert (response.status_code, response.content) == (404, b"")
        assert not CourseEnrollment.objects.exists()

    @pytest.mark.rule("V1-POST-08")
    @pytest.mark.parametrize("role", ["staff", "instructor"])
    def test_course_team_roles_do_not_help(
        self, ada: Any, course: Any, role: str
    ) -> None:
        make_user("bea")
        CourseAccessRole.objects.create(
            user=ada, org="edX", course_id=course_id_of(course), role=role
        )

        assert ask(ada, course, user=username("bea")).status_code == 404

    @pytest.mark.rule("V1-AUTH-17")
    def test_a_superuser_is_a_learner_here(self, course: Any) -> None:
        make_user("bea")
        root = make_user("root", is_superuser=True)

        assert ask(root, course, user=username("bea")).status_code == 404

    @pytest.mark.rule("B-26")
    def test_the_own_name_in_another_case_is_another(
        self, ada: Any, course: Any
    ) -> None:
        assert ask(ada, course, user=username("ada").upper()).status_code == 404

    @pytest.mark.rule("V1-POST-09", "SEED-DIFF-13")
    def test_global_staff_acts_for_others(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        response = ask(boss, course, user=username("ada"), mode="verified")

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")
        assert state_of(ada, course) == ("verified", True)

    @pytest.mark.rule("V1-POST-10")
    def test_a_name_wins_over_an_address(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        make_user("bea", email="bea@example.org")

        response = ask(boss, course, user=username("ada"), email="bea@example.org")
        own = ask(ada, course, user=username("ada"), email=7)

        assert response.json()["user"] == username("ada")
        assert own.status_code == 200

    @pytest.mark.rule("V1-POST-11")
    @pytest.mark.parametrize(
        "email", ["ada@example.org", "bea@example.org", "nobody@example.org", 7, [1]]
    )
    def test_learners_may_not_use_an_address(
        self, ada: Any, course: Any, email: Any
    ) -> None:
        make_user("bea")

        response = ask(ada, course, email=email)

        assert (response.status_code, response.content) == (404, b"")

    @pytest.mark.rule("V1-POST-09")
    @pytest.mark.parametrize("email", ["ada@example.org", "ADA@Example.ORG"])
    def test_global_staff_may_use_an_address(
        self, ada: Any, boss: Any, course: Any, email: str
    ) -> None:
        response = ask(boss, course, email=email)

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")

    @pytest.mark.rule("V1-POST-12")
    @pytest.mark.parametrize(
        ("email", "told"),
        [
            ("nobody@example.org", "nobody@example.org"),
            (" Nobody@example.org", " Nobody@example.org"),
        ],
    )
    def test_an_address_of_nobody(
        self, boss: Any, course: Any, email: Any, told: str
    ) -> None:
        response = ask(boss, course, email=email)

        assert response.status_code == 406
        assert response.json() == {
            "message": f"The user with the email address {told} does not exist."
        }

    @pytest.mark.parametrize(
        ("email", "told"),
        [
            ("no address", "no address"),
            (7, "7"),
            (["a"], "['a']"),
            ("a\x00@example.org", "a\x00@example.org"),
            ("\ud800@example.org", "?@example.org"),
            ("a" * 2_000, "a" * 2_000),
        ],
    )
    def test_contract_9_what_is_no_address_is_a_400(
        self, boss: Any, course: Any, email: Any, told: str
    ) -> None:
        response = ask(boss, course, email=email)

        assert response.status_code == 400
        assert response.json() == {"message": f"'{told}' is not a valid email address."}

    @pytest.mark.rule("V1-POST-13")
    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("nobody", "nobody"),
            ("no{}body", "no{}body"),
            (7, "7"),
            (False, "False"),
            ({"a": 1}, "{'a': 1}"),
            ("a\x00b", "a\x00b"),
            ("a\ud800b", "a?b"),
            (" ", " "),
            ("a" * 2_000, "a" * 2_000),
        ],
    )
    def test_a_name_of_nobody(
        self, boss: Any, course: Any, name: Any, told: str
    ) -> None:
        with nothing_written():
            response = ask(boss, course, user=name)

        assert response.status_code == 406
        assert response.json() == {"message": f"The user {told} does not exist."}

    @pytest.mark.rule("V1-POST-22")
    def test_a_user_is_missed_before_a_course(self, boss: Any) -> None:
        assert post(boss, wish(NOWHERE, user="nobody")).status_code == 406

    @pytest.mark.rule("V1-POST-13")
    def test_also_when_the_user_goes_meanwhile(
        self, ada: Any, boss: Any, course: Any, monkeypatch: Any
    ) -> None:
        def miss(*args: Any, **kwargs: Any) -> None:
            raise UserNotFoundError("Gone.")

        monkeypatch.setattr(api, "add_enrollment", miss)

        response = ask(boss, course, user=username("ada"))

        assert response.status_code == 406
        assert response.json() == {
            "message": f"The user {username('ada')} does not exist."
        }

    @pytest.mark.rule("V1-POST-31")
    @pytest.mark.skipif(
        not is_default_host(), reason="The other host's addresses are unique."
    )
    def test_an_address_of_several_users(self, boss: Any, course: Any) -> None:
        make_user("one", email="both@example.org")
        make_user("two", email="Both@Example.org")

        response = ask(boss, course, email="both@example.org")

        assert response.status_code == 409
        assert response.json() == {
            "message": "Several users have the email address both@example.org."
        }


class TestMode:
    @pytest.mark.rule("V1-POST-15")
    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_learners_pick_from_the_self_service_modes(
        self, ada: Any, course: Any, mode: str | None
    ) -> None:
        response = ask(ada, course, mode=mode)

        assert response.status_code == 200
        assert response.json()["mode"] == (mode or "audit")

    @pytest.mark.rule("V1-POST-15", "V1-POST-16")
    @pytest.mark.parametrize(
        ("mode", "told"),
        [
            ("verified", "verified"),
            ("", ""),
            ("unheard-of", "unheard-of"),
            ("AUDIT", "AUDIT"),
            (7, "7"),
            (True, "True"),
            ([], "[]"),
            (["audit"], "['audit']"),
            ({}, "{}"),
            ("audit\x00", "audit\x00"),
            ("\ud800", "?"),
        ],
    )
    def test_and_no_other(self, ada: Any, course: Any, mode: Any, told: str) -> None:
        with nothing_written():
            response = ask(ada, course, mode=mode)

        assert response.status_code == 403
        assert response.json() == {
            "message": "User does not have permission to create enrollment with "
            f"mode [{told}]."
        }

    @pytest.mark.rule("V1-POST-16")
    def test_even_who_has_the_mode_may_not_ask_for_it(
        self, ada: Any, course: Any
    ) -> None:
        put(ada, course, "verified")

        assert ask(ada, course, mode="verified").status_code == 403

    @pytest.mark.rule("V1-POST-17")
    def test_the_mode_is_refused_before_the_course_is_missed(self, ada: Any) -> None:
        assert post(ada, wish(NOWHERE, mode="verified")).status_code == 403

    @pytest.mark.rule("V1-POST-15")
    def test_the_setting_tells_which(
        self, ada: Any, course: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_SELF_SERVICE_MODES = ["verified"]

        assert ask(ada, course, mode="audit").status_code == 403
        assert ask(ada, course, mode="verified").status_code == 200

    @pytest.mark.rule("V1-POST-18")
    def test_global_staff_may_ask_for_any_mode_offered(
        self, boss: Any, course: Any
    ) -> None:
        assert ask(boss, course, mode="verified").json()["mode"] == "verified"

    @pytest.mark.rule("V1-POST-24")
    def test_the_modes_are_those_of_the_moment(self, ada: Any, course: Any) -> None:
        client_of().get(f"/api/enrollment/v1/course/{course_id_of(course)}")
        CourseMode.objects.filter(mode_slug="honor").delete()

        assert ask(ada, course, mode="honor").status_code == 400

    @pytest.mark.rule("V1-POST-25")
    @pytest.mark.parametrize(
        ("mode", "told"),
        [
            ("masters", "masters"),
            ("", ""),
            (7, "7"),
            (["audit"], "['audit']"),
            ({"a": "audit"}, "{'a': 'audit'}"),
            ("x" * 5_000, "x" * 5_000),
            ("audit\x00", "audit\x00"),
            ("\ud800", "?"),
        ],
    )
    @pytest.mark.parametrize("state", [None, True, False])
    def test_a_mode_that_is_not_offered(
        self,
        ada: Any,
        boss: Any,
        course: Any,
        mode: Any,
        told: str,
        state: bool | None,
    ) -> None:
        if state is not None:
            put(ada, course, "honor", is_active=state)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), mode=mode)

        assert response.status_code == 400
        assert response.json() == {
            "message": unavailable(told, course),
            "course_details": api.get_course_enrollment_details(course_id_of(course)),
        }
        assert list(response.json()) == ["message", "course_details"]

    @pytest.mark.rule("V1-POST-26", "V1-ENR-26")
    @pytest.mark.parametrize("mode", [None, "audit"])
    def test_no_mode_where_the_default_is_not_offered(
        self, ada: Any, mode: str | None
    ) -> None:
        course = make_course()
        make_mode(course, "professional")

        response = ask(ada, course, mode=mode)

        body = response.json()
        assert response.status_code == 400
        assert body["message"] == unavailable(str(mode), course)
        offered = [one["slug"] for one in body["course_details"]["course_modes"]]
        assert offered == ["professional"]

    @pytest.mark.rule("V1-ENR-25")
    @pytest.mark.parametrize("mode", [None, "audit"])
    def test_without_modes_audit_will_do(self, ada: Any, mode: str | None) -> None:
        course = make_course()

        assert ask(ada, course, mode=mode).json()["mode"] == "audit"


class TestFlags:
    WRONG = [
        ("foo", "foo"),
        ("true", "true"),
        ("", ""),
        (1, "1"),
        (0, "0"),
        (1.5, "1.5"),
        ([], "[]"),
        ([True], "[True]"),
        ({}, "{}"),
        ("\ud800", "?"),
    ]

    @pytest.mark.rule("V1-POST-19", "V1-POST-21")
    @pytest.mark.parametrize(("value", "told"), WRONG)
    def test_is_active_must_be_a_boolean(
        self, ada: Any, course: Any, value: Any, told: str
    ) -> None:
        with nothing_written():
            response = ask(ada, course, is_active=value)

        assert response.status_code == 400
        assert response.json() == {
            "message": f"'{told}' is an invalid enrollment activation status."
        }

    @pytest.mark.rule("V1-POST-20")
    @pytest.mark.parametrize(("value", "told"), WRONG)
    def test_force_enrollment_must_be_a_boolean(
        self, ada: Any, course: Any, value: Any, told: str
    ) -> None:
        with nothing_written():
            response = ask(ada, course, force_enrollment=value)

        assert response.status_code == 400
        assert response.json() == {
            "message": f"'{told}' is an invalid force enrollment status."
        }

    @pytest.mark.rule("V1-POST-19", "V1-POST-20")
    def test_null_is_as_good_as_absent(self, ada: Any, course: Any) -> None:
        response = ask(ada, course, is_active=None, force_enrollment=None)

        assert response.json()["is_active"] is True


class TestOrder:
    """V1-POST-01: each body is wrong in every later way as well."""

    @pytest.mark.rule("V1-POST-01")
    @pytest.mark.parametrize(
        ("right", "code", "text"),
        [
            (0, 400, "Course ID must be specified"),
            (1, 400, "No course 'in valid' found"),
            (2, 406, "The user with the email address nobody@"),
            (3, 406, "The user nobody does not exist"),
            (4, 400, "'on' is an invalid enrollment activation status"),
            (5, 400, "'on' is an invalid force enrollment status"),
            (6, 400, "'namespace' not in enrollment attribute"),
            (7, 400, f"No course '{NOWHERE}' found"),
        ],
    )
    def test_of_global_staff(
        self, ada: Any, boss: Any, right: int, code: int, text: str
    ) -> None:
        body: dict[str, Any] = {
            "course_details": {"course_id": ""},
            "email": "nobody@example.org",
            "mode": "masters",
            "is_active": "on",
            "force_enrollment": "on",
            "enrollment_attributes": [{}],
        }
        corrections: list[dict[str, Any]] = [
            {"course_details": {"course_id": "in valid"}},
            {"course_details": {"course_id": NOWHERE}},
            {"user": "nobody"},
            {"user": username("ada")},
            {"is_active": True},
            {"force_enrollment": False},
            {"enrollment_attributes": [COLOR]},
        ]
        for correction in corrections[:right]:
            body |= correction

        response = post(boss, body)

        assert response.status_code == code
        assert response.json()["message"].startswith(text)

    @pytest.mark.rule("V1-POST-01")
    @pytest.mark.parametrize(
        ("right", "code", "text"),
        [
            (0, 404, ""),
            (1, 404, ""),
            (2, 403, "User does not have permission to create enrollment"),
            (3, 400, "'on' is an invalid enrollment activation status"),
            (4, 400, "'on' is an invalid force enrollment status"),
        ],
    )
    def test_of_a_learner(self, ada: Any, right: int, code: int, text: str) -> None:
        body: dict[str, Any] = wish(
            NOWHERE,
            user="nobody",
            email="nobody@example.org",
            mode="masters",
            is_active="on",
            force_enrollment="on",
        )
        corrections: list[dict[str, Any]] = [
            {"user": None},
            {"email": None},
            {"mode": None},
            {"is_active": True},
        ]
        for correction in corrections[:right]:
            body |= correction

        response = post(ada, body)

        assert response.status_code == code
        assert text in response.content.decode()


class TestAdding:
    @pytest.mark.rule("V1-ENR-03", "V1-POST-29")
    def test_a_learner_enrolls(self, ada: Any, course: Any) -> None:
        response = ask(ada, course)

        assert response.status_code == 200
        assert response.json() == api.get_enrollment(
            username("ada"), course_id_of(course)
        )
        assert list(response.json()) == [
            "created",
            "mode",
            "is_active",
            "course_details",
            "user",
        ]
        assert state_of(ada, course) == ("audit", True)

    def test_history_tells_who_asked_and_by_what(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        ask(boss, course, user=username("ada"))
        ask(boss, course, user=username("ada"), is_active=False)

        told = EnrollmentEvent.objects.values_list("type", "actor_id", "source", "user")
        assert [(t, str(a), s, u) for t, a, s, u in told.order_by("pk")] == [
            ("created", str(boss.pk), "rest", ada.pk),
            ("deactivated", str(boss.pk), "rest", ada.pk),
        ]

    @pytest.mark.rule("V1-SER-04", "V1-ENR-04", "B-24")
    def test_a_return_is_in_the_default_mode(self, ada: Any, course: Any) -> None:
        put(ada, course, "verified", is_active=False)
        created = CourseEnrollment.objects.get().created

        response = ask(ada, course)

        assert state_of(ada, course) == ("audit", True)
        assert CourseEnrollment.objects.get().created == created
        assert response.json()["mode"] == "audit"

    @pytest.mark.rule("V1-POST-28")
    @pytest.mark.parametrize("state", [True, False])
    def test_two_identical_requests_get_identical_answers(
        self, ada: Any, course: Any, state: bool
    ) -> None:
        first = ask(ada, course, is_active=state)

        with nothing_written():
            second = ask(ada, course, is_active=state)

        assert second.status_code == 200
        assert second.content == first.content

    @pytest.mark.rule("V1-ENR-05")
    def test_everything_else_is_ignored_for_who_is_in(
        self, ada: Any, course: Any
    ) -> None:
        put(ada, course, "audit")

        with nothing_written():
            response = ask(ada, course, mode="honor", enrollment_attributes=[COLOR])

        assert response.json()["mode"] == "audit"

    @pytest.mark.rule("V1-ENR-06")
    def test_a_learner_cannot_leave(self, ada: Any, course: Any) -> None:
        put(ada, course)

        with nothing_written():
            response = ask(ada, course, is_active=False)

        assert response.status_code == 200
        assert response.json()["is_active"] is True

    @pytest.mark.rule("V1-ENR-07")
    @pytest.mark.parametrize(("has", "asks"), [("audit", "honor"), ("honor", "audit")])
    def test_a_learner_cannot_change_the_mode(
        self, ada: Any, course: Any, has: str, asks: str
    ) -> None:
        put(ada, course, has)

        with nothing_written():
            response = ask(ada, course, mode=asks)

        assert response.json()["mode"] == has

    @pytest.mark.rule("V1-ENR-08")
    @pytest.mark.parametrize("who", ["ada", "boss"])
    def test_an_inactive_row_can_be_made(
        self, ada: Any, boss: Any, course: Any, who: str
    ) -> None:
        asker = {"ada": ada, "boss": boss}[who]

        response = ask(asker, course, is_active=False)

        assert response.status_code == 200
        assert response.json()["is_active"] is False
        assert event_types() == ["created"]

    @pytest.mark.rule("V1-ENR-20", "B-05")
    def test_who_has_left_stays_out_as_they_were(self, ada: Any, boss: Any) -> None:
        course = closed_course("audit", "verified")
        put(ada, course, "verified", is_active=False)

        with nothing_written():
            answers = [
                ask(ada, course, is_active=False),
                ask(boss, course, user=username("ada"), is_active=False),
                ask(
                    boss,
                    course,
                    user=username("ada"),
                    is_active=False,
                    mode="verified",
                ),
            ]

        for response in answers:
            assert response.status_code == 200
            assert response.json()["mode"] == "verified"
            assert response.json()["is_active"] is False

    @pytest.mark.rule("B-14")
    @pytest.mark.parametrize("mode", [None, "audit"])
    def test_who_is_in_stays_in_when_the_course_closes(
        self, ada: Any, mode: str | None
    ) -> None:
        course = closed_course(max_student_enrollments_allowed=1)
        put(ada, course)

        with nothing_written():
            response = ask(ada, course, mode=mode)

        assert response.status_code == 200
        assert response.json()["is_active"] is True

    @pytest.mark.rule("B-14")
    def test_over_enr_31_even_in_a_mode_that_nobody_picks(self, ada: Any) -> None:
        course = closed_course("professional")
        put(ada, course, "professional")

        without = ask(ada, course)
        explicit = ask(ada, course, mode="audit")

        assert (without.status_code, without.json()["mode"]) == (200, "professional")
        assert explicit.status_code == 400
        assert explicit.json()["message"] == unavailable("audit", course)

    @pytest.mark.rule("V1-POST-27", "V1-ENR-27")
    @pytest.mark.parametrize(
        "facts",
        [
            {"enrollment_end": -DAY},
            {"enrollment_start": DAY},
            {"invitation_only": True},
        ],
    )
    @pytest.mark.parametrize("who", ["ada", "boss"])
    def test_a_closed_course_refuses_whoever_asks(
        self, ada: Any, boss: Any, facts: dict[str, Any], who: str
    ) -> None:
        now = timezone.now()
        facts = {
            name: value if value is True else now + value
            for name, value in facts.items()
        }
        course = make_course(**facts)
        make_mode(course)
        asker = {"ada": ada, "boss": boss}[who]

        with nothing_written():
            response = ask(asker, course, user=username("ada"))

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    @pytest.mark.rule("V1-ENR-27")
    def test_the_learner_is_asked_about_rather_than_the_requester(
        self, ada: Any, boss: Any
    ) -> None:
        course = closed_course()
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=course_id_of(course)
        )

        assert ask(boss, course, user=username("ada")).status_code == 200
        assert ask(boss, course).status_code == 200

    @pytest.mark.rule("V1-POST-27")
    def test_a_full_course_refuses(self, ada: Any) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        make_mode(course)
        put(make_user("bea"), course)

        with nothing_written():
            response = ask(ada, course)

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    @pytest.mark.rule("V1-POST-27")
    def test_any_other_refusal_reads_the_same(
        self, ada: Any, course: Any, monkeypatch: Any
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "add_enrollment", refuse)

        response = ask(ada, course)

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    @pytest.mark.rule("V1-SIDE-09", "V1-SIDE-10")
    def test_a_filter_that_vetoes_is_a_403_with_its_words(
        self, ada: Any, course: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_FILTERS = [_veto]

        with nothing_written():
            response = ask(ada, course)

        assert response.status_code == 403
        assert response.json() == {"message": "Ask the dean, {please}."}

    @pytest.mark.rule("V1-SIDE-06")
    @pytest.mark.parametrize("asker", ["ada", "boss", "key"])
    def test_an_embargo_is_a_filter_asked_about_the_learner(
        self, ada: Any, boss: Any, course: Any, settings: Any, asker: str
    ) -> None:
        text = f"Users from this location cannot access the course '{course}'."
        settings.ENROLLMENTS_API_KEYS = ["secret"]

        def embargo(action: str, **context: Any) -> None:
            if context["user"] == ada:
                raise EnrollmentNotAllowed(text)

        settings.ENROLLMENTS_FILTERS = [embargo]
        body = wish(course, user=username("ada"))

        with nothing_written():
            response = {
                "ada": lambda: post(ada, body),
                "boss": lambda: post(boss, body),
                "key": lambda: post(None, body, headers={"X-Edx-Api-Key": "secret"}),
            }[asker]()

        assert response.status_code == 403
        assert response.json() == {"message": text}
        assert ask(boss, course).status_code == 200

    def test_a_filter_hears_that_it_is_rest(
        self, ada: Any, course: Any, settings: Any
    ) -> None:
        heard = []
        settings.ENROLLMENTS_FILTERS = [
            lambda action, **context: heard.append((action, context["source"]))
        ]

        ask(ada, course)

        assert heard == [("enroll", "rest")]

    def test_a_filter_that_picks_an_impossible_mode_is_a_400(
        self, ada: Any, course: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: {"mode": "x" * 101}]

        with nothing_written():
            response = ask(ada, course)

        assert response.status_code == 400
        assert response.json()["message"] == unavailable("None", course)


def _veto(action: str, **context: Any) -> None:
    raise EnrollmentNotAllowed("Ask the dean, {please}.")


class TestUpdating:
    @pytest.mark.rule("V1-ENR-02", "V1-ENR-09", "SEED-DIFF-12")
    def test_global_staff_takes_a_learner_out(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        put(ada, course, "verified")

        response = ask(boss, course, user=username("ada"), is_active=False)

        assert response.status_code == 200
        assert response.json()["is_active"] is False
        assert state_of(ada, course) == ("verified", False)

    @pytest.mark.rule("V1-ENR-22")
    def test_by_an_address_too(self, ada: Any, boss: Any, course: Any) -> None:
        put(ada, course)

        ask(boss, course, email="ada@example.org", is_active=False)

        assert state_of(ada, course) == ("audit", False)

    @pytest.mark.rule("V1-ENR-10", "V1-ENR-12", "V1-ENR-13", "V1-ENR-14", "V1-ENR-15")
    @pytest.mark.parametrize(
        ("has", "asks", "was", "becomes"),
        list(
            product(["honor", "verified"], ["honor", "verified"], *[[True, False]] * 2)
        ),
    )
    def test_the_row_equals_the_request_or_nothing_happens(
        self, ada: Any, boss: Any, course: Any, has: str, asks: str, was: bool,
        becomes: bool,
    ) -> None:  # fmt: skip
        put(ada, course, has, is_active=was)
        refused = has != asks and was and not becomes

        response = ask(boss, course, user=username("ada"), mode=asks, is_active=becomes)

        if refused:
            assert response.status_code == 400
            assert response.json() == {
                "message": f"Enrollment mode mismatch: active mode={has}, requested "
                f"mode={asks}. Won't deactivate."
            }
        else:
            assert response.status_code == 200
        expected = (has, was) if refused else (asks, becomes)
        assert state_of(ada, course) == expected

    @pytest.mark.rule("V1-ENR-11")
    @pytest.mark.parametrize("was", [True, False])
    def test_a_mode_alone_keeps_the_activation(
        self, ada: Any, boss: Any, course: Any, was: bool
    ) -> None:
        put(ada, course, "audit", is_active=was)

        response = ask(boss, course, user=username("ada"), mode="verified")

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", was)

    @pytest.mark.rule("V1-ENR-16", "V1-ENR-17")
    def test_a_return_asks_for_no_window_and_no_mode(self, ada: Any, boss: Any) -> None:
        course = closed_course("professional")
        put(ada, course, "honor", is_active=False)

        response = ask(boss, course, user=username("ada"), is_active=True)

        assert response.status_code == 200
        assert state_of(ada, course) == ("honor", True)

    @pytest.mark.rule("V1-ENR-16")
    def test_but_for_a_seat(self, ada: Any, boss: Any) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        make_mode(course)
        put(ada, course, is_active=False)
        put(make_user("bea"), course)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), is_active=True)

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    @pytest.mark.rule("V1-ENR-18")
    def test_to_an_expired_mode(self, ada: Any, boss: Any, course: Any) -> None:
        make_mode(course, "masters", expiration_datetime=timezone.now() - HOUR)
        put(ada, course)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), mode="masters")

        assert response.status_code == 400
        assert response.json()["message"] == unavailable("masters", course)

    @pytest.mark.rule("V1-ENR-19")
    def test_out_of_an_expired_mode(self, ada: Any, boss: Any, course: Any) -> None:
        put(ada, course, "verified")
        CourseMode.objects.filter(mode_slug="verified").update(
            expiration_datetime=timezone.now() - HOUR
        )

        response = ask(
            boss, course, user=username("ada"), mode="verified", is_active=False
        )

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", False)

    @pytest.mark.rule("V1-ENR-21")
    @pytest.mark.parametrize(("offers", "code"), [(True, 200), (False, 400)])
    def test_an_inactive_row_changes_to_a_mode_that_is_offered(
        self, ada: Any, boss: Any, offers: bool, code: int
    ) -> None:
        course = make_course()
        make_modes(course, "verified", *(["audit"] if offers else []))
        put(ada, course, "verified", is_active=False)

        response = ask(
            boss, course, user=username("ada"), mode="audit", is_active=False
        )

        assert response.status_code == code
        assert state_of(ada, course) == ("audit" if offers else "verified", False)

    @pytest.mark.rule("V1-ENR-30")
    @pytest.mark.parametrize(
        ("slugs", "selected"),
        [
            ((), "audit"),
            (("audit", "verified"), "verified"),
            (("professional",), "professional"),
            (("no-id-professional",), "no-id-professional"),
            (("verified", "credit"), "credit"),
        ],
    )
    def test_every_set_of_modes_lets_go(
        self, ada: Any, boss: Any, slugs: tuple[str, ...], selected: str
    ) -> None:
        course = make_course()
        make_modes(course, *slugs)
        target = {"user": username("ada"), "mode": selected}

        joined = ask(boss, course, **target)
        mistyped = ask(boss, course, **target, is_active="foo")
        left = ask(boss, course, **target, is_active=False)
        again = ask(boss, course, **target, is_active=False)

        assert [r.status_code for r in (joined, mistyped, left, again)] == [
            200,
            400,
            200,
            200,
        ]
        assert state_of(ada, course) == (selected, False)

    @pytest.mark.rule("V1-ENR-01")
    def test_course_team_members_are_learners_here(self, ada: Any, course: Any) -> None:
        put(ada, course)
        CourseAccessRole.objects.create(
            user=ada, org="edX", course_id=course_id_of(course), role="instructor"
        )

        ask(ada, course, is_active=False)
        ask(ada, course, mode="honor")

        assert state_of(ada, course) == ("audit", True)


class TestPowers:
    """Contract §6: creating and deactivating are granted apart."""

    @pytest.fixture(autouse=True)
    def _backend(self, settings: Any) -> None:
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [f"{__name__}.PowersByName"]

    def test_creators_act_for_others_in_any_mode(self, ada: Any, course: Any) -> None:
        creator = make_user("creator")

        response = ask(creator, course, user=username("ada"), mode="verified")
        changed = ask(creator, course, user=username("ada"), mode="honor")

        assert (response.status_code, changed.status_code) == (200, 200)
        assert state_of(ada, course) == ("honor", True)

    def test_creators_take_nobody_out(self, ada: Any, course: Any) -> None:
        put(ada, course)

        with nothing_written():
            response = ask(
                make_user("creator"), course, user=username("ada"), is_active=False
            )

        assert (response.status_code, response.json()["is_active"]) == (200, True)

    def test_deactivators_take_others_out(self, ada: Any, course: Any) -> None:
        put(ada, course)

        response = ask(
            make_user("deactivator"), course, user=username("ada"), is_active=False
        )

        assert response.status_code == 200
        assert state_of(ada, course) == ("audit", False)

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({}, 404),
            ({"is_active": True}, 404),
            ({"is_active": "no"}, 404),
            ({"is_active": True, "mode": "verified"}, 404),
            ({"is_active": False, "mode": "verified"}, 400),
            ({"is_active": False}, 400),
        ],
    )
    def test_deactivators_enroll_nobody_else(
        self, ada: Any, course: Any, fields: dict[str, Any], code: int
    ) -> None:
        with nothing_written():
            response = ask(
                make_user("deactivator"), course, user=username("ada"), **fields
            )

        assert response.status_code == code

    @pytest.mark.parametrize("mode", [None, "honor"])
    def test_deactivators_leave_who_is_out_as_they_were(
        self, ada: Any, course: Any, mode: str | None
    ) -> None:
        put(ada, course, "audit", is_active=False)

        with nothing_written():
            response = ask(
                make_user("deactivator"),
                course,
                user=username("ada"),
                is_active=False,
                mode=mode,
            )

        assert (response.status_code, response.json()["mode"]) == (200, "audit")

    @pytest.mark.rule("V1-ENR-09", "V1-ENR-19")
    def test_deactivators_may_name_the_mode_that_is_left(
        self, ada: Any, course: Any
    ) -> None:
        put(ada, course, "verified")

        response = ask(
            make_user("deactivator"),
            course,
            user=username("ada"),
            is_active=False,
            mode="verified",
        )

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", False)

    def test_deactivators_may_leave_themselves(self, course: Any) -> None:
        deactivator = make_user("deactivator")
        put(deactivator, course)

        ask(deactivator, course, is_active=False)

        assert state_of(deactivator, course) == ("audit", False)

    @pytest.mark.parametrize("was", [None, ("audit", False)])
    def test_deactivators_end_in_no_mode_that_they_may_not_choose(
        self, course: Any, was: tuple[str, bool] | None
    ) -> None:
        deactivator = make_user("deactivator")
        if was:
            put(deactivator, course, was[0], is_active=was[1])

        with nothing_written():
            response = ask(deactivator, course, mode="verified", is_active=False)

        assert response.status_code == 403
        assert response.json() == {
            "message": "User does not have permission to create enrollment with mode "
            "[verified]."
        }

    @pytest.mark.parametrize("is_active", [True, False])
    def test_deactivators_may_name_the_mode_that_they_have(
        self, course: Any, is_active: bool
    ) -> None:
        deactivator = make_user("deactivator")
        put(deactivator, course, "verified", is_active=is_active)

        response = ask(deactivator, course, mode="verified", is_active=False)

        assert response.status_code == 200
        assert state_of(deactivator, course) == ("verified", False)

    def test_force_is_for_creators(self, ada: Any) -> None:
        course = closed_course()

        assert (
            ask(make_user("deactivator"), course, force_enrollment=True).status_code
            == 400
        )
        assert (
            ask(make_user("creator"), course, force_enrollment=True).status_code == 200
        )


class PowersByName:
    """Grants each user what the name says; courses that are open take everybody."""

    def has_perm(self, user: Any, perm: str, course: Any = None) -> bool:
        if perm == ENROLL_IN_COURSE:
            return "Closed" not in course_id_of(course)
        granted = {
            username("creator"): CREATE_ENROLLMENT,
            username("deactivator"): DEACTIVATE_ENROLLMENT,
        }
        return course is None and granted.get(user.get_username()) == perm


class TestForce:
    @pytest.mark.rule("V1-FORCE-03", "V1-FORCE-08")
    @pytest.mark.parametrize(
        "facts",
        [
            {"enrollment_end": -DAY},
            {"enrollment_start": DAY},
            {"invitation_only": True},
        ],
    )
    def test_lifts_window_and_invitations(
        self, ada: Any, boss: Any, facts: dict[str, Any]
    ) -> None:
        now = timezone.now()
        course = make_course(
            **{
                name: value if value is True else now + value
                for name, value in facts.items()
            }
        )
        make_modes(course, "audit", "verified")
        target = {"user": username("ada"), "mode": "verified"}

        without = ask(boss, course, **target)
        forced = ask(boss, course, **target, force_enrollment=True)

        assert without.status_code == 400
        assert without.json() == failed("ada", course)
        assert forced.status_code == 200
        assert state_of(ada, course) == ("verified", True)

    @pytest.mark.rule("V1-FORCE-01")
    def test_is_nothing_to_learners(self, ada: Any, course: Any) -> None:
        refused = ask(ada, closed_course(), force_enrollment=True)
        enrolled = ask(ada, course, force_enrollment=True)

        assert (refused.status_code, enrolled.status_code) == (400, 200)

    @pytest.mark.rule("V1-FORCE-04")
    @pytest.mark.parametrize("is_active", [None, True])
    def test_counts_expired_modes(
        self, ada: Any, boss: Any, is_active: bool | None
    ) -> None:
        course = make_course()
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)
        target = {
            "user": username("ada"),
            "mode": "verified",
            "is_active": is_active,
        }

        without = ask(boss, course, **target)
        forced = ask(boss, course, **target, force_enrollment=True)

        assert (without.status_code, forced.status_code) == (400, 200)
        assert state_of(ada, course) == ("verified", True)

    @pytest.mark.rule("V1-ENR-23")
    def test_inactive_rows_may_be_in_an_expired_mode(self, ada: Any, boss: Any) -> None:
        course = make_course()
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)

        response = ask(
            boss, course, user=username("ada"), mode="verified", is_active=False
        )

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", False)

    @pytest.mark.rule("V1-FORCE-05")
    def test_makes_no_seat(self, ada: Any, boss: Any) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        make_mode(course)
        put(make_user("bea"), course)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), force_enrollment=True)

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    @pytest.mark.rule("V1-FORCE-06")
    def test_changes_nothing_for_who_is_in(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        put(ada, course)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), force_enrollment=True)

        assert response.status_code == 200

    @pytest.mark.rule("V1-FORCE-07")
    def test_gives_learners_no_mode(self, ada: Any, course: Any) -> None:
        response = ask(ada, course, mode="verified", force_enrollment=True)

        assert response.status_code == 403

    @pytest.mark.rule("V1-FORCE-09")
    def test_opens_no_expired_mode_to_who_is_in(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        make_mode(course, "masters", expiration_datetime=timezone.now() - HOUR)
        put(ada, course)

        with nothing_written():
            response = ask(
                boss,
                course,
                user=username("ada"),
                mode="masters",
                force_enrollment=True,
            )

        assert response.status_code == 400


class TestAttributes:
    @pytest.mark.rule("V1-ATTR-02", "V1-ATTR-12")
    def test_a_learner_notes_some_with_a_new_enrollment(
        self, ada: Any, course: Any
    ) -> None:
        response = ask(ada, course, enrollment_attributes=[COLOR, PROVIDER])

        assert response.status_code == 200
        assert attributes_of("ada", course) == [COLOR, PROVIDER]

    @pytest.mark.rule("V1-ATTR-11")
    def test_no_answer_shows_them(self, ada: Any, course: Any) -> None:
        response = ask(ada, course, enrollment_attributes=[COLOR])

        assert "color" not in response.content.decode()

    @pytest.mark.rule("V1-ATTR-02")
    def test_also_on_a_return(self, ada: Any, course: Any) -> None:
        put(ada, course, is_active=False)

        ask(ada, course, enrollment_attributes=[COLOR])

        assert attributes_of("ada", course) == [COLOR]

    @pytest.mark.rule("V1-ATTR-03")
    @pytest.mark.parametrize(
        ("given", "kept"),
        [([COLOR], [COLOR]), ([], []), (None, [PROVIDER])],
    )
    def test_a_list_replaces_all(
        self,
        ada: Any,
        boss: Any,
        course: Any,
        given: list[dict[str, str]] | None,
        kept: list[dict[str, str]],
    ) -> None:
        ask(ada, course, enrollment_attributes=[PROVIDER])

        response = ask(
            boss,
            course,
            user=username("ada"),
            mode="verified",
            enrollment_attributes=given,
        )

        assert response.status_code == 200
        assert attributes_of("ada", course) == kept

    @pytest.mark.rule("V1-ATTR-05")
    def test_a_change_of_mode_needs_what_the_mode_requires(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        make_mode(course, "credit")
        put(ada, course)

        with nothing_written():
            response = ask(
                boss,
                course,
                user=username("ada"),
                mode="credit",
                enrollment_attributes=[COLOR],
            )

        assert response.status_code == 400
        assert response.json() == {
            "message": "Missing enrollment attributes: requested mode=credit required "
            "attributes=['credit:provider_id']"
        }

    @pytest.mark.rule("V1-ATTR-05", "V1-ATTR-07")
    @pytest.mark.parametrize("given", [None, [], [COLOR, PROVIDER]])
    def test_no_list_at_all_will_do(
        self, ada: Any, boss: Any, course: Any, given: Any
    ) -> None:
        make_mode(course, "credit")
        put(ada, course)

        response = ask(
            boss,
            course,
            user=username("ada"),
            mode="credit",
            enrollment_attributes=given,
        )

        assert response.status_code == 200
        assert state_of(ada, course) == ("credit", True)

    @pytest.mark.rule("V1-ATTR-04")
    def test_the_setting_tells_what_is_required(
        self, ada: Any, boss: Any, course: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_REQUIRED_ATTRIBUTES = {"verified": ["host:color", "a:b"]}
        put(ada, course)

        response = ask(
            boss,
            course,
            user=username("ada"),
            mode="verified",
            enrollment_attributes=[COLOR],
        )

        assert response.json() == {
            "message": "Missing enrollment attributes: requested mode=verified "
            "required attributes=['host:color', 'a:b']"
        }

    @pytest.mark.rule("V1-ATTR-06")
    def test_a_new_enrollment_needs_none(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        make_mode(course, "credit")

        response = ask(
            boss,
            course,
            user=username("ada"),
            mode="credit",
            enrollment_attributes=[COLOR],
        )

        assert response.status_code == 200

    @pytest.mark.rule("V1-ATTR-08", "V1-ATTR-09", "V1-ATTR-10")
    @pytest.mark.parametrize("part", ["namespace", "name", "value"])
    @pytest.mark.parametrize("state", [None, False])
    def test_each_part_must_be_there(
        self, ada: Any, course: Any, part: str, state: bool | None
    ) -> None:
        if state is not None:
            put(ada, course, is_active=state)
        incomplete = {key: value for key, value in COLOR.items() if key != part}
        text = f"'{part}' not in enrollment attribute"

        with nothing_written():
            response = ask(ada, course, enrollment_attributes=[PROVIDER, incomplete])

        assert response.status_code == 400
        assert response.json() == {"message": text, "localizedMessage": text}
        assert list(response.json()) == ["message", "localizedMessage"]

    @pytest.mark.rule("V1-ATTR-09")
    @pytest.mark.parametrize(
        "attributes",
        [
            "text",
            "",
            0,
            7,
            True,
            False,
            {},
            COLOR,
            [None],
            ["text"],
            [7],
            [[]],
            [COLOR, None],
            [COLOR | {"value": []}],
            [COLOR | {"value": {}}],
            [COLOR | {"value": True}],
            [COLOR | {"value": "x" * 256}],
            [COLOR | {"value": "\x00"}],
            [COLOR | {"value": "\ud800"}],
            [COLOR | {"name": ""}],
            [COLOR | {"namespace": 1.5e300, "name": "x" * 300}],
        ],
    )
    @pytest.mark.parametrize("who", ["ada", "boss"])
    def test_whatever_cannot_be_stored_is_refused(
        self, ada: Any, boss: Any, course: Any, attributes: Any, who: str
    ) -> None:
        asker = {"ada": ada, "boss": boss}[who]
        put(ada, course, is_active=False)
        mode = {"ada": None, "boss": "verified"}[who]

        with nothing_written():
            response = ask(
                asker,
                course,
                user=username("ada"),
                mode=mode,
                enrollment_attributes=attributes,
            )

        body = response.json()
        assert response.status_code == 400
        assert body["message"] == body["localizedMessage"]


class TestCost:
    @pytest.mark.parametrize("learners", [0, 50])
    def test_enrolling_costs_what_add_enrollment_costs_and_who_asks(
        self, ada: Any, course: Any, learners: int
    ) -> None:
        for learner in make_users(learners):
            put(learner, course)
        client = client_of(ada)

        with CaptureQueriesContext(connection) as captured:
            response = client.post(
                ENROLLMENT, wish(course), content_type="application/json"
            )

        assert response.status_code == 200
        assert len(list_statements(captured)) <= 9

    @pytest.mark.rule("NAM-07")
    def test_functions_are_looked_up_when_called(
        self, ada: Any, monkeypatch: Any
    ) -> None:
        asked = []

        def stranger(*args: Any, **kwargs: Any) -> dict[str, str]:
            asked.append((args, kwargs))
            return {"said": "hello"}

        monkeypatch.setattr(api, "add_enrollment", stranger)

        response = post(ada, wish("django-101", mode="honor"))

        assert response.json() == {"said": "hello"}
        assert asked[0][0] == (username("ada"), "django-101")
        assert asked[0][1]["mode"] == "honor"

    @pytest.mark.rule("NAM-07")
    def test_of_updates_too(
        self, ada: Any, boss: Any, course: Any, monkeypatch: Any
    ) -> None:
        put(ada, course)
        monkeypatch.setattr(
            api, "update_enrollment", lambda *args, **kwargs: {"said": "bye"}
        )

        response = ask(boss, course, user=username("ada"), is_active=False)

        assert response.json() == {"said": "bye"}
