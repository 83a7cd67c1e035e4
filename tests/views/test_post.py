"""POST enrollment over HTTP."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import product

import pytest
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
    username,
)
from tests.http import (
    NOWHERE,
    ask,
    assert_hidden,
    assert_refused,
    get,
    post,
    put,
    wish,
)
from tests.watching import nothing_written, state_of

pytestmark = pytest.mark.django_db

NO_COURSE_ID = "Course ID must be specified to create a new enrollment."
PROVIDER = {"namespace": "credit", "name": "provider_id", "value": "hogwarts"}
COLOR = {"namespace": "host", "name": "color", "value": "red"}
KEYS = ["created", "mode", "is_active", "course_details", "user"]

#: Values with the text that a message has of them.
TEXTS = [
    (7, "7"),
    (["audit"], "['audit']"),
    ({"a": 1}, "{'a': 1}"),
    ("a\x00b", "a\x00b"),
    ("a\ud800b", "a?b"),
    ("a" * 2_000, "a" * 2_000),
]
A, H, V = (("audit", True), ("honor", True), ("verified", True))
A_LEFT, H_LEFT, V_LEFT = (("audit", False), ("honor", False), ("verified", False))
PROFESSIONAL = ("professional", True)
LEAVE, RETURN, FORCE = (
    {"is_active": False},
    {"is_active": True},
    {"force_enrollment": True},
)

#: Facts of courses, by what they are; periods count from now.
COURSES = {
    "open": {},
    "expired": {},
    "verified": {},
    "closed": {"enrollment_end": -DAY},
    "professional": {"enrollment_end": -DAY},
    "future": {"enrollment_start": DAY},
    "by invitation": {"invitation_only": True},
    "full": {"max_student_enrollments_allowed": 1},
}


def make(kind: str):
    """Make a course of a kind, with audit, honor and verified if it is no mode."""
    now = timezone.now()
    facts = {
        name: now + one if name.startswith("enrollment") else one
        for name, one in COURSES[kind].items()
    }
    course = make_course(f"course-v1:edX+{kind.title().replace(' ', '')}+R", **facts)
    is_mode = kind in {"verified", "professional"}
    make_modes(course, *([kind] if is_mode else ["audit", "honor", "verified"]))
    if kind == "expired":
        expire(course, "verified")
    return course


def expire(course, slug: str):
    past = timezone.now() - HOUR
    CourseMode.objects.filter(mode_slug=slug).update(expiration_datetime=past)


def give_role(user, course, role: str):
    CourseAccessRole.objects.create(
        user=user, org="edX", course_id=course_id_of(course), role=role
    )


def not_found(course_id: str) -> str:
    return f"No course '{course_id}' found for enrollment"


def not_permitted(mode: str) -> str:
    return f"User does not have permission to create enrollment with mode [{mode}]."


def failed(name: str, course) -> str:
    return (
        "An error occurred while creating the new course enrollment for "
        f"user '{username(name)}' in course '{course_id_of(course)}'"
    )


def unavailable(mode: str, course) -> str:
    return (
        f"The [{mode}] course mode is expired or otherwise unavailable for course "
        f"run [{course_id_of(course)}]."
    )


def attributes_of(name: str, course) -> list[dict[str, str]]:
    return api.get_enrollment_attributes(username(name), course_id_of(course))


class TestCourseId:
    @pytest.mark.rule("V1-POST-02", "V1-POST-03", "V1-ERR-01")
    @pytest.mark.parametrize(
        "body",
        [
            *({}, None, [], 7, True, "django-101", [wish("django-101")]),
            {"course_id": "django-101"},
            *({"course_details": one} for one in (None, "django-101", [], 7, {})),
            *({"course_details": {"course_id": one}} for one in ("", None, [])),
        ],
    )
    def test_must_be_given(self, ada, body):
        assert_refused(post(ada, body), 400, NO_COURSE_ID)

    @pytest.mark.rule("V1-POST-30")
    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            (
                "application/x-www-form-urlencoded",
                b"course_details.course_id=django-101&course_details=x",
            ),
            (
                "multipart/form-data; boundary=x",
                b"--x\r\nContent-Disposition: form-data; "
                b'name="course_details.course_id"\r\n\r\ndjango-101\r\n--x--\r\n',
            ),
        ],
    )
    def test_cannot_be_given_by_a_form(self, ada, content_type, body):
        make_course("django-101")

        response = post(ada, body, content_type=content_type)

        assert_refused(response, 400, NO_COURSE_ID)

    @pytest.mark.rule("V1-POST-04")
    @pytest.mark.parametrize(
        ("course_id", "text"),
        [
            *((one, one) for one in ("in valid", "a/", "a,b", "{0}{course_id}%s")),
            *((True, "True"), ("x" * 256, "x" * 256)),
            *TEXTS,
        ],
    )
    def test_must_be_valid(self, ada, course_id, text):
        response = post(ada, {"course_details": {"course_id": course_id}})

        assert_refused(response, 400, not_found(text))

    @pytest.mark.rule("V1-POST-05", "V1-POST-23")
    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_must_be_of_a_course(self, ada, mode):
        assert_refused(ask(ada, NOWHERE, mode=mode), 400, not_found(NOWHERE))

    @pytest.mark.rule("V1-POST-05")
    @pytest.mark.parametrize("was_active", [True, False])
    def test_must_not_be_of_a_deleted_course(self, ada, boss, course, was_active):
        put(ada, course, is_active=was_active)
        course_id = course_id_of(course)
        course.delete()
        fields = {"user": username("ada"), "is_active": False}

        with nothing_written():
            response = ask(boss, course_id, enrollment_attributes=[PROVIDER], **fields)

        assert_refused(response, 400, not_found(course_id))


class TestUser:
    @pytest.mark.rule("V1-POST-06", "V1-POST-07")
    @pytest.mark.parametrize(
        "fields",
        [
            *({}, {"user": None}, {"user": "", "email": ""}, {"email": None}),
            {"user": username("ada")},
        ],
    )
    def test_is_the_requester_by_default_or_by_name(self, ada, course, fields):
        response = ask(ada, course, **fields)

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")

    @pytest.mark.rule("V1-POST-08", "V1-POST-11", "V1-ERR-02", "B-26")
    @pytest.mark.parametrize(
        "fields",
        [
            *({"user": name} for name in (username("bea"), "nobody", 7, ["ada"])),
            *({"user": name} for name in ("a\x00b", "\ud800", username("ada").upper())),
            *({"email": f"{name}@example.org"} for name in ("ada", "bea", "nobody")),
            *({"email": 7}, {"email": [1]}),
        ],
    )
    def test_is_hidden_from_learners_if_it_is_another(self, ada, bea, course, fields):
        assert_hidden(ask(ada, course, **fields))
        assert not CourseEnrollment.objects.exists()

    @pytest.mark.rule("V1-POST-08", "V1-AUTH-17")
    def test_is_hidden_from_course_teams_and_superusers(self, ada, bea, root, course):
        give_role(ada, course, "staff")
        give_role(ada, course, "instructor")

        for requester in (ada, root):
            assert_hidden(ask(requester, course, user=username("bea")))

    @pytest.mark.rule("V1-POST-09", "SEED-DIFF-13")
    @pytest.mark.parametrize(
        "fields",
        [
            {"user": username("ada")},
            {"email": "ada@example.org"},
            {"email": "ADA@Example.ORG"},
        ],
    )
    def test_may_be_anyone_for_global_staff(self, ada, boss, course, fields):
        response = ask(boss, course, mode="verified", **fields)

        assert response.status_code == 200
        assert response.json()["user"] == username("ada")
        assert state_of(ada, course) == ("verified", True)

    @pytest.mark.rule("V1-POST-10")
    def test_is_found_by_name_before_address(self, ada, bea, boss, course):
        response = ask(boss, course, user=username("ada"), email="bea@example.org")
        own = ask(ada, course, user=username("ada"), email=7)

        assert response.json()["user"] == username("ada")
        assert own.status_code == 200

    @pytest.mark.rule("V1-POST-12")
    @pytest.mark.parametrize("email", ["nobody@example.org", " Nobody@example.org"])
    def test_without_the_address_is_a_406(self, boss, course, email):
        text = f"The user with the email address {email} does not exist."

        assert_refused(ask(boss, course, email=email), 406, text)

    @pytest.mark.parametrize(("email", "text"), [("no address", "no address"), *TEXTS])
    def test_with_an_invalid_address_is_a_400(self, boss, course, email, text):
        message = f"'{text}' is not a valid email address."

        assert_refused(ask(boss, course, email=email), 400, message)

    @pytest.mark.rule("V1-POST-13")
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            *((one, one) for one in ("nobody", "no{}body", " ")),
            (False, "False"),
            *TEXTS,
        ],
    )
    def test_without_the_name_is_a_406(self, boss, course, name, text):
        with nothing_written():
            response = ask(boss, course, user=name)

        assert_refused(response, 406, f"The user {text} does not exist.")

    @pytest.mark.rule("V1-POST-22")
    def test_is_looked_up_before_the_course(self, boss):
        assert ask(boss, NOWHERE, user="nobody").status_code == 406

    @pytest.mark.rule("V1-POST-13")
    def test_that_is_deleted_meanwhile_is_a_406(self, ada, boss, course, monkeypatch):
        def miss(*args, **kwargs):
            raise UserNotFoundError("Gone.")

        monkeypatch.setattr(api, "add_enrollment", miss)

        response = ask(boss, course, user=username("ada"))

        assert_refused(response, 406, f"The user {username('ada')} does not exist.")

    @pytest.mark.rule("V1-POST-31")
    @pytest.mark.skipif(
        not is_default_host(), reason="The other host's addresses are unique."
    )
    def test_is_a_409_if_several_have_the_address(self, boss, course):
        make_user("one", email="both@example.org")
        make_user("two", email="Both@Example.org")

        response = ask(boss, course, email="both@example.org")

        text = "Several users have the email address both@example.org."
        assert_refused(response, 409, text)


class TestMode:
    @pytest.mark.rule("V1-POST-15")
    @pytest.mark.parametrize("mode", [None, "audit", "honor"])
    def test_may_be_a_self_service_mode_for_learners(self, ada, course, mode):
        response = ask(ada, course, mode=mode)

        assert response.status_code == 200
        assert response.json()["mode"] == (mode or "audit")

    @pytest.mark.rule("V1-POST-15", "V1-POST-16", "V1-FORCE-07")
    @pytest.mark.parametrize(
        ("mode", "text"),
        [
            *((one, one) for one in ("verified", "", "unheard-of", "AUDIT")),
            *((one, str(one)) for one in (True, [], {})),
            *TEXTS,
        ],
    )
    @pytest.mark.parametrize("fields", [{}, {"force_enrollment": True}])
    def test_is_refused_to_learners_otherwise(self, ada, course, mode, text, fields):
        with nothing_written():
            response = ask(ada, course, mode=mode, **fields)

        assert_refused(response, 403, not_permitted(text))

    @pytest.mark.rule("V1-POST-16")
    def test_is_refused_to_learners_even_if_they_have_it(self, ada, course):
        put(ada, course, "verified")

        assert ask(ada, course, mode="verified").status_code == 403

    @pytest.mark.rule("V1-POST-17")
    def test_is_refused_before_the_course_is_looked_up(self, ada):
        assert ask(ada, NOWHERE, mode="verified").status_code == 403

    @pytest.mark.rule("V1-POST-15")
    def test_of_learners_is_what_the_setting_allows(self, ada, course, settings):
        settings.ENROLLMENTS_SELF_SERVICE_MODES = ["verified"]

        assert ask(ada, course, mode="audit").status_code == 403
        assert ask(ada, course, mode="verified").status_code == 200

    @pytest.mark.rule("V1-POST-18")
    def test_may_be_any_that_is_offered_for_global_staff(self, boss, course):
        assert ask(boss, course, mode="verified").json()["mode"] == "verified"

    @pytest.mark.rule("V1-POST-24")
    def test_must_be_offered_at_the_moment(self, ada, course):
        get(None, f"course/{course_id_of(course)}")
        CourseMode.objects.filter(mode_slug="honor").delete()

        assert ask(ada, course, mode="honor").status_code == 400

    @pytest.mark.rule("V1-POST-25", "V1-ERR-01")
    @pytest.mark.parametrize(
        ("mode", "text"), [("masters", "masters"), ("", ""), *TEXTS]
    )
    @pytest.mark.parametrize("state", [None, True, False])
    def test_that_is_not_offered_is_a_400(self, ada, boss, course, mode, text, state):
        if state is not None:
            put(ada, course, "honor", is_active=state)

        with nothing_written():
            response = ask(boss, course, user=username("ada"), mode=mode)

        assert response.status_code == 400
        assert [*response.json().items()] == [
            ("message", unavailable(text, course)),
            ("course_details", api.get_course_enrollment_details(course_id_of(course))),
        ]

    @pytest.mark.rule("V1-POST-26", "V1-ENR-26")
    @pytest.mark.parametrize("mode", [None, "audit"])
    def test_is_required_where_the_default_is_not_offered(self, ada, mode):
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
    def test_is_audit_without_any(self, ada, mode):
        assert ask(ada, make_course(), mode=mode).json()["mode"] == "audit"


class TestFlags:
    @pytest.mark.rule("V1-POST-19", "V1-POST-20", "V1-POST-21")
    @pytest.mark.parametrize(
        ("key", "name"),
        [
            ("is_active", "enrollment activation"),
            ("force_enrollment", "force enrollment"),
        ],
    )
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            *((one, one) for one in ("foo", "true", "")),
            *((one, str(one)) for one in (1, 0, 1.5, [], [True], {})),
            ("\ud800", "?"),
        ],
    )
    def test_must_be_booleans(self, ada, course, key, name, value, text):
        with nothing_written():
            response = ask(ada, course, **{key: value})

        assert_refused(response, 400, f"'{text}' is an invalid {name} status.")

    @pytest.mark.rule("V1-POST-19", "V1-POST-20")
    def test_may_be_null(self, ada, course):
        response = ask(ada, course, is_active=None, force_enrollment=None)

        assert response.json()["is_active"] is True


class TestOrder:
    """Each body is wrong in every later way as well."""

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
    def test_of_checks_for_global_staff(self, ada, boss, right, code, text):
        body = wish("", mode="masters", email="nobody@example.org") | {
            "is_active": "on",
            "force_enrollment": "on",
            "enrollment_attributes": [{}],
        }
        corrections = [
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
    def test_of_checks_for_learners(self, ada, right, code, text):
        body = wish(NOWHERE, user="nobody", email="nobody@example.org") | {
            "mode": "masters",
            "is_active": "on",
            "force_enrollment": "on",
        }
        corrections = [
            *({"user": None}, {"email": None}, {"mode": None}, {"is_active": True})
        ]
        for correction in corrections[:right]:
            body |= correction

        response = post(ada, body)

        assert response.status_code == code
        assert text in response.content.decode()


class TestState:
    """
    The enrollment of ada before and after a request.

    ``ada`` requests it herself, or ``boss`` as global staff.
    """

    @pytest.mark.rule("V1-ENR-03", "V1-ENR-04", "V1-ENR-05", "V1-ENR-06", "V1-ENR-07")
    @pytest.mark.rule("V1-ENR-08", "V1-ENR-20", "V1-FORCE-01", "B-05", "B-14")
    @pytest.mark.parametrize(
        ("sender", "kind", "before", "fields", "after"),
        [
            ("ada", "open", None, {}, A),
            ("ada", "open", None, FORCE, A),
            ("ada", "open", V_LEFT, {}, A),
            # An inactive enrollment may be created, and is not activated by it.
            ("ada", "open", None, LEAVE, A_LEFT),
            ("boss", "open", None, LEAVE, A_LEFT),
            ("ada", "closed", V_LEFT, LEAVE, V_LEFT),
            ("boss", "closed", V_LEFT, LEAVE, V_LEFT),
            ("boss", "closed", V_LEFT, LEAVE | {"mode": "verified"}, V_LEFT),
            # Learners change no active enrollment, and keep it in a closed course.
            ("ada", "open", A, {"mode": "honor"}, A),
            ("ada", "open", H, {"mode": "audit"}, H),
            ("ada", "open", A, {"mode": "honor", "enrollment_attributes": [COLOR]}, A),
            ("ada", "open", A, LEAVE, A),
            ("ada", "closed", A, {}, A),
            ("ada", "closed", A, {"mode": "audit"}, A),
            ("ada", "full", A, {}, A),
            ("ada", "professional", PROFESSIONAL, {}, PROFESSIONAL),
        ],
    )
    def test_after_a_learner_enrolls(self, check, sender, kind, before, fields, after):
        check(sender, kind, before, fields, 200, after)

    @pytest.mark.rule("V1-ENR-02", "V1-ENR-09", "V1-ENR-11", "V1-ENR-16", "V1-ENR-17")
    @pytest.mark.rule(
        "V1-ENR-19", "V1-ENR-21", "V1-ENR-22", "V1-ENR-23", "SEED-DIFF-12"
    )
    @pytest.mark.rule("V1-FORCE-03", "V1-FORCE-04", "V1-FORCE-06", "V1-FORCE-08")
    @pytest.mark.parametrize(
        ("kind", "before", "fields", "after"),
        [
            ("open", V, LEAVE, V_LEFT),
            ("open", V, LEAVE | {"user": None, "email": "ada@example.org"}, V_LEFT),
            ("open", A, {"mode": "verified"}, V),
            ("open", A_LEFT, {"mode": "verified"}, V_LEFT),
            ("open", A, FORCE, A),
            # Activating needs neither a window nor an offered mode.
            ("professional", H_LEFT, RETURN, H),
            # Inactive enrollments may be in expired modes.
            ("expired", V, LEAVE | {"mode": "verified"}, V_LEFT),
            ("expired", None, LEAVE | {"mode": "verified"}, V_LEFT),
            ("open", V_LEFT, LEAVE | {"mode": "audit"}, A_LEFT),
            # Force replaces window, invitation and the expiry of the mode.
            ("closed", None, FORCE | {"mode": "verified"}, V),
            ("future", None, FORCE | {"mode": "verified"}, V),
            ("by invitation", None, FORCE | {"mode": "verified"}, V),
            ("expired", None, FORCE | {"mode": "verified"}, V),
            ("expired", None, FORCE | RETURN | {"mode": "verified"}, V),
        ],
    )
    def test_after_staff_changes_it(self, check, kind, before, fields, after):
        check("boss", kind, before, fields, 200, after)

    @pytest.mark.rule("V1-POST-27", "V1-ENR-16", "V1-ENR-27", "V1-FORCE-01")
    @pytest.mark.rule("V1-FORCE-05", "V1-FORCE-08")
    @pytest.mark.parametrize(
        ("sender", "kind", "before", "fields"),
        [
            *(
                (sender, kind, None, {})
                for sender in ("ada", "boss")
                for kind in ("closed", "future", "by invitation", "full")
            ),
            ("ada", "closed", None, FORCE),
            ("boss", "closed", None, {"mode": "verified"}),
            ("boss", "full", None, FORCE),
            ("boss", "full", A_LEFT, RETURN),
        ],
    )
    def test_is_kept_by_a_refusal(self, check, ada, sender, kind, before, fields):
        response, course = check(sender, kind, before, fields, 400, before)

        assert_refused(response, 400, failed("ada", course))

    @pytest.mark.rule("V1-ENR-18", "V1-ENR-21", "V1-FORCE-04", "V1-FORCE-09", "B-14")
    @pytest.mark.parametrize(
        ("sender", "kind", "before", "fields"),
        [
            ("ada", "professional", PROFESSIONAL, {"mode": "audit"}),
            ("boss", "verified", V_LEFT, LEAVE | {"mode": "audit"}),
            ("boss", "expired", A, {"mode": "verified"}),
            ("boss", "expired", A, FORCE | {"mode": "verified"}),
            ("boss", "expired", None, {"mode": "verified"}),
            ("boss", "expired", None, RETURN | {"mode": "verified"}),
        ],
    )
    def test_is_kept_if_the_mode_is_unavailable(
        self, check, sender, kind, before, fields
    ):
        response, course = check(sender, kind, before, fields, 400, before)

        assert response.json()["message"] == unavailable(fields["mode"], course)

    @pytest.fixture
    def check(self, ada, boss):
        """Make a request about ada; assert its status and the enrollment after it."""

        def check(sender: str, kind: str, before, fields, code: int, after):
            course = make(kind)
            if before:
                put(ada, course, before[0], is_active=before[1])
            if kind == "full" and before != A:
                put(make_user("bea"), course)
            requester = {"ada": ada, "boss": boss}[sender]

            with nothing_written() if before == after else nullcontext():
                response = ask(requester, course, **{"user": username("ada")} | fields)

            assert response.status_code == code, response.content
            if after:
                assert state_of(ada, course) == after
            if code == 200:
                body = response.json()
                assert (body["mode"], body["is_active"]) == after
            return response, course

        return check


class TestEnrolling:
    @pytest.mark.rule("V1-ENR-03", "V1-POST-29")
    def test_returns_the_new_enrollment(self, ada, course):
        response = ask(ada, course)

        stored = api.get_enrollment(username("ada"), course_id_of(course))
        assert response.status_code == 200
        assert response.json() == stored
        assert list(response.json()) == KEYS
        assert state_of(ada, course) == ("audit", True)

    def test_writes_requester_and_source_to_the_history(self, ada, boss, course):
        ask(boss, course, user=username("ada"))
        ask(boss, course, user=username("ada"), is_active=False)

        events = EnrollmentEvent.objects.order_by("pk")
        assert [
            (one.type, str(one.actor_id), one.source, one.user_id) for one in events
        ] == [
            ("created", str(boss.pk), "rest", ada.pk),
            ("deactivated", str(boss.pk), "rest", ada.pk),
        ]

    @pytest.mark.rule("V1-SER-04", "V1-ENR-04", "B-24")
    def test_again_is_in_the_default_mode(self, ada, course):
        put(ada, course, "verified", is_active=False)
        created = CourseEnrollment.objects.get().created

        response = ask(ada, course)

        assert state_of(ada, course) == ("audit", True)
        assert CourseEnrollment.objects.get().created == created
        assert response.json()["mode"] == "audit"

    @pytest.mark.rule("V1-POST-28")
    @pytest.mark.parametrize("state", [True, False])
    def test_twice_is_answered_identically(self, ada, course, state):
        first = ask(ada, course, is_active=state)

        with nothing_written():
            second = ask(ada, course, is_active=state)

        assert (second.status_code, second.content) == (200, first.content)

    @pytest.mark.rule("V1-ENR-27")
    def test_by_staff_depends_on_the_learner(self, ada, boss):
        course = make("closed")
        CourseEnrollmentAllowed.objects.create(
            email="ada@example.org", course_id=course_id_of(course)
        )

        assert ask(boss, course, user=username("ada")).status_code == 200
        assert ask(boss, course).status_code == 200

    @pytest.mark.rule("V1-POST-27")
    def test_has_one_message_for_every_other_refusal(self, ada, course, monkeypatch):
        def refuse(*args, **kwargs):
            raise CourseEnrollmentError("The disk is full.")

        monkeypatch.setattr(api, "add_enrollment", refuse)

        assert_refused(ask(ada, course), 400, failed("ada", course))


class TestFilters:
    @pytest.mark.rule("V1-SIDE-06", "V1-SIDE-09", "V1-SIDE-10")
    @pytest.mark.parametrize("sender", ["ada", "boss", "key"])
    def test_may_refuse_a_learner_with_a_403(self, ada, boss, course, settings, sender):
        text = f"Users from this location, {{please}}, cannot access '{course}'."
        settings.ENROLLMENTS_API_KEYS = ["secret"]
        headers = {"X-Edx-Api-Key": "secret"} if sender == "key" else {}

        def embargo(action: str, **context):
            if context["user"] == ada:
                raise EnrollmentNotAllowed(text)

        settings.ENROLLMENTS_FILTERS = [embargo]
        requester = {"ada": ada, "boss": boss, "key": None}[sender]

        with nothing_written():
            body = wish(course, user=username("ada"))
            response = post(requester, body, headers=headers)

        assert_refused(response, 403, text)
        assert ask(boss, course).status_code == 200

    def test_are_called_with_the_source(self, ada, course, settings):
        calls = []
        settings.ENROLLMENTS_FILTERS = [
            lambda action, **context: calls.append((action, context["source"]))
        ]

        ask(ada, course)

        assert calls == [("enroll", "rest")]

    def test_that_return_an_impossible_mode_are_a_400(self, ada, course, settings):
        settings.ENROLLMENTS_FILTERS = [lambda action, **context: {"mode": "x" * 101}]

        with nothing_written():
            response = ask(ada, course)

        assert response.status_code == 400
        assert response.json()["message"] == unavailable("None", course)


class TestUpdating:
    @pytest.mark.rule("V1-ENR-10", "V1-ENR-12", "V1-ENR-13", "V1-ENR-14", "V1-ENR-15")
    @pytest.mark.parametrize(
        ("has", "mode", "was", "is_active"),
        list(product(*[["honor", "verified"]] * 2, *[[True, False]] * 2)),
    )
    @pytest.mark.parametrize("sender", ["boss", "key"])
    def test_fulfills_the_request_or_changes_nothing(
        self, ada, boss, course, settings, has, mode, was, is_active, sender
    ):
        settings.ENROLLMENTS_API_KEYS = ["secret"]
        put(ada, course, has, is_active=was)
        body = wish(course, user=username("ada"), mode=mode, is_active=is_active)

        if sender == "key":
            response = post(None, body, headers={"X-Edx-Api-Key": "secret"})
        else:
            response = post(boss, body)

        if has != mode and was and not is_active:
            text = (
                f"Enrollment mode mismatch: active mode={has}, requested "
                f"mode={mode}. Won't deactivate."
            )
            assert_refused(response, 400, text)
            assert state_of(ada, course) == (has, was)
        else:
            assert response.status_code == 200
            assert state_of(ada, course) == (mode, is_active)

    @pytest.mark.rule("V1-ENR-30")
    @pytest.mark.parametrize(
        ("slugs", "mode"),
        [
            ((), "audit"),
            (("audit", "verified"), "verified"),
            (("professional",), "professional"),
            (("no-id-professional",), "no-id-professional"),
            (("verified", "credit"), "credit"),
        ],
    )
    @pytest.mark.parametrize("headers", [{}, {"X-Edx-Api-Key": "secret"}])
    def test_unenrolls_in_every_set_of_modes(
        self, ada, boss, settings, slugs, mode, headers
    ):
        settings.ENROLLMENTS_API_KEYS = ["secret"]
        course = make_course()
        make_modes(course, *slugs)

        codes = [
            post(
                None if headers else boss,
                wish(course, user=username("ada"), mode=mode, **fields),
                headers=headers,
            ).status_code
            for fields in ({}, {"is_active": "foo"}, *[{"is_active": False}] * 2)
        ]

        assert codes == [200, 400, 200, 200]
        assert state_of(ada, course) == (mode, False)

    @pytest.mark.rule("V1-ENR-01")
    def test_is_not_for_course_teams(self, ada, course):
        put(ada, course)
        give_role(ada, course, "instructor")

        ask(ada, course, is_active=False)
        ask(ada, course, mode="honor")

        assert state_of(ada, course) == ("audit", True)


class PermissionsByName:
    """Grants users what they are named for, and enrolling in open courses to all."""

    def has_perm(self, user, perm: str, course=None) -> bool:
        if perm == ENROLL_IN_COURSE:
            return "Closed" not in course_id_of(course)
        granted = {
            username("creator"): CREATE_ENROLLMENT,
            username("deactivator"): DEACTIVATE_ENROLLMENT,
        }
        return course is None and granted.get(user.get_username()) == perm


class TestPermissions:
    """Creating and deactivating are granted separately."""

    @pytest.fixture(autouse=True)
    def _backend(self, settings):
        path = f"{__name__}.PermissionsByName"
        settings.ENROLLMENTS_PERMISSION_BACKENDS = [path]

    @pytest.fixture
    def creator(self):
        return make_user("creator")

    @pytest.fixture
    def deactivator(self):
        return make_user("deactivator")

    def test_of_creators_allow_any_mode_for_others(self, ada, creator, course):
        fields = {"user": username("ada")}

        codes = [
            ask(creator, course, mode=mode, **fields).status_code
            for mode in ("verified", "honor")
        ]

        assert codes == [200, 200]
        assert state_of(ada, course) == ("honor", True)

    def test_of_creators_unenroll_no_one(self, ada, creator, course):
        put(ada, course)

        with nothing_written():
            response = ask(creator, course, user=username("ada"), is_active=False)

        assert (response.status_code, response.json()["is_active"]) == (200, True)

    @pytest.mark.rule("V1-ENR-09", "V1-ENR-19")
    @pytest.mark.parametrize("fields", [{}, {"mode": "verified"}])
    def test_of_deactivators_unenroll_others(self, ada, deactivator, course, fields):
        put(ada, course, "verified")
        fields = fields | {"user": username("ada"), "is_active": False}

        response = ask(deactivator, course, **fields)

        assert response.status_code == 200
        assert state_of(ada, course) == ("verified", False)

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
    def test_of_deactivators_enroll_no_one(
        self, ada, deactivator, course, fields, code
    ):
        with nothing_written():
            response = ask(deactivator, course, user=username("ada"), **fields)

        assert response.status_code == code

    @pytest.mark.parametrize("mode", [None, "honor"])
    def test_of_deactivators_change_no_inactive_enrollment(
        self, ada, deactivator, course, mode
    ):
        put(ada, course, "audit", is_active=False)
        fields = {"user": username("ada"), "is_active": False}

        with nothing_written():
            response = ask(deactivator, course, mode=mode, **fields)

        assert (response.status_code, response.json()["mode"]) == (200, "audit")

    @pytest.mark.parametrize(
        ("has", "was", "mode", "code", "state"),
        [
            ("audit", True, None, 200, ("audit", False)),
            ("verified", True, "verified", 200, ("verified", False)),
            ("verified", False, "verified", 200, ("verified", False)),
            ("audit", False, "verified", 403, ("audit", False)),
            (None, None, "verified", 403, None),
        ],
    )
    def test_of_deactivators_unenroll_themselves_in_the_mode_they_have(
        self, deactivator, course, has, was, mode, code, state
    ):
        if has:
            put(deactivator, course, has, is_active=was)

        response = ask(deactivator, course, mode=mode, is_active=False)

        assert response.status_code == code
        if code == 403:
            assert_refused(response, 403, not_permitted("verified"))
        if state:
            assert state_of(deactivator, course) == state

    def test_to_force_are_those_of_creators(self, creator, deactivator):
        course = make("closed")

        codes = [
            ask(requester, course, force_enrollment=True).status_code
            for requester in (deactivator, creator)
        ]

        assert codes == [400, 200]


class TestAttributes:
    @pytest.mark.rule("V1-ATTR-02", "V1-ATTR-11", "V1-ATTR-12")
    @pytest.mark.parametrize("returns", [False, True])
    def test_are_stored_with_an_enrollment_and_not_returned(self, ada, course, returns):
        if returns:
            put(ada, course, is_active=False)

        response = ask(ada, course, enrollment_attributes=[COLOR, PROVIDER])

        assert response.status_code == 200
        assert "color" not in response.content.decode()
        assert attributes_of("ada", course) == [COLOR, PROVIDER]

    @pytest.mark.rule("V1-ATTR-03")
    @pytest.mark.parametrize(
        ("given", "kept"),
        [([COLOR], [COLOR]), ([], []), (None, [PROVIDER])],
    )
    def test_are_replaced_by_a_list(self, ada, boss, course, given, kept):
        ask(ada, course, enrollment_attributes=[PROVIDER])
        fields = {"user": username("ada"), "mode": "verified"}

        response = ask(boss, course, enrollment_attributes=given, **fields)

        assert response.status_code == 200
        assert attributes_of("ada", course) == kept

    @pytest.mark.rule("V1-ATTR-04", "V1-ATTR-05")
    @pytest.mark.parametrize(
        ("setting", "mode", "names"),
        [
            (None, "credit", ["credit:provider_id"]),
            ({"verified": ["host:color", "a:b"]}, "verified", ["host:color", "a:b"]),
        ],
    )
    def test_that_a_mode_requires_must_be_in_the_list(
        self, ada, boss, course, settings, setting, mode, names
    ):
        if setting:
            settings.ENROLLMENTS_REQUIRED_ATTRIBUTES = setting
        make_mode(course, "credit")
        put(ada, course)
        fields = {"user": username("ada"), "mode": mode}

        with nothing_written():
            response = ask(boss, course, enrollment_attributes=[COLOR], **fields)

        text = (
            f"Missing enrollment attributes: requested mode={mode} required "
            f"attributes={names}"
        )
        assert_refused(response, 400, text)

    @pytest.mark.rule("V1-ATTR-05", "V1-ATTR-06", "V1-ATTR-07")
    @pytest.mark.parametrize(
        ("is_enrolled", "given"),
        [(True, None), (True, []), (True, [COLOR, PROVIDER]), (False, [COLOR])],
    )
    def test_are_not_required_without_a_list_or_when_enrolling(
        self, ada, boss, course, is_enrolled, given
    ):
        make_mode(course, "credit")
        if is_enrolled:
            put(ada, course)
        fields = {"user": username("ada"), "mode": "credit"}

        response = ask(boss, course, enrollment_attributes=given, **fields)

        assert response.status_code == 200
        assert state_of(ada, course) == ("credit", True)

    @pytest.mark.rule("V1-ATTR-08", "V1-ATTR-09", "V1-ATTR-10", "V1-ERR-01")
    @pytest.mark.parametrize("part", ["namespace", "name", "value"])
    @pytest.mark.parametrize("state", [None, False])
    def test_need_each_part(self, ada, course, part, state):
        if state is not None:
            put(ada, course, is_active=state)
        incomplete = {key: value for key, value in COLOR.items() if key != part}
        text = f"'{part}' not in enrollment attribute"

        with nothing_written():
            response = ask(ada, course, enrollment_attributes=[PROVIDER, incomplete])

        assert response.status_code == 400
        assert [*response.json().items()] == [
            ("message", text),
            ("localizedMessage", text),
        ]

    @pytest.mark.rule("V1-ATTR-09")
    @pytest.mark.parametrize(
        "attributes",
        [
            *("text", "", 0, 7, True, False, {}, COLOR),
            *([None], ["text"], [7], [[]], [COLOR, None]),
            *([COLOR | {"value": one}] for one in ([], {}, True, "x" * 256)),
            *([COLOR | {"value": one}] for one in ("\x00", "\ud800")),
            [COLOR | {"name": ""}],
            [COLOR | {"namespace": 1.5e300, "name": "x" * 300}],
        ],
    )
    @pytest.mark.parametrize(("sender", "mode"), [("ada", None), ("boss", "verified")])
    def test_that_cannot_be_stored_are_refused(
        self, ada, boss, course, attributes, sender, mode
    ):
        put(ada, course, is_active=False)
        fields = {"user": username("ada"), "mode": mode}
        requester = {"ada": ada, "boss": boss}[sender]

        with nothing_written():
            response = ask(
                requester, course, enrollment_attributes=attributes, **fields
            )

        body = response.json()
        assert response.status_code == 400
        assert body["message"] == body["localizedMessage"]


@pytest.mark.rule("NAM-07")
@pytest.mark.parametrize("name", ["add_enrollment", "update_enrollment"])
def test_functions_of_the_api_are_looked_up_when_called(
    ada, boss, course, monkeypatch, name
):
    calls = []

    def replacement(*args, **kwargs):
        calls.append((*args, kwargs.get("mode")))
        return {"replaced": name}

    if name == "update_enrollment":
        put(ada, course)
    monkeypatch.setattr(api, name, replacement)

    response = ask(boss, course, user=username("ada"), mode="honor")

    assert response.json() == {"replaced": name}
    assert calls[0][:2] == (username("ada"), course_id_of(course))
    assert "honor" in calls[0]
