"""The backends a host may swap, and how the settings find them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

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
    """A backend of the host, of every kind."""

    def send(self, *args, **kwargs): ...

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
    def test_return_one_instance_of_the_class_shipped_or_configured(
        self, setting, getter, shipped, settings
    ):
        assert isinstance(getter(), shipped)

        setattr(settings, setting, f"{__name__}.Anything")

        assert isinstance(getter(), Anything)
        assert getter() is getter()

    @pytest.mark.parametrize(
        "path", ["nowhere.Backend", f"{__name__}.Nothing", "plain", ".a", "..a.b"]
    )
    def test_name_the_setting_and_the_path_that_cannot_be_imported(
        self, setting, getter, shipped, settings, path
    ):
        setattr(settings, setting, path)

        with pytest.raises(ImproperlyConfigured, match=setting) as fault:
            getter()

        assert repr(path) in str(fault.value)


def request_retirement(user, state="pending", **fields):
    """Store a user's request for retirement, under the current name."""
    fields.setdefault("original_username", user.get_username())
    UserRetirementStatus.objects.create(user=user, state=state, **fields)


@pytest.mark.django_db
class TestFindRetiringUser:
    def find(self, name):
        return loading.get_retirement_backend().find_retiring_user(name)

    @pytest.mark.rule("V1-UNENR-03", "V1-UNENR-08")
    @pytest.mark.parametrize(
        ("states", "is_found"),
        [
            ([], False),
            (["pending"], True),
            (["in_progress"], True),
            (["complete"], False),
            (["aborted"], False),
            (["pending", "aborted"], True),
        ],
    )
    def test_finds_a_user_with_an_open_request(
        self, ada, states, is_found, django_assert_num_queries
    ):
        for state in states:
            request_retirement(ada, state)

        with django_assert_num_queries(1):
            found = self.find(username("ada"))

        assert found == (ada if is_found else None)

    @pytest.mark.rule("V1-UNENR-03")
    def test_finds_a_user_by_the_exact_original_name(self, ada):
        request_retirement(ada, original_username="ada lovelace")

        assert self.find("ada lovelace") == ada
        for other in (username("ada"), "Ada Lovelace", "ada lovelace "):
            assert self.find(other) is None
        ada.delete()
        assert self.find("ada lovelace") is None

    @pytest.mark.parametrize("name", ["", "a\x00b", "\ud800", None, 7, ["ada"]])
    def test_finds_no_user_by_invalid_names(self, name):
        assert self.find(name) is None


class TestSetOptIn:
    def set_opt_in(self, user, org, opted_in):
        loading.get_email_opt_in_backend().set_opt_in(user, org, opted_in)

    @pytest.mark.rule("B-09")
    @pytest.mark.django_db
    def test_stores_the_last_choice_of_each_user_and_org(
        self, ada, django_assert_num_queries
    ):
        bob = make_user("bob")
        with django_assert_num_queries(1):
            self.set_opt_in(ada, "edX", True)
        before = EmailOptIn.objects.get().modified

        for user, org, opted_in in (
            (ada, "edX", False),
            (ada, "MITx", False),
            (bob, "edX", True),
            (bob, "", True),
        ):
            self.set_opt_in(user, org, opted_in)

        choices = EmailOptIn.objects.order_by("pk")
        assert list(choices.values_list("user", "org", "opted_in")) == [
            (ada.pk, "edX", False),
            (ada.pk, "MITx", False),
            (bob.pk, "edX", True),
            (bob.pk, "", True),
        ]
        assert choices[0].modified > before

    @pytest.mark.django_db(transaction=True)
    def test_stores_one_row_for_choices_at_the_same_time(self):
        ada = make_user("ada")
        start = threading.Barrier(6)

        def choose(opted_in):
            start.wait()
            try:
                self.set_opt_in(ada, "edX", opted_in)
            finally:
                connection.close()

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(choose, [True, False] * 3))

        assert EmailOptIn.objects.count() == 1
