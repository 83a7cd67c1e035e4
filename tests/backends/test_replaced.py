"""The backends a host may swap, and how the settings find them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from django_enrollments.backends import (
    email_opt_in,
    loading,
    notifications,
    retirement,
)
from django_enrollments.models import EmailOptIn, UserRetirementStatus
from tests.factories import make_user, username


class Anything:
    """A stranger's backend of every kind."""

    def send(self, *args: Any, **kwargs: Any) -> None: ...

    find_retiring_user = set_opt_in = add_user = record_enrollment = send


#: The setting, its getter and what is shipped for it.
GETTERS = [
    (
        "ENROLLMENTS_NOTIFICATION_BACKEND",
        loading.get_notification_backend,
        notifications.EmailBackend,
    ),
    (
        "ENROLLMENTS_RETIREMENT_BACKEND",
        loading.get_retirement_backend,
        retirement.ModelBackend,
    ),
    (
        "ENROLLMENTS_EMAIL_OPT_IN_BACKEND",
        loading.get_email_opt_in_backend,
        email_opt_in.ModelBackend,
    ),
    ("ENROLLMENTS_COHORT_BACKEND", loading.find_cohort_backend, type(None)),
    ("ENROLLMENTS_ENTERPRISE_BACKEND", loading.find_enterprise_backend, type(None)),
]


@pytest.mark.parametrize(("setting", "getter", "shipped"), GETTERS)
class TestGetters:
    def test_give_what_is_shipped_by_default(self, setting, getter, shipped):
        assert isinstance(getter(), shipped)

    def test_give_the_configured_class(self, setting, getter, shipped, settings):
        setattr(settings, setting, "tests.backends.test_replaced.Anything")

        assert isinstance(getter(), Anything)

    def test_give_the_same_instance_twice(self, setting, getter, shipped, settings):
        setattr(settings, setting, "tests.backends.test_replaced.Anything")

        assert getter() is getter()

    @pytest.mark.parametrize(
        "path",
        [
            "nowhere.Backend",
            "tests.backends.test_replaced.Nothing",
            "plain",
            ".a",
            "..a.b",
        ],
    )
    def test_name_the_setting_when_the_path_is_bad(
        self, setting, getter, shipped, settings, path
    ):
        setattr(settings, setting, path)

        with pytest.raises(ImproperlyConfigured, match=setting) as fault:
            getter()

        assert repr(path) in str(fault.value)


def ask_for_retirement(user: Any, state: str = "pending", **fields: Any) -> None:
    """Note that a user asked to be retired, under their present name."""
    fields.setdefault("original_username", user.get_username())
    UserRetirementStatus.objects.create(user=user, state=state, **fields)


@pytest.mark.django_db
class TestFindRetiringUser:
    def find(self, name: object) -> Any:
        return loading.get_retirement_backend().find_retiring_user(name)

    @pytest.mark.rule("V1-UNENR-03")
    @pytest.mark.parametrize("state", ["pending", "in_progress"])
    def test_finds_who_asked(self, state):
        ada = make_user("ada")
        ask_for_retirement(ada, state)

        assert self.find(username("ada")) == ada

    @pytest.mark.rule("V1-UNENR-08")
    @pytest.mark.parametrize("state", ["complete", "aborted"])
    def test_passes_over_what_is_settled(self, state):
        ask_for_retirement(make_user("ada"), state)

        assert self.find(username("ada")) is None

    @pytest.mark.rule("V1-UNENR-03")
    def test_finds_nobody_who_did_not_ask(self):
        make_user("ada")

        assert self.find(username("ada")) is None

    @pytest.mark.rule("V1-UNENR-03")
    def test_minds_the_case(self):
        ask_for_retirement(make_user("ada"))

        assert self.find(username("ada").upper()) is None

    @pytest.mark.rule("V1-UNENR-03")
    def test_minds_space_at_the_end(self):
        ask_for_retirement(make_user("ada"))

        assert self.find(f"{username('ada')} ") is None

    def test_goes_by_the_original_name_not_the_present_one(self):
        ada = make_user("ada")
        ask_for_retirement(ada, original_username="ada lovelace")

        assert self.find("ada lovelace") == ada
        assert self.find(username("ada")) is None

    def test_finds_the_open_request_beside_an_aborted_one(self):
        ada = make_user("ada")
        ask_for_retirement(ada, "pending")
        ask_for_retirement(ada, "aborted")

        assert self.find(username("ada")) == ada

    def test_finds_nobody_once_the_account_is_gone(self):
        ada = make_user("ada")
        ask_for_retirement(ada)
        ada.delete()

        assert self.find(username("ada")) is None

    @pytest.mark.parametrize("name", ["", "a\x00b", "\ud800", None, 7, ["ada"]])
    def test_finds_nobody_by_what_is_no_name(self, name):
        assert self.find(name) is None

    def test_costs_one_query(self, django_assert_num_queries):
        ask_for_retirement(make_user("ada"))

        with django_assert_num_queries(1):
            self.find(username("ada"))


class TestSetOptIn:
    def set_opt_in(self, user: Any, org: str, opted_in: bool) -> None:
        loading.get_email_opt_in_backend().set_opt_in(user, org, opted_in)

    def choices(self) -> list[tuple[Any, str, bool]]:
        return list(EmailOptIn.objects.values_list("user", "org", "opted_in"))

    @pytest.mark.rule("B-09")
    @pytest.mark.django_db
    @pytest.mark.parametrize("opted_in", [True, False])
    def test_notes_the_choice_of_the_learner(self, opted_in):
        ada = make_user("ada")

        self.set_opt_in(ada, "edX", opted_in)

        assert self.choices() == [(ada.pk, "edX", opted_in)]

    @pytest.mark.django_db
    def test_the_last_choice_counts(self):
        ada = make_user("ada")
        self.set_opt_in(ada, "edX", True)
        before = EmailOptIn.objects.get().modified

        self.set_opt_in(ada, "edX", False)

        assert self.choices() == [(ada.pk, "edX", False)]
        assert EmailOptIn.objects.get().modified > before

    @pytest.mark.django_db
    def test_keeps_learners_and_organisations_apart(self):
        ada, bob = make_user("ada"), make_user("bob")
        self.set_opt_in(ada, "edX", True)

        self.set_opt_in(ada, "MITx", False)
        self.set_opt_in(bob, "edX", False)

        assert sorted(self.choices(), key=str) == sorted(
            [
                (ada.pk, "edX", True),
                (ada.pk, "MITx", False),
                (bob.pk, "edX", False),
            ],
            key=str,
        )

    @pytest.mark.django_db
    def test_takes_a_course_without_organisation(self):
        self.set_opt_in(make_user("ada"), "", True)

        assert EmailOptIn.objects.get().org == ""

    @pytest.mark.django_db
    def test_costs_one_query(self, django_assert_num_queries):
        ada = make_user("ada")

        with django_assert_num_queries(1):
            self.set_opt_in(ada, "edX", True)

    @pytest.mark.django_db(transaction=True)
    def test_choices_made_at_once_leave_one_row_and_no_error(self):
        ada = make_user("ada")
        start = threading.Barrier(6)

        def choose(opted_in: bool) -> None:
            start.wait()
            try:
                self.set_opt_in(ada, "edX", opted_in)
            finally:
                connection.close()

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(choose, [True, False] * 3))

        assert EmailOptIn.objects.count() == 1
