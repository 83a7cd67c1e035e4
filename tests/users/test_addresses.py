"""The accounts and invitations of an e-mail address, the same for every caller."""

from __future__ import annotations

import json
import unicodedata

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.db import connection
from django.urls import reverse

from django_enrollments import api
from django_enrollments.emails import clean_address, normalize_email
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from tests.factories import is_default_host, make_course, make_user
from tests.http import ROOT, ask, client_of, get
from tests.management.test_commands import run
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
KELVIN = "\N{KELVIN SIGN}"
#: Addresses that few hosts have, and that a host may have all the same.
STRANGE = [
    "İpek@example.org",
    "ΟΔΥΣΣΕΥΣ@example.org",
    "odysseuς@example.org",
    "straße@example.org",
    "STRAẞE@example.org",
    "ǅ@example.org",
    f"{KELVIN}ate@example.org",
    "a\u037eb@example.org",
    "zoe@ÉCOLE.example",
    unicodedata.normalize("NFD", "josé@example.org"),
    "bob@example.org ",
    " bob@example.org",
    "bob@",
    "no address",
    "zero\u200bwidth@example.org",
    "Bob@Example.ORG",
]
#: An account's address, and another way to write it.
SAME = [
    ("Bob@Example.org", "bOB@example.ORG"),
    ("bob@example.org", " bob@example.org\t"),
    ("bob@example.org ", "BOB@example.org"),
    ("josé@example.org", unicodedata.normalize("NFD", "josé@example.org")),
    (unicodedata.normalize("NFD", "josé@example.org"), "josé@example.org"),
    ("zoe@École.example", "ZOE@École.Example"),
    ("straße@example.org", "STRAßE@example.org"),
]
#: Two addresses that some database, or Python, takes for the same.
OTHER = [
    (f"{KELVIN}ate@example.org", "kate@example.org"),
    ("kate@example.org", f"{KELVIN}ATE@example.org"),
    ("josé@example.org", "jose@example.org"),
    ("josÉ@example.org", "josé@example.org"),
    ("zoe@ÉCOLE.example", "zoe@école.example"),
    ("straße@example.org", "strasse@example.org"),
    ("İpek@example.org", "ipek@example.org"),
    ("ΟΔΟΣ@example.org", "οδος@example.org"),
    ("a\u037eb@example.org", "a;b@example.org"),
    ("ﬁne@example.org", "fine@example.org"),
]
#: Texts that are no address even without surrounding whitespace.
INVALID = [
    "@",
    "bob@",
    "@example.org",
    "Bob <bob@example.org>",
    "mailto:bob@example.org",
    "bob@example.org, ann@example.org",
    "bob@example.org;ann@example.org",
    "bob@example.org ann@example.org",
    "bob\u200b@example.org",
    "\ufeffbob@example.org",
    "bob@exam ple.org",
    "bob@@example.org",
    "x" * 250 + "@example.org",
]


@pytest.fixture(autouse=True)
def course():
    return make_course(COURSE_ID, modes=["audit", "honor"])


@pytest.fixture
def boss():
    return make_user("boss", is_staff=True)


def bulk(*emails, action="enroll"):
    """Return the code or the status of each row."""
    results = api.bulk_enroll(COURSE_ID, emails=emails, action=action)
    return [result["code"] or result["status"] for result in results]


def enroll_by_command(email):
    run("enroll_user_in_course", "-e", email, "-c", COURSE_ID)


def enroll_by_method(email):
    CourseEnrollment.enroll_by_email(email, COURSE_ID, ignore_errors=False)


def unenroll(email):
    CourseEnrollment.unenroll_by_email(email, COURSE_ID)


def invite(email, **fields):
    return CourseEnrollmentAllowed.objects.create(
        email=email, course_id=COURSE_ID, **fields
    )


def send(user, method, email):
    body = json.dumps({"email": email, "course_id": COURSE_ID})
    path = f"{ROOT}enrollment_allowed/"
    return client_of(user).generic(method, path, body, content_type="application/json")


def get_invitations(boss, email):
    return get(boss, "enrollment_allowed/", email=email).json()


def users_listed(boss, email):
    listed = get(boss, "enrollments", email=email).json()["results"]
    return [row["user"] for row in listed]


def is_in(user):
    return CourseEnrollment.is_enrolled(user, COURSE_ID)


