"""Cohorts, e-mail opt-in and enterprise customers of POST enrollment, and its log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_enrollments import api
from django_enrollments.errors import CohortNotFoundError, EnrollmentNotAllowed
from django_enrollments.models import (
    CourseEnrollment,
    EmailOptIn,
    EnrollmentEvent,
    get_course_adapter,
)
from tests.factories import (
    HOUR,
    course_id_of,
    make_course,
    make_modes,
    make_users,
    username,
)
from tests.http import (
    ENROLLMENT,
    NOWHERE,
    ask,
    assert_refused,
    client_of,
    count_statements,
    post,
    put,
    wish,
)
from tests.watching import event_types, nothing_written, state_of

pytestmark = pytest.mark.django_db

KEY = {"X-Edx-Api-Key": "secret"}
AUDIT = "django_enrollments.audit"
CUSTOMER = "f1e5a0c4-customer"
ATTRIBUTE = {"namespace": "host", "name": "color", "value": "red"}


class Cohorts:
    """Knows the cohort "Blue"; writes in the transaction in which it is called."""

    calls: list[tuple[Any, str, Any, bool]] = []

    def add_user(self, course, cohort_name: str, user):
        if cohort_name != "Blue":
            raise CohortNotFoundError(cohort_name)
        EmailOptIn.objects.create(
            user=user, org="cohort", opted_in=True, modified=timezone.now()
        )
        self.calls.append((course, cohort_name, user, connection.in_atomic_block))


class Enterprise:
    """Records its calls, or fails."""

    calls: list[dict[str, Any]] = []
    error: Exception | None = None

    def record_enrollment(self, user, course, **fields):
        savepoints = len(connection.savepoint_ids)
        self.calls.append({"user": user, "course": course, "in": savepoints, **fields})
        if self.error:
            raise self.error


class TakesTheSeats(Enterprise):
    """Sets the capacity to 0, as another process may while a network is slow."""

    def record_enrollment(self, user, course, **fields):
        super().record_enrollment(user, course, **fields)
        path = get_course_adapter().max_student_enrollments_allowed
        type(course)._base_manager.filter(pk=course.pk).update(**{path: 0})


class EnrollsAndUnenrolls(Enterprise):
    """Changes the enrollment that is being requested."""

    def record_enrollment(self, user, course, **fields):
        super().record_enrollment(user, course, **fields)
        name, course_id = user.get_username(), course_id_of(course)
        api.add_enrollment(name, course_id)
        api.update_enrollment(name, course_id, is_active=False)


def empty_mode(action, **context):
    return {"mode": ""} if action == "enroll" else None


@pytest.fixture(autouse=True)
def _empty(settings, monkeypatch):
    settings.ENROLLMENTS_API_KEYS = ["secret"]
    monkeypatch.setattr(Cohorts, "calls", [])
    monkeypatch.setattr(Enterprise, "calls", [])


@pytest.fixture
def cohorts(settings):
    settings.ENROLLMENTS_COHORT_BACKEND = f"{__name__}.Cohorts"
    return Cohorts


@pytest.fixture
def enterprise(settings):
    settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{__name__}.Enterprise"
    return Enterprise


by_either = pytest.mark.parametrize("sender", ["ada", "boss"])


def closed_course():
    return make_course("course-v1:edX+Closed+R", enrollment_end=timezone.now() - HOUR)


def by_key(course, /, **fields):
    return post(None, wish(course, **fields), headers=KEY)


def opt_ins() -> list[tuple[Any, str, bool]]:
    stored = EmailOptIn.objects.exclude(org="cohort").order_by("pk")
    return list(stored.values_list("user", "org", "opted_in"))


def failed(name: str, course) -> str:
    return (
        "An error occurred while creating the new course enrollment for "
        f"user '{username(name)}' in course '{course_id_of(course)}'"
    )


class TestCohort:
    @pytest.mark.rule("V1-SIDE-01", "B-25")
    def test_gets_the_learner_without_a_permission(self, ada, course, cohorts):
        assert ask(ada, course, cohort="Blue").status_code == 200
        assert cohorts.calls == [(course, "Blue", ada, True)]

    @pytest.mark.rule("V1-SIDE-01")
    @pytest.mark.parametrize(
        "fields", [{"mode": "verified"}, {"is_active": False}, {"is_active": True}]
    )
    def test_gets_the_learner_of_a_change(self, ada, boss, course, cohorts, fields):
        put(ada, course, is_active=not fields.get("is_active"))

        response = ask(boss, course, user=username("ada"), cohort="Blue", **fields)

        assert response.status_code == 200
        assert len(cohorts.calls) == 1

    @pytest.mark.rule("V1-SIDE-02", "B-07")
    @by_either
    @pytest.mark.parametrize("is_known", [True, False])
    def test_that_is_unknown_rolls_everything_back(
        self, request, ada, course, cohorts, sender, is_known
    ):
        if is_known:
            put(ada, course, is_active=False)
        fields = {"user": username("ada"), "is_active": True, "email_opt_in": True}
        callbacks = request.getfixturevalue("django_capture_on_commit_callbacks")
        requester = request.getfixturevalue(sender)

        with nothing_written(EmailOptIn), callbacks() as signals:
            attributes = [ATTRIBUTE]
            response = ask(
                requester,
                course,
                cohort="Red {x}",
                enrollment_attributes=attributes,
                **fields,
            )

        text = "An error occured while adding to cohort [Red {x}]"
        assert_refused(response, 400, text)
        assert signals == []

    @pytest.mark.rule("V1-ENR-05", "B-05")
    @pytest.mark.parametrize("is_active", [True, False])
    def test_gets_no_learner_without_a_change(
        self, ada, boss, course, cohorts, is_active
    ):
        put(ada, course, is_active=is_active)
        fields = {"user": username("ada"), "email_opt_in": True}
        if not is_active:
            fields["is_active"] = False

        for requester in (ada, boss):
            for cohort in ("Blue", "Red"):
                response = ask(requester, course, cohort=cohort, **fields)
                assert response.status_code == 200
        assert cohorts.calls == []
        assert not EmailOptIn.objects.exists()

    @pytest.mark.rule("V1-SIDE-12", "UTIL-02")
    @pytest.mark.parametrize("cohort", [None, "Blue", "Red", ""])
    def test_has_no_effect_without_a_backend(self, ada, course, cohort):
        assert ask(ada, course, cohort=cohort).status_code == 200

    @pytest.mark.rule("UTIL-02", "V1-SIDE-03")
    def test_of_null_is_none_and_a_member_may_be_added_again(
        self, ada, course, cohorts, monkeypatch
    ):
        assert ask(ada, course, cohort=None).status_code == 200
        assert cohorts.calls == []

        monkeypatch.setattr(Cohorts, "add_user", lambda *args: None)
        CourseEnrollment.unenroll(ada, course_id_of(course))
        assert ask(ada, course, cohort="Blue").json()["is_active"] is True

    @pytest.mark.rule("V1-SIDE-11")
    def test_comes_after_attributes_and_before_the_opt_in(
        self, ada, course, cohorts, monkeypatch
    ):
        seen: list[tuple[int, int]] = []

        def look(self, course, cohort_name: str, user):
            stored = api.get_enrollment_attributes(
                username("ada"), course_id_of(course)
            )
            seen.append((len(stored), len(opt_ins())))

        monkeypatch.setattr(Cohorts, "add_user", look)
        fields = {"email_opt_in": True, "enrollment_attributes": [ATTRIBUTE]}

        ask(ada, course, cohort="Blue", **fields)

        assert seen == [(1, 0)]
        assert len(opt_ins()) == 1


class TestEmailOptIn:
    @pytest.mark.rule("V1-SIDE-04")
    @pytest.mark.parametrize("choice", [True, False])
    def test_is_stored_for_the_organization(self, ada, course, choice):
        ask(ada, make_course("course-v1:edX+Other+R"), email_opt_in=not choice)

        response = ask(ada, course, email_opt_in=choice)

        assert response.status_code == 200
        assert opt_ins() == [(ada.pk, "edX", choice)]

    @pytest.mark.rule("V1-SIDE-05", "B-09")
    def test_is_that_of_the_learner(self, ada, boss, course):
        ask(boss, course, user=username("ada"), email_opt_in=True)
        by_key(course, user=username("boss"), email_opt_in=False)

        assert opt_ins() == [(ada.pk, "edX", True), (boss.pk, "edX", False)]

    @pytest.mark.rule("V1-SIDE-04")
    @pytest.mark.parametrize("fields", [{}, {"email_opt_in": None}])
    def test_is_kept_without_a_choice(self, ada, course, fields):
        EmailOptIn.objects.create(
            user=ada, org="edX", opted_in=False, modified=timezone.now()
        )

        ask(ada, course, **fields)

        assert opt_ins() == [(ada.pk, "edX", False)]

    @pytest.mark.rule("V1-ENR-05", "V1-ENR-29")
    def test_is_not_stored_without_an_enrollment(self, ada, course):
        put(ada, course)

        ask(ada, course, email_opt_in=True)
        refused = ask(ada, closed_course(), email_opt_in=True)

        assert refused.status_code == 400
        assert opt_ins() == []


class TestEnterprise:
    @pytest.mark.rule("V1-SIDE-07")
    def test_is_called_before_the_enrollment_is_written(self, ada, course, enterprise):
        outside = len(connection.savepoint_ids)
        fields = {
            "enterprise_uuid": CUSTOMER,
            "linked_enterprise_customer": "linked",
            "enterprise_course_consent": True,
        }

        response = by_key(
            course, user=username("ada"), mode="verified", cohort="Blue", **fields
        )

        assert response.status_code == 200
        assert enterprise.calls == [
            {
                "user": ada,
                "course": course,
                "in": outside,
                "enterprise_uuid": CUSTOMER,
                "linked_enterprise_customer": "linked",
                "consent": True,
            }
        ]
        assert EnrollmentEvent.objects.get().enterprise_uuid == CUSTOMER

    @pytest.mark.rule("V1-SIDE-07", "SEED-DIFF-19")
    @pytest.mark.parametrize(
        ("fields", "values"),
        [
            ({"enterprise_course_consent": False}, ["", None, False]),
            ({"linked_enterprise_customer": "x"}, ["", "x", None]),
            ({"enterprise_uuid": "x"}, ["x", None, None]),
        ],
    )
    def test_gets_each_field(self, ada, course, enterprise, fields, values):
        ask(ada, course, **fields)

        (call,) = enterprise.calls
        names = ("enterprise_uuid", "linked_enterprise_customer", "consent")
        assert [call[name] for name in names] == values

    def test_is_not_called_where_the_default_mode_is_not_offered(
        self, boss, ada, enterprise
    ):
        course = make_course("course-v1:edX+Paid+R", modes=["professional"])

        response = ask(boss, course, user=username("ada"), enterprise_uuid=CUSTOMER)

        assert (response.status_code, enterprise.calls) == (400, [])

    def test_is_not_called_where_a_filter_returns_an_invalid_mode(
        self, ada, course, enterprise, settings
    ):
        settings.ENROLLMENTS_FILTERS = [f"{__name__}.empty_mode"]

        response = ask(ada, course, enterprise_uuid=CUSTOMER)

        assert (response.status_code, enterprise.calls) == (400, [])

    @by_either
    def test_may_take_long_enough_for_the_course_to_fill(
        self, request, ada, course, settings, sender
    ):
        settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{__name__}.TakesTheSeats"
        sender = request.getfixturevalue(sender)

        response = ask(sender, course, user=username("ada"), enterprise_uuid=CUSTOMER)

        assert response.status_code == 400
        assert not CourseEnrollment.objects.exists()

    @by_either
    def test_may_change_the_enrollment_itself(
        self, request, ada, course, settings, sender
    ):
        settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{__name__}.EnrollsAndUnenrolls"
        sender = request.getfixturevalue(sender)

        response = ask(sender, course, user=username("ada"), enterprise_uuid=CUSTOMER)

        assert response.status_code == 200
        assert state_of(ada, course)[1]

    @pytest.mark.rule("V1-SIDE-08")
    @pytest.mark.parametrize("none", ["None", "", None])
    def test_is_not_called_without_a_value(self, ada, course, enterprise, none):
        ask(ada, course, enterprise_uuid=none, linked_enterprise_customer=none)

        assert enterprise.calls == []
        assert EnrollmentEvent.objects.get().enterprise_uuid == ""

    @pytest.mark.rule("V1-SIDE-08")
    def test_is_in_the_history_without_a_backend(self, ada, course):
        fields = {"linked_enterprise_customer": "x", "enterprise_course_consent": True}

        response = ask(ada, course, enterprise_uuid=CUSTOMER, **fields)

        assert response.status_code == 200
        assert EnrollmentEvent.objects.get().enterprise_uuid == CUSTOMER

    @pytest.mark.parametrize("name", ["ENTERPRISE", "COHORT"])
    @pytest.mark.parametrize("value", ["no.such.Backend", ["no.such.Backend"]])
    def test_refuses_if_a_backend_cannot_be_loaded(
        self, ada, course, settings, name, value
    ):
        setattr(settings, f"ENROLLMENTS_{name}_BACKEND", value)

        response = ask(ada, course, enterprise_uuid=CUSTOMER, cohort="Blue")

        assert response.status_code == 400
        assert not EnrollmentEvent.objects.exists()

    @pytest.mark.rule("V1-SIDE-07")
    @pytest.mark.parametrize("is_enrolled", [True, False])
    @pytest.mark.parametrize(
        "error",
        [
            ConnectionError("The service is down."),
            EnrollmentNotAllowed("No."),
            CohortNotFoundError("x"),
        ],
        ids=repr,
    )
    def test_that_fails_rolls_everything_back(
        self, ada, boss, course, enterprise, monkeypatch, is_enrolled, error
    ):
        if is_enrolled:
            put(ada, course)
        monkeypatch.setattr(Enterprise, "error", error)
        fields = {"user": username("ada"), "mode": "verified", "email_opt_in": True}

        with nothing_written(EmailOptIn):
            response = ask(boss, course, enterprise_course_consent=True, **fields)

        assert_refused(response, 400, failed("ada", course))
        assert len(enterprise.calls) == 1

    @pytest.mark.rule("V1-ENR-05")
    @by_either
    def test_is_not_called_for_active_enrollments(
        self, request, ada, boss, course, enterprise, sender
    ):
        put(ada, course)
        fields = {"user": username("ada"), "enterprise_uuid": CUSTOMER}

        response = ask(request.getfixturevalue(sender), course, **fields)
        for _ in range(2):
            ask(boss, course, is_active=False, **fields)

        assert response.status_code == 200
        assert state_of(ada, course) == ("audit", False)
        assert enterprise.calls == []

    @pytest.mark.rule("V1-ENR-29", "V1-SIDE-07")
    def test_is_not_called_for_what_is_refused(
        self, ada, boss, course, enterprise, settings
    ):
        def code(requester, course, **fields) -> int:
            fields["enterprise_uuid"] = CUSTOMER
            return ask(requester, course, **fields).status_code

        by_invitation = make_course("closed-1", invitation_only=True)
        make_modes(by_invitation, "audit")
        codes = [
            code(ada, by_invitation, is_active=False),
            code(ada, by_invitation, mode="honor", is_active=False),
            code(ada, by_invitation, enrollment_attributes=[{"x": 1}]),
            code(ada, closed_course()),
            code(ada, NOWHERE),
            code(boss, course, mode="unheard-of"),
            code(ada, make_course("full", max_student_enrollments_allowed=0)),
            code(boss, course, user=username("nobody")),
        ]
        put(ada, course)
        codes.append(code(boss, course, user=username("ada"), mode="unheard-of"))
        settings.ENROLLMENTS_FILTERS = [refuse_all]
        codes.append(code(boss, course))

        assert codes == [400] * 7 + [406, 400, 403]
        assert enterprise.calls == []

    @pytest.mark.rule("V1-FORCE-03")
    def test_is_called_for_forced_enrollments(self, ada, boss, enterprise):
        fields = {"user": username("ada"), "enterprise_uuid": CUSTOMER}

        response = ask(boss, closed_course(), force_enrollment=True, **fields)

        assert response.status_code == 200
        assert len(enterprise.calls) == 1


def refuse_all(action: str, **context):
    raise EnrollmentNotAllowed("Not today.")


@pytest.mark.rule("B-03")
@pytest.mark.parametrize("has_backends", [True, False])
@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        (
            "cohort",
            {7: "7", ("Blue",): "['Blue']", "a\x00": "a\x00", "\ud800": "?"}
            | {"x" * 256: "x" * 256},
            "An error occured while adding to cohort [{}]",
        ),
        (
            "email_opt_in",
            {"true": "true", 1: "1", (): "[]"},
            "'{}' is an invalid email opt-in status.",
        ),
        (
            "enterprise_uuid",
            {7: "7", (): "[]", False: "False", "x" * 256: "x" * 256},
            "'{}' is an invalid enterprise customer.",
        ),
        (
            "linked_enterprise_customer",
            {7: "7"},
            "'{}' is an invalid enterprise customer.",
        ),
        (
            "enterprise_course_consent",
            {"yes": "yes"},
            "'{}' is an invalid enterprise consent status.",
        ),
    ],
)
def test_wrong_values_are_refused(
    ada, course, settings, has_backends, name, values, text
):
    if has_backends:
        settings.ENROLLMENTS_COHORT_BACKEND = f"{__name__}.Cohorts"
        settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{__name__}.Enterprise"

    with nothing_written(EmailOptIn):
        for value, shown in values.items():
            assert_refused(ask(ada, course, **{name: value}), 400, text.format(shown))

    assert (Cohorts.calls, Enterprise.calls) == ([], [])


@pytest.mark.django_db(transaction=True)
class TestTransaction:
    @pytest.mark.rule("V1-SIDE-07")
    def test_does_not_include_the_call_of_the_enterprise_backend(
        self, ada, course, enterprise, monkeypatch
    ):
        seen: list[bool] = []

        def look(self, user, course, **fields):
            seen.append(connection.in_atomic_block)

        monkeypatch.setattr(Enterprise, "record_enrollment", look)

        ask(ada, course, enterprise_uuid=CUSTOMER, email_opt_in=True)

        assert seen == [False]

    @pytest.mark.rule("B-07")
    @pytest.mark.parametrize("in_transaction", [False, True])
    def test_commits_everything_or_nothing(self, ada, course, cohorts, in_transaction):
        fields = {"email_opt_in": True, "enrollment_attributes": [ATTRIBUTE]}

        def enroll(cohort: str) -> int:
            return ask(ada, course, cohort=cohort, **fields).status_code

        with nothing_written(EmailOptIn):
            refused = enroll("Red")
        if in_transaction:
            with transaction.atomic():
                codes = [refused, enroll("Red"), enroll("Blue")]
        else:
            codes = [refused, enroll("Red"), enroll("Blue")]

        assert codes == [400, 400, 200]
        assert event_types() == ["created"]
        assert state_of(ada, course) == ("audit", True)
        assert opt_ins() == [(ada.pk, "edX", True)]
        stored = api.get_enrollment_attributes(username("ada"), course_id_of(course))
        assert stored == [ATTRIBUTE]


class TestAuditLine:
    @pytest.fixture
    def lines(self, caplog):
        caplog.set_level(logging.INFO, AUDIT)
        start = "enrollment_change_requested: "
        return lambda: [one for one in caplog.messages if one.startswith(start)]

    @pytest.mark.rule("AUD-01", "AUD-02", "AUD-04")
    def test_has_the_request_and_the_result(self, ada, course, lines):
        by_key(course, user=username("ada"), mode="verified", is_active=True)

        assert lines() == [
            'enrollment_change_requested: actual_activation="True", '
            f'actual_mode="verified", course_id="{course_id_of(course)}", '
            'requested_activation="True", requested_mode="verified", '
            f'user_id="{ada.pk}"'
        ]

    @pytest.mark.rule("AUD-02")
    @pytest.mark.parametrize("has_row", [True, False])
    @pytest.mark.parametrize(
        "fields",
        [
            {"mode": "audit", "is_active": False},
            {"mode": "unheard-of"},
            {"is_active": "foo"},
            {"cohort": 7},
        ],
    )
    def test_has_what_is_stored_after_a_refusal(
        self, ada, course, fields, lines, has_row
    ):
        course = course if has_row else closed_course()
        if has_row:
            put(ada, course, "verified")

        response = by_key(course, user=username("ada"), **fields)

        state, mode = ("True", "verified") if has_row else ("None", "None")
        (line,) = lines()
        assert response.status_code == 400
        assert f'actual_activation="{state}", actual_mode="{mode}"' in line
        assert f'requested_activation="{fields.get("is_active")}"' in line
        assert f'requested_mode="{fields.get("mode")}"' in line
        assert username("ada") not in line

    @pytest.mark.rule("AUD-03")
    def test_is_for_known_users_and_courses_and_for_keys_alone(
        self, ada, boss, course, lines
    ):
        codes = [
            by_key(course, user="fake").status_code,
            by_key(course, email="fake@example.org").status_code,
            by_key("a b").status_code,
            post(None, {}, headers=KEY).status_code,
            ask(ada, course).status_code,
            ask(boss, course, user=username("ada"), mode="verified").status_code,
        ]

        assert codes == [406, 406, 400, 400, 200, 200]
        assert lines() == []

    @pytest.mark.rule("AUD-04")
    def test_is_one_line_whatever_is_sent(self, ada, course, lines):
        odd = 'x"\n\u2028\ud800'

        by_key(course, user=username("ada"), mode=odd, is_active=odd)
        by_key(course, user=username("ada"), is_active=["y" * 100_000])

        first, second = lines()
        assert 'requested_mode="x\\"\\n\\u2028?"' in first
        assert first.isprintable()
        assert len(second) < 1_000

    @pytest.mark.rule("AUD-05", "B-19")
    @pytest.mark.parametrize("body", [{}, {"is_active": "foo"}])
    @pytest.mark.parametrize("broken", ["log", "read"])
    def test_that_fails_does_not_change_the_response(
        self, ada, course, monkeypatch, body, broken
    ):
        if broken == "read" and not body:
            body = {"is_active": 7}
        expected = by_key(course, user=username("ada"), **body)

        def fail(*args, **kwargs):
            raise RuntimeError("Broken.")

        if broken == "log":
            monkeypatch.setattr(logging.getLogger(AUDIT), "info", fail)
        else:
            monkeypatch.setattr(api, "get_enrollment", fail)
        response = by_key(course, user=username("ada"), **body)

        assert response.status_code == expected.status_code
        assert response.content == expected.content


class TestLog:
    @staticmethod
    def lines(caplog) -> list[tuple[str, str]]:
        start = "Enrolling was refused in course "
        return [
            (record.levelname, record.getMessage().removeprefix(start))
            for record in caplog.records
            if record.getMessage().startswith(start)
        ]

    @pytest.mark.rule("AUD-06")
    def test_has_a_warning_of_each_refusal_without_names(
        self, ada, boss, course, caplog
    ):
        full = make_course("full", max_student_enrollments_allowed=0)
        put(ada, course, "verified")
        fields = {"user": username("ada")}

        ask(boss, course, mode="unheard-of", **fields)
        ask(boss, course, mode="audit", is_active=False, **fields)
        ask(ada, closed_course())
        ask(ada, full)

        assert self.lines(caplog) == [
            ("WARNING", f"{course_id_of(course)}: mode_unavailable"),
            ("WARNING", f"{course_id_of(course)}: not_updatable"),
            ("WARNING", "course-v1:edX+Closed+R: enrollment_closed"),
            ("WARNING", "full: course_full"),
        ]
        assert username("ada") not in caplog.text

    @pytest.mark.rule("AUD-06")
    def test_has_a_warning_of_active_enrollments(self, ada, course, caplog):
        put(ada, course)

        ask(ada, course)

        assert f"User {ada.pk} is already enrolled" in caplog.text

    @pytest.mark.rule("AUD-06")
    def test_has_errors_of_backends(
        self, ada, course, cohorts, enterprise, caplog, monkeypatch
    ):
        error = ConnectionError("The service is down.")
        monkeypatch.setattr(Enterprise, "error", error)

        ask(ada, course, cohort="Red")
        ask(ada, course, enterprise_uuid=CUSTOMER)

        assert self.lines(caplog) == [
            ("ERROR", f"{course_id_of(course)}: cohort_not_found"),
            ("ERROR", f"{course_id_of(course)}: enrollment_error"),
        ]
        assert "The service is down." in caplog.text
        assert not CourseEnrollment.objects.exists()


@pytest.mark.parametrize("count", [0, 50])
def test_statements_do_not_depend_on_the_number_of_learners(
    ada, course, cohorts, enterprise, count
):
    for learner in make_users(count):
        put(learner, course)
    requests = [
        ({"is_active": "foo"}, 3),
        ({"cohort": "Blue", "email_opt_in": True, "enterprise_uuid": CUSTOMER}, 18),
        ({}, 9),
    ]

    for fields, most in requests:
        _, statements = count_statements(
            lambda fields=fields: by_key(course, user=username("ada"), **fields)
        )

        assert statements <= most


def test_a_page_in_a_browser_enrolls_with_its_csrf_token(ada, course):
    client = client_of(ada, enforce_csrf_checks=True)
    client.get(ENROLLMENT)
    token = client.cookies["csrftoken"].value

    body, kind = wish(course, email_opt_in=True), "application/json"
    response = client.post(ENROLLMENT, body, kind, headers={"X-CSRFToken": token})

    assert response.status_code == 200
    assert opt_ins() == [(ada.pk, "edX", True)]
