"""What else a POST brings about, and what it leaves in the log (rules V1-SIDE, AUD)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_enrollments import api
from django_enrollments.errors import CohortNotFoundError, EnrollmentNotAllowed
from django_enrollments.models import (
    CourseEnrollment,
    EmailOptIn,
    EnrollmentEvent,
)
from tests.factories import (
    HOUR,
    course_id_of,
    make_course,
    make_modes,
    make_user,
    make_users,
    username,
)
from tests.http import NOWHERE, ask, client_of, list_statements, post, put, wish
from tests.watching import event_types, nothing_written, state_of

pytestmark = pytest.mark.django_db

HERE = __name__
KEY = {"X-Edx-Api-Key": "secret"}
AUDIT = "django_enrollments.views.audit"
WIRE = "django_enrollments.views.errors"
CUSTOMER = "f1e5a0c4-customer"
ATTRIBUTE = {"namespace": "host", "name": "color", "value": "red"}


class Cohorts:
    """Knows the cohort "Blue"; remembers in whichever transaction it is called."""

    calls: list[tuple[Any, str, Any, bool]] = []

    def add_user(self, course: Any, cohort_name: str, user: Any) -> None:
        if cohort_name != "Blue":
            raise CohortNotFoundError(cohort_name)
        # A row that goes with the transaction, should that be rolled back.
        EmailOptIn.objects.create(
            user=user, org="cohort", opted_in=True, modified=timezone.now()
        )
        self.calls.append((course, cohort_name, user, connection.in_atomic_block))


class Enterprise:
    """Records what it is told, or fails."""

    calls: list[dict[str, Any]] = []
    error: Exception | None = None

    def record_enrollment(self, user: Any, course: Any, **told: Any) -> None:
        savepoints = len(connection.savepoint_ids)
        self.calls.append({"user": user, "course": course, "in": savepoints, **told})
        if self.error:
            raise self.error


def veto(action: str, **context: Any) -> None:
    raise EnrollmentNotAllowed("Not today.")


@pytest.fixture(autouse=True)
def _nothing_remembered(settings: Any, monkeypatch: Any) -> None:
    settings.ENROLLMENTS_API_KEYS = ["secret"]
    monkeypatch.setattr(Cohorts, "calls", [])
    monkeypatch.setattr(Enterprise, "calls", [])


@pytest.fixture
def cohorts(settings: Any) -> type[Cohorts]:
    settings.ENROLLMENTS_COHORT_BACKEND = f"{HERE}.Cohorts"
    return Cohorts


@pytest.fixture
def enterprise(settings: Any) -> type[Enterprise]:
    settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{HERE}.Enterprise"
    return Enterprise


@pytest.fixture
def ada() -> Any:
    return make_user("ada")


@pytest.fixture
def boss() -> Any:
    return make_user("boss", is_staff=True)


@pytest.fixture
def course() -> Any:
    course = make_course()
    make_modes(course, "audit", "honor", "verified")
    return course


def closed_course() -> Any:
    return make_course("course-v1:edX+Closed+R", enrollment_end=timezone.now() - HOUR)


def by_key(course: Any, /, **fields: Any) -> Any:
    return post(None, wish(course, **fields), headers=KEY)


def opt_ins() -> list[tuple[Any, str, bool]]:
    stored = EmailOptIn.objects.exclude(org="cohort").order_by("pk")
    return list(stored.values_list("user", "org", "opted_in"))


def failed(name: str, course: Any) -> dict[str, str]:
    return {
        "message": "An error occurred while creating the new course enrollment for "
        f"user '{username(name)}' in course '{course_id_of(course)}'"
    }


class TestCohort:
    @pytest.mark.rule("V1-SIDE-01")
    def test_takes_the_learner(self, ada: Any, course: Any, cohorts: Any) -> None:
        response = by_key(course, user=username("ada"), cohort="Blue")

        assert response.status_code == 200
        assert cohorts.calls == [(course, "Blue", ada, True)]

    @pytest.mark.rule("V1-SIDE-01", "B-25")
    def test_asks_no_permission(self, ada: Any, course: Any, cohorts: Any) -> None:
        assert ask(ada, course, cohort="Blue").status_code == 200
        assert len(cohorts.calls) == 1

    @pytest.mark.rule("V1-SIDE-01")
    @pytest.mark.parametrize(
        "fields", [{"mode": "verified"}, {"is_active": False}, {"is_active": True}]
    )
    def test_takes_whose_enrollment_is_changed(
        self, ada: Any, boss: Any, course: Any, cohorts: Any, fields: dict[str, Any]
    ) -> None:
        put(ada, course, is_active="is_active" not in fields or not fields["is_active"])

        response = ask(boss, course, user=username("ada"), cohort="Blue", **fields)

        assert response.status_code == 200
        assert len(cohorts.calls) == 1

    @pytest.mark.rule("V1-SIDE-02")
    @pytest.mark.parametrize("requester", ["ada", "boss"])
    @pytest.mark.parametrize("is_known", [True, False])
    def test_unknown_leaves_nothing_behind(
        self,
        ada: Any,
        boss: Any,
        course: Any,
        cohorts: Any,
        requester: str,
        is_known: bool,
    ) -> None:
        if is_known:
            put(ada, course, is_active=False)
        by = {"ada": ada, "boss": boss}[requester]

        with nothing_written():
            response = ask(
                by,
                course,
                user=username("ada"),
                is_active=True,
                cohort="Red {x}",
                email_opt_in=True,
                enrollment_attributes=[ATTRIBUTE],
            )

        assert response.status_code == 400
        assert response.json() == {
            "message": "An error occured while adding to cohort [Red {x}]"
        }
        assert not EmailOptIn.objects.exists()

    @pytest.mark.rule("B-07")
    def test_no_signal_tells_of_what_was_rolled_back(
        self,
        ada: Any,
        course: Any,
        cohorts: Any,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        with django_capture_on_commit_callbacks() as callbacks:
            ask(ada, course, cohort="Red")

        assert callbacks == []

    @pytest.mark.rule("V1-ENR-05")
    def test_passes_over_who_is_in_already(
        self, ada: Any, boss: Any, course: Any, cohorts: Any
    ) -> None:
        put(ada, course)

        for by in (ada, boss):
            response = ask(by, course, user=username("ada"), cohort="Blue")
            assert response.status_code == 200
        assert ask(ada, course, cohort="Red").status_code == 200
        assert cohorts.calls == []

    @pytest.mark.rule("B-05")
    def test_passes_over_who_stays_out(
        self, ada: Any, course: Any, cohorts: Any
    ) -> None:
        put(ada, course, is_active=False)

        response = ask(ada, course, is_active=False, cohort="Blue", email_opt_in=True)

        assert response.status_code == 200
        assert cohorts.calls == []
        assert not EmailOptIn.objects.exists()

    @pytest.mark.rule("V1-SIDE-12")
    @pytest.mark.parametrize("cohort", [None, "Blue", "Red", ""])
    def test_means_nothing_without_a_backend(
        self, ada: Any, course: Any, cohort: str | None
    ) -> None:
        assert ask(ada, course, cohort=cohort).status_code == 200

    @pytest.mark.rule("V1-SIDE-03")
    def test_somebody_who_is_in_it_already_is_no_failure(
        self, ada: Any, course: Any, cohorts: Any, monkeypatch: Any
    ) -> None:
        blue = {ada}
        monkeypatch.setattr(
            Cohorts, "add_user", lambda self, course, name, user: blue.add(user)
        )
        put(ada, course, is_active=False)

        response = ask(ada, course, cohort="Blue")

        assert response.status_code == 200
        assert response.json()["is_active"] is True
        assert blue == {ada}

    @pytest.mark.rule("UTIL-02")
    def test_null_is_none(self, ada: Any, course: Any, cohorts: Any) -> None:
        assert ask(ada, course, cohort=None).status_code == 200
        assert cohorts.calls == []

    @pytest.mark.rule("V1-SIDE-11")
    def test_comes_before_the_opt_in_and_after_attributes(
        self, ada: Any, course: Any, cohorts: Any, monkeypatch: Any
    ) -> None:
        seen: list[tuple[int, int]] = []

        def look(self: Any, course: Any, cohort_name: str, user: Any) -> None:
            attributes = api.get_enrollment_attributes(
                username("ada"), course_id_of(course)
            )
            seen.append((len(attributes), len(opt_ins())))

        monkeypatch.setattr(Cohorts, "add_user", look)

        ask(
            ada,
            course,
            cohort="Blue",
            email_opt_in=True,
            enrollment_attributes=[ATTRIBUTE],
        )

        assert seen == [(1, 0)]
        assert len(opt_ins()) == 1


class TestEmailOptIn:
    @pytest.mark.rule("V1-SIDE-04")
    @pytest.mark.parametrize("choice", [True, False])
    def test_is_noted_for_the_organisation(
        self, ada: Any, course: Any, choice: bool
    ) -> None:
        response = ask(ada, course, email_opt_in=choice)

        assert response.status_code == 200
        assert opt_ins() == [(ada.pk, "edX", choice)]

    @pytest.mark.rule("V1-SIDE-05", "B-09")
    def test_is_that_of_the_learner_not_of_who_asks(
        self, ada: Any, boss: Any, course: Any
    ) -> None:
        ask(boss, course, user=username("ada"), email_opt_in=True)
        by_key(course, user=username("boss"), email_opt_in=False)

        assert opt_ins() == [(ada.pk, "edX", True), (boss.pk, "edX", False)]

    @pytest.mark.rule("V1-SIDE-04")
    @pytest.mark.parametrize("fields", [{}, {"email_opt_in": None}])
    def test_unsaid_touches_nothing(
        self, ada: Any, course: Any, fields: dict[str, Any]
    ) -> None:
        EmailOptIn.objects.create(
            user=ada, org="edX", opted_in=False, modified=timezone.now()
        )

        ask(ada, course, **fields)

        assert opt_ins() == [(ada.pk, "edX", False)]

    @pytest.mark.rule("V1-SIDE-04")
    def test_the_last_choice_counts(self, ada: Any, course: Any) -> None:
        other = make_course("course-v1:edX+Other+R")
        ask(ada, course, email_opt_in=True)
        ask(ada, other, email_opt_in=False)

        assert opt_ins() == [(ada.pk, "edX", False)]

    @pytest.mark.rule("V1-ENR-05")
    def test_is_ignored_of_who_is_in_already(self, ada: Any, course: Any) -> None:
        put(ada, course)

        ask(ada, course, email_opt_in=True)

        assert opt_ins() == []

    @pytest.mark.rule("V1-ENR-29")
    def test_a_refusal_notes_nothing(self, ada: Any) -> None:
        assert ask(ada, closed_course(), email_opt_in=True).status_code == 400
        assert opt_ins() == []


class TestEnterprise:
    @pytest.mark.rule("V1-SIDE-07")
    def test_hears_before_the_enrollment_is_written(
        self, ada: Any, course: Any, enterprise: Any
    ) -> None:
        outside = len(connection.savepoint_ids)
        response = by_key(
            course,
            user=username("ada"),
            mode="verified",
            enterprise_uuid=CUSTOMER,
            linked_enterprise_customer="linked",
            enterprise_course_consent=True,
            cohort="Blue",
            email_opt_in=True,
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
        ("fields", "told"),
        [
            ({"enterprise_course_consent": False}, ("", None, False)),
            ({"linked_enterprise_customer": "x"}, ("", "x", None)),
            ({"enterprise_uuid": "x"}, ("x", None, None)),
        ],
    )
    def test_hears_of_whatever_is_said(
        self,
        ada: Any,
        course: Any,
        enterprise: Any,
        fields: dict[str, Any],
        told: tuple[Any, ...],
    ) -> None:
        ask(ada, course, **fields)

        (call,) = enterprise.calls
        names = ("enterprise_uuid", "linked_enterprise_customer", "consent")
        assert tuple(call[name] for name in names) == told

    @pytest.mark.rule("V1-SIDE-07")
    @pytest.mark.parametrize(
        "fields",
        [
            {"is_active": False},
            {"mode": "honor", "is_active": False},
            {"enrollment_attributes": [{"x": 1}]},
        ],
    )
    def test_hears_nothing_of_what_is_refused_anyway(
        self, ada: Any, enterprise: Any, fields: dict[str, Any]
    ) -> None:
        closed = make_course("closed-1", invitation_only=True)
        make_modes(closed, "audit")

        response = ask(ada, closed, enterprise_uuid=CUSTOMER, **fields)

        assert response.status_code == 400
        assert enterprise.calls == []

    @pytest.mark.parametrize(
        "setting", ["ENROLLMENTS_ENTERPRISE_BACKEND", "ENROLLMENTS_COHORT_BACKEND"]
    )
    @pytest.mark.parametrize("value", ["no.such.Backend", ["no.such.Backend"]])
    def test_contract_2_a_backend_that_cannot_be_asked_refuses(
        self, ada: Any, course: Any, settings: Any, setting: str, value: Any
    ) -> None:
        setattr(settings, setting, value)

        response = ask(ada, course, enterprise_uuid=CUSTOMER, cohort="Blue")

        assert response.status_code == 400
        assert not EnrollmentEvent.objects.exists()

    @pytest.mark.rule("V1-SIDE-08")
    @pytest.mark.parametrize("none", ["None", "", None])
    def test_hears_nothing_of_none(
        self, ada: Any, course: Any, enterprise: Any, none: Any
    ) -> None:
        ask(ada, course, enterprise_uuid=none, linked_enterprise_customer=none)

        assert enterprise.calls == []
        assert EnrollmentEvent.objects.get().enterprise_uuid == ""

    @pytest.mark.rule("V1-SIDE-07")
    @pytest.mark.parametrize("is_in", [True, False])
    @pytest.mark.parametrize(
        "error",
        [
            ConnectionError("The service is down."),
            EnrollmentNotAllowed("No."),
            CohortNotFoundError("x"),
        ],
        ids=repr,
    )
    def test_failing_leaves_nothing_behind(
        self,
        ada: Any,
        boss: Any,
        course: Any,
        enterprise: Any,
        monkeypatch: Any,
        is_in: bool,
        error: Exception,
    ) -> None:
        if is_in:
            put(ada, course)
        monkeypatch.setattr(Enterprise, "error", error)

        with nothing_written():
            response = ask(
                boss,
                course,
                user=username("ada"),
                mode="verified",
                enterprise_course_consent=True,
                email_opt_in=True,
            )

        assert response.status_code == 400
        assert response.json() == failed("ada", course)
        assert len(enterprise.calls) == 1
        assert opt_ins() == []

    @pytest.mark.rule("V1-SIDE-08")
    def test_comes_with_the_event_without_a_backend(
        self, ada: Any, course: Any
    ) -> None:
        response = ask(
            ada,
            course,
            enterprise_uuid=CUSTOMER,
            linked_enterprise_customer="x",
            enterprise_course_consent=True,
        )

        assert response.status_code == 200
        assert EnrollmentEvent.objects.get().enterprise_uuid == CUSTOMER

    @pytest.mark.rule("V1-ENR-05")
    @pytest.mark.parametrize("requester", ["ada", "boss"])
    def test_hears_nothing_of_who_is_in_already(
        self, ada: Any, boss: Any, course: Any, enterprise: Any, requester: str
    ) -> None:
        put(ada, course)
        by = {"ada": ada, "boss": boss}[requester]

        response = ask(by, course, user=username("ada"), enterprise_uuid=CUSTOMER)

        assert response.status_code == 200
        assert enterprise.calls == []

    def test_hears_nothing_of_who_only_leaves(
        self, ada: Any, boss: Any, course: Any, enterprise: Any
    ) -> None:
        put(ada, course)
        fields = {"user": username("ada"), "enterprise_uuid": CUSTOMER}

        for _ in range(2):
            ask(boss, course, is_active=False, **fields)

        assert state_of(ada, course) == ("audit", False)
        assert enterprise.calls == []

    @pytest.mark.rule("V1-ENR-29")
    def test_hears_nothing_of_what_is_refused(
        self, ada: Any, boss: Any, course: Any, enterprise: Any, settings: Any
    ) -> None:
        def tried(by: Any, course: Any, **fields: Any) -> int:
            return ask(by, course, enterprise_uuid=CUSTOMER, **fields).status_code

        codes = [
            tried(ada, closed_course()),
            tried(ada, NOWHERE),
            tried(boss, course, mode="unheard-of"),
            tried(boss, course, user=username("nobody")),
            tried(ada, make_course("full", max_student_enrollments_allowed=0)),
        ]
        put(ada, course)
        codes.append(tried(boss, course, user=username("ada"), mode="unheard-of"))
        settings.ENROLLMENTS_FILTERS = [veto]
        codes.append(tried(boss, course))

        assert codes == [400, 400, 400, 406, 400, 400, 403]
        assert enterprise.calls == []

    @pytest.mark.rule("V1-FORCE-03")
    def test_hears_of_who_is_forced_in(
        self, ada: Any, boss: Any, enterprise: Any
    ) -> None:
        response = ask(
            boss,
            closed_course(),
            user=username("ada"),
            force_enrollment=True,
            enterprise_uuid=CUSTOMER,
        )

        assert response.status_code == 200
        assert len(enterprise.calls) == 1


class TestShape:
    @pytest.mark.rule("B-03")
    @pytest.mark.parametrize("has_backends", [True, False])
    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("cohort", 7, "An error occured while adding to cohort [7]"),
            ("cohort", ["Blue"], "An error occured while adding to cohort [['Blue']]"),
            ("cohort", "a\x00", "An error occured while adding to cohort [a\x00]"),
            ("cohort", "\ud800", "An error occured while adding to cohort [?]"),
            ("email_opt_in", "true", "'true' is an invalid email opt-in status."),
            ("email_opt_in", 1, "'1' is an invalid email opt-in status."),
            ("email_opt_in", {}, "'{}' is an invalid email opt-in status."),
            ("enterprise_uuid", 7, "'7' is an invalid enterprise customer."),
            ("enterprise_uuid", [], "'[]' is an invalid enterprise customer."),
            ("enterprise_uuid", False, "'False' is an invalid enterprise customer."),
            (
                "linked_enterprise_customer",
                {"a": 1},
                "'{'a': 1}' is an invalid enterprise customer.",
            ),
            (
                "enterprise_course_consent",
                "yes",
                "'yes' is an invalid enterprise consent status.",
            ),
        ],
    )
    def test_of_any_other_kind_is_refused(
        self,
        ada: Any,
        course: Any,
        settings: Any,
        has_backends: bool,
        name: str,
        value: Any,
        told: str,
    ) -> None:
        if has_backends:
            settings.ENROLLMENTS_COHORT_BACKEND = f"{HERE}.Cohorts"
            settings.ENROLLMENTS_ENTERPRISE_BACKEND = f"{HERE}.Enterprise"

        with nothing_written():
            response = ask(ada, course, **{name: value})

        assert (response.status_code, response.json()) == (400, {"message": told})
        assert not EmailOptIn.objects.exists()
        assert (Cohorts.calls, Enterprise.calls) == ([], [])

    @pytest.mark.rule("B-03")
    @pytest.mark.parametrize("name", ["cohort", "enterprise_uuid"])
    def test_too_long_is_refused(self, ada: Any, course: Any, name: str) -> None:
        with nothing_written():
            response = ask(ada, course, **{name: "x" * 256})

        assert response.status_code == 400


@pytest.mark.django_db(transaction=True)
class TestTransaction:
    """Where no test's own transaction hides what commits and what does not."""

    @pytest.mark.rule("V1-SIDE-07")
    def test_enterprise_is_called_outside_of_any(
        self, ada: Any, course: Any, enterprise: Any, monkeypatch: Any
    ) -> None:
        seen: list[bool] = []

        def look(self: Any, user: Any, course: Any, **told: Any) -> None:
            seen.append(connection.in_atomic_block)

        monkeypatch.setattr(Enterprise, "record_enrollment", look)

        ask(ada, course, enterprise_uuid=CUSTOMER, email_opt_in=True)

        assert seen == [False]

    @pytest.mark.rule("B-07")
    def test_all_of_it_or_nothing(self, ada: Any, course: Any, cohorts: Any) -> None:
        fields = {"email_opt_in": True, "enrollment_attributes": [ATTRIBUTE]}

        with nothing_written():
            refused = ask(ada, course, cohort="Red", **fields)
        assert not EmailOptIn.objects.exists()
        accepted = ask(ada, course, cohort="Blue", **fields)

        assert (refused.status_code, accepted.status_code) == (400, 200)
        assert event_types() == ["created"]
        assert opt_ins() == [(ada.pk, "edX", True)]
        assert api.get_enrollment_attributes(username("ada"), course_id_of(course)) == [
            ATTRIBUTE
        ]

    @pytest.mark.rule("B-07")
    def test_works_within_the_transaction_of_a_host(
        self, ada: Any, course: Any, cohorts: Any
    ) -> None:
        with transaction.atomic():
            refused = ask(ada, course, cohort="Red", email_opt_in=True)
            accepted = ask(ada, course, cohort="Blue", email_opt_in=True)

        assert (refused.status_code, accepted.status_code) == (400, 200)
        assert state_of(ada, course) == ("audit", True)
        assert len(opt_ins()) == 1


