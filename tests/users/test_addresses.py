"""Whose an e-mail address is, the same wherever it comes in (contract §9)."""

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
from django_enrollments.errors import CourseEnrollmentError
from django_enrollments.models import CourseEnrollment, CourseEnrollmentAllowed
from django_enrollments.text import clean_address, normalize_email
from tests.factories import (
    is_default_host,
    make_course,
    make_modes,
    make_user,
)
from tests.http import ROOT, ask, client_of, get
from tests.management.test_commands import run
from tests.watching import nothing_written

pytestmark = pytest.mark.django_db

COURSE_ID = "course-v1:edX+DemoX+Demo_Course"
KELVIN = "\N{KELVIN SIGN}"
#: What no host is likely to have, and what a host may have all the same.
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
#: What is no address once surrounding whitespace is off.
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


@pytest.fixture
def course():
    course = make_course(COURSE_ID)
    make_modes(course, "audit", "honor")
    return course


@pytest.fixture
def boss():
    return make_user("boss", is_staff=True)


def bulk(*emails, action="enroll"):
    """Return the code or the status of each row."""
    results = api.bulk_enroll(COURSE_ID, emails=emails, action=action)
    return [result["code"] or result["status"] for result in results]


def invite(email):
    return CourseEnrollmentAllowed.objects.create(email=email, course_id=COURSE_ID)


def send(user, method, email):
    body = json.dumps({"email": email, "course_id": COURSE_ID})
    path = f"{ROOT}enrollment_allowed/"
    return client_of(user).generic(method, path, body, content_type="application/json")


def is_in(user):
    return CourseEnrollment.is_enrolled(user, COURSE_ID)


@pytest.mark.usefixtures("course")
class TestTheVeryAddress:
    @pytest.mark.parametrize("email", STRANGE)
    def test_finds_the_account_in_bulk(self, email):
        bob = make_user("bob", email=email)
        make_user("eve", email="eve@example.org")

        assert bulk(email) == ["created"]
        assert is_in(bob)
        assert bulk(email, action="unenroll") == ["deactivated"]
        assert not CourseEnrollmentAllowed.objects.exists()

    @pytest.mark.parametrize("email", STRANGE)
    def test_finds_the_account_in_a_file(self, email, tmp_path):
        bob = make_user("bob", email=email)
        file = tmp_path / "rows.csv"
        file.write_text(f'course,email\n{COURSE_ID},"{email}"\n', encoding="utf-8")

        run("bulk_enroll", str(file))

        assert is_in(bob)

    @pytest.mark.parametrize("email", STRANGE)
    def test_finds_the_account_over_http(self, boss, course, email):
        bob = make_user("bob", email=email)

        response = ask(boss, course, email=email)

        assert response.status_code == 200
        assert is_in(bob)
        listed = get(boss, "enrollments", email=email).json()["results"]
        assert [row["user"] for row in listed] == [bob.get_username()]

    @pytest.mark.parametrize("email", STRANGE)
    def test_finds_the_account_by_command_and_method(self, email):
        bob = make_user("bob", email=email)

        run("enroll_user_in_course", "-e", email, "-c", COURSE_ID)
        assert is_in(bob)
        CourseEnrollment.unenroll_by_email(email, COURSE_ID)
        assert not is_in(bob)
        CourseEnrollment.enroll_by_email(email, COURSE_ID)
        assert is_in(bob)


@pytest.mark.usefixtures("course")
@pytest.mark.parametrize("collation", ["und-x-icu", "tr-x-icu", "C"])
@pytest.mark.parametrize("email", ["İΣςẞÉI@example.org", "É@I.example"])
def test_the_very_address_is_found_by_any_collation(email, collation):
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


