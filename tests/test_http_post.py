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
from tests.http import ENROLLMENT, NOWHERE, ask, client_of, post, put, wish
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
    """Give the body of V1-POST-27."""
    return {
        "message": "An error occurred while creating the new course enrollment for "
        f"user '{username(name)}' in course '{course_id_of(course)}'"
    }


def unavailable(mode: str, course: Any) -> str:
    """Give the message of V1-POST-25."""
    return (
        f"The [{mode}] course mode is expired or otherwise unavailable for course "
        f"run [{course_id_of(course)}]."
    )


def attributes_of(name: str, course: Any) -> list[dict[str, str]]:
    return api.get_enrollment_attributes(username(name), course_id_of(course))


class TestCourseId:
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
    def test_post_02_and_03_it_must_be_there(self, ada: Any, body: Any) -> None:
        response = post(ada, body)

        assert (response.status_code, response.json()) == (400, NO_COURSE_ID)

    @pytest.mark.parametrize(
        "content_type",
        ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
    )
    def test_post_30_a_form_cannot_express_it(
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
    def test_post_04_it_must_be_one(self, ada: Any, course_id: Any, told: str) -> None:
        response = post(ada, {"course_details": {"course_id": course_id}})

        assert response.status_code == 400
        assert response.json() == {
            "message": f"No course '{told}' found for enrollment"
        }

    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_post_05_and_23_it_must_be_known(self, ada: Any, mode: Any) -> None:
        response = post(ada, wish(NOWHERE, mode=mode))

        assert response.status_code == 400
        assert response.json() == {
            "message": f"No course '{NOWHERE}' found for enrollment"
        }

    def test_post_05_that_of_a_deleted_course_is_not(
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
    @pytest.mark.parametrize("user", [None, ""])
    @pytest.mark.parametrize("email", [None, ""])
    def test_post_06_nobody_named_is_the_requester(
        self, ada: Any, course: Any, user: Any, email: Any
    ) -> None:
        response = ask(ada, course, user=user, email=email)

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")

    def test_post_07_the_own_name_is_for_everyone(self, ada: Any, course: Any) -> None:
        response = ask(ada, course, user=username("ada"))

        assert response.json()["user"] == username("ada")

    def test_post_08_another_is_hidden_from_learners(
        self, ada: Any, course: Any
    ) -> None:
        make_user("bea")

        for name in (username("bea"), "nobody", 7, ["ada"], "a\x00b", "\ud800"):
            response = ask(ada, course, user=name)

            assert (response.status_code, response.content) == (404, b"")
        assert not CourseEnrollment.objects.exists()

    @pytest.mark.parametrize("role", ["staff", "instructor"])
    def test_post_08_course_team_roles_do_not_help(
        self, ada: Any, course: Any, role: str
    ) -> None:
        make_user("bea")
        CourseAccessRole.objects.create(
            user=ada, org="edX", course_id=course_id_of(course), role=role
        )

        assert ask(ada, course, user=username("bea")).status_code == 404

    def test_auth_17_a_superuser_is_a_learner_here(self, course: Any) -> None:
        make_user("bea")
        root = make_user("root", is_superuser=True)

        assert ask(root, course, user=username("bea")).status_code == 404

    def test_b_26_the_own_name_in_another_case_is_another(
        self, ada: Any, course: Any
    ) -> None:
        assert ask(ada, course, user=username("ada").upper()).status_code == 404

    def test_post_09_global_staff_acts_for_others(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        response = ask(boss, course, user=username("ada"), mode="verified")

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")
        assert state_of(ada, course) == ("verified", True)

    def test_post_10_a_name_wins_over_an_address(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        make_user("bea", email="bea@example.org")

        response = ask(boss, course, user=username("ada"), email="bea@example.org")
        own = ask(ada, course, user=username("ada"), email=7)

        assert response.json()["user"] == username("ada")
        assert own.status_code == 200

    @pytest.mark.parametrize(
        "email", ["ada@example.org", "bea@example.org", "nobody@example.org", 7, [1]]
    )
    def test_post_11_learners_may_not_use_an_address(
        self, ada: Any, course: Any, email: Any
    ) -> None:
        make_user("bea")

        response = ask(ada, course, email=email)

        assert (response.status_code, response.content) == (404, b"")

    @pytest.mark.parametrize("email", ["ada@example.org", "ADA@Example.ORG"])
    def test_post_09_global_staff_may_use_an_address(
        self, ada: Any, boss: Any, course: Any, email: str
    ) -> None:
        response = ask(boss, course, email=email)

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")

    @pytest.mark.parametrize(
        ("email", "told"),
        [
            ("nobody@example.org", "nobody@example.org"),
            ("no address", "no address"),
            (7, "7"),
            (["a"], "['a']"),
            ("a\x00@example.org", "a\x00@example.org"),
            ("\ud800@example.org", "?@example.org"),
            ("a" * 2_000, "a" * 2_000),
        ],
    )
    def test_post_12_an_address_of_nobody(
        self, boss: Any, course: Any, email: Any, told: str
    ) -> None:
        response = ask(boss, course, email=email)

        assert response.status_code == 406
        assert response.json() == {
            "message": f"The user with the email address {told} does not exist."
        }

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
    def test_post_13_a_name_of_nobody(
        self, boss: Any, course: Any, name: Any, told: str
    ) -> None:
        with nothing_written():
            response = ask(boss, course, user=name)

        assert response.status_code == 406
        assert response.json() == {"message": f"The user {told} does not exist."}

    def test_post_22_a_user_is_missed_before_a_course(self, boss: Any) -> None:
        assert post(boss, wish(NOWHERE, user="nobody")).status_code == 406

    def test_post_13_also_when_the_user_goes_meanwhile(
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

    @pytest.mark.skipif(
        not is_default_host(), reason="The other host's addresses are unique."
    )
    def test_post_31_an_address_of_several_users(self, boss: Any, course: Any) -> None:
        make_user("one", email="both@example.org")
        make_user("two", email="Both@Example.org")

        response = ask(boss, course, email="both@example.org")

        assert response.status_code == 409
        assert response.json() == {
            "message": "Several users have the email address both@example.org."
        }


class TestMode:
    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_post_15_learners_pick_from_the_self_service_modes(
        self, ada: Any, course: Any, mode: str | None
    ) -> None:
        response = ask(ada, course, mode=mode)

        assert response.status_code == 200
        assert response.json()["mode"] == (mode or "audit")

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
    def test_post_15_and_16_and_no_other(
        self, ada: Any, course: Any, mode: Any, told: str
    ) -> None:
        with nothing_written():
            response = ask(ada, course, mode=mode)

        assert response.status_code == 403
        assert response.json() == {
            "message": "User does not have permission to create enrollment with "
            f"mode [{told}]."
        }

    def test_post_16_even_who_has_the_mode_may_not_ask_for_it(
        self, ada: Any, course: Any
    ) -> None:
        put(ada, course, "verified")

        assert ask(ada, course, mode="verified").status_code == 403

    def test_post_17_the_mode_is_refused_before_the_course_is_missed(
        self, ada: Any
    ) -> None:
        assert post(ada, wish(NOWHERE, mode="verified")).status_code == 403

    def test_post_15_the_setting_tells_which(
        self, ada: Any, course: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_SELF_SERVICE_MODES = ["verified"]

        assert ask(ada, course, mode="audit").status_code == 403
        assert ask(ada, course, mode="verified").status_code == 200

    def test_post_18_global_staff_may_ask_for_any_mode_offered(
        self, boss: Any, course: Any
    ) -> None:
        assert ask(boss, course, mode="verified").json()["mode"] == "verified"

    def test_post_24_the_modes_are_those_of_the_moment(
        self, ada: Any, course: Any
    ) -> None:
        client_of().get(f"/api/enrollment/v1/course/{course_id_of(course)}")
        CourseMode.objects.filter(mode_slug="honor").delete()

        assert ask(ada, course, mode="honor").status_code == 400

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
    def test_post_25_a_mode_that_is_not_offered(
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

    @pytest.mark.parametrize("mode", [None, "audit"])
    def test_post_26_and_enr_26_no_mode_where_the_default_is_not_offered(
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

    @pytest.mark.parametrize("mode", [None, "audit"])
    def test_enr_25_without_modes_audit_will_do(
        self, ada: Any, mode: str | None
    ) -> None:
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

    @pytest.mark.parametrize(("value", "told"), WRONG)
    def test_post_19_and_21_is_active_must_be_a_boolean(
        self, ada: Any, course: Any, value: Any, told: str
    ) -> None:
        with nothing_written():
            response = ask(ada, course, is_active=value)

        assert response.status_code == 400
        assert response.json() == {
            "message": f"'{told}' is an invalid enrollment activation status."
        }

    @pytest.mark.parametrize(("value", "told"), WRONG)
    def test_post_20_force_enrollment_must_be_a_boolean(
        self, ada: Any, course: Any, value: Any, told: str
    ) -> None:
        with nothing_written():
            response = ask(ada, course, force_enrollment=value)

        assert response.status_code == 400
        assert response.json() == {
            "message": f"'{told}' is an invalid force enrollment status."
        }

    def test_post_19_and_20_null_is_as_good_as_absent(
        self, ada: Any, course: Any
    ) -> None:
        response = ask(ada, course, is_active=None, force_enrollment=None)

        assert response.json()["is_active"] is True


class TestOrder:
    """V1-POST-01: each body is wrong in every later way as well."""

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
    def test_post_01_of_global_staff(
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
    def test_post_01_of_a_learner(
        self, ada: Any, right: int, code: int, text: str
    ) -> None:
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
    def test_enr_03_and_post_29_a_learner_enrolls(self, ada: Any, course: Any) -> None:
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

    def test_ser_04_enr_04_and_b_24_a_return_is_in_the_default_mode(
        self, ada: Any, course: Any
    ) -> None:
        put(ada, course, "verified", is_active=False)
        created = CourseEnrollment.objects.get().created

        response = ask(ada, course)

        assert state_of(ada, course) == ("audit", True)
        assert CourseEnrollment.objects.get().created == created
        assert response.json()["mode"] == "audit"

    @pytest.mark.parametrize("state", [True, False])
    def test_post_28_two_identical_requests_get_identical_answers(
        self, ada: Any, course: Any, state: bool
    ) -> None:
        first = ask(ada, course, is_active=state)

        with nothing_written():
            second = ask(ada, course, is_active=state)

        assert second.status_code == 200
        assert second.content == first.content

    def test_enr_05_everything_else_is_ignored_for_who_is_in(
        self, ada: Any, course: Any
    ) -> None:
        put(ada, course, "audit")

        with nothing_written():
            response = ask(ada, course, mode="honor", enrollment_attributes=[COLOR])

        assert response.json()["mode"] == "audit"

    def test_enr_06_a_learner_cannot_leave(self, ada: Any, course: Any) -> None:
        put(ada, course)

        with nothing_written():
            response = ask(ada, course, is_active=False)

        assert response.status_code == 200
        assert response.json()["is_active"] is True

    @pytest.mark.parametrize(("has", "asks"), [("audit", "honor"), ("honor", "audit")])
    def test_enr_07_a_learner_cannot_change_the_mode(
        self, ada: Any, course: Any, has: str, asks: str
    ) -> None:
        put(ada, course, has)

        with nothing_written():
            response = ask(ada, course, mode=asks)

        assert response.json()["mode"] == has

    @pytest.mark.parametrize("who", ["ada", "boss"])
    def test_enr_08_an_inactive_row_can_be_made(
        self, ada: Any, boss: Any, course: Any, who: str
    ) -> None:
        asker = {"ada": ada, "boss": boss}[who]

        response = ask(asker, course, is_active=False)

        assert response.status_code == 200
        assert response.json()["is_active"] is False
        assert event_types() == ["created"]

    def test_enr_20_and_b_05_who_has_left_stays_out_as_they_were(
        self, ada: Any, boss: Any
    ) -> None:
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

    @pytest.mark.parametrize("mode", [None, "audit"])
    def test_b_14_who_is_in_stays_in_when_the_course_closes(
        self, ada: Any, mode: str | None
    ) -> None:
        course = closed_course(max_student_enrollments_allowed=1)
        put(ada, course)

        with nothing_written():
            response = ask(ada, course, mode=mode)

        assert response.status_code == 200
        assert response.json()["is_active"] is True

    def test_b_14_over_enr_31_even_in_a_mode_that_nobody_picks(self, ada: Any) -> None:
        course = closed_course("professional")
        put(ada, course, "professional")

        without = ask(ada, course)
        explicit = ask(ada, course, mode="audit")

        assert (without.status_code, without.json()["mode"]) == (200, "professional")
        assert explicit.status_code == 400
        assert explicit.json()["message"] == unavailable("audit", course)

    @pytest.mark.parametrize(
        "facts",
        [
            {"enrollment_end": -DAY},
            {"enrollment_start": DAY},
            {"invitation_only": True},
        ],
    )
    @pytest.mark.parametrize("who", ["ada", "boss"])
    def test_post_27_and_enr_27_a_closed_course_refuses_whoever_asks(
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

    def test_enr_27_the_learner_is_asked_about_rather_than_the_requester(
        self, ada: Any, boss: Any
    ) -> None:
        course = closed_course()
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=course_id_of(course)
        )

        assert ask(boss, course, user=username("ada")).status_code == 200
        assert ask(boss, course).status_code == 200

    def test_post_27_a_full_course_refuses(self, ada: Any) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        make_mode(course)
        put(make_user("bea"), course)

        with nothing_written():
            response = ask(ada, course)

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    def test_post_27_any_other_refusal_reads_the_same(
        self, ada: Any, course: Any, monkeypatch: Any
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "add_enrollment", refuse)

        response = ask(ada, course)

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    def test_side_09_and_10_a_filter_that_vetoes_is_a_403_with_its_words(
        self, ada: Any, course: Any, settings: Any
    ) -> None:
        settings.ENROLLMENTS_FILTERS = [_veto]

        with nothing_written():
            response = ask(ada, course)

        assert response.status_code == 403
        assert response.json() == {"message": "Ask the dean, {please}."}

    @pytest.mark.parametrize("asker", ["ada", "boss", "key"])
    def test_side_06_an_embargo_is_a_filter_asked_about_the_learner(
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
    def test_enr_02_and_09_global_staff_takes_a_learner_out(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        put(ada, course, "verified")

        response = ask(boss, course, user=username("ada"), is_active=False)

        assert response.status_code == 200
        assert response.json()["is_active"] is False
        assert state_of(ada, course) == ("verified", False)

    def test_enr_22_by_an_address_too(self, ada: Any, boss: Any, course: Any) -> None:
        put(ada, course)

        ask(boss, course, email="ada@example.org", is_active=False)

        assert state_of(ada, course) == ("audit", False)

    @pytest.mark.parametrize(
        ("has", "asks", "was", "becomes"),
        list(
            product(["honor", "verified"], ["honor", "verified"], *[[True, False]] * 2)
        ),
    )
    def test_enr_10_12_to_15_the_row_equals_the_request_or_nothing_happens(
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

    @pytest.mark.parametrize("was", [True, False])
    def test_enr_11_a_mode_alone_keeps_the_activation(
        self, ada: Any, boss: Any, course: Any, was: bool
    ) -> None:
        put(ada, course, "audit", is_active=was)

        response = ask(boss, course, user=username("ada"), mode="verified")

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", was)

    def test_enr_16_and_17_a_return_asks_for_no_window_and_no_mode(
        self, ada: Any, boss: Any
    ) -> None:
        course = closed_course("professional")
        put(ada, course, "honor", is_active=False)

        response = ask(boss, course, user=username("ada"), is_active=True)

        assert response.status_code == 200
        assert state_of(ada, course) == ("honor", True)

    def test_enr_16_but_for_a_seat(self, ada: Any, boss: Any) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        make_mode(course)
        put(ada, course, is_active=False)
        put(make_user("bea"), course)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), is_active=True)

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    def test_enr_18_to_an_expired_mode(self, ada: Any, boss: Any, course: Any) -> None:
        make_mode(course, "masters", expiration_datetime=timezone.now() - HOUR)
        put(ada, course)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), mode="masters")

        assert response.status_code == 400
        assert response.json()["message"] == unavailable("masters", course)

    def test_enr_19_out_of_an_expired_mode(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        put(ada, course, "verified")
        CourseMode.objects.filter(mode_slug="verified").update(
            expiration_datetime=timezone.now() - HOUR
        )

        response = ask(
            boss, course, user=username("ada"), mode="verified", is_active=False
        )

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", False)

    @pytest.mark.parametrize(("offers", "code"), [(True, 200), (False, 400)])
    def test_enr_21_an_inactive_row_changes_to_a_mode_that_is_offered(
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
    def test_enr_30_every_set_of_modes_lets_go(
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

    def test_enr_01_course_team_members_are_learners_here(
        self, ada: Any, course: Any
    ) -> None:
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

    def test_enr_09_and_19_deactivators_may_name_the_mode_that_is_left(
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
    @pytest.mark.parametrize(
        "facts",
        [
            {"enrollment_end": -DAY},
            {"enrollment_start": DAY},
            {"invitation_only": True},
        ],
    )
    def test_force_03_and_08_lifts_window_and_invitations(
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

    def test_force_01_is_nothing_to_learners(self, ada: Any, course: Any) -> None:
        refused = ask(ada, closed_course(), force_enrollment=True)
        enrolled = ask(ada, course, force_enrollment=True)

        assert (refused.status_code, enrolled.status_code) == (400, 200)

    @pytest.mark.parametrize("is_active", [None, True])
    def test_force_04_counts_expired_modes(
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

    def test_enr_23_inactive_rows_may_be_in_an_expired_mode(
        self, ada: Any, boss: Any
    ) -> None:
        course = make_course()
        make_mode(course, "verified", expiration_datetime=timezone.now() - HOUR)

        response = ask(
            boss, course, user=username("ada"), mode="verified", is_active=False
        )

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", False)

    def test_force_05_makes_no_seat(self, ada: Any, boss: Any) -> None:
        course = make_course(max_student_enrollments_allowed=1)
        make_mode(course)
        put(make_user("bea"), course)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), force_enrollment=True)

        assert response.status_code == 400
        assert response.json() == failed("ada", course)

    def test_force_06_changes_nothing_for_who_is_in(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        put(ada, course)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), force_enrollment=True)

        assert response.status_code == 200

    def test_force_07_gives_learners_no_mode(self, ada: Any, course: Any) -> None:
        response = ask(ada, course, mode="verified", force_enrollment=True)

        assert response.status_code == 403

    def test_force_09_opens_no_expired_mode_to_who_is_in(
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
    def test_attr_02_and_12_a_learner_notes_some_with_a_new_enrollment(
        self, ada: Any, course: Any
    ) -> None:
        response = ask(ada, course, enrollment_attributes=[COLOR, PROVIDER])

        assert response.status_code == 200
        assert attributes_of("ada", course) == [COLOR, PROVIDER]

    def test_attr_11_no_answer_shows_them(self, ada: Any, course: Any) -> None:
        response = ask(ada, course, enrollment_attributes=[COLOR])

        assert "color" not in response.content.decode()

    def test_attr_02_also_on_a_return(self, ada: Any, course: Any) -> None:
        put(ada, course, is_active=False)

        ask(ada, course, enrollment_attributes=[COLOR])

        assert attributes_of("ada", course) == [COLOR]

    @pytest.mark.parametrize(
        ("given", "kept"),
        [([COLOR], [COLOR]), ([], []), (None, [PROVIDER])],
    )
    def test_attr_03_a_list_replaces_all(
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

    def test_attr_05_a_change_of_mode_needs_what_the_mode_requires(
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

    @pytest.mark.parametrize("given", [None, [], [COLOR, PROVIDER]])
    def test_attr_05_and_07_no_list_at_all_will_do(
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

    def test_attr_04_the_setting_tells_what_is_required(
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

    def test_attr_06_a_new_enrollment_needs_none(
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

    @pytest.mark.parametrize("part", ["namespace", "name", "value"])
    @pytest.mark.parametrize("state", [None, False])
    def test_attr_08_to_10_each_part_must_be_there(
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
    def test_attr_09_whatever_cannot_be_stored_is_refused(
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

        statements = [
            query["sql"]
            for query in captured.captured_queries
            if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))
        ]
        assert response.status_code == 200
        assert len(statements) <= 9

    def test_nam_07_functions_are_looked_up_when_called(
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

    def test_nam_07_of_updates_too(
        self, ada: Any, boss: Any, course: Any, monkeypatch: Any
    ) -> None:
        put(ada, course)
        monkeypatch.setattr(
            api, "update_enrollment", lambda *args, **kwargs: {"said": "bye"}
        )

        response = ask(boss, course, user=username("ada"), is_active=False)

        assert response.json() == {"said": "bye"}