class TestAuditLine:
    @pytest.fixture
    def lines(self, caplog: Any) -> Any:
        caplog.set_level(logging.INFO, AUDIT)
        start = "enrollment_change_requested: "
        return lambda: [one for one in caplog.messages if one.startswith(start)]

    @pytest.mark.rule("AUD-01", "AUD-02", "AUD-04")
    def test_tell_what_was_asked_and_what_is(
        self, ada: Any, course: Any, lines: Any
    ) -> None:
        by_key(course, user=username("ada"), mode="verified", is_active=True)

        assert lines() == [
            'enrollment_change_requested: actual_activation="True", '
            f'actual_mode="verified", course_id="{course_id_of(course)}", '
            'requested_activation="True", requested_mode="verified", '
            f'user_id="{ada.pk}"'
        ]

    @pytest.mark.rule("AUD-02")
    def test_tells_what_is_there_after_a_refusal(
        self, ada: Any, course: Any, lines: Any
    ) -> None:
        put(ada, course, "verified")

        by_key(course, user=username("ada"), mode="audit", is_active=False)

        (line,) = lines()
        assert 'actual_activation="True", actual_mode="verified"' in line
        assert 'requested_activation="False", requested_mode="audit"' in line

    @pytest.mark.rule("AUD-02")
    @pytest.mark.parametrize(
        "fields", [{}, {"is_active": "foo"}, {"mode": "unheard-of"}, {"cohort": 7}]
    )
    def test_tells_that_nothing_is_there(
        self, ada: Any, fields: dict[str, Any], lines: Any
    ) -> None:
        response = by_key(closed_course(), user=username("ada"), **fields)

        (line,) = lines()
        assert response.status_code == 400
        assert 'actual_activation="None", actual_mode="None"' in line
        assert f'requested_activation="{fields.get("is_active")}"' in line
        assert username("ada") not in line

    @pytest.mark.rule("AUD-03")
    def test_nothing_is_told_of_what_came_to_nothing_before(
        self, course: Any, lines: Any
    ) -> None:
        codes = [
            by_key(course, user="fake").status_code,
            by_key(course, email="fake@example.org").status_code,
            by_key("a b").status_code,
            post(None, {}, headers=KEY).status_code,
        ]

        assert codes == [406, 406, 400, 400]
        assert lines() == []

    @pytest.mark.rule("AUD-03")
    def test_nor_of_who_has_no_key(
        self, ada: Any, boss: Any, course: Any, lines: Any
    ) -> None:
        ask(ada, course)
        ask(boss, course, user=username("ada"), mode="verified")

        assert lines() == []

    @pytest.mark.rule("AUD-04")
    def test_is_one_line_whatever_was_sent(
        self, ada: Any, course: Any, lines: Any
    ) -> None:
        odd = 'x"\n\u2028\ud800'

        by_key(course, user=username("ada"), mode=odd, is_active=odd)
        by_key(course, user=username("ada"), is_active=["y" * 100_000])

        first, second = lines()
        assert 'requested_mode="x\\"\\n\\u2028?"' in first
        assert first.isprintable()
        assert len(second) < 1_000

    @pytest.mark.rule("AUD-05", "B-19")
    @pytest.mark.parametrize("body", [{}, {"is_active": "foo"}])
    def test_failing_does_not_change_the_answer(
        self, ada: Any, course: Any, monkeypatch: Any, body: dict[str, Any]
    ) -> None:
        expected = by_key(course, user=username("ada"), **body)

        def fail(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("The log is full.")

        monkeypatch.setattr(logging.getLogger(AUDIT), "info", fail)
        response = by_key(course, user=username("ada"), **body)

        assert response.status_code == expected.status_code
        assert response.content == expected.content

    @pytest.mark.rule("AUD-05")
    def test_nor_does_failing_to_read_what_is_there(
        self, ada: Any, course: Any, monkeypatch: Any
    ) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("Gone.")

        monkeypatch.setattr(api, "get_enrollment", fail)

        response = by_key(course, user=username("ada"), is_active="foo")

        assert response.status_code == 400


class TestWarnings:
    def told(self, caplog: Any) -> list[tuple[str, str]]:
        return [
            (one.levelname, one.getMessage())
            for one in caplog.records
            if one.name == WIRE
        ]

    @pytest.mark.rule("AUD-06")
    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"mode": "unheard-of"}, "mode_unavailable"),
            ({"mode": "audit", "is_active": False}, "not_updatable"),
        ],
    )
    def test_tell_of_what_does_not_fit(
        self,
        ada: Any,
        boss: Any,
        course: Any,
        caplog: Any,
        fields: dict[str, Any],
        code: str,
    ) -> None:
        put(ada, course, "verified")

        ask(boss, course, user=username("ada"), **fields)

        text = f"Enrolling was refused in course {course_id_of(course)}: {code}"
        assert self.told(caplog) == [("WARNING", text)]

    @pytest.mark.rule("AUD-06")
    def test_tell_of_closed_and_full_courses(self, ada: Any, caplog: Any) -> None:
        closed = closed_course()
        ask(ada, closed)
        full = make_course("full", max_student_enrollments_allowed=0)
        ask(ada, full)

        assert self.told(caplog) == [
            (
                "WARNING",
                f"Enrolling was refused in course {course_id_of(closed)}: "
                "enrollment_closed",
            ),
            ("WARNING", "Enrolling was refused in course full: course_full"),
        ]
        assert username("ada") not in caplog.text

    @pytest.mark.rule("AUD-06")
    def test_tell_of_who_is_in_already(
        self, ada: Any, course: Any, caplog: Any
    ) -> None:
        put(ada, course)

        ask(ada, course)

        assert f"User {ada.pk} is already enrolled" in caplog.text

    @pytest.mark.rule("AUD-06")
    def test_tell_what_broke(
        self, ada: Any, course: Any, cohorts: Any, enterprise: Any, caplog: Any
    ) -> None:
        ask(ada, course, cohort="Red")
        cohort = self.told(caplog)
        caplog.clear()
        enterprise.error = ConnectionError("The service is down.")
        try:
            ask(ada, course, enterprise_uuid=CUSTOMER)
        finally:
            enterprise.error = None

        course_id = course_id_of(course)
        start = f"Enrolling was refused in course {course_id}"
        assert cohort == [("ERROR", f"{start}: cohort_not_found")]
        assert self.told(caplog) == [("ERROR", f"{start}: enrollment_error")]
        assert "The service is down." in caplog.text
        assert not CourseEnrollment.objects.exists()