@pytest.mark.usefixtures("course")
class TestOnePerson:
    @pytest.mark.parametrize(("stored", "given"), SAME)
    def test_is_found(self, boss, course, stored, given):
        bob = make_user("bob", email=stored)

        assert bulk(given) == ["created"]
        assert is_in(bob)
        listed = get(boss, "enrollments", email=given).json()["results"]
        assert [row["user"] for row in listed] == [bob.get_username()]
        CourseEnrollment.unenroll_by_email(given, COURSE_ID)
        assert not is_in(bob)

    @pytest.mark.parametrize(("stored", "given"), SAME)
    def test_has_one_invitation(self, boss, stored, given):
        invite(stored)

        assert [one["course_id"] for one in get_invitations(boss, given)] == [COURSE_ID]
        assert CourseEnrollmentAllowed.objects.for_email(given).exists()
        assert bulk(given, action="unenroll") == ["uninvited"]
        invite(given)
        assert send(boss, "DELETE", stored).status_code == 204

    @pytest.mark.parametrize(("stored", "given"), SAME)
    def test_uses_the_invitation(self, stored, given):
        invitation = invite(given)
        CourseEnrollmentAllowed.objects.update(auto_enroll=True)

        bob = make_user("bob", email=stored)

        assert is_in(bob)
        invitation.refresh_from_db()
        assert invitation.user == bob

    @pytest.mark.parametrize(("stored", "given"), SAME)
    def test_is_invited_once(self, stored, given):
        invite(stored)

        assert bulk(given, given) in (["invited", "unchanged"], ["invalid_email"] * 2)
        assert CourseEnrollmentAllowed.objects.count() == 1


def get_invitations(boss, email):
    return get(boss, "enrollment_allowed/", email=email).json()


@pytest.mark.usefixtures("course")
class TestTwoPeople:
    @pytest.mark.parametrize(("stored", "given"), OTHER)
    def test_are_not_found_by_each_others_address(self, boss, course, stored, given):
        other = make_user("other", email=stored)
        CourseEnrollment.enroll(other, COURSE_ID)

        assert bulk(given) != ["unchanged"]
        assert bulk(given, action="unenroll") != ["deactivated"]
        assert ask(boss, course, email=given).status_code in {400, 406}
        assert get(boss, "enrollments", email=given).json()["results"] == []
        CourseEnrollment.unenroll_by_email(given, COURSE_ID)
        assert is_in(other)

    @pytest.mark.parametrize(("stored", "given"), OTHER)
    def test_do_not_use_each_others_invitations(self, boss, stored, given):
        invite(given)
        CourseEnrollmentAllowed.objects.update(auto_enroll=True)

        other = make_user("other", email=stored)

        assert not is_in(other)
        assert get_invitations(boss, stored) == []
        assert bulk(stored, action="unenroll") == ["unchanged"]
        assert CourseEnrollmentAllowed.objects.filter(user=None).count() == 1


@pytest.mark.usefixtures("course")
class TestInvalid:
    @pytest.mark.parametrize("email", [*INVALID, "", " ", None, 5, "a@\x00", "\ud800@"])
    def test_is_told_in_bulk_and_invites_nobody(self, email):
        assert bulk(email, action="enroll") == ["invalid_email"]
        assert bulk(email, action="unenroll") == ["invalid_email"]
        assert not CourseEnrollmentAllowed.objects.exists()

    @pytest.mark.parametrize("email", INVALID)
    def test_is_a_400_over_http(self, boss, course, email):
        with nothing_written():
            invited = send(boss, "POST", email)
            withdrawn = send(boss, "DELETE", email)
            enrolled = ask(boss, course, email=email)

        text = {"message": f"'{email}' is not a valid email address."}
        for response in (invited, withdrawn, enrolled):
            assert (response.status_code, response.json()) == (400, text)

    @pytest.mark.parametrize("email", INVALID)
    def test_is_refused_by_command_method_and_model(self, email):
        with pytest.raises(CommandError) as told:
            run("enroll_user_in_course", "-e", email, "-c", COURSE_ID)
        with pytest.raises(CourseEnrollmentError) as raised:
            CourseEnrollment.enroll_by_email(email, COURSE_ID, ignore_errors=False)

        assert told.value.code == raised.value.code == "invalid_email"
        CourseEnrollment.unenroll_by_email(email, COURSE_ID)
        with pytest.raises(ValidationError) as refused:
            CourseEnrollmentAllowed(email=email, course_id=COURSE_ID).full_clean()
        assert list(refused.value.error_dict) == ["email"]

    def test_is_refused_by_the_admin(self):
        root = make_user("root", is_staff=True, is_superuser=True)
        path = reverse("admin:django_enrollments_courseenrollmentallowed_add")
        client = client_of(root)

        refused = client.post(path, {"email": "bob@", "course_id": COURSE_ID})
        taken = client.post(path, {"email": " B@example.org", "course_id": COURSE_ID})

        assert (refused.status_code, taken.status_code) == (200, 302)
        assert CourseEnrollmentAllowed.objects.get().email == "b@example.org"

    @pytest.mark.parametrize("email", [one for one in INVALID if len(one) < 256])
    def test_an_invitation_that_is_there_is_listed_and_deleted(self, boss, email):
        invite(email)
        assert len(get_invitations(boss, email)) == 1
        assert send(boss, "DELETE", email).status_code == 204
        invite(email)
        assert bulk(email, action="unenroll") == ["uninvited"]
        assert not CourseEnrollmentAllowed.objects.exists()


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
def test_what_is_valid_is_stored_in_one_form(email, stored):
    assert clean_address(email) == normalize_email(email) == stored
    assert normalize_email(stored) == stored