class TestAccount:
    @pytest.mark.parametrize(
        ("stored", "given"), [*((email, email) for email in STRANGE), *SAME]
    )
    def test_is_found_by_its_address_in_any_spelling(
        self, boss, course, tmp_path, stored, given
    ):
        bob = make_user("bob", email=stored)
        make_user("eve", email="eve@example.org")
        file = tmp_path / "rows.csv"
        file.write_text(f'course,email\n{COURSE_ID},"{given}"\n', encoding="utf-8")

        for enroll in (
            lambda: bulk(given) == ["created"],
            lambda: ask(boss, course, email=given).status_code == 200,
            lambda: run("bulk_enroll", str(file)),
            lambda: enroll_by_command(given),
            lambda: enroll_by_method(given),
        ):
            assert enroll() is not False
            assert is_in(bob)
            assert users_listed(boss, given) == [bob.get_username()]
            unenroll(given)
            assert not is_in(bob)
        enroll_by_method(given)
        assert bulk(given, action="unenroll") == ["deactivated"]
        assert not CourseEnrollmentAllowed.objects.exists()

    @pytest.mark.parametrize("collation", ["und-x-icu", "tr-x-icu", "C"])
    @pytest.mark.parametrize("email", ["İΣςẞÉI@example.org", "É@I.example"])
    def test_is_found_under_any_collation(self, email, collation):
        if connection.vendor != "postgresql":
            pytest.skip("Elsewhere a change of the column cannot be rolled back.")
        model = get_user_model()
        with connection.cursor() as cursor:
            cursor.execute(
                f'ALTER TABLE "{model._meta.db_table}" ALTER COLUMN "email" '
                f'TYPE varchar(254) COLLATE "{collation}"'
            )
        make_user("bob", email=email)

        assert bulk(email) == ["created"]

    @pytest.mark.parametrize(("stored", "given"), OTHER)
    def test_is_not_found_by_a_similar_address(self, boss, course, stored, given):
        other = make_user("other", email=stored)
        CourseEnrollment.enroll(other, COURSE_ID)

        assert bulk(given) != ["unchanged"]
        assert bulk(given, action="unenroll") != ["deactivated"]
        assert ask(boss, course, email=given).status_code in {400, 406}
        assert users_listed(boss, given) == []
        unenroll(given)
        assert is_in(other)


class TestInvitation:
    @pytest.mark.parametrize(("stored", "given"), SAME)
    def test_is_one_for_all_spellings_of_an_address(self, boss, stored, given):
        invite(stored)

        assert [one["course_id"] for one in get_invitations(boss, given)] == [COURSE_ID]
        assert CourseEnrollmentAllowed.objects.for_email(given).exists()
        assert bulk(given, given) in (["invited", "unchanged"], ["invalid_email"] * 2)
        assert CourseEnrollmentAllowed.objects.count() == 1
        assert bulk(given, action="unenroll") == ["uninvited"]
        invite(given)
        assert send(boss, "DELETE", stored).status_code == 204

    @pytest.mark.parametrize(("stored", "given"), SAME)
    def test_is_used_by_the_account(self, stored, given):
        invitation = invite(given, auto_enroll=True)

        bob = make_user("bob", email=stored)

        assert is_in(bob)
        invitation.refresh_from_db()
        assert invitation.user == bob

    @pytest.mark.parametrize(("stored", "given"), OTHER)
    def test_is_not_used_by_a_similar_address(self, boss, stored, given):
        invite(given, auto_enroll=True)

        other = make_user("other", email=stored)

        assert not is_in(other)
        assert get_invitations(boss, stored) == []
        assert bulk(stored, action="unenroll") == ["unchanged"]
        assert CourseEnrollmentAllowed.objects.filter(user=None).count() == 1

    @pytest.mark.parametrize("email", [one for one in INVALID if len(one) < 256])
    def test_of_an_invalid_address_can_be_listed_and_deleted(self, boss, email):
        invite(email)
        assert len(get_invitations(boss, email)) == 1
        assert send(boss, "DELETE", email).status_code == 204
        invite(email)
        assert bulk(email, action="unenroll") == ["uninvited"]
        assert not CourseEnrollmentAllowed.objects.exists()


class TestInvalidAddress:
    @pytest.mark.parametrize("email", [*INVALID, "", " ", None, 5, "a@\x00", "\ud800@"])
    def test_is_an_error_of_a_bulk_row(self, email):
        for action in ("enroll", "unenroll"):
            assert bulk(email, action=action) == ["invalid_email"]
        assert not CourseEnrollmentAllowed.objects.exists()

    @pytest.mark.parametrize("email", INVALID)
    def test_is_refused_over_http_by_command_method_and_model(
        self, boss, course, email
    ):
        with nothing_written():
            for response in (
                send(boss, "POST", email),
                send(boss, "DELETE", email),
                ask(boss, course, email=email),
            ):
                assert response.status_code == 400
                text = f"'{email}' is not a valid email address."
                assert response.json() == {"message": text}
            for call, error in (
                (enroll_by_command, CommandError),
                (enroll_by_method, CourseEnrollmentError),
            ):
                with pytest.raises(error) as refusal:
                    call(email)
                assert refusal.value.code == "invalid_email"
            unenroll(email)
        with pytest.raises(ValidationError) as invalid:
            CourseEnrollmentAllowed(email=email, course_id=COURSE_ID).full_clean()
        assert list(invalid.value.error_dict) == ["email"]

    def test_is_refused_by_the_admin(self):
        client = client_of(make_user("root", is_staff=True, is_superuser=True))
        path = reverse("admin:django_enrollments_courseenrollmentallowed_add")

        for email, status in (("bob@", 200), (" B@example.org", 302)):
            response = client.post(path, {"email": email, "course_id": COURSE_ID})
            assert response.status_code == status
        assert CourseEnrollmentAllowed.objects.get().email == "b@example.org"