class TestCost:
    """Statements by what is asked for, whoever is in the course already."""

    @pytest.fixture(params=[0, 50])
    def crowd(self, request: Any, course: Any) -> None:
        for learner in make_users(request.param):
            put(learner, course)

    def statements(self, course: Any, /, **fields: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            by_key(course, user=username("ada"), **fields)
        return len(list_statements(captured))

    def test_of_the_audit_line_is_nothing_unless_refused(
        self, ada: Any, course: Any, crowd: Any
    ) -> None:
        accepted = self.statements(course)
        refused = self.statements(course, is_active="foo")

        assert accepted <= 9
        assert refused <= 3

    def test_of_all_side_effects_is_a_few_more(
        self, ada: Any, course: Any, crowd: Any, cohorts: Any, enterprise: Any
    ) -> None:
        count = self.statements(
            course, cohort="Blue", email_opt_in=True, enterprise_uuid=CUSTOMER
        )

        assert count <= 17


def test_client_of_a_browser_brings_about_the_same(ada: Any, course: Any) -> None:
    """A page sends what Open edX's own pages send."""
    client = client_of(ada, enforce_csrf_checks=True)
    client.get("/api/enrollment/v1/enrollment")

    response = client.post(
        "/api/enrollment/v1/enrollment",
        wish(course, email_opt_in=True),
        content_type="application/json",
        headers={"X-CSRFToken": client.cookies["csrftoken"].value},
    )

    assert response.status_code == 200
    assert opt_ins() == [(ada.pk, "edX", True)]