shared = pytest.mark.skipif(not is_default_host(), reason="Addresses are unique here.")
EMAIL = "both@example.org"


@shared
@pytest.mark.usefixtures("course")
class TestSeveralAccounts:
    def make(self, *active):
        return [
            make_user(f"user{number}", email=EMAIL, is_active=is_active)
            for number, is_active in enumerate(active)
        ]

    def test_the_only_active_one_is_meant(self, boss, course):
        *_, bob, _ = self.make(False, True, False)

        assert bulk(EMAIL) == ["created"]
        assert bulk(EMAIL, action="unenroll") == ["deactivated"]
        assert ask(boss, course, email=EMAIL).status_code == 200
        assert is_in(bob)
        CourseEnrollment.unenroll_by_email(EMAIL, COURSE_ID)
        assert not is_in(bob)
        CourseEnrollment.enroll_by_email(EMAIL, COURSE_ID)
        assert is_in(bob)
        run("enroll_user_in_course", "-e", EMAIL, "-c", COURSE_ID)
        assert CourseEnrollment.objects.count() == 1

    def test_several_active_ones_are_ambiguous(self, boss, course):
        self.make(True, False, True)

        with nothing_written():
            assert bulk(EMAIL) == ["ambiguous_email"]
            assert bulk(EMAIL, action="unenroll") == ["ambiguous_email"]
            response = ask(boss, course, email=EMAIL)
            with pytest.raises(CommandError) as told:
                run("enroll_user_in_course", "-e", EMAIL, "-c", COURSE_ID)
            with pytest.raises(CourseEnrollmentError) as raised:
                CourseEnrollment.enroll_by_email(EMAIL, COURSE_ID, ignore_errors=False)
            with pytest.raises(CourseEnrollmentError) as refused:
                CourseEnrollment.unenroll_by_email(EMAIL, COURSE_ID)
            assert CourseEnrollment.enroll_by_email(EMAIL, COURSE_ID) is None

        assert response.status_code == 409
        assert response.json() == {
            "message": f"Several users have the email address {EMAIL}."
        }
        for error in (told.value, raised.value, refused.value):
            assert error.code == "ambiguous_email"

    def test_an_ambiguous_invitation_is_taken_back(self):
        self.make(True, True)
        invite(EMAIL)

        assert bulk(EMAIL, EMAIL, action="unenroll") == ["uninvited", "ambiguous_email"]
        assert not CourseEnrollmentAllowed.objects.exists()

    def test_bulk_invites_past_inactive_ones(self):
        users = self.make(False, False)

        assert bulk(EMAIL) == ["invited"]
        assert not CourseEnrollment.objects.exists()
        users[1].is_active = True
        users[1].save()

        assert is_in(users[1])

    def test_bulk_invites_past_the_only_inactive_one(self):
        (bob,) = self.make(False)

        assert bulk(EMAIL) == ["invited"]
        assert not is_in(bob)

    def test_others_act_on_the_only_inactive_one(self, boss, course):
        (bob,) = self.make(False)

        assert ask(boss, course, email=EMAIL).status_code == 200
        assert is_in(bob)
        assert bulk(EMAIL, action="unenroll") == ["deactivated"]
        CourseEnrollment.enroll_by_email(EMAIL, COURSE_ID)
        assert is_in(bob)
        CourseEnrollment.unenroll_by_email(EMAIL, COURSE_ID)
        assert not is_in(bob)

    def test_several_inactive_ones_are_ambiguous_to_others(self, boss, course):
        self.make(False, False)

        assert ask(boss, course, email=EMAIL).status_code == 409
        assert bulk(EMAIL, action="unenroll") == ["ambiguous_email"]

    def test_redeeming_names_the_same_code(self):
        self.make(True, True)
        invite(EMAIL)
        CourseEnrollmentAllowed.objects.update(auto_enroll=True)

        with pytest.raises(CommandError):
            run("redeem_invitations")

        assert CourseEnrollmentAllowed.objects.filter(user=None).count() == 1