@pytest.mark.parametrize(
    ("email", "stored"),
    [
        (" Ada@Example.org ", "ada@example.org"),
        ("ada@localhost", "ada@localhost"),
        ('"ab"@example.org', '"ab"@example.org'),
        ("ada@ÉCOLE.example", "ada@École.example"),
        ("ada@e\u0301cole.example", "ada@école.example"),
        (f"{KELVIN}@example.org", f"{KELVIN}@example.org"),
    ],
)
def test_a_valid_address_is_stored_in_one_form(email, stored):
    assert clean_address(email) == normalize_email(email) == stored
    assert normalize_email(stored) == stored


EMAIL = "both@example.org"


@pytest.mark.skipif(not is_default_host(), reason="Addresses are unique here.")
class TestSeveralAccounts:
    def make(self, *active):
        return [
            make_user(f"user{number}", email=EMAIL, is_active=is_active)
            for number, is_active in enumerate(active)
        ]

    def test_mean_the_only_active_one(self, boss, course):
        *_, bob, _ = self.make(False, True, False)

        assert bulk(EMAIL) == ["created"]
        assert bulk(EMAIL, action="unenroll") == ["deactivated"]
        assert ask(boss, course, email=EMAIL).status_code == 200
        for enroll in (enroll_by_method, enroll_by_command):
            assert is_in(bob)
            unenroll(EMAIL)
            assert not is_in(bob)
            enroll(EMAIL)
        assert CourseEnrollment.objects.get().user == bob

    def test_are_ambiguous_if_several_are_active(self, boss, course):
        self.make(True, False, True)

        with nothing_written():
            for action in ("enroll", "unenroll"):
                assert bulk(EMAIL, action=action) == ["ambiguous_email"]
            response = ask(boss, course, email=EMAIL)
            for call, error in (
                (enroll_by_command, CommandError),
                (enroll_by_method, CourseEnrollmentError),
                (unenroll, CourseEnrollmentError),
            ):
                with pytest.raises(error) as refusal:
                    call(EMAIL)
                assert refusal.value.code == "ambiguous_email"
            assert CourseEnrollment.enroll_by_email(EMAIL, COURSE_ID) is None

        assert response.status_code == 409
        text = f"Several users have the email address {EMAIL}."
        assert response.json() == {"message": text}
        invite(EMAIL)
        assert bulk(EMAIL, EMAIL, action="unenroll") == ["uninvited", "ambiguous_email"]
        assert not CourseEnrollmentAllowed.objects.exists()

    def test_do_not_redeem_an_invitation_if_several_are_active(self):
        self.make(True, True)
        invite(EMAIL)
        CourseEnrollmentAllowed.objects.update(auto_enroll=True)

        with pytest.raises(CommandError):
            run("redeem_invitations")

        assert CourseEnrollmentAllowed.objects.filter(user=None).count() == 1

    @pytest.mark.parametrize("count", [1, 2])
    def test_are_invited_by_bulk_if_all_are_inactive(self, count):
        users = self.make(*[False] * count)

        assert bulk(EMAIL) == ["invited"]
        assert not CourseEnrollment.objects.exists()
        users[-1].is_active = True
        users[-1].save()

        assert is_in(users[-1])

    def test_mean_the_only_inactive_one_otherwise(self, boss, course):
        (bob,) = self.make(False)

        assert ask(boss, course, email=EMAIL).status_code == 200
        assert is_in(bob)
        assert bulk(EMAIL, action="unenroll") == ["deactivated"]
        enroll_by_method(EMAIL)
        assert is_in(bob)
        unenroll(EMAIL)
        assert not is_in(bob)

    def test_are_ambiguous_otherwise_if_several_are_inactive(self, boss, course):
        self.make(False, False)

        assert ask(boss, course, email=EMAIL).status_code == 409
        assert bulk(EMAIL, action="unenroll") == ["ambiguous_email"]
